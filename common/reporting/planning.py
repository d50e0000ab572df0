"""What running a suite takes: states of its cells, hours and gigabytes, from measured costs of
updates and measured files.
"""

from tabulate import tabulate

from common.reporting.tables import PRESETS, Table
from common.running import work
from common.running.cells import Cell

CORES = (2, 16, 64)
SIZING = [
    "paper",
    "cells",
    "data",
    "one core",
    *(f"{count} cores" for count in CORES),
    "longest program",
    "dominated by",
]
SIZING_NOTE = (
    "From costs measured on one core (benchmarks/); scripts share cells and data. Programs are what can run side by side, so "
    "no number of cores is faster than the longest one. GPUs: not measured, no GPU has run this yet."
)


def duration(seconds: float) -> str:
    """Seconds for people."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 5 * 86400 else f"{seconds / 86400:.0f} days"


def cells_of(chosen: list[Table], preset: str, options: dict | None = None) -> list[Cell]:
    """All cells of some tables, each once."""
    return list(dict.fromkeys(cell for table in chosen for cell in table.cells(preset, options)))


def states(table: Table, preset: str, options: dict) -> dict[str, int]:
    """How many cells are done, missing, stale."""
    counts = {"done": 0, "missing": 0, "stale": 0}
    for cell in table.cells(preset, options):
        counts[work.paper(cell.paper).state(cell).split(":")[0]] += 1
    return counts


def list_suite(chosen: list[Table], preset: str, options: dict) -> None:
    """Prints every script: what it shows, its state, its estimated time on one core and its data's
    size per preset.
    """
    rows = []
    for table in chosen:
        if table.unavailable:
            rows.append(
                [table.slot, table.title, table.unavailable.split(":")[0], *"-" * len(PRESETS)]
            )
            continue
        counts = states(table, preset, options)
        state = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        rows.append(
            [table.slot, table.title, state, *(needs(table.cells(p, options)) for p in PRESETS)]
        )
    print(
        tabulate(
            rows, ["script", "shows", f"cells ({preset})", *(f"{p}, 1 core, data" for p in PRESETS)]
        )
    )
    total = [needs(cells_of(chosen, p, options)) for p in PRESETS]
    print(
        f"\nTogether: {', '.join(f'{p} {text}' for p, text in zip(PRESETS, total, strict=True))}."
    )
    print(
        "Estimates from measured costs per update and measured files, each script alone; scripts share cells and data."
    )


def needs(cells: list[Cell]) -> str:
    """Time on one core and gigabytes of data of some cells."""
    seconds = sum(work.paper(cell.paper).cost(cell) for cell in cells)
    return f"{duration(seconds)}, {gigabytes(data_bytes(cells))}"


def data_bytes(cells: list[Cell]) -> int:
    """Bytes of the data sets of some cells, each once."""
    return sum(
        {
            path: size
            for cell in cells
            for path, size in work.paper(cell.paper).files(cell).items()
        }.values()
    )


def gigabytes(size: int) -> str:
    """Bytes for people."""
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e9:.2f} GB"


def plan(chosen: list[Table], preset: str, options: dict) -> float:
    """Prints what a run would do; returns the estimated seconds on one core."""
    cells = cells_of(chosen, preset, options)
    pending = work.pending(cells)
    total = sum(work.paper(cell.paper).cost(cell) for cell in pending)
    for cell in pending:
        print(f"{cell.paper}/{cell.slot}: {work.paper(cell.paper).state(cell)}")
    print(
        f"{len(cells) - len(pending)} of {len(cells)} cells are done; the rest takes about {duration(total)} on one core"
    )
    missing = work.missing_data(pending)
    if missing:
        print(
            f"{len(missing)} data sets have to be built for it, about {gigabytes(sum(missing.values()))}"
        )
    return total


def sizing_rows(chosen: list[Table]) -> list[list]:
    """Rows of SIZING: what preset paper takes, by paper and together."""
    rows, everything, longest_of_all = [], {}, 0.0
    for name in dict.fromkeys(table.paper for table in chosen):
        cells, known = (
            {table.name: table.cells("paper") for table in chosen if table.paper == name},
            work.paper(name),
        )
        costs = {cell: known.cost(cell) for mine in cells.values() for cell in mine}
        longest = max(
            (sum(costs[cell] for cell in group) for group in work.programs(list(costs))),
            default=0.0,
        )
        by_script = {script: sum(costs[cell] for cell in mine) for script, mine in cells.items()}
        trained = [
            script for script in by_script if script != "claims"
        ]  # claims are computed from other scripts' cells
        heaviest = sorted(trained, key=by_script.get, reverse=True)[:2]
        rows.append(sizing_row(name, costs, longest, ", ".join(heaviest)))
        everything |= costs
        longest_of_all = max(longest, longest_of_all)
    most = max(
        rows, key=lambda row: sum(everything[cell] for cell in everything if cell.paper == row[0])
    )[0]
    return [*rows, sizing_row("all", everything, longest_of_all, most)]


def sizing_row(name: str, costs: dict[Cell, float], longest: float, dominated: str) -> list:
    """A row of SIZING from the cells' seconds on one core."""
    total = sum(costs.values())
    spread = [duration(max(total / cores, longest)) for cores in CORES]
    return [
        name,
        len(costs),
        gigabytes(data_bytes(list(costs))),
        duration(total),
        *spread,
        duration(longest),
        dominated,
    ]
