"""What a choice among proposals is worth where `controls.py` does not look: every other data set,
reading and ablation of the robots, beside a random proposal, the worst one, and plain cloning.

Not in the paper. Columns "value" and "return-to-go" are what the critics expect of the data and
what the data return, both discounted (see `diagnosis.py`). ICQ-MA has no proposals. Nothing but
baselines without their perturbation is trained for this alone.
"""

from common.reporting import script
from common.reporting.tables import Entry, Table
from common.running.cells import Cell
from papers.cast_bcq import ablation_ambiguities, controls
from papers.cast_bcq.config import (
    CHOOSING,
    COORDINATED,
    ONE_RUN,
    PERTURBED,
    QUALITIES,
    ROBOTS,
    VARIANTS,
    Options,
)
from papers.cast_bcq.experiment import TITLES, cell, of_seed

OTHER_DATA: dict[str, tuple[str, dict]] = {  # quality, and what is read otherwise
    **{QUALITIES[quality]: (quality, {}) for quality in COORDINATED},
    "one run": ("uncoordinated", ONE_RUN),
}
COLUMNS = controls.COLUMNS | {"value": "value", "return-to-go": "return_to_go"}


def rows_of(preset: str, task: str, options: dict) -> dict[str, Cell]:
    """The cells of a robot, by what is other than in `controls.py`."""
    found = {}
    for name, (quality, change) in OTHER_DATA.items():
        for method in CHOOSING:
            found[f"{name}/{method}"] = cell(preset, task, quality, method, options | change)
        for method in PERTURBED:
            bare = options | change | {"perturbation": 0.0}
            found[f"{name}, no perturbation/{method}"] = cell(preset, task, quality, method, bare)
    own = options | {"observation": "own_joints_torso"}
    for method in ("i_bcq", "ours"):
        found[f"own observations/{method}"] = cell(preset, task, "uncoordinated", method, own)
    for variant in VARIANTS:
        if variant != "ours":
            found[variant] = cell(preset, task, "uncoordinated", "ours", options, variant)
    if task == ablation_ambiguities.TASK:
        for name, (method, change) in ablation_ambiguities.READINGS.items():
            if method == "ours" and change:
                read = options | change
                found[name] = cell(preset, task, "uncoordinated", method, read)
    return found


def entries(preset: str, options: dict) -> list[Entry]:
    return [
        Entry(f"{robot}/{name}", column, (made,), of_seed(key))
        for task, robot in ROBOTS.items()
        for name, made in rows_of(preset, task, options).items()
        for column, key in COLUMNS.items()
    ]


TABLE = Table(
    "cast_bcq",
    "controls_elsewhere",
    "other data sets, readings and ablations beside a random proposal, the worst, and cloning",
    entries,
    unit="points of normalised score, or of return",
    options=Options(),
    decided=("observation", "perturbation", "uncoordinated"),
    names=TITLES,
)

if __name__ == "__main__":
    script.main(TABLE)
