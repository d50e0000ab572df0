"""Figure 1c: improvement of MA-CQL over its behaviour policy on the line, by number of agents.

The data are the replay of a training, so there are many behaviour policies: the paper's "over the
behavior policy" is shown over the mean return of the data, and over the last policy of the replay.
"""

from common.reporting import figures, script
from common.reporting.tables import Entry, Table
from papers.omar.config import Options
from papers.omar.experiment import AGENTS, line_cell, over_data, over_last_policy

READINGS = {"over_data": over_data, "over_last_policy": over_last_policy}
NAMES = {
    "over_data": "MA-CQL, independent critics, over the data's mean return",
    "over_last_policy": "MA-CQL, independent critics, over the replay's last policy",
}


def entries(preset: str, options: dict) -> list[Entry]:
    return [
        Entry(name, f"agents={n}", (line_cell(preset, n, "ma_cql", options),), reading)
        for name, reading in READINGS.items()
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
    names=NAMES,
)

if __name__ == "__main__":
    script.main(TABLE)
