"""What cells learn from: their data sets, as the runner and programs ask for them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from common.running.cells import Cell
from envs.datasets.building import build
from envs.datasets.keys import data_path
from envs.datasets.loading import load
from envs.datasets.recipes import recipe
from envs.datasets.sizes import sizes_of
from envs.storage import DataError


class DataSets(NamedTuple):
    """Data sets of one task and quality.

    Attributes:
        seeds: seed of each data set by the seed of the run that learns from it; several runs may
            share one.
    """

    task: str
    quality: str
    seeds: dict[int, int]
    size: str

    def paths(self) -> dict[int, Path]:
        """File of each run's data set."""
        return {
            run: data_path(self.task, self.quality, seed, self.size)
            for run, seed in self.seeds.items()
        }


@dataclass(frozen=True)
class CellData:
    """The data sets that cells learn from.

    Attributes:
        of: a cell's data sets; None where it draws its own.
    """

    of: Callable[[Cell], DataSets | None]

    def prepare(self, cell: Cell) -> None:
        """Builds a cell's data sets if they are missing."""
        sets = self.of(cell)
        if sets:
            seeds = list(dict.fromkeys(sets.seeds.values()))
            build(sets.task, sets.quality, seeds, sets.size, say=tqdm.write)

    def recipes(self, cell: Cell) -> dict[str, str]:
        """Recipes of a cell's data sets, by seed of the run; {} where they are not known."""
        sets = self.of(cell)
        if not sets:
            return {}
        try:
            return {
                str(run): recipe(sets.task, sets.quality, seed, sets.size)
                for run, seed in sets.seeds.items()
            }
        except (DataError, FileNotFoundError):
            return {}

    def files(self, cell: Cell) -> dict[Path, int]:
        """A cell's data sets and their bytes, as `sizes_of` says."""
        sets = self.of(cell)
        return sizes_of(sets.task, sets.quality, [*sets.seeds.values()], sets.size) if sets else {}

    def paths(self, cell: Cell) -> dict[int, Path]:
        """File of each run's data set, {} where the cell draws its own."""
        sets = self.of(cell)
        return sets.paths() if sets else {}

    def load(self, cells: list[Cell]) -> "Loaded":
        """The data sets of all members of a program, each file read once."""
        by_cell = [self.paths(cell) for cell in cells]
        paths = list(dict.fromkeys(path for paths in by_cell for path in paths.values()))
        sets = [load(path) for path in paths]
        checksums = {path: one["sha256"] for path, one in zip(paths, sets, strict=True)}
        return Loaded(
            sets,
            [paths.index(path) for of_cell in by_cell for path in of_cell.values()],
            [{str(run): checksums[path] for run, path in of_cell.items()} for of_cell in by_cell],
        )


class Loaded(NamedTuple):
    """Data sets of a program.

    Attributes:
        sets: as `load` returns them, each file once.
        members: [M] index of each member's data set, cell after cell.
        checksums: of each cell, by seed of the run.
    """

    sets: list[dict]
    members: list[int]
    checksums: list[dict[str, str]]
