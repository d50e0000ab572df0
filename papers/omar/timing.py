"""Times updates of OMAR and MA-CQL in turns."""

import time
from pathlib import Path

from common.running import program
from common.running.cells import Cell
from common.running.program import Members
from common.running.sources import resolve
from papers.omar import training
from papers.omar.config import METHODS, default_hyper

ROUNDS = {"smoke": 2, "quick": 10, "standard": 10, "paper": 30}  # updates per turn
TURNS = 3  # each turn is one measurement, reported as one "seed"


def train(
    cells: list[Cell], device: str, checkpoint: Path, progress=lambda done, total: None
) -> list[dict]:
    """Seconds of OMAR's updates over MA-CQL's for each turn, both on the cell's data and batch
    size.
    """
    results = []
    for cell in cells:
        began = time.monotonic()
        population = training.populate(Members([cell]), device)
        learners = {method: learner_of(method, cell, population) for method in ("ma_cql", "omar")}
        batch = population.draw()
        for learner in learners.values():
            learner.update(batch)
        turns = []
        for turn in range(TURNS):
            spent = {}
            for method, learner in learners.items():
                start = program.clock(device)
                for _ in range(ROUNDS[cell.preset]):
                    learner.update(population.draw())
                spent[method] = program.clock(device) - start
            turns.append({"seed": turn, "percent": 100 * (spent["omar"] / spent["ma_cql"] - 1)})
            progress(turn + 1, TURNS)
        seconds = time.monotonic() - began
        results.append(program.made(cell, population.data[0], seconds, device) | {"seeds": turns})
    return results


def learner_of(method: str, cell: Cell, population: training.Population):
    """The method on the population's backbone; the cell's own hyperparameters where it has them."""
    config = cell.config
    build, kind = METHODS[method]
    hyper = default_hyper(method, config["task"], config["quality"], config["reading"])
    hyper |= config["hyper"]
    return resolve(build)(population.backbone, kind(**hyper))
