"""Table 2: average score (raw return) of five methods on uncoordinated and coordinated data of
three robots.
"""

from common.reporting import script
from common.reporting.tables import Entry, Table
from papers.cast_bcq.config import METHODS, QUALITIES, ROBOTS, Options
from papers.cast_bcq.experiment import TITLES, average_return, cell


def entries(preset: str, options: dict) -> list[Entry]:
    return [
        Entry(
            f"{name}/{robot}",
            method,
            (cell(preset, task, quality, method, options),),
            average_return,
        )
        for quality, name in QUALITIES.items()
        for task, robot in ROBOTS.items()
        for method in METHODS
    ]


TABLE = Table(
    "cast_bcq",
    "table2",
    "average score by data set and method",
    entries,
    unit="return",
    options=Options(),
    published_runs=3,
    ours="ours",
    names=TITLES,
)

if __name__ == "__main__":
    script.main(TABLE)
