"""Table 6: normalized score of the four methods on two-agent HalfCheetah, whose agents see their
own joints only.
"""

from common.reporting import script
from common.reporting.tables import Entry, Table
from papers.omar.config import COLUMNS, QUALITIES, ROBOT, Options, names
from papers.omar.experiment import cell


def entries(preset: str, options: dict) -> list[Entry]:
    return [
        Entry(method, quality, (cell(preset, ROBOT, quality, method, options),))
        for method in COLUMNS
        for quality in QUALITIES
    ]


TABLE = Table(
    "omar",
    "table6",
    "four methods on two-agent HalfCheetah",
    entries,
    options=Options(),
    names=names(),
)

if __name__ == "__main__":
    script.main(TABLE)
