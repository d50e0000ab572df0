"""Which data sets a cell learns from, and which code decides its numbers."""

from common.running.cells import Cell
from common.running.sources import module_of
from envs import datasets
from envs.tasks import TASKS
from papers.cast_bcq.config import METHODS

DATA_SEED = 0  # there is one data set of each quality
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
    quality = config["quality"]
    if config.get("uncoordinated") == "snapshots":
        quality = "uncoordinated-snapshots"
    return datasets.DataSets(config["task"], quality, {0: DATA_SEED}, config["data_size"])


DATA = datasets.CellData(data_sets)


def roots(cell: Cell) -> list[str]:
    """Modules whose imports decide the cell's numbers."""
    task = cell.config["task"]
    if task == "grid":
        return ["papers.cast_bcq.grid"]
    fights = TASKS[task].name == "battles"
    method = cell.config["method"]
    learner = BATTLE_LEARNERS[method] if fights else METHODS[method][0]
    trained_by = "battles" if fights else "training"
    return [f"papers.cast_bcq.{trained_by}", module_of(learner), *TASKS[task].modules]
