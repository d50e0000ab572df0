"""Figure 1d: the Q landscape of one agent of MA-CQL at one state, and the actions of three policies
on it.

The policy before the step, after MA-CQL's step, and after OMAR's step from the same networks on the
same minibatch. The entries are the Q values of those three actions and the highest one of the
landscape, per agent seed.
"""

import numpy as np

from common.reporting import figures, script
from common.reporting.tables import Entry, Table
from papers.omar.config import Options
from papers.omar.experiment import landscape_cell
from papers.omar.landscape import MARKERS


def entries(preset: str, options: dict) -> list[Entry]:
    cell = landscape_cell(preset, options)

    def value(name: str):
        return lambda results: {
            seed["seed"]: seed["q"][name] for result in results for seed in result["seeds"]
        }

    return [Entry("q", name, (cell,), value(name)) for name in (*MARKERS, "best")]


def draw(table, shown, path, preset) -> None:
    """The landscape of every seed with the three actions."""
    seeds = shown[0].made["extra"][0]
    size = (3.3 * len(seeds), 3.2)
    figure, grid = figures.subplots(1, len(seeds), figsize=size, squeeze=False)
    for axes, facts in zip(grid[0], seeds, strict=True):
        axes.plot(facts["actions"], facts["landscape"], color="black")
        for name, (label, marker, color) in MARKERS.items():
            height = np.interp(facts[name], facts["actions"], facts["landscape"])
            axes.plot(facts[name], height, marker, color=color, label=label, markersize=8)
        axes.set(title=f"seed {facts['seed']}", xlabel="action")
        axes.grid(alpha=0.3)
    grid[0][0].set_ylabel("Q")
    grid[0][0].legend(fontsize=8)
    figure.suptitle(f"{table.slot}, preset {preset}", fontsize=10)
    figures.save(figure, path)


TABLE = Table(
    "omar",
    "figure1d",
    "Q landscape of MA-CQL and three actions on it",
    entries,
    unit="Q",
    draw=draw,
    options=Options(),
)

if __name__ == "__main__":
    script.main(TABLE)
