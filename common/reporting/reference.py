"""The committed reference: comparing fresh results with it, taking results into it and cells out of
it.
"""

import shutil
from pathlib import Path

from tabulate import tabulate

from common.reporting import claims, departures, planning, regression, stored, writer
from common.reporting.shown import show
from common.reporting.tables import Table
from common.running import work
from common.running.cells import Cell, runs_folder
from common.running.files import atomic, write_text

SEES = (
    "What it sees where code or machine differ: the smallest shift of all seeds that is found in "
    "four of five cases, of one entry (the median) and of all entries of a table together. Where "
    "code, data and machine are the same, any change of any seed is found."
)

IN_PARTS = ("standard", "paper")  # presets whose tables are accepted cell by cell
KEPT_BYTES = 8_000_000  # of a file beside a cell's result; larger ones are made again


def diff(chosen: list[Table], preset: str) -> int:
    """Compares fresh results with the committed reference, see `regression`; returns 4 if an entry
    differs or is gone, stale, or without one of its seeds, else 0.
    """
    judgements: list[regression.Judgement] = []
    powers: list[list[str]] = []
    for table in chosen:
        committed = stored.judged(table, preset)
        fresh = stored.here(table, preset)
        if committed is None or fresh is None:
            what = "not run yet" if committed else "no committed reference"
            print(f"{table.slot}: {what} at preset {preset}")
            continue
        times = regression.timed(table, preset)
        of_table = regression.judge(fresh, committed, times)
        judgements += of_table.values()
        row = regression.power_row(table, committed, times)
        powers += [row] if row else []
        rows = regression.rows(table, fresh, committed, of_table)
        print(f"\n{table.slot}, reference made by {committed.maker}")
        print(tabulate(rows, regression.DIFF, disable_numparse=True))
    if powers:
        print(f"\n{SEES}\n\n{tabulate(powers, regression.POWERS, disable_numparse=True)}")
    print(f"\n{summary_of(judgements)}")
    return 4 if any(judgement.regression for judgement in judgements) else 0


def summary_of(judgements: list[regression.Judgement]) -> str:
    """How many entries have which verdict, in words."""
    words = [judgement.word for judgement in judgements]
    regressions = sum(judgement.regression for judgement in judgements)
    compared = len(words) - words.count("time")
    moved = words.count("consistent")
    alike = f"{words.count('identical')} equal, {moved} with other numbers within chance"
    return f"{compared} entries compared: {alike}, {regressions} differ from the reference"


def accept(chosen: list[Table], preset: str) -> int:
    """Copies finished tables (CSV and JSON) into results/reference; refuses tables with cells that
    are not done, and returns 1 if there was one.

    At presets standard and paper, which take hours, a table in progress is accepted too: its open
    entries stay empty and its JSON says which cells are missing. The finished cells themselves are
    kept as well, for `adopt`.
    """
    refused = [
        table.slot for table in chosen if not table.unavailable and not accept_table(table, preset)
    ]
    write_ledgers()
    if preset in IN_PARTS:
        for cell in work.with_needed(planning.cells_of(chosen, preset)):
            if work.paper(cell.paper).state(cell) == "done":
                write_text(kept_at(cell.path, cell), cell.path.read_text())
                for path in work.paper(cell.paper).beside(cell):
                    kept_at(path, cell).unlink(missing_ok=True)
                    if path.exists() and path.stat().st_size <= KEPT_BYTES:
                        copy(path, kept_at(path, cell))
    return 1 if refused else 0


def kept_at(path: Path, cell: Cell) -> Path:
    """Where the reference has a file of the results folder."""
    return stored.REFERENCE / cell.preset / cell.paper / path.parent.name / path.name


def copy(source: Path, target: Path) -> None:
    """Copies a file of any kind; its place has the old one or the new one."""
    with atomic(target) as temporary:
        shutil.copyfile(source, temporary)


def write_ledgers() -> None:
    """The claims and departures of the reference, as CSV."""
    only = (stored.committed,)
    claims.write(claims.ledger(sources=only), stored.REFERENCE / "claims.csv")
    departures.write(departures.ledger(sources=only), stored.REFERENCE / "departures.csv")


def accept_table(table: Table, preset: str) -> bool:
    """Copies one table; False if it is not finished, which is said."""
    counts = planning.states(table, preset, {})
    partial = preset in IN_PARTS and counts["done"]
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
            write_text(stored.REFERENCE / preset / table.paper / source.name, source.read_text())
    print(f"{table.slot}: accepted, {counts['done']} of {sum(counts.values())} cells done")
    return True


def adopt(chosen: list[Table], preset: str) -> int:
    """Copies reference cells into the results folder where there is none, and what they learn from;
    stale ones stay stale there. Returns 0.

    A cell with files beside it, which others need, is taken with them or not at all; where only
    they are gone they are put back.

    Raises:
        Busy: another command is writing these results.
    """
    cells = planning.cells_of(chosen, preset)
    needed = work.with_needed(cells)
    taken = set()
    with work.writing(needed):
        for cell in needed:
            paths = [*work.paper(cell.paper).beside(cell), cell.path]
            kept = [kept_at(path, cell) for path in paths]
            if not all(path.exists() for path in kept) or all(path.exists() for path in paths):
                continue
            if cell.path.exists() and cell.path.read_bytes() != kept[-1].read_bytes():
                continue
            for source, target in zip(kept, paths, strict=True):
                copy(source, target)
            if work.paper(cell.paper).state(cell) == "done":
                taken.add(cell)
    print(f"{len(taken & {*cells})} of {len(cells)} cells taken from the reference as done")
    return 0
