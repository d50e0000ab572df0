"""The departures ledger: every difference between a paper's text, its released code and this
package, with its measured effect.

Every paper's departures.py lists its `DEPARTURES`; the tables in the papers' notes are made from
them. Where a script runs the other reading beside the default, the departure names the entries; the
effect is their difference, seed by seed, with its 95 % interval, and who made the numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from common.reporting import catalogue, claims, scores
from common.reporting.scores import Name
from common.reporting.stored import SHOWN_PRESETS, Source, here, judged, once
from common.running.files import write_csv

HEADER = [
    "paper",
    "what",
    "text",
    "released",
    "here",
    "option",
    "preset",
    "effect",
    "low",
    "high",
    "n",
    "unit",
    "from",
    "made by",
]
TITLES = {
    "what": "what",
    "text": "paper",
    "released": "released code",
    "here": "here",
    "option": "option",
    "effect": "effect of the other reading [95 %]",
}


@dataclass(frozen=True)
class Effect:
    """Entries that run both readings of one difference.

    Attributes:
        table: the script of the same paper.
        pairs: (other reading, default) entries, as (row, column) each.
        unit: of the numbers, where it is not the table's.
    """

    table: str
    pairs: tuple[tuple[Name, Name], ...]
    unit: str = ""


@dataclass(frozen=True)
class Departure:
    """One difference.

    Attributes:
        what: it is about.
        text: what the paper's text or appendix says; "" where it is silent.
        released: what the authors' code does; "" where it does not say, or there is none.
        here: the default of this package.
        option: what chooses the other reading, or names the constant.
        effect: entries with both readings, where they are run.
    """

    what: str
    text: str
    released: str
    here: str
    option: str = ""
    effect: Effect | None = None


class Measured(NamedTuple):
    """The effect of the other reading at a preset; numbers as they are printed, none of entries
    that are stale.
    """

    preset: str
    mean: str
    low: str
    high: str
    n: int
    unit: str
    table: str
    maker: str

    def __str__(self) -> str:
        if not self.mean:
            return f"stale ({self.table}, {self.preset}): run it again"
        numbers = scores.readable(float(self.mean), float(self.low), float(self.high), sign="+")
        source = f"n = {self.n} ({self.table}, {self.preset}, {self.maker})"
        return f"{numbers} {self.unit}, {source}"


class Line(NamedTuple):
    """A row of the ledger."""

    paper: str
    departure: Departure
    measured: Measured | None = None


def of_paper(paper: str) -> list[Departure]:
    """A paper's departures; none where it has no departures.py."""
    departures = catalogue.module(paper, "departures")
    return departures.DEPARTURES if departures else []


def measure(paper: str, effect: Effect, preset: str, sources: Sequence[Source]) -> Measured | None:
    """An effect at a preset from the first source that has it or where it is stale, None where it
    has not been run.
    """
    table = catalogue.table(f"{paper}/{effect.table}")
    unit = effect.unit or table.unit
    names = {name for pair in effect.pairs for name in pair}
    for source in sources:
        there = source(table, preset)
        if there is None:
            continue
        independent = claims.strata(effect.pairs, claims.finite(there))
        if independent:
            mean, low, high = (f"{value:.6g}" for value in claims.interval(*independent))
            count = sum(map(len, independent[0]))
            return Measured(preset, mean, low, high, count, unit, effect.table, there.maker)
        if any(entry.name in names for entry in there.undone("stale")):
            return Measured(preset, "", "", "", 0, unit, effect.table, there.maker)
    return None


def ledger(
    papers: Sequence[str] | None = None,
    presets: Sequence[str] = SHOWN_PRESETS,
    sources: Sequence[Source] = (here, judged),
) -> list[Line]:
    """One line for every measured effect and preset, one for every departure that has none.

    Args:
        sources: the first that has the numbers counts; this machine's, then the reference, by
            default.
    """
    readers = [once(source) for source in sources]
    lines = []
    for paper in catalogue.papers() if papers is None else papers:
        for departure in of_paper(paper):
            lines += of_departure(paper, departure, presets, readers)
    return lines


def of_departure(
    paper: str, departure: Departure, presets: Sequence[str], sources: Sequence[Source]
) -> list[Line]:
    """A departure's lines of the ledger."""
    if departure.effect is None:
        return [Line(paper, departure)]
    numbers = [measure(paper, departure.effect, preset, sources) for preset in presets]
    measured = [Line(paper, departure, effect) for effect in numbers if effect]
    return measured or [Line(paper, departure)]


def table_of(paper: str, lines: list[Line]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a paper's departures, with what was measured; without columns that are
    empty.

    Args:
        lines: of the ledger.
    """
    rows = []
    for departure in of_paper(paper):
        effects = [
            str(line.measured)
            for line in lines
            if line.paper == paper and line.departure == departure and line.measured
        ]
        columns = [getattr(departure, name) for name in list(TITLES)[:-1]]
        rows.append([*columns, "; ".join(effects)])
    filled = [c for c in range(len(TITLES)) if any(row[c] for row in rows)]
    header = list(TITLES.values())
    return [header[c] for c in filled], [[row[c] for c in filled] for row in rows]


def csv_rows(lines: list[Line]) -> list[list]:
    """Rows of HEADER."""
    return [
        [
            line.paper,
            *(getattr(line.departure, name) for name in list(TITLES)[:-1]),
            *(line.measured or [""] * 8),
        ]
        for line in lines
    ]


def write(lines: list[Line], path: Path) -> None:
    """The ledger as CSV."""
    write_csv(path, HEADER, csv_rows(lines))
