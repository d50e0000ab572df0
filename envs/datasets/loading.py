"""Reading data sets, and what learners need of them."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from envs import storage
from envs.datasets.keys import IMPORTED, family, key_at
from envs.datasets.recipes import changes, check_place
from envs.storage import DataError

if TYPE_CHECKING:
    from torch import Tensor


def load(path: Path, verify: bool = True) -> dict:
    """One data set, validated.

    Returns:
        `arrays`: per key [R, ...] (in the particle worlds [R, N, ...]); `provenance`; `sha256`.

    Raises:
        DataError: the file is missing, changed since it was written, cut off, another data set or
            of another recipe than what belongs in its place, or its contents do not fit together.
    """
    key = key_at(path)
    remedy = key.remedy if key else "build it again"

    def extract(file, facts: dict) -> dict[str, np.ndarray]:
        if key:
            check_place(path, key, facts)
        return family(facts["task"]).extract(file, facts)

    data = storage.read(path, extract, verify, remedy)
    facts = data["provenance"]
    if key:
        names = changes(key, facts, storage.code(path))
        if names:
            what = ", ".join(names)
            raise DataError(
                f"data set {path} was built by another recipe ({what} changed); {remedy}"
            )
    try:
        family(facts["task"]).validate(path, data["arrays"], facts)
    except DataError as error:
        raise DataError(f"{error}; {remedy}") from error
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"data set {path} is no data of {facts['task']}: {error}; {remedy}"
        ) from error
    return data


def transitions(data: dict, **options) -> dict[str, "Tensor"]:
    """What learners need of a loaded data set: tensors [R, N, ...]; robots take `of`, the agents'
    view.
    """
    return family(data["provenance"]["task"]).transitions(data, **options)


def episode_returns(data: dict) -> np.ndarray:
    """[episodes] undiscounted returns, mean over agents."""
    return family(data["provenance"]["task"]).episode_returns(data)


def constants(task: str, **options) -> tuple[float, float]:
    """Expert and random return that normalised scores of a task are relative to."""
    return family(task).constants(task, **options)


def scale(task: str, size: str) -> dict:
    """`constants` by name, "expert" and "random", for data of a size; of imported data D4RL's own,
    marked with "from".
    """
    if size in IMPORTED:
        expert, random = constants(task, source="d4rl")
        return {"expert": expert, "random": random, "from": "d4rl"}
    expert, random = constants(task)
    return {"expert": expert, "random": random}
