"""One battle, unit by unit in scalar code: what numba compiles, and what the array reference must
equal.

Every function works on one battle's arrays in place. Orders: 0 stand, 1 move to (goal_x, goal_y), 2
attack or heal `target`. Times are in loops. See units.py for the constants and the README section
of envs/smac for the rules.
"""

import math

import numpy as np

STAND, MOVE, ATTACK = 0, 1, 2
YIELD_STANDING = 0.25  # share of an overlap that a standing unit gives way, if the other moves
ROUNDS = 8  # at most, of pushing apart in a loop
HEALTHY = 1e-9

GOLDEN, MIX1, MIX2 = (
    np.uint64(0x9E3779B97F4A7C15),
    np.uint64(0xBF58476D1CE4E5B9),
    np.uint64(0x94D049BB133111EB),
)
S30, S27, S31, S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)


def mixed(value):
    """Splitmix64's finaliser."""
    value = (value ^ (value >> S30)) * MIX1
    value = (value ^ (value >> S27)) * MIX2
    return value ^ (value >> S31)


def chance(key, episode, loop, purpose):
    """A number in [0, 1) that depends on these four and nothing else (counter-based: no generator
    has a state).

    Args:
        key, episode, loop, purpose: uint64.
    """
    value = mixed(key + GOLDEN)
    value = mixed(value + GOLDEN * (episode + np.uint64(1)))
    value = mixed(value + GOLDEN * (loop + np.uint64(1)))
    value = mixed(value + GOLDEN * (purpose + np.uint64(1)))
    return float(value >> S11) * (1.0 / 9007199254740992.0)


def gap(x, y, radius, i, j):
    """Distance of two units from edge to edge."""
    dx, dy = x[j] - x[i], y[j] - y[i]
    return math.sqrt(dx * dx + dy * dy) - radius[i] - radius[j]


def run_loop(
    key,
    episode,
    loop,
    allies,
    x,
    y,
    hp,
    shield,
    energy,
    cooldown,
    since,
    order,
    target,
    goal_x,
    goal_y,
    windup,
    second,
    second_target,
    dealt,
    health,
    shields,
    armor,
    damage,
    can_hit,
    hits,
    period,
    windups,
    seconds,
    reach,
    scan,
    speed,
    radius,
    separation,
    air,
    heals,
    rules,
    low,
    high,
):
    """One game loop of a battle.

    Args:
        rules: delay_low, delay_high, slop, least_damage, heal a loop, energy per health, energy
            rate a loop, least energy, most energy, shield rate a loop, shield delay in loops,
            attack point x, y.
        dealt: [U] damage taken by each unit, added up (gross).
    """
    units = len(x)
    delay_low, delay_high, slop, least, heal, cost = (
        rules[0],
        rules[1],
        rules[2],
        rules[3],
        rules[4],
        rules[5],
    )
    energy_rate, energy_least, energy_most = rules[6], rules[7], rules[8]
    shield_rate, shield_delay, point_x, point_y = rules[9], rules[10], rules[11], rules[12]

    # enemies choose: a target is kept while it can be reached, else the nearest in scan range
    for i in range(allies, units):
        if hp[i] <= 0 or windup[i] > 0:
            continue
        if heals[i]:
            kept = target[i]
            if kept >= 0 and hp[kept] > 0 and hp[kept] < health[kept] and energy[i] > 0:
                continue
            best, fraction = -1, 1.0 - HEALTHY
            if energy[i] >= energy_least:
                for j in range(allies, units):
                    if hp[j] > 0 and can_hit[i, j] and hp[j] / health[j] < fraction:
                        dx, dy = x[j] - x[i], y[j] - y[i]
                        if math.sqrt(dx * dx + dy * dy) <= 6.0:
                            best, fraction = j, hp[j] / health[j]
            target[i] = best
            order[i] = ATTACK if best >= 0 else MOVE
        else:
            kept = target[i]
            if kept >= 0 and hp[kept] > 0 and gap(x, y, radius, i, kept) <= reach[i]:
                continue
            best, nearest = -1, scan[i]
            for j in range(allies):
                if hp[j] > 0 and can_hit[i, j]:
                    distance = gap(x, y, radius, i, j)
                    if distance <= nearest and (best < 0 or distance < nearest):
                        best, nearest = j, distance
            target[i] = best
            order[i] = ATTACK if best >= 0 else MOVE
        goal_x[i], goal_y[i] = point_x, point_y

    slowest = 1e9  # of the enemies a Medivac walks with
    for i in range(allies, units):
        if hp[i] > 0 and not heals[i] and speed[i] < slowest:
            slowest = speed[i]

    # walking
    moving = np.zeros(units, np.bool_)
    step_x, step_y = np.zeros(units), np.zeros(units)
    for i in range(units):
        if hp[i] <= 0 or windup[i] > 0:
            continue
        length, pace = 0.0, speed[i]
        dx, dy = 0.0, 0.0
        if order[i] == MOVE:
            dx, dy = goal_x[i] - x[i], goal_y[i] - y[i]
            length = math.sqrt(dx * dx + dy * dy)
            if heals[i] and i >= allies and slowest < pace:
                pace = slowest
            wanted = length
        elif order[i] == ATTACK and target[i] >= 0 and hp[target[i]] > 0:
            j = target[i]
            dx, dy = x[j] - x[i], y[j] - y[i]
            length = math.sqrt(dx * dx + dy * dy)
            wanted = length - radius[i] - radius[j] - reach[i]
        else:
            wanted = 0.0
        if wanted > 1e-9 and length > 0:
            pace = min(pace, wanted)
            step_x[i], step_y[i] = dx / length * pace, dy / length * pace
            moving[i] = True
    for i in range(units):
        x[i] += step_x[i]
        y[i] += step_y[i]

    # nobody stands in another: pairs of one plane are pushed apart, who stands gives way less; a
    # few rounds for crowds
    for _ in range(ROUNDS):
        crowded = False
        for i in range(units):
            if hp[i] <= 0:
                continue
            for j in range(i + 1, units):
                if hp[j] <= 0 or air[i] != air[j]:
                    continue
                dx, dy = x[j] - x[i], y[j] - y[i]
                distance = math.sqrt(dx * dx + dy * dy)
                overlap = separation[i] + separation[j] - distance
                if overlap > 0:
                    crowded = True
                    if distance > 1e-9:
                        dx, dy = dx / distance, dy / distance
                    else:
                        dx, dy = (1.0, 0.0) if (i + j) % 2 == 0 else (0.0, 1.0)
                    share = 0.5
                    if moving[i] and not moving[j]:
                        share = 1.0 - YIELD_STANDING
                    elif moving[j] and not moving[i]:
                        share = YIELD_STANDING
                    x[i] -= share * overlap * dx
                    y[i] -= share * overlap * dy
                    x[j] += (1.0 - share) * overlap * dx
                    y[j] += (1.0 - share) * overlap * dy
        if not crowded:
            break
    for i in range(units):
        x[i] = min(max(x[i], 0.0), 31.999)
        y[i] = min(max(y[i], low), high)

    # time passes
    for i in range(units):
        if hp[i] <= 0:
            continue
        cooldown[i] = cooldown[i] - 1.0 if cooldown[i] > 0 else 0.0
        since[i] += 1
        if since[i] > shield_delay and shield[i] < shields[i]:
            shield[i] = min(shields[i], shield[i] + shield_rate)
        if heals[i]:
            energy[i] = min(energy_most, energy[i] + energy_rate)

    # attacks begin, and land together at the end of the loop
    landing = np.zeros(units, np.bool_)
    again = np.zeros(units, np.bool_)
    for i in range(units):
        if hp[i] <= 0 or heals[i]:
            continue
        if second[i] > 0:
            second[i] -= 1.0
            if second[i] <= 0:
                j = second_target[i]
                second[i] = 0.0
                again[i] = hp[j] > 0 and gap(x, y, radius, i, j) <= reach[i] + slop
        if windup[i] > 0:
            windup[i] -= 1.0
            if windup[i] <= 0:
                windup[i] = 0.0
                j = target[i]
                landing[i] = j >= 0 and hp[j] > 0 and gap(x, y, radius, i, j) <= reach[i] + slop
        elif order[i] == ATTACK and target[i] >= 0 and cooldown[i] <= 0:
            j = target[i]
            if hp[j] > 0 and can_hit[i, j] and gap(x, y, radius, i, j) <= reach[i] + 1e-9:
                drawn = chance(key, episode, loop, np.uint64(i))
                cooldown[i] += period[i] + delay_low + (delay_high - delay_low) * drawn
                windup[i] = windups[i]
                landing[i] = windups[i] <= 0
    for i in range(units):
        for which in range(2):
            if which == 0 and not landing[i]:
                continue
            if which == 1 and not again[i]:
                continue
            j = target[i] if which == 0 else second_target[i]
            strikes = 1
            if which == 0 and hits[i] > 1:
                if seconds[i] > 0:
                    second[i], second_target[i] = seconds[i], j
                else:
                    strikes = int(hits[i])
            for _ in range(strikes):
                amount = damage[i, j]
                absorbed = min(shield[j], amount)
                shield[j] -= absorbed
                taken = absorbed
                if amount > absorbed:
                    loss = max(least, amount - absorbed - armor[j])
                    hp[j] -= loss
                    taken += loss
                dealt[j] += taken
            since[j] = 0

    # Medivacs heal
    for i in range(units):
        if not heals[i] or hp[i] <= 0 or order[i] != ATTACK or target[i] < 0:
            continue
        j = target[i]
        if (
            hp[j] <= 0
            or hp[j] >= health[j]
            or energy[i] <= 0
            or gap(x, y, radius, i, j) > reach[i] + 1e-9
        ):
            continue
        amount = min(min(heal, health[j] - hp[j]), energy[i] / cost)
        hp[j] += amount
        energy[i] -= cost * amount
    for i in range(units):
        if hp[i] <= 0:
            hp[i], shield[i], windup[i], second[i] = 0.0, 0.0, 0.0, 0.0


def pathable(px, py, low, high):
    """Whether the grid cell of a point may be walked on; coordinates are truncated towards zero, as
    SMAC does.
    """
    column, row = int(px), int(py)
    return 0 <= column < 32 and 0 <= row < 32 and low <= row and row < high


def availability(allies, x, y, hp, heals, low, high, out):
    """Action masks [A, 6 + E] of one battle into `out`; low and high bound the rows that may be
    walked on.
    """
    units = len(x)
    for i in range(allies):
        out[i, :] = False
        if hp[i] <= 0:
            out[i, 0] = True
            continue
        out[i, 1] = True
        out[i, 2] = pathable(x[i], y[i] + 1.0, low, high)
        out[i, 3] = pathable(x[i], y[i] - 1.0, low, high)
        out[i, 4] = pathable(x[i] + 1.0, y[i], low, high)
        out[i, 5] = pathable(x[i] - 1.0, y[i], low, high)
        for k in range(units - allies):
            if heals[i]:
                if k >= allies or heals[k]:
                    continue
                j = k
            else:
                j = allies + k
            dx, dy = x[j] - x[i], y[j] - y[i]
            out[i, 6 + k] = hp[j] > 0 and math.sqrt(dx * dx + dy * dy) <= 6.0


def observations(
    allies, x, y, hp, shield, health, shields, bits, heals, mask, ally_shield, enemy_shield, out
):
    """Observations [A, obs] of one battle into `out`, in SMAC's order of features."""
    units, width = len(x), bits.shape[1]
    for i in range(allies):
        out[i, :] = 0.0
        if hp[i] <= 0:
            continue
        for d in range(4):
            out[i, d] = 1.0 if mask[i, 2 + d] else 0.0
        at = 4
        for side in range(2):
            first, last = (allies, units) if side == 0 else (0, allies)
            has_shield = enemy_shield if side == 0 else ally_shield
            for j in range(first, last):
                if j == i:
                    continue
                dx, dy = x[j] - x[i], y[j] - y[i]
                distance = math.sqrt(dx * dx + dy * dy)
                if hp[j] > 0 and distance < 9.0:
                    if side == 0:
                        out[i, at] = 1.0 if mask[i, 6 + j - allies] else 0.0
                    else:
                        out[i, at] = 1.0
                    out[i, at + 1] = distance / 9.0
                    out[i, at + 2] = dx / 9.0
                    out[i, at + 3] = dy / 9.0
                    out[i, at + 4] = hp[j] / health[j]
                    more = at + 5
                    if has_shield:
                        out[i, more] = shield[j] / shields[j]
                        more += 1
                    for b in range(width):
                        out[i, more + b] = bits[j, b]
                at += 5 + (1 if has_shield else 0) + width
        out[i, at] = hp[i] / health[i]
        at += 1
        if ally_shield:
            out[i, at] = shield[i] / shields[i]
            at += 1
        for b in range(width):
            out[i, at + b] = bits[i, b]


def states(
    allies,
    x,
    y,
    hp,
    shield,
    energy,
    cooldown,
    health,
    shields,
    bits,
    heals,
    longest,
    last,
    ally_shield,
    enemy_shield,
    out,
):
    """The global state of one battle into `out`, without and then with the last actions `last` [A]
    (-1 before the first).
    """
    units, width = len(x), bits.shape[1]
    at = 0
    out[:] = 0.0
    for i in range(units):
        ally = i < allies
        has_shield = ally_shield if ally else enemy_shield
        size = (4 if ally else 3) + (1 if has_shield else 0) + width
        if hp[i] > 0:
            out[at] = hp[i] / health[i]
            more = at + 1
            if ally:
                out[more] = (energy[i] if heals[i] else cooldown[i]) / longest[i]
                more += 1
            out[more] = (x[i] - 16.0) / 32.0
            out[more + 1] = (y[i] - 16.0) / 32.0
            more += 2
            if has_shield:
                out[more] = shield[i] / shields[i]
                more += 1
            for b in range(width):
                out[more + b] = bits[i, b]
        at += size
    actions = 6 + units - allies
    for i in range(allies):
        if last[i] >= 0:
            out[at + last[i]] = 1.0
        at += actions
