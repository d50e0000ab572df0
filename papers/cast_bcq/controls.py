"""What a choice among proposals is worth: every method beside a random one of its own proposals,
the worst one, and plain cloning, on the same starts; and without BCQ's perturbation.

Not in the paper. Uncoordinated data, in points between a random and an expert's return. "random"
and "worst" are of the proposals that the method chooses from, perturbed where it perturbs them;
"cloning" is what its generator decodes from zero.
"""

from common.reporting import script
from common.reporting.tables import Entry, Table
from papers.cast_bcq.config import CHOOSING, PERTURBED, ROBOTS, Options
from papers.cast_bcq.experiment import TITLES, cell, of_seed

COLUMNS = {
    "method": "average_score",
    "random": "random_score",
    "worst": "worst_score",
    "cloning": "cloning_score",
}


def entries(preset: str, options: dict) -> list[Entry]:
    shown = []
    for task, robot in ROBOTS.items():
        for method in CHOOSING:
            arms = {"": options}
            if method in PERTURBED:
                arms[", no perturbation"] = options | {"perturbation": 0.0}
            for name, read in arms.items():
                made = cell(preset, task, "uncoordinated", method, read)
                for column, key in COLUMNS.items():
                    shown.append(Entry(f"{robot}/{method}{name}", column, (made,), of_seed(key)))
    return shown


TABLE = Table(
    "cast_bcq",
    "controls",
    "methods beside a random proposal, the worst, and cloning",
    entries,
    unit="points of normalised score",
    options=Options(),
    decided=("perturbation",),
    names=TITLES,
)

if __name__ == "__main__":
    script.main(TABLE)
