"""Tables and figures: which cells they consist of, and how their results are shown beside the
published numbers.

A script in papers/<paper>/ defines one `Table` and calls `main`. Running it trains what is missing,
then writes, in results/runs/<preset>/<paper>/:

    NAME.csv          table,row,column,mean,std in the rows, columns and rounding of
    results/published NAME.seeds.csv    one line per row, column and seed: last and best score
    NAME.curves.csv   learning curves: row, column, seed, round, score NAME.json         n, IQM,
    interval and state of every entry, and what it was made with NAME.png          the picture
"""

import csv
import itertools
import math
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tabulate import tabulate

from common.reporting import figures, scores
from common.running import cells as store
from common.running import experiment, work
from common.running.cells import Cell, runs_folder
from common.running.files import read_csv, sweep, write_csv, write_json
from common.running.provenance import ROOT, versions

PRESETS = ("smoke", "quick", "paper")
PUBLISHED = ROOT / "results" / "published"
REFERENCE = ROOT / "results" / "reference"


def last_score(results: list[dict]) -> dict[int, float | None]:
    """Per seed the mean over cells of the last score; None where one of them diverged."""
    return mean_of(results, "last_score")


def mean_of(results: list[dict], key: str) -> dict[int, float | None]:
    """Per seed the mean over cells of one of their values."""
    by_seed: dict[int, list] = {}
    for result in results:
        for seed in result["seeds"]:
            by_seed.setdefault(seed["seed"], []).append(seed[key])
    return {
        seed: None if None in values else sum(values) / len(values)
        for seed, values in by_seed.items()
    }


def paired(key: str) -> Callable[[list[dict]], dict[int, float | None]]:
    """Differences of a value between results 0 and 1, 2 and 3, ..., seed by seed; keys of what it
    returns just count.
    """

    def differences(results: list[dict]) -> dict[int, float | None]:
        found = []
        for first, second in zip(results[::2], results[1::2], strict=True):
            by_seed = {seed["seed"]: seed[key] for seed in second["seeds"]}
            for seed in first["seeds"]:
                values = (seed[key], by_seed[seed["seed"]])
                found.append(None if None in values else values[0] - values[1])
        return dict(enumerate(found))

    return differences


@dataclass(frozen=True)
class Entry:
    """One number of a table.

    Attributes:
        row, column: as in the published CSV.
        cells: what it is computed from; none for a number of the code's configuration.
        value: results of the cells -> one number per seed.
        missing: why there is no such number here; shown in its place.
    """

    row: str
    column: str
    cells: tuple[Cell, ...]
    value: Callable[[list[dict]], dict[int, float | None]] = last_score
    missing: str | None = None


@dataclass(frozen=True)
class Table:
    """A published table, figure or ablation.

    Attributes:
        paper, name: papers/<paper>/<name>.py.
        title: what it shows, one line.
        entries: (preset, options) -> entries, in published order; options are the keys of
            `options`.
        unit: of the numbers.
        decimals: rounding in the CSV, that of the published table.
        published_runs: seeds behind a published number; published_sem: its +- is the standard
            error, not the sd.
        ours: the column of the paper's method, where rows are tasks and columns methods.
        draw: (table, shown entries, path) -> None.
        x: what learning curves are drawn over.
        options: extra command-line keys and their defaults.
        unavailable: why nothing can be run yet; the table is then listed with that reason.
    """

    paper: str
    name: str
    title: str
    entries: Callable[[str, dict], list[Entry]]
    unit: str = "normalized score"
    decimals: int = 1
    published_runs: int = 5
    published_sem: bool = False
    ours: str | None = None
    draw: Callable = figures.bars
    x: str = "update rounds"
    options: dict = field(default_factory=lambda: {"reading": "released"})
    unavailable: str | None = None

    @property
    def slot(self) -> str:
        return f"{self.paper}/{self.name}"

    def entries_at(self, preset: str, options: dict | None = None) -> list[Entry]:
        """Entries at a preset, with `options` over the script's own."""
        return self.entries(preset, self.options | {"seeds": None} | (options or {}))

    def cells(self, preset: str, options: dict | None = None) -> list[Cell]:
        """All cells, each once."""
        return list(
            dict.fromkeys(
                cell for entry in self.entries_at(preset, options) for cell in entry.cells
            )
        )

    def published(self) -> dict[tuple[str, str], tuple[float, float | None]]:
        """Published mean and std by (row, column); {} for a figure whose numbers were not printed."""
        path = PUBLISHED / self.paper / f"{self.name}.csv"
        rows = read_csv(path) if path.exists() else []
        return {
            (row["row"], row["column"]): (
                float(row["mean"]),
                float(row["std"]) if row["std"] else None,
            )
            for row in rows
            if row["mean"]
        }


def variant(table: Table, options: dict) -> str:
    """File name of a table run with options other than the defaults: they never overwrite the plain
    one.
    """
    changed = [
        f"{k}={v}".replace(" ", "")
        for k, v in sorted(options.items())
        if v is not None and v != table.options.get(k)
    ]
    return ".".join([table.name, *changed])


def show(table: Table, preset: str, options: dict) -> list[dict]:
    """What is known of every entry: published and our statistics, per-seed values, curves, or why
    there are none.
    """
    published, shown = table.published(), []
    for entry in table.entries_at(preset, options):
        states = {cell.slot: work.paper(cell.paper).state(cell) for cell in entry.cells}
        bad = sorted({state for state in states.values() if state != "done"})
        item = {
            "row": entry.row,
            "column": entry.column,
            "cells": list(states),
            "state": entry.missing or "; ".join(bad) or "done",
        }
        mean, std = published.get((entry.row, entry.column), (None, None))
        item |= {
            "published_mean": mean,
            "published_std": std,
            "seeds": {},
            "best": {},
            "curves": {},
        }
        results = [] if bad else [store.read(cell) for cell in entry.cells]
        if not entry.cells and not entry.missing:
            item["seeds"], item["data"] = entry.value([]), {}
        if results:
            item["seeds"] = entry.value(results)
            if all("best_score" in seed for result in results for seed in result["seeds"]):
                item["best"] = mean_of(results, "best_score")
            if len(results) == 1 and "rounds" in results[0]:
                item["rounds"] = results[0]["rounds"]
                item["curves"] = {seed["seed"]: seed["curve"] for seed in results[0]["seeds"]}
            item["extra"] = [result.get("extra") for result in results]
            item["constants"] = results[0].get("constants")
            item["data"] = {
                cell.slot: result["data"] for cell, result in zip(entry.cells, results, strict=True)
            }
            item["code"] = results[0]["code"]
            item["machine"] = results[0]["machine"]
            item["seconds"] = sum(result["seconds"] for result in results)
        shown.append(item | scores.summary(list(item["seeds"].values())))
    return shown


def read_seeds(path: Path) -> dict[tuple[str, str], dict[int, float]]:
    """Per-seed values of a table's seeds CSV: {(row, column): {seed: last}}, NaN where a seed
    diverged.

    Raises:
        BadInput: the file is not such a table.
    """
    found: dict = {}
    try:
        with open(path, newline="") as file:
            rows = csv.DictReader(file)
            if not {"row", "column", "seed", "last"} <= {*(rows.fieldnames or ())}:
                raise ValueError("columns are missing")
            for row in rows:
                value = float(row["last"]) if row["last"] else math.nan
                found.setdefault((row["row"], row["column"]), {})[int(row["seed"])] = value
    except (ValueError, TypeError) as error:
        hint = "delete it and run its script again"
        raise experiment.BadInput(
            f"{path} is not a table of seeds (row, column, seed, last): {error}; {hint}"
        ) from None
    return found


def number(value: float | None, decimals: int) -> str:
    """A rounded number, or nothing."""
    return "" if value is None else f"{value:.{decimals}f}"


def plus_minus(mean, std, decimals: int) -> str:
    """mean +- std, or a dash."""
    if mean is None:
        return "-"
    return number(mean, decimals) + (f" +- {number(std, decimals)}" if std is not None else "")


def text(table: Table, shown: list[dict], style: str = "simple") -> str:
    """The table for people: published | ours | difference and what is to be thought of it."""
    return tabulate(rows_of(table, shown), HEADER, tablefmt=style, disable_numparse=True)


def rows_of(table: Table, entries: list[dict]) -> list[list[str]]:
    """Rows of HEADER of summaries with row, column and state."""
    published, d, rows = table.published(), table.decimals, []
    runs = table.published_runs
    spread = {
        key: (mean, std * math.sqrt(runs - 1) if std is not None and table.published_sem else std)
        for key, (mean, std) in published.items()
    }
    compared = scores.comparisons(entries, spread, runs)
    for item in entries:
        key, has = (item["row"], item["column"]), item["mean"] is not None
        gap = ""
        if key in compared:
            gap, found = f"{item['mean'] - published[key][0]:+.{d}f}", compared[key]
            if found["low"] is not None:
                gap += f" [{number(found['low'], d)}, {number(found['high'], d)}]"
        interval = f"[{number(item['low'], d)}, {number(item['high'], d)}]" if has else ""
        count = str(item["n"]) + (f" ({item['diverged']} diverged)" if item["diverged"] else "")
        ours = plus_minus(item["mean"], item["std"], d) if has else item["state"]
        word = compared[key]["word"] if key in compared else ""
        theirs = plus_minus(*published.get(key, (None, None)), d)
        rows.append([*key, theirs, ours, interval, count, number(item["iqm"], d), gap, word])
    return rows


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


def write(table: Table, preset: str, options: dict, shown: list[dict]) -> Path:
    """Writes the CSVs, the JSON and the picture; returns the CSV's path."""
    folder, name, d = runs_folder() / preset / table.paper, variant(table, options), table.decimals
    rows = [
        [table.name, i["row"], i["column"], number(i["mean"], d), number(i["std"], d)]
        for i in shown
    ]
    write_csv(folder / f"{name}.csv", ["table", "row", "column", "mean", "std"], rows)
    seeds = [
        [table.name, i["row"], i["column"], seed, value, i["best"].get(seed)]
        for i in shown
        for seed, value in i["seeds"].items()
    ]
    write_csv(
        folder / f"{name}.seeds.csv", ["table", "row", "column", "seed", "last", "best"], seeds
    )
    curves = [
        [i["row"], i["column"], seed, point, value]
        for i in shown
        for seed, curve in i["curves"].items()
        for point, value in zip(i["rounds"], curve, strict=True)
    ]
    if curves:
        write_csv(
            folder / f"{name}.curves.csv", ["row", "column", "seed", "round", "score"], curves
        )
    keep = (
        "row",
        "column",
        "cells",
        "state",
        "n",
        "diverged",
        "mean",
        "std",
        "iqm",
        "low",
        "high",
        "extra",
        "data",
        "seconds",
    )
    done = next((i for i in shown if i["state"] == "done"), {})
    facts = {
        "table": table.slot,
        "title": table.title,
        "unit": table.unit,
        "preset": preset,
        "options": {key: value for key, value in options.items() if value is not None},
        "score": "last evaluation; best is in the seeds CSV",
        "versions": versions(),
        "constants": done.get("constants"),
        "machine": done.get("machine"),
        "code": done.get("code"),
        "entries": [{key: i[key] for key in keep if key in i} for i in shown],
    }
    write_json(folder / f"{name}.json", facts)
    if any(i["mean"] is not None for i in shown):
        table.draw(table, shown, folder / f"{name}.png", preset)
    return folder / f"{name}.csv"


def run(table: Table, preset: str, options: dict, jobs=None, device="auto", force=False) -> int:
    """Trains what is missing, prints and writes the table; returns the exit code (0, or 1 if a cell
    failed).
    """
    if table.unavailable:
        print(f"{table.slot}: {table.unavailable}")
        return 0
    cells = table.cells(preset, options)
    if force:
        work.forget(cells)
    failures = work.run(cells, jobs, device, table.slot)
    shown = show(table, preset, options)
    path = write(table, preset, options, shown)
    print(f"{table.slot}: {table.title} ({table.unit}, preset {preset}, last evaluation)\n")
    print(text(table, shown))
    print(f"\n{path}")
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    return 1 if failures else 0


def main(table: Table, arguments: list[str] | None = None) -> None:
    """Command line of a table script: Sacred's, with presets as named configurations.

    python papers/omar/table3.py with paper seeds=[0,1] device=cuda jobs=1
    """
    arguments = sys.argv if arguments is None else arguments
    defaults = {
        "preset": "quick",
        "seeds": None,
        "device": "auto",
        "jobs": None,
        "force": False,
        **table.options,
    }
    ex = experiment.create(table.slot)
    ex.add_config(**defaults, seed=0)
    named = {preset: {"preset": preset} for preset in PRESETS}
    for preset in PRESETS:
        ex.add_named_config(preset, {"preset": preset})
    code = [0]

    def reproduce(_config):
        options = {key: _config[key] for key in (*table.options, "seeds")}
        sweep(runs_folder())
        try:  # here: Sacred would print a traceback and exit with 1
            code[0] = run(
                table,
                _config["preset"],
                options,
                _config["jobs"],
                _config["device"],
                _config["force"],
            )
        except (ValueError, OSError, work.Busy) as error:
            print(f"error: {error}", file=sys.stderr)
            code[0] = 3 if isinstance(error, work.Busy) else 2
        return code[0]

    keys = ", ".join(f"{key}={value}" for key, value in defaults.items())
    help_text = f"{table.title}. Presets: with smoke | quick | paper. Keys: {keys}"
    reproduce.__doc__ = help_text
    ex.main(reproduce)
    ex.doc = help_text
    try:
        words = arguments[1:]
        if any(word in ("-i", "--id") or word.startswith("--id=") for word in words):
            raise experiment.BadInput(
                "--id is not supported: runs are numbered; choose another folder with OMZ_RESULTS"
            )
        if "with" in words:
            updates = itertools.takewhile(
                lambda word: not word.startswith("-"), words[words.index("with") + 1 :]
            )
            values = experiment.parse(list(updates), defaults | {"seed": 0}, named)
            check(values, table)
        elif (
            words
            and not words[0].startswith("-")
            and words[0] not in ("print_config", "help", "print_named_configs")
        ):
            known = [*named, *defaults]
            hint = experiment.nearest(words[0], known)
            raise experiment.BadInput(
                f"unknown command {words[0]!r}, write `with {words[0]}`? {hint}"
            )
        work.pick_device(str(values.get("device", "auto")) if "with" in words else "auto")
        ex.observers.extend(experiment.observers())
        ex.run_commandline([arguments[0], *words])
    except (ValueError, OSError) as error:
        experiment.fail(error)
    except KeyboardInterrupt as stop:
        command = " ".join(map(str, ["python", os.path.relpath(arguments[0]), *words]))
        print(f"\ninterrupted; the same command continues: {command}", file=sys.stderr)
        raise SystemExit(getattr(stop, "code", 130)) from None
    raise SystemExit(code[0])


def check(values: dict, table: Table) -> None:
    """Raises BadInput for a value that cannot be run."""
    if values.get("preset", "quick") not in PRESETS:
        raise experiment.BadInput(
            f"unknown preset {values['preset']!r}; {experiment.nearest(str(values['preset']), PRESETS)}"
        )
    seeds = values.get("seeds")
    if seeds is not None and not (
        isinstance(seeds, list | tuple) and seeds and all(type(s) is int and s >= 0 for s in seeds)
    ):
        raise experiment.BadInput(
            f"seeds is {seeds!r}, expected a list of whole numbers, for example [0,1,2]"
        )
    if values.get("jobs") is not None and not (type(values["jobs"]) is int and values["jobs"] > 0):
        raise experiment.BadInput(f"jobs is {values['jobs']!r}, expected a whole number above 0")
    if values.get("reading", "released") not in ("released", "text"):
        raise experiment.BadInput(
            f"reading is {values['reading']!r}, expected 'released' or 'text'"
        )
