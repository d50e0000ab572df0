"""Statistics of a cell: mean, standard deviation, interquartile mean and a bootstrap interval over
seeds.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import stats

RESAMPLES = 10_000


def iqm(values: np.ndarray) -> float:
    """Interquartile mean: the mean without the lowest and highest quarter (Agarwal et al., 2021)."""
    return float(stats.trim_mean(values, 0.25))


def bootstrap_interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean over seeds; the resamples are seeded, so it is the
    same each time.
    """
    values = np.asarray(values, float)
    picks = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(values[picks].mean(1), [tail, 100 - tail])
    return float(low), float(high)


def summary(values: list[float | None]) -> dict:
    """Mean, sd (over n, as the papers' code), IQM and 95 % interval of one value per seed.

    Seeds without a finite value diverged: they are counted in `diverged`, and the rest is
    summarised.
    """
    finite = np.array(
        [value for value in values if value is not None and math.isfinite(value)], float
    )
    facts = {"n": len(values), "diverged": len(values) - len(finite)}
    if not len(finite):
        return facts | {"mean": None, "std": None, "iqm": None, "low": None, "high": None}
    low, high = bootstrap_interval(finite)
    return facts | {
        "mean": float(finite.mean()),
        "std": float(finite.std()),
        "iqm": iqm(finite),
        "low": low,
        "high": high,
    }


def standard_error(facts: dict) -> float:
    """Standard error of a summary's mean from its sd over n; infinite below two seeds."""
    count = facts["n"] - facts["diverged"]
    return facts["std"] / math.sqrt(count - 1) if count > 1 else math.inf


class Student(NamedTuple):
    """Uncertainty of a sum or mean of independent parts: standard error and degrees of freedom
    (Welch-Satterthwaite).
    """

    error: float
    freedom: float

    def half(self, level: float = 0.95) -> float:
        """Half the width of the t interval."""
        return float(stats.t.ppf(0.5 + level / 2, self.freedom)) * self.error if self.error else 0.0

    def p(self, gap: float) -> float:
        """Two-sided p-value of a difference as large as `gap` where there is none."""
        return (
            float(2 * stats.t.sf(abs(gap) / self.error, self.freedom))
            if self.error
            else float(gap == 0)
        )


def student(parts: list[tuple[float, int]]) -> Student:
    """Of parts with these variances of their means and degrees of freedom."""
    variance = math.fsum(part for part, _ in parts)
    return Student(
        math.sqrt(variance),
        variance**2 / math.fsum(part**2 / df for part, df in parts) if variance else math.inf,
    )


def against(
    facts: dict, mean: float, std: float | None, count: int
) -> tuple[float, float, float] | None:
    """95 % interval of ours minus published, and the p-value of no difference: Welch's t from both
    summaries.

    Args:
        facts: our summary.
        mean, std, count: the published mean, its sd (over n, as ours) and number of runs. Without
            an sd the published mean is taken as exact, and the interval is that of our mean.

    Returns:
        None with fewer than three runs of ours.
    """
    ours = facts["n"] - facts["diverged"]
    if facts["mean"] is None or ours < 3:
        return None
    parts = [(facts["std"] ** 2 / (ours - 1), ours - 1)]
    if std is not None and count > 1:
        parts.append((std**2 / (count - 1), count - 1))
    found, gap = student(parts), facts["mean"] - mean
    return gap - found.half(), gap + found.half(), found.p(gap)


def holm(values: list[float]) -> list[float]:
    """P-values adjusted for their number (Holm, 1979), in the same order."""
    order, found, least = (
        sorted(range(len(values)), key=values.__getitem__),
        [0.0] * len(values),
        0.0,
    )
    for rank, index in enumerate(order):
        least = max(least, min(1.0, (len(values) - rank) * values[index]))
        found[index] = least
    return found


def comparisons(entries: list[dict], published: dict, count: int) -> dict[tuple[str, str], dict]:
    """How every entry of a table stands to its published number: interval of the difference, and a
    word.

    `differs` where Holm's p-value over the table's compared entries is below 0.05, `consistent`
    where the interval of the difference contains 0, `too few runs` in between and below three runs:
    the interval leaves 0 out, but that happens to one of twenty entries by chance. Scores made at a
    smaller budget than the paper's differ for that reason alone.

    Args:
        entries: summaries with row and column; published: {(row, column): (mean, sd or None)};
            count: its runs.
    """
    found, tested = {}, {}
    for entry in entries:
        key = entry["row"], entry["column"]
        if (
            key in published and entry["mean"] is not None and entry["cells"]
        ):  # a number of the configuration is no sample
            result = against(entry, *published[key], count)
            found[key] = {"low": None, "high": None, "word": "too few runs"}
            if result:
                found[key], tested[key] = {"low": result[0], "high": result[1]}, result[2]
    for key, p in zip(tested, holm(list(tested.values())), strict=True):
        inside = found[key]["low"] <= 0 <= found[key]["high"]
        found[key] |= {
            "p": p,
            "word": "differs" if p < 0.05 else "consistent" if inside else "too few runs",
        }
    return found


def probability_of_improvement(
    tasks: list[tuple[np.ndarray, np.ndarray]],
) -> tuple[float, float, float]:
    """Chance that a run of the first method beats one of the second on the same task, mean over
    tasks (Agarwal et al., 2021).

    Args:
        tasks: of every task the runs of both methods; ties count half.

    Returns:
        The probability and its 95 % interval by a bootstrap of runs within tasks, seeded.
    """

    def mean(first, second) -> float:
        gaps = first[..., :, None] - second[..., None, :]
        return ((gaps > 0) + 0.5 * (gaps == 0)).mean((-1, -2))

    random = np.random.default_rng(0)
    drawn = [
        mean(
            *(runs[random.integers(len(runs), size=(RESAMPLES // 10, len(runs)))] for runs in pair)
        )
        for pair in tasks
    ]
    low, high = np.percentile(np.mean(drawn, 0), [2.5, 97.5])
    return float(np.mean([mean(*pair) for pair in tasks])), float(low), float(high)


def performance_profile(
    tasks: list[np.ndarray], at: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Share of a method's runs that score above each of some values, mean over tasks (Agarwal et
    al., 2021, section 4.2).

    Args:
        tasks: of every task the runs; at: [T] values.

    Returns:
        The shares [T], and a pointwise 95 % band by a bootstrap of runs within tasks, seeded.
    """
    random = np.random.default_rng(0)
    shares = [(runs[:, None] > at).mean(0) for runs in tasks]
    drawn = [
        (runs[random.integers(len(runs), size=(RESAMPLES // 10, len(runs)))][..., None] > at).mean(
            1
        )
        for runs in tasks
    ]
    low, high = np.percentile(np.mean(drawn, 0), [2.5, 97.5], axis=0)
    return np.mean(shares, 0), low, high
