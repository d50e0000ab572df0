"""What is in a data set, and whether that is right."""

import json
from pathlib import Path

import numpy as np

from common.running.files import atomic
from envs import storage
from envs.datasets import comparison, recipes, statistics
from envs.datasets.comparison import Ours
from envs.datasets.keys import Key, family, key_at
from envs.datasets.loading import episode_returns, load
from envs.datasets.statistics import episode_lengths
from envs.storage import DataError

HEADER = [
    "task",
    "quality",
    "size",
    "seeds",
    "rows",
    "return",
    "level",
    "steps",
    "|a|>0.95",
    "ended",
    "released",
    "level",
    "steps",
    "rows",
    "",
]
LEGEND = """\
return, level, steps: of an episode; level 0 is the random and 100 the expert return that the
authors' scores are relative to (OMAR, D4RL, MOMA-PPO), ours where none were released; ended: share
of episodes before the clock. size card: not built, from the cards of the behaviour policies.
Why something is off is written in envs/datasets/deviations.csv"""


def statistics_at(path: Path) -> tuple[Key, dict[str, float]]:
    """Which data set a file is, and its statistics; no array is read, no checksum compared.

    Raises:
        DataError: it cannot be read, is another data set than what belongs there, or of another
            recipe.
    """
    key = key_at(path)
    if not key:
        raise DataError(misplaced(path))
    data = storage.read(path, lambda file, facts: statistics.read(file), False, key.remedy)
    recipes.check_place(path, key, data["provenance"])
    names = recipes.changes(key, data["provenance"], storage.code(path))
    if names or not data["arrays"]:
        why = f"was built by another recipe ({', '.join(names)} changed)"
        raise DataError(f"data set {path} {why if names else 'has no statistics'}; {key.remedy}")
    return key, data["arrays"]


def described(paths: list[Path]) -> tuple[list[Ours], list[str]]:
    """Data sets by task, quality and size, and what is wrong with those that cannot be read."""
    kinds: dict[tuple[str, str, str], dict[int, dict[str, float]]] = {}
    problems = []
    for path in paths:
        try:
            key, found = statistics_at(path)
            kinds.setdefault((key.task, key.quality, key.size), {})[key.seed] = found
        except DataError as error:
            problems.append(str(error))
    return [comparison.built(*kind, by_seed) for kind, by_seed in kinds.items()], problems


def row_of(ours: Ours) -> list[str]:
    """A line of the table about data sets of one task, quality and size."""
    mine, theirs = ours.figures, comparison.released(ours.task, ours.quality)
    verdict = comparison.judged(ours)
    words = comparison.off(ours)
    judgement = f"off: {', '.join(words)}" if words else "near" if verdict else ""
    return [
        ours.task,
        ours.quality,
        ours.size,
        " ".join(map(str, ours.seeds)),
        rounded(mine.rows, 0),
        spread(mine.return_mean, mine.return_sd),
        rounded(comparison.level(ours.task, mine.return_mean), 0),
        rounded(mine.length, 0),
        rounded(mine.saturated, 2),
        rounded(mine.terminated, 2),
        spread(theirs.get("return_mean"), theirs.get("return_sd")),
        rounded(comparison.level(ours.task, theirs.get("return_mean")), 0),
        rounded(theirs.get("length"), 0),
        rounded(theirs.get("transitions"), 0),
        judgement,
    ]


def spread(mean: float | None, sd: float | None) -> str:
    """A mean and its standard deviation, as far as they are known."""
    if mean is None:
        return ""
    decimals = 0 if abs(mean) >= 1000 else 1 if abs(mean) >= 100 else 2
    return rounded(mean, decimals) + (f" +- {rounded(sd, decimals)}" if sd is not None else "")


def rounded(value: float | None, decimals: int) -> str:
    """A number, "" where it is not known."""
    return "" if value is None else f"{round(value, decimals) + 0:.{decimals}f}"


def summary(sets: list[Ours]) -> str:
    """How many data sets are near their released twins, and which are not."""
    with_twin = [ours for ours in sets if comparison.judged(ours)]
    others = [ours for ours in with_twin if comparison.off(ours)]
    near = f"{len(with_twin) - len(others)} of {len(with_twin)} near their released twins"
    named = [
        f"{ours.task} {ours.quality} {ours.size} ({', '.join(comparison.off(ours))})"
        for ours in others
    ]
    return f"{near}; off: {', '.join(named)}" if others else near


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
    return check(path) if key_at(path) else misplaced(path)


def misplaced(path: Path) -> str:
    """What to say about a file that is no data set."""
    return f"{path} lies where no data set belongs; delete it"


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
