"""Offline data sets: what they are, where they lie, how they are built, checked and shown.

    python -m envs.datasets list
    python -m envs.datasets build [TASK ...] [--quality Q ...] [--seeds 0 1 2] [--size quick] [--replay exact]
    python -m envs.datasets import TASK QUALITY --source d4rl:DIR|minari:ID
    python -m envs.datasets check [TASK ...]
    python -m envs.datasets show TASK QUALITY [--seed 0] [--size quick]
    python -m envs.datasets measure
    python -m envs.datasets train-behaviour [TASK ...]

One HDF5 file per task, quality and seed in the cache folder (`OMZ_DATA`, by default
~/.cache/offline-marl-zoo/data), with D4RL's keys: per agent in the particle worlds
(`agent_0/observations` ...), of the whole robot for the robots. Provenance is in the file, its
SHA-256 beside it. Files are built from the policies that ship with the repository and are the same
bytes each time on one machine. Real D4RL or Minari files are imported beside them, as sizes "d4rl"
and "minari".
"""

import argparse
import functools
import json
import multiprocessing
import os
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import filelock
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from common.running.cells import Cell
from common.running.files import atomic, read_csv, sha256, sweep, write_csv
from common.running.provenance import carried_data, config_hash
from common.running.sources import code_hashes
from envs import storage
from envs.storage import DataError, data_folder
from envs.storage import checksum as checksum
from envs.tasks import TASKS

SIZES = ("smoke", "quick", "paper")
IMPORTED = ("d4rl", "minari")
REPLAYS = ("snapshots", "exact")  # of robots
MEASURED = (
    Path(__file__).parent / "data_sizes.csv"
)  # bytes of data sets that were built, written by `measure`
COMMAND = "python -m envs.datasets"


def family(task: str):
    """The module that knows a task's data, for example `envs.particle.data`.

    Raises:
        DataError: an unknown task.
    """
    if task not in TASKS:
        raise DataError(f"unknown task {task!r}, expected one of: {', '.join(TASKS)}")
    return TASKS[task].load_data()


class Key(NamedTuple):
    """Which data set it is."""

    task: str
    quality: str
    seed: int
    size: str

    @property
    def path(self) -> Path:
        """Where it belongs."""
        return data_folder() / self.size / self.task / f"{self.quality}-{self.seed}.h5"

    @property
    def remedy(self) -> str:
        """What to do where it is missing or broken."""
        if self.size in IMPORTED:
            return f"import it with `{COMMAND} import {self.task} {self.quality} --source ...`"
        where = f"{self.task} --quality {self.quality} --seeds {self.seed} --size {self.size}"
        return f"build it with `{COMMAND} build {where} --again`"


def key_at(path: Path) -> Key | None:
    """The data set that belongs at a path; None for a place of no data set."""
    quality, _, seed = path.stem.rpartition("-")
    if len(path.parts) < 3 or not seed.isdecimal():
        return None
    key = Key(path.parent.name, quality, int(seed), path.parent.parent.name)
    return key if key.path == path and key.task in TASKS else None


def data_path(task: str, quality: str, seed: int, size: str) -> Path:
    """File of one data set.

    Raises:
        DataError: an unknown task, quality or size.
    """
    choices = {
        "quality": (quality, family(task).qualities(task)),
        "size": (size, (*SIZES, *IMPORTED)),
    }
    for what, (value, known) in choices.items():
        if value not in known:
            raise DataError(
                f"unknown {what} {value!r} of {task}, expected one of: {', '.join(known)}"
            )
    return Key(task, quality, seed, size).path


@functools.cache
def building_code(task: str) -> str:
    """Short hash of all code that decides a task's data sets."""
    return config_hash(code_hashes([TASKS[task].data]))


@functools.cache
def facts_of(key: Key, **options) -> dict:
    """What a data set says about itself if it is built now, as it is read back from the file.

    Args:
        options: as for `build`.
    """
    return json.loads(json.dumps(family(key.task).provenance(*key, **options)))


def without_versions(facts: dict) -> dict:
    """What of a data set's facts decides it, but for the machine's rounding."""
    return {name: value for name, value in facts.items() if name != "versions"}


@functools.cache
def recipe(task: str, quality: str, seed: int, size: str) -> str:
    """Short hashes of everything that decides a data set but the machine's rounding: of generator,
    policies, sizes and seed, and of the code that builds it.

    Two machines build the same data up to floating-point rounding, whose files have other
    checksums; a result stays valid as long as the recipe of its data is the same. An imported data
    set's recipe is its source file.

    Raises:
        DataError: an imported data set that is not there.
    """
    key = Key(task, quality, seed, size)
    if size in IMPORTED:
        stored = storage.read(key.path, nothing, verify=False, remedy=key.remedy)
        return f"{stored['provenance']['source']['sha256'][:16]}.imported"
    return f"{config_hash(without_versions(facts_of(key)))}.{building_code(task)}"


def nothing(file, facts: dict) -> None:
    """Reads no array."""


def changes(key: Key, facts: dict, code: str) -> list[str]:
    """What has changed in the recipe of a data set since it was built, [] if it is the present one.

    Args:
        facts: from the file.
        code: hash of the code that built it.
    """
    if key.size in IMPORTED:
        return []
    options = {"replay": facts["replay"]} if "replay" in facts else {}
    now = without_versions(facts_of(key, **options))
    then = without_versions(facts)
    names = [name for name in sorted({*now, *then}) if now.get(name) != then.get(name)]
    if carried_data(key.task, code) != building_code(key.task):
        names.append("code")
    return names


def check_place(path: Path, key: Key, facts: dict) -> None:
    """Raises DataError if a file is another data set than the one that belongs there."""
    inside = tuple(facts.get(name) for name in Key._fields)
    if inside != key:
        said = "of {0}, {1}, seed {2}, size {3}"
        raise DataError(
            f"data set {path} is {said.format(*inside)}, and not {said.format(*key)}; "
            f"put it back where it belongs, and {key.remedy}"
        )


def constants(task: str, **options) -> tuple[float, float]:
    """Expert and random return that normalised scores of a task are relative to."""
    return family(task).constants(task, **options)


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
    with filelock.FileLock(folder / ".building.lock"):
        reasons = wanted()  # another process may have built some meanwhile
        if reasons:
            why = ", ".join(dict.fromkeys(reasons.values()))
            say(f"building {task} {quality} ({size}), seeds {[*reasons]}: {why}")
            sweep(folder)
            generated = family(task).generate(task, quality, [*reasons], size, **options)
            for seed, (arrays, facts) in zip(reasons, generated, strict=True):
                storage.write(keys[seed].path, arrays, facts, building_code(task))
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
        facts = storage.read(key.path, nothing, verify=False)["provenance"]
    except DataError:
        return "damaged"
    check_place(key.path, key, facts)
    names = changes(key, facts, storage.code(key.path))
    return f"{', '.join(names)} changed" if names else ""


@functools.cache
def _sha256(path: Path, changed_at: int) -> str:
    return sha256(path)


def steps_of(task: str, quality: str, size: str) -> int:
    """Steps (episodes of battles) that a data set of a size has; replay data may have others."""
    module, kind = family(task), TASKS[task].name
    if kind == "battles":
        return module.size_of(quality, size)
    return module.size_of(task, size) if kind == "kinematic" else module.SIZES[size]


@functools.cache
def measured() -> dict[tuple[str, str, str], int]:
    """Bytes of a data set by (task, quality, size), as `measure` found them."""
    return {
        (row["task"], row["quality"], row["size"]): int(row["bytes"]) for row in read_csv(MEASURED)
    }


def files(task: str, quality: str, seeds: list[int], size: str) -> dict[Path, int]:
    """Files of data sets and their bytes: their own where they are there, else estimated from
    measured ones.

    The estimate is the measured mean of that size, or that of another size in proportion to the
    steps, 0 without any.
    """
    found = {}
    for seed in seeds:
        path = data_path(task, quality, seed, size)
        if path.exists():
            found[path] = path.stat().st_size
            continue
        known = [
            (other, measured()[task, quality, other])
            for other in (size, *SIZES)
            if (task, quality, other) in measured()
        ]
        of, count = max(known, key=lambda item: (item[0] == size, item[1]), default=(size, 0))
        found[path] = (
            count
            if of == size
            else count * steps_of(task, quality, size) // steps_of(task, quality, of)
        )
    return found


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
    kinds = measured() | {kind: round(np.mean(found)) for kind, found in by_kind.items()}
    write_csv(
        MEASURED,
        ["task", "quality", "size", "bytes"],
        [[*kind, kinds[kind]] for kind in sorted(kinds)],
    )


def load(path: Path, verify: bool = True) -> dict:
    """One data set, validated.

    Returns:
        `arrays`: per key [R, ...] (in the particle worlds [R, N, ...]); `provenance`; `sha256`.

    Raises:
        DataError: the file is missing, changed since it was written, cut off, another data set or
            of another recipe than what belongs in its place, or its contents do not fit together.
    """
    key = key_at(path)
    remedy = key.remedy if key else "build it again"

    def extract(file, facts: dict) -> dict[str, np.ndarray]:
        return family(facts["task"]).extract(file, facts)

    data = storage.read(path, extract, verify, remedy)
    facts = data["provenance"]
    if key:
        check_place(path, key, facts)
        names = changes(key, facts, storage.code(path))
        if names:
            raise DataError(
                f"data set {path} was built by another recipe ({', '.join(names)} changed); {remedy}"
            )
    try:
        family(facts["task"]).validate(path, data["arrays"], facts)
    except DataError:
        raise
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"data set {path} is no data of {facts['task']}: {error}; {remedy}"
        ) from error
    return data


def transitions(data: dict, **options) -> dict[str, Tensor]:
    """What learners need of a loaded data set: tensors [R, N, ...]; robots take `of`, the agents'
    view.
    """
    return family(data["provenance"]["task"]).transitions(data, **options)


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
    """The data sets that cells learn from, as the runner and programs ask for them.

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

    def unknown_seeds(self, cell: Cell) -> list[int]:
        """Data seeds of a cell that its task has no data of; a task has so many policies."""
        sets = self.of(cell)
        if not sets or sets.size in IMPORTED:
            return []
        there = family(sets.task).seeds(sets.task)
        return [seed for seed in sets.seeds.values() if seed not in there]

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
        """A cell's data sets and their bytes, as `files` says."""
        sets = self.of(cell)
        return files(sets.task, sets.quality, [*sets.seeds.values()], sets.size) if sets else {}

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


def episode_returns(data: dict) -> np.ndarray:
    """[episodes] undiscounted returns, mean over agents."""
    return family(data["provenance"]["task"]).episode_returns(data)


def build_all(work: list[tuple], jobs: int) -> None:
    """Builds many data sets, (task, quality, seeds, size, options) each, in processes of one thread
    each.

    The longest come first: replay data of the particle worlds, which run the training again.
    """
    work = sorted(work, key=lambda item: -family(item[0]).effort(*item[:2]))
    if min(jobs, len(work)) == 1:
        for item in work:
            _build_one(item)
        return
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        list(pool.map(_build_one, work))


def _build_one(item: tuple) -> None:
    torch.set_num_threads(1)
    task, quality, seeds, size, options = item
    build(task, quality, seeds, size, **options)


# --- Commands ---


def describe(path: Path) -> list:
    """One table row about a built data set: returns and normalised level, ours and released."""
    data = load(path)
    facts, returns = data["provenance"], episode_returns(data)
    task, quality, known = facts["task"], facts["quality"], family(facts["task"])
    expert, random = constants(task)
    level = 100 * (returns.mean() - random) / (expert - random)  # nan where there is no expert
    arrays = data["arrays"]
    steps = int(arrays["filled"].sum()) if "filled" in arrays else len(arrays["rewards"])
    row = [task, quality, facts["seed"], facts["size"], steps, len(returns)]
    row += [f"{returns.mean():.2f}", f"{returns.std():.2f}", f"{level:.1f}"]
    ref, top, bottom = (known.released(task, name) for name in (quality, "expert", "random"))
    if ref is None:
        return [*row, "", ""]
    span = float(top["return_mean"]) - float(bottom["return_mean"])
    ref_level = 100 * (float(ref["return_mean"]) - float(bottom["return_mean"])) / span
    return [*row, f"{ref['return_mean']} +- {ref['return_sd']}", f"{ref_level:.1f}"]


HEADER = [
    "task",
    "quality",
    "seed",
    "size",
    "steps",
    "episodes",
    "return",
    "sd",
    "level",
    "released return",
    "released level",
]


def listed(paths: list[Path]) -> tuple[list[list], list[str]]:
    """Table rows of data sets, and what is wrong with those that cannot be loaded."""
    rows, problems = [], []
    for path in paths:
        try:
            rows.append(describe(path))
        except DataError as error:
            problems.append(str(error))
    return rows, problems


def check(path: Path) -> str | None:
    """What is wrong with a data set, or None: it must load, and its mean return must be its
    policy's.
    """
    try:
        data = load(path)
    except DataError as error:
        return str(error)
    returns = episode_returns(data)
    expected = family(data["provenance"]["task"]).expected_return(data["provenance"])
    if expected is None:
        return None
    mean, spread, episodes = expected
    spread = max(spread or 0.0, returns.std())
    margin = 5 * spread * (1 / len(returns) + 1 / episodes) ** 0.5
    if abs(returns.mean() - mean) > margin:
        return f"data set {path}: mean return {returns.mean():.2f}, expected {mean} +- {margin:.2f} as on the card"
    return None


def check_at(path: Path) -> str | None:
    """As `check`, of a file that must also lie where a data set belongs."""
    return check(path) if key_at(path) else f"{path} lies where no data set belongs; delete it"


def show(path: Path) -> None:
    """Prints statistics of one data set and draws a histogram of its returns beside the file."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    data = load(path)
    arrays, facts, returns = data["arrays"], data["provenance"], episode_returns(data)
    print(json.dumps(facts, indent=1))
    if "filled" in arrays:  # whole episodes, padded
        lengths, terminated = arrays["filled"].sum(1), int(arrays["terminated"].sum())
    else:
        lengths = np.diff(
            np.concatenate([[-1], np.flatnonzero(arrays["terminals"] | arrays["timeouts"])])
        )
        terminated = int(arrays["terminals"].sum())
    for what, values in (("return", returns), ("length", lengths)):
        quartiles = np.percentile(values, [0, 25, 50, 75, 100]).round(2).tolist()
        print(
            f"{what} mean {values.mean():.2f}, sd {values.std():.2f}; min, quartiles, max {quartiles}"
        )
    print(f"{int(lengths.sum())} steps, {len(returns)} episodes, {terminated} of them terminated")
    for key, values in arrays.items():
        print(f"  {key:24} {values.dtype} {list(values.shape)}")
    figure, axes = pyplot.subplots(figsize=(6, 3.5), layout="constrained")
    axes.hist(returns, bins=60)
    axes.set(
        xlabel="episode return",
        ylabel="episodes",
        title=f"{facts['task']} {facts['quality']}, seed {facts['seed']}",
    )
    picture = path.with_suffix(".png")
    with atomic(picture) as part:
        figure.savefig(part, format="png", dpi=120)
    print(f"histogram: {picture}")


def import_source(task: str, quality: str, source: str, say=print) -> Path:
    """Copies a real D4RL or Minari data set into our layout, validated; see `envs.mujoco.foreign`."""
    from envs.mujoco import data as mujoco
    from envs.mujoco import foreign

    kind, _, where = source.partition(":")
    if kind not in IMPORTED or not where:
        raise DataError(f"unknown source {source!r}, expected d4rl:DIR or minari:ID")
    path = data_path(task, quality, 0, kind)
    arrays, facts = foreign.read(task, quality, kind, where)
    mujoco.validate(Path(where), {key: values.copy() for key, values in arrays.items()}, facts)
    storage.write(path, arrays, facts)
    say(
        f"{len(arrays['rewards'])} steps of {task} {quality} from {source} in {path}; use them with size {kind!r}"
    )
    return path


def existing(tasks: list[str]) -> list[Path]:
    """Data sets in the cache folder, of these tasks or of all, those whose file is gone too."""
    sides = {path.with_suffix("") for path in data_folder().glob("*/*/*.h5.sha256")}
    paths = sorted(sides | {*data_folder().glob("*/*/*.h5")})
    return [path for path in paths if not tasks or path.parent.name in tasks]


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog=COMMAND, description=__doc__.split("\n\n")[0])
    commands = top.add_subparsers(dest="command", required=True)
    commands.add_parser("measure")
    for name in ("list", "build", "check", "train-behaviour"):
        command = commands.add_parser(name)
        command.add_argument("tasks", nargs="*", metavar="TASK")
        if name == "build":
            command.add_argument("--quality", nargs="+", help="by default all of a task")
            command.add_argument("--seeds", nargs="+", type=int, help="by default all of a task")
            command.add_argument("--size", default="quick", help=", ".join(SIZES))
            command.add_argument(
                "--jobs", type=int, help="processes; by default the number of cores"
            )
            command.add_argument(
                "--again", action="store_true", help="build them whatever is there"
            )
            command.add_argument(
                "--replay",
                choices=REPLAYS,
                default="snapshots",
                help="robots' replay data: from shipped snapshots (fast), or by running the training again (hours)",
            )
    for name in ("show", "import"):
        command = commands.add_parser(name)
        command.add_argument("task"), command.add_argument("quality")
        if name == "import":
            command.add_argument("--source", required=True, help="d4rl:DIR or minari:ID")
        else:
            (
                command.add_argument("--seed", type=int, default=0),
                command.add_argument("--size", default="quick"),
            )
    return top


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code: 0, 1 if a check failed, 2 on bad input."""
    from tabulate import tabulate

    args = parser().parse_args(arguments)
    try:
        for task in getattr(args, "tasks", []):
            family(task)
        if args.command == "list":
            rows, problems = listed(existing(args.tasks))
            print(tabulate(rows, HEADER))
            print("".join(f"{problem}\n" for problem in problems), end="")
            print(f"in {data_folder()}; tasks: {', '.join(TASKS)}")
        elif args.command == "build":
            work = []
            for task in args.tasks or TASKS:
                known = family(task)
                if not args.tasks and not known.ships(task):
                    print(
                        f"skipping {task}: its behaviour policies are not there; run `{COMMAND} train-behaviour {task}`"
                    )
                    continue
                options = {"again": args.again}
                if TASKS[task].name == "robots":
                    options["replay"] = args.replay
                for quality in args.quality or known.qualities(task):
                    data_path(task, quality, 0, args.size)
                    work.append(
                        (task, quality, args.seeds or known.seeds(task), args.size, options)
                    )
            build_all(work, args.jobs or os.cpu_count() or 1)
        elif args.command == "import":
            import_source(args.task, args.quality, args.source)
        elif args.command == "check":
            problems = [problem for path in existing(args.tasks) if (problem := check_at(path))]
            print("\n".join(problems) or f"{len(existing(args.tasks))} data sets are in order")
            return 1 if problems else 0
        elif args.command == "measure":
            measure()
        elif args.command == "show":
            show(data_path(args.task, args.quality, args.seed, args.size))
        else:
            for task in args.tasks or TASKS:
                family(task).train_behaviour(task)
    except (DataError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
