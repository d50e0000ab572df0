"""What is known of every entry of a table: published and our statistics, values of every seed,
learning curves, what it was made with, or why there is none of it.
"""

from dataclasses import dataclass, field
from typing import Any

from common.reporting import scores
from common.reporting.scores import Summary
from common.reporting.tables import Entry, Table, mean_of
from common.running import cells as store
from common.running import work
from common.running.sources import code_hashes

Seeds = dict[int, float | None]  # seed -> value, None where it diverged
MADE = ("extra", "data", "config", "recipe", "kind", "seconds", "share")
# what decides whether two machines round alike
KIND = ("processor", "cpu_capability", "device", "kernels", "matmul_precision")


@dataclass(frozen=True)
class Shown:
    """One entry of a table, as far as it has been run.

    Attributes:
        row, column: as in the published CSV.
        cells: slots of the cells it is computed from.
        state: "done", or what is missing.
        summary: over seeds.
        published_mean, published_std: None where nothing was printed.
        seeds, best: last and best score of every seed, see `by_data_set`.
        rounds, curves: of an entry made of one cell, its learning curve for every seed.
        made: what the entry's JSON says besides: by cell its data, the hash of its configuration,
            its recipe and its seconds; the kind of machine; extra, what cells stored for the
            table's picture, where it draws that; {} while it is not done.
        origin: constants and machine of the first cell's result; code and commits of all.
    """

    row: str
    column: str
    cells: tuple[str, ...]
    state: str
    summary: Summary
    published_mean: float | None = None
    published_std: float | None = None
    seeds: Seeds = field(default_factory=dict)
    best: Seeds = field(default_factory=dict)
    rounds: list[int] = field(default_factory=list)
    curves: dict[int, list[float | None]] = field(default_factory=dict)
    made: dict[str, Any] = field(default_factory=dict)
    origin: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> scores.Name:
        """Row and column."""
        return self.row, self.column

    @property
    def mean(self) -> float | None:
        """Over the seeds that did not diverge."""
        return self.summary.mean

    @property
    def std(self) -> float | None:
        """Over the seeds that did not diverge."""
        return self.summary.std

    def as_json(self) -> dict:
        """The entry as a table's JSON has it; `of_json` reads it."""
        facts = {"row": self.row, "column": self.column, "cells": self.cells, "state": self.state}
        return {**facts, **self.summary._asdict(), **self.made}


def of_json(facts: dict, seeds: Seeds) -> Shown:
    """An entry of a table's JSON: everything but best scores and learning curves.

    Args:
        seeds: its rows of the table's seeds CSV.
    """
    made = {key: facts[key] for key in MADE if key in facts}
    summary = scores.summary(list(seeds.values()), facts.get("share", False))
    cells = tuple(facts["cells"])
    return Shown(
        facts["row"], facts["column"], cells, facts["state"], summary, seeds=seeds, made=made
    )


def show(table: Table, preset: str, options: dict) -> list[Shown]:
    """Every entry of a table at a preset, in its order."""
    published = table.published()
    nothing = (None, None)
    return [
        show_entry(entry, published.get((entry.row, entry.column), nothing), table.draws_extra)
        for entry in table.entries_at(preset, options)
    ]


def show_entry(
    entry: Entry, published: tuple[float | None, float | None], with_extra: bool
) -> Shown:
    """What is known of one entry, its published mean and sd given; `with_extra`, also what its
    cells stored for a picture.
    """
    states = {cell.slot: work.paper(cell.paper).state(cell) for cell in entry.cells}
    undone = sorted({state for state in states.values() if state != "done"})
    results = [] if undone else results_of(entry)
    seeds: Seeds = {}
    if results or not (entry.cells or entry.missing):
        seeds = by_data_set(entry, entry.value(results))
    return Shown(
        entry.row,
        entry.column,
        tuple(states),
        entry.missing or "; ".join(undone) or "done",
        scores.summary(list(seeds.values()), entry.share),
        *published,
        seeds,
        **(learned(entry, results) if results else {}),
        made=made_of(entry, results, with_extra),
        origin=origin_of(entry, results) if results else {},
    )


def by_data_set(entry: Entry, values: Seeds) -> Seeds:
    """Values by run; where several runs learn from each of several data sets, their mean by data
    set, None if one of them diverged.

    Data sets of different behaviour policies are then the sample: runs on the same one resemble
    each other and do not count as independent.
    """
    learns_from = data_sets_of(entry)
    if not learns_from or not values.keys() <= learns_from.keys():
        return values
    samples: dict[int, list[float | None]] = {}
    for run, value in values.items():
        samples.setdefault(learns_from[run], []).append(value)
    return {
        data: None if None in sample else sum(value or 0.0 for value in sample) / len(sample)
        for data, sample in samples.items()
    }


def data_sets_of(entry: Entry) -> dict[int, int]:
    """The data set that each run of an entry learns from, where several learn from each of several
    data sets; else {}.
    """
    learns_from: dict[int, int] = {}
    for cell in entry.cells:
        sets = work.paper(cell.paper).data.of(cell)
        learns_from |= sets.seeds if sets else {}
    several = 1 < len({*learns_from.values()}) < len(learns_from)
    return learns_from if several else {}


def results_of(entry: Entry) -> list[dict]:
    """Stored results of cells that are done."""
    results = [store.read(cell) for cell in entry.cells]
    return [result for result in results if result is not None]


def learned(entry: Entry, results: list[dict]) -> dict[str, Any]:
    """Best scores, and learning curves."""
    facts: dict[str, Any] = {}
    if all("best_score" in seed for result in results for seed in result["seeds"]):
        facts["best"] = by_data_set(entry, mean_of(results, "best_score"))
    curves = entry.curves(results)
    if curves and "rounds" in results[0]:
        facts["rounds"] = results[0]["rounds"]
        facts["curves"] = curves
    return facts


def made_of(entry: Entry, results: list[dict], with_extra: bool) -> dict[str, Any]:
    """What the JSON says of an entry's cells; numbers of the configuration have none."""
    if not results:
        return {} if entry.cells or entry.missing else {"data": {}}
    slots = [cell.slot for cell in entry.cells]
    extra = {"extra": [result.get("extra") for result in results]} if with_extra else {}
    return {
        **extra,
        "data": {slot: result["data"] for slot, result in zip(slots, results, strict=True)},
        "config": {cell.slot: cell.hash for cell in entry.cells},
        "recipe": {cell.slot: work.paper(cell.paper).data.recipes(cell) for cell in entry.cells},
        "kind": ", ".join(sorted({kind_of(result) for result in results})),
        "seconds": {slot: result["seconds"] for slot, result in zip(slots, results, strict=True)},
        **({"share": True} if entry.share else {}),
    }


def kind_of(result: dict) -> str:
    """The kind of machine that made a result: one kind gives the same bits for the same code."""
    machine = result.get("machine") or {}
    versions = result.get("versions") or {}
    words = [str(machine.get(key, "?")) for key in KIND]
    words += [f"{name} {versions.get(name, '?')}" for name in ("torch", "numpy", "mujoco")]
    return " ".join(words)


def origin_of(entry: Entry, results: list[dict]) -> dict[str, Any]:
    """Where an entry's numbers come from, all its cells being done: the code is the present one,
    also where an older one that gives the same numbers made them.
    """
    code: dict[str, str] = {}
    for cell in entry.cells:
        code |= code_hashes(work.paper(cell.paper).roots(cell))
    commits = dict.fromkeys(result.get("commit") for result in results)
    return {
        "constants": results[0].get("constants"),
        "machine": results[0].get("machine"),
        "code": code,
        "commit": ", ".join(commit for commit in commits if commit) or None,
    }
