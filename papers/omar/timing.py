"""Times updates of OMAR and MA-CQL in turns."""

import time

from common.running.cells import Cell
from papers.omar import training
from papers.omar.settings import METHODS, default_hyper

ROUNDS = {"smoke": 2, "quick": 10, "paper": 30}  # updates per turn
TURNS = 3  # each turn is one measurement, reported as one "seed"


def train(
    cells: list[Cell], device: str, checkpoint, progress=lambda done, total: None
) -> list[dict]:
    """Seconds of OMAR's updates over MA-CQL's for each turn, both on the cell's data and batch
    size.
    """
    results = []
    for cell in cells:
        began = time.monotonic()
        program = training.Program([cell], device)
        config = program.config
        learners = {}
        for method in ("ma_cql", "omar"):
            build, kind = METHODS[method]
            hyper = default_hyper(method, config["task"], config["quality"], config["reading"])
            learners[method] = build(program.team, kind(**hyper))
        batch = program.replay.draw(program.team.config.batch_size)
        for learner in learners.values():
            learner.update(batch)
        seeds = []
        for turn in range(TURNS):
            spent = {}
            for method, learner in learners.items():
                start = time.process_time() if device == "cpu" else time.monotonic()
                for _ in range(ROUNDS[cell.preset]):
                    learner.update(program.replay.draw(program.team.config.batch_size))
                spent[method] = (
                    time.process_time() if device == "cpu" else time.monotonic()
                ) - start
            seeds.append({"seed": turn, "percent": 100 * (spent["omar"] / spent["ma_cql"] - 1)})
            progress(turn + 1, TURNS)
        results.append(
            training.provenance(cell, program.data[0], time.monotonic() - began, device)
            | {"seeds": seeds}
        )
    return results
