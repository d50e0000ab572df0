"""Ablation: Table 6's two conservative methods with the density of noisy actions as the released
code has it.

Values of actions around the policy's are corrected by the logarithm of their density. The released
code subtracts the density itself, and the published Table 6 was made with that.
On two of the data qualities, as in `ablation_options.py`: a cell takes most of an hour at standard.
"""

from common.reporting import script
from common.reporting.tables import Entry, Table
from papers.omar.ablation_options import SHOWN
from papers.omar.config import ROBOT, names
from papers.omar.experiment import cell

METHODS = ("ma_cql", "omar")
DENSITIES = ("log", "released")


def entries(preset: str, options: dict) -> list[Entry]:
    def one(method: str, density: str, quality: str) -> Entry:
        hyper = {"density": density}
        chosen = cell(preset, ROBOT, quality, method, options, hyper=hyper)
        return Entry(f"{quality}/{density}", method, (chosen,))

    return [
        one(method, density, quality)
        for quality in SHOWN
        for density in DENSITIES
        for method in METHODS
    ]


TABLE = Table(
    "omar", "ablation_density", "what corrects noisy actions' values", entries, names=names()
)

if __name__ == "__main__":
    script.main(TABLE)
