"""What running a suite takes: states of its cells, hours and gigabytes, from measured costs of
updates and measured files.
"""

import textwrap

from tabulate import tabulate

from common.reporting.catalogue import natural
from common.reporting.tables import Table
from common.running import work
from common.running.cells import PRESETS, Cell

CORES = (2, 16, 64)
SIZING = [
    "paper",
    "cells",
    "data",
    "one core",
    *(f"{count} cores" for count in CORES),
    "one GPU, projected",
    "longest program",
    "dominated by",
]
SIZING_NOTE = (
    "From costs measured on one core (benchmarks/); scripts share cells and data. Programs are "
    "what can run side by side, so no number of cores is faster than the longest one. One GPU: "
    "cells one after the other, projected from kernel launches and products, not measured "
    "(benchmarks/gpu.py measures rates where there is one)."
)
WIDTH = 100  # columns of a terminal
SHOWS = 36  # columns of what a script shows
LIST_NOTE = (
    "Of every preset the time on one core and the size of the data. Estimates from measured costs "
    "per update and measured files, each script alone; scripts share cells and data."
)


def duration(seconds: float) -> str:
    """Seconds for people."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 5 * 86400 else f"{seconds / 86400:.0f} days"


def gigabytes(size: int) -> str:
    """Bytes for people."""
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e9:.2f} GB"


def headlines_first(chosen: list[Table], preset: str, options: dict) -> list[Table]:
    """The papers' tables, then their figures, then the rest; of each kind what takes least comes
    first.
    """
    costs = {table.slot: seconds_of(table.cells(preset, options)) for table in chosen}
    return sorted(chosen, key=lambda table: (natural(table.name)[0], costs[table.slot]))


def cells_of(chosen: list[Table], preset: str, options: dict | None = None) -> list[Cell]:
    """All cells of some tables, each once."""
    return list(dict.fromkeys(cell for table in chosen for cell in table.cells(preset, options)))


def seconds_of(cells: list[Cell]) -> float:
    """Estimated seconds on one core."""
    return sum(work.paper(cell.paper).cost(cell) for cell in cells)


def states(table: Table, preset: str, options: dict) -> dict[str, int]:
    """How many cells are done, missing, stale."""
    return count_states(table.cells(preset, options))


def count_states(cells: list[Cell]) -> dict[str, int]:
    """How many cells are done, missing, stale."""
    counts = {"done": 0, "missing": 0, "stale": 0}
    for cell in cells:
        counts[work.paper(cell.paper).state(cell).split(":")[0]] += 1
    return counts


def list_suite(chosen: list[Table], preset: str, options: dict) -> None:
    """Prints every script: what it shows, its state, its estimated time on one core and its data's
    size per preset.
    """
    # Resolving a cell takes time, and the same are asked for again and again
    cells = {(table.slot, name): table.cells(name, options) for table in chosen for name in PRESETS}
    rows = [
        list_row(table, preset, {name: cells[table.slot, name] for name in PRESETS})
        for table in chosen
    ]
    print(tabulate(rows, ["script", f"cells ({preset})", *PRESETS], disable_numparse=True))
    together = {
        name: list(dict.fromkeys(cell for table in chosen for cell in cells[table.slot, name]))
        for name in PRESETS
    }
    rows = [[name, *takes(together[name])] for name in PRESETS]
    print(f"\n{tabulate(rows, ['together', 'one core', 'data'], disable_numparse=True)}")
    print(f"\n{textwrap.fill(LIST_NOTE, WIDTH)}")


def list_row(table: Table, preset: str, cells: dict[str, list[Cell]]) -> list[str]:
    """A script's row of the list.

    Args:
        cells: by preset.
    """
    shows = textwrap.fill(table.title, SHOWS)
    about = f"{table.slot}\n{textwrap.indent(shows, '  ')}"
    if table.unavailable:
        return [about, textwrap.fill(table.unavailable.split(":")[0], 16), *"-" * len(PRESETS)]
    counts = count_states(cells[preset])
    state = "\n".join(f"{count} {name}" for name, count in counts.items() if count)
    return [about, state, *("\n".join(takes(cells[name])) for name in PRESETS)]


def takes(cells: list[Cell]) -> tuple[str, str]:
    """Time on one core and gigabytes of data of some cells, and of those they learn from."""
    cells = work.with_needed(cells)
    return duration(seconds_of(cells)), gigabytes(data_bytes(cells))


def data_bytes(cells: list[Cell]) -> int:
    """Bytes of the data sets of some cells, each once."""
    return sum(work.data_files(cells).values())


def plan(chosen: list[Table], preset: str, options: dict) -> float:
    """Prints what a run would do; returns the estimated seconds on one core."""
    cells = cells_of(chosen, preset, options)
    todo = work.pending(cells)
    pending = work.pending(work.with_needed(todo))
    total = seconds_of(pending)
    for cell in pending:
        print(f"{cell.paper}/{cell.slot}: {work.paper(cell.paper).state(cell)}")
    done = f"{len(cells) - len(todo)} of {len(cells)} cells are done"
    print(f"{done}; the rest takes about {duration(total)} on one core")
    missing = work.missing_data(pending)
    if missing:
        size = gigabytes(sum(missing.values()))
        print(f"{len(missing)} data sets have to be built for it, about {size}")
    return total


def sizing_rows(chosen: list[Table]) -> list[list]:
    """Rows of SIZING: what preset paper takes, by paper and together."""
    papers = list(dict.fromkeys(table.paper for table in chosen))
    rows = []
    total: dict[Cell, float] = {}
    longest_of_all = 0.0
    for paper in papers:
        tables = [table for table in chosen if table.paper == paper]
        costs = costs_of(work.with_needed(cells_of(tables, "paper")))
        groups = work.programs(list(costs))
        longest = max((sum(costs[cell] for cell in group) for group in groups), default=0.0)
        rows.append(sizing_row(paper, costs, longest, ", ".join(heaviest(tables))))
        total |= costs
        longest_of_all = max(longest, longest_of_all)
    by_paper = {
        paper: sum(cost for cell, cost in total.items() if cell.paper == paper) for paper in papers
    }
    most = max(papers, key=by_paper.__getitem__)
    return [*rows, sizing_row("all", total, longest_of_all, most)]


def costs_of(cells: list[Cell]) -> dict[Cell, float]:
    """Estimated seconds on one core of every cell."""
    return {cell: work.paper(cell.paper).cost(cell) for cell in cells}


def heaviest(tables: list[Table]) -> list[str]:
    """The two scripts that take longest; claims are computed from other scripts' cells."""
    seconds = {
        table.name: seconds_of(work.with_needed(table.cells("paper")))
        for table in tables
        if table.name != "claims"
    }
    return sorted(seconds, key=seconds.__getitem__, reverse=True)[:2]


def sizing_row(name: str, costs: dict[Cell, float], longest: float, dominated: str) -> list:
    """A row of SIZING from the cells' seconds on one core."""
    total = sum(costs.values())
    spread = [duration(max(total / cores, longest)) for cores in CORES]
    size = gigabytes(data_bytes(list(costs)))
    gpu = gpu_seconds(list(costs))
    projected = "-" if gpu is None else duration(gpu)
    took = [duration(total), *spread, projected, duration(longest)]
    return [name, len(costs), size, *took, dominated]


def gpu_seconds(cells: list[Cell]) -> float | None:
    """Projected seconds of cells one after the other on one GPU; None if a paper says nothing."""
    total = 0.0
    for cell in cells:
        cost = work.paper(cell.paper).gpu_cost
        if cost is None:
            return None
        total += cost(cell)
    return total
