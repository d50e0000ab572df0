"""The claims ledger: sentences of the papers that our tables can decide, each with a verdict
computed from results.

Every paper's claims.py lists its `CLAIMS`. A claim names the place in the paper, says in our words
what is claimed, and names the numbers that decide: differences between entries of one of our
tables, seed by seed, or values of entries. A verdict comes from a 95 % interval of their mean:
`holds`, `contradicted`, or `undecided` where the interval leaves both open.
"""

import functools
import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.reporting import scores
from common.reporting.tables import REFERENCE, read_seeds
from common.running.cells import runs_folder
from common.running.files import write_csv

Name = tuple[str, str]  # row and column of a table
LEVEL = 0.95
PAPERS = ("omar", "cast_bcq", "moma_ppo", "otc")
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
VERDICTS = ("holds", "contradicted", "undecided", "not run")


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
    pairs: tuple[tuple[Name, Name | None], ...]
    above: float | None = None
    below: float | None = None
    within: float | None = None
    each: bool = False
    premise: "Claim | None" = None

    def __post_init__(self):
        if (
            sum(bound is not None for bound in (self.above, self.below, self.within)) != 1
            or not self.pairs
        ):
            raise ValueError(f"claim {self.says!r} needs pairs and one of above, below and within")

    @property
    def test(self) -> str:
        """What has to be the case, for people."""
        what = "difference" if self.pairs[0][1] else "value"
        subject = (
            f"every {what}"
            if self.each and len(self.pairs) > 1
            else what
            if len(self.pairs) == 1
            else f"mean {what}"
        )
        if self.within is not None:
            return f"{subject} within {self.within:g} of 0"
        return (
            f"{subject} above {self.above:g}"
            if self.above is not None
            else f"{subject} below {self.below:g}"
        )


def over(first: str, seconds, rows, above: float = 0.0) -> dict:
    """`pairs` and `above` of a claim that column `first` beats every column of `seconds` in every
    row of `rows`.
    """
    return {
        "pairs": tuple(((row, first), (row, second)) for row in rows for second in seconds),
        "above": above,
    }


def seeds_of(path: Path) -> dict[Name, dict[int, float]]:
    """As tables.read_seeds, without diverged seeds."""
    found = read_seeds(path)
    return {
        name: {seed: value for seed, value in values.items() if math.isfinite(value)}
        for name, values in found.items()
    }


def differences(claim, values: dict[Name, dict[int, float]]) -> list[np.ndarray] | None:
    """Of every pair of a claim (or anything else with `pairs`), seed by seed; None where an entry
    has no value.
    """
    found = []
    for first, second in claim.pairs:
        mine = values.get(first, {})
        other = dict.fromkeys(mine, 0.0) if second is None else values.get(second, {})
        common = [seed for seed in mine if seed in other]
        if not common:
            return None
        found.append(np.array([mine[seed] - other[seed] for seed in common]))
    return found


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


def word(claim: Claim, low: float, high: float) -> str:
    """The verdict of one interval."""
    if claim.within is not None:
        holds, fails = (
            -claim.within <= low and high <= claim.within,
            low > claim.within or high < -claim.within,
        )
    elif claim.above is not None:
        holds, fails = low > claim.above, high <= claim.above
    else:
        holds, fails = high < claim.below, low >= claim.below
    return "holds" if holds else "contradicted" if fails else "undecided"


def verdict(claim: Claim, values_of: Callable[[str], dict[Name, dict[int, float]] | None]) -> dict:
    """The verdict with its mean and interval, the number of differences behind it, and a reason
    where there is one.

    With `each`, a claim holds if every pair's interval says so, and is contradicted if one pair
    contradicts it at a level corrected for their number (Bonferroni); the interval shown is that of
    the mean all the same.

    Args:
        values_of: a table's values as `seeds_of` gives them, None if it has not been run.
    """
    values = values_of(claim.table)
    samples = differences(claim, values) if values else None
    if samples is None:
        return {
            "verdict": "not run",
            "mean": None,
            "low": None,
            "high": None,
            "n": 0,
            "why": f"{claim.table} is not complete",
        }
    mean, low, high = interval(samples)
    found = word(claim, low, high)
    if claim.each:
        words = [word(claim, *interval([sample])[1:]) for sample in samples]
        strict = [
            word(claim, *interval([sample], 1 - (1 - LEVEL) / len(samples))[1:])
            for sample in samples
        ]
        found = (
            "holds"
            if set(words) == {"holds"}
            else "contradicted"
            if "contradicted" in strict
            else "undecided"
        )
    why = ""
    if claim.premise and verdict(claim.premise, values_of)["verdict"] != "holds":
        found, why = "undecided", f"not so here: {claim.premise.says}"
    low, high = (value if math.isfinite(value) else None for value in (low, high))
    return {
        "verdict": found,
        "mean": mean,
        "low": low,
        "high": high,
        "n": sum(map(len, samples)),
        "why": why,
    }


def of_paper(paper: str) -> list[Claim]:
    """A paper's claims."""
    return importlib.import_module(f"papers.{paper}.claims").CLAIMS


def ledger(
    papers=PAPERS, presets: tuple[str, ...] = ("quick", "paper"), sources: tuple[Path, ...] = ()
) -> list[list]:
    """Rows of HEADER of some papers; at preset paper only what has been run.

    Args:
        sources: results folders, the first one that has all numbers of a claim decides; this
            machine's and then the committed reference if there are none.
    """
    sources, rows = sources or (runs_folder(), REFERENCE), []

    @functools.cache
    def read(path: Path) -> dict | None:
        return seeds_of(path) if path.exists() else None

    for paper in papers:
        for claim in of_paper(paper):
            for preset in presets:
                for source in sources:
                    found = verdict(
                        claim,
                        lambda table, folder=source / preset / paper: read(
                            folder / f"{table}.seeds.csv"
                        ),
                    )
                    if found["verdict"] != "not run":
                        break
                if found["verdict"] != "not run" or preset != "paper":
                    numbers = [
                        "" if found[key] is None else f"{found[key]:.4g}"
                        for key in ("mean", "low", "high")
                    ]
                    rows.append(
                        [
                            paper,
                            claim.where,
                            claim.says,
                            claim.test,
                            preset,
                            found["verdict"],
                            *numbers,
                            found["n"],
                            found["why"],
                        ]
                    )
    return rows


def counts(rows: list[list]) -> list[list]:
    """[paper, preset, number of each verdict ...] of ledger rows."""
    keys = list(dict.fromkeys((row[0], row[4]) for row in rows))
    return [
        [
            *key,
            *(sum((row[0], row[4], row[5]) == (*key, word) for row in rows) for word in VERDICTS),
        ]
        for key in keys
    ]


def write(rows: list[list], path: Path) -> None:
    """The ledger as CSV."""
    write_csv(path, HEADER, rows)
