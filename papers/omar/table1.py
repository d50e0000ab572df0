"""Table 1: MA-CQL with a larger learning rate for the actor, raw return on the two-agent line
(Section 3.1).
"""

from common.reporting import script
from common.reporting.tables import Entry, Table
from papers.omar.config import Options, names
from papers.omar.experiment import line_cell, raw_return

RATES = (0.01, 0.05, 0.1)


def entries(preset: str, options: dict) -> list[Entry]:
    return [
        Entry(
            "ma_cql",
            f"actor_lr={rate}",
            (line_cell(preset, 2, "ma_cql", options, backbone={"actor_lr": rate}),),
            raw_return,
        )
        for rate in RATES
    ]


TABLE = Table(
    "omar",
    "table1",
    "MA-CQL with a larger actor learning rate",
    entries,
    unit="raw return",
    options=Options(),
    names=names(),
)

if __name__ == "__main__":
    script.main(TABLE)
