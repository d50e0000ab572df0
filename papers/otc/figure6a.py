"""Figure 6a: BREMEN with OTC (d_e) and without, Predator-Prey from uniform random data.

In quick's 100,000 rows the prey is touched about 34 times, too few to learn a reward from; with the
paper's 1,000,000 rows and enough trust-region steps the offline team catches it.
"""

from common.reporting import figures, script
from common.reporting.tables import Entry, Table
from papers.otc.config import Options
from papers.otc.experiment import NAMES, cell, last_return

TASK = "kinematic_predator_prey"


def entries(preset: str, options: dict) -> list[Entry]:
    return [
        Entry(TASK, column, (cell(preset, TASK, "random", "bremen", method, options),), last_return)
        for column, method in {"otc": "d_e", "bremen": "uniform"}.items()
    ]


TABLE = Table(
    "otc",
    "figure6a",
    "BREMEN on Predator-Prey",
    entries,
    "return",
    draw=figures.curves,
    x="deployment",
    options=Options(),
    names=NAMES,
)

if __name__ == "__main__":
    script.main(TABLE)
