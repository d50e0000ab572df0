"""Theorem 1: OMAR over the behaviour policy of its data, in points of the normalised score.

The theorem bounds the return from below in the empirical MDP, for a coefficient below 1; the
released code has 1 on five of the particle worlds' twelve data sets, where the bound divides by
zero. The first column has the released coefficients, the second the appendix's in those five. What
is measured is the return in the task, over the mean return of the data.
"""

from common.reporting import script
from common.reporting.tables import Entry, Table
from papers.omar.config import QUALITIES, TASKS, data_settings
from papers.omar.experiment import cell, points_over_data

READINGS = {"released": "released", "below_1": "text"}  # of a coefficient of 1
NAMES = {
    "released": "OMAR, released coefficients",
    "below_1": "OMAR, the appendix's where they are 1",
}


def entries(preset: str, options: dict) -> list[Entry]:
    def one(task: str, quality: str, column: str) -> Entry:
        coefficient, _ = data_settings(task, quality, "released")
        if coefficient == 1:
            coefficient, _ = data_settings(task, quality, READINGS[column])
        hyper = {"coefficient": coefficient}
        chosen = cell(preset, task, quality, "omar", options, hyper=hyper)
        return Entry(f"{quality}/{task}", column, (chosen,), points_over_data)

    return [
        one(task, quality, column) for quality in QUALITIES for task in TASKS for column in READINGS
    ]


TABLE = Table(
    "omar",
    "theorem1",
    "OMAR over the behaviour policy",
    entries,
    unit="points of the normalised score",
    names=NAMES,
)

if __name__ == "__main__":
    script.main(TABLE)
