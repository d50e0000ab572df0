"""The battles' rules once more, as NumPy arrays [B, U] for all battles at once: what the compiled
engine must equal bit for bit, in the same arithmetic in the same order.
"""

import numpy as np

from envs.smac.core import Battles
from envs.smac.engine import (
    ATTACK,
    CROWD_ROUNDS,
    EAST,
    GOLDEN,
    HEAL_SCAN,
    MIX_1,
    MIX_2,
    MOVE,
    OUTSIDE_LOOPS,
    SHIFT_1,
    SHIFT_2,
    SHIFT_3,
    SHIFT_FLOAT,
    TINY,
    YIELD_STANDING,
)
from envs.smac.sight import SHOOT, SIGHT
from envs.smac.tables import Tables


def mixed(value: np.ndarray) -> np.ndarray:
    """Splitmix64's finaliser of uint64 arrays."""
    value = (value ^ (value >> SHIFT_1)) * MIX_1
    value = (value ^ (value >> SHIFT_2)) * MIX_2
    return value ^ (value >> SHIFT_3)


def chance(key: np.ndarray, episode: np.ndarray, loop: np.ndarray, purpose: int) -> np.ndarray:
    """[B] numbers in [0, 1), see `scalar.chance`."""
    one = np.uint64(1)
    value = mixed(key + GOLDEN)
    for part in (episode, loop, np.full_like(key, purpose)):
        value = mixed(value + GOLDEN * (part + one))
    return (value >> SHIFT_FLOAT).astype(np.float64) * (1.0 / 9007199254740992.0)


def run_loop(battles: np.ndarray, key, episode, loop, t: Tables) -> None:
    """One game loop of all `battles` [B, U] of UNIT; see `engine.run_loop`."""
    x, y, hp, shield, energy, cooldown = (
        battles[name] for name in ("x", "y", "hp", "shield", "energy", "cooldown")
    )
    since, order, target, goal_x, goal_y = (
        battles[name] for name in ("since", "order", "target", "goal_x", "goal_y")
    )
    windup, second, second_target, dealt = (
        battles[name] for name in ("windup", "second", "second_target", "dealt")
    )
    _, delay_low, delay_high, slop, least, heal, cost, energy_rate = t.rules[:8]
    energy_least, energy_most, shield_rate, shield_delay, point_x, point_y = t.rules[8:14]
    traits, pairs = t.traits, t.pairs
    units, allies, count = t.units, t.allies, len(x)
    rows = np.arange(count)

    def centre(i, j):
        """Distance of unit i to unit j, an index or one for each battle."""
        jx, jy = (x[:, j], y[:, j]) if np.isscalar(j) else (x[rows, j], y[rows, j])
        dx, dy = jx - x[:, i], jy - y[:, i]
        return np.sqrt(dx * dx + dy * dy), dx, dy

    def gap(i, j):
        return centre(i, j)[0] - traits["radius"][i] - traits["radius"][j]

    for i in range(allies, units):
        free = (hp[:, i] > 0) & (windup[:, i] <= 0)
        kept = target[:, i]
        seen = np.maximum(kept, 0)
        if traits["heals"][i]:
            holds = (
                (kept >= 0)
                & (hp[rows, seen] > 0)
                & (hp[rows, seen] < traits["health"][seen])
                & (energy[:, i] > 0)
            )
            best, fraction = np.full(count, -1), np.full(count, 1.0 - TINY)
            for j in range(allies, units):
                if pairs["can_hit"][i, j]:
                    share = hp[:, j] / traits["health"][j]
                    takes = (
                        (energy[:, i] >= energy_least)
                        & (hp[:, j] > 0)
                        & (share < fraction)
                        & (centre(i, j)[0] <= HEAL_SCAN)
                    )
                    best, fraction = np.where(takes, j, best), np.where(takes, share, fraction)
        else:
            holds = (kept >= 0) & (hp[rows, seen] > 0) & (gap(i, seen) <= traits["reach"][i])
            best, nearest = np.full(count, -1), np.full(count, traits["scan"][i])
            for j in range(allies):
                if pairs["can_hit"][i, j]:
                    distance = gap(i, j)
                    takes = (
                        (hp[:, j] > 0) & (distance <= nearest) & ((best < 0) | (distance < nearest))
                    )
                    best, nearest = np.where(takes, j, best), np.where(takes, distance, nearest)
        chooses = free & ~holds
        target[:, i] = np.where(chooses, best, kept)
        order[:, i] = np.where(chooses, np.where(best >= 0, ATTACK, MOVE), order[:, i])
        goal_x[:, i] = np.where(chooses, point_x, goal_x[:, i])
        goal_y[:, i] = np.where(chooses, point_y, goal_y[:, i])

    slowest = np.full(count, 1e9)
    for i in range(allies, units):
        if not traits["heals"][i]:
            slowest = np.where(
                (hp[:, i] > 0) & (traits["speed"][i] < slowest), traits["speed"][i], slowest
            )

    moving = np.zeros((count, units), bool)
    steps_x, steps_y = np.zeros((count, units)), np.zeros((count, units))
    for i in range(units):
        can = (hp[:, i] > 0) & (windup[:, i] <= 0)
        seen = np.maximum(target[:, i], 0)
        moves = order[:, i] == MOVE
        follows = (order[:, i] == ATTACK) & (target[:, i] >= 0) & (hp[rows, seen] > 0)
        far, dx, dy = centre(i, seen)
        goal_dx, goal_dy = goal_x[:, i] - x[:, i], goal_y[:, i] - y[:, i]
        goal = np.sqrt(goal_dx * goal_dx + goal_dy * goal_dy)
        length = np.where(moves, goal, far)
        dx, dy = np.where(moves, goal_dx, dx), np.where(moves, goal_dy, dy)
        wanted = np.where(
            moves,
            goal,
            np.where(
                follows,
                far - traits["radius"][i] - traits["radius"][seen] - traits["reach"][i],
                0.0,
            ),
        )
        pace = np.full(count, traits["speed"][i])
        if traits["heals"][i] and i >= allies:
            pace = np.where(moves & (slowest < pace), slowest, pace)
        goes = can & (wanted > 1e-9) & (length > 0)
        pace, safe = np.minimum(pace, wanted), np.where(goes, length, 1.0)
        steps_x[:, i], steps_y[:, i] = (
            np.where(goes, dx / safe * pace, 0.0),
            np.where(goes, dy / safe * pace, 0.0),
        )
        moving[:, i] = goes
    x += steps_x
    y += steps_y

    running = np.ones(count, bool)
    for _ in range(CROWD_ROUNDS):
        crowded = np.zeros(count, bool)
        for i in range(units):
            for j in range(i + 1, units):
                if traits["air"][i] != traits["air"][j]:
                    continue
                distance, dx, dy = centre(i, j)
                overlap = traits["separation"][i] + traits["separation"][j] - distance
                both = running & (hp[:, i] > 0) & (hp[:, j] > 0) & (overlap > 0)
                crowded |= both
                if not both.any():
                    continue
                apart = distance > 1e-9
                safe = np.where(apart, distance, 1.0)
                plain = (1.0, 0.0) if (i + j) % 2 == 0 else (0.0, 1.0)
                dx, dy = np.where(apart, dx / safe, plain[0]), np.where(apart, dy / safe, plain[1])
                share = np.full(count, 0.5)
                share = np.where(moving[:, i] & ~moving[:, j], 1.0 - YIELD_STANDING, share)
                share = np.where(moving[:, j] & ~moving[:, i], YIELD_STANDING, share)
                push, pull = (
                    np.where(both, share * overlap, 0.0),
                    np.where(both, (1.0 - share) * overlap, 0.0),
                )
                x[:, i] -= push * dx
                y[:, i] -= push * dy
                x[:, j] += pull * dx
                y[:, j] += pull * dy
        running &= crowded
        if not running.any():
            break
    np.clip(x, 0.0, EAST, out=x)
    np.clip(y, t.rules.low, t.rules.high, out=y)

    alive = hp > 0
    cooldown[:] = np.where(alive, np.where(cooldown > 0, cooldown - 1.0, 0.0), cooldown)
    since += alive
    regrows = alive & (since > shield_delay) & (shield < traits["shield"])
    shield[:] = np.where(regrows, np.minimum(traits["shield"], shield + shield_rate), shield)
    energy[:] = np.where(
        alive & traits["heals"], np.minimum(energy_most, energy + energy_rate), energy
    )

    landing, again = np.zeros((count, units), bool), np.zeros((count, units), bool)
    for i in range(units):
        if traits["heals"][i]:
            continue
        lives = hp[:, i] > 0
        pending = lives & (second[:, i] > 0)
        second[:, i] -= pending
        due = pending & (second[:, i] <= 0)
        second[:, i] = np.where(due, 0.0, second[:, i])
        seen = np.maximum(second_target[:, i], 0)
        again[:, i] = due & (hp[rows, seen] > 0) & (gap(i, seen) <= traits["reach"][i] + slop)
        seen = np.maximum(target[:, i], 0)
        fine = (target[:, i] >= 0) & (hp[rows, seen] > 0)
        distance = gap(i, seen)
        winding = lives & (windup[:, i] > 0)
        windup[:, i] -= winding
        due = winding & (windup[:, i] <= 0)
        windup[:, i] = np.where(due, 0.0, windup[:, i])
        begins = (
            lives
            & ~winding
            & (order[:, i] == ATTACK)
            & fine
            & (cooldown[:, i] <= 0)
            & pairs["can_hit"][i][seen]
        )
        begins &= distance <= traits["reach"][i] + 1e-9
        if begins.any():
            drawn = chance(key, episode, loop, i)
            pause = traits["period"][i] + delay_low + (delay_high - delay_low) * drawn
            cooldown[:, i] = np.where(begins, cooldown[:, i] + pause, cooldown[:, i])
            windup[:, i] = np.where(begins, traits["windup"][i], windup[:, i])
        landing[:, i] = (due & fine & (distance <= traits["reach"][i] + slop)) | (
            begins & (traits["windup"][i] <= 0)
        )
    for i in range(units):
        for which, happens in enumerate((landing[:, i], again[:, i])):
            hit = np.flatnonzero(happens)
            if not len(hit):
                continue
            j = (target if which == 0 else second_target)[hit, i]
            strikes = 1
            if which == 0 and traits["hits"][i] > 1:
                if traits["second"][i] > 0:
                    second[hit, i], second_target[hit, i] = traits["second"][i], j
                else:
                    strikes = int(traits["hits"][i])
            for _ in range(strikes):
                amount = pairs["damage"][i, j]
                absorbed = np.minimum(shield[hit, j], amount)
                shield[hit, j] -= absorbed
                loss = np.where(
                    amount > absorbed,
                    np.maximum(least, amount - absorbed - traits["armor"][j]),
                    0.0,
                )
                hp[hit, j] -= loss
                dealt[hit, j] += absorbed + loss
            since[hit, j] = 0

    for i in range(units):
        if not traits["heals"][i]:
            continue
        seen = np.maximum(target[:, i], 0)
        hurt = (hp[rows, seen] > 0) & (hp[rows, seen] < traits["health"][seen])
        helps = (
            (hp[:, i] > 0)
            & (order[:, i] == ATTACK)
            & (target[:, i] >= 0)
            & hurt
            & (energy[:, i] > 0)
        )
        helps &= gap(i, seen) <= traits["reach"][i] + 1e-9
        who = np.flatnonzero(helps)
        j = seen[who]
        amount = np.minimum(
            np.minimum(heal, traits["health"][j] - hp[who, j]), energy[who, i] / cost
        )
        hp[who, j] += amount
        energy[who, i] -= cost * amount
    dead = hp <= 0
    for values in (hp, shield, windup, second):
        values[dead] = 0.0


def availability(t: Tables, x, y, hp) -> np.ndarray:
    """Action masks [B, A, 6 + E]."""
    traits = t.traits
    a = t.allies
    out = np.zeros((len(x), a, t.actions), bool)
    alive = hp[:, :a] > 0
    out[..., 0], out[..., 1] = ~alive, alive
    for d, (dx, dy) in enumerate(((0, 1), (0, -1), (1, 0), (-1, 0))):
        column, row = np.trunc(x[:, :a] + dx), np.trunc(y[:, :a] + dy)
        inside = (
            (column >= 0)
            & (column < 32)
            & (row >= 0)
            & (row < 32)
            & (row >= t.rules.low)
            & (row < t.rules.high)
        )
        out[..., 2 + d] = alive & inside
    dx, dy = x[:, None, :] - x[:, :a, None], y[:, None, :] - y[:, :a, None]
    near = (np.sqrt(dx * dx + dy * dy) <= SHOOT) & (hp[:, None] > 0) & alive[..., None]
    for i in range(a):
        if traits["heals"][i]:
            for k in range(min(a, t.enemies)):
                out[:, i, 6 + k] = near[:, i, k] & ~traits["heals"][k]
        else:
            out[:, i, 6:] = near[:, i, a:]
    return out


def observations(t: Tables, x, y, hp, shield, mask) -> np.ndarray:
    """[B, A, obs] float32, in SMAC's order of features."""
    traits = t.traits
    a, count = t.allies, len(x)
    out = np.zeros((count, a, t.obs_dim), np.float32)
    dx, dy = x[:, None, :] - x[:, :a, None], y[:, None, :] - y[:, :a, None]
    distance = np.sqrt(dx * dx + dy * dy)
    visible = (hp[:, None] > 0) & (distance < SIGHT)
    fraction, shields = (
        hp / traits["health"],
        shield / np.where(traits["shield"] > 0, traits["shield"], 1.0),
    )
    for i in range(a):
        alive, parts = hp[:, i] > 0, [mask[:, i, 2:6]]
        for side, shielded in (
            (range(a, t.units), t.layout.enemy_shield),
            (range(a), t.layout.ally_shield),
        ):
            for j in side:
                if j == i:
                    continue
                first = mask[:, i, 6 + j - a] if j >= a else np.ones(count)
                block = [
                    first,
                    distance[:, i, j] / 9.0,
                    dx[:, i, j] / 9.0,
                    dy[:, i, j] / 9.0,
                    fraction[:, j],
                ]
                block += [shields[:, j]] if shielded else []
                block += [np.full(count, bit) for bit in t.bits[j]]
                parts.append(np.where(visible[:, i, j, None], np.stack(block, -1), 0.0))
        own = (
            [fraction[:, i]]
            + ([shields[:, i]] if t.layout.ally_shield else [])
            + [np.full(count, bit) for bit in t.bits[i]]
        )
        out[:, i] = np.where(alive[:, None], np.concatenate([*parts, np.stack(own, -1)], -1), 0.0)
    return out


def states(t: Tables, x, y, hp, shield, energy, cooldown, last) -> np.ndarray:
    """[B, state] float32; last [B, A] actions, -1 before the first."""
    traits = t.traits
    count, parts = len(x), []
    fraction, shields = (
        hp / traits["health"],
        shield / np.where(traits["shield"] > 0, traits["shield"], 1.0),
    )
    for i in range(t.units):
        ally = i < t.allies
        block = [fraction[:, i]]
        if ally:
            block.append(
                (energy if traits["heals"][i] else cooldown)[:, i] / traits["max_cooldown"][i]
            )
        block += [(x[:, i] - 16.0) / 32.0, (y[:, i] - 16.0) / 32.0]
        block += (
            [shields[:, i]] if (t.layout.ally_shield if ally else t.layout.enemy_shield) else []
        )
        block += [np.full(count, bit) for bit in t.bits[i]]
        parts.append(np.where((hp[:, i] > 0)[:, None], np.stack(block, -1), 0.0))
    for i in range(t.allies):
        parts.append((last[:, i, None] == np.arange(t.actions)).astype(float))
    return np.concatenate(parts, -1).astype(np.float32)


class ArrayBattles(Battles):
    """Battles that are fought, and seen, by the functions above."""

    def _chances(self, which: np.ndarray, purpose: int) -> np.ndarray:
        with np.errstate(over="ignore"):
            episode = self.episodes[which].astype(np.uint64)
            loop = np.full(len(which), OUTSIDE_LOOPS)
            units = range(purpose, purpose + self.tables.units)
            return np.stack([chance(self.keys[which], episode, loop, u) for u in units], -1)

    def _simulate(self, which: np.ndarray, loops: int) -> None:
        battles = self.units[which]
        with np.errstate(over="ignore"):
            for loop in range(loops):
                clock = (self.steps[which] * loops + loop).astype(np.uint64)
                episode = self.episodes[which].astype(np.uint64)
                run_loop(battles, self.keys[which], episode, clock, self.tables)
        self.units[which] = battles

    def _refresh(self) -> None:
        units = self.units
        self._mask = availability(self.tables, units["x"], units["y"], units["hp"])

    def obs(self) -> np.ndarray:
        seen = (self.units[name] for name in ("x", "y", "hp", "shield"))
        return observations(self.tables, *seen, self._mask)

    def state(self) -> np.ndarray:
        names = ("x", "y", "hp", "shield", "energy", "cooldown")
        return states(self.tables, *(self.units[name] for name in names), self.last)
