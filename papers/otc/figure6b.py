"""Figure 6b: BREMEN with OTC (d_e) and without, Cooperative Navigation from uniform random data."""

from common.reporting import figures, script
from common.reporting.tables import Entry, Table
from papers.otc.config import Options
from papers.otc.experiment import NAMES, cell, last_return

TASK = "kinematic_navigation_4"


def entries(preset: str, options: dict) -> list[Entry]:
    return [
        Entry(TASK, column, (cell(preset, TASK, "random", "bremen", method, options),), last_return)
        for column, method in {"otc": "d_e", "bremen": "uniform"}.items()
    ]


TABLE = Table(
    "otc",
    "figure6b",
    "BREMEN on Cooperative Navigation",
    entries,
    "return",
    draw=figures.curves,
    x="deployment",
    options=Options(),
    names=NAMES,
)

if __name__ == "__main__":
    script.main(TABLE)
