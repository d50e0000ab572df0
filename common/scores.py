"""Statistics of a cell: mean, standard deviation, interquartile mean and a bootstrap interval over seeds."""

import math

import numpy as np
from scipy import stats

RESAMPLES = 10_000


def iqm(values: np.ndarray) -> float:
    """Interquartile mean: the mean without the lowest and highest quarter (Agarwal et al., 2021)."""
    return float(stats.trim_mean(values, 0.25))


def bootstrap_interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean over seeds; the resamples are seeded, so it is the same each time."""
    values = np.asarray(values, float)
    picks = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(values[picks].mean(1), [tail, 100 - tail])
    return float(low), float(high)


def summary(values: list[float | None]) -> dict:
    """Mean, sd (over n, as the papers' code), IQM and 95 % interval of one value per seed.

    Seeds without a finite value diverged: they are counted in `diverged`, and the rest is summarised.
    """
    finite = np.array([value for value in values if value is not None and math.isfinite(value)], float)
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
