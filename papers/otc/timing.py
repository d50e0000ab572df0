"""Times updates of the same agents under three ways of choosing rows, in turns."""

import time
from dataclasses import replace

from common.running.cells import Cell
from papers.otc import training
from papers.otc.config import METHODS

UPDATES = {"smoke": 2, "quick": 20, "standard": 20, "paper": 100}  # per turn
TURNS = 3  # each turn is one measurement, reported as one "seed"
COMPARED = ("d_e", "d_q", "uniform")


def train(
    cells: list[Cell], device: str, checkpoint, progress=lambda done, total: None
) -> list[dict]:
    """Milliseconds of one agent's update under each of COMPARED, for each turn."""
    results = []
    for cell in cells:
        began, programs = time.monotonic(), {}
        for method in COMPARED:
            strategy, alpha, adaptive = METHODS[method]
            config = cell.config | {"strategy": strategy, "alpha": alpha, "adaptive": adaptive}
            programs[method] = training.Program([replace(cell, config=config)], device)
            steps = programs[method].updates()
            while programs[method].stage != "tuning":
                next(steps)
            next(steps)
        turns = []
        for turn in range(TURNS):
            spent = {}
            for method, program in programs.items():
                start = time.process_time() if device == "cpu" else time.monotonic()
                for _ in range(UPDATES[cell.preset]):
                    program.learner.update(program.experience.gather(program.sampler.choose()))
                seconds = (time.process_time() if device == "cpu" else time.monotonic()) - start
                spent[method] = (
                    1000
                    * seconds
                    / UPDATES[cell.preset]
                    / len(program.seeds)
                    / program.team.num_agents
                )
            turns.append({"seed": turn, "milliseconds": spent})
            progress(turn + 1, TURNS)
        made = training.provenance(cell, programs["d_e"].data[0], time.monotonic() - began, device)
        results.append(made | {"seeds": turns})
    return results
