"""Uncoordinated data under other readings of what agents observe (ambiguity A1).

The main comparison lets everybody observe everything. The paper's text gives agents their own body
parts; the authors' archive gave CAST-BCQ and MABCQ the whole state, I-BCQ and ICQ-MA their own
joints and the torso. Joint BCQ and MABCQ observe everything under every reading, so that under the
text's only the others can be compared.
"""

from common.reporting import figures, script
from common.reporting.tables import Entry, Table
from papers.cast_bcq.config import ALWAYS_FULL, METHODS, ROBOTS, Options
from papers.cast_bcq.experiment import TITLES, average_return, cell

READINGS = {
    "own": ("own_joints_torso", tuple(name for name in METHODS if name not in ALWAYS_FULL)),
    "archive": ("archive", tuple(METHODS)),
}


def entries(preset: str, options: dict) -> list[Entry]:
    return [
        Entry(
            f"{name}/{robot}",
            method,
            (cell(preset, task, "uncoordinated", method, options | {"observation": reading}),),
            average_return,
        )
        for name, (reading, methods) in READINGS.items()
        for task, robot in ROBOTS.items()
        for method in methods
    ]


TABLE = Table(
    "cast_bcq",
    "ablation_observation",
    "uncoordinated data, other observations",
    entries,
    unit="return",
    options=Options(),
    decided=("observation",),
    draw=figures.curves,
    x="updates",
    names=TITLES,
)

if __name__ == "__main__":
    script.main(TABLE)
