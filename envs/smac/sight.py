"""What a battle's agents may do and see, and its global state, in SMAC's order of features.

Compiled by numba, see engine.py: these functions use nothing from there but the layout of records,
which numba checks.

Axes: B battles, A allies (the agents), E enemies, U = A + E units, T types of a side.
"""

import math
from typing import NamedTuple

from envs.smac.engine import compiled

FIRST_ATTACK = 6  # action: 0 none, 1 stop, 2 to 5 north, south, east, west, then attacks
SIGHT = 9.0  # SMAC's ranges for every type, centre to centre
SHOOT = 6.0
GRID = 32


class Layout(NamedTuple):
    """What observations of a map depend on beside its units.

    Attributes:
        allies: A.
        low, high: rows of the grid that may be walked on.
        ally_shield, enemy_shield: whether rows about that side have a shield column.
    """

    allies: int
    low: float
    high: float
    ally_shield: bool
    enemy_shield: bool


@compiled
def pathable(layout, x, y):
    """Whether a point's cell of the grid may be walked on; coordinates are truncated towards zero,
    as SMAC does.
    """
    column = int(x)
    row = int(y)
    return 0 <= column < GRID and 0 <= row < GRID and layout.low <= row and row < layout.high


@compiled
def distance(units, i, j):
    """From centre to centre."""
    dx = units[j].x - units[i].x
    dy = units[j].y - units[i].y
    return math.sqrt(dx * dx + dy * dy)


@compiled
def allow(units, traits, layout, i, mask):
    """What ally i may do into `mask` [6 + E]: nothing when dead, else stop, walk or attack."""
    unit = units[i]
    mask[:] = False
    if unit.hp <= 0:
        mask[0] = True
        return
    mask[1] = True
    mask[2] = pathable(layout, unit.x, unit.y + 1.0)
    mask[3] = pathable(layout, unit.x, unit.y - 1.0)
    mask[4] = pathable(layout, unit.x + 1.0, unit.y)
    mask[5] = pathable(layout, unit.x - 1.0, unit.y)
    for k in range(len(mask) - FIRST_ATTACK):
        j = layout.allies + k
        if traits[i].heals:
            j = k
            if k >= layout.allies or traits[k].heals:
                continue
        mask[FIRST_ATTACK + k] = units[j].hp > 0 and distance(units, i, j) <= SHOOT


@compiled
def available_actions(battles, traits, layout, masks):
    """Action masks into `masks` [B, A, 6 + E] bool; battles [B, U] of UNIT."""
    for b in range(len(masks)):
        units = battles[b]
        for i in range(layout.allies):
            allow(units, traits, layout, i, masks[b, i])


@compiled
def write_type(row, at, units, traits, bits, j, shielded):
    """Unit j's shield, if rows about its side have one, and type into `row` from index `at`."""
    if shielded:
        row[at] = units[j].shield / traits[j].shield
        at += 1
    for bit in range(bits.shape[1]):
        row[at + bit] = bits[j, bit]


@compiled
def write_seen(row, at, units, traits, bits, layout, i, j, mask):
    """What ally i, who may do `mask`, sees of unit j into `row` from index `at`."""
    unit = units[j]
    length = distance(units, i, j)
    if unit.hp <= 0 or length >= SIGHT:
        return
    ally = j < layout.allies
    row[at] = 1.0 if ally or mask[FIRST_ATTACK + j - layout.allies] else 0.0
    row[at + 1] = length / SIGHT
    row[at + 2] = (unit.x - units[i].x) / SIGHT
    row[at + 3] = (unit.y - units[i].y) / SIGHT
    row[at + 4] = unit.hp / traits[j].health
    shielded = layout.ally_shield if ally else layout.enemy_shield
    write_type(row, at + 5, units, traits, bits, j, shielded)


@compiled
def observe(units, traits, bits, layout, i, mask, row):
    """What ally i sees into `row` [O]: where it can go, enemies, allies, itself."""
    row[:] = 0.0
    if units[i].hp <= 0:
        return
    for move in range(4):
        row[move] = mask[2 + move]
    enemy_width = 5 + int(layout.enemy_shield) + bits.shape[1]
    ally_width = 5 + int(layout.ally_shield) + bits.shape[1]
    start = 4 + (len(units) - layout.allies) * enemy_width  # of what is said about allies
    for j in range(layout.allies, len(units)):
        at = 4 + (j - layout.allies) * enemy_width
        write_seen(row, at, units, traits, bits, layout, i, j, mask)
    for j in range(layout.allies):
        if j != i:
            at = start + (j - int(j > i)) * ally_width
            write_seen(row, at, units, traits, bits, layout, i, j, mask)
    at = start + (layout.allies - 1) * ally_width
    row[at] = units[i].hp / traits[i].health
    write_type(row, at + 1, units, traits, bits, i, layout.ally_shield)


@compiled
def observations(battles, traits, bits, layout, masks, rows):
    """Observations into `rows` [B, A, O], given masks [B, A, 6 + E]."""
    for b in range(len(rows)):
        units = battles[b]
        for i in range(layout.allies):
            observe(units, traits, bits, layout, i, masks[b, i], rows[b, i])


@compiled
def describe(units, traits, bits, layout, last, row):
    """A battle's global state into `row`: allies, enemies, and allies' last actions [A]."""
    row[:] = 0.0
    at = 0
    for i in range(len(units)):
        unit = units[i]
        ally = i < layout.allies
        shielded = layout.ally_shield if ally else layout.enemy_shield
        place = at + (2 if ally else 1)
        if unit.hp > 0:
            row[at] = unit.hp / traits[i].health
            if ally:
                waits = unit.energy if traits[i].heals else unit.cooldown
                row[at + 1] = waits / traits[i].max_cooldown
            row[place] = (unit.x - 16.0) / 32.0
            row[place + 1] = (unit.y - 16.0) / 32.0
            write_type(row, place + 2, units, traits, bits, i, shielded)
        at = place + 2 + int(shielded) + bits.shape[1]
    actions = FIRST_ATTACK + len(units) - layout.allies
    for i in range(layout.allies):
        if last[i] >= 0:  # -1 before the first
            row[at + last[i]] = 1.0
        at += actions


@compiled
def states(battles, traits, bits, layout, last, rows):
    """Global states into `rows` [B, D]; `last` [B, A] actions."""
    for b in range(len(rows)):
        describe(battles[b], traits, bits, layout, last[b], rows[b])
