"""Many StarCraft-like battles at once: SMAC's interface (Samvelyan et al., 2019) on a built-in
simulator.

Results made with it are "SMAC-like, built-in simulator", with the profile of dynamics and
`VERSION`: it is not StarCraft II. Interface, unit data, rewards and the enemies' behaviour follow
the real one as far as public sources tell; spawn offsets, collisions and the enemy Medivac's walk
are ours, without turning, missiles and pathfinding.

Axes: B battles, A allies (the agents), E enemies, U = A + E units.
"""

import importlib.util

import numpy as np

from envs.smac import arrays
from envs.smac.scalar import ATTACK, MOVE, STAND, mixed
from envs.smac.tables import Tables, tables
from envs.smac.units import ALLY_SPAWN, LOOPS_PER_SECOND, LOOPS_PER_STEP

VERSION = 1  # raise it when a change alters battles
BACKENDS = ("auto", "numba", "numpy")
REACH_OF_ORDER = 2.0  # a move order's goal; a step covers less
DIRECTIONS = np.array([[0, 1], [0, -1], [1, 0], [-1, 0]], float)  # north, south, east, west
SPAWN_JITTER = 0.3  # the real game's offsets are not known; without any, battles hardly differ
DEATH, WIN, SCALE = 10.0, 200.0, 20.0


def has_numba() -> bool:
    """Whether the compiled backend can be used."""
    return importlib.util.find_spec("numba") is not None


class Battles:
    """B battles on one map, each keyed by (seed, its number, its episode): a battle is the same in
    any batch.

    Args:
        map_name: see units.MAPS.
        battles: B.
        seed: of everything random.
        dynamics: "sc2" or "smaclite", see units.PROFILES.
        backend: "numba" (compiled), "numpy", or "auto" for numba where it is installed; both give
            the same battles.
        spawn_jitter: largest random offset of every start position.
        shuffle_enemy_ids: draw the order of enemy ids for every episode, as users report of the
            real game.
        first: number of the first battle, for a part of a larger batch.

    Attributes:
        steps: [B] of the present episode; episodes: [B] begun so far, less one.
    """

    def __init__(
        self,
        map_name: str,
        battles: int,
        seed: int = 0,
        dynamics: str = "sc2",
        backend: str = "auto",
        spawn_jitter: float = SPAWN_JITTER,
        shuffle_enemy_ids: bool = False,
        first: int = 0,
    ):
        if backend not in BACKENDS:
            raise ValueError(f"unknown backend {backend!r}, expected one of: {', '.join(BACKENDS)}")
        if backend == "numba" and not has_numba():
            raise ValueError(
                "backend 'numba' needs the package numba: pip install numba, or use backend='numpy'"
            )
        self.backend = "numba" if backend != "numpy" and has_numba() else "numpy"
        self.map_name, self.dynamics, self.battles = map_name, dynamics, battles
        self.t: Tables = tables(map_name, dynamics)
        self.limit, self.agents, self.enemies = self.t.scenario.limit, self.t.allies, self.t.enemies
        self.spawn_jitter, self.shuffle_enemy_ids = spawn_jitter, shuffle_enemy_ids
        with np.errstate(over="ignore"):
            seeds = np.full(battles, seed, np.uint64)
            self.keys = arrays.mixed(
                arrays.mixed(seeds + np.uint64(1))
                + np.arange(first, first + battles, dtype=np.uint64)
            )
        rules = self.t.rules
        second = LOOPS_PER_SECOND
        self.rules = np.array(
            [
                *rules.delay,
                rules.slop,
                rules.least_damage,
                rules.heal / second,
                rules.energy_per_health,
                rules.energy_rate / second,
                rules.energy_least,
                rules.energy_most,
                rules.shield_rate / second,
                rules.shield_delay * second,
                *ALLY_SPAWN,
            ]
        )
        units = self.t.units
        self.b = {
            name: np.zeros((battles, units))
            for name in (
                "x",
                "y",
                "hp",
                "shield",
                "energy",
                "cooldown",
                "goal_x",
                "goal_y",
                "windup",
                "second",
                "dealt",
            )
        }
        self.b |= {
            name: np.zeros((battles, units), np.int64)
            for name in ("since", "order", "target", "second_target")
        }
        self.steps, self.episodes = np.zeros(battles, np.int64), np.full(battles, -1)
        self.last = np.full((battles, self.agents), -1)
        self.over = np.ones(battles, bool)
        self.won = np.zeros(battles, bool)
        self._mask = np.zeros((battles, self.agents, self.t.actions), bool)

    # --- SMAC's sizes ---

    @property
    def n_actions(self) -> int:
        return self.t.actions

    @property
    def obs_dim(self) -> int:
        return self.t.obs_dim

    @property
    def state_dim(self) -> int:
        return self.t.state_dim

    # --- Episodes ---

    def reset(self, which: np.ndarray | None = None) -> None:
        """Begins new episodes in all battles, or in those numbered `which`."""
        which = np.arange(self.battles) if which is None else np.asarray(which)
        t, b = self.t, self.b
        self.episodes[which] += 1
        for name in ("cooldown", "windup", "second", "dealt", "since", "order"):
            b[name][which] = 0
        b["target"][which], b["second_target"][which] = -1, -1
        b["since"][which] = 10**6
        b["x"][which], b["y"][which] = t.start_x, t.start_y
        b["goal_x"][which], b["goal_y"][which] = t.start_x, t.start_y
        if self.shuffle_enemy_ids:
            self._shuffle(which)
        if self.spawn_jitter:
            for unit in range(t.units):
                b["x"][which, unit] += self.spawn_jitter * (
                    2 * self._chance(which, 1000 + unit) - 1
                )
                b["y"][which, unit] += self.spawn_jitter * (
                    2 * self._chance(which, 2000 + unit) - 1
                )
        b["hp"][which], b["shield"][which] = t.health, t.shield
        b["energy"][which] = np.where(t.heals, t.rules.energy_start, 0.0)
        self.steps[which], self.last[which], self.over[which], self.won[which] = 0, -1, False, False
        self._refresh()

    def _chance(self, which: np.ndarray, purpose: int) -> np.ndarray:
        """[len(which)] numbers in [0, 1) of the episode, not of any loop."""
        with np.errstate(over="ignore"):
            episode = self.episodes[which].astype(np.uint64)
            return arrays.chance(
                self.keys[which], episode, np.full(len(which), 2**40, np.uint64), purpose
            )

    def _shuffle(self, which: np.ndarray) -> None:
        """Exchanges the start positions of enemies of a type at random."""
        t = self.t
        kinds = t.scenario.enemies
        draws = np.stack([self._chance(which, 3000 + unit) for unit in range(t.enemies)], -1)
        for kind in dict.fromkeys(kinds):
            mine = np.array([t.allies + k for k in range(t.enemies) if kinds[k] == kind])
            order = draws[:, mine - t.allies].argsort(-1)
            for name, place in (("x", t.start_x), ("y", t.start_y)):
                self.b[name][which[:, None], mine[None]] = place[mine][order]

    def _refresh(self) -> None:
        t, b = self.t, self.b
        if self.backend == "numba":
            from envs.smac import compiled

            compiled.availability_all(
                t.allies, b["x"], b["y"], b["hp"], t.heals, t.low, t.high, self._mask
            )
        else:
            self._mask = arrays.availability(t, b["x"], b["y"], b["hp"])

    def available(self) -> np.ndarray:
        """[B, A, n_actions] bool: what every agent may do. Dead agents may only do 0, living ones
        never.
        """
        return self._mask.copy()

    def step(self, actions: np.ndarray, which: np.ndarray | None = None):
        """One step (8 game loops) of all battles, or of `which`.

        Args:
            actions: [B, A] (or a row for each of `which`): 0 none (dead), 1 stop, 2 to 5 north,
                south, east, west, 6 + k attack enemy k, or heal ally k for a Medivac.

        Returns:
            reward [B] (scaled so that a plain win sums to 20), terminated [B] (won, lost or drawn),
            truncated [B] (the map's limit), won [B]; rows of the stepped battles only.

        Raises:
            ValueError: an action is not available, or a battle is over.
        """
        which = np.arange(self.battles) if which is None else np.asarray(which)
        actions = np.asarray(actions)
        if actions.shape != (len(which), self.agents):
            raise ValueError(
                f"actions have shape {actions.shape}, expected {(len(which), self.agents)}"
            )
        if self.over[which].any():
            raise ValueError(
                f"battle {which[int(self.over[which].argmax())]} is over; reset it first"
            )
        in_range = (actions >= 0) & (actions < self.n_actions)
        fine = (
            in_range
            & np.take_along_axis(self._mask[which], np.where(in_range, actions, 0)[..., None], -1)[
                ..., 0
            ]
        )
        if not fine.all():
            row, agent = np.argwhere(~fine)[0]
            allowed = np.flatnonzero(self._mask[which[row], agent]).tolist()
            raise ValueError(
                f"action {actions[row, agent]} of agent {agent} in battle {which[row]} is not available: {allowed}"
            )
        self._give_orders(actions, which)
        self.last[which] = actions
        t, b, enemies = self.t, self.b, slice(self.t.allies, None)
        before = (b["hp"] + b["shield"])[which, enemies]
        alive = b["hp"][which, enemies] > 0
        b["dealt"][which] = 0.0
        self._simulate(which)
        self.steps[which] += 1
        after = (b["hp"] + b["shield"])[which, enemies]
        change = b["dealt"][which, enemies] if t.rules.gross_reward else before - after
        killed = alive & (b["hp"][which, enemies] <= 0)
        reward = np.abs(np.where(alive, change, 0.0).sum(-1) + DEATH * killed.sum(-1))
        terminated, won = self._outcome(which)
        reward = (reward + WIN * won) * SCALE / t.max_reward
        truncated = ~terminated & (self.steps[which] >= self.limit)
        self.over[which], self.won[which] = terminated | truncated, won
        self._refresh()
        return reward, terminated, truncated, won

    def _give_orders(self, actions: np.ndarray, which: np.ndarray) -> None:
        b, t = self.b, self.t
        agents = np.arange(self.agents)
        order, target, windup = (
            b[name][which, : self.agents] for name in ("order", "target", "windup")
        )
        wanted = np.where(t.heals[: self.agents], actions - 6, self.agents + actions - 6)
        attacks = actions >= 6
        valid = attacks & t.can_hit[agents, np.where(attacks, wanted, 0)]
        moves = (actions >= 2) & (actions <= 5)
        # who cannot hit its target keeps the previous order, as the engine refuses the new one
        new_order = np.where(valid, ATTACK, np.where(moves, MOVE, np.where(attacks, order, STAND)))
        new_target = np.where(valid, wanted, np.where(attacks, target, -1))
        broken = (windup > 0) & ((new_order != ATTACK) | (new_target != target))
        cooldown = b["cooldown"][which, : self.agents]
        b["cooldown"][which, : self.agents] = np.where(
            broken, 0.0, cooldown
        )  # the shot was not fired
        b["windup"][which, : self.agents] = np.where(broken, 0.0, windup)
        b["order"][which, : self.agents], b["target"][which, : self.agents] = new_order, new_target
        ahead = REACH_OF_ORDER * DIRECTIONS[np.where(moves, actions - 2, 0)]
        for name, place, axis in (("goal_x", "x", 0), ("goal_y", "y", 1)):
            goal = b[place][which, : self.agents] + ahead[..., axis]
            b[name][which, : self.agents] = np.where(moves, goal, b[name][which, : self.agents])

    def _simulate(self, which: np.ndarray) -> None:
        t, b, loops = self.t, self.b, LOOPS_PER_STEP
        episodes = self.episodes.astype(np.uint64)
        if self.backend == "numba":
            from envs.smac import compiled

            compiled.step_all(
                which,
                loops,
                self.keys,
                episodes,
                self.steps,
                t.allies,
                b["x"],
                b["y"],
                b["hp"],
                b["shield"],
                b["energy"],
                b["cooldown"],
                b["since"],
                b["order"],
                b["target"],
                b["goal_x"],
                b["goal_y"],
                b["windup"],
                b["second"],
                b["second_target"],
                b["dealt"],
                t.health,
                t.shield,
                t.armor,
                t.damage,
                t.can_hit,
                t.hits,
                t.period,
                t.windup,
                t.second,
                t.reach,
                t.scan,
                t.speed,
                t.radius,
                t.separation,
                t.air,
                t.heals,
                self.rules,
                t.low,
                t.high,
            )
            return
        part = {name: values[which] for name, values in b.items()}
        with np.errstate(over="ignore"):
            for loop in range(loops):
                clock = (self.steps[which] * loops + loop).astype(np.uint64)
                arrays.run_loop(part, self.keys[which], episodes[which], clock, t, self.rules)
        for name, values in part.items():
            b[name][which] = values

    def _outcome(self, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Whether battles are decided, and won; a side with only Medivacs left has lost, the loss
        is tested first.
        """
        alive = self.b["hp"][which] > 0
        fights = alive & ~self.t.heals
        ours, theirs = fights[:, : self.agents].any(1), fights[:, self.agents :].any(1)
        return ~ours | ~theirs, ours & ~theirs

    # --- What agents see ---

    def obs(self) -> np.ndarray:
        """[B, A, obs_dim] float32 observations; zeros for the dead."""
        t, b = self.t, self.b
        if self.backend == "numba":
            from envs.smac import compiled

            out = np.empty((self.battles, self.agents, self.obs_dim), np.float32)
            compiled.observations_all(
                t.allies,
                b["x"],
                b["y"],
                b["hp"],
                b["shield"],
                t.health,
                t.shield,
                t.bits,
                t.heals,
                self._mask,
                t.ally_shield,
                t.enemy_shield,
                out,
            )
            return out
        return arrays.observations(t, b["x"], b["y"], b["hp"], b["shield"], self._mask)

    def state(self) -> np.ndarray:
        """[B, state_dim] float32 global states with the agents' last actions."""
        t, b = self.t, self.b
        if self.backend == "numba":
            from envs.smac import compiled

            out = np.empty((self.battles, self.state_dim), np.float32)
            compiled.states_all(
                t.allies,
                b["x"],
                b["y"],
                b["hp"],
                b["shield"],
                b["energy"],
                b["cooldown"],
                t.health,
                t.shield,
                t.bits,
                t.heals,
                t.max_cooldown,
                self.last,
                t.ally_shield,
                t.enemy_shield,
                out,
            )
            return out
        return arrays.states(
            t, b["x"], b["y"], b["hp"], b["shield"], b["energy"], b["cooldown"], self.last
        )


def key_of(seed: int, battle: int) -> int:
    """The random key of one battle, for tests and records."""
    with np.errstate(over="ignore"):
        return int(mixed(mixed(np.uint64(seed) + np.uint64(1)) + np.uint64(battle)))
