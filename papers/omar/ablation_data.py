"""Ablation: four methods on cooperative navigation by how the teams act that collect the data.

The paper adds noise of an unknown level to the actions. Beside the two levels stand teams whose
actions are mostly -1 or 1 (the policies' outputs times 4 before their tanh), and a weaker expert,
stopped at 70 % of the way. Returns differ little, distributions of actions a lot.
"""

from common.reporting import script
from common.reporting.tables import Entry, Table
from envs.particle.data import NOISE
from papers.omar.config import COLUMNS, names
from papers.omar.experiment import cell

SHAPES = {"": "smooth", "-saturated": "saturated"}
# (quality, variant) of each row
ROWS = {
    f"{quality}/{shown}, noise {NOISE[noise]}": (quality, shape + noise)
    for quality in ("medium", "expert")
    for shape, shown in SHAPES.items()
    for noise in sorted(NOISE, key=NOISE.__getitem__)
} | {
    f"expert/early, noise {NOISE[noise]}": ("expert", f"-early{noise}")
    for noise in sorted(NOISE, key=NOISE.__getitem__)
}


def entries(preset: str, options: dict) -> list[Entry]:
    return [
        Entry(
            row,
            method,
            (cell(preset, "cooperative_navigation", quality, method, options, variant=variant),),
        )
        for row, (quality, variant) in ROWS.items()
        for method in COLUMNS
    ]


TABLE = Table(
    "omar",
    "ablation_data",
    "how the same teams act in the data",
    entries,
    names=names(),
)

if __name__ == "__main__":
    script.main(TABLE)
