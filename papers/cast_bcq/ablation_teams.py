"""Battles learned from the data of all teams, and without those of the best of them.

Not in the paper, whose data are "non-expert or multi-source" without saying which is which: in ours
the best team behind a map's data wins most of its battles, and a method that tells whose action is
whose need only play as it does. Without it nobody shows how to win most battles. The columns "data"
and "best team" are how many of the data's battles are won, and of those of their best team. Asked
after Table 1 at standard had been seen; how it is run was fixed before.
"""

from common.reporting import script
from common.reporting.tables import Entry, Table
from papers.cast_bcq.config import BATTLE_METHODS, SMALL_MAPS, BattleOptions, small_maps
from papers.cast_bcq.experiment import SIMULATOR, TITLES, battle_cell, of_seed, win_rate

OF_DATA = {"data": "data_win_rate", "best team": "best_team_win_rate"}
READINGS = {"all teams": "all", "without the best": "without_best"}
COLUMNS = (*OF_DATA, "bc", *BATTLE_METHODS)


def entries(preset: str, options: dict) -> list[Entry]:
    maps = small_maps(preset)

    def read(name: str, reading: str, column: str) -> Entry:
        row = f"{name}/{reading}"
        if name not in maps:
            return Entry(row, column, (), missing=f"left out at {preset}")
        method = "bc" if column in OF_DATA else column
        made = battle_cell(preset, name, method, options | {"teams": READINGS[reading]})
        measure = of_seed(OF_DATA[column]) if column in OF_DATA else win_rate
        return Entry(row, column, (made,), measure)

    return [
        read(name, reading, column)
        for name in SMALL_MAPS
        for reading in READINGS
        for column in COLUMNS
    ]


TABLE = Table(
    "cast_bcq",
    "ablation_teams",
    f"battles with and without the data's best team ({SIMULATOR})",
    entries,
    unit="win rate in %",
    decimals=0,
    options=BattleOptions(),
    decided=("teams",),
    names=TITLES,
)

if __name__ == "__main__":
    script.main(TABLE)
