"""Table 3: normalized score of four methods on three particle worlds and four data qualities.

Every method of the registry is a column. Behaviour cloning, which the paper does not have, is the
last of them; beside them stands the score of the data themselves.
"""

from common.reporting import script
from common.reporting.tables import Entry, Table
from papers.omar.config import METHODS, Options, names
from papers.omar.experiment import data_score, particle_entries

CLONING = "bc"


def entries(preset: str, options: dict) -> list[Entry]:
    scores = particle_entries(preset, METHODS, options)
    data = [
        Entry(entry.row, "data", entry.cells, data_score)
        for entry in scores
        if entry.column == CLONING
    ]
    return scores + data


TABLE = Table(
    "omar",
    "table3",
    "methods on the particle worlds",
    entries,
    ours="omar",
    options=Options(),
    names=names() | {"data": "mean return of the data"},
)

if __name__ == "__main__":
    script.main(TABLE)
