"""What a map's units are like under a profile, as the engine's arrays, and where they start."""

from dataclasses import dataclass

import numpy as np

from envs.smac.engine import PAIR, TRAITS, Rules
from envs.smac.sight import FIRST_ATTACK, GRID, Layout
from envs.smac.units import (
    ALLY_SPAWN,
    ARMORED,
    ENEMY_SPAWN,
    LOOPS_PER_SECOND,
    STRIP,
    Map,
    Profile,
    UnitType,
    battle_map,
    profile,
)

SCAN = 5.0  # least range in which enemies notice somebody, edge to edge
SPACING = 1.0  # of units at the start
EDGE = 1e-3  # how far inside the border units are kept
SPAWN_ORDER = ("stalker", "zealot", "marine", "marauder", "medivac")  # of the map scripts


@dataclass(frozen=True)
class Tables:
    """A map under a profile. U units, allies first.

    Attributes:
        traits: [U] of engine.TRAITS; pairs: [U, U] of engine.PAIR, of unit i to unit j.
        bits: [U, T] one-hot of the type, T may be 0.
        start_x, start_y: [U], before jitter.
    """

    scenario: Map
    profile: Profile
    traits: np.ndarray
    pairs: np.ndarray
    bits: np.ndarray
    rules: Rules
    layout: Layout
    start_x: np.ndarray
    start_y: np.ndarray

    @property
    def units(self) -> int:
        return len(self.traits)

    @property
    def allies(self) -> int:
        return self.rules.allies

    @property
    def enemies(self) -> int:
        return self.units - self.allies

    @property
    def actions(self) -> int:
        return FIRST_ATTACK + self.enemies

    @property
    def _widths(self) -> tuple[int, int]:
        """Numbers that say what an ally and an enemy are: their shield, their type."""
        types = self.bits.shape[1]
        return types + int(self.layout.ally_shield), types + int(self.layout.enemy_shield)

    @property
    def obs_dim(self) -> int:
        ally, enemy = self._widths
        return 4 + self.enemies * (5 + enemy) + (self.allies - 1) * (5 + ally) + 1 + ally

    @property
    def state_dim(self) -> int:
        ally, enemy = self._widths
        return self.allies * (4 + ally + self.actions) + self.enemies * (3 + enemy)

    @property
    def max_reward(self) -> float:
        """What a full win gives before scaling to 20."""
        life = (self.traits["health"] + self.traits["shield"])[self.allies :]
        return 10 * self.enemies + 200 + float(life.sum())


def packed(count: int) -> np.ndarray:
    """[count, 2] offsets of a compact hexagonal packing, the first at the centre, then outwards."""
    points = []
    for row in range(-4, 5):
        for column in range(-4, 5):
            points.append((SPACING * (column + 0.5 * (row % 2)), SPACING * row * 3**0.5 / 2))
    points.sort(key=lambda p: (round(p[0] ** 2 + p[1] ** 2, 6), p[1], p[0]))
    return np.array(points[:count])


def starts(kinds: tuple[str, ...], centre: tuple[float, float], mirror: bool) -> np.ndarray:
    """[n, 2] start positions: slots are taken in the script's order of types; within a type ids go
    by x, then y.
    """
    order = sorted(range(len(kinds)), key=lambda i: (SPAWN_ORDER.index(kinds[i]), i))
    slots = packed(len(kinds)) * (np.array([-1.0, 1.0]) if mirror else 1.0)
    places = np.empty((len(kinds), 2))
    places[order] = slots
    for kind in dict.fromkeys(kinds):
        same_kind = [i for i in range(len(kinds)) if kinds[i] == kind]
        places[same_kind] = sorted(places[same_kind].tolist())
    return places + np.array(centre)


def traits_of(types: list[UnitType]) -> np.ndarray:
    """[U] of TRAITS, times in loops."""
    traits = np.zeros(len(types), TRAITS)
    for name in ("health", "shield", "armor", "hits", "reach", "radius", "separation"):
        traits[name] = [getattr(unit, name) for unit in types]
    for name in ("max_cooldown", "air", "heals"):
        traits[name] = [getattr(unit, name) for unit in types]
    traits["period"] = [unit.period * LOOPS_PER_SECOND for unit in types]
    traits["windup"] = [unit.windup * LOOPS_PER_SECOND for unit in types]
    traits["second"] = [unit.second_hit * LOOPS_PER_SECOND for unit in types]
    traits["scan"] = [max(SCAN, unit.reach) for unit in types]
    traits["speed"] = [unit.speed / LOOPS_PER_SECOND for unit in types]
    return traits


def pairs_of(types: list[UnitType], allies: int) -> np.ndarray:
    """[U, U] of PAIR: Medivacs can heal who lives of their side, others attack the other side."""
    pairs = np.zeros((len(types), len(types)), PAIR)
    for i, unit in enumerate(types):
        for j, other in enumerate(types):
            friends = (i < allies) == (j < allies)
            if unit.heals:
                pairs[i, j]["can_hit"] = friends and not other.heals and other.biological
            else:
                bonus = unit.bonus if other.kind == ARMORED else 0
                pairs[i, j]["can_hit"] = not friends and (unit.hits_air or not other.air)
                pairs[i, j]["damage"] = unit.damage + bonus
    return pairs


def bits_of(scenario: Map) -> np.ndarray:
    """[U, T] one-hot of every unit's type, in the order of its side."""
    sides = ((scenario.allies, scenario.ally_bits), (scenario.enemies, scenario.enemy_bits))
    rows = [[float(kind == bit) for bit in bits] for kinds, bits in sides for kind in kinds]
    return np.array(rows)


def rules_of(scenario: Map, of: Profile) -> Rules:
    """A profile's rules on a map, in loops."""
    low, high = STRIP if scenario.strip else (0.0, float(GRID))
    return Rules(
        allies=len(scenario.allies),
        delay_low=of.delay[0],
        delay_high=of.delay[1],
        slop=of.slop,
        least_damage=of.least_damage,
        heal=of.heal / LOOPS_PER_SECOND,
        energy_per_health=of.energy_per_health,
        energy_rate=of.energy_rate / LOOPS_PER_SECOND,
        energy_least=of.energy_least,
        energy_most=of.energy_most,
        shield_rate=of.shield_rate / LOOPS_PER_SECOND,
        shield_delay=of.shield_delay * LOOPS_PER_SECOND,
        point_x=ALLY_SPAWN[0],
        point_y=ALLY_SPAWN[1],
        low=low,
        high=high - EDGE,
    )


def tables(name: str, dynamics: str = "sc2") -> Tables:
    """The constants of a map under a profile."""
    scenario = battle_map(name)
    of = profile(dynamics)
    types = [of.units[kind] for kind in scenario.allies + scenario.enemies]
    allies = len(scenario.allies)
    shields = [unit.shield > 0 for unit in types]
    rules = rules_of(scenario, of)
    layout = Layout(allies, rules.low, rules.high, any(shields[:allies]), any(shields[allies:]))
    west = starts(scenario.allies, ALLY_SPAWN, mirror=False)
    east = starts(scenario.enemies, ENEMY_SPAWN, mirror=True)
    start_x, start_y = np.ascontiguousarray(np.concatenate([west, east]).T)
    return Tables(
        scenario=scenario,
        profile=of,
        traits=traits_of(types),
        pairs=pairs_of(types, allies),
        bits=bits_of(scenario),
        rules=rules,
        layout=layout,
        start_x=start_x,
        start_y=start_y,
    )
