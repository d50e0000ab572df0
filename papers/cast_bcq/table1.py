"""Table 1: test win rates on four maps, SMAC-like battles of the built-in simulator."""

from common.reporting import script
from common.reporting.tables import Entry, Table
from papers.cast_bcq.config import BATTLE_METHODS, MAPS, BattleOptions
from papers.cast_bcq.experiment import SIMULATOR, TITLES, battle_cell, win_rate


def entries(preset: str, options: dict, methods: tuple[str, ...] = BATTLE_METHODS) -> list[Entry]:
    return [
        Entry(map_name, method, (battle_cell(preset, map_name, method, options),), win_rate)
        for map_name in MAPS
        for method in methods
    ]


TABLE = Table(
    "cast_bcq",
    "table1",
    f"test win rates ({SIMULATOR})",
    entries,
    unit="win rate in %",
    decimals=0,
    options=BattleOptions(),
    published_runs=3,
    ours="ours",
    names=TITLES,
)

if __name__ == "__main__":
    script.main(TABLE)
