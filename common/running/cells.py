"""Cells: the unit of work and of results. One cell is one method on one data set with one setting,
for all its seeds.

A cell's result is one JSON file, written atomically when the cell is complete, with everything that
decides its numbers: configuration, code and data checksums, versions of packages. A result whose
configuration, code, data or packages are no longer the present ones is stale: it is shown as such
and never reused.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from common.running.files import write_json
from common.running.provenance import (
    ROOT,
    carried,
    changed_packages,
    code_hashes,
    config_hash,
    machine,
    versions,
)

FORMAT = 1


@dataclass(frozen=True)
class Cell:
    """One entry of a table.

    Attributes:
        paper: folder under papers/.
        preset: "smoke", "quick" or "paper".
        slot: readable name, unique for the paper and preset: letters, digits and ._=- between
            slashes.
        config: everything that decides the numbers, as JSON values.
    """

    paper: str
    preset: str
    slot: str
    config: dict

    def __hash__(self):
        return hash((self.paper, self.preset, self.slot))

    @property
    def path(self) -> Path:
        """File of the cell's result."""
        return (
            runs_folder()
            / self.preset
            / self.paper
            / "cells"
            / f"{self.slot.replace('/', '__')}.json"
        )

    @property
    def hash(self) -> str:
        return config_hash(self.config)


def runs_folder() -> Path:
    """Where results of runs are kept: `OMZ_RESULTS`, by default results/runs in the repository."""
    return Path(os.environ.get("OMZ_RESULTS") or ROOT / "results" / "runs")


def read(cell: Cell) -> dict | None:
    """The stored result of a cell, or None if there is none that can be read."""
    try:
        result = json.loads(cell.path.read_text())
    except (OSError, ValueError):
        return None
    return result if result.get("format") == FORMAT else None


def state(cell: Cell, sources: list[str], data_recipes: Callable[[Cell], dict]) -> str:
    """ "done", "missing", or "stale: ..." with what changed since the result was written.

    Args:
        sources: files whose code decides the numbers.
        data_recipes: present recipes of the cell's data sets, see `envs.datasets.recipe`; {} where
            they are not known.
    """
    result = read(cell)
    if result is None:
        return "missing"
    result = carried(result, cell.config, sources)
    if result["config_hash"] != cell.hash:
        changed = sorted(
            key
            for key in {*result["config"], *cell.config}
            if result["config"].get(key) != cell.config.get(key)
        )
        return f"stale: configuration changed ({', '.join(changed)})"
    present = code_hashes(sources)
    changed = sorted(
        name
        for name in {*present, *result["code"]}
        if present.get(name) != result["code"].get(name)
    )
    if changed:
        return f"stale: code changed ({', '.join(changed)})"
    recipes = data_recipes(cell)
    if recipes and recipes != result.get("recipe"):
        return "stale: data changed"
    packages = changed_packages(result.get("versions", {}), sources)
    if packages:
        return f"stale: packages changed ({', '.join(packages)})"
    return "done"


def store(cell: Cell, result: dict) -> None:
    """Writes a complete result."""
    write_json(
        cell.path,
        {"format": FORMAT, "slot": cell.slot, "paper": cell.paper, "preset": cell.preset, **result},
    )


def made_with(
    cell: Cell, data: dict[str, str], recipes: dict, seconds: float, device: str, sources: list[str]
) -> dict:
    """What every result says about its making.

    Args:
        data: checksums of the cell's data sets; recipes: of them, see `envs.datasets.recipe`.
        sources: files whose code decides the numbers.
    """
    return {
        "config": cell.config,
        "config_hash": cell.hash,
        "code": code_hashes(sources),
        "data": data,
        "recipe": recipes,
        "seconds": seconds,
        "versions": versions(),
        "machine": machine(device),
    }
