"""The whole suite: what there is, what is done, running it, the report, and the comparison with the
reference.

Started by run_all.sh; `python -m common.suite --help` says the same as `./run_all.sh --help`.
"""

import argparse
import os
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from tabulate import tabulate

from common.reporting import (
    arrivals,
    claims,
    departures,
    export,
    findings,
    planning,
    readme,
    reference,
    report,
    script,
)
from common.reporting.catalogue import find
from common.reporting.tables import Table
from common.running import environment, executors, experiment, faults, work
from common.running.cells import PRESETS, runs_folder
from common.running.files import writable
from common.running.options import (
    JOBS,
    SEEDS,
    BadInput,
    CommandLine,
    check_seeds,
    checked,
    number,
)

EPILOG = (
    "exit codes: 0 done, 1 a cell failed, 2 bad input, 3 another command is writing these results, "
    "4 differs from the reference (diff), 128 and a signal's number where one ended it "
    "(129 SIGHUP, 130 Ctrl-C, 138 SIGUSR1, 141 SIGPIPE, 143 SIGTERM)"
)


@dataclass(frozen=True)
class Request:
    """What a command was asked for.

    Attributes:
        chosen: tables that --only names.
        preset, jobs, device, executor, force, to: the options.
        options: of the cells: seeds, where they were given.
    """

    chosen: list[Table]
    preset: str
    jobs: int | None
    device: str
    executor: str
    force: bool
    to: str
    options: dict


def run(request: Request) -> int:
    """Runs the suite; returns the exit code."""
    experiment.observers()  # what is wrong with them is said now, not after training
    experiment.tidy()
    tables = planning.headlines_first(request.chosen, request.preset, request.options)
    cells = planning.cells_of(tables, request.preset, request.options)
    if request.force:
        work.forget(cells)
    pages = arrivals.Arrivals(tables, request.preset, request.options)
    if request.executor == "local":
        title = f"suite, preset {request.preset}"
        failures = work.run(cells, request.jobs, request.device, title, pages.next)
    else:
        failures = executors.run(cells, request.executor, request.jobs, request.device)
    failures += pages.rest()
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    if writable(runs_folder()):
        print(f"report: {report.write(request.chosen)}")
    return 1 if failures else 0


def print_report(request: Request) -> int:
    """Writes the report."""
    print(report.write(request.chosen))
    return 0


def papers_of(tables: list[Table]) -> list[str]:
    """The papers that some tables are of, each once."""
    return list(dict.fromkeys(table.paper for table in tables))


def print_claims(request: Request) -> int:
    """Prints the claims of the chosen papers and how many hold; writes all as CSV."""
    lines = claims.ledger()
    path = runs_folder() / "claims.csv"
    claims.write(lines, path)
    widths: list[int | None] = [18, 44, 18, None, None, None, None, None, 16, 36]
    papers = papers_of(request.chosen)
    for paper in papers:
        rows = findings.claim_rows(lines, paper)
        print(f"\n{paper}\n{for_people(rows, findings.CLAIM_HEADER, widths)}")
    counts = claims.counts([line for line in lines if line.paper in papers])
    print(f"\n{for_people(counts, claims.COUNTS)}\n\n{path}")
    return 0


def print_departures(request: Request) -> int:
    """Prints the departures of the chosen papers; writes all as CSV."""
    lines = departures.ledger()
    path = runs_folder() / "departures.csv"
    departures.write(lines, path)
    for paper in papers_of(request.chosen):
        header, rows = departures.table_of(paper, lines)
        widths: list[int | None] = [26, *[34] * (len(header) - 3), 24, 40]
        print(f"\n{paper}\n{for_people(rows, header, widths)}")
    print(f"\n{path}")
    return 0


def for_people(rows: list[list], header: list[str], widths: list[int | None] | None = None) -> str:
    """A table on the screen, its cells wrapped to some widths.

    tabulate's own wrapping reads "10,000" as a number, whatever it is told, and fails.
    """
    limits = widths or [None] * len(header)
    text = [
        [wrapped(str(cell), limit) for cell, limit in zip(row, limits, strict=True)] for row in rows
    ]
    return tabulate(text, header, disable_numparse=True)


def wrapped(text: str, width: int | None) -> str:
    """Text in lines of at most this width."""
    return "\n".join(textwrap.wrap(text, width)) if width else text


def print_sizing(request: Request) -> int:
    """Prints what preset paper takes."""
    print(for_people(planning.sizing_rows(request.chosen), planning.SIZING))
    print(f"\n{planning.SIZING_NOTE}")
    return 0


def print_exports(request: Request) -> int:
    """Exports learning curves and prints the files."""
    paths = export.run(request.chosen, request.preset, request.to)
    nothing = f"nothing has been run at preset {request.preset}"
    print("\n".join(map(str, paths)) or nothing)
    for note in export.notes(request.chosen, request.preset):
        print(note, file=sys.stderr)
    return 0


def fill_readmes(request: Request) -> int:
    """Fills the tables of the READMEs and notes from the committed reference."""
    for path in readme.write():
        print(path)
    return 0


class Command(NamedTuple):
    """A command of run_all.sh.

    Attributes:
        go: does it; returns the exit code.
        says: what it does.
        takes: flags that it has a use for.
    """

    go: Callable[[Request], int]
    says: str
    takes: tuple[str, ...] = ()


CHOOSING = ("--only", "--preset")
RUNNING = (
    *CHOOSING,
    "--jobs",
    "--device",
    "--executor",
    "--seeds",
    "--list",
    "--dry-run",
    "--force",
)
COMMANDS = {
    "run": Command(run, "run everything that is not done, at a preset; the default", RUNNING),
    "report": Command(
        print_report, "write report.html and report.md from what has been run", ("--only",)
    ),
    "claims": Command(
        print_claims, "the verdict on every claim of the papers, also as CSV", ("--only",)
    ),
    "departures": Command(
        print_departures,
        "what differs from the papers' texts and codes, with measured effects, also as CSV",
        ("--only",),
    ),
    "sizing": Command(
        print_sizing,
        "what preset paper takes on machines of several sizes, and what dominates",
        ("--only",),
    ),
    "export": Command(
        print_exports,
        "learning curves for marl-eval, or for TensorBoard (--to tensorboard)",
        (*CHOOSING, "--to"),
    ),
    "diff": Command(
        lambda request: reference.diff(request.chosen, request.preset),
        "compare with the committed reference and the published numbers; exit 4 on a difference",
        CHOOSING,
    ),
    "accept": Command(
        lambda request: reference.accept(request.chosen, request.preset),
        "copy this preset's finished results into results/reference",
        CHOOSING,
    ),
    "adopt": Command(
        lambda request: reference.adopt(request.chosen, request.preset),
        "take the reference's finished cells as already run here, where code and settings match",
        CHOOSING,
    ),
    "readme": Command(
        fill_readmes, "fill the tables of the READMEs and notes from results/reference"
    ),
}


def usage() -> str:
    """All commands, a line each."""
    rows = [(name, command.says) for name, command in COMMANDS.items()]
    rows.append(("test", "run the tests"))
    lines = [f"./run_all.sh {name:<12}{says}" for name, says in rows]
    return "\n".join(["./run_all.sh [command] [options]", "", *lines, ""])


def parser() -> CommandLine:
    """The command line."""
    words = CommandLine(
        prog="./run_all.sh",
        usage=usage(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        epilog=EPILOG,
    )
    option = words.add_argument
    sizes = "smoke: seconds a script; quick: minutes; standard: hours; paper: hours to months"
    named = "scripts by name, as 'omar/table*'; several --only add up"
    option("command", nargs="?", default="run", choices=COMMANDS)
    option("--preset", choices=PRESETS, help=f"{sizes}; default: quick")
    option("--only", action="append", metavar="PATTERN", help=named)
    processes = "processes of one thread each; default: cores, 1 on a GPU"
    option("--jobs", type=number, help=processes)
    picked = "default: auto, a GPU where torch finds one"
    option("--device", choices=("auto", "cpu", "cuda"), help=picked)
    executor = "local processes, ray (a cluster) or slurm (through submitit)"
    option("--executor", choices=executors.EXECUTORS, help=executor)
    option("--seeds", metavar="0,1,2", help="seeds instead of the preset's")
    option("--to", choices=export.FORMATS, help="of export: marl-eval (default) or tensorboard")
    listed = "what there is, its state, and the time it takes per preset"
    option("--list", action="store_true", help=listed)
    option("--dry-run", action="store_true", help="say what would run, and for how long")
    option("--force", action="store_true", help="run again what is done")
    return words


def read(args: argparse.Namespace) -> Request:
    """The request of a command line.

    Raises:
        ValueError: an option has an impossible value, or is none of the command's.
    """
    check_flags(args)
    patterns = args.only or ["*"]
    named = {table.slot: table for pattern in patterns for table in find(pattern)}
    chosen = list(named.values())
    options = {}
    if args.seeds is not None:
        seeds = [number(word) for word in args.seeds.split(",")]
        if not all(isinstance(seed, int) for seed in seeds):
            expected = "whole numbers with commas between, as 0,1,2"
            raise BadInput(f"--seeds is {args.seeds!r}, expected {expected}")
        options["seeds"] = checked("--seeds", seeds, SEEDS)
        check_seeds(options["seeds"])
    if args.jobs is not None:
        checked("--jobs", args.jobs, JOBS)
    device = args.device or "auto"
    executor = args.executor or "local"
    work.pick_device(device)
    executors.available(executor)
    if executor == "local":
        script.note_jobs(args.jobs)
    return Request(
        chosen,
        args.preset or "quick",
        args.jobs,
        device,
        executor,
        args.force,
        args.to or "marl-eval",
        options,
    )


def check_flags(args: argparse.Namespace) -> None:
    """Raises BadInput for a flag that the command has no use for."""
    optional = {*RUNNING, *(flag for command in COMMANDS.values() for flag in command.takes)}
    given = vars(args)
    for flag in sorted(optional - {*COMMANDS[args.command].takes}):
        if given[flag.strip("-").replace("-", "_")] not in (None, False):
            users = [name for name, command in COMMANDS.items() if flag in command.takes]
            only = f"only {users[0]} has" if len(users) == 1 else f"but {work.several(users)} have"
            raise BadInput(f"{args.command} has no use for {flag}, {only}")


def answer(arguments: list[str] | None) -> int:
    """Does what a command line says; returns the exit code."""
    args = parser().parse_args(arguments)
    request = read(args)
    if args.list:
        planning.list_suite(request.chosen, request.preset, request.options)
        return 0
    if args.dry_run:
        planning.plan(request.chosen, request.preset, request.options)
        return 0
    return COMMANDS[args.command].go(request)


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code, after one sentence where something is wrong."""

    def go() -> int:
        environment.check()
        return answer(arguments)

    return faults.exit_code(go, "the same command continues where it was")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
