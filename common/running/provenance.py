"""What a result was made with: commit, versions and machine; and which older code gives the same
numbers as the present one.
"""

import functools
import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

import numpy
import torch

from common.learning import kernels
from common.running.sources import ROOT, code_hashes

EQUIVALENCES = (
    ROOT / "results" / "reference" / "equivalences.json"
)  # see common.reporting.equivalence


def recorded_equivalences() -> list[dict]:
    """Records of `common.reporting.equivalence`, the oldest first."""
    if not EQUIVALENCES.exists():
        return []
    return _equivalences(EQUIVALENCES.stat().st_mtime_ns)


@functools.cache
def _equivalences(changed: int) -> list[dict]:
    return json.loads(EQUIVALENCES.read_text())


def steps(code: dict[str, str], present: dict[str, str]) -> Iterator[tuple[dict, dict]]:
    """Records of `common.reporting.equivalence` that lead from a result's code towards the present
    one, each with the hashes of files after it.

    A record counts where the files it names have the old hashes. A file that was no source then is
    taken in, and one that is none any more is left out, if the record names it.

    Args:
        code: by file, relative to the repository.
        present: the same, of the files that decide the numbers now. Where these are the result's,
            nothing leads away from it: a change that was recorded may have been taken back.
    """
    for record in recorded_equivalences():
        if code == present:
            return
        pairs = record["code"]
        named = code.keys() & pairs.keys()
        paper = record.get("only", "*").partition("/")[0]  # old records compared one paper's cells
        folder = "papers/" if paper == "*" else f"papers/{paper}/"
        if not any(name.startswith(folder) for name in present):
            continue
        if named and all(code[name] == pairs[name][0] for name in named):
            others = {name: hashed for name, hashed in code.items() if name not in pairs}
            code = others | {name: pairs[name][1] for name in pairs.keys() & present}
            yield record, code


def is_present(code: dict[str, str], roots: list[str]) -> bool:
    """Whether numbers made by some code are those of the present one: a reference table's `code`.

    Args:
        code: by file, relative to the repository; of all cells of a table, so that there may be
            files in it that these roots never import.
        roots: of a cell, see `common.running.sources`.
    """
    now = code_hashes(roots)
    return covers(code, now) or any(covers(later, now) for _, later in steps(code, now))


def covers(code: dict[str, str], present: dict[str, str]) -> bool:
    """Whether some code has all the present files as they are."""
    return all(code.get(name) == hashed for name, hashed in present.items())


def carried(result: dict, config: dict, present: dict[str, str]) -> dict:
    """A stored result under the names of the present code and data, where changes since were shown
    to change no number.

    Options that did not exist then are filled in at their recorded values, as far as the present
    `config` has them.

    Args:
        present: hashes of the files that decide the numbers now.
    """
    for record, code in steps(result["code"], present):
        filled = _filled(result["config"], record["added_config"], config)
        result = result | {"code": code, "config": filled, "config_hash": config_hash(filled)}
    task = result["config"].get("task", "")
    return result | {"recipe": carried_recipes(result.get("recipe", {}), task)}


def carried_recipes(recipes: dict[str, str], task: str) -> dict[str, str]:
    """Recipes of a task's data sets with the code that builds the same bytes now."""
    carried = {}
    for run, recipe in recipes.items():
        facts, _, code = recipe.partition(".")
        code = carried_data(task, code)
        carried[run] = f"{facts}.{code}" if code else facts
    return carried


def carried_data(task: str, code: str) -> str:
    """Hash of code that builds a task's data, or that of later code which was shown to build the
    same bytes.
    """
    for record in recorded_equivalences():
        before, after = record.get("data_code", {}).get(task, (None, None))
        if code == before:
            code = after
    return code


def _filled(config: dict, added: dict, present: dict) -> dict:
    """Configuration with the missing options, named with dots, that `present` has, at their
    recorded values.
    """
    config = json.loads(json.dumps(config))
    for name, value in added.items():
        *groups, key = name.split(".")
        there = present
        for group in groups:
            there = there.get(group, {})
        if key in there:
            place = config
            for group in groups:
                place = place.setdefault(group, {})
            place.setdefault(key, value)
    return config


def is_configuration(
    hashed: str, config: dict, code: dict[str, str], present: dict[str, str]
) -> bool:
    """Whether a hash is that of the present `config`, or of what it was before options existed that
    have their recorded values in it.

    Args:
        code, present: of what made a result and of now, as in `steps`.
    """
    if hashed == config_hash(config):
        return True
    for record, _ in reversed([*steps(code, present)]):
        config = _without(config, record["added_config"])
        if hashed == config_hash(config):
            return True
    return False


def _without(config: dict, added: dict) -> dict:
    """Configuration without the options, named with dots, that have these values."""
    config = json.loads(json.dumps(config))
    for name, value in added.items():
        *groups, key = name.split(".")
        place = config
        for group in groups:
            place = place.get(group, {})
        if key in place and place[key] == value:
            del place[key]
    return config


def config_hash(config: dict) -> str:
    """Short hash of a configuration, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]


@functools.cache
def versions() -> dict[str, str]:
    """Versions of what the numbers rest on."""
    names = ("torch", "numpy", "mujoco", "h5py", "sacred", "offline-marl-zoo")
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


@functools.cache
def commit() -> str | None:
    """The commit of this tree as git describes it, with "-dirty" where files differ from it; None
    outside of git.
    """
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return said.stdout.strip() or None


def changed_packages(recorded: dict[str, str], sources: Iterable[str]) -> list[str]:
    """Packages that decide numbers and whose version is no longer the recorded one, as "torch
    2.12.0 -> 2.13.0".

    Builds of one version ("+cpu", "+cu126") count as the same; MuJoCo counts where the robots are
    among the sources.
    """
    names = (
        "torch",
        "numpy",
        *(["mujoco"] if any(name.startswith("envs/mujoco/") for name in sources) else []),
    )
    pairs = [(name, recorded.get(name, versions()[name]), versions()[name]) for name in names]
    return [
        f"{name} {old} -> {new}"
        for name, old, new in pairs
        if old.split("+")[0] != new.split("+")[0]
    ]


def matmul_error() -> float:
    """Relative error of a float32 product under the current matmul precision; 1e-3 and more means
    bfloat16.
    """
    stream = torch.Generator().manual_seed(0)
    a, b = torch.randn(128, 64, generator=stream), torch.randn(64, 64, generator=stream)
    exact = a.double() @ b.double()
    return float(((a @ b).double() - exact).norm() / exact.norm())


def machine(device: str) -> dict:
    """The machine and how arithmetic ran on it."""
    return {
        "platform": platform.platform(),
        "processor": _processor(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "device": device if device == "cpu" else torch.cuda.get_device_name(),
        "kernels": kernels.backend() if device == "cpu" else "torch",
        "matmul_precision": torch.get_float32_matmul_precision(),
        "matmul_error": matmul_error(),
        "numpy": numpy.__version__,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")),
        platform.processor(),
    )
