"""Figure 3: OMAR's coefficient (tau of Eq. 2) per data quality, averaged over the three tasks; 0 is
MA-CQL.
"""

from common.reporting import figures, script
from common.reporting.tables import Entry, Table
from papers.omar.config import QUALITIES, TASKS, Options
from papers.omar.experiment import cell

COEFFICIENTS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)


def entries(preset: str, options: dict) -> list[Entry]:
    def one(quality: str, coefficient: float) -> Entry:
        def single(task):
            if coefficient == 0:
                return cell(preset, task, quality, "ma_cql", options, sweep=True)
            return cell(
                preset,
                task,
                quality,
                "omar",
                options,
                sweep=True,
                hyper={"coefficient": coefficient},
            )

        return Entry(quality, f"coefficient={coefficient}", tuple(single(task) for task in TASKS))

    return [one(quality, coefficient) for quality in QUALITIES for coefficient in COEFFICIENTS]


TABLE = Table(
    "omar",
    "figure3",
    "OMAR's coefficient, mean over tasks",
    entries,
    draw=figures.lines,
    options=Options(),
)

if __name__ == "__main__":
    script.main(TABLE)
