"""Carries finished results over a change of code that changes no number, with evidence.

    python -m common.running.equivalence COMMIT [--only 'omar/*'] [--rounding 1e-3]

A result is stale once the code that decided its numbers has changed. Most changes in a growing
repository (a function moved, an option added) change none, and paper-scale results took hours. This
command runs every smoke cell with the code of COMMIT and with the present code, compares all
numbers bit for bit, and where all are equal records which code is equivalent to which in
results/reference/equivalences.json. `common.running.cells.state` then takes results of the old code
as results of the present one.

A change of the order of arithmetic (a faster kernel) changes the last bits of every number. With
`--rounding X` it is enough that 95 % of all numbers agree to X, relative to the larger one or to 1:
not all can, as an agent that touches another one a step earlier gets another return. The record
says that the numbers are not equal, and how far they are apart. It is the same difference as
between two processors, which results of one table already have.
"""

import argparse
import datetime
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from common.running.files import write_json
from common.running.provenance import EQUIVALENCES, ROOT, machine

MAKING = (
    "code",
    "versions",
    "machine",
    "seconds",
    "config",
    "config_hash",
    "recipe",
    "trained_with",
)  # not numbers
SHARE = 0.95  # of the numbers that have to agree to rounding


def run_smoke(tree: Path, folder: Path, only: str) -> dict[str, dict]:
    """Every smoke cell's result with the code of a tree, by slot; data sets are built by that tree
    too.
    """
    environment = os.environ | {
        "PYTHONPATH": str(tree),
        "OMZ_RESULTS": str(folder / "results"),
        "OMZ_DATA": str(folder / "data"),
        "OMP_NUM_THREADS": "1",
        "PYTHONWARNINGS": "ignore",
    }
    command = [sys.executable, "-m", "common.suite", "--preset", "smoke", "--only", only]
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(
            f"the smoke suite of {tree} failed with exit code {done.returncode}:\n{done.stderr[-2000:]}"
        )
    results = [
        json.loads(path.read_text())
        for path in (folder / "results" / "smoke").glob("*/cells/*.json")
    ]
    return {f"{result['paper']}: {result['slot']}": result for result in results}


def added(old: dict, new: dict, prefix: str = "") -> dict[str, object]:
    """Keys of configuration `new` that `old` lacks, nested ones joined by dots, with their values.

    Raises:
        ValueError: a key is gone, or has another value.
    """
    extra = {}
    for key, value in new.items():
        name = f"{prefix}{key}"
        if key not in old:
            extra[name] = value
        elif isinstance(value, dict):
            extra |= added(old[key], value, f"{name}.")
        elif old[key] != value:
            raise ValueError(f"{name} was {old[key]!r} and is {value!r}")
    gone = [key for key in old if key not in new]
    if gone:
        raise ValueError(f"{prefix}{gone[0]} is gone")
    return extra


def distances(old, new) -> list[float]:
    """Differences of two results' numbers, each relative to the larger of both and 1; infinite
    where anything else differs.
    """
    if isinstance(old, dict) and isinstance(new, dict) and old.keys() == new.keys():
        return [apart for key in old for apart in distances(old[key], new[key])]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [apart for pair in zip(old, new, strict=True) for apart in distances(*pair)]
    if old == new:
        return [0.0] if isinstance(old, float) else []
    if isinstance(old, float) and isinstance(new, float) and math.isfinite(old - new):
        return [abs(old - new) / max(1.0, abs(old), abs(new))]
    return [math.inf]


def compare(
    old: dict[str, dict], new: dict[str, dict], rounding: float = 0.0
) -> tuple[dict, dict, dict]:
    """Changed code {file: [old hash, new hash]}, added configuration {key: value}, and the
    evidence.

    Args:
        rounding: how far apart numbers may be, all but SHARE of them; above 0, the bytes of data
            sets may differ too.

    Returns:
        The evidence: how many smoke cells were compared and how many are equal, how many numbers,
            how many of them agree
        to `rounding`, and the largest difference.

    Raises:
        ValueError: numbers, a data set or a configuration differ; the message says where.
    """
    code, extra, equal, apart = {}, {}, 0, {}
    for slot, before in old.items():
        if slot not in new:
            raise ValueError(f"{slot} is not there any more")
        after = new[slot]
        extra |= added(before["config"], after["config"])
        for name in {*before["code"], *after["code"]}:
            pair = [before["code"].get(name), after["code"].get(name)]
            if (
                pair[0] != pair[1] and code.get(name, [None])[0] is None
            ):  # None: not a source of this cell before, maybe of others
                code[name] = pair
        if before["config"].get("timing"):
            continue  # a measurement, never twice the same
        apart[slot] = []
        for key in sorted({*before, *after} - {*MAKING} - ({"data"} if rounding else set())):
            apart[slot] += (found := distances(before.get(key), after.get(key)))
            if math.inf in found or (not rounding and any(found)):
                raise ValueError(f"{slot}: {key} differs")
        equal += max(apart[slot]) == 0
    if not apart:
        raise ValueError("no cell was compared")
    numbers = [value for values in apart.values() for value in values]
    within = sum(value <= rounding for value in numbers)
    if within < SHARE * len(numbers):
        worst = max(apart, key=lambda slot: max(apart[slot]))
        raise ValueError(
            f"only {within} of {len(numbers)} numbers agree to {rounding}; {worst} differs most, by {max(numbers):.1e}"
        )
    evidence = {
        "smoke_cells": len(apart),
        "smoke_cells_equal": equal,
        "numbers": len(numbers),
        "agree": within,
        "to": rounding,
        "largest_difference": max(numbers),
    }
    return code, extra, evidence


def main(arguments: list[str] | None = None) -> int:
    """Command line; 0 if equivalent, 1 if not, 2 on bad input."""
    parser = argparse.ArgumentParser(
        prog="python -m common.running.equivalence", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("commit", help="whose code made the results")
    parser.add_argument("--only", default="*", help="scripts, as for run_all.sh")
    parser.add_argument(
        "--rounding", type=float, default=0.0, help="relative difference that numbers may have"
    )
    args = parser.parse_args(arguments)
    commit = subprocess.run(
        ["git", "rev-parse", args.commit], cwd=ROOT, capture_output=True, text=True
    )
    if commit.returncode:
        print(f"error: no commit {args.commit!r} in this repository", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tree = folder / "tree"
        subprocess.run(
            ["git", "worktree", "add", "-q", "--detach", tree, commit.stdout.strip()],
            cwd=ROOT,
            check=True,
        )
        try:
            old = run_smoke(tree, folder / "old", args.only)
            new = run_smoke(ROOT, folder / "new", args.only)
            code, extra, evidence = compare(old, new, args.rounding)
        except (RuntimeError, ValueError) as error:
            print(f"not equivalent: {error}", file=sys.stderr)
            return 1
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", tree], cwd=ROOT, check=True)
    record = {
        "from": commit.stdout.strip(),
        "only": args.only,
        "code": code,
        "added_config": extra,
        "evidence": evidence,
        "date": datetime.date.today().isoformat(),
        "machine": machine("cpu"),
    }
    known = json.loads(EQUIVALENCES.read_text()) if EQUIVALENCES.exists() else []
    write_json(EQUIVALENCES, [*known, record])
    print(f"{evidence}; {len(code)} files changed: {', '.join(sorted(code)) or 'none'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
