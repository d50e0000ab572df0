"""The cells of OMAR's tables, and the Sacred experiment that trains one of them.

    python papers/omar/experiment.py with task=world quality=expert method=omar quick

A cell is a method on a data set with its settings; table scripts are lists of cells (see table3.py).
"""

from tqdm import tqdm

from common import experiment, work
from common.cells import Cell
from envs import datasets
from papers.omar import training
from papers.omar.settings import LABELS, METHODS, QUALITIES, READINGS, TASKS, default_backbone, default_hyper, update_rounds

# What differs between the presets. rounds: None for the paper's own; a share of it otherwise.
PRESETS = {
    "smoke": dict(seeds=[0, 1], data_size="smoke", rounds=4, eval_every=2, eval_episodes=2, final_episodes=2, batch_size=32),
    "quick": dict(seeds=[0, 1, 2], data_size="quick", rounds=400, eval_every=50, eval_episodes=10, final_episodes=50, batch_size=128),
    "paper": dict(seeds=[0, 1, 2, 3, 4], data_size="paper", rounds=None, eval_every=50, eval_episodes=10, final_episodes=100, batch_size=1024),
}  # fmt: skip


def make_cell(
    preset: str,
    task: str,
    quality: str,
    method: str,
    reading: str = "released",
    seeds: list[int] | None = None,
    backbone: dict | None = None,
    hyper: dict | None = None,
    rounds: int | None = None,
    repeat_minibatches: bool = False,
) -> Cell:
    """One cell with everything resolved.

    Args:
        backbone, hyper: what differs from the defaults of the reading (names of the dataclass fields).
        rounds: update rounds instead of the preset's.
    """
    sizes = PRESETS[preset]
    changed_backbone, changed_hyper = dict(backbone or {}), dict(hyper or {})
    resolved_backbone = default_backbone(reading) | {"batch_size": sizes["batch_size"]} | changed_backbone
    resolved_hyper = default_hyper(method, task, quality, reading) | changed_hyper
    config = {
        "task": task,
        "quality": quality,
        "method": method,
        "reading": reading,
        "seeds": list(seeds or sizes["seeds"]),
        "data_size": sizes["data_size"],
        "rounds": rounds or sizes["rounds"] or update_rounds(task, quality),
        "eval_every": sizes["eval_every"],
        "eval_episodes": sizes["eval_episodes"],
        "final_episodes": sizes["final_episodes"],
        "repeat_minibatches": repeat_minibatches,
        "backbone": resolved_backbone,
        "hyper": {k: list(v) if isinstance(v, tuple) else v for k, v in resolved_hyper.items()},
    }
    parts = [task, quality, method]
    if reading != "released":
        parts.append(reading)
    if repeat_minibatches:
        parts.append("repeat_minibatches")
    parts += [f"{key}={value}" for key, value in sorted((changed_backbone | changed_hyper).items())]
    if rounds:
        parts.append(f"rounds={rounds}")
    if seeds and list(seeds) != sizes["seeds"]:
        parts.append("seeds=" + "-".join(map(str, seeds)))
    return Cell("omar", preset, "/".join(parts), config)

# Seconds per agent-update and row of a minibatch, one core (Xeon at 2.8 GHz), for the cost estimates
UNIT_COST = {"omar": 16e-6, "ma_cql": 11e-6, "ma_td3bc": 4.5e-6, "ma_icq": 3.5e-6}


def cost(cell: Cell) -> float:
    """Estimated seconds on one core."""
    config = cell.config
    samples = config["hyper"].get("iterations", 3) * config["hyper"].get("samples", 10)
    unit = UNIT_COST[config["method"]] * (1 + 0.4 * (samples / 30 - 1) if config["method"] == "omar" else 1)
    agents = int(config["task"][-1]) if config["task"].startswith("spread_1d") else 3
    backbone = config["backbone"]
    unit *= (0.3 + 0.7 * backbone["actor_updates"]) * (1.3 if backbone["centralised"] else 1)
    per_round = unit * backbone["batch_size"] + 1e-4
    return per_round * agents * len(config["seeds"]) * config["rounds"] + 1


def prepare(cell: Cell) -> None:
    """Builds the cell's data sets if they are missing."""
    datasets.build(cell.config["task"], cell.config["quality"], cell.config["seeds"], cell.config["data_size"], say=tqdm.write)


PAPER = work.Paper(
    name="omar",
    sources=training.SOURCES,
    program_key=training.program_key,
    checksums=training.data_checksums,
    prepare=prepare,
    train=training.train,
    record=experiment.record_cell,
    cost=cost,
)
