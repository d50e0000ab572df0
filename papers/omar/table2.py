"""Table 2: MA-CQL with more actor updates per critic update, raw return on the two-agent line
(Section 3.1).
"""

from common.reporting import script
from common.reporting.tables import Entry, Table
from papers.omar.config import Options, names
from papers.omar.experiment import line_cell, raw_return

UPDATES = (1, 5, 20)


def entries(preset: str, options: dict) -> list[Entry]:
    return [
        Entry(
            "ma_cql",
            f"actor_updates={n}",
            (line_cell(preset, 2, "ma_cql", options, backbone={"actor_updates": n}),),
            raw_return,
        )
        for n in UPDATES
    ]


TABLE = Table(
    "omar",
    "table2",
    "MA-CQL with more actor updates",
    entries,
    unit="raw return",
    options=Options(),
    names=names(),
)

if __name__ == "__main__":
    script.main(TABLE)
