"""The departures ledger: every difference between a paper's text, its released code and this
package, with its measured effect.

The rows are those of the table of differences in each paper's README, so what people read is what
is counted. Where a script runs the other reading beside the default, `EFFECTS` in
papers/<paper>/departures.py names the entries; the effect is their difference, seed by seed, with
its 95 % interval.
"""

import importlib
import re
from dataclasses import dataclass
from pathlib import Path

from common.reporting import claims
from common.reporting.tables import REFERENCE
from common.running.cells import runs_folder
from common.running.files import write_csv
from common.running.provenance import ROOT

HEADER = [
    "paper",
    "what",
    "elsewhere",
    "here",
    "option",
    "preset",
    "effect",
    "low",
    "high",
    "n",
    "unit",
    "from",
]
COLUMN = "effect of the other reading [95 %]"


@dataclass(frozen=True)
class Effect:
    """Entries that run both readings of one difference.

    Attributes:
        what: first column of the difference's row in the paper's README.
        table: the script of the same paper.
        pairs: (other reading, default) entries, as (row, column) each.
    """

    what: str
    table: str
    pairs: tuple[tuple[claims.Name, claims.Name], ...]


def readme_table(paper: str) -> tuple[list[str], list[list[str]], list[str]]:
    """Header and rows of a paper's table of differences, and the section's other paragraphs.

    Raises:
        ValueError: the README has no such section.
    """
    path = ROOT / "papers" / paper / "README.md"
    section = re.search(
        r"## (?:Differences|Readings).*?\n(.*?)(?=\n## |\Z)", path.read_text(), re.DOTALL
    )
    if section is None:
        raise ValueError(f"{path} has no section whose title begins with Differences or Readings")
    rows, other = [], []
    for block in section.group(1).replace("`", "").strip().split("\n\n"):
        if block.startswith("|"):
            rows += [
                [cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()
            ]
        else:
            other.append(" ".join(block.split()))
    body = [row for row in rows[1:] if not set("".join(row)) <= set("-: ")]
    return rows[0], body, other


def effects_of(paper: str) -> list[Effect]:
    """The measured differences of a paper."""
    return importlib.import_module(f"papers.{paper}.departures").EFFECTS


def measured(paper: str, effect: Effect, preset: str, sources: tuple[Path, ...]) -> list | None:
    """Mean, low, high, n, unit and script of an effect at a preset, None where it has not been run."""
    for source in sources:
        path = source / preset / paper / f"{effect.table}.seeds.csv"
        samples = claims.differences(effect, claims.seeds_of(path)) if path.exists() else None
        if samples:
            mean, low, high = claims.interval(samples)
            unit = importlib.import_module(f"papers.{paper}.{effect.table}").TABLE.unit
            return [
                *(f"{value:.4g}" for value in (mean, low, high)),
                sum(map(len, samples)),
                unit,
                effect.table,
            ]
    return None


def ledger(
    papers=claims.PAPERS, presets=("quick", "paper"), sources: tuple[Path, ...] = ()
) -> list[list]:
    """Rows of HEADER: one for every measured effect and preset, one for every difference that has
    none.

    Args:
        sources: results folders, the first that has the numbers counts; this machine's, then the
            reference, by default.
    """
    sources, rows = sources or (runs_folder(), REFERENCE), []
    for paper in papers:
        header, body, _ = readme_table(paper)
        for row in body:
            elsewhere = "; ".join(
                f"{name}: {value}"
                for name, value in zip(header[1:-2], row[1:-2], strict=True)
                if value
            )
            found = [
                [preset, *numbers]
                for effect in effects_of(paper)
                if effect.what == row[0]
                for preset in presets
                if (numbers := measured(paper, effect, preset, sources))
            ]
            for numbers in found or [[""] * 7]:
                rows.append([paper, row[0], elsewhere, row[-2], row[-1], *numbers])
    return rows


def shown(numbers: list) -> str:
    """The measured part of a ledger row in words; "" where there is none."""
    preset, mean, low, high, count, unit, table = numbers
    return (
        f"{float(mean):+.3g} [{low}, {high}] {unit}, n = {count} ({table}, {preset})"
        if preset
        else ""
    )


def table_of(paper: str, rows: list[list]) -> tuple[list[str], list[list[str]]]:
    """A paper's README table with a column for what was measured.

    Args:
        rows: of the ledger.
    """
    header, body, _ = readme_table(paper)
    effects: dict[str, list[str]] = {}
    for owner, what, _, _, _, *numbers in rows:
        if owner == paper and numbers[0]:
            effects.setdefault(what, []).append(shown(numbers))
    return [*header, COLUMN], [[*row, "; ".join(effects.get(row[0], []))] for row in body]


def write(rows: list[list], path: Path) -> None:
    """The ledger as CSV."""
    write_csv(path, HEADER, rows)
