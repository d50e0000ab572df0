"""Tables and figures: which entries they have, and which cells an entry is computed from.

A script in papers/<paper>/ defines one `Table` and calls `main`. What has been run of it is in
`shown.py`, the files that are written in `writer.py`.
"""

import itertools
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from common.reporting import figures
from common.reporting.scores import Name
from common.running import experiment, work
from common.running.cells import PRESETS, Cell, runs_folder
from common.running.files import read_csv, sweep
from common.running.provenance import ROOT

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
        seed: None if None in sample else sum(sample) / len(sample)
        for seed, sample in by_seed.items()
    }


def paired(key: str) -> Callable[[list[dict]], dict[int, float | None]]:
    """Differences of a value between results 0 and 1, 2 and 3, ..., seed by seed; keys of what it
    returns just count.
    """

    def differences(results: list[dict]) -> dict[int, float | None]:
        gaps: list[float | None] = []
        for first, second in zip(results[::2], results[1::2], strict=True):
            by_seed = {seed["seed"]: seed[key] for seed in second["seeds"]}
            for seed in first["seeds"]:
                pair = (seed[key], by_seed[seed["seed"]])
                gaps.append(None if None in pair else pair[0] - pair[1])
        return dict(enumerate(gaps))

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
        options: a dataclass of what the script can be run with, and the defaults.
        decided: names of options that the table itself goes through, so that nobody can set them.
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
    options: Any = None
    decided: tuple[str, ...] = ()
    unavailable: str | None = None

    @property
    def slot(self) -> str:
        return f"{self.paper}/{self.name}"

    @property
    def defaults(self) -> dict[str, Any]:
        """The script's options and `seeds`, None for the preset's."""
        return (asdict(self.options) if self.options else {}) | {"seeds": None}

    def entries_at(self, preset: str, options: dict | None = None) -> list[Entry]:
        """Entries at a preset, with `options` over the script's own."""
        return self.entries(preset, self.defaults | (options or {}))

    def cells(self, preset: str, options: dict | None = None) -> list[Cell]:
        """All cells, each once."""
        return list(
            dict.fromkeys(
                cell for entry in self.entries_at(preset, options) for cell in entry.cells
            )
        )

    def published(self) -> dict[Name, tuple[float, float | None]]:
        """Published mean and std by (row, column); {} for a figure whose numbers were not
        printed.
        """
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
        f"{key}={value}".replace(" ", "")
        for key, value in sorted(options.items())
        if value is not None and value != table.defaults.get(key)
    ]
    return ".".join([table.name, *changed])


def run(table: Table, preset: str, options: dict, jobs=None, device="auto", force=False) -> int:
    """Trains what is missing, prints and writes the table; returns the exit code (0, or 1 if a cell
    failed).
    """
    from common.reporting import shown, writer

    if table.unavailable:
        print(f"{table.slot}: {table.unavailable}")
        return 0
    cells = table.cells(preset, options)
    if force:
        work.forget(cells)
    failures = work.run(cells, jobs, device, table.slot)
    entries = shown.show(table, preset, options)
    path = writer.write(table, preset, options, entries)
    print(f"{table.slot}: {table.title} ({table.unit}, preset {preset}, last evaluation)\n")
    print(writer.text(table, entries))
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
        "device": "auto",
        "jobs": None,
        "force": False,
        **{key: value for key, value in table.defaults.items() if key not in table.decided},
    }
    ex = experiment.create(table.slot)
    ex.add_config(**defaults, seed=0)
    named = {preset: {"preset": preset} for preset in PRESETS}
    for preset in PRESETS:
        ex.add_named_config(preset, {"preset": preset})
    code = [0]

    def reproduce(_config):
        options = {key: _config[key] for key in table.defaults if key not in table.decided}
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
    help_text = f"{table.title}. Presets: with {' | '.join(PRESETS)}. Keys: {keys}"
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
