"""Table 5: the four methods with centralised critics (MATD3), cooperative navigation."""

from common.reporting import script
from common.reporting.tables import Entry, Table
from papers.omar.config import COLUMNS, QUALITIES, Options, names
from papers.omar.experiment import cell


def entries(preset: str, options: dict) -> list[Entry]:
    def one(method: str, quality: str) -> Entry:
        centralised = {"centralised": True}
        return Entry(
            method,
            quality,
            (
                cell(
                    preset, "cooperative_navigation", quality, method, options, backbone=centralised
                ),
            ),
        )

    return [one(method, quality) for method in COLUMNS for quality in QUALITIES]


TABLE = Table(
    "omar",
    "table5",
    "four methods with centralised critics",
    entries,
    options=Options(),
    names=names(centralised=True),
)

if __name__ == "__main__":
    script.main(TABLE)
