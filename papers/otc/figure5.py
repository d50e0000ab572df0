"""Figure 5: ways of choosing rows, on BCQ: OTC (d_e), Balanced Replay, uniform from the merged
data, online rows only.
"""

from common.reporting import figures, script
from common.reporting.tables import Entry, Table
from papers.otc.config import QUALITIES, Options
from papers.otc.experiment import NAMES, cell, last_return

PANELS = (
    ("random", "halfcheetah"),
    ("replay", "halfcheetah"),
    ("medium", "walker2d"),
    ("medium", "hopper"),
)
COLUMNS = {
    "otc": "d_e",
    "balanced_replay": "balanced",
    "uniform": "uniform",
    "online_only": "online",
}


def entries(preset: str, options: dict) -> list[Entry]:
    return [
        Entry(
            f"{name}/{task}",
            column,
            (cell(preset, task, QUALITIES[name], "bcq", method, options),),
            last_return,
        )
        for name, task in PANELS
        for column, method in COLUMNS.items()
    ]


TABLE = Table(
    "otc",
    "figure5",
    "ways of choosing rows",
    entries,
    "return",
    draw=figures.curves,
    x="deployment",
    options=Options(),
    names=NAMES,
)

if __name__ == "__main__":
    script.main(TABLE)
