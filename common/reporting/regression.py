"""Fresh results against the committed reference: what `./run_all.sh diff` says, what it can see.

Where code, settings, data and the kind of machine are the same, so must every seed's number be.
Otherwise seeds must be there and must not diverge, and two tests look at their values: whether all
seeds of an entry moved (Student's t), and whether a single one lies where none of the others does
(the same, with that seed left out of the spread). A third looks at the mean of the whole table.
Together they raise a false alarm for one table in twenty (Holm). Times are shown, not judged.
"""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from common.reporting import scores, writer
from common.reporting.scores import Name, Student
from common.reporting.shown import Seeds, Shown
from common.reporting.stored import Stored
from common.reporting.tables import Table

FALSE_ALARMS = 0.05  # of a table
POWER = 0.8
ROUNDING = 1e-6  # of the numbers: less spread than that is none
WHOLE = ("(whole table)", "")
FINE = ("identical", "consistent", "time", "one seed")
DIFF = ["row", "column", "published", "reference", "fresh", "verdict"]
POWERS = ["table", "entries", "seeds", "one seed's sd", "one entry", "whole table", "unit"]


class Judgement(NamedTuple):
    """A verdict on an entry: its first words, and what is behind it."""

    word: str
    why: str = ""

    @property
    def regression(self) -> bool:
        """Whether the command fails for it."""
        return self.word not in FINE

    def __str__(self) -> str:
        return f"{self.word}: {self.why}" if self.why else self.word


class Pair(NamedTuple):
    """Finite values of an entry, fresh and of the reference."""

    ours: np.ndarray
    theirs: np.ndarray

    @property
    def freedom(self) -> int:
        """Degrees of freedom of their common spread."""
        return len(self.ours) + len(self.theirs) - 2

    @property
    def shift(self) -> float:
        """Fresh mean minus the reference's."""
        return float(self.ours.mean() - self.theirs.mean())

    def spread(self) -> float:
        """Standard deviation of one seed within the two samples."""
        squares = sum(float(((half - half.mean()) ** 2).sum()) for half in self)
        return math.sqrt(squares / self.freedom)

    def of_shift(self, spread: float) -> Student:
        """Uncertainty of the shift."""
        return Student(spread * math.sqrt(1 / len(self.ours) + 1 / len(self.theirs)), self.freedom)


def values(seeds: Seeds) -> np.ndarray:
    """Those of seeds that did not diverge."""
    return np.array([value for value in seeds.values() if diverges_not(value)], float)


def diverges_not(value: float | None) -> bool:
    """Whether a seed has a finite value."""
    return value is not None and math.isfinite(value)


def timed(table: Table, preset: str) -> set[Name]:
    """Entries that are made of times: never twice the same."""
    return {
        (entry.row, entry.column)
        for entry in table.entries_at(preset)
        if any(cell.config.get("timing") for cell in entry.cells)
    }


def alike(ours: Shown, theirs: Shown, outdated: bool) -> bool:
    """Whether both were made by the same code from the same data on the same kind of machine.

    Args:
        outdated: theirs are of other code, settings or data than the present, which made ours.
    """
    if not theirs.cells:
        return True  # a number of the configuration
    same = [ours.made.get(key) == theirs.made.get(key) for key in ("data", "kind")]
    return not outdated and all(same) and bool(ours.made.get("kind"))


def judge(fresh: Stored, committed: Stored, times: set[Name]) -> dict[Name, Judgement]:
    """Every entry of the reference that has seeds, and the whole table.

    Args:
        committed: judged, see `stored.judged`.
        times: entries that are not judged.
    """
    judgements: dict[Name, Judgement] = {}
    pairs: dict[Name, Pair] = {}
    for theirs in committed.entries:
        name = theirs.name
        if not theirs.seeds:
            continue
        ours = fresh.entry(name)
        if name in times:
            judgements[name] = Judgement("time", "not judged")
            continue
        judgements[name] = known(ours, theirs, name in committed.outdated)
        if ours and judgements[name].word == "consistent":
            pair = Pair(values(ours.seeds), values(theirs.seeds))
            if pair.freedom < 1 or not len(pair.ours) or not len(pair.theirs):
                judgements[name] = Judgement("one seed", "no spread to compare with")
            else:
                pairs[name] = pair
    return judgements | by_test(pairs)


def known(ours: Shown | None, theirs: Shown, outdated: bool) -> Judgement:
    """What can be said without a test; "consistent" where a test has to say it."""
    if ours is None:
        return Judgement("GONE")
    if ours.state != "done":
        word, _, why = ours.state.partition(": ")
        return Judgement(word.upper(), why)
    lost = [str(seed) for seed in theirs.seeds if seed not in ours.seeds]
    if lost:
        return Judgement("LOST SEEDS", ", ".join(lost))
    diverged = [
        str(seed)
        for seed, value in theirs.seeds.items()
        if diverges_not(value) and not diverges_not(ours.seeds[seed])
    ]
    if diverged:
        return Judgement("DIVERGED", f"seed {', '.join(diverged)}")
    moved = [seed for seed, value in theirs.seeds.items() if ours.seeds[seed] != value]
    if not moved:
        return Judgement("identical")
    if alike(ours, theirs, outdated):
        first = moved[0]
        change = f"{theirs.seeds[first]} -> {ours.seeds[first]}"
        return Judgement("DIFFERS", f"seed {first}: {change}; same code, data and machine")
    return Judgement("consistent")


def by_test(pairs: dict[Name, Pair]) -> dict[Name, Judgement]:
    """Entries whose seeds differ, and the whole table where it has moved."""
    if not pairs:
        return {}
    spreads = spreads_of(list(pairs.values()))
    evidence = [
        of_entry(pair, spread) for pair, spread in zip(pairs.values(), spreads, strict=True)
    ]
    moved = float(np.mean([pair.shift for pair in pairs.values()]))
    p_of_all = of_whole(list(pairs.values()), spreads).p(moved)
    adjusted = scores.holm([p for p, _ in evidence] + [p_of_all])
    judgements = {}
    for name, p, (_, why) in zip(pairs, adjusted, evidence, strict=False):
        judgements[name] = (
            Judgement("DIFFERS", why) if p < FALSE_ALARMS else Judgement("consistent")
        )
    if adjusted[-1] < FALSE_ALARMS:
        judgements[WHOLE] = Judgement("DIFFERS", f"mean moved by {moved:+.4g}")
    return judgements


def spreads_of(pairs: Sequence[Pair]) -> list[float]:
    """Standard deviation of a seed of every entry; where the seeds are all alike, the usual one of
    the table, and nowhere less than rounding.
    """
    within = [pair.spread() for pair in pairs]
    least = [ROUNDING * (1 + float(np.abs(np.concatenate(pair)).max())) for pair in pairs]
    usual = float(np.median([spread for spread in within if spread] or [0.0]))
    return [max(spread or usual, floor) for spread, floor in zip(within, least, strict=True)]


def of_entry(pair: Pair, spread: float) -> tuple[float, str]:
    """P-value of no change in an entry, and what has changed most."""
    shifted = 2 * pair.of_shift(spread).p(pair.shift)
    best = (min(1.0, shifted), f"mean moved by {pair.shift:+.4g}")
    for index, value in enumerate(pair.ours):
        others = np.concatenate([np.delete(pair.ours, index), pair.theirs])
        if len(others) < 3:
            continue
        apart = float(others.std(ddof=1)) or spread
        error = Student(apart * math.sqrt(1 + 1 / len(others)), len(others) - 1)
        p = min(1.0, 2 * len(pair.ours) * error.p(float(value - others.mean())))
        if p < best[0]:
            best = (p, f"one seed at {value:.4g}, the others around {others.mean():.4g}")
    return best


def of_whole(pairs: Sequence[Pair], spreads: Sequence[float]) -> Student:
    """Uncertainty of the mean shift of all entries."""
    errors = [pair.of_shift(spread) for pair, spread in zip(pairs, spreads, strict=True)]
    strata = [((error.error / len(pairs)) ** 2, int(error.freedom)) for error in errors]
    return scores.student(strata)


def least_shift(error: Student, level: float) -> float:
    """The smallest shift that a t test at a level finds in four of five cases."""
    if not math.isfinite(error.freedom):
        return 0.0
    return error.error * least_errors(error.freedom, level)


@functools.cache
def least_errors(freedom: float, level: float) -> float:
    """The same in standard errors."""
    from scipy import optimize, stats

    critical = float(stats.t.ppf(1 - level / 2, freedom))

    def missing(shift: float) -> float:
        return float(stats.nct.sf(critical, freedom, shift)) - POWER

    return float(optimize.brentq(missing, 0.0, 3 * critical + 10))


class Power(NamedTuple):
    """What the tests of a table see.

    Attributes:
        entries, seeds: judged, and of each at most.
        spread: median standard deviation of a seed.
        entry: median smallest shift of all seeds of one entry that is found at 80 %.
        whole: of all seeds of all entries.
    """

    entries: int
    seeds: int
    spread: float
    entry: float
    whole: float


def power(committed: Stored, times: set[Name]) -> Power | None:
    """Of as many fresh seeds as the reference has; None where nothing can be tested."""
    samples = [
        values(entry.seeds)
        for entry in committed.entries
        if entry.cells and entry.name not in times and len(values(entry.seeds)) > 1
    ]
    if not samples:
        return None
    pairs = [Pair(sample, sample) for sample in samples]
    spreads = spreads_of(pairs)
    level = FALSE_ALARMS / (len(pairs) + 1)
    entries = [
        least_shift(pair.of_shift(spread), level / 2)
        for pair, spread in zip(pairs, spreads, strict=True)
    ]
    whole = least_shift(of_whole(pairs, spreads), level)
    most = max(len(sample) for sample in samples)
    return Power(len(pairs), most, float(np.median(spreads)), float(np.median(entries)), whole)


def power_row(table: Table, committed: Stored, times: set[Name]) -> list[str] | None:
    """Row of POWERS."""
    seen = power(committed, times)
    if seen is None:
        return None
    numbers = [f"{value:.3g}" for value in (seen.spread, seen.entry, seen.whole)]
    return [table.slot, str(seen.entries), str(seen.seeds), *numbers, table.unit]


def rows(
    table: Table, fresh: Stored, committed: Stored, judgements: dict[Name, Judgement]
) -> list[list[str]]:
    """Rows of DIFF."""
    published = table.published()
    lines = []
    for name, judgement in judgements.items():
        ours = fresh.entry(name)
        theirs = committed.entry(name)
        means = [
            published.get(name, (None,))[0],
            theirs.mean if theirs else None,
            ours.mean if ours else None,
        ]
        numbers = [writer.number(mean, table.decimals) for mean in means]
        lines.append([*name, *numbers, str(judgement)])
    return lines
