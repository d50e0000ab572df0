"""What of the papers reproduced, in words: of the ledger's lines the best of every claim, their
counts, and the strongest evidence on either side.
"""

from collections.abc import Iterable, Sequence

from common.reporting import claims
from common.reporting.stored import SHOWN_PRESETS

# Claims from those that hold to those that are contradicted; `alone`: before Holm's correction.
SPECTRUM = ("holds", "holds alone", "undecided", "contradicted alone", "contradicted")
FEWEST = 3  # runs behind what the first screen shows, and what is said of several tasks together
ONE = {"holds": "holds", "contradicted": "is contradicted", "undecided": "is undecided"}
CLAIM_HEADER = [
    "where",
    "claim",
    "holds if",
    "preset",
    "verdict",
    "mean [95 % interval]",
    "n",
    "p (Holm)",
    "made by",
    "why",
]


def best_lines(lines: Iterable[claims.Line]) -> list[claims.Line]:
    """Of every claim the line of its largest preset that says something."""
    order = {preset: place for place, preset in enumerate(reversed(SHOWN_PRESETS))}
    best: dict[tuple, claims.Line] = {}
    for line in lines:
        key = (line.paper, line.where, line.claim)
        known = best.get(key)
        if known is None or rank(line, order) < rank(known, order):
            best[key] = line
    return [*best.values()]


def main_lines(lines: Iterable[claims.Line]) -> list[claims.Line]:
    """Of the best lines those of the papers' main claims."""
    best = best_lines(lines)
    main = {
        (paper, claim.place, claim.says)
        for paper in {line.paper for line in best}
        for claim in claims.of_paper(paper)
        if claim.main
    }
    return [line for line in best if (line.paper, line.where, line.claim) in main]


def rank(line: claims.Line, order: dict[str, int]) -> tuple[bool, int]:
    """Sorts lines of one claim: those that were run first, the largest preset first."""
    return line.verdict in ("not run", "stale"), order[line.preset]


def spectrum(lines: Sequence[claims.Line]) -> dict[str, int]:
    """How many claims there are of each kind of SPECTRUM, and of other verdicts."""
    words = [f"{line.alone} alone" if line.alone else line.verdict for line in lines]
    return {word: words.count(word) for word in dict.fromkeys((*SPECTRUM, *words))}


def tally(lines: Sequence[claims.Line]) -> dict[str, int]:
    """How many claims have which verdict."""
    return {
        word: sum(line.verdict == word for line in lines)
        for word in claims.VERDICTS
        if word in ("holds", "contradicted", "undecided") or any(x.verdict == word for x in lines)
    }


def sentence(lines: Iterable[claims.Line]) -> str:
    """What reproduced, in words, every claim at the largest preset at which it was run; what we ask
    beyond the paper is counted apart.
    """
    best = best_lines(lines)
    ours = [line for line in best if line.addition]
    papers = told([line for line in best if not line.addition], "claim", "of the paper")
    return f"{papers} {told(ours, 'addition', 'of ours')}".strip() or "Nothing has been run yet."


def told(lines: Sequence[claims.Line], noun: str, whose: str) -> str:
    """The same of some lines; nothing where nothing has been run."""
    tested = [line for line in lines if line.verdict in ("holds", "contradicted", "undecided")]
    if not tested:
        return ""
    counts = tally(tested)
    hold, wrong = counts["holds"], counts["contradicted"]
    presets = [
        preset
        for preset in reversed(SHOWN_PRESETS)
        if any(line.preset == preset for line in tested)
    ]
    at = [f"{sum(line.preset == preset for line in tested)} at {preset}" for preset in presets]
    where = f"preset {presets[0]}" if len(presets) == 1 else f"presets: {', '.join(at)}"
    if len(tested) == 1:
        return f"The one {noun} {whose} {ONE[tested[0].verdict]}{leaning(tested)}; {where}."
    return (
        f"Of {len(tested)} {noun}s {whose} {hold or 'none'} {'hold' if hold > 1 else 'holds'}, "
        f"{wrong or 'none'} {'are' if wrong > 1 else 'is'} contradicted, "
        f"{counts['undecided'] or 'none'} undecided{leaning(tested)}; {where}."
    )


def leaning(lines: Sequence[claims.Line]) -> str:
    """What undecided claims would be without the correction for the others, in words."""
    alone = [line.alone for line in lines]
    numbers = [
        f"{f'{alone.count(word)} more' if len(lines) > 1 else 'it'} would {verb}"
        for word, verb in (("holds", "hold"), ("contradicted", "be contradicted"))
        if word in alone
    ]
    return f" (tested alone, {' and '.join(numbers)})" if numbers else ""


def strongest(lines: Sequence[claims.Line], verdict: str) -> claims.Line | None:
    """The claim with this verdict that chance explains least, those of the best preset first;
    numbers without any spread, which have no chance to them, come last, and those of a run or two
    not at all.
    """
    decided = [line for line in lines if line.verdict == verdict and line.p and line.n >= FEWEST]
    if not decided:
        return None
    order = {preset: place for place, preset in enumerate(reversed(SHOWN_PRESETS))}
    return min(decided, key=lambda line: (not float(line.p), order[line.preset], float(line.p)))


def evidence(line: claims.Line) -> str:
    """A claim's numbers, in words."""
    parts = (f"{line.interval} {line.unit}", f"n = {line.n}", line.chance, f"preset {line.preset}")
    numbers = ", ".join(filter(None, parts))  # chance is empty where a premise is not shown
    return f"{numbers}; {line.reasons}" if line.reasons else numbers


def claim_rows(lines: list[claims.Line], paper: str) -> list[list]:
    """Rows of CLAIM_HEADER of a paper's part of the ledger."""
    return [
        [
            line.where,
            line.claim,
            line.test,
            line.preset,
            line.verdict,
            line.interval,
            line.n,
            line.p,
            line.maker,
            line.reasons,
        ]
        for line in lines
        if line.paper == paper
    ]
