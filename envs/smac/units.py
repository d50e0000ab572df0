"""Unit types and maps of the built-in StarCraft-like battles: all numbers in one place.

Three profiles. "sc2" has the unit data of the real SMAC maps (the Liberty catalogue, the same in
builds 4.6.2 and 4.10). "sc2-at-once" is the same without the enemies' head start. "smaclite" has
the unit data of SMAClite (Michalski et al., 2023), whose units move and shoot 1.4 times as fast for
a step.

Times are in game seconds of 16 loops; one environment step is 8 loops.
"""

from dataclasses import dataclass, replace
from typing import Any

VERSION = 2  # raise it when a change alters battles
FAMILY = "SMAC-like, built-in simulator"  # what everything made with it must be called
LOOPS_PER_SECOND = 16
LOOPS_PER_STEP = 8
LIGHT = "light"
ARMORED = "armored"


@dataclass(frozen=True)
class UnitType:
    """One type of unit.

    Attributes:
        armor: taken off every hit's part that reaches hit points.
        damage, hits: of one attack; bonus: extra damage to armored targets, of every hit.
        period: seconds between attacks; reach: weapon range, or range of healing, from edge to
            edge.
        speed: distance a second; radius: of the body; separation: of what others cannot enter.
        windup: seconds between taking aim and the hit; second_hit: seconds between both hits.
        air: whether it flies; hits_air: whether it can attack what flies; heals: a Medivac.
        max_cooldown: what SMAC's state divides cooldowns by, in loops.
    """

    name: str
    health: float
    shield: float
    armor: float
    kind: str
    biological: bool
    damage: float
    bonus: float
    hits: int
    period: float
    reach: float
    speed: float
    radius: float
    separation: float
    windup: float = 0.0
    second_hit: float = 0.0
    air: bool = False
    hits_air: bool = False
    heals: bool = False
    max_cooldown: float = 1.0


SC2 = {
    unit.name: unit
    for unit in (  # health, shield, armor, kind, biological, damage, bonus, hits, period, ...
        UnitType("marine", 45, 0, 0, LIGHT, True, 6, 0, 1, 0.8608, 5, 2.25, 0.375, 0.375,
                 windup=0.05, hits_air=True, max_cooldown=15),
        UnitType("marauder", 125, 0, 1, ARMORED, True, 10, 10, 1, 1.5, 6, 2.25, 0.5625, 0.5,
                 max_cooldown=25),
        UnitType("medivac", 150, 0, 1, ARMORED, False, 0, 0, 0, 1.0, 4, 2.75, 0.75, 0.75,
                 air=True, heals=True, max_cooldown=200),
        UnitType("stalker", 80, 80, 1, ARMORED, False, 10, 4, 1, 1.44, 6, 2.9531, 0.625, 0.625,
                 windup=0.167, hits_air=True, max_cooldown=35),
        UnitType("zealot", 100, 50, 1, LIGHT, True, 8, 0, 2, 1.2, 0.1, 2.25, 0.5, 0.375,
                 second_hit=0.28, max_cooldown=22),
    )
}  # fmt: skip
FASTER: dict[str, dict[str, Any]] = {  # where SMAClite's units are different
    "marine": {"period": 0.61, "speed": 3.15, "windup": 0.0},
    "marauder": {"period": 1.07, "speed": 3.15},
    "medivac": {"speed": 3.5},
    "stalker": {"damage": 13, "bonus": 5, "period": 1.34, "speed": 4.13, "windup": 0.0},
    "zealot": {"period": 0.86, "speed": 3.15, "second_hit": 0.0},
}
SMACLITE = {name: replace(unit, **FASTER[name]) for name, unit in SC2.items()}


@dataclass(frozen=True)
class Profile:
    """Rules that differ between the sets of dynamics.

    Attributes:
        head_start: most loops that enemies walk before the agents' first decision; every episode
            draws its number of them, 0 included. In the maps' scripts the trigger that spawns the
            units also orders the attack, SMAC's restart then lets two loops pass, more where units
            are not there yet, and where the neighbours of the first unit stand is in no source:
            one spacing is four loops of walking towards each other. So how the first contact falls
            into the 8 loops between decisions is not known, and every phase is as likely.
        delay: least and most random delay of every attack's period, in loops.
        slop: extra reach of an attack that has begun.
        energy_per_health: of healing; heal: hit points a second; energy_rate: a second.
        gross_reward: damage counts as dealt instead of the net change of the enemies' health.
    """

    units: dict[str, UnitType]
    delay: tuple[float, float]
    slop: float
    least_damage: float
    gross_reward: bool
    head_start: int = 0
    energy_per_health: float = 0.33
    heal: float = 9.0
    energy_start: float = 50.0
    energy_most: float = 200.0
    energy_rate: float = 0.5625
    energy_least: float = 5.0  # to begin healing
    shield_rate: float = 2.0
    shield_delay: float = 10.0


PROFILES = {
    "sc2": Profile(SC2, (-1.0, 2.0), 1.0, 0.5, False, head_start=LOOPS_PER_STEP - 1),
    "sc2-at-once": Profile(SC2, (-1.0, 2.0), 1.0, 0.5, False),
    "smaclite": Profile(SMACLITE, (0.0, 0.0), 0.0, 0.0, True, energy_per_health=1 / 3),
}


Side = list[tuple[str, int]]  # types and how many of each


@dataclass(frozen=True)
class Map:
    """One scenario.

    Attributes:
        allies, enemies: names of types, in the order of ids.
        ally_bits, enemy_bits: order of the type one-hots; the real game reverses the enemies' on
            2s3z.
        limit: environment steps.
        strip: whether units stay within 8 <= y < 24, between the cliffs.
    """

    name: str
    allies: tuple[str, ...]
    enemies: tuple[str, ...]
    limit: int
    ally_bits: tuple[str, ...] = ()
    enemy_bits: tuple[str, ...] = ()
    strip: bool = True


def _map(name: str, allies: Side, enemies: Side, limit: int, **more) -> Map:
    """A map of so many units of each type, in the order of ids."""
    ally_types = tuple(kind for kind, count in allies for _ in range(count))
    enemy_types = tuple(kind for kind, count in enemies for _ in range(count))
    return Map(name, ally_types, enemy_types, limit, **more)


_MMM = [("marauder", 2), ("marine", 7), ("medivac", 1)]
_BITS = ("marauder", "marine", "medivac")
MAPS = {
    scenario.name: scenario
    for scenario in (
        _map("3m", [("marine", 3)], [("marine", 3)], 60),
        _map("8m", [("marine", 8)], [("marine", 8)], 120),
        _map("5m_vs_6m", [("marine", 5)], [("marine", 6)], 70),
        _map("10m_vs_11m", [("marine", 10)], [("marine", 11)], 150),
        _map("MMM", _MMM, _MMM, 150, ally_bits=_BITS, enemy_bits=_BITS),
        _map("2s3z", [("stalker", 2), ("zealot", 3)], [("stalker", 2), ("zealot", 3)], 120,
             ally_bits=("stalker", "zealot"), enemy_bits=("zealot", "stalker")),
        _map("3s_vs_3z", [("stalker", 3)], [("zealot", 3)], 150, strip=False),
    )
}  # fmt: skip
ALLY_SPAWN = (9.0, 16.0)
ENEMY_SPAWN = (23.0, 16.0)
STRIP = (8.0, 24.0)


def battle_map(name: str) -> Map:
    """The map of this name.

    Raises:
        ValueError: no such map.
    """
    if name not in MAPS:
        raise ValueError(f"unknown map {name!r}, expected one of: {', '.join(MAPS)}")
    return MAPS[name]


def profile(name: str) -> Profile:
    """The profile of this name.

    Raises:
        ValueError: no such profile.
    """
    if name not in PROFILES:
        raise ValueError(f"unknown dynamics {name!r}, expected one of: {', '.join(PROFILES)}")
    return PROFILES[name]


def simulator(dynamics: str = "sc2") -> str:
    """What results of battles under a profile are called."""
    return f"{FAMILY}, profile {dynamics}, version {VERSION}"
