"""Pictures of tables: grouped bars, lines over a swept value, and learning curves. Ours and
published are told apart.

matplotlib is imported when the first picture is drawn: a script that trains does not need it.
"""

import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from common.reporting import scores
from common.reporting.shown import Shown
from common.reporting.tables import Table
from common.running.files import atomic

# safe for colour blindness
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
MOST_GROUPS = 16  # of bars in a picture
GROUPS_ACROSS = 8  # of bars in a panel
LETTERS = 13  # of a legend's names in an inch


def subplots(*shape: int, **options) -> tuple[Any, Any]:
    """A figure and its axes, as pyplot's, without a display."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot.subplots(*shape, layout="constrained", **options)


def save(figure, path: Path) -> None:
    """Writes a PNG atomically."""
    from matplotlib import pyplot

    with atomic(path) as draft:
        figure.savefig(draft, format="png", dpi=110)
    pyplot.close(figure)


def labels(shown: list[Shown]) -> tuple[list[str], list[str]]:
    """Rows and columns in order of first appearance."""
    rows = list(dict.fromkeys(entry.row for entry in shown))
    return rows, list(dict.fromkeys(entry.column for entry in shown))


def wrapped(name: str) -> str:
    """A name in lines that fit below a group of bars."""
    return "\n".join(textwrap.fill(part, 13, break_long_words=False) for part in name.split("/"))


def means(shown: list[Shown]) -> np.ndarray:
    """NaN where there is none."""
    return np.array([np.nan if entry.mean is None else entry.mean for entry in shown])


def spreads(shown: list[Shown]) -> np.ndarray:
    """Standard deviations, 0 where there is none."""
    return np.array([entry.std or 0.0 for entry in shown])


def suits_bars(table: Table, shown: list[Shown]) -> bool:
    """Whether bars can be read: of few rows, all in one unit."""
    return len(labels(shown)[0]) <= MOST_GROUPS and not table.several_units


def bars(
    table: Table,
    shown: list[Shown],
    path: Path,
    preset: str,
    linear_below: float | None = None,
) -> None:
    """One group of bars per row, one bar per column with its sd; a black diamond is the published
    mean. Many groups stand in several panels, one below the other.

    Args:
        linear_below: the axis is logarithmic beyond this value, on both sides; None for a linear
            one.
    """
    rows, columns = labels(shown)
    down = -(-len(rows) // GROUPS_ACROSS)
    across = -(-len(rows) // down)
    size = (max(5, 1.1 * across + 1), 3 * down + 1)
    figure, grid = subplots(down, figsize=size, sharey=True, squeeze=False)
    for number, axes in enumerate(grid.flat):
        groups = rows[number * across : (number + 1) * across]
        draw_bars(axes, table, [entry for entry in shown if entry.row in groups], columns)
        axes.set_xlim(-0.6, across - 0.4)
        if linear_below:
            axes.set_yscale("symlog", linthresh=linear_below)
    finish(figure, grid.flat, table, preset)
    save(figure, path)


def draw_bars(axes, table: Table, shown: list[Shown], columns: list[str]) -> None:
    """Groups of bars, as wide apart as all columns need."""
    rows, _ = labels(shown)
    width = 0.8 / len(columns)
    for c, column in enumerate(columns):
        entries = [entry for entry in shown if entry.column == column]
        places = np.array([rows.index(entry.row) for entry in entries])
        x = places + (c - (len(columns) - 1) / 2) * width
        axes.bar(
            x,
            means(entries),
            width,
            yerr=spreads(entries),
            label=table.called(column),
            color=COLORS[c % 7],
            hatch="//" if c > 6 else None,
            alpha=0.85,
        )
        theirs = [entry.published_mean for entry in entries]
        diamonds = [np.nan if mean is None else mean for mean in theirs]
        printed = any(mean is not None for mean in theirs)
        axes.plot(x, diamonds, "kD", markersize=4, label="published" if printed else None)
    names = [wrapped(table.called_row(row)) for row in rows]
    axes.set_xticks(range(len(rows)), names, fontsize=8)


def forest(
    table: Table,
    shown: list[Shown],
    path: Path,
    preset: str,
    linear_below: float = 1.0,
) -> None:
    """A line per entry: its mean with a 95 % t interval, named by row and column, rows apart by a
    rule. For tables of differences, which zero judges.

    Args:
        linear_below: the axis is logarithmic beyond this value, on both sides, as entries have
            several units.
    """
    drawn = [entry for entry in shown if entry.mean is not None]
    sides = ((entry.summary.low, entry.summary.high) for entry in drawn)
    bounds = np.array(list(sides), float).reshape(-1, 2)  # NaN where there is none
    figure, axes = subplots(figsize=(9, 0.17 * len(drawn) + 1))
    lines = range(len(drawn))
    halves = np.diff(bounds)[:, 0] / 2
    axes.errorbar(means(drawn), lines, xerr=halves, fmt="o", markersize=3, color=COLORS[0])
    names = [f"{table.called_row(entry.row)}: {table.called(entry.column)}" for entry in drawn]
    axes.set_yticks(lines, names, fontsize=7)
    for line in lines[1:]:
        if drawn[line].row != drawn[line - 1].row:
            axes.axhline(line - 0.5, color="grey", linewidth=0.4)
    axes.set_ylim(len(drawn) - 0.5, -0.5)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_xscale("symlog", linthresh=linear_below)
    axes.set_xlabel(f"{table.unit}: mean and 95 % interval, logarithmic beyond {linear_below:g}")
    axes.grid(alpha=0.3, axis="x")
    axes.set_title(f"{table.slot}, preset {preset}", fontsize=10)
    save(figure, path)


def swept_value(column: str) -> float:
    """The number of a column `name=value`."""
    return float(column.split("=")[-1])


def lines(table: Table, shown: list[Shown], path: Path, preset: str) -> None:
    """One line per row over the columns' numeric values (`name=value`), with the sd as a band."""
    rows, columns = labels(shown)
    figure, axes = subplots(figsize=(6, 4))
    for r, row in enumerate(rows):
        entries = [entry for entry in shown if entry.row == row]
        x = [swept_value(entry.column) for entry in entries]
        mean = means(entries)
        std = spreads(entries)
        axes.plot(x, mean, "o-", color=COLORS[r % 7], label=table.called_row(row))
        axes.fill_between(x, mean - std, mean + std, color=COLORS[r % 7], alpha=0.15)
    axes.set_xlabel(columns[0].split("=")[0])
    axes.set_xticks([swept_value(column) for column in columns])
    finish(figure, [axes], table, preset)
    save(figure, path)


def panels(table: Table, shown: list[Shown], path: Path, preset: str) -> None:
    """One panel per row; within it a line over the columns' values. For sweeps of different
    quantities.
    """
    rows, _ = labels(shown)
    swept = [row for row in rows if any("=" in entry.column for entry in shown if entry.row == row)]
    base = [entry for entry in shown if entry.row not in swept and entry.mean is not None]
    figure, grid = panels_of(len(swept), (3.4, 3.2), sharey=True)
    for axes, row in zip(grid.flat, swept, strict=False):
        entries = [entry for entry in shown if entry.row == row and entry.mean is not None]
        axes.errorbar(
            [swept_value(entry.column) for entry in entries],
            means(entries),
            spreads(entries),
            fmt="o-",
            color=COLORS[0],
            capsize=3,
        )
        for entry in base:
            axes.axhline(entry.mean, color="grey", linestyle=":", label=table.called_row(entry.row))
        axes.set(xlabel=row, title=table.called_row(row))
        axes.grid(alpha=0.3)
    for line in grid:
        line[0].set_ylabel(table.unit)
    legend_below(figure)
    figure.suptitle(f"{table.slot}, preset {preset}", fontsize=10)
    save(figure, path)


def panels_of(count: int, size: tuple[float, float], **options) -> tuple[Any, Any]:
    """A figure and a grid of so many panels of this size, three side by side at most; what is left
    of the grid is not seen.
    """
    across = 2 if count == 4 else min(3, count)
    down = -(-count // across)
    whole = (size[0] * across, size[1] * down + 0.4)
    figure, grid = subplots(down, across, figsize=whole, squeeze=False, **options)
    for axes in grid.flat[count:]:
        axes.set_visible(False)
    return figure, grid


def band(axes, entry: Shown, color: str, label: str | None = None, line: str = "-") -> None:
    """An entry's learning curve: mean over seeds, and the sd as a band; NaN where one diverged. One
    that was looked at once is a point with its sd.

    Args:
        label: None for the entry's column.
    """
    curves_of_seeds = np.array(list(entry.curves.values()), float)
    mean = curves_of_seeds.mean(0)
    std = curves_of_seeds.std(0)
    drawn = {"color": color, "label": label or entry.column}
    if len(mean) == 1:
        axes.errorbar(
            entry.rounds,
            mean,
            std,
            fmt="o" if line == "-" else "s",
            markersize=4,
            capsize=3,
            **drawn,
        )
        return
    axes.plot(entry.rounds, mean, line, **drawn)
    axes.fill_between(entry.rounds, mean - std, mean + std, color=color, alpha=0.15)


def curves(table: Table, shown: list[Shown], path: Path, preset: str) -> None:
    """One panel per row with a learning curve per column."""
    rows, columns = labels(shown)
    figure, grid = panels_of(len(rows), (3.6, 2.6))
    for axes, row in zip(grid.flat, rows, strict=False):
        for entry in shown:
            if entry.row == row and entry.curves:
                number = columns.index(entry.column)
                style = COLORS[number % 7], table.called(entry.column), "-" if number < 7 else "--"
                band(axes, entry, *style)
        axes.set_title(table.called_row(row), fontsize=9)
        axes.grid(alpha=0.3)
    for line in grid:
        line[0].set_ylabel(table.unit)
    grid[-1][0].set_xlabel(table.x)
    legend_below(figure)
    figure.suptitle(f"{table.slot}, preset {preset}", fontsize=10)
    save(figure, path)


def profiles(table: Table, methods: dict[str, list[np.ndarray]], path: Path, preset: str) -> None:
    """One line per method: the share of its runs, over all tasks, that score above a value.

    Args:
        methods: of every method the runs of each task.
    """
    every = np.concatenate([runs for tasks in methods.values() for runs in tasks])
    at = np.linspace(every.min() - 0.02 * np.ptp(every), every.max(), 201)
    figure, axes = subplots(figsize=(6.5, 3.6))
    for c, (name, tasks) in enumerate(methods.items()):
        share, low, high = scores.performance_profile(tasks, at)
        style = {
            "linestyle": "-" if c < 7 else "--",
            "linewidth": 2.2 if name == table.ours else 1.2,
        }
        axes.plot(at, share, color=COLORS[c % 7], label=table.called(name), **style)
        axes.fill_between(at, low, high, color=COLORS[c % 7], alpha=0.12)
    finish(figure, [axes], table, preset)
    axes.set(xlabel=f"tau, {table.unit}", ylabel="share of runs above tau")
    save(figure, path)


def finish(figure, drawn: Iterable, table: Table, preset: str) -> None:
    """Labels of all axes, a legend below them, and a title that names the preset."""
    for axes in drawn:
        axes.set_ylabel(table.unit)
        axes.grid(alpha=0.3, axis="y")
    legend_below(figure)
    figure.suptitle(f"{table.slot}, preset {preset}", fontsize=10)


def legend_below(figure) -> None:
    """One legend of all axes, below them, where it hides no point."""
    named = {
        name: mark
        for axes in figure.axes
        for mark, name in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    if named:
        longest = max(map(len, named)) + 6  # with its mark
        across = max(1, int(LETTERS * figure.get_figwidth() / longest))
        place = {"loc": "outside lower center", "ncols": min(across, len(named))}
        figure.legend(named.values(), named, fontsize=8, **place)
