"""The committed reference: reading it, comparing fresh results with it, taking results into it and
cells out of it.
"""

import json
import math
from pathlib import Path
from typing import NamedTuple

from tabulate import tabulate

from common.reporting import claims, departures, planning, scores, writer
from common.reporting.shown import Shown, of_json, show
from common.reporting.tables import REFERENCE, Table
from common.running import work
from common.running.cells import runs_folder
from common.running.files import write_text

DIFF = ["row", "column", "published", "reference", "fresh", "verdict"]
Sample = dict[int, float]  # seed -> last score


class Stored(NamedTuple):
    """A table's JSON at a preset, where it comes from, and its folder."""

    facts: dict
    source: str
    folder: Path

    @property
    def entries(self) -> list[Shown]:
        """Without what single seeds did."""
        return [of_json(entry) for entry in self.facts["entries"]]


def stored(table: Table, preset: str) -> Stored | None:
    """What a run on this machine left, else the reference."""
    for source, folder in (("this machine", runs_folder()), ("committed reference", REFERENCE)):
        path = folder / preset / table.paper / f"{table.name}.json"
        if path.exists():
            return Stored(json.loads(path.read_text()), source, path.parent)
    return None


def state_of(table: Table, entries: list[Shown] | None) -> str:
    """How much of a table there is, in words.

    Args:
        entries: as stored, None if it has not been run.
    """
    if table.unavailable:
        return "cannot run"
    if entries is None:
        return "not run"
    there = sum(entry.mean is not None for entry in entries)
    if there == len(entries):
        return "complete"
    if any(entry.state.startswith(("missing", "stale")) for entry in entries):
        return f"{there} of {len(entries)} entries"
    return f"complete, {len(entries) - there} without a number by design"


def differs(ours: Sample, theirs: Sample) -> bool:
    """Whether two samples of seeds differ beyond three standard errors of the difference of their
    means.
    """
    if sorted(ours.values()) == sorted(theirs.values()):
        return False
    fresh = scores.summary(list(ours.values()))
    old = scores.summary(list(theirs.values()))
    if fresh.mean is None or old.mean is None:
        return fresh.mean is not old.mean
    error = math.hypot(scores.standard_error(fresh), scores.standard_error(old))
    return math.isfinite(error) and abs(fresh.mean - old.mean) > 3 * max(error, 1e-6)


def word_of(ours: Sample | None, theirs: Sample) -> str:
    """How a fresh entry stands to the reference's."""
    if not ours:
        return "gone"
    if differs(ours, theirs):
        return "DIFFERS"
    return "identical" if ours == theirs else "consistent"


def diff_rows(table: Table, committed: Path, fresh: Path) -> list[list[str]]:
    """Rows of DIFF of two seeds CSVs of a table."""
    published = table.published()
    new = writer.read_seeds(fresh)
    rows = []
    for name, theirs in writer.read_seeds(committed).items():
        ours = new.get(name)
        means = [
            published.get(name, (None,))[0],
            scores.summary(list(theirs.values())).mean,
            scores.summary(list(ours.values())).mean if ours else None,
        ]
        numbers = [writer.number(mean, table.decimals) for mean in means]
        rows.append([*name, *numbers, word_of(ours, theirs)])
    return rows


def diff(chosen: list[Table], preset: str) -> int:
    """Compares fresh results with the committed reference; returns 4 if an entry differs or is
    gone, else 0.
    """
    words: list[str] = []
    for table in chosen:
        file = f"{preset}/{table.paper}/{table.name}.seeds.csv"
        if not (REFERENCE / file).exists() or not (runs_folder() / file).exists():
            committed = (REFERENCE / file).exists()
            what = "not run yet" if committed else "no committed reference"
            print(f"{table.slot}: {what} at preset {preset}")
            continue
        rows = diff_rows(table, REFERENCE / file, runs_folder() / file)
        words += [row[-1] for row in rows]
        print(f"\n{table.slot}\n{tabulate(rows, DIFF, disable_numparse=True)}")
    regressions = words.count("gone") + words.count("DIFFERS")
    print(f"\n{len(words)} entries compared, {regressions} differ from the reference")
    return 4 if regressions else 0


def accept(chosen: list[Table], preset: str) -> int:
    """Copies finished tables (CSV and JSON) into results/reference; refuses tables with cells that
    are not done, and returns 1 if there was one.

    At preset paper, where cells take hours, a table in progress is accepted too: its open entries
    stay empty and its JSON says which cells are missing. The finished cells themselves are kept as
    well, for `adopt`.
    """
    refused = [
        table.slot for table in chosen if not table.unavailable and not accept_table(table, preset)
    ]
    claims.write(claims.ledger(sources=(REFERENCE,)), REFERENCE / "claims.csv")
    departures.write(departures.ledger(sources=(REFERENCE,)), REFERENCE / "departures.csv")
    if preset == "paper":
        for cell in planning.cells_of(chosen, preset):
            if work.paper(cell.paper).state(cell) == "done":
                kept_at = REFERENCE / preset / cell.paper / "cells" / cell.path.name
                write_text(kept_at, cell.path.read_text())
    return 1 if refused else 0


def accept_table(table: Table, preset: str) -> bool:
    """Copies one table; False if it is not finished, which is said."""
    counts = planning.states(table, preset, {})
    partial = preset == "paper" and counts["done"]
    if (counts["missing"] or counts["stale"]) and not partial:
        missing = f"{counts['missing']} cells missing and {counts['stale']} stale at {preset}"
        print(f"{table.slot}: not accepted, {missing}")
        return False
    entries = show(table, preset, {})
    if all(entry.state != "done" for entry in entries):
        print(f"{table.slot}: not accepted, no entry is complete at {preset}")
        return True
    writer.write(table, preset, {}, entries)
    for kind in writer.KINDS:
        source = runs_folder() / preset / table.paper / f"{table.name}.{kind}"
        if source.exists():
            write_text(REFERENCE / preset / table.paper / source.name, source.read_text())
    print(f"{table.slot}: accepted, {counts['done']} of {sum(counts.values())} cells done")
    return True


def adopt(chosen: list[Table], preset: str) -> int:
    """Copies reference cells into the results folder where there is none; stale ones stay stale
    there. Returns 0.
    """
    cells = planning.cells_of(chosen, preset)
    taken = 0
    for cell in cells:
        source = REFERENCE / preset / cell.paper / "cells" / cell.path.name
        if source.exists() and not cell.path.exists():
            write_text(cell.path, source.read_text())
            taken += work.paper(cell.paper).state(cell) == "done"
    print(f"{taken} of {len(cells)} cells taken from the reference as done")
    return 0
