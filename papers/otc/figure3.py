"""Figure 3: returns over deployments, OTC on BCQ with both distances against uniform sampling."""

from common.reporting import figures, script
from common.reporting.tables import Entry, Table
from papers.otc.config import QUALITIES, ROBOTS, Options
from papers.otc.experiment import NAMES, cell, last_return

COLUMNS = {"d_e+bcq": "d_e", "d_q+bcq": "d_q", "bcq": "uniform"}


def entries(preset: str, options: dict) -> list[Entry]:
    return [
        Entry(
            f"{name}/{task}",
            column,
            (cell(preset, task, QUALITIES[name], "bcq", method, options),),
            last_return,
        )
        for name in ("random", "replay")
        for task in ROBOTS
        for column, method in COLUMNS.items()
    ]


TABLE = Table(
    "otc",
    "figure3",
    "learning curves of OTC on BCQ",
    entries,
    "return",
    draw=figures.curves,
    x="deployment",
    options=Options(),
    names=NAMES,
)

if __name__ == "__main__":
    script.main(TABLE)
