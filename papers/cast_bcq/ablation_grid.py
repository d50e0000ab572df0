"""The grid world under other readings: how its random agents act (ambiguity A8: uniformly, or by
policies drawn for every trajectory), and what I-ICQ's target weights are relative to (the state's
other actions, or the minibatch, where values diverge: diagnosis_grid.py). 1,000 trajectories where
nothing else is said.

Not in the paper. With policies of a trajectory's own a partner who has survived is likely to be a
good one, so that values of agents by themselves do not converge to those beside a random partner.
"""

from typing import NamedTuple

from common.reporting import script
from common.reporting.tables import Entry, Table
from common.running.cells import Cell
from papers.cast_bcq.config import MORE_TRAJECTORIES, TRAJECTORIES, GridOptions
from papers.cast_bcq.experiment import TITLES, grid_cell, success
from papers.cast_bcq.grid import METHODS


class Reading(NamedTuple):
    """Options of the grid, which methods are run with them, and on how many trajectories."""

    change: dict
    methods: tuple[str, ...] = tuple(METHODS)
    trajectories: int = MORE_TRAJECTORIES

    def cell(self, preset: str, method: str, options: dict) -> Cell:
        """A method under this reading."""
        return grid_cell(preset, method, options | self.change, self.trajectories)


UNIFORM = {"behaviour": "uniform"}
MINIBATCH = UNIFORM | {"target_weights": "minibatch"}
FEWER = f"uniform, {TRAJECTORIES} trajectories"
READINGS = {
    "uniform": Reading(UNIFORM),
    "dirichlet": Reading({"behaviour": "dirichlet"}),
    "uniform, weights over the minibatch": Reading(MINIBATCH, ("i_icq",)),
    FEWER: Reading(UNIFORM, ("i_icq",), TRAJECTORIES),
    f"{FEWER}, weights over the minibatch": Reading(MINIBATCH, ("i_icq",), TRAJECTORIES),
}


def entries(preset: str, options: dict) -> list[Entry]:
    return [
        Entry(name, method, (reading.cell(preset, method, options),), success, share=True)
        for name, reading in READINGS.items()
        for method in reading.methods
    ]


TABLE = Table(
    "cast_bcq",
    "ablation_grid",
    "grid world, other readings",
    entries,
    unit="% reached",
    options=GridOptions(),
    decided=("behaviour", "target_weights"),
    names=TITLES,
)

if __name__ == "__main__":
    script.main(TABLE)
