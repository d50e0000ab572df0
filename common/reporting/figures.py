"""Pictures of tables: grouped bars, lines over a swept value, and learning curves. Ours and
published are told apart.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot

from common.reporting import scores
from common.running.files import atomic

COLORS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#000000",
)  # safe for colour blindness


def save(figure, path: Path) -> None:
    """Writes a PNG atomically."""
    with atomic(path) as part:
        figure.savefig(part, format="png", dpi=110)
    pyplot.close(figure)


def labels(shown: list[dict]) -> tuple[list[str], list[str]]:
    """Rows and columns in order of first appearance."""
    return list(dict.fromkeys(i["row"] for i in shown)), list(
        dict.fromkeys(i["column"] for i in shown)
    )


def bars(
    table, shown: list[dict], path: Path, preset: str, linear_below: float | None = None
) -> None:
    """One group of bars per row, one bar per column with its sd; a black diamond is the published
    mean.

    Args:
        linear_below: the axis is logarithmic beyond this value, on both sides; None for a linear
            one.
    """
    rows, columns = labels(shown)
    width = 0.8 / len(columns)
    figure, axes = pyplot.subplots(figsize=(max(5, 1.1 * len(rows) + 2), 4), layout="constrained")
    for c, column in enumerate(columns):
        items = {i["row"]: i for i in shown if i["column"] == column}
        x = np.arange(len(rows)) + (c - (len(columns) - 1) / 2) * width
        ours = [items.get(row, {}).get("mean") for row in rows]
        spread = [items.get(row, {}).get("std") or 0 for row in rows]
        theirs = [items.get(row, {}).get("published_mean") for row in rows]
        axes.bar(
            x,
            [np.nan if v is None else v for v in ours],
            width,
            yerr=spread,
            label=column,
            color=COLORS[c % 7],
            alpha=0.85,
        )
        mark = "published" if c == 0 and any(v is not None for v in theirs) else None
        axes.plot(x, [np.nan if v is None else v for v in theirs], "kD", markersize=4, label=mark)
    axes.set_xticks(
        range(len(rows)),
        [row.replace("/", "\n") for row in rows],
        fontsize=8,
        rotation=30 if len(rows) > 6 else 0,
    )
    if linear_below:
        axes.set_yscale("symlog", linthresh=linear_below)
    finish(axes, table, preset)
    save(figure, path)


def lines(table, shown: list[dict], path: Path, preset: str) -> None:
    """One line per row over the columns' numeric values (`name=value`), with the sd as a band."""
    rows, columns = labels(shown)
    x = [float(column.split("=")[-1]) for column in columns]
    figure, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    for r, row in enumerate(rows):
        items = {i["column"]: i for i in shown if i["row"] == row}
        mean = np.array(
            [np.nan if items.get(c, {}).get("mean") is None else items[c]["mean"] for c in columns]
        )
        std = np.array([items.get(c, {}).get("std") or 0 for c in columns])
        axes.plot(x, mean, "o-", color=COLORS[r % 7], label=row)
        axes.fill_between(x, mean - std, mean + std, color=COLORS[r % 7], alpha=0.15)
    axes.set_xlabel(columns[0].split("=")[0])
    axes.set_xticks(x)
    finish(axes, table, preset)
    save(figure, path)


def panels(table, shown: list[dict], path: Path, preset: str) -> None:
    """One panel per row; within it a line over the columns' values. For sweeps of different
    quantities.
    """
    rows, _ = labels(shown)
    swept = [row for row in rows if any("=" in i["column"] for i in shown if i["row"] == row)]
    base = [i for i in shown if i["row"] not in swept and i["mean"] is not None]
    figure, grid = pyplot.subplots(
        1, len(swept), figsize=(3.4 * len(swept), 3.4), layout="constrained", sharey=True
    )
    for axes, row in zip(np.atleast_1d(grid), swept, strict=True):
        items = [i for i in shown if i["row"] == row and i["mean"] is not None]
        x = [float(i["column"].split("=")[-1]) for i in items]
        axes.errorbar(
            x,
            [i["mean"] for i in items],
            [i["std"] for i in items],
            fmt="o-",
            color=COLORS[0],
            capsize=3,
        )
        for item in base:
            axes.axhline(item["mean"], color="grey", linestyle=":", label=item["row"])
        axes.set(xlabel=row, title=row)
        axes.grid(alpha=0.3)
    np.atleast_1d(grid)[0].set_ylabel(table.unit)
    if base:
        np.atleast_1d(grid)[0].legend(fontsize=8)
    figure.suptitle(f"{table.slot}, preset {preset}", fontsize=10)
    save(figure, path)


def curves(table, shown: list[dict], path: Path, preset: str) -> None:
    """One panel per row with a learning curve per column: mean over seeds, and the sd as a band."""
    rows, columns = labels(shown)
    across = min(3, len(rows))
    down = -(-len(rows) // across)
    figure, grid = pyplot.subplots(
        down, across, figsize=(3.6 * across, 2.6 * down + 0.4), layout="constrained", squeeze=False
    )
    for axes in grid.flat[len(rows) :]:
        axes.set_visible(False)
    for axes, row in zip(grid.flat, rows, strict=False):
        for c, column in enumerate(columns):
            item = next((i for i in shown if i["row"] == row and i["column"] == column), None)
            if not item or not item["curves"]:
                continue
            values = np.array(
                [[np.nan if v is None else v for v in curve] for curve in item["curves"].values()]
            )
            mean, std = values.mean(0), values.std(0)
            axes.plot(item["rounds"], mean, color=COLORS[c % 7], label=column)
            axes.fill_between(
                item["rounds"], mean - std, mean + std, color=COLORS[c % 7], alpha=0.15
            )
        axes.set_title(row, fontsize=9)
        axes.grid(alpha=0.3)
    grid[-1][0].set(xlabel=table.x, ylabel=table.unit)
    grid[0][0].legend(fontsize=7)
    figure.suptitle(f"{table.slot}, preset {preset}", fontsize=10)
    save(figure, path)


def profiles(table, found: dict[str, list[np.ndarray]], path: Path, preset: str) -> None:
    """One line per method: the share of its runs, over all tasks, that score above a value.

    Args:
        found: of every method the runs of each task.
    """
    every = np.concatenate([runs for tasks in found.values() for runs in tasks])
    at = np.linspace(every.min() - 0.02 * np.ptp(every), every.max(), 201)
    figure, axes = pyplot.subplots(figsize=(6.5, 3.6), layout="constrained")
    for c, (name, tasks) in enumerate(found.items()):
        share, low, high = scores.performance_profile(tasks, at)
        style = {
            "linestyle": "-" if c < 7 else "--",
            "linewidth": 2.2 if name == table.ours else 1.2,
        }
        axes.plot(at, share, color=COLORS[c % 7], label=name, **style)
        axes.fill_between(at, low, high, color=COLORS[c % 7], alpha=0.12)
    finish(axes, table, preset)
    axes.set(xlabel=f"tau, {table.unit}", ylabel="share of runs above tau")
    save(figure, path)


def finish(axes, table, preset: str) -> None:
    """Labels, legend and a title that names the preset."""
    axes.set_ylabel(table.unit)
    axes.grid(alpha=0.3, axis="y")
    axes.legend(
        fontsize=8, loc="upper left", bbox_to_anchor=(1, 1)
    )  # beside the axes, where it hides no point
    axes.set_title(f"{table.slot}, preset {preset}", fontsize=10)
