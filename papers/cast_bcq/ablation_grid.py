"""The grid world with 1,000 trajectories under other readings: how its random agents act (ambiguity
A8: uniformly, or by policies drawn for every trajectory), and what I-ICQ's target weights are
relative to (the state's other actions, or the minibatch, where values diverge: diagnosis_grid.py).

Not in the paper. With policies of a trajectory's own a partner who has survived is likely to be a
good one, so that values of agents by themselves do not converge to those beside a random partner.
"""

from common.reporting import script
from common.reporting.tables import Entry, Table
from papers.cast_bcq.config import MORE_TRAJECTORIES, GridOptions
from papers.cast_bcq.experiment import grid_cell, success
from papers.cast_bcq.grid import METHODS

OVER_MINIBATCH = "uniform, weights over the minibatch"
READINGS: dict[str, tuple[dict, tuple[str, ...]]] = {
    "uniform": ({"behaviour": "uniform"}, tuple(METHODS)),
    "dirichlet": ({"behaviour": "dirichlet"}, tuple(METHODS)),
    OVER_MINIBATCH: ({"behaviour": "uniform", "target_weights": "minibatch"}, ("i_icq",)),
}


def entries(preset: str, options: dict) -> list[Entry]:
    return [
        Entry(
            reading,
            method,
            (grid_cell(preset, method, options | change, MORE_TRAJECTORIES),),
            success,
            share=True,
        )
        for reading, (change, methods) in READINGS.items()
        for method in methods
    ]


TABLE = Table(
    "cast_bcq",
    "ablation_grid",
    "grid world, other readings",
    entries,
    unit="% reached",
    options=GridOptions(),
    decided=("behaviour", "target_weights"),
)

if __name__ == "__main__":
    script.main(TABLE)
