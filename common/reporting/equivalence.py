"""Carries finished results over a change of code that changes no number, with evidence.

    python -m common.reporting.equivalence COMMIT

A result is stale once the code that decided its numbers has changed. Most changes in a growing
repository (a function moved, an option added) change none, and paper-scale results took hours. This
command runs every script whose numbers changed files can decide, at preset smoke, with the code of
COMMIT and with the present code, compares all numbers bit for bit, and where all are equal records
which code is equivalent to which, from which commit to which, in
results/reference/equivalences.json. `common.running.cells.state` then takes results of the old code
as results of the present one. Cells whose data sets say that they are others now are stale whatever
their code, and are not compared.
"""

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
from fnmatch import fnmatch
from pathlib import Path

from common.reporting import catalogue
from common.running import work
from common.running.files import write_json
from common.running.provenance import EQUIVALENCES, commit, machine, recorded_equivalences
from common.running.sources import ROOT, closure

MAKING = (
    "format",
    "content_hash",
    "code",
    "commit",
    "versions",
    "machine",
    "seconds",
    "config",
    "config_hash",
    "recipe",
    "trained_with",
)  # not numbers


# Modules that are in no cell's code, but say what of it a cell is made with
CHOOSING = ("envs/tasks.py", *(f"papers/*/{name}.py" for name in ("config", "data", "experiment")))
PARTS = ("common/", "envs/", "papers/")
UNREAD = (".py", ".c", ".md")  # by code; others are shipped policies and tables


def changed_since(before: str) -> set[str]:
    """Files of the repository that are others than at a commit, or new."""
    changed: set[str] = set()
    for command in (
        ["git", "diff", "--name-only", before],
        ["git", "ls-files", "--others", "--exclude-standard"],
    ):
        said = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        changed |= {*said.stdout.splitlines()}
    return changed


def touched(changed: set[str]) -> list[str]:
    """Scripts whose numbers changed files can decide: by the code of a smoke cell, by choosing it
    (`CHOOSING`), or as a file that such code reads.

    Code that only the old tree had was named by files that are others now.
    """
    read = {name for name in changed if name.startswith(PARTS) and not name.endswith(UNREAD)}
    chosen = {name for name in changed if any(fnmatch(name, pattern) for pattern in CHOOSING)}
    everywhere = any(name.startswith(("common/", "envs/")) for name in read | chosen)
    found = []
    for table in catalogue.find():
        roots = work.paper(table.paper).roots
        files = {name for cell in table.cells("smoke") for name in closure(roots(cell))}
        own = any(name.startswith(f"papers/{table.paper}/") for name in read | chosen)
        if everywhere or own or changed & files:
            found.append(f"{table.paper}/{table.name}")
    return found


def run_smoke(tree: Path, folder: Path, scripts: list[str]) -> dict[str, dict]:
    """The results of some scripts' smoke cells with the code of a tree, by slot; data sets are
    built by that tree too. Scripts that it does not have are passed over.
    """
    there = [script for script in scripts if (tree / "papers" / f"{script}.py").exists()]
    if not there:
        return {}
    environment = os.environ | {
        "PYTHONPATH": str(tree),
        "OMZ_RESULTS": str(folder / "results"),
        "OMZ_DATA": str(folder / "data"),
        "OMP_NUM_THREADS": "1",
        "PYTHONWARNINGS": "ignore",
    }
    command = [sys.executable, "-m", "common.suite", "--preset", "smoke"]
    for script in there:
        command += ["--only", script]
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
    if done.returncode:
        said = done.stderr[-2000:]
        raise RuntimeError(
            f"the smoke suite of {tree} failed with exit code {done.returncode}:\n{said}"
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
    extra: dict[str, object] = {}
    for key, value in new.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            extra |= added(old.get(key, {}), value, f"{name}.")
        elif key not in old:
            extra[name] = value
        elif old[key] != value:
            raise ValueError(f"{name} was {old[key]!r} and is {value!r}")
    gone = [key for key in old if key not in new]
    if gone:
        raise ValueError(f"{prefix}{gone[0]} is gone")
    return extra


def count(value) -> int:
    """Numbers in a result."""
    if isinstance(value, dict):
        return sum(map(count, value.values()))
    if isinstance(value, list):
        return sum(map(count, value))
    return isinstance(value, float)


def changed_code(old: dict[str, dict], new: dict[str, dict]) -> dict[str, list[str | None]]:
    """[old hash, new hash] of files that changed, or that became or ceased to be sources of a cell;
    None where no cell has the file.
    """
    before: dict[str, str] = {}
    after: dict[str, str] = {}
    moved: set[str] = set()
    for slot, result in old.items():
        before |= result["code"]
        after |= new[slot]["code"]
        moved |= result["code"].keys() ^ new[slot]["code"].keys()
    names = moved | {name for name in before if before[name] != after.get(name)}
    return {name: [before.get(name), after.get(name)] for name in sorted(names)}


def changed_data(old: dict[str, dict], new: dict[str, dict]) -> dict[str, list[str]]:
    """[old hash, new hash] of the code that builds the data sets of each task, where it changed."""
    changed = {}
    for slot, result in old.items():
        for run, recipe in result.get("recipe", {}).items():
            pair = [recipe.partition(".")[2], new[slot]["recipe"][run].partition(".")[2]]
            if pair[0] != pair[1]:
                changed[result["config"]["task"]] = pair
    return changed


def same_data(before: dict, after: dict) -> bool:
    """Whether two results are of data sets that say the same of themselves, whatever code built
    them: what a recipe has before its dot.
    """
    said, now = (
        {run: recipe.partition(".")[0] for run, recipe in result.get("recipe", {}).items()}
        for result in (before, after)
    )
    return said == now


def compare(old: dict[str, dict], new: dict[str, dict]) -> dict:
    """The record of two trees' results by slot, which must be equal to the bit: `code` and
    `data_code` that changed, `added_config` {key: value}, and the `evidence`, how many cells and
    numbers were compared.

    Raises:
        ValueError: numbers, a data set or a configuration differ, or a new option has not the same
            value everywhere; the message says where.
    """
    extra: dict[str, object] = {}
    compared = [
        slot
        for slot, before in old.items()
        if not before["config"].get("timing") and (slot not in new or same_data(before, new[slot]))
    ]
    for slot, before in old.items():
        if slot not in new:
            raise ValueError(f"{slot} is not there any more")
        for name, value in added(before["config"], new[slot]["config"]).items():
            if extra.setdefault(name, value) != value:
                raise ValueError(f"{slot}: {name} is {value!r}, elsewhere {extra[name]!r}")
    for slot in compared:  # a measurement is never twice the same
        for key in sorted({*old[slot], *new[slot]} - {*MAKING}):
            if old[slot].get(key) != new[slot].get(key):
                raise ValueError(f"{slot}: {key} differs")
    if not compared:
        raise ValueError("no cell was compared")
    numbers = sum(count(value) for slot in compared for value in old[slot].values())
    return {
        "code": changed_code(old, new),
        "data_code": changed_data(old, new),
        "added_config": extra,
        "evidence": {"smoke_cells": len(compared), "numbers": numbers},
    }


def main(arguments: list[str] | None = None) -> int:
    """Command line; 0 if equivalent, 1 if not, 2 on bad input."""
    parser = argparse.ArgumentParser(
        prog="python -m common.reporting.equivalence", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("commit", help="whose code made the results")
    args = parser.parse_args(arguments)
    known = subprocess.run(
        ["git", "rev-parse", args.commit], cwd=ROOT, capture_output=True, text=True
    )
    if known.returncode:
        print(f"error: no commit {args.commit!r} in this repository", file=sys.stderr)
        return 2
    before = known.stdout.strip()
    now = commit()
    scripts = touched(changed_since(before))
    if not scripts:
        print(f"nothing that decides a script's numbers has changed since {args.commit}")
        return 0
    print(f"running at preset smoke, twice: {', '.join(scripts)}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tree = folder / "tree"
        subprocess.run(
            ["git", "worktree", "add", "-q", "--detach", tree, before],
            cwd=ROOT,
            check=True,
        )
        try:
            old = run_smoke(tree, folder / "old", scripts)
            new = run_smoke(ROOT, folder / "new", scripts)
            record = compare(old, new)
        except (RuntimeError, ValueError) as error:
            print(f"not equivalent: {error}", file=sys.stderr)
            return 1
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", tree], cwd=ROOT, check=True)
    record = {
        "from": before,
        "to": now,
        **record,
        "date": datetime.date.today().isoformat(),
        "machine": machine("cpu"),
    }
    write_json(EQUIVALENCES, [*recorded_equivalences(), record])
    changed = ", ".join(record["code"]) or "none"
    print(f"{record['evidence']}; {len(record['code'])} files changed: {changed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
