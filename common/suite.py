"""The whole suite: what there is, what is done, running it, the report, and the comparison with the
reference.

Started by run_all.sh; `python -m common.suite --help` says the same as `./run_all.sh --help`.
"""

import argparse
import fnmatch
import importlib
import math
import os
import sys
from pathlib import Path

from tabulate import tabulate

from common.reporting import claims, departures, export, planning, report, scores, tables
from common.reporting.tables import PRESETS, REFERENCE, Table
from common.running import executors, experiment, work
from common.running.cells import runs_folder
from common.running.files import sweep, write_text
from common.running.provenance import ROOT

PATTERNS = ("table*.py", "figure*.py", "ablation_*.py", "runtime.py", "claims*.py")
USAGE = """\
./run_all.sh [options]            run the suite: everything that is not done, at a preset
./run_all.sh report               write results/runs/report.html and report.md from what has been run
./run_all.sh claims               print the verdict on every claim of the papers, write it to results/runs/claims.csv
./run_all.sh departures           print what differs from the papers' texts and codes, with measured effects; write it as CSV
./run_all.sh sizing               what preset paper takes on machines of several sizes, and what dominates
./run_all.sh export               learning curves for marl-eval, or for TensorBoard (--to tensorboard)
./run_all.sh diff                 compare with the committed reference and the published numbers; exit 4 on a difference
./run_all.sh accept               copy this preset's finished results into results/reference
./run_all.sh adopt                take the reference's finished cells as already run here (code and settings must match)
./run_all.sh test                 run the tests
"""


COMMANDS = ("run", "report", "claims", "departures", "sizing", "export", "diff", "accept", "adopt")


def find(pattern: str = "*") -> list[Table]:
    """Tables whose name paper/script matches, in the order of papers and scripts.

    Raises:
        BadInput: nothing matches.
    """
    paths = [path for glob in PATTERNS for path in sorted((ROOT / "papers").glob(f"*/{glob}"))]
    paths.sort(key=lambda path: (path.parent.name, *natural(path.stem)))
    names = {f"{path.parent.name}/{path.stem}": path for path in paths}
    wanted = [
        name
        for name in names
        if fnmatch.fnmatch(name, pattern) or fnmatch.fnmatch(name.split("/")[0], pattern)
    ]
    if not wanted:
        raise experiment.BadInput(
            f"no script matches {pattern!r}; {experiment.nearest(pattern, names)}"
        )
    modules = [importlib.import_module(f"papers.{name.replace('/', '.')}") for name in wanted]
    return [
        module.TABLE for module in modules if hasattr(module, "TABLE")
    ]  # a claims.py may be a ledger only


def natural(stem: str) -> tuple:
    """Sort key: tables, then figures, then the rest, numbers as numbers."""
    kind = next((i for i, word in enumerate(("table", "figure")) if stem.startswith(word)), 2)
    digits = "".join(c for c in stem if c.isdigit())
    return kind, int(digits or 0), stem


def run(chosen: list[Table], args, options: dict) -> int:
    """Runs the suite; returns the exit code."""
    experiment.observers()  # what is wrong with them is said now, not after training
    sweep(runs_folder())
    cells = planning.cells_of(chosen, args.preset, options)
    if args.force:
        work.forget(cells)
    if args.executor == "local":
        failures = work.run(cells, args.jobs, args.device, f"suite, preset {args.preset}")
    else:
        failures = executors.run(cells, args.executor, args.jobs, args.device)
    code = 1 if failures else 0
    for table in chosen:
        code = max(
            code,
            tables.run(table, args.preset, options, jobs=1, device=args.device)
            if not failures
            else 0,
        )
        print()
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    print(f"report: {write_report(chosen)}")
    return code


def write_report(chosen: list[Table]) -> Path:
    """Writes the HTML and Markdown report over all presets that have results; returns the HTML's
    path.
    """
    html, markdown = report.build(chosen)
    write_text(runs_folder() / "report.md", markdown)
    write_text(runs_folder() / "report.html", html)
    return runs_folder() / "report.html"


def print_claims() -> None:
    """Prints the claims ledger and how many claims hold; writes it as CSV."""
    rows = claims.ledger()
    claims.write(rows, runs_folder() / "claims.csv")
    for paper in claims.PAPERS:
        shown, widths = report.claim_rows(rows, paper), [22, 52, 20, None, None, None, None, 30]
        print(
            f"\n{paper}\n{tabulate(shown, report.CLAIM_HEADER, disable_numparse=True, maxcolwidths=widths)}"
        )
    print(
        f"\n{tabulate(claims.counts(rows), ['paper', 'preset', *claims.VERDICTS])}\n\n{runs_folder() / 'claims.csv'}"
    )


def print_departures() -> None:
    """Prints the departures ledger; writes it as CSV."""
    rows = departures.ledger()
    departures.write(rows, runs_folder() / "departures.csv")
    for paper in claims.PAPERS:
        header, shown = departures.table_of(paper, rows)
        widths = [26, *[34] * (len(header) - 3), 24, 40]
        print(f"\n{paper}\n{tabulate(shown, header, disable_numparse=True, maxcolwidths=widths)}")
    print(f"\n{runs_folder() / 'departures.csv'}")


def differs(ours: list[float], theirs: list[float]) -> bool:
    """Whether two samples of seeds differ beyond three standard errors of the difference of their
    means.
    """
    if sorted(ours) == sorted(theirs):
        return False
    a, b = scores.summary(ours), scores.summary(theirs)
    if a["mean"] is None or b["mean"] is None:
        return a["mean"] is not b["mean"]
    error = math.hypot(scores.standard_error(a), scores.standard_error(b))
    return abs(a["mean"] - b["mean"]) > 3 * max(error, 1e-6) if math.isfinite(error) else False


def diff(chosen: list[Table], preset: str) -> int:
    """Compares fresh results with the committed reference; returns 4 if an entry differs or is
    gone, else 0.
    """
    regressions, compared = [], 0
    for table in chosen:
        reference = REFERENCE / preset / table.paper / f"{table.name}.seeds.csv"
        fresh = runs_folder() / preset / table.paper / f"{table.name}.seeds.csv"
        if not reference.exists() or not fresh.exists():
            what = "no committed reference" if not reference.exists() else "not run yet"
            print(f"{table.slot}: {what} at preset {preset}")
            continue
        known, new = tables.read_seeds(reference), tables.read_seeds(fresh)
        published = table.published()
        rows = []
        for key, values in known.items():
            ours = list(new.get(key, {}).values())
            bad = not ours or differs(ours, list(values.values()))
            same = new.get(key) == values
            compared += 1
            regressions += [f"{table.slot} {key[0]} {key[1]}"] if bad else []
            mean = scores.summary(ours)["mean"] if ours else None
            old = scores.summary(list(values.values()))["mean"]
            word = (
                "gone" if not ours else "DIFFERS" if bad else "identical" if same else "consistent"
            )
            d = table.decimals
            theirs = published.get(key, (None,))[0]
            rows.append(
                [
                    *key,
                    tables.number(theirs, d),
                    tables.number(old, d),
                    tables.number(mean, d),
                    word,
                ]
            )
        header = ["row", "column", "published", "reference", "fresh", "verdict"]
        print(f"\n{table.slot}\n{tabulate(rows, header, disable_numparse=True)}")
    print(f"\n{compared} entries compared, {len(regressions)} differ from the reference")
    return 4 if regressions else 0


def accept(chosen: list[Table], preset: str) -> int:
    """Copies finished tables (CSV and JSON) into results/reference; refuses tables with cells that
    are not done.

    At preset paper, where cells take hours, a table in progress is accepted too: its open entries
    stay empty and its JSON says which cells are missing. The finished cells themselves are kept as
    well, for `adopt`.
    """
    refused = 0
    for table in chosen:
        if table.unavailable:
            continue
        counts = planning.states(table, preset, {})
        partial = preset == "paper" and counts["done"]
        if (counts["missing"] or counts["stale"]) and not partial:
            print(
                f"{table.slot}: not accepted, {counts['missing']} cells missing and {counts['stale']} stale at {preset}"
            )
            refused += 1
            continue
        shown = tables.show(table, preset, {})
        if all(item["state"] != "done" for item in shown):
            print(f"{table.slot}: not accepted, no entry is complete at {preset}")
            continue
        tables.write(table, preset, {}, shown)
        for kind in ("csv", "seeds.csv", "curves.csv", "json"):
            source = runs_folder() / preset / table.paper / f"{table.name}.{kind}"
            if source.exists():
                write_text(REFERENCE / preset / table.paper / source.name, source.read_text())
        print(f"{table.slot}: accepted, {counts['done']} of {sum(counts.values())} cells done")
    claims.write(claims.ledger(sources=(REFERENCE,)), REFERENCE / "claims.csv")
    departures.write(departures.ledger(sources=(REFERENCE,)), REFERENCE / "departures.csv")
    if preset == "paper":
        for cell in planning.cells_of(chosen, preset):
            if work.paper(cell.paper).state(cell) == "done":
                write_text(
                    REFERENCE / preset / cell.paper / "cells" / cell.path.name,
                    cell.path.read_text(),
                )
    return 1 if refused else 0


def adopt(chosen: list[Table], preset: str) -> int:
    """Copies reference cells into the results folder where there is none; stale ones stay stale
    there.
    """
    cells, taken = planning.cells_of(chosen, preset), 0
    for cell in cells:
        source = REFERENCE / preset / cell.paper / "cells" / cell.path.name
        if source.exists() and not cell.path.exists():
            write_text(cell.path, source.read_text())
            taken += work.paper(cell.paper).state(cell) == "done"
    print(f"{taken} of {len(cells)} cells taken from the reference as done")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Command line; see USAGE."""
    parser = argparse.ArgumentParser(
        prog="./run_all.sh",
        usage=USAGE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        epilog="exit codes: 0 done, 1 a cell failed, 2 bad input, 3 another command is writing these results, "
        "4 differs from the reference (diff), 130 and 143 interrupted",
    )
    parser.add_argument("command", nargs="?", default="run", choices=COMMANDS)
    parser.add_argument(
        "--preset",
        default="quick",
        choices=PRESETS,
        help="smoke: seconds a script; quick: minutes; paper: hours",
    )
    parser.add_argument(
        "--only", default="*", metavar="PATTERN", help="scripts by name, for example 'omar/table*'"
    )
    parser.add_argument(
        "--jobs",
        type=int,
        help="processes of one thread each; default: the number of cores, 1 on a GPU",
    )
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument(
        "--executor",
        default="local",
        help="local processes, ray (a cluster) or slurm (through submitit)",
    )
    parser.add_argument("--seeds", metavar="0,1,2", help="seeds instead of the preset's")
    parser.add_argument("--to", default="marl-eval", help="of export: marl-eval or tensorboard")
    parser.add_argument(
        "--list",
        action="store_true",
        help="what there is, its state, and the time it takes per preset",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would run, and for how long"
    )
    parser.add_argument("--force", action="store_true", help="run again what is done")
    args = parser.parse_args(arguments)
    try:
        if args.jobs is not None and args.jobs < 1:
            raise experiment.BadInput(f"--jobs is {args.jobs}, expected 1 or more")
        chosen = find(args.only)
        if args.seeds and not all(word.isdecimal() for word in args.seeds.split(",")):
            raise experiment.BadInput(
                f"--seeds is {args.seeds!r}, expected whole numbers with commas between, as 0,1,2"
            )
        options = {"seeds": [int(word) for word in args.seeds.split(",")]} if args.seeds else {}
        work.pick_device(args.device)
        executors.available(args.executor)
        if args.list:
            planning.list_suite(chosen, args.preset, options)
        elif args.dry_run:
            planning.plan(chosen, args.preset, options)
        elif args.command == "report":
            print(write_report(chosen))
        elif args.command == "claims":
            print_claims()
        elif args.command == "departures":
            print_departures()
        elif args.command == "sizing":
            print(tabulate(planning.sizing_rows(chosen), planning.SIZING, disable_numparse=True))
            print(f"\n{planning.SIZING_NOTE}")
        elif args.command == "export":
            print(
                "\n".join(map(str, export.run(chosen, args.preset, args.to)))
                or f"nothing has been run at preset {args.preset}"
            )
        elif args.command == "diff":
            return diff(chosen, args.preset)
        elif args.command == "accept":
            return accept(chosen, args.preset)
        elif args.command == "adopt":
            return adopt(chosen, args.preset)
        else:
            return run(chosen, args, options)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except work.Busy as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt as stop:
        print("\ninterrupted; the same command continues where it was", file=sys.stderr)
        return getattr(stop, "code", 130)
    return 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
