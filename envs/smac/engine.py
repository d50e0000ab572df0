"""The engine of the battles: one game loop in six steps, compiled by numba.

In every loop enemies `choose` their targets, units `walk`, crowds `separate`, units `recover` from
their last attack, attacks `strike` together, and Medivacs `heal`. Units are numbered allies first.
An order is STAND, MOVE to the goal, or ATTACK (a Medivac: heal) the target; times are in loops.

Units are structured arrays, one record a unit: with named tuples of arrays numba counts references
in every access, is ten times as slow and compiles for 25 seconds.

numba keeps what it has compiled in `__pycache__`, or in NUMBA_CACHE_DIR, or, where the package's
folder cannot be written, in the user's cache folder. It notices a change of the function's file and
of no other, so compiled functions use nothing from other files, constants included.

Axes: B battles, U units.
"""

import math
import warnings
from typing import NamedTuple

import numpy as np
from numba import njit

STAND = 0
MOVE = 1
ATTACK = 2
HEAL_SCAN = 6.0  # in which an enemy Medivac looks for patients, centre to centre
EAST = 31.999  # easternmost place of a unit
CROWD_ROUNDS = 8  # at most, of pushing apart in a loop
YIELD_STANDING = 0.25  # share of an overlap that a standing unit gives way, if the other moves
TINY = 1e-9
FAST = 1e9
OUTSIDE_LOOPS = np.uint64(2**40)  # takes the loop's place in random numbers of a whole episode

# Splitmix64 (Steele et al., 2014)
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
MIX_2 = np.uint64(0x94D049BB133111EB)
SHIFT_1 = np.uint64(30)
SHIFT_2 = np.uint64(27)
SHIFT_3 = np.uint64(31)
SHIFT_FLOAT = np.uint64(11)  # 53 bits are left, a double's
ONE = np.uint64(1)

UNIT = np.dtype(  # what changes in a battle
    [
        ("x", float),
        ("y", float),
        ("hp", float),
        ("shield", float),
        ("energy", float),  # of a Medivac
        ("cooldown", float),  # loops until the next attack may begin
        ("goal_x", float),
        ("goal_y", float),
        ("windup", float),  # loops until the attack that has begun lands
        ("second", float),  # loops until its second hit does
        ("dealt", float),  # damage taken since the step began, added up (gross)
        ("since", np.int64),  # loops since the last hit taken
        ("order", np.int64),  # STAND, MOVE or ATTACK
        ("target", np.int64),  # index of a unit, -1 for none
        ("second_target", np.int64),  # whom the second hit is for
        ("step_x", float),  # the rest is of the present loop: where it walks
        ("step_y", float),
        ("moves", bool),
        ("hits", bool),  # whether its attack lands
        ("hits_again", bool),  # whether the second hit of an attack does
    ],
    align=True,
)
TRAITS = np.dtype(  # what a unit of a map is like
    [
        ("health", float),  # at the start, and at most
        ("shield", float),
        ("armor", float),
        ("hits", float),  # of one attack
        ("period", float),  # loops between attacks
        ("windup", float),  # loops from taking aim to the hit
        ("second", float),  # loops between both hits
        ("reach", float),  # of attacks or of healing, edge to edge
        ("scan", float),  # in which an enemy sees targets, edge to edge
        ("speed", float),  # a loop
        ("radius", float),  # of the body
        ("separation", float),  # of what others cannot enter
        ("max_cooldown", float),  # what the state divides cooldowns (a Medivac's energy) by
        ("air", bool),
        ("heals", bool),
    ],
    align=True,
)
PAIR = np.dtype(  # what a unit can do to another
    [
        ("damage", float),  # of one hit, before armor
        ("can_hit", bool),  # or heal
    ],
    align=True,
)


class Rules(NamedTuple):
    """What holds for everybody on a map under a profile.

    Attributes:
        allies: their number.
        delay_low, delay_high: bounds of the random delay of every attack, in loops.
        slop: extra reach of an attack that has begun.
        least_damage: that armor leaves of a hit.
        heal: hit points a loop; energy_per_health: what each of them costs.
        energy_rate: a loop; energy_least: to begin healing; energy_most: at most.
        shield_rate: a loop, beginning shield_delay loops after the last hit taken.
        point_x, point_y: where enemies without a target walk to.
        low, high: least and largest y.
    """

    allies: int
    delay_low: float
    delay_high: float
    slop: float
    least_damage: float
    heal: float
    energy_per_health: float
    energy_rate: float
    energy_least: float
    energy_most: float
    shield_rate: float
    shield_delay: float
    point_x: float
    point_y: float
    low: float
    high: float


class Moment(NamedTuple):
    """What a random number depends on beside its purpose, all uint64."""

    key: np.uint64
    episode: np.uint64
    loop: np.uint64


def compiled(function):
    """The function compiled by numba at its first call, and kept on disk where that can be."""
    try:
        return njit(cache=True, error_model="numpy", forceinline=True)(function)
    except RuntimeError as error:  # nowhere to write
        warnings.warn(f"battles are compiled again in every process: {error}", stacklevel=2)
        return njit(function)


@compiled
def mixed(number):
    """Splitmix64's finaliser."""
    number = (number ^ (number >> SHIFT_1)) * MIX_1
    number = (number ^ (number >> SHIFT_2)) * MIX_2
    return number ^ (number >> SHIFT_3)


@compiled
def chance(moment, purpose):
    """A number in [0, 1) of a moment and a purpose (uint64): no generator has a state."""
    number = mixed(moment.key + GOLDEN)
    number = mixed(number + GOLDEN * (moment.episode + ONE))
    number = mixed(number + GOLDEN * (moment.loop + ONE))
    number = mixed(number + GOLDEN * (purpose + ONE))
    return float(number >> SHIFT_FLOAT) * (1.0 / 9007199254740992.0)


@compiled
def battle_keys(seed, first, count):
    """[count] uint64 keys of the battles of a seed, numbered from `first`."""
    keys = np.empty(count, np.uint64)
    for b in range(count):
        keys[b] = mixed(mixed(np.uint64(seed) + ONE) + np.uint64(first + b))
    return keys


@compiled
def episode_chances(keys, episodes, purpose):
    """[B] numbers in [0, 1) of episodes [B], not of any loop."""
    numbers = np.empty(len(keys))
    for b in range(len(keys)):
        moment = Moment(keys[b], np.uint64(episodes[b]), OUTSIDE_LOOPS)
        numbers[b] = chance(moment, np.uint64(purpose))
    return numbers


@compiled
def distance(units, i, j):
    """From centre to centre."""
    dx = units[j].x - units[i].x
    dy = units[j].y - units[i].y
    return math.sqrt(dx * dx + dy * dy)


@compiled
def gap(units, traits, i, j):
    """From edge to edge."""
    return distance(units, i, j) - traits[i].radius - traits[j].radius


@compiled
def within(units, traits, i, j, slack):
    """Whether unit j (-1 for none) lives and i reaches it."""
    return j >= 0 and units[j].hp > 0 and gap(units, traits, i, j) <= traits[i].reach + slack


@compiled
def weakest(units, traits, pairs, rules, i):
    """Whom the enemy Medivac i heals next: who has lost most, as a share; -1 for nobody."""
    best = -1
    lowest = 1.0 - TINY
    if units[i].energy < rules.energy_least:
        return best
    for j in range(rules.allies, len(units)):
        if units[j].hp <= 0 or not pairs[i, j].can_hit:
            continue
        share = units[j].hp / traits[j].health
        if share < lowest and distance(units, i, j) <= HEAL_SCAN:
            best = j
            lowest = share
    return best


@compiled
def nearest(units, traits, pairs, rules, i):
    """Whom the enemy i attacks next: the nearest ally in its scan range; -1 for nobody."""
    best = -1
    shortest = traits[i].scan
    for j in range(rules.allies):
        if units[j].hp <= 0 or not pairs[i, j].can_hit:
            continue
        length = gap(units, traits, i, j)
        if length < shortest or (best < 0 and length == shortest):
            best = j
            shortest = length
    return best


@compiled
def choose(units, traits, pairs, rules):
    """Enemies choose: a target is kept while it can be reached, a patient while it is hurt."""
    for i in range(rules.allies, len(units)):
        unit = units[i]
        j = unit.target
        if unit.hp <= 0 or unit.windup > 0:
            continue
        if traits[i].heals:
            hurt = j >= 0 and units[j].hp > 0 and units[j].hp < traits[j].health
            if hurt and unit.energy > 0:
                continue
            chosen = weakest(units, traits, pairs, rules, i)
        else:
            if within(units, traits, i, j, 0.0):
                continue
            chosen = nearest(units, traits, pairs, rules, i)
        unit.target = chosen
        unit.order = ATTACK if chosen >= 0 else MOVE
        unit.goal_x = rules.point_x
        unit.goal_y = rules.point_y


@compiled
def slowest_enemy(units, traits, rules):
    """Speed of the slowest enemy that fights: Medivacs do not walk ahead of it."""
    slowest = FAST
    for i in range(rules.allies, len(units)):
        if units[i].hp > 0 and not traits[i].heals:
            slowest = min(slowest, traits[i].speed)
    return slowest


@compiled
def walk(units, traits, rules):
    """Units step towards their goal, or as far towards their target as it takes to reach it."""
    slowest = slowest_enemy(units, traits, rules)
    for i in range(len(units)):
        unit = units[i]
        unit.moves = False
        j = unit.target
        if unit.hp <= 0 or unit.windup > 0:
            continue
        pace = traits[i].speed
        if unit.order == MOVE:
            dx = unit.goal_x - unit.x
            dy = unit.goal_y - unit.y
            length = math.sqrt(dx * dx + dy * dy)
            way = length
            if traits[i].heals and i >= rules.allies:
                pace = min(pace, slowest)
        elif unit.order == ATTACK and j >= 0 and units[j].hp > 0:
            dx = units[j].x - unit.x
            dy = units[j].y - unit.y
            length = math.sqrt(dx * dx + dy * dy)
            way = length - traits[i].radius - traits[j].radius - traits[i].reach
        else:
            continue
        if way > TINY and length > 0:
            pace = min(pace, way)
            unit.step_x = dx / length * pace
            unit.step_y = dy / length * pace
            unit.moves = True
    for i in range(len(units)):  # all at once
        unit = units[i]
        if unit.moves:
            unit.x += unit.step_x
            unit.y += unit.step_y


@compiled
def push_apart(one, other, dx, dy, overlap):
    """Moves two units apart by their overlap, along (dx, dy); who stands gives way less."""
    share = 0.5
    if one.moves and not other.moves:
        share = 1.0 - YIELD_STANDING
    elif other.moves and not one.moves:
        share = YIELD_STANDING
    one.x -= share * overlap * dx
    one.y -= share * overlap * dy
    other.x += (1.0 - share) * overlap * dx
    other.y += (1.0 - share) * overlap * dy


@compiled
def separate(units, traits, rules):
    """Nobody stands in another of its plane, or outside of the map: pairs are pushed apart, for a
    few rounds in crowds.
    """
    count = len(units)
    for _ in range(CROWD_ROUNDS):
        crowded = False
        for i in range(count):
            if units[i].hp <= 0:
                continue
            for j in range(i + 1, count):
                if units[j].hp <= 0 or traits[i].air != traits[j].air:
                    continue
                dx = units[j].x - units[i].x
                dy = units[j].y - units[i].y
                least = traits[i].separation + traits[j].separation
                square = dx * dx + dy * dy
                if square > 1.001 * least * least:  # most pairs: spares the root
                    continue
                length = math.sqrt(square)
                overlap = least - length
                if overlap <= 0:
                    continue
                crowded = True
                if length > TINY:
                    push_apart(units[i], units[j], dx / length, dy / length, overlap)
                else:  # one on the other: along an axis
                    east = float((i + j + 1) % 2)
                    push_apart(units[i], units[j], east, 1.0 - east, overlap)
        if not crowded:
            break
    for i in range(count):
        unit = units[i]
        unit.x = min(max(unit.x, 0.0), EAST)
        unit.y = min(max(unit.y, rules.low), rules.high)


@compiled
def recover(units, traits, rules):
    """Time passes: weapons cool down, shields and energy grow again."""
    for i in range(len(units)):
        unit = units[i]
        if unit.hp <= 0:
            continue
        unit.cooldown = unit.cooldown - 1.0 if unit.cooldown > 0 else 0.0
        unit.since += 1
        if unit.since > rules.shield_delay and unit.shield < traits[i].shield:
            unit.shield = min(traits[i].shield, unit.shield + rules.shield_rate)
        if traits[i].heals:
            unit.energy = min(rules.energy_most, unit.energy + rules.energy_rate)


@compiled
def attack_lands(units, traits, pairs, rules, moment, i):
    """Whether unit i's attack lands in this loop: one that had begun, or one that begins now and
    needs no time.
    """
    unit = units[i]
    j = unit.target
    if unit.windup > 0:
        unit.windup -= 1.0
        if unit.windup > 0:
            return False
        unit.windup = 0.0
        return within(units, traits, i, j, rules.slop)
    if unit.order != ATTACK or unit.cooldown > 0:
        return False
    if not within(units, traits, i, j, TINY) or not pairs[i, j].can_hit:
        return False
    spread = rules.delay_high - rules.delay_low
    delay = traits[i].period + rules.delay_low + spread * chance(moment, np.uint64(i))
    unit.cooldown += delay
    unit.windup = traits[i].windup
    return traits[i].windup <= 0


@compiled
def second_lands(units, traits, rules, i):
    """Whether the second hit of unit i's last attack lands in this loop."""
    unit = units[i]
    if unit.second <= 0:
        return False
    unit.second -= 1.0
    if unit.second > 0:
        return False
    unit.second = 0.0
    return within(units, traits, i, unit.second_target, rules.slop)


@compiled
def hit(units, traits, pairs, rules, i, j, times):
    """Unit j takes hits of i: the shield first, armor counts for what is left of each."""
    victim = units[j]
    amount = pairs[i, j].damage
    for _ in range(times):
        taken = min(victim.shield, amount)
        victim.shield -= taken
        if amount > taken:
            loss = max(rules.least_damage, amount - taken - traits[j].armor)
            victim.hp -= loss
            taken += loss
        victim.dealt += taken
    victim.since = 0


@compiled
def strike(units, traits, pairs, rules, moment):
    """Attacks begin, and those that land do so together: who dies in this loop still strikes."""
    for i in range(len(units)):
        unit = units[i]
        fights = unit.hp > 0 and not traits[i].heals
        unit.hits_again = fights and second_lands(units, traits, rules, i)
        unit.hits = fights and attack_lands(units, traits, pairs, rules, moment, i)
    for i in range(len(units)):
        unit = units[i]
        if unit.hits:
            later = traits[i].second > 0
            if later and traits[i].hits > 1:
                unit.second = traits[i].second
                unit.second_target = unit.target
            hit(units, traits, pairs, rules, i, unit.target, 1 if later else int(traits[i].hits))
        if unit.hits_again:
            hit(units, traits, pairs, rules, i, unit.second_target, 1)


@compiled
def heal(units, traits, rules):
    """Medivacs heal, as far as their energy goes. Then who has no hit points left is dead."""
    for i in range(len(units)):
        unit = units[i]
        j = unit.target
        if not traits[i].heals or unit.hp <= 0 or unit.order != ATTACK:
            continue
        if unit.energy <= 0 or not within(units, traits, i, j, TINY):
            continue
        missing = traits[j].health - units[j].hp
        if missing <= 0:
            continue
        amount = min(min(rules.heal, missing), unit.energy / rules.energy_per_health)
        units[j].hp += amount
        unit.energy -= rules.energy_per_health * amount
    for i in range(len(units)):
        unit = units[i]
        if unit.hp <= 0:
            unit.hp = 0.0
            unit.shield = 0.0
            unit.windup = 0.0
            unit.second = 0.0


@compiled
def run_loop(units, traits, pairs, rules, moment):
    """One game loop of one battle.

    Args:
        units, traits: [U] of UNIT and TRAITS.
        pairs: [U, U] of PAIR, of unit i to unit j.
    """
    choose(units, traits, pairs, rules)
    walk(units, traits, rules)
    separate(units, traits, rules)
    recover(units, traits, rules)
    strike(units, traits, pairs, rules, moment)
    heal(units, traits, rules)


@compiled
def run(battles, traits, pairs, rules, which, loops, keys, episodes, steps):
    """`loops` game loops of the battles `which`, one battle after the other.

    Args:
        battles: [B, U] of UNIT.
        keys, episodes, steps: [B], see `core.Battles`.
    """
    for b in which:
        units = battles[b]
        for loop in range(loops):
            clock = np.uint64(steps[b] * loops + loop)
            moment = Moment(keys[b], np.uint64(episodes[b]), clock)
            run_loop(units, traits, pairs, rules, moment)
