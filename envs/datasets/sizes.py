"""How large data sets are on disk, before they are built too."""

import functools
from pathlib import Path

import numpy as np

from common.running.files import read_csv, write_csv
from envs.datasets.keys import IMPORTED, SIZES, data_path, existing, family
from envs.tasks import TASKS

MEASURED = Path(__file__).parent / "sizes.csv"  # written by `measure`


def steps_of(task: str, quality: str, size: str) -> int:
    """Steps (episodes of battles) that a data set of a size has; replay data may have others."""
    module = family(task)
    kind = TASKS[task].name
    if kind == "battles":
        return module.size_of(quality, size)
    return module.size_of(task, size) if kind == "kinematic" else module.SIZES[size]


@functools.cache
def measured() -> dict[tuple[str, str, str], int]:
    """Bytes of a data set by (task, quality, size), as `measure` found them."""
    return {
        (row["task"], row["quality"], row["size"]): int(row["bytes"]) for row in read_csv(MEASURED)
    }


@functools.cache
def estimated(task: str, quality: str, size: str) -> int:
    """Bytes of a data set that is not there: the measured mean of that size, or that of the largest
    measured size in proportion to the steps, 0 without any and of what is imported.
    """
    if size in IMPORTED:
        return 0
    bytes_of = {
        other: measured()[task, quality, other]
        for other in SIZES
        if (task, quality, other) in measured()
    }
    if size in bytes_of:
        return bytes_of[size]
    if not bytes_of:
        return 0
    largest = max(bytes_of, key=bytes_of.__getitem__)
    steps = steps_of(task, quality, size)
    return bytes_of[largest] * steps // steps_of(task, quality, largest)


def sizes_of(task: str, quality: str, seeds: list[int], size: str) -> dict[Path, int]:
    """Files of data sets and their bytes, estimated where they are not there."""
    paths = [data_path(task, quality, seed, size) for seed in seeds]
    return {
        path: path.stat().st_size if path.exists() else estimated(task, quality, size)
        for path in paths
    }


def measure() -> None:
    """Writes the mean bytes of the data sets in the cache folder to `MEASURED`, beside what is
    known of others.
    """
    by_kind: dict[tuple[str, str, str], list[int]] = {}
    for path in existing([]):
        if not path.exists():
            continue
        size, task, quality = path.parts[-3], path.parts[-2], path.stem.rpartition("-")[0]
        if size in SIZES:
            by_kind.setdefault((task, quality, size), []).append(path.stat().st_size)
    means = measured() | {kind: round(np.mean(counts)) for kind, counts in by_kind.items()}
    write_csv(
        MEASURED,
        ["task", "quality", "size", "bytes"],
        [[*kind, means[kind]] for kind in sorted(means)],
    )
