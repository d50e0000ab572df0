"""Data sets of the kinematic worlds: uniform random actions, rows of the whole world."""

import platform
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from common.learning.population import generator
from envs import joint
from envs.kinematic.worlds import ACTION_DIM, SCENARIOS, KinematicBatch, task_view
from envs.lockstep import deploy
from envs.storage import FORMAT

GENERATOR = 1  # raise it when a change alters the data
TASKS = tuple(SCENARIOS)
QUALITIES = ("random",)
SIZES = {"smoke": 5_000, "quick": 100_000, "standard": 200_000, "paper": 1_000_000}
SHIFTING_SIZES = SIZES | {"standard": 100_000, "paper": 100_000}  # not given in the paper
COLLECT_WORLDS = 200


def ships(task: str) -> bool:
    """Random data need no policies."""
    return True


def effort(task: str, quality: str) -> int:
    """Seconds each."""
    return 0


def qualities(task: str) -> tuple[str, ...]:
    """Data qualities of a task."""
    return QUALITIES


def constants(task: str) -> tuple[float, float]:
    """There is no expert here: results are raw returns."""
    return float("nan"), float("nan")


def train_behaviour(task: str) -> None:
    """Nothing to train: the data are random."""


def size_of(task: str, size: str) -> int:
    """Rows of a data set."""
    return (SHIFTING_SIZES if task == "shifting_navigation" else SIZES)[size]


def generate(task: str, quality: str, seeds: list[int], size: str) -> list[tuple[dict, dict]]:
    """Arrays by name in the file, and provenance, of the data set of each seed."""
    return [
        (collect(task, seed, size_of(task, size)), provenance(task, quality, seed, size))
        for seed in seeds
    ]


def collect(task: str, seed: int, steps: int) -> dict[str, np.ndarray]:
    """Rows [R, ...] of uniform random actions, episodes one after the other."""
    batch = KinematicBatch(task, min(COLLECT_WORLDS, max(1, steps // SCENARIOS[task].horizon)))
    starts, actions = (
        generator(seed, f"data/{task}/{purpose}") for purpose in ("starts", "actions")
    )

    def act(states: np.ndarray) -> np.ndarray:
        return torch.empty(len(states), batch.action_dim).uniform_(-1, 1, generator=actions).numpy()

    return {key: values[0] for key, values in deploy(batch, act, [starts], steps).items()}


def provenance(task: str, quality: str, seed: int, size: str) -> dict:
    """What a data set's file says about itself."""
    return {
        "format": FORMAT,
        "generator": GENERATOR,
        "task": task,
        "quality": quality,
        "seed": seed,
        "size": size,
        "rows": size_of(task, size),
        "environment": {"family": "kinematic", "horizon": SCENARIOS[task].horizon},
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
    }


def extract(file, facts: dict) -> dict[str, np.ndarray]:
    """Arrays [R, ...] of an open file."""
    return joint.extract(file)


def validate(path: Path, arrays: dict[str, np.ndarray], facts: dict) -> None:
    """Raises DataError unless the rows are what this world can have done, see `joint.validate`."""
    scenario = SCENARIOS[facts["task"]]
    points = scenario.num_agents + scenario.others
    joint.validate(path, arrays, 2 * points, ACTION_DIM * scenario.num_agents, scenario.horizon)


def transitions(data: dict) -> dict[str, Tensor]:
    """What learners need of a loaded data set, see `joint.transitions`."""
    return joint.transitions(data["arrays"], task_view(data["provenance"]["task"]))


def episode_returns(data: dict) -> np.ndarray:
    """[episodes] undiscounted returns of finished episodes."""
    return joint.episode_returns(data["arrays"])


def released(task: str, quality: str) -> None:
    """Nothing was released."""


def expected_return(facts: dict) -> None:
    """No card: nothing to compare with."""
