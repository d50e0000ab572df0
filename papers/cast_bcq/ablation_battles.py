"""CAST-BCQ in battles under other readings of what the paper leaves open, on all maps.

Not in the paper. Defaults are one-step targets (Eq. 6) and discrete BCQ's threshold of 0.3; the
authors' deleted archive had traces of 0.75 (TD(lambda) on the data's actions) and a threshold of
0.5 on StarCraft.
"""

from common.reporting import script
from common.reporting.tables import Entry, Table
from papers.cast_bcq.config import MAPS, BattleOptions
from papers.cast_bcq.experiment import SIMULATOR, battle_cell, win_rate

READINGS = {"default": {}, "trace 0.75": {"trace": 0.75}, "threshold 0.5": {"threshold": 0.5}}


def entries(preset: str, options: dict) -> list[Entry]:
    return [
        Entry(name, label, (battle_cell(preset, name, "ours", options | change),), win_rate)
        for name in MAPS
        for label, change in READINGS.items()
    ]


TABLE = Table(
    "cast_bcq",
    "ablation_battles",
    f"readings ({SIMULATOR})",
    entries,
    unit="win rate in %",
    decimals=0,
    options=BattleOptions(),
    decided=("trace", "threshold"),
)

if __name__ == "__main__":
    script.main(TABLE)
