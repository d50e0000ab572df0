"""Figure 2: improvement of OMAR over MA-CQL on the line, with one to five agents."""

from common.reporting import figures, script
from common.reporting.tables import Entry, Table
from papers.omar.config import Options
from papers.omar.experiment import AGENTS, line_cell, over_second


def entries(preset: str, options: dict) -> list[Entry]:
    def pair(n: int):
        return line_cell(preset, n, "omar", options), line_cell(preset, n, "ma_cql", options)

    return [Entry("omar", f"agents={n}", pair(n), over_second) for n in AGENTS]


TABLE = Table(
    "omar",
    "figure2",
    "OMAR over MA-CQL",
    entries,
    unit="improvement (%)",
    draw=figures.lines,
    options=Options(),
    names={"omar": "OMAR over MA-CQL"},
)

if __name__ == "__main__":
    script.main(TABLE)
