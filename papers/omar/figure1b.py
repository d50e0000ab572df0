"""Figure 1b: learning curves on the two-agent line, medium-replay data, raw return."""

from common.reporting import figures, script
from common.reporting.tables import Entry, Table
from papers.omar.config import Options, names
from papers.omar.experiment import line_cell, raw_return

METHODS = ("ma_td3bc", "ma_cql", "omar")


def entries(preset: str, options: dict) -> list[Entry]:
    return [
        Entry("spread_1d_2", method, (line_cell(preset, 2, method, options),), raw_return)
        for method in METHODS
    ]


TABLE = Table(
    "omar",
    "figure1b",
    "three methods on the two-agent line",
    entries,
    unit="raw return",
    draw=figures.curves,
    options=Options(),
    names=names(),
)

if __name__ == "__main__":
    script.main(TABLE)
