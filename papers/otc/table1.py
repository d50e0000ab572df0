"""Table 1: improvement (%) over the offline policies after the last deployment, on nine data sets
and two base learners.

The method is otc.py (Eq. 4: next_alpha), used in tuning.py.

Where the offline policies return nearly nothing a percentage says little: table1_scores.py has the
same in points of normalised score.
"""

import functools

from common.reporting import figures, script
from common.reporting.tables import Entry, Table
from papers.otc.config import QUALITIES, ROBOTS, Options
from papers.otc.experiment import NAMES, cell, improvement

COLUMNS = {"d_e+{}": "d_e", "d_q+{}": "d_q", "{}": "uniform"}


def entries(preset: str, options: dict, value=improvement) -> list[Entry]:
    return [
        Entry(
            f"{name}/{task}",
            column.format(base),
            (cell(preset, task, quality, base, method, options),),
            value,
        )
        for name, quality in QUALITIES.items()
        for task in ROBOTS
        for base in ("bcq", "awac")
        for column, method in COLUMNS.items()
    ]


TABLE = Table(
    "otc",
    "table1",
    "improvement over offline policies",
    entries,
    unit="improvement in %",
    options=Options(),
    draw=functools.partial(figures.bars, linear_below=100),
    names=NAMES,
)

if __name__ == "__main__":
    script.main(TABLE)
