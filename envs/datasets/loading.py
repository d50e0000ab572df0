"""Reading data sets, and what learners need of them."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from envs import storage
from envs.datasets import statistics
from envs.datasets.keys import IMPORTED, family, key_at
from envs.datasets.recipes import changes, check_place
from envs.released import CONSTANTS
from envs.storage import DataError

if TYPE_CHECKING:
    from torch import Tensor

# Whose constants the scores on imported data are relative to
CONSTANTS_OF = {"d4rl": "d4rl", "minari": "d4rl", "omar": "omar"}


def load(path: Path, verify: bool = True) -> dict:
    """One data set, validated.

    Returns:
        `arrays`: per key [R, ...] (in the particle worlds [R, N, ...]); `statistics` (see
        `envs.datasets.statistics.of`); `provenance`; `sha256`.

    Raises:
        DataError: the file is missing, changed since it was written, cut off, another data set or
            of another recipe than what belongs in its place, its contents do not fit together, or
            they are not what its statistics say.
    """
    key = key_at(path)
    remedy = key.remedy if key else "build it again"
    stored: dict[str, float] = {}

    def extract(file, facts: dict) -> dict[str, np.ndarray]:
        if key:
            check_place(path, key, facts)
        stored.update(statistics.read(file))
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
    if not stored:
        raise DataError(f"data set {path} has no statistics; {remedy}")
    if wrong := statistics.wrong(stored, data["arrays"], facts):
        raise DataError(f"data set {path}: {wrong}; {remedy}")
    return data | {"statistics": stored}


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
    """`constants` by name, "expert" and "random", for data of a size; of imported data those that
    the authors' scores are relative to, marked with "from".

    Raises:
        DataError: imported data of a task whose authors' constants are not known.
    """
    if size not in IMPORTED:
        expert, random = constants(task)
        return {"expert": expert, "random": random}
    found = released_constants(task)
    if found is None:
        raise DataError(f"no released constants of {task} are known, which imported data need")
    expert, random = found
    return {"expert": expert, "random": random, "from": CONSTANTS_OF[size]}


def released_constants(task: str) -> tuple[float, float] | None:
    """Expert and random return that the scores of a task's authors are relative to; None where they
    are not published.
    """
    expert, random = (family(task).released(task, name) for name in CONSTANTS)
    return (expert["return_mean"], random["return_mean"]) if expert and random else None
