"""What a data set's file says about its returns, so that nobody has to read its arrays for it.

Numbers in the group `statistics`, written when the file is made; `load` holds them against the
arrays.
"""

import math
from pathlib import Path

import numpy as np

from envs.datasets.keys import family

GROUP = "statistics"
SATURATED = 0.95  # an action component beyond it is at its bound


class Tree(dict):
    """Arrays by their names in a file, read as the open file is: groups are trees, too."""

    def __getitem__(self, name: str):
        if name in self.keys():
            return super().__getitem__(name)
        inside = {key.removeprefix(f"{name}/"): value for key, value in self.items()}
        tree = Tree({key: value for key, value in inside.items() if key not in self.keys()})
        if not tree:
            raise KeyError(name)
        return tree


def with_statistics(path: Path, arrays: dict[str, np.ndarray], facts: dict) -> dict:
    """What is to be written of a data set: its arrays by their names in the file, and the
    statistics.

    Raises:
        DataError: the arrays are no data of their task.
    """
    module = family(facts["task"])
    extracted = module.extract(Tree(arrays), facts)
    module.validate(path, extracted, facts)
    found = of(extracted, facts)
    return arrays | {f"{GROUP}/{name}": np.array([value]) for name, value in found.items()}


def of(arrays: dict[str, np.ndarray], facts: dict) -> dict[str, float]:
    """Statistics of a data set's arrays, as `load` has them.

    Returns:
        mean, standard deviation, least and largest return of an episode; number of episodes and
        steps; mean steps of an episode; share of episodes that ended before the clock; share of
        action components beyond `SATURATED`, NaN for battles.
    """
    returns = family(facts["task"]).episode_returns({"arrays": arrays, "provenance": facts})
    lengths = episode_lengths(arrays)
    padded = "filled" in arrays
    ended = arrays["terminated" if padded else "terminals"].sum()
    there = len(returns) > 0
    return {
        "return_mean": float(returns.mean()) if there else math.nan,
        "return_sd": float(returns.std()) if there else math.nan,
        "return_min": float(returns.min()) if there else math.nan,
        "return_max": float(returns.max()) if there else math.nan,
        "episodes": float(len(returns)),
        "steps": float(arrays["filled"].sum() if padded else len(arrays["rewards"])),
        "length": float(lengths.mean()) if there else math.nan,
        "terminated": float(ended / len(returns)) if there else math.nan,
        "saturated": math.nan if padded else float((abs(arrays["actions"]) > SATURATED).mean()),
    }


def episode_lengths(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """[episodes] steps of every whole episode."""
    if "filled" in arrays:  # whole episodes, padded
        return arrays["filled"].sum(1)
    ends = np.flatnonzero(arrays["terminals"] | arrays["timeouts"])
    return np.diff(np.concatenate([[-1], ends]))


def read(file) -> dict[str, float]:
    """The statistics in an open file; {} in one that was made before there were any."""
    if GROUP not in file:
        return {}
    return {name: float(value[0]) for name, value in file[GROUP].items()}


def wrong(stored: dict[str, float], arrays: dict[str, np.ndarray], facts: dict) -> str:
    """What a file says about its arrays and is not so: a few words, "" if all is."""
    for name, value in of(arrays, facts).items():
        said = stored.get(name)
        if said is None:
            return f"it has no {name} among its statistics"
        if not np.isclose(said, value, rtol=1e-6, atol=1e-9, equal_nan=True):
            return f"its {name} is {value:.6g}, but it says {said:.6g}"
    return ""
