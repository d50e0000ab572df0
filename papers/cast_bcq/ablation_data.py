"""Uncoordinated data of two trainings beside those of one (ambiguity A4).

The paper takes its medium and its expert policy from one training. Ours of one hardly
miscoordinate: every mixed team plays about as well as the medium one. Agents of two trainings have
never met, and every combination of them miscoordinates, which is what the paper is about; they are
the default. The column "data" is the data's own score.
"""

from common.reporting import script
from common.reporting.tables import Entry, Table
from papers.cast_bcq.config import METHODS, ROBOTS, Options
from papers.cast_bcq.experiment import TITLES, cell, of_seed

READINGS = {"two runs": "runs", "one run": "snapshots"}


def entries(preset: str, options: dict) -> list[Entry]:
    shown = []
    for name, reading in READINGS.items():
        for task, robot in ROBOTS.items():
            cells = {
                method: cell(
                    preset, task, "uncoordinated", method, options | {"uncoordinated": reading}
                )
                for method in METHODS
            }
            row = f"{name}/{robot}"
            shown += [
                Entry(row, method, (made,), of_seed("average_score"))
                for method, made in cells.items()
            ]
            shown.append(Entry(row, "random", (cells["ours"],), of_seed("random_score")))
            shown.append(Entry(row, "data", (cells["ours"],), of_seed("data_score")))
    return shown


TABLE = Table(
    "cast_bcq",
    "ablation_data",
    "uncoordinated data of two runs and of one; ours' random proposal and the data's own score",
    entries,
    unit="points of normalised score",
    options=Options(),
    decided=("uncoordinated",),
    names=TITLES,
)

if __name__ == "__main__":
    script.main(TABLE)
