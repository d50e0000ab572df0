"""Figure 1c: improvement of MA-CQL over its behaviour policy on the line, by number of agents."""

from common.reporting import figures, script
from common.reporting.tables import Entry, Table
from papers.omar.config import Options
from papers.omar.experiment import AGENTS, line_cell, over_behaviour


def entries(preset: str, options: dict) -> list[Entry]:
    return [
        Entry("ma_cql", f"agents={n}", (line_cell(preset, n, "ma_cql", options),), over_behaviour)
        for n in AGENTS
    ]


TABLE = Table(
    "omar",
    "figure1c",
    "MA-CQL over the behaviour policy",
    entries,
    unit="improvement (%)",
    draw=figures.lines,
    options=Options(),
)

if __name__ == "__main__":
    script.main(TABLE)
