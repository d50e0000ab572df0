"""Figure 1d: one policy step of MA-CQL and one of OMAR on the Q landscape of a fixed critic.

Of the states of minibatches, looked at all along the training, in which MA-CQL's policy sits in a
poor local maximum, the entries count how many each method's actor leaves for the slope of a higher
one, in one step as in the paper, and in ten and a hundred. Of every seed the state with the widest
gap is kept, its values are in the last row; the picture shows the widest of these.
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
    """The landscape with the widest gap below its highest value, and the three actions on it."""
    seeds = shown[0].made["extra"][0]
    facts = max(seeds, key=gap)
    figure, axes = figures.subplots(figsize=(4.5, 3.6))
    axes.plot(facts["actions"], facts["landscape"], color="black")
    for name, (label, marker, color) in MARKERS.items():
        axes.plot(facts[name], height_at(facts, name), marker, color=color, label=label)
    state = f"seed {facts['seed']}, agent {facts['agent']}, update {facts['updates']}"
    title = f"{state}: the widest gap of {len(seeds)} seeds"
    axes.set_title(title, fontsize=9)
    axes.set(xlabel="action", ylabel="Q")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.suptitle(f"{table.slot}, preset {preset}", fontsize=10)
    figures.save(figure, path)


def height_at(facts: dict, name: str) -> float:
    """Q of one of the actions, in the state that a seed kept."""
    return float(np.interp(facts[name], facts["actions"], facts["landscape"]))


def gap(facts: dict) -> float:
    """How far the policy is below the highest value."""
    return max(facts["landscape"]) - height_at(facts, next(iter(MARKERS)))


TABLE = Table(
    "omar",
    "figure1d",
    "what one actor step does in a poor local maximum",
    entries,
    unit="% of states, or Q",
    draw=draw,
    draws_extra=True,
    options=Options(),
    names=NAMES,
)

if __name__ == "__main__":
    script.main(TABLE)
