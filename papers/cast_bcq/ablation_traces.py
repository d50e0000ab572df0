"""CAST-BCQ in battles with one-step targets (Eq. 6, the paper's reading) and with the data's returns mixed in, TD(lambda).

Not in the paper. The authors' archive had traces of 0.75 on StarCraft; with the few updates of preset quick one-step targets
do not carry the reward of a won battle back to its beginning.
"""

from common import tables
from common.tables import Entry, Table
from papers.cast_bcq.experiment import BATTLE_OPTIONS, SIMULATOR, battle_cell, win_rate

SHOWN = ("3s_vs_3z", "2s3z")
TRACES = {"one step": 0.0, "trace 0.75": 0.75}


def entries(preset: str, options: dict) -> list[Entry]:
    return [
        Entry(name, label, (battle_cell(preset, name, "ours", options | {"trace": trace}),), win_rate)
        for name in SHOWN
        for label, trace in TRACES.items()
    ]


OPTIONS = {key: value for key, value in BATTLE_OPTIONS.items() if key != "trace"}
TABLE = Table("cast_bcq", "ablation_traces", f"targets ({SIMULATOR})", entries, unit="win rate in %", decimals=0, options=OPTIONS)

if __name__ == "__main__":
    tables.main(TABLE)
