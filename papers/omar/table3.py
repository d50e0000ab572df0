"""Table 3: normalized score of four methods on three particle worlds and four data qualities.

Every method of the registry is a column; behaviour cloning, which the paper does not have, is the
last.
"""

from common.reporting import script
from common.reporting.tables import Entry, Table
from papers.omar.config import METHODS, QUALITIES, TASKS, Options, names
from papers.omar.experiment import cell


def entries(preset: str, options: dict) -> list[Entry]:
    return [
        Entry(f"{quality}/{task}", method, (cell(preset, task, quality, method, options),))
        for quality in QUALITIES
        for task in TASKS
        for method in METHODS
    ]


TABLE = Table(
    "omar",
    "table3",
    "methods on the particle worlds",
    entries,
    ours="omar",
    options=Options(),
    names=names(),
)

if __name__ == "__main__":
    script.main(TABLE)
