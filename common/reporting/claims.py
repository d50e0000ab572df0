"""The claims ledger: sentences of the papers that our tables can decide, each with a verdict
computed from results.

Every paper's claims.py lists its `CLAIMS`. A claim names the place in the paper, says in our words
what is claimed, and names the numbers that decide: differences between entries of one of our
tables, seed by seed, or values of entries. A verdict comes from a 95 % interval of their mean:
`holds`, `contradicted`, or `undecided` where the interval leaves both open.
"""

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from common.reporting import catalogue, scores, writer
from common.reporting.scores import Name
from common.reporting.tables import REFERENCE
from common.running.cells import runs_folder
from common.running.files import write_csv

LEVEL = 0.95
VERDICTS = ("holds", "contradicted", "undecided", "not run")
Pairs = tuple[tuple[Name, Name | None], ...]
Seeds = dict[Name, dict[int, float]]  # per entry and seed, those that did not diverge
COUNTS = ["paper", "preset", *VERDICTS]
HEADER = [
    "paper",
    "where",
    "claim",
    "holds if",
    "preset",
    "verdict",
    "mean",
    "low",
    "high",
    "n",
    "why",
]


@dataclass(frozen=True)
class Claim:
    """One sentence of a paper.

    Attributes:
        where: section and table or figure.
        says: what is claimed, in our words.
        table: the script of the same paper whose entries decide.
        pairs: (first, second) entries whose difference counts, or (first, None) for a value by
            itself.
        above: holds if the mean lies above it; below: or below it; within: or no further than this
            from 0.
        each: every pair must hold by itself, instead of their mean.
        premise: what has to hold for the numbers to say anything; without it the claim is
            undecided, for that reason.
    """

    where: str
    says: str
    table: str
    pairs: Pairs
    above: float | None = None
    below: float | None = None
    within: float | None = None
    each: bool = False
    premise: "Claim | None" = None

    def __post_init__(self):
        bounds = [bound for bound in (self.above, self.below, self.within) if bound is not None]
        if len(bounds) != 1 or not self.pairs:
            raise ValueError(f"claim {self.says!r} needs pairs and one of above, below and within")

    @property
    def test(self) -> str:
        """What has to be the case, for people."""
        subject = "difference" if self.pairs[0][1] else "value"
        if len(self.pairs) > 1:
            subject = f"{'every' if self.each else 'mean'} {subject}"
        if self.within is not None:
            return f"{subject} within {self.within:g} of 0"
        if self.above is not None:
            return f"{subject} above {self.above:g}"
        return f"{subject} below {self.below:g}"

    def word(self, low: float, high: float) -> str:
        """The verdict of one interval."""
        if self.within is not None:
            holds = -self.within <= low and high <= self.within
            fails = low > self.within or high < -self.within
        elif self.above is not None:
            holds = low > self.above
            fails = high <= self.above
        else:
            assert self.below is not None
            holds = high < self.below
            fails = low >= self.below
        if holds:
            return "holds"
        return "contradicted" if fails else "undecided"


class Verdict(NamedTuple):
    """What the numbers say of a claim: mean and interval of `n` differences, and a reason where
    there is one.
    """

    word: str
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    why: str = ""


class Line(NamedTuple):
    """A row of the ledger; numbers as they are printed, columns as in HEADER."""

    paper: str
    where: str
    claim: str
    test: str
    preset: str
    verdict: str
    mean: str
    low: str
    high: str
    n: int
    why: str

    @property
    def interval(self) -> str:
        """mean [low, high], infinite where there is no bound; nothing without a mean."""
        return f"{self.mean} [{self.low or '-inf'}, {self.high or 'inf'}]" if self.mean else ""


def over(first: str, seconds: Iterable[str], rows: Iterable[str], above: float = 0.0) -> dict:
    """`pairs` and `above` of a claim that column `first` beats every column of `seconds` in every
    row of `rows`.
    """
    columns = list(seconds)
    return {
        "pairs": tuple(((row, first), (row, second)) for row in rows for second in columns),
        "above": above,
    }


def seeds_of(path: Path) -> Seeds:
    """As writer.read_seeds, without diverged seeds."""
    return {
        name: {seed: value for seed, value in sample.items() if math.isfinite(value)}
        for name, sample in writer.read_seeds(path).items()
    }


def differences(pairs: Pairs, last: Seeds) -> list[np.ndarray] | None:
    """Of every pair, seed by seed; None where an entry has no value."""
    samples = []
    for first, second in pairs:
        ours = last.get(first, {})
        other = dict.fromkeys(ours, 0.0) if second is None else last.get(second, {})
        common = [seed for seed in ours if seed in other]
        if not common:
            return None
        samples.append(np.array([ours[seed] - other[seed] for seed in common]))
    return samples


def interval(samples: list[np.ndarray], level: float = LEVEL) -> tuple[float, float, float]:
    """Mean over strata of their means, and its t interval (Welch-Satterthwaite); infinite with a
    single value in a stratum.
    """
    mean = float(np.mean([sample.mean() for sample in samples]))
    if min(map(len, samples)) < 2:
        return mean, -math.inf, math.inf
    strata = [
        (sample.var(ddof=1) / len(sample) / len(samples) ** 2, len(sample) - 1)
        for sample in samples
    ]
    half = scores.student(strata).half(level)
    return mean, mean - half, mean + half


def word_of_each(claim: Claim, samples: list[np.ndarray]) -> str:
    """The verdict where every pair must hold by itself: it does if every pair's interval says so,
    and is contradicted if one pair contradicts it at a level corrected for their number
    (Bonferroni).
    """
    words = {claim.word(*interval([sample])[1:]) for sample in samples}
    if words == {"holds"}:
        return "holds"
    strict = 1 - (1 - LEVEL) / len(samples)
    corrected = {claim.word(*interval([sample], strict)[1:]) for sample in samples}
    return "contradicted" if "contradicted" in corrected else "undecided"


def verdict(claim: Claim, read: Callable[[str], Seeds | None]) -> Verdict:
    """The verdict of a claim. With `each`, the interval shown is that of the mean all the same.

    Args:
        read: a table's values as `seeds_of` gives them, None if it has not been run.
    """
    last = read(claim.table)
    samples = differences(claim.pairs, last) if last else None
    if samples is None:
        return Verdict("not run", why=f"{claim.table} is not complete")
    mean, low, high = interval(samples)
    word = word_of_each(claim, samples) if claim.each else claim.word(low, high)
    why = ""
    if claim.premise and verdict(claim.premise, read).word != "holds":
        word = "undecided"
        why = f"not so here: {claim.premise.says}"
    return Verdict(word, mean, finite(low), finite(high), sum(map(len, samples)), why)


def finite(value: float) -> float | None:
    """None for infinity."""
    return value if math.isfinite(value) else None


def of_paper(paper: str) -> list[Claim]:
    """A paper's claims; none where it has no claims.py."""
    claims = catalogue.module(paper, "claims")
    return claims.CLAIMS if claims else []


@functools.cache
def _seeds_at(path: Path, changed: int) -> Seeds:
    return seeds_of(path)


def reader(folder: Path) -> Callable[[str], Seeds | None]:
    """Reads values of tables in a folder, each file once; None for those that are not there."""

    def read(table: str) -> Seeds | None:
        path = folder / f"{table}.seeds.csv"
        return _seeds_at(path, path.stat().st_mtime_ns) if path.exists() else None

    return read


def decide(claim: Claim, paper: str, preset: str, sources: Iterable[Path]) -> Verdict:
    """The verdict from the first source that has all of a claim's numbers."""
    outcome = Verdict("not run")
    for source in sources:
        outcome = verdict(claim, reader(source / preset / paper))
        if outcome.word != "not run":
            break
    return outcome


def ledger(
    papers: Sequence[str] | None = None,
    presets: Sequence[str] = ("quick", "standard", "paper"),
    sources: Sequence[Path] = (),
) -> list[Line]:
    """The ledger of some papers, of all by default; beyond preset quick only what has been run.

    Args:
        sources: results folders, the first one that has all numbers of a claim decides; this
            machine's and then the committed reference if there are none.
    """
    folders = sources or (runs_folder(), REFERENCE)
    lines = []
    for paper in catalogue.papers() if papers is None else papers:
        for claim in of_paper(paper):
            for preset in presets:
                outcome = decide(claim, paper, preset, folders)
                if outcome.word != "not run" or preset == presets[0]:
                    lines.append(line(paper, claim, preset, outcome))
    return lines


def line(paper: str, claim: Claim, preset: str, outcome: Verdict) -> Line:
    """A row of the ledger."""
    mean, low, high = (
        "" if value is None else f"{value:.4g}"
        for value in (outcome.mean, outcome.low, outcome.high)
    )
    return Line(
        paper,
        claim.where,
        claim.says,
        claim.test,
        preset,
        outcome.word,
        mean,
        low,
        high,
        outcome.n,
        outcome.why,
    )


def counts(lines: list[Line]) -> list[list]:
    """Rows of COUNTS: how many claims of a paper have which verdict at a preset."""
    keys = list(dict.fromkeys((line.paper, line.preset) for line in lines))
    verdicts = [(line.paper, line.preset, line.verdict) for line in lines]
    return [[*key, *(verdicts.count((*key, word)) for word in VERDICTS)] for key in keys]


def write(lines: list[Line], path: Path) -> None:
    """The ledger as CSV."""
    write_csv(path, HEADER, [list(line) for line in lines])
