"""What is in a data set, and whether that is right."""

import json
from pathlib import Path

import numpy as np

from common.running.files import atomic
from envs.datasets.keys import family, key_at
from envs.datasets.loading import constants, episode_returns, load
from envs.storage import DataError

HEADER = [
    "task",
    "quality",
    "seed",
    "size",
    "steps",
    "episodes",
    "return",
    "sd",
    "level",
    "released return",
    "released level",
]


def describe(path: Path) -> list:
    """One table row about a built data set: returns and normalised level, ours and released."""
    data = load(path)
    facts = data["provenance"]
    task = facts["task"]
    quality = facts["quality"]
    returns = episode_returns(data)
    expert, random = constants(task)
    level = 100 * (returns.mean() - random) / (expert - random)  # nan where there is no expert
    arrays = data["arrays"]
    steps = int(arrays["filled"].sum()) if "filled" in arrays else len(arrays["rewards"])
    row = [task, quality, facts["seed"], facts["size"], steps, len(returns)]
    row += [f"{returns.mean():.2f}", f"{returns.std():.2f}", f"{level:.1f}"]
    released, top, bottom = (
        family(task).released(task, name) for name in (quality, "expert", "random")
    )
    if released is None:
        return [*row, "", ""]
    lowest = float(bottom["return_mean"])
    span = float(top["return_mean"]) - lowest
    released_level = 100 * (float(released["return_mean"]) - lowest) / span
    said = f"{released['return_mean']} +- {released['return_sd']}"
    return [*row, said, f"{released_level:.1f}"]


def episode_lengths(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """[episodes] steps of every whole episode."""
    if "filled" in arrays:  # whole episodes, padded
        return arrays["filled"].sum(1)
    ends = np.flatnonzero(arrays["terminals"] | arrays["timeouts"])
    return np.diff(np.concatenate([[-1], ends]))


def listed(paths: list[Path]) -> tuple[list[list], list[str]]:
    """Table rows of data sets, and what is wrong with those that cannot be loaded."""
    rows = []
    problems = []
    for path in paths:
        try:
            rows.append(describe(path))
        except DataError as error:
            problems.append(str(error))
    return rows, problems


def check(path: Path) -> str | None:
    """What is wrong with a data set, or None: it must load, and its mean return must be its
    policy's.
    """
    try:
        data = load(path)
    except DataError as error:
        return str(error)
    returns = episode_returns(data)
    expected = family(data["provenance"]["task"]).expected_return(data["provenance"])
    if expected is None:
        return None
    mean, spread, episodes = expected
    spread = max(spread or 0.0, returns.std())
    margin = 5 * spread * (1 / len(returns) + 1 / episodes) ** 0.5
    if abs(returns.mean() - mean) <= margin:
        return None
    seen = f"mean return {returns.mean():.2f}"
    return f"data set {path}: {seen}, expected {mean} +- {margin:.2f} as on the card"


def check_at(path: Path) -> str | None:
    """As `check`, of a file that must also lie where a data set belongs."""
    return check(path) if key_at(path) else f"{path} lies where no data set belongs; delete it"


def show(path: Path) -> None:
    """Prints statistics of one data set and draws a histogram of its returns beside the file."""
    data = load(path)
    arrays = data["arrays"]
    returns = episode_returns(data)
    lengths = episode_lengths(arrays)
    terminated = int(arrays["terminated" if "filled" in arrays else "terminals"].sum())
    print(json.dumps(data["provenance"], indent=1))
    for what, numbers in (("return", returns), ("length", lengths)):
        quartiles = np.percentile(numbers, [0, 25, 50, 75, 100]).round(2).tolist()
        spread = f"mean {numbers.mean():.2f}, sd {numbers.std():.2f}"
        print(f"{what} {spread}; min, quartiles, max {quartiles}")
    print(f"{int(lengths.sum())} steps, {len(returns)} episodes, {terminated} of them terminated")
    for key, array in arrays.items():
        print(f"  {key:24} {array.dtype} {list(array.shape)}")
    print(f"histogram: {draw_returns(path, data['provenance'], returns)}")


def draw_returns(path: Path, facts: dict, returns: np.ndarray) -> Path:
    """Draws a histogram of returns beside a data set; returns its file."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3.5), layout="constrained")
    axes.hist(returns, bins=60)
    axes.set(
        xlabel="episode return",
        ylabel="episodes",
        title=f"{facts['task']} {facts['quality']}, seed {facts['seed']}",
    )
    picture = path.with_suffix(".png")
    with atomic(picture) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
    pyplot.close(figure)
    return picture
