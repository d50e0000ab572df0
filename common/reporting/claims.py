"""The claims ledger: sentences of the papers that our tables can decide, each with a verdict
computed from results.

Every paper's claims.py lists its `CLAIMS`, and in `TERMS` what their words mean, if it has to. A
claim names the place in the paper, says in our words what is claimed, and names the numbers that
decide: differences between entries of one of our tables, seed by seed, or values of entries. A
verdict comes from a t test of their mean against the claim's bound, at 5 % for all claims of a
paper at a preset together (Holm), and so for what we ask beyond the paper: `holds`, `contradicted`,
or `undecided` where the numbers leave both open. Claims that were not tested, as they have not been
run or lack their premise, count with the others: what is run later takes no verdict back. The
intervals shown are each claim's own at 95 %; `alone` says what a claim would be that only the
correction leaves undecided. Numbers that this machine made with other code are `stale`, not used.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from common.reporting import catalogue, scores
from common.reporting.scores import CONFIDENCE, Name, Student
from common.reporting.stored import SHOWN_PRESETS, Source, Stored, here, judged, once
from common.running.files import write_csv

ADDITION = " (our addition)"  # behind the place of what we ask beyond the paper
VERDICTS = ("holds", "contradicted", "undecided", "stale", "not run")
WITHOUT = {  # what is said of a premise or a control, by its verdict
    "contradicted": "not so here",
    "undecided": "not shown here",
    "not run": "without results",  # or with stale ones
}
Pairs = tuple[tuple[Name, Name | None], ...]
SeedsByEntry = dict[Name, dict[int, float]]  # per entry and seed, those that did not diverge
Find = Callable[[str], Stored | None]  # a paper's table by name, at a preset, in one source
LEAST_ALIKE = 3  # values without any spread that are taken at their word
COUNTS = ["paper", "preset", *VERDICTS]
HEADER = [
    "paper",
    "where",
    "claim",
    "holds if",
    "preset",
    "verdict",
    "alone",
    "mean",
    "low",
    "high",
    "unit",
    "n",
    "p (Holm)",
    "made by",
    "why",
    "caveat",
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
        at_least: or so many of the pairs, by themselves.
        share: the values of one entry are 0 or 100; interval and test are exact (binomial).
        premise: what has to hold for the numbers to say anything; without it the claim is
            undecided, for that reason.
        control: the same without what the paper does not give as the reason, or what the bound has
            to tell apart from it; tested by itself, as a premise is. It changes no verdict; where
            the claim holds and its control does not, that is said beside it.
        unit: of the numbers, where it is not the table's (the first of several).
        addition: not the paper's sentence but a question of ours; a family of its own, so that what
            we ask more costs the paper's claims no power.
        main: one of the few that the paper is about: what its method reaches, or by how much it is
            ahead, on its main tables. Shown first.
    """

    where: str
    says: str
    table: str
    pairs: Pairs
    above: float | None = None
    below: float | None = None
    within: float | None = None
    each: bool = False
    at_least: int = 0
    share: bool = False
    premise: "Claim | None" = None
    control: "Claim | None" = None
    unit: str = ""
    addition: bool = False
    main: bool = False

    def __post_init__(self):
        bounds = [bound for bound in (self.above, self.below, self.within) if bound is not None]
        if len(bounds) != 1 or not self.pairs:
            raise ValueError(f"claim {self.says!r} needs pairs and one of above, below and within")
        if self.at_least and (self.each or self.share or self.at_least > len(self.pairs)):
            raise ValueError(
                f"claim {self.says!r}: at_least is of all pairs, without each or share"
            )

    @property
    def names(self) -> set[Name]:
        """Of the entries that decide."""
        return {name for pair in self.pairs for name in pair if name}

    @property
    def needed(self) -> int:
        """How many pairs must hold by themselves; 0 where their mean must."""
        return len(self.pairs) if self.each else self.at_least

    @property
    def place(self) -> str:
        """Where in the paper, or at what place in it we ask more."""
        return self.where + ADDITION if self.addition else self.where

    @property
    def test(self) -> str:
        """What has to be the case, for people."""
        subject = "difference" if self.pairs[0][1] else "value"
        if self.at_least:
            subject = f"{self.at_least} of {len(self.pairs)} {subject}s or more"
        elif len(self.pairs) > 1:
            subject = f"{'every' if self.each else 'mean'} {subject}"
        if self.within is not None:
            return f"{subject} within {self.within:g} of 0"
        if self.above is not None:
            return f"{subject} above {self.above:g}"
        return f"{subject} below {self.below:g}"

    @property
    def bounds(self) -> tuple[float, ...]:
        """Where the verdict turns."""
        if self.within is not None:
            return -self.within, self.within
        return tuple(bound for bound in (self.above, self.below) if bound is not None)

    def side(self, mean: float) -> str:
        """The verdict if the mean were known exactly."""
        if self.within is not None:
            true = abs(mean) <= self.within
        elif self.above is not None:
            true = mean > self.above
        else:
            assert self.below is not None
            true = mean < self.below
        return "holds" if true else "contradicted"

    def p(self, estimate: "Estimate") -> float:
        """Two-sided p-value of the verdict on the mean's side: below 5 %, its 95 % interval
        contains no bound. Numbers without any spread (see `estimate`) are taken at their word,
        unless they are on the bound itself.
        """
        if not estimate.student.error:
            return float(estimate.mean in self.bounds)
        return max(estimate.student.p(estimate.mean - bound) for bound in self.bounds)


class Estimate(NamedTuple):
    """A mean over strata, and its uncertainty."""

    mean: float
    student: Student

    def interval(self) -> tuple[float, float]:
        """At 95 %; infinite with a single value in a stratum."""
        half = self.student.half(CONFIDENCE)
        return self.mean - half, self.mean + half


class Verdict(NamedTuple):
    """What the numbers say of a claim: mean and interval of `n` differences.

    Attributes:
        word: one of VERDICTS; by itself, until `corrected`.
        p: of the word, None where nothing was tested; after `corrected`, Holm's.
        maker: who made the numbers.
        why: the reason of everything but a plain verdict on one mean.
        alone: what the word was before `corrected` took it back; else empty.
        caveat: which control does not hold where the claim does by itself; else empty.
    """

    word: str
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    p: float | None = None
    maker: str = ""
    why: str = ""
    alone: str = ""
    caveat: str = ""


class Line(NamedTuple):
    """A row of the ledger; numbers as they are printed, columns as in HEADER."""

    paper: str
    where: str
    claim: str
    test: str
    preset: str
    verdict: str
    alone: str
    mean: str
    low: str
    high: str
    unit: str
    n: int
    p: str
    maker: str
    why: str
    caveat: str

    @property
    def addition(self) -> bool:
        """Whether it is a question of ours."""
        return self.where.endswith(ADDITION)

    @property
    def reasons(self) -> str:
        """What there is to say beside the verdict."""
        return "; ".join(filter(None, (self.why, self.caveat)))

    @property
    def control(self) -> str:
        """That the claim's control does not hold, in short; else empty."""
        return self.caveat.partition(":")[0]

    @property
    def interval(self) -> str:
        """mean [low, high], infinite where there is no bound; nothing without a mean."""
        if not self.mean:
            return ""
        low, high = float(self.low or "-inf"), float(self.high or "inf")
        return scores.readable(float(self.mean), low, high)

    @property
    def chance(self) -> str:
        """The p-value in words; nothing where nothing was tested."""
        if not self.p:
            return ""
        return f"Holm's p = {self.p}" if float(self.p) else "no spread, not tested"


def over(first: str, seconds: Iterable[str], rows: Iterable[str], above: float = 0.0) -> dict:
    """`pairs` and `above` of a claim that column `first` beats every column of `seconds` in every
    row of `rows`.
    """
    columns = list(seconds)
    return {
        "pairs": tuple(((row, first), (row, second)) for row in rows for second in columns),
        "above": above,
    }


def finite(there: Stored) -> SeedsByEntry:
    """Values of a stored table, without diverged seeds."""
    return {
        entry.name: {
            seed: value
            for seed, value in entry.seeds.items()
            if value is not None and math.isfinite(value)
        }
        for entry in there.entries
        if entry.seeds
    }


def differences(pairs: Pairs, last: SeedsByEntry) -> list[np.ndarray] | None:
    """Of every pair, seed by seed; None where an entry has no value."""
    found = by_seed(pairs, last)
    return None if found is None else [np.array([*one.values()]) for one in found]


def by_seed(pairs: Pairs, last: SeedsByEntry) -> list[dict[int, float]] | None:
    """Differences of every pair, by seed; None where an entry has no value."""
    samples = []
    for first, second in pairs:
        ours = last.get(first, {})
        other = dict.fromkeys(ours, 0.0) if second is None else last.get(second, {})
        common = {seed: ours[seed] - other[seed] for seed in ours if seed in other}
        if not common:
            return None
        samples.append(common)
    return samples


def strata(pairs: Pairs, last: SeedsByEntry) -> tuple[list[np.ndarray], list[int]] | None:
    """What is independent among pairs, and of how many pairs each is: pairs that share an entry are
    averaged seed by seed, over the seeds that all of them have; None where there is none.
    """
    found = by_seed(pairs, last)
    if found is None:
        return None
    samples = []
    groups = sharing(pairs)
    for group in groups:
        common = [seed for seed in found[group[0]] if all(seed in found[one] for one in group)]
        if not common:
            return None
        samples.append(np.array([np.mean([found[one][seed] for one in group]) for seed in common]))
    return samples, [len(group) for group in groups]


def sharing(pairs: Pairs) -> list[list[int]]:
    """Indices of pairs, together where they share an entry, directly or through others."""
    groups: list[tuple[set[Name], list[int]]] = []
    for index, pair in enumerate(pairs):
        names, members = {name for name in pair if name}, [index]
        for group in [group for group in groups if group[0] & names]:
            names |= group[0]
            members = group[1] + members
            groups.remove(group)
        groups.append((names, sorted(members)))
    return [members for _, members in groups]


def estimate(samples: list[np.ndarray], weights: Sequence[int] | None = None) -> Estimate:
    """Mean over strata of their means, and its error, strata being independent; unknown with a
    single value in a stratum, or with two where the values of every stratum are alike, as two win
    rates of a few battles may be by chance.

    Args:
        weights: of the strata; the same by default.
    """
    counts = np.array(weights or [1] * len(samples))
    share = counts / counts.sum()
    mean = float(share @ [sample.mean() for sample in samples])
    alike = all(np.ptp(sample) == 0 for sample in samples)
    if min(map(len, samples)) < (LEAST_ALIKE if alike else 2):
        return Estimate(mean, Student(math.inf, 1))
    errors = [
        (sample.var(ddof=1) / len(sample) * part**2, len(sample) - 1)
        for sample, part in zip(samples, share, strict=True)
    ]
    return Estimate(mean, scores.student(errors))


def interval(
    samples: list[np.ndarray], weights: Sequence[int] | None = None
) -> tuple[float, float, float]:
    """Mean over strata of their means, and its 95 % t interval."""
    of_mean = estimate(samples, weights)
    return of_mean.mean, *of_mean.interval()


def tested(claim: Claim, samples: list[np.ndarray], of_mean: Estimate) -> tuple[str, float, str]:
    """The side that the numbers are on, its p-value, and how many pairs say so where pairs must
    hold by themselves.

    Args:
        samples: of every pair.
        of_mean: over independent strata.
    """
    if claim.share:
        return *tested_share(claim, samples[0]), ""
    if claim.needed:
        return tested_pairs(claim, [estimate([sample]) for sample in samples])
    return claim.side(of_mean.mean), claim.p(of_mean), ""


def tested_share(claim: Claim, sample: np.ndarray) -> tuple[str, float]:
    """Side and p-value of a claim on values that are 0 or 100."""
    hits, count = scores.hits_of(sample)
    p = max(scores.exact_p(hits, count, bound / 100) for bound in claim.bounds)
    return claim.side(100 * hits / count), p


def tested_pairs(claim: Claim, pairs: list[Estimate]) -> tuple[str, float, str]:
    """Side, p-value and reason where k of n pairs must hold by themselves.

    The claim holds if the k surest do: by the k-th smallest p, times n - k + 1 (Benjamini and
    Heller 2008, Bonferroni's form). It is contradicted if n - k + 1 are surely against it: by that
    smallest p among these, times k.
    """
    sides: dict[str, list[int]] = {"holds": [], "contradicted": []}  # the surest first
    for index in sorted(range(len(pairs)), key=lambda index: claim.p(pairs[index])):
        sides[claim.side(pairs[index].mean)].append(index)
    against = sides["contradicted"]
    spare = len(pairs) - claim.needed
    word, enough = ("contradicted", spare + 1) if len(against) > spare else ("holds", claim.needed)
    last = claim.p(pairs[sides[word][enough - 1]])
    p = min(1.0, (len(pairs) - enough + 1) * last)
    if not against:
        return word, p, f"all {len(pairs)} on the side of the claim"
    entries = " - ".join("/".join(name) for name in claim.pairs[against[0]] if name)
    surest = f"most surely {entries} ({pairs[against[0]].mean:.4g})"
    return word, p, f"{len(against)} of {len(pairs)} against it, {surest}"


def verdict(claim: Claim, read: Callable[[str], SeedsByEntry | None]) -> Verdict:
    """The verdict of a claim by itself. Where pairs must hold by themselves, the interval shown is
    that of the mean all the same.

    Args:
        read: a table's values without diverged seeds, None if it has not been run.
    """
    last = read(claim.table)
    samples = differences(claim.pairs, last) if last else None
    independent = strata(claim.pairs, last) if last else None
    if samples is None or independent is None:
        return Verdict("not run", why=f"{claim.table} is not complete")
    of_mean = estimate(*independent)
    side, p, why = tested(claim, samples, of_mean)
    low, high = of_mean.interval()
    if claim.share:
        low, high = (100 * end for end in scores.exact_interval(*scores.hits_of(samples[0])))
    count = sum(map(len, independent[0]))
    numbers = Verdict(side, of_mean.mean, scores.bound(low), scores.bound(high), count, p, why=why)
    premise = verdict(claim.premise, read) if claim.premise else None
    if claim.premise and premise and premise.word != "holds":
        why = f"premise {WITHOUT[premise.word]}: {claim.premise.says}"
        if premise.word == "not run":
            return Verdict("not run", why=why)
        return numbers._replace(word="undecided", p=None, why=why)
    if p >= 1 - CONFIDENCE:
        return undecided(claim, numbers)
    if side == "holds" and claim.control:
        word = verdict(claim.control, read).word
        if word != "holds":
            return numbers._replace(caveat=f"control {WITHOUT[word]}: {claim.control.says}")
    return numbers


def undecided(claim: Claim, numbers: Verdict) -> Verdict:
    """The verdict where the numbers leave the claim open, and why."""
    if numbers.low is None or numbers.high is None:
        return numbers._replace(
            word="undecided", why="a single seed, or two alike, say nothing of chance"
        )
    if claim.needed:
        return numbers._replace(word="undecided", why=f"{numbers.why}; not beyond chance")
    bounds = [f"{bound:g}" for bound in claim.bounds if numbers.low <= bound <= numbers.high]
    half = (numbers.high - numbers.low) / 2
    why = f"the interval has {' and '.join(bounds)} in it; its half-width is {half:.3g}"
    return numbers._replace(word="undecided", why=why)


def corrected(outcomes: Sequence[Verdict]) -> list[Verdict]:
    """Verdicts of one family of claims, tested or not, at 5 % for all of them together (Holm)."""
    known = {index: outcome.p for index, outcome in enumerate(outcomes) if outcome.p is not None}
    adjusted = scores.holm([*known.values()], len(outcomes))
    verdicts = list(outcomes)
    for index, p in zip(known, adjusted, strict=True):
        outcome = outcomes[index]._replace(p=p)
        if p >= 1 - CONFIDENCE and outcome.word != "undecided":
            many = f"not significant after correction within {len(outcomes)} claims"
            why = f"{outcome.why}; {many}" if outcome.why else many
            outcome = outcome._replace(word="undecided", why=why, alone=outcome.word)
        verdicts[index] = outcome
    return verdicts


def of_paper(paper: str) -> list[Claim]:
    """A paper's claims; none where it has no claims.py."""
    claims = catalogue.module(paper, "claims")
    return claims.CLAIMS if claims else []


def terms_of(paper: str) -> str:
    """What a paper's claims.py says of its claims' words; "" where it has nothing to say."""
    return getattr(catalogue.module(paper, "claims"), "TERMS", "")


def decide(claim: Claim, paper: str, preset: str, sources: Iterable[Source]) -> Verdict:
    """The verdict from the first source that has all of a claim's numbers, its premise's too, or
    has them stale.
    """
    outcome = Verdict("not run", why="not run at this preset")
    for source in sources:
        find = tables_of(paper, preset, source)
        there = find(claim.table)
        if there is None:
            continue
        outcome = verdict(claim, values_of(find))
        if outcome.word != "not run":
            return outcome._replace(maker=there.maker_if(is_older(claim, find)))
        stale = stale_reason(claim, find)
        if stale:
            return Verdict("stale", maker=there.maker, why=stale)
    return outcome


def tables_of(paper: str, preset: str, source: Source) -> Find:
    """Finds a paper's tables by name."""
    return lambda name: source(catalogue.table(f"{paper}/{name}"), preset)


def values_of(find: Find) -> Callable[[str], SeedsByEntry | None]:
    """Reads values of tables that can be found."""
    return lambda name: finite(there) if (there := find(name)) else None


def unmet_premises(paper: str, table: str, preset: str, source: Source) -> list[str]:
    """What claims whose numbers a table itself has presuppose and do not show, in words."""
    read = values_of(tables_of(paper, preset, source))
    own = [claim for claim in of_paper(paper) if claim.table == table]
    premises = {claim.premise.says: claim.premise for claim in own if claim.premise}
    words = {says: verdict(premise, read).word for says, premise in premises.items()}
    return [f"premise {WITHOUT[word]}: {says}" for says, word in words.items() if word != "holds"]


def is_older(claim: Claim, find: Find) -> bool:
    """Whether older code made a claim's numbers, or its premise's."""
    there = find(claim.table)
    if there and not there.outdated.keys().isdisjoint(claim.names):
        return True
    return is_older(claim.premise, find) if claim.premise else False


def stale_reason(claim: Claim, find: Find) -> str:
    """Why a claim's numbers are stale, or its premise's where it has all its own; "" where they are
    not.
    """
    there = find(claim.table)
    own = [entry for entry in there.entries if entry.name in claim.names] if there else []
    states = [entry.state for entry in own if entry.state.startswith("stale")]
    if states:
        return f"{claim.table}: {states[0]}"
    complete = {entry.name for entry in own if entry.seeds} == claim.names
    return stale_reason(claim.premise, find) if claim.premise and complete else ""


def ledger(
    papers: Sequence[str] | None = None,
    presets: Sequence[str] = SHOWN_PRESETS,
    sources: Sequence[Source] = (here, judged),
) -> list[Line]:
    """The ledger of some papers, of all by default; beyond preset quick only what has been run.

    Args:
        sources: the first one that has all numbers of a claim decides; this machine's and then
            the committed reference by default.
    """
    readers = [once(source) for source in sources]
    lines = []
    for paper in catalogue.papers() if papers is None else papers:
        claims = of_paper(paper)
        outcomes = {preset: outcomes_of(paper, claims, preset, readers) for preset in presets}
        for index, claim in enumerate(claims):
            for preset in presets:
                outcome = outcomes[preset][index]
                if outcome.word != "not run" or preset == presets[0]:
                    lines.append(line(paper, claim, preset, outcome))
    return lines


def outcomes_of(
    paper: str, claims: Sequence[Claim], preset: str, sources: Sequence[Source]
) -> list[Verdict]:
    """Verdicts of a paper's claims, in their order; corrected among the paper's own, and among our
    additions.
    """
    outcomes = [decide(claim, paper, preset, sources) for claim in claims]
    for addition in (False, True):
        family = [index for index, claim in enumerate(claims) if claim.addition is addition]
        verdicts = corrected([outcomes[index] for index in family])
        for index, outcome in zip(family, verdicts, strict=True):
            outcomes[index] = outcome
    return outcomes


def line(paper: str, claim: Claim, preset: str, outcome: Verdict) -> Line:
    """A row of the ledger."""
    mean, low, high = (
        "" if value is None else f"{value:.6g}"
        for value in (outcome.mean, outcome.low, outcome.high)
    )
    return Line(
        paper,
        claim.place,
        claim.says,
        claim.test,
        preset,
        outcome.word,
        outcome.alone,
        mean,
        low,
        high,
        claim.unit or catalogue.table(f"{paper}/{claim.table}").unit.partition(", or ")[0],
        outcome.n,
        "" if outcome.p is None else f"{outcome.p:.2g}",
        outcome.maker,
        outcome.why,
        outcome.caveat if outcome.word == "holds" else "",  # the correction may have taken it back
    )


def counts(lines: list[Line]) -> list[list]:
    """Rows of COUNTS: how many claims of a paper have which verdict at a preset."""
    keys = list(dict.fromkeys((line.paper, line.preset) for line in lines))
    verdicts = [(line.paper, line.preset, line.verdict) for line in lines]
    return [[*key, *(verdicts.count((*key, word)) for word in VERDICTS)] for key in keys]


def write(lines: list[Line], path: Path) -> None:
    """The ledger as CSV."""
    write_csv(path, HEADER, [list(line) for line in lines])
