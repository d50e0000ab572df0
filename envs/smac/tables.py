"""Per-unit constants of a map as arrays, and where units start. What both backends of the
simulation read.
"""

from dataclasses import dataclass

import numpy as np

from envs.smac.units import (
    ALLY_SPAWN,
    ARMORED,
    ENEMY_SPAWN,
    LOOPS_PER_SECOND,
    STRIP,
    Map,
    Profile,
    battle_map,
    profile,
)

SCAN = 5.0  # least range in which enemies notice somebody, edge to edge
HEAL_SCAN = 6.0  # of an enemy Medivac, centre to centre
SIGHT, SHOOT = 9.0, 6.0  # SMAC's ranges for every type, centre to centre
SPACING = 1.0  # of units at the start
EDGE = 1e-3  # how far inside the border units are kept


@dataclass(frozen=True)
class Tables:
    """A map under a profile. U units, allies first; [U] arrays are float64 unless said otherwise.

    Attributes:
        damage: [U, U] of one hit of i on j, before armor; can_hit: [U, U] bool, also which allies i
            can heal.
        period, windup, second: in loops; speed: a loop; hits: number of hits of an attack.
        scan: range in which an enemy acquires targets, edge to edge.
        bits: [U, T] type one-hots, T may be 0; start_x, start_y: before jitter.
    """

    scenario: Map
    rules: Profile
    allies: int
    units: int
    health: np.ndarray
    shield: np.ndarray
    armor: np.ndarray
    damage: np.ndarray
    can_hit: np.ndarray
    hits: np.ndarray
    period: np.ndarray
    windup: np.ndarray
    second: np.ndarray
    reach: np.ndarray
    scan: np.ndarray
    speed: np.ndarray
    radius: np.ndarray
    separation: np.ndarray
    air: np.ndarray
    heals: np.ndarray
    max_cooldown: np.ndarray
    bits: np.ndarray
    start_x: np.ndarray
    start_y: np.ndarray
    low: float
    high: float

    @property
    def enemies(self) -> int:
        return self.units - self.allies

    @property
    def ally_shield(self) -> bool:
        """Whether allies' rows have a shield column."""
        return bool(self.shield[: self.allies].any())

    @property
    def enemy_shield(self) -> bool:
        """Whether enemies' rows have a shield column."""
        return bool(self.shield[self.allies :].any())

    @property
    def actions(self) -> int:
        return 6 + self.enemies

    @property
    def obs_dim(self) -> int:
        bits, a, e = self.bits.shape[1], int(self.ally_shield), int(self.enemy_shield)
        return 4 + self.enemies * (5 + e + bits) + (self.allies - 1) * (5 + a + bits) + 1 + a + bits

    @property
    def state_dim(self) -> int:
        bits, a, e = self.bits.shape[1], int(self.ally_shield), int(self.enemy_shield)
        return (
            self.allies * (4 + a + bits)
            + self.enemies * (3 + e + bits)
            + self.allies * self.actions
        )

    @property
    def max_reward(self) -> float:
        """What a full win gives before scaling to 20."""
        enemies = slice(self.allies, None)
        return 10 * self.enemies + 200 + float((self.health + self.shield)[enemies].sum())


def packed(count: int) -> np.ndarray:
    """[count, 2] offsets of a compact hexagonal packing, the first at the centre, then outwards."""
    points = []
    for row in range(-4, 5):
        for column in range(-4, 5):
            points.append((SPACING * (column + 0.5 * (row % 2)), SPACING * row * 3**0.5 / 2))
    points.sort(key=lambda p: (round(p[0] ** 2 + p[1] ** 2, 6), p[1], p[0]))
    return np.array(points[:count])


SPAWN_ORDER = ("stalker", "zealot", "marine", "marauder", "medivac")  # of the map scripts


def starts(kinds: tuple[str, ...], centre: tuple[float, float], mirror: bool) -> np.ndarray:
    """[n, 2] start positions: slots are taken in the script's order of types; within a type ids go
    by x, then y.
    """
    order = sorted(range(len(kinds)), key=lambda i: (SPAWN_ORDER.index(kinds[i]), i))
    slots = packed(len(kinds)) * (np.array([-1.0, 1.0]) if mirror else 1.0)
    places = np.empty((len(kinds), 2))
    places[order] = slots
    for kind in dict.fromkeys(kinds):
        mine = [i for i in range(len(kinds)) if kinds[i] == kind]
        places[mine] = sorted(places[mine].tolist())
    return places + np.array(centre)


def tables(name: str, dynamics: str = "sc2") -> Tables:
    """The constants of a map under a profile."""
    scenario, rules = battle_map(name), profile(dynamics)
    kinds = scenario.allies + scenario.enemies
    types = [rules.units[kind] for kind in kinds]
    count = len(types)
    damage, can_hit = np.zeros((count, count)), np.zeros((count, count), bool)
    side = np.arange(count) < len(scenario.allies)
    for i, mine in enumerate(types):
        for j, other in enumerate(types):
            if mine.heals:
                can_hit[i, j] = side[i] == side[j] and not other.heals and other.biological
            else:
                can_hit[i, j] = side[i] != side[j] and (mine.hits_air or not other.air)
                damage[i, j] = mine.damage + (mine.bonus if other.kind == ARMORED else 0)
    bits = np.zeros((count, len(scenario.ally_bits)))
    for i, kind in enumerate(kinds):
        if scenario.ally_bits:
            bits[i, (scenario.ally_bits if side[i] else scenario.enemy_bits).index(kind)] = 1
    places = np.concatenate(
        [starts(scenario.allies, ALLY_SPAWN, False), starts(scenario.enemies, ENEMY_SPAWN, True)]
    )

    def column(read) -> np.ndarray:
        return np.array([read(kind) for kind in types], float)

    return Tables(
        scenario, rules, len(scenario.allies), count, column(lambda t: t.health), column(lambda t: t.shield),
        column(lambda t: t.armor), damage, can_hit, column(lambda t: t.hits), column(lambda t: t.period * LOOPS_PER_SECOND),
        column(lambda t: t.windup * LOOPS_PER_SECOND), column(lambda t: t.second_hit * LOOPS_PER_SECOND),
        column(lambda t: t.reach), column(lambda t: max(SCAN, t.reach)), column(lambda t: t.speed / LOOPS_PER_SECOND),
        column(lambda t: t.radius), column(lambda t: t.separation), column(lambda t: t.air).astype(bool),
        column(lambda t: t.heals).astype(bool), column(lambda t: t.max_cooldown),
        bits, places[:, 0].copy(), places[:, 1].copy(), *((STRIP[0], STRIP[1] - EDGE) if scenario.strip else (0.0, 32.0 - EDGE)),
    )  # fmt: skip
