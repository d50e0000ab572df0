"""Table 1: cloning of good and of bad data."""

from common.reporting import script
from common.reporting.tables import Entry, Table
from papers.cloning.experiment import cell


def entries(preset: str, options: dict) -> list[Entry]:
    return [
        Entry(quality, "cloning", (cell(preset, quality, options),))
        for quality in ("random", "expert")
    ]


TABLE = Table("cloning", "table1", "cloning of good and of bad data", entries)

if __name__ == "__main__":
    script.main(TABLE)
