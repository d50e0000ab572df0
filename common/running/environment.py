"""Environment variables of this project, and what they may be."""

import math
import os
from collections.abc import Callable
from pathlib import Path

from common.running.options import BadInput, nearest


def folder(name: str, value: str) -> None:
    """A folder, there or not."""
    path = Path(value).expanduser().absolute()
    there = next(place for place in (path, *path.parents) if place.exists())
    if not there.is_dir():
        raise BadInput(f"{name} is {value!r}, but {there} is a file; expected a folder")


def seconds(name: str, value: str) -> None:
    """Zero or more."""
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise BadInput(f"{name} is {value!r}, expected seconds, 0 or more")


def kernels(name: str, value: str) -> None:
    """Which form of the kernels is used."""
    if value not in ("native", "torch"):
        raise BadInput(f"{name} is {value!r}, expected native or torch")


def pairs(name: str, value: str) -> None:
    """key=value with commas between."""
    if not all("=" in word for word in value.split(",") if word):
        expected = "key=value with commas between, as partition=gpu,account=x"
        raise BadInput(f"{name} is {value!r}, expected {expected}")


def database(name: str, value: str) -> None:
    """A MongoDB's address."""
    if not value.startswith(("mongodb://", "mongodb+srv://")):
        raise BadInput(f"{name} is {value!r}, expected mongodb://host:port/database")


def anything(name: str, value: str) -> None:
    """Read by run_all.sh."""


VARIABLES: dict[str, Callable[[str, str], None]] = {
    "OMZ_CHECKPOINT_SECONDS": seconds,
    "OMZ_DATA": folder,
    "OMZ_KERNELS": kernels,
    "OMZ_MONGO": database,
    "OMZ_NEWEST": anything,
    "OMZ_RESULTS": folder,
    "OMZ_SLURM": pairs,
    "OMZ_VENV": anything,
}


def check() -> None:
    """Raises BadInput for a variable that is unknown or has an impossible value; an empty one
    counts as unset.
    """
    for name, value in sorted(os.environ.items()):
        if not name.startswith("OMZ_") or not value:
            continue
        if name not in VARIABLES:
            raise BadInput(f"unknown variable {name}; {nearest(name, VARIABLES)}")
        VARIABLES[name](name, value)
