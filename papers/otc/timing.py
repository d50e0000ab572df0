"""Times updates of the same agents under three ways of choosing rows, in turns."""

import time
from dataclasses import replace
from pathlib import Path

from common.running import program
from common.running.cells import Cell
from common.running.program import Members
from papers.otc.config import METHODS
from papers.otc.training import OnlineTuning

UPDATES = {"smoke": 2, "quick": 10, "standard": 40, "paper": 100}  # per turn
TURNS = 10  # each turn is one measurement, reported as one "seed"
COMPARED = ("d_e", "d_q", "uniform")


def train(
    cells: list[Cell], device: str, checkpoint: Path, progress=lambda done, total: None
) -> list[dict]:
    """Milliseconds of one agent's update under each of COMPARED, for each turn."""
    results = []
    for cell in cells:
        began = time.monotonic()
        populations = {method: tuned(cell, method, device) for method in COMPARED}
        turns = []
        for turn in range(TURNS):
            spent = {}
            for method, tuning in populations.items():
                start = program.clock(device)
                for _ in range(UPDATES[cell.preset]):
                    tuning.learner.update(tuning.chosen())
                agents = len(tuning.seeds) * tuning.team.num_agents
                seconds = program.clock(device) - start
                spent[method] = 1000 * seconds / UPDATES[cell.preset] / agents
            turns.append({"seed": turn, "milliseconds": spent})
            progress(turn + 1, TURNS)
        data = populations["d_e"].data[0]
        made = program.made(cell, data, time.monotonic() - began, device)
        results.append(made | {"seeds": turns})
    return results


def tuned(cell: Cell, method: str, device: str) -> OnlineTuning:
    """The cell's agents under a way of choosing rows, after their first update online."""
    strategy, alpha, adaptive = METHODS[method]
    config = cell.config | {"strategy": strategy, "alpha": alpha, "adaptive": adaptive}
    tuning = OnlineTuning(Members([replace(cell, config=config)]), device)
    for done in range(tuning.schedule.before + 1):
        tuning.update(tuning.draw(done))
    return tuning
