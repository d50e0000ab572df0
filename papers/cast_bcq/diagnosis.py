"""What critics and generators have learned of the data, at the last evaluation.

Not in the paper. Columns: the mean value of the data's actions ("value") beside the discounted
return-to-go of the same rows, which are at least 300 steps away from a cut by the clock or end in a
terminal state; the standard deviation of an agent's proposals for an observation ("proposals")
beside that of the data's actions; the mean size of BCQ's perturbation, at most 0.05.
"""

from common.reporting import script
from common.reporting.tables import Entry, Table
from papers.cast_bcq.config import DATA, METHODS, PERTURBED, ROBOTS, Options
from papers.cast_bcq.experiment import TITLES, cell, of_seed

COLUMNS = {
    "value": ("value", METHODS),
    "return-to-go": ("return_to_go", METHODS),
    "proposals": ("spread", (*PERTURBED, "ours")),
    "actions": ("action_spread", (*PERTURBED, "ours")),
    "perturbation": ("correction", PERTURBED),
}


def entries(preset: str, options: dict) -> list[Entry]:
    return [
        Entry(
            f"{name}/{robot}/{method}",
            column,
            (cell(preset, task, quality, method, options | change),),
            of_seed(key),
        )
        for name, (quality, change) in DATA.items()
        for task, robot in ROBOTS.items()
        for method in METHODS
        for column, (key, methods) in COLUMNS.items()
        if method in methods
    ]


TABLE = Table(
    "cast_bcq",
    "diagnosis",
    "critics and generators beside the data",
    entries,
    unit="value, or standard deviation of actions",
    decimals=3,
    options=Options(),
    decided=("uncoordinated",),
    names=TITLES,
)

if __name__ == "__main__":
    script.main(TABLE)
