"""What an update of every method costs: milliseconds of one core per member, on the ant partly
observed, at three sizes; seconds of an epoch of MOMA-PPO; milliseconds of a world model's update.

    python benchmarks/moma_ppo_costs.py

`UNIT_COST` of papers/moma_ppo/experiment.py is made of these. Data of size quick are built first if
they are not there. Process time; beside other busy processes everything takes longer.
"""

import time
from dataclasses import asdict

import torch

from common.running.cells import Cell
from common.running.options import changed
from common.running.program import Members
from papers.moma_ppo import models, training
from papers.moma_ppo.config import AntOptions
from papers.moma_ppo.experiment import PAPER, cell

PRESET = "quick"
SEEDS = [0, 1, 2]
SIZES = ((64, 16, 64), (128, 32, 128), (256, 128, 256))  # hidden, memory, minibatch
METHODS = ("maiql", "ibc", "itd3bc", "icql", "iomar")
MODELS = ((128, 2), (256, 4))  # hidden, layers
UPDATES = 10


def seconds(one: Cell, updates: int) -> float:
    """Of an update of a member; the first is not counted."""
    started = training.build(Members([one]), "cpu")
    started.learner.update(started.draw(0))
    began = time.process_time()
    for done in range(1, updates + 1):
        started.learner.update(started.draw(done))
    return (time.process_time() - began) / updates / len(one.config["seeds"])


def ant(method: str, changes: dict) -> Cell:
    """A method on the partly observed ant."""
    options = asdict(AntOptions()) | {"seeds": SEEDS}
    return changed(cell(PRESET, "ant", "po", "full-replay", method, options), changes)


def main() -> None:
    torch.set_num_threads(1)
    PAPER.data.prepare(ant("ibc", {}))
    for hidden, memory, rows in SIZES:
        own = {"hyper.hidden": hidden, "hyper.memory": memory}
        took = {
            method: seconds(ant(method, own | {"batch_size": rows}), UPDATES) for method in METHODS
        }
        text = ", ".join(f"{method} {1e3 * each:.1f}" for method, each in took.items())
        epoch = seconds(ant("moma_ppo", own), 2)
        print(f"{hidden}/{memory}, {rows} rows: {text} ms; an epoch {epoch:.2f} s", flush=True)
    for hidden, layers in MODELS:
        usual = models.model_cell(PRESET, "ant", "full-replay")
        one = changed(usual, {"model.hidden": hidden, "model.layers": layers})
        print(f"world models {hidden}x{layers}: {1e3 * seconds(one, UPDATES):.1f} ms", flush=True)


if __name__ == "__main__":
    main()
