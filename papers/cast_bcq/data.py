"""Which data sets a cell learns from, and which code decides its numbers."""

from common.running.cells import Cell
from common.running.sources import module_of
from envs import datasets
from envs.tasks import TASKS

DATA_SEED = 0  # there is one data set of each quality
LEARNERS = {  # on the robots
    "bcq": "common.learning.bcq:BCQ",
    "i_bcq": "common.learning.bcq:BCQ",
    "mabcq": "papers.cast_bcq.baselines:MABCQ",
    "icq_ma": "papers.cast_bcq.baselines:ICQMA",
    "ours": "papers.cast_bcq.agents:ContinuousCAST",
}
BATTLE_LEARNERS = {
    "bc": "papers.cast_bcq.recurrent_baselines:RecurrentCloning",
    "i_bcq": "papers.cast_bcq.recurrent_baselines:RecurrentBCQ",
    "mabcq": "papers.cast_bcq.recurrent_baselines:RecurrentMABCQ",
    "icq_ma": "papers.cast_bcq.recurrent_baselines:RecurrentICQMA",
    "ours": "papers.cast_bcq.agents:RecurrentCAST",
}


def data_sets(cell: Cell) -> datasets.DataSets | None:
    """The cell's data set; the grid's are drawn when they are needed."""
    config = cell.config
    if config["task"] == "grid":
        return None
    return datasets.DataSets(config["task"], config["quality"], {0: DATA_SEED}, config["data_size"])


DATA = datasets.CellData(data_sets)


def roots(cell: Cell) -> list[str]:
    """Modules whose imports decide the cell's numbers."""
    task = cell.config["task"]
    if task == "grid":
        return ["papers.cast_bcq.grid"]
    fights = TASKS[task].name == "battles"
    learners = BATTLE_LEARNERS if fights else LEARNERS
    learner = module_of(learners[cell.config["method"]])
    trained_by = "battles" if fights else "training"
    return [f"papers.cast_bcq.{trained_by}", learner, *TASKS[task].modules]
