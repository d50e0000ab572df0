"""How large data sets are on disk, before they are built too."""

import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np

from common.running.files import read_csv, write_csv
from envs.datasets.keys import SIZES, Key, existing, family, key_at
from envs.tasks import TASKS

MEASURED = Path(__file__).parent / "sizes.csv"  # written by `measure`


def steps_of(task: str, quality: str, size: str) -> int:
    """Steps (episodes of battles) that a data set of a size has."""
    module = family(task)
    kind = TASKS[task].name
    if kind == "robots":
        return module.size_of(task, quality, size)
    if kind == "battles":
        return module.size_of(quality, size)
    return module.size_of(task, size) if kind == "kinematic" else module.SIZES[size]


class Size(NamedTuple):
    """Of one data set.

    Attributes:
        steps: as `steps_of` says.
        bytes: of its file, None where that was not measured.
    """

    steps: int
    bytes: int | None


@functools.cache
def known_sizes() -> dict[tuple[str, str, str], Size]:
    """By (task, quality, size), as `measure` wrote them; no simulator is loaded for it."""
    return {
        (row["task"], row["quality"], row["size"]): Size(
            int(row["steps"]), int(row["bytes"]) if row["bytes"] else None
        )
        for row in read_csv(MEASURED)
    }


@functools.cache
def estimated(task: str, quality: str, size: str) -> int:
    """Bytes of a data set that is not there: the measured mean of that size, or that of the largest
    measured size in proportion to the steps, 0 without any and of what is imported.
    """
    sizes = {other: known_sizes().get((task, quality, other)) for other in SIZES}
    asked = sizes.get(size)
    measured = [one for one in sizes.values() if one and one.bytes]
    if not asked or not measured:
        return 0
    if asked.bytes:
        return asked.bytes
    largest = max(measured, key=lambda one: one.bytes or 0)
    return (largest.bytes or 0) * asked.steps // largest.steps


def sizes_of(task: str, quality: str, seeds: list[int], size: str) -> dict[Path, int]:
    """Files of data sets and their bytes: estimated, so that no page depends on what lies on a
    disk; those of imported data, which have no estimate, as they are.
    """
    paths = [Key(task, quality, seed, size).path for seed in seeds]
    guess = estimated(task, quality, size)
    return {path: path.stat().st_size if not guess and path.exists() else guess for path in paths}


def measure() -> None:
    """Writes steps of all data sets to `MEASURED`, and the mean bytes of those in the cache folder,
    beside what is known of others.
    """
    there: dict[tuple[str, str, str], list[int]] = {}
    for path in existing([]):
        key = key_at(path)
        if key and path.exists():
            there.setdefault((key.task, key.quality, key.size), []).append(path.stat().st_size)
    rows = []
    for task, quality, size in every_kind():
        before = known_sizes().get((task, quality, size))
        sizes = there.get((task, quality, size))
        mean = round(np.mean(sizes)) if sizes else before and before.bytes
        rows.append([task, quality, size, steps_of(task, quality, size), mean])
    write_csv(MEASURED, ["task", "quality", "size", "steps", "bytes"], sorted(rows))


def every_kind() -> list[tuple[str, str, str]]:
    """(task, quality, size) of all data sets that can be built."""
    return [
        (task, quality, size)
        for task in TASKS
        for quality in family(task).qualities(task)
        for size in SIZES
    ]
