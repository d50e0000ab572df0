"""Data sets on the command line:

python -m envs.datasets list [TASK ...]
python -m envs.datasets build [TASK ...] [--quality Q ...] [--seeds 0 1 2] [--size quick]
    [--jobs 2] [--again] [--replay exact]
python -m envs.datasets import TASK QUALITY --source d4rl:DIR|minari:ID|omar:DIR
python -m envs.datasets check [TASK ...]
python -m envs.datasets show TASK QUALITY [--seed 0] [--size quick]
python -m envs.datasets measure
python -m envs.datasets train-behaviour [TASK ...]
"""

import argparse
import os
import sys
from pathlib import Path

from tabulate import tabulate

from common.running.options import JOBS, SEED, SEEDS, BadInput, CommandLine, checked, number
from envs import storage
from envs.datasets import comparison, statistics
from envs.datasets.building import Order, build_all
from envs.datasets.checks import HEADER, LEGEND, check_at, described, row_of, show, summary
from envs.datasets.keys import (
    COMMAND,
    IMPORTED,
    REPLAYS,
    SIZES,
    data_path,
    existing,
    family,
)
from envs.datasets.recipes import importing_code
from envs.datasets.sizes import measure
from envs.storage import DataError
from envs.tasks import TASKS, data_seeds


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code: 0, 1 if a check failed, 2 on bad input."""
    try:
        args = parser().parse_args(arguments)
        for task in getattr(args, "tasks", []):
            family(task)
        return COMMANDS[args.command](args)
    except (BadInput, DataError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def parser() -> CommandLine:
    """The command line."""
    top = CommandLine(
        prog=COMMAND, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = top.add_subparsers(dest="command", required=True)
    several = {
        name: commands.add_parser(name) for name in ("list", "build", "check", "train-behaviour")
    }
    for command in several.values():
        command.add_argument("tasks", nargs="*", metavar="TASK")
    add_building(several["build"])
    one = {name: commands.add_parser(name) for name in ("show", "import")}
    for command in one.values():
        command.add_argument("task")
        command.add_argument("quality")
    one["show"].add_argument("--seed", type=number, default=0)
    one["show"].add_argument("--size", default="quick")
    one["import"].add_argument("--source", required=True, help="d4rl:DIR, minari:ID or omar:DIR")
    commands.add_parser("measure")
    return top


def add_building(command: argparse.ArgumentParser) -> None:
    """The options of `build`."""
    command.add_argument("--quality", nargs="+", help="by default all of a task")
    command.add_argument("--seeds", nargs="+", type=number, help="by default all of a task")
    command.add_argument("--size", default="quick", help=", ".join(SIZES))
    command.add_argument("--jobs", type=number, help="processes; by default the number of cores")
    command.add_argument("--again", action="store_true", help="build them whatever is there")
    command.add_argument(
        "--replay",
        choices=REPLAYS,
        default="snapshots",
        help="robots' replay data: from shipped snapshots (fast), or by running the training "
        "again (hours)",
    )


def list_data(args: argparse.Namespace) -> int:
    """Prints ours beside the released data sets, and what is wrong with files that are there."""
    sets, problems = described(existing(args.tasks))
    shown = comparison.chosen(sets, args.tasks)
    print(tabulate([row_of(ours) for ours in shown], HEADER, disable_numparse=True))
    print(LEGEND)
    print("".join(f"{problem}\n" for problem in problems), end="")
    print(f"in {storage.data_folder()}; tasks: {', '.join(TASKS)}")
    print(summary(shown))
    return 0


def build_data(args: argparse.Namespace) -> int:
    """Builds what is missing, damaged or of another recipe."""
    if args.jobs is not None:
        checked("--jobs", args.jobs, JOBS)
    if args.seeds is not None:
        checked("--seeds", args.seeds, SEEDS)
    orders: list[Order] = []
    for task in args.tasks or TASKS:
        if args.tasks or family(task).ships(task):
            orders += orders_of(task, args)
        else:
            remedy = f"run `{COMMAND} train-behaviour {task}`"
            print(f"skipping {task}: its behaviour policies are not there; {remedy}")
    build_all(orders, args.jobs or os.cpu_count() or 1)
    return 0


def orders_of(task: str, args: argparse.Namespace) -> list[Order]:
    """What `build` was asked for of one task."""
    module = family(task)
    options = {"again": args.again}
    if TASKS[task].name == "robots":
        options["replay"] = args.replay
    qualities = args.quality or module.qualities(task)
    there = data_seeds(task)
    seeds = args.seeds or [*there]
    unknown = [seed for seed in seeds if seed not in there]
    if unknown:
        expected = ", ".join(map(str, there))
        raise DataError(f"unknown seeds {unknown} of {task}, expected some of: {expected}")
    for quality in qualities:
        data_path(task, quality, 0, args.size)  # raises for unknown names before anything is built
    return [Order(task, quality, seeds, args.size, options) for quality in qualities]


def import_data(args: argparse.Namespace) -> int:
    """Copies real data sets into our layout."""
    import_source(args.task, args.quality, args.source)
    return 0


def import_source(task: str, quality: str, source: str, say=print) -> list[Path]:
    """Copies real D4RL, Minari or OMAR data sets into our layout, validated; see
    `envs.mujoco.foreign` and `envs.omar_files`.

    Returns:
        their files, of OMAR's one for every seed that is there.
    """
    from envs import omar_files
    from envs.mujoco import foreign

    kind, _, where = source.partition(":")
    if kind not in IMPORTED or not where:
        expected = "d4rl:DIR, minari:ID or omar:DIR"
        raise DataError(f"unknown source {source!r}, expected {expected}")
    data_path(task, quality, 0, kind)  # raises for unknown names
    folder = Path(where)
    paths = []
    for seed in omar_files.seeds(task, quality, folder) if kind == "omar" else [0]:
        if kind == "omar":
            arrays, facts = omar_files.read(task, quality, folder, seed)
        else:
            arrays, facts = foreign.read(task, quality, kind, where)
        path = data_path(task, quality, seed, kind)
        complete = statistics.with_statistics(folder, arrays, facts)
        storage.write(path, complete, facts, importing_code(kind))
        rows = int(complete[f"{statistics.GROUP}/steps"][0])
        said = f"{rows} steps of {task} {quality}, seed {seed}, from {source} in {path}"
        say(f"{said}; use them with data_size={kind}")
        paths.append(path)
    return paths


def check_data(args: argparse.Namespace) -> int:
    """Prints what is wrong with data sets, and what of them, or of the cards, is off without a
    reason; 1 if something is.
    """
    paths = existing(args.tasks)
    problems = {path: problem for path in paths if (problem := check_at(path))}
    sets, _ = described([path for path in paths if path not in problems])
    lines = [*problems.values(), *comparison.unexplained(comparison.chosen(sets, args.tasks))]
    print("\n".join(lines) or f"{len(paths)} data sets are in order")
    return 1 if lines else 0


def show_data(args: argparse.Namespace) -> int:
    """Prints statistics of one data set."""
    checked("--seed", args.seed, SEED)
    show(data_path(args.task, args.quality, args.seed, args.size))
    return 0


def measure_data(args: argparse.Namespace) -> int:
    """Notes how large the data sets are that are there."""
    measure()
    return 0


def train_behaviour(args: argparse.Namespace) -> int:
    """Trains behaviour policies again from nothing."""
    for task in args.tasks or TASKS:
        family(task).train_behaviour(task)
    return 0


COMMANDS = {
    "list": list_data,
    "build": build_data,
    "import": import_data,
    "check": check_data,
    "show": show_data,
    "measure": measure_data,
    "train-behaviour": train_behaviour,
}
