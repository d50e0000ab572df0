"""Ablation: the cooperative-navigation rows of Table 3 under both readings of the paper.

`released` takes the values of the authors' code, `text` the paper's text and appendix: discount
0.99, no BatchNorm, no gradient clipping, no action penalty, smoothed targets, Eq. 3 as printed,
squared norm summed, appendix coefficients.
"""

from common.reporting import script
from common.reporting.tables import Entry, Table
from papers.omar.config import COLUMNS, QUALITIES, READINGS, names
from papers.omar.experiment import cell


def entries(preset: str, options: dict) -> list[Entry]:
    return [
        Entry(
            f"{quality}/{reading}",
            method,
            (
                cell(
                    preset,
                    "cooperative_navigation",
                    quality,
                    method,
                    options | {"reading": reading},
                ),
            ),
        )
        for quality in QUALITIES
        for reading in READINGS
        for method in COLUMNS
    ]


TABLE = Table(
    "omar", "ablation_readings", "released code against the paper's text", entries, names=names()
)

if __name__ == "__main__":
    script.main(TABLE)
