"""Data sets on the command line:

python -m envs.datasets list [TASK ...]
python -m envs.datasets build [TASK ...] [--quality Q ...] [--seeds 0 1 2] [--size quick]
    [--jobs 2] [--again] [--replay exact]
python -m envs.datasets import TASK QUALITY --source d4rl:DIR|minari:ID
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
from envs.datasets.building import Order, build_all
from envs.datasets.checks import HEADER, check_at, listed, show
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
    one["import"].add_argument("--source", required=True, help="d4rl:DIR or minari:ID")
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
    """Prints every data set that is there, and what is wrong with those that cannot be loaded."""
    rows, problems = listed(existing(args.tasks))
    print(tabulate(rows, HEADER))
    print("".join(f"{problem}\n" for problem in problems), end="")
    print(f"in {storage.data_folder()}; tasks: {', '.join(TASKS)}")
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
    """Copies a real D4RL or Minari data set into our layout."""
    import_source(args.task, args.quality, args.source)
    return 0


def import_source(task: str, quality: str, source: str, say=print) -> Path:
    """Copies a real D4RL or Minari data set into our layout, validated; see
    `envs.mujoco.foreign`.
    """
    from envs.mujoco import data as mujoco
    from envs.mujoco import foreign

    kind, _, where = source.partition(":")
    if kind not in IMPORTED or not where:
        raise DataError(f"unknown source {source!r}, expected d4rl:DIR or minari:ID")
    path = data_path(task, quality, 0, kind)
    arrays, facts = foreign.read(task, quality, kind, where)
    mujoco.validate(Path(where), {key: array.copy() for key, array in arrays.items()}, facts)
    storage.write(path, arrays, facts, importing_code())
    rows = f"{len(arrays['rewards'])} steps of {task} {quality}"
    say(f"{rows} from {source} in {path}; use them with size {kind!r}")
    return path


def check_data(args: argparse.Namespace) -> int:
    """Prints what is wrong with data sets; 1 if something is."""
    paths = existing(args.tasks)
    problems = [problem for path in paths if (problem := check_at(path))]
    print("\n".join(problems) or f"{len(paths)} data sets are in order")
    return 1 if problems else 0


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
