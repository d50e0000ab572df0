"""Tables of a suite as they become done: each is printed and written once, the report renewed."""

import functools
import sys
import time
from collections.abc import Callable

from common.reporting import report, script
from common.reporting.tables import Table
from common.running import faults, work
from common.running.cells import Cell, runs_folder
from common.running.files import writable
from common.running.progress import note

RENEWED = 180.0  # seconds between two reports


class Arrivals:
    """What of a suite has been printed, and what is still to come.

    Attributes:
        left: tables that have not been printed.
        awaited: of every table the cells that were not done at the beginning.
        seen: of these when their file was last changed, until they are done.
        done: those that are done by now.
    """

    def __init__(self, tables: list[Table], preset: str, options: dict):
        self.preset, self.options = preset, options
        self.tables = tables
        self.left = [*tables]
        cells = {table.slot: table.cells(preset, options) for table in tables}
        undone = {*work.pending([cell for group in cells.values() for cell in group])}
        self.awaited = {slot: undone & {*group} for slot, group in cells.items()}
        self.seen = {cell: last_change(cell) for cell in undone}
        self.done: set[Cell] = set()
        self.began = time.monotonic()
        self.renewed = self.began - RENEWED

    def next(self) -> Callable[[], None] | None:
        """What prints the first table whose last cell has come in since; None if there is none."""
        self.look()
        for table in self.left:
            awaited = self.awaited[table.slot]
            if awaited and awaited <= self.done:
                return functools.partial(self.show, table)
        return None

    def look(self) -> None:
        """Notes what is done by now; only files that have changed are read."""
        changed = {cell: last_change(cell) for cell in self.seen}
        new = [cell for cell, time in changed.items() if time != self.seen[cell]]
        if new:
            self.done |= {*new} - {*work.pending(new)}
            self.seen = {cell: changed[cell] for cell in self.seen if cell not in self.done}

    def show(self, table: Table) -> None:
        """Prints and writes a table, and renews the report if the last is old enough. What goes
        wrong is said, and tried again at the end.
        """
        self.left.remove(table)
        try:
            script.present(table, self.preset, self.options)
            print()
            note(f"{table.slot} is done, {time.monotonic() - self.began:.0f} s after the start")
            if time.monotonic() > self.renewed + RENEWED and writable(runs_folder()):
                print(f"report, as far as it goes: {report.write(self.tables, draw=False)}\n")
                self.renewed = time.monotonic()
        except Exception as error:  # training goes on
            self.left.append(table)
            self.awaited[table.slot] = set()
            print(f"note: {table.slot}: {faults.one_line(error)}", file=sys.stderr)

    def rest(self) -> list[str]:
        """Prints what has not been printed: tables that were done before, or that failed. Returns
        what cannot be printed, a line each.
        """
        failures = []
        for table in self.left:
            try:
                script.present(table, self.preset, self.options)
                print()
            except Exception as error:  # the others are printed
                failures.append(f"{table.slot}: {faults.one_line(error)}")
        return failures


def last_change(cell: Cell) -> int:
    """When a cell's file was changed, 0 where there is none; in nanoseconds."""
    try:
        return cell.path.stat().st_mtime_ns
    except OSError:
        return 0
