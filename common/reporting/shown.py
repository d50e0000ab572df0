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

Seeds = dict[int, float | None]  # seed -> value, None where it diverged
ORIGIN = ("constants", "code", "commit", "machine")


@dataclass(frozen=True)
class Shown:
    """One entry of a table, as far as it has been run.

    Attributes:
        row, column: as in the published CSV.
        cells: slots of the cells it is computed from.
        state: "done", or what is missing.
        summary: over seeds.
        published_mean, published_std: None where nothing was printed.
        seeds, best: last and best score of every seed.
        rounds, curves: of an entry made of one cell, its learning curve for every seed.
        made: what the entry's JSON says besides: data, extra, seconds; {} while it is not done.
        origin: constants, code, commit and machine of the first cell's result.
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


def of_json(facts: dict) -> Shown:
    """An entry of a table's JSON: everything but what single seeds did."""
    summary = Summary(**{key: facts[key] for key in Summary._fields})
    made = {key: facts[key] for key in ("extra", "data", "seconds") if key in facts}
    return Shown(
        facts["row"], facts["column"], tuple(facts["cells"]), facts["state"], summary, made=made
    )


def show(table: Table, preset: str, options: dict) -> list[Shown]:
    """Every entry of a table at a preset, in its order."""
    published = table.published()
    nothing = (None, None)
    return [
        show_entry(entry, *published.get((entry.row, entry.column), nothing))
        for entry in table.entries_at(preset, options)
    ]


def show_entry(entry: Entry, published_mean: float | None, published_std: float | None) -> Shown:
    """What is known of one entry."""
    states = {cell.slot: work.paper(cell.paper).state(cell) for cell in entry.cells}
    undone = sorted({state for state in states.values() if state != "done"})
    results = [] if undone else results_of(entry)
    seeds: Seeds = {}
    if results or not (entry.cells or entry.missing):
        seeds = entry.value(results)
    return Shown(
        entry.row,
        entry.column,
        tuple(states),
        entry.missing or "; ".join(undone) or "done",
        scores.summary(list(seeds.values())),
        published_mean,
        published_std,
        seeds,
        **(learned(results) if results else {}),
        made=made_of(entry, results),
        origin={key: results[0].get(key) for key in ORIGIN} if results else {},
    )


def results_of(entry: Entry) -> list[dict]:
    """Stored results of cells that are done."""
    results = [store.read(cell) for cell in entry.cells]
    return [result for result in results if result is not None]


def learned(results: list[dict]) -> dict[str, Any]:
    """Best scores, and the learning curves of a single result."""
    facts: dict[str, Any] = {}
    if all("best_score" in seed for result in results for seed in result["seeds"]):
        facts["best"] = mean_of(results, "best_score")
    if len(results) == 1 and "rounds" in results[0]:
        facts["rounds"] = results[0]["rounds"]
        facts["curves"] = {seed["seed"]: seed["curve"] for seed in results[0]["seeds"]}
    return facts


def made_of(entry: Entry, results: list[dict]) -> dict[str, Any]:
    """Data, extra facts and seconds of an entry's cells; numbers of the configuration have none."""
    if not results:
        return {} if entry.cells or entry.missing else {"data": {}}
    slots = [cell.slot for cell in entry.cells]
    return {
        "extra": [result.get("extra") for result in results],
        "data": {slot: result["data"] for slot, result in zip(slots, results, strict=True)},
        "seconds": sum(result["seconds"] for result in results),
    }
