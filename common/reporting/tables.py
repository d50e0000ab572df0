"""Tables and figures: which entries they have, and which cells an entry is computed from.

A script in papers/<paper>/ defines one `Table` and calls `script.main`. What has been run of it is
in `shown.py`, the files that are written in `writer.py`.
"""

import math
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from statistics import fmean
from typing import Any

from common.reporting.scores import Name
from common.running import work
from common.running.cells import Cell, file_name, word
from common.running.files import read_csv
from common.running.options import changed
from common.running.provenance import ROOT

PUBLISHED = ROOT / "results" / "published"
REFERENCE = ROOT / "results" / "reference"
PARTS = re.compile(r"(/|, | - | or |: )")  # between the parts of a key


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


def strongest(results: list[dict], key: str) -> dict:
    """Of several results the one with the highest mean of a value, over the seeds that have one."""

    def mean(result: dict) -> float:
        values = [seed[key] for seed in result["seeds"] if seed[key] is not None]
        return fmean(values) if values else -math.inf

    return max(results, key=mean)


def stored_curves(results: list[dict]) -> dict[int, list[float | None]]:
    """Per seed the learning curve of a single result, in what the paper's cells store it in."""
    if len(results) != 1:
        return {}
    return {seed["seed"]: seed["curve"] for seed in results[0]["seeds"] if "curve" in seed}


def difference(key: str) -> Callable[[list[dict]], dict[int, float | None]]:
    """Per seed that both of two results have the difference of a value; None where one is."""

    def differences(results: list[dict]) -> dict[int, float | None]:
        first, second = ({seed["seed"]: seed[key] for seed in one["seeds"]} for one in results)
        pairs = {seed: (first[seed], second[seed]) for seed in first if seed in second}
        return {seed: None if None in pair else pair[0] - pair[1] for seed, pair in pairs.items()}

    return differences


def paired(key: str) -> Callable[[list[dict]], dict[int, float | None]]:
    """Differences of a value between results 0 and 1, 2 and 3, ..., of every seed that both have;
    keys of what it returns just count.
    """

    def differences(results: list[dict]) -> dict[int, float | None]:
        gaps: list[float | None] = []
        for pair in zip(results[::2], results[1::2], strict=True):
            gaps += difference(key)([*pair]).values()
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
        share: values are 0 or 100, and their interval is Clopper and Pearson's.
        curves: results of the cells -> a learning curve per seed, in the unit of the value where
            the table draws it.
    """

    row: str
    column: str
    cells: tuple[Cell, ...]
    value: Callable[[list[dict]], dict[int, float | None]] = last_score
    missing: str | None = None
    share: bool = False
    curves: Callable[[list[dict]], dict[int, list[float | None]]] = stored_curves

    def under(self, changes: dict[str, Any]) -> "Entry":
        """The entry with hyperparameters of its cells set; missing where those are to learn from
        imported data that are not there.
        """
        cells = tuple(changed(cell, changes) for cell in self.cells)
        if "data_size" in changes and not all(has_data(cell) for cell in cells):
            return replace(self, cells=(), missing=f"no {changes['data_size']} data imported")
        return replace(self, cells=cells)


def has_data(cell: Cell) -> bool:
    """Whether a cell's data are there or can be built."""
    data = work.paper(cell.paper).data
    return data.of(cell) is None or bool(data.recipes(cell))


@dataclass(frozen=True)
class Table:
    """A published table, figure or ablation.

    Attributes:
        paper, name: papers/<paper>/<name>.py.
        title: what it shows, one line.
        entries: (preset, options) -> entries, in published order; options are the keys of
            `options`.
        unit: of the numbers; of several, with ", or " between, the claims' first.
        decimals: rounding in the CSV, that of the published table.
        published_runs: seeds behind a published number; published_sem: its +- is the standard
            error, not the sd.
        times: the numbers are times of a machine, which published ones are not comparable with.
        ours: the column of the paper's method, where rows are tasks and columns methods.
        draw: (table, shown entries, path, preset) -> None; None for `figures.bars`.
        draws_extra: it draws what cells store as `extra`, which the table's JSON then has.
        x: what learning curves are drawn over, where the picture is of them.
        options: a dataclass of what the script can be run with, and the defaults.
        decided: names of options that the table itself goes through, so that nobody can set them.
        unavailable: why nothing can be run yet; the table is then listed with that reason.
        names: what rows and columns are called where people read them; files have the keys.
        row_names: the same of rows whose key is a column's too.
    """

    paper: str
    name: str
    title: str
    entries: Callable[[str, dict], list[Entry]]
    unit: str = "normalized score"
    decimals: int = 1
    published_runs: int = 5
    published_sem: bool = False
    times: bool = False
    ours: str | None = None
    draw: Callable | None = None
    draws_extra: bool = False
    x: str | None = None
    options: Any = None
    decided: tuple[str, ...] = ()
    unavailable: str | None = None
    names: dict[str, str] = field(default_factory=dict, hash=False)
    row_names: dict[str, str] = field(default_factory=dict, hash=False)

    @property
    def several_units(self) -> bool:
        """Whether numbers of different units stand in it, which one axis cannot have."""
        return ", or " in self.unit or self.unit.startswith("as ")

    def called(self, key: str) -> str:
        """A column's name for people, or those of its parts."""
        if key in self.names:
            return self.names[key]
        return "".join(self.names.get(part, part) for part in PARTS.split(key))

    def called_row(self, key: str) -> str:
        """A row's name for people, or those of its parts."""
        return self.row_names.get(key, self.called(key))

    @property
    def slot(self) -> str:
        return f"{self.paper}/{self.name}"

    @property
    def defaults(self) -> dict[str, Any]:
        """The script's options and `seeds`, None for the preset's."""
        return (asdict(self.options) if self.options else {}) | {"seeds": None}

    def entries_at(self, preset: str, options: dict | None = None) -> list[Entry]:
        """Entries at a preset, with `options` over the script's own.

        Args:
            options: besides the script's and `seeds`, `changes`: hyperparameters by key, of all
                cells that have them.
        """
        settings = dict(options or {})
        changes = settings.pop("changes", None)
        entries = self.entries(preset, self.defaults | settings)
        if not changes:
            return entries
        return [entry.under(changes) for entry in entries]

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

    Args:
        options: the script's, seeds, and `changes`: hyperparameters that were set.
    """
    settings = {key: value for key, value in options.items() if key != "changes"}
    different = {
        key: value
        for key, value in settings.items()
        if value is not None and value != table.defaults.get(key)
    }
    different |= options.get("changes") or {}
    words = [f"{key}={word(value)}" for key, value in sorted(different.items())]
    return file_name(".".join([table.name, *words]))
