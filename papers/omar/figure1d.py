"""Figure 1d: one policy step of MA-CQL and one of OMAR on the Q landscape of a fixed critic.

Of the states of minibatches, looked at all along the training, in which MA-CQL's policy sits in a
poor local maximum, the entries count how many each method's actor leaves for the slope of a higher
one, in one step as in the paper, and in ten and a hundred. The picture shows one such state of
every seed, and the last row the values there.
"""

import common.reporting  # noqa: F401  (finds the environment first)

# isort: split
import numpy as np

from common.reporting import figures, script
from common.reporting.tables import Entry, Table
from papers.omar.config import Options
from papers.omar.experiment import landscape_cell
from papers.omar.landscape import MARKERS, STEPS

METHODS = ("cql", "omar")
NAMES = {
    "poor": "the policy sits in a poor local maximum",
    "q": "Q in the state that is drawn, one step",
    **{f"left after {step}": f"left it in {step} actor step(s)" for step in STEPS},
    "cql": "MA-CQL, independent critics",
    "omar": "OMAR, on the same critics",
}


def entries(preset: str, options: dict) -> list[Entry]:
    cell = landscape_cell(preset, options)

    def share(row: str, column: str) -> Entry:
        return Entry(
            row,
            column,
            (cell,),
            lambda results: {
                seed["seed"]: seed["shares"][row][column]
                for result in results
                for seed in result["seeds"]
            },
        )

    def height(name: str) -> Entry:
        return Entry(
            "q",
            name,
            (cell,),
            lambda results: {
                seed["seed"]: seed["q"][name] for result in results for seed in result["seeds"]
            },
        )

    left = [share(f"left after {step}", method) for step in STEPS for method in METHODS]
    return [share("poor", "states"), *left, *(height(name) for name in (*MARKERS, "best"))]


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
        state = f"seed {facts['seed']}, agent {facts['agent']}, update {facts['updates']}"
        axes.set(title=state, xlabel="action")
        axes.grid(alpha=0.3)
    grid[0][0].set_ylabel("Q")
    grid[0][0].legend(fontsize=8)
    figure.suptitle(f"{table.slot}, preset {preset}", fontsize=10)
    figures.save(figure, path)


TABLE = Table(
    "omar",
    "figure1d",
    "what one actor step does in a poor local maximum",
    entries,
    unit="% of states; Q in the last row",
    draw=draw,
    options=Options(),
    names=NAMES,
)

if __name__ == "__main__":
    script.main(TABLE)
