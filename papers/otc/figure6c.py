"""Figure 6c: a single agent in a world that changes between deployments, BCQ with OTC (d_e) and
without.
"""

from common.reporting import figures, script
from common.reporting.tables import Entry, Table
from papers.otc.config import SHIFTING, Options
from papers.otc.experiment import cell, last_return


def entries(preset: str, options: dict) -> list[Entry]:
    return [
        Entry(
            SHIFTING,
            column,
            (cell(preset, SHIFTING, "random", "bcq", method, options),),
            last_return,
        )
        for column, method in {"otc": "d_e", "bcq": "uniform"}.items()
    ]


TABLE = Table(
    "otc",
    "figure6c",
    "non-stationary navigation",
    entries,
    "return",
    draw=figures.curves,
    x="deployment",
    options=Options(),
)

if __name__ == "__main__":
    script.main(TABLE)
