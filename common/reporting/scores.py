"""Statistics of a table's entries: mean, standard deviation, interquartile mean and Student's t
interval over seeds; intervals of differences; how an entry stands to its published number.

No interval is a bootstrap: its percentiles cover half of what they promise at two seeds.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

WIDE = "too wide to tell"
CONFIDENCE = 0.95
Name = tuple[str, str]  # row and column of an entry


class Summary(NamedTuple):
    """One entry over its seeds.

    Attributes:
        n: seeds; diverged: those of them without a finite value, which nothing else counts.
        mean, std: over the others, sd over n as in the papers' code.
        iqm: interquartile mean.
        low, high: 95 % interval of the mean (Student's t); None below two seeds.
    """

    n: int
    diverged: int
    mean: float | None = None
    std: float | None = None
    iqm: float | None = None
    low: float | None = None
    high: float | None = None


class Summarised(Protocol):
    """An entry of a table, as far as statistics see it."""

    @property
    def name(self) -> Name:
        """Row and column."""

    @property
    def summary(self) -> Summary:
        """Over its seeds."""

    @property
    def cells(self) -> Sequence[Any]:
        """What it is computed from."""


class Against(NamedTuple):
    """Ours minus published: its 95 % interval, and the p-value of no difference."""

    low: float
    high: float
    p: float


class Comparison(NamedTuple):
    """How an entry stands to its published number, in a word; no interval below three runs."""

    word: str
    low: float | None = None
    high: float | None = None

    def verdict(self, decimals: int) -> str:
        """The word; of an entry that does not differ also from which gap on it would have."""
        if self.word not in ("consistent", WIDE) or self.low is None or self.high is None:
            return self.word
        return f"{self.word}, sees gaps above {(self.high - self.low) / 2:.{decimals}f}"


class Student(NamedTuple):
    """Uncertainty of a sum or mean of independent strata: standard error and degrees of freedom
    (Welch-Satterthwaite).
    """

    error: float
    freedom: float

    def half(self, level: float = CONFIDENCE) -> float:
        """Half the width of the t interval."""
        from scipy import special

        if not self.error:
            return 0.0
        return float(special.stdtrit(self.freedom, 0.5 + level / 2)) * self.error

    def p(self, gap: float) -> float:
        """Two-sided p-value of a difference as large as `gap` where there is none."""
        from scipy import special

        if not self.error:
            return float(gap == 0)
        return float(2 * special.stdtr(self.freedom, -abs(gap) / self.error))


def iqm(sample: np.ndarray) -> float:
    """Mean without the lowest and highest quarter (Agarwal et al., 2021)."""
    cut = len(sample) // 4
    return float(np.sort(sample)[cut : len(sample) - cut].mean())


def interval(sample: np.ndarray, level: float = CONFIDENCE) -> tuple[float, float]:
    """Student's t interval of a mean over seeds; infinite for a single one."""
    mean = float(sample.mean())
    if len(sample) < 2:
        return -math.inf, math.inf
    half = student([(sample.var(ddof=1) / len(sample), len(sample) - 1)]).half(level)
    return mean - half, mean + half


def hits_of(sample: np.ndarray) -> tuple[int, int]:
    """How many of values that are 0 or 100 are 100, and how many there are.

    Raises:
        ValueError: there are others.
    """
    hits = int((sample == 100).sum())
    if hits + (sample == 0).sum() < len(sample):
        raise ValueError(f"values {sorted({*sample.tolist()})} are not all 0 or 100")
    return hits, len(sample)


def readable(mean: float, low: float, high: float, sign: str = "") -> str:
    """mean [low, high], for people: with two digits of the interval's half-width, and as many more
    as keep a bound that is not 0 from being read as 0.

    Args:
        sign: "+" for one before a positive mean.
    """
    half = (high - low) / 2
    if not (0 < half < math.inf):
        return f"{mean:{sign}.4g} [{low:.4g}, {high:.4g}]"
    decimals = max(0, 1 - math.floor(math.log10(half)))
    while any(bound and not round(bound, decimals) for bound in (low, high)):
        decimals += 1
    return f"{mean:{sign}z.{decimals}f} [{low:z.{decimals}f}, {high:z.{decimals}f}]"


def exact_interval(hits: int, count: int, level: float = CONFIDENCE) -> tuple[float, float]:
    """Clopper and Pearson's interval of a share, in [0, 1]."""
    from scipy import stats

    found = stats.binomtest(hits, count).proportion_ci(level, method="exact")
    return float(found.low), float(found.high)


def exact_p(hits: int, count: int, share: float) -> float:
    """Two-sided p-value of a true share: twice the smaller tail, as of `exact_interval`."""
    from scipy import stats

    of_share = stats.binom(count, share)
    return float(min(1.0, 2 * min(of_share.cdf(hits), of_share.sf(hits - 1))))


def summary(sample: list[float | None], share: bool = False) -> Summary:
    """The summary of one value per seed; None and what is not finite diverged.

    Args:
        share: values are 0 or 100, and the interval is that of a share.
    """
    finite = np.array(
        [value for value in sample if value is not None and math.isfinite(value)], float
    )
    diverged = len(sample) - len(finite)
    if not len(finite):
        return Summary(len(sample), diverged)
    low, high = map(bound, interval(finite))
    if share:
        low, high = (100 * end for end in exact_interval(*hits_of(finite)))
    mean = float(finite.mean())
    return Summary(len(sample), diverged, mean, float(finite.std()), iqm(finite), low, high)


def bound(value: float) -> float | None:
    """None for infinity."""
    return value if math.isfinite(value) else None


def student(strata: list[tuple[float, int]]) -> Student:
    """Of strata with these variances of their means and degrees of freedom."""
    variance = math.fsum(share for share, _ in strata)
    if not variance:
        return Student(0.0, math.inf)
    freedom = variance**2 / math.fsum(share**2 / df for share, df in strata)
    return Student(math.sqrt(variance), freedom)


def against(facts: Summary, mean: float, std: float | None, count: int) -> Against | None:
    """Welch's t from both summaries, ours minus published; None with fewer than three runs of ours.

    Args:
        facts: our summary.
        mean, std, count: the published mean, its sd (over n, as ours) and number of runs. Without
            an sd the published mean is taken as exact, and the interval is that of our mean.
    """
    ours = facts.n - facts.diverged
    if facts.mean is None or facts.std is None or ours < 3:
        return None
    strata = [(facts.std**2 / (ours - 1), ours - 1)]
    if std is not None and count > 1:
        strata.append((std**2 / (count - 1), count - 1))
    welch = student(strata)
    gap = facts.mean - mean
    return Against(gap - welch.half(), gap + welch.half(), welch.p(gap))


def holm(p_values: list[float], family: int | None = None) -> list[float]:
    """P-values adjusted for the number of their family (Holm, 1979), in the same order.

    Args:
        family: how many there are with those not known yet, which may turn out smaller or larger;
            by default these are all.
    """
    count = len(p_values) if family is None else family
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted = [0.0] * len(p_values)
    least = 0.0
    for rank, index in enumerate(order):
        least = max(least, min(1.0, (count - rank) * p_values[index]))
        adjusted[index] = least
    return adjusted


def apart(name: Name, published: dict[Name, tuple[float, float | None]]) -> float:
    """Between the lowest and the highest published mean of an entry's row; of the whole table where
    the row has no other.
    """
    of_row = [mean for (row, _), (mean, _) in published.items() if row == name[0]]
    means = of_row if len(of_row) > 1 else [mean for mean, _ in published.values()]
    return max(means) - min(means)


def comparisons(
    entries: Sequence[Summarised], published: dict[Name, tuple[float, float | None]], count: int
) -> dict[Name, Comparison]:
    """How every entry of a table stands to its published number: interval of the difference, and a
    word.

    `differs` where Holm's p-value over the table's compared entries is below 0.05, `consistent`
    where the interval of the difference contains 0, `not significant after correction` in between:
    the interval leaves 0 out, but that happens to one of twenty entries by chance. `too wide to
    tell` instead of consistent where half the interval is more than what lies between the published
    methods of the row: it would not have told the best of them from the worst. `too few runs` below
    three. Scores made at a smaller budget than the paper's differ for that reason alone.

    Args:
        entries: of one table; numbers of the configuration (without cells) are no samples.
        published: mean and sd of every entry; count: runs behind each.
    """
    compared: dict[Name, Comparison] = {}
    tested: dict[Name, Against] = {}
    for entry in entries:
        if entry.name in published and entry.summary.mean is not None and entry.cells:
            result = against(entry.summary, *published[entry.name], count)
            compared[entry.name] = Comparison("too few runs")
            if result:
                tested[entry.name] = result
    adjusted = holm([result.p for result in tested.values()])
    for (name, result), p in zip(tested.items(), adjusted, strict=True):
        word = "not significant after correction"
        if p < 1 - CONFIDENCE:
            word = "differs"
        elif result.low <= 0 <= result.high:
            wide = (result.high - result.low) / 2 > (apart(name, published) or math.inf)
            word = WIDE if wide else "consistent"
        compared[name] = Comparison(word, result.low, result.high)
    return compared


def probability_of_improvement(
    tasks: list[tuple[np.ndarray, np.ndarray]],
) -> tuple[float, float, float]:
    """Chance that a run of the first method beats one of the second on the same task, mean over
    tasks (Agarwal et al., 2021).

    Args:
        tasks: of every task the runs of both methods; ties count half.

    Returns:
        The probability and its 95 % interval, Student's t with DeLong's variance: of each run, the
        share of the other method's runs that it beats. All of [0, 1] with a single run. Without any
        variance, where on every task one method's runs all beat the other's, the exact interval of
        as many pairs as share no run.
    """
    gaps = [first[:, None] - second[None, :] for first, second in tasks]
    wins = [(gap > 0) + 0.5 * (gap == 0) for gap in gaps]
    mean = float(np.mean([task.mean() for task in wins]))
    shares = [task.mean(axis) for task in wins for axis in (0, 1)]
    if min(map(len, shares)) < 2:
        return mean, 0.0, 1.0
    strata = [
        (float(beaten.var(ddof=1)) / len(beaten) / len(tasks) ** 2, len(beaten) - 1)
        for beaten in shares
    ]
    of_mean = student(strata)
    if not of_mean.error:
        won = [(min(task.shape) * task.mean(), min(task.shape)) for task in wins]
        hits, pairs = map(sum, zip(*won, strict=True))
        return mean, *exact_interval(round(hits), pairs)
    half = of_mean.half()
    return mean, max(0.0, mean - half), min(1.0, mean + half)


def performance_profile(
    tasks: list[np.ndarray], at: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Share of a method's runs that score above each of some values, mean over tasks (Agarwal et
    al., 2021, section 4.2).

    Args:
        tasks: of every task the runs; at: [T] values.

    Returns:
        The shares [T], and a pointwise 95 % band, Student's t of runs within tasks.
    """
    above = [(runs[:, None] > at).astype(float) for runs in tasks]
    shares = np.mean([runs.mean(0) for runs in above], 0)
    halves = np.array([half_of_shares(above, index) for index in range(len(at))])
    return shares, np.clip(shares - halves, 0.0, 1.0), np.clip(shares + halves, 0.0, 1.0)


def half_of_shares(above: list[np.ndarray], index: int) -> float:
    """Half the width of the interval of a mean over tasks.

    Args:
        above: of every task [runs, T], 1 where a run scores above a value; index: of the value.
    """
    if min(map(len, above)) < 2:
        return math.inf
    strata = [
        (float(runs[:, index].var(ddof=1)) / len(runs) / len(above) ** 2, len(runs) - 1)
        for runs in above
    ]
    return student(strata).half()
