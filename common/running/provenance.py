"""What a result was made with: versions and machine, and which old code is as good as the present."""

import functools
import hashlib
import json
import os
import platform
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import numpy
import torch

from common.learning import kernels
from common.running.sources import ROOT

EQUIVALENCES = (
    ROOT / "results" / "reference" / "equivalences.json"
)  # see common.running.equivalence


@functools.cache
def _equivalences(changed: int) -> list[dict]:
    return json.loads(EQUIVALENCES.read_text())


def carried(result: dict, config: dict, sources: Iterable[str] = ()) -> dict:
    """A stored result under the names of the present code, where a change since was shown to change
    no number.

    Each record of `common.running.equivalence` replaces the old hashes of changed files by the new
    ones, if all of those the result names are the old ones, and fills in options that did not exist
    then at their recorded values, as far as the present `config` has them. A file that was no
    source of the result then is taken in if it is one of the present `sources`.
    """
    if not EQUIVALENCES.exists():
        return result
    for record in _equivalences(EQUIVALENCES.stat().st_mtime_ns):
        mine = {name: pair for name, pair in record["code"].items() if name in result["code"]}
        if not mine or any(result["code"][name] != old for name, (old, _) in mine.items()):
            continue
        result = result | {
            "code": result["code"]
            | {name: new for name, (_, new) in mine.items()}
            | {
                name: new
                for name, (_, new) in record["code"].items()
                if name not in result["code"] and name in sources
            },
            "config": _filled(result["config"], record["added_config"], config),
        }
        result["config_hash"] = config_hash(result["config"])
    return result


def _filled(config: dict, added: dict, present: dict) -> dict:
    """Configuration with the missing options, named with dots, that `present` has, at their
    recorded values.
    """
    config = json.loads(json.dumps(config))
    for name, value in added.items():
        *groups, key = name.split(".")
        place, there = config, present
        for group in groups:
            place, there = place.get(group, {}), there.get(group, {})
        if key in there:
            place.setdefault(key, value)
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
