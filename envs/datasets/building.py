"""Making data sets: what is missing, damaged or of another recipe is built, the rest left alone."""

import functools
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import filelock

from common.running import workers
from common.running.files import sha256, sweep
from common.running.work import BUILDING
from envs import storage
from envs.datasets import recipes, statistics
from envs.datasets.keys import IMPORTED, Key, data_path, family
from envs.storage import DataError


def build(
    task: str,
    quality: str,
    seeds: list[int],
    size: str,
    say=print,
    again: bool = False,
    **options,
) -> list[Path]:
    """Builds the data sets of one task and quality that are missing, damaged or of another recipe
    than the present one; returns all paths.

    Args:
        say: called with a line about what is built and why.
        again: build them whatever is there.
        options: of the robots, `replay`.

    Raises:
        DataError: an unknown name, an imported data set that is not there, or another data set in
            the place of one of these.
    """
    data_path(task, quality, 0, size)  # raises for unknown names
    keys = {seed: Key(task, quality, seed, size) for seed in seeds}

    def wanted() -> dict[int, str]:
        reasons = {seed: "again" if again else fault(key) for seed, key in keys.items()}
        return {seed: reason for seed, reason in reasons.items() if reason}

    paths = [key.path for key in keys.values()]
    missing = wanted()
    if not missing:
        return paths
    if size in IMPORTED:
        first = keys[next(iter(missing))]
        raise DataError(f"data set {first.path} is {missing[first.seed]}; {first.remedy}")
    folder = paths[0].parent
    folder.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(folder / BUILDING):
        reasons = wanted()  # another process may have built some meanwhile
        if reasons:
            why = ", ".join(dict.fromkeys(reasons.values()))
            say(f"building {task} {quality} ({size}), seeds {[*reasons]}: {why}")
            sweep(folder)
            generated = family(task).generate(task, quality, [*reasons], size, **options)
            for seed, (arrays, facts) in zip(reasons, generated, strict=True):
                path = keys[seed].path
                complete = statistics.with_statistics(path, arrays, facts)
                storage.write(path, complete, facts, recipes.building_code(task))
    return paths


def fault(key: Key) -> str:
    """Why a data set has to be built: a few words, "" if it need not.

    Raises:
        DataError: another data set is in its place.
    """
    try:
        recorded = storage.checksum(key.path)
    except DataError:
        return "missing"
    changed_at = key.path.stat().st_mtime_ns
    if _sha256(key.path, changed_at) != recorded:
        return "damaged"
    try:
        data = storage.read(key.path, lambda file, facts: statistics.read(file), verify=False)
    except DataError:
        return "damaged"
    facts = data["provenance"]
    recipes.check_place(key.path, key, facts)
    names = recipes.changes(key, facts, storage.code(key.path))
    if names:
        return f"{', '.join(names)} changed"
    return "" if data["arrays"] else "without statistics"


@functools.cache
def _sha256(path: Path, changed_at: int) -> str:
    return sha256(path)


class Order(NamedTuple):
    """Data sets to be built: the arguments of `build`."""

    task: str
    quality: str
    seeds: list[int]
    size: str
    options: dict[str, Any]


def build_all(orders: list[Order], jobs: int) -> None:
    """Builds many data sets, in processes of one thread each.

    The longest come first: replay data of the particle worlds, which run the training again.
    """
    longest_first = sorted(
        orders, key=lambda order: -family(order.task).effort(order.task, order.quality)
    )
    if min(jobs, len(orders)) == 1:
        for order in longest_first:
            _build_one(order)
        return
    context = multiprocessing.get_context("spawn")
    with workers.of_this_process(), ProcessPoolExecutor(jobs, mp_context=context) as pool:
        list(pool.map(_build_one, longest_first))


def _build_one(order: Order) -> None:
    import torch

    torch.set_num_threads(1)
    build(order.task, order.quality, order.seeds, order.size, **order.options)
