"""Figure 4: learning curves of five methods on the uncoordinated data of three robots."""

from common.reporting import figures, script
from common.reporting.tables import Entry, Table
from papers.cast_bcq.config import METHODS, ROBOTS, Options
from papers.cast_bcq.experiment import TITLES, average_return, cell


def entries(preset: str, options: dict) -> list[Entry]:
    return [
        Entry(
            robot, method, (cell(preset, task, "uncoordinated", method, options),), average_return
        )
        for task, robot in ROBOTS.items()
        for method in METHODS
    ]


TABLE = Table(
    "cast_bcq",
    "figure4",
    "learning curves on uncoordinated data",
    entries,
    unit="return",
    options=Options(),
    draw=figures.curves,
    x="updates",
    names=TITLES,
)

if __name__ == "__main__":
    script.main(TABLE)
