"""Table 3: normalized score of four methods on three particle worlds and four data qualities.

Every method of the registry is a column; behaviour cloning, which the paper does not have, is the
last.
"""

from common.reporting import script
from common.reporting.tables import Entry, Table
from papers.omar.config import METHODS, Options, names
from papers.omar.experiment import particle_entries


def entries(preset: str, options: dict) -> list[Entry]:
    return particle_entries(preset, METHODS, options)


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
