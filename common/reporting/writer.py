"""A table's files and its text: CSVs, JSON, the picture, published beside ours. What is read back
from them is read here, too.
"""

import csv
import math
from pathlib import Path

from tabulate import tabulate

from common.reporting import figures, scores
from common.reporting.scores import Name
from common.reporting.shown import Seeds, Shown
from common.reporting.tables import Table, variant
from common.running.cells import runs_folder
from common.running.files import read_csv, write_csv, write_json
from common.running.options import BadInput
from common.running.provenance import versions

HEADER = [
    "row",
    "column",
    "published",
    "ours",
    "95 % interval",
    "n",
    "IQM",
    "ours - published [95 %]",
    "verdict",
]
KINDS = ("csv", "seeds.csv", "curves.csv", "json")
CSV = ["table", "row", "column", "mean", "std"]
SEEDS = ["table", "row", "column", "seed", "last", "best"]
CURVES = ["row", "column", "seed", "round", "score"]


def number(value: float | None, decimals: int) -> str:
    """A rounded number, or nothing."""
    return "" if value is None else f"{value:.{decimals}f}"


def plus_minus(mean: float | None, std: float | None, decimals: int) -> str:
    """mean +- std, or a dash."""
    if mean is None:
        return "-"
    spread = "" if std is None else f" +- {number(std, decimals)}"
    return number(mean, decimals) + spread


def interval(low: float | None, high: float | None, decimals: int) -> str:
    """[low, high], or nothing."""
    return "" if low is None else f"[{number(low, decimals)}, {number(high, decimals)}]"


def text(table: Table, shown: list[Shown], style: str = "simple") -> str:
    """The table for people: published | ours | difference and what is to be thought of it."""
    return tabulate(rows_of(table, shown), HEADER, tablefmt=style, disable_numparse=True)


def spreads(table: Table) -> dict[Name, tuple[float, float | None]]:
    """Published means with their sd, also where the paper printed the standard error."""
    factor = math.sqrt(table.published_runs - 1) if table.published_sem else 1.0
    return {
        name: (mean, None if std is None else std * factor)
        for name, (mean, std) in table.published().items()
    }


def compared(table: Table, shown: list[Shown]) -> dict[Name, scores.Comparison]:
    """How entries stand to their published numbers; times of another machine say nothing."""
    if table.times:
        return {}
    return scores.comparisons(shown, spreads(table), table.published_runs)


def rows_of(table: Table, shown: list[Shown]) -> list[list[str]]:
    """Rows of HEADER."""
    published = table.published()
    of_name = compared(table, shown)
    decimals = table.decimals
    rows = []
    for entry in shown:
        facts = entry.summary
        comparison = of_name.get(entry.name)
        mean, std = published.get(entry.name, (None, None))
        gap = ""
        if comparison and facts.mean is not None and mean is not None:
            bounds = interval(comparison.low, comparison.high, decimals)
            gap = f"{facts.mean - mean:+.{decimals}f} {bounds}".strip()
        ours = entry.state
        if facts.mean is not None:
            ours = plus_minus(facts.mean, facts.std, decimals)
        diverged = f" ({facts.diverged} diverged)" if facts.diverged else ""
        rows.append(
            [
                table.called_row(entry.row),
                table.called(entry.column),
                plus_minus(mean, std, decimals),
                ours,
                interval(facts.low, facts.high, decimals),
                f"{facts.n}{diverged}",
                number(facts.iqm, decimals),
                gap,
                comparison.verdict(decimals) if comparison else "",
            ]
        )
    return rows


def write(table: Table, preset: str, options: dict, shown: list[Shown]) -> Path:
    """Writes, in results/runs/<preset>/<paper>/, and returns the first:

    NAME.csv: rows, columns and rounding of results/published.
    NAME.seeds.csv: last and best score of every row, column and seed.
    NAME.curves.csv: learning curves, where there are any.
    NAME.json: n, IQM, interval and state of every entry, and what it was made with.
    NAME.png: the picture, where there is one.
    """
    name = variant(table, options)
    base = runs_folder() / preset / table.paper / name
    decimals = table.decimals
    means = [
        [table.name, *entry.name, number(entry.mean, decimals), number(entry.std, decimals)]
        for entry in shown
    ]
    seeds = [
        [table.name, *entry.name, seed, value, entry.best.get(seed)]
        for entry in shown
        for seed, value in entry.seeds.items()
    ]
    curves = [
        [*entry.name, seed, point, value]
        for entry in shown
        for seed, curve in entry.curves.items()
        for point, value in zip(entry.rounds, curve, strict=True)
    ]
    write_csv(base.with_name(f"{name}.csv"), CSV, means)
    write_csv(base.with_name(f"{name}.seeds.csv"), SEEDS, seeds)
    if curves:
        write_csv(base.with_name(f"{name}.curves.csv"), CURVES, curves)
    write_json(base.with_name(f"{name}.json"), facts_of(table, preset, options, shown))
    if has_picture(table, shown):
        draw = table.draw or figures.bars
        draw(table, shown, base.with_name(f"{name}.png"), preset)
    return base.with_name(f"{name}.csv")


def has_picture(table: Table, shown: list[Shown]) -> bool:
    """Whether there is anything to draw, and a way to: numbers that no cell made are none."""
    trained = any(entry.mean is not None and entry.cells for entry in shown)
    return trained and (table.draw is not None or figures.suits_bars(table, shown))


def facts_of(table: Table, preset: str, options: dict, shown: list[Shown]) -> dict:
    """The content of a table's JSON."""
    origin = next((entry.origin for entry in shown if entry.state == "done"), {})
    facts = {
        "table": table.slot,
        "title": table.title,
        "unit": table.unit,
        "preset": preset,
        "options": {key: value for key, value in options.items() if value is not None},
        "score": "last evaluation; best is in the seeds CSV",
        "versions": versions(),
        "constants": origin.get("constants"),
        "machine": origin.get("machine"),
        "code": code_of(shown),
        "commit": commits_of(shown),
    }
    return facts | {"entries": [entry.as_json() for entry in shown]}


def code_of(shown: list[Shown]) -> dict[str, str] | None:
    """Code of all entries that are done, by file."""
    code: dict[str, str] = {}
    for entry in shown:
        code |= entry.origin.get("code") or {}
    return code or None


def commits_of(shown: list[Shown]) -> str | None:
    """Commits of all entries, each once."""
    commits: dict[str, None] = {}
    for entry in shown:
        commits |= dict.fromkeys((entry.origin.get("commit") or "").split(", "))
    return ", ".join(commit for commit in commits if commit) or None


def read_curves(path: Path) -> dict[Name, dict[int, list[tuple[int, float | None]]]]:
    """Learning curves of a table's curves CSV: {(row, column): {seed: [(round, score), ...]}}, None
    where a seed diverged; {} without the file.
    """
    curves: dict[Name, dict[int, list[tuple[int, float | None]]]] = {}
    for row in read_csv(path) if path.exists() else []:
        of_seed = curves.setdefault((row["row"], row["column"]), {})
        point = int(float(row["round"])), float(row["score"]) if row["score"] else None
        of_seed.setdefault(int(row["seed"]), []).append(point)
    return curves


def read_seeds(path: Path) -> dict[Name, Seeds]:
    """Per-seed values of a table's seeds CSV: {(row, column): {seed: last}}, None where a seed
    diverged.

    Raises:
        BadInput: the file is not such a table.
    """
    last: dict[Name, Seeds] = {}
    try:
        with open(path, newline="") as file:
            rows = csv.DictReader(file)
            if not {"row", "column", "seed", "last"} <= {*(rows.fieldnames or ())}:
                raise ValueError("columns are missing")
            for row in rows:
                value = float(row["last"]) if row["last"] else None
                last.setdefault((row["row"], row["column"]), {})[int(row["seed"])] = value
    except (OSError, ValueError, TypeError) as error:
        hint = "delete it and run its script again"
        raise BadInput(
            f"{path} is not a table of seeds (row, column, seed, last): {error}; {hint}"
        ) from None
    return last
