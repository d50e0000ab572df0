"""The grid world with 1,000 trajectories under the other reading of how its random agents act
(ambiguity A8): uniformly, or by policies drawn for every trajectory.

Not in the paper. In the second reading a partner who has survived is likely to be a good one, so
that values of agents by themselves do not converge to those beside a random partner.
"""

from common.reporting import script
from common.reporting.tables import Entry, Table
from papers.cast_bcq.config import MORE_TRAJECTORIES, GridOptions
from papers.cast_bcq.experiment import grid_cell, success
from papers.cast_bcq.grid import METHODS

READINGS = ("uniform", "dirichlet")


def entries(preset: str, options: dict) -> list[Entry]:
    return [
        Entry(
            reading,
            method,
            (grid_cell(preset, method, options | {"behaviour": reading}, MORE_TRAJECTORIES),),
            success,
            share=True,
        )
        for reading in READINGS
        for method in METHODS
    ]


TABLE = Table(
    "cast_bcq",
    "ablation_grid",
    "grid world, other random agents",
    entries,
    unit="% reached",
    options=GridOptions(),
    decided=("behaviour",),
)

if __name__ == "__main__":
    script.main(TABLE)
