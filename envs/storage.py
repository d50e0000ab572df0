"""Files of data sets: HDF5 with provenance inside and a SHA-256 beside it, written atomically."""

import json
import os
from pathlib import Path

import h5py
import numpy as np

from common.running.files import atomic, sha256, write_text

FORMAT = 1
CHUNK_BYTES = 1 << 20


class DataError(ValueError):
    """A data set is missing, broken, or not what it says."""


def data_folder() -> Path:
    """Where data sets are kept."""
    default = (
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        / "offline-marl-zoo"
        / "data"
    )
    return Path(os.environ.get("OMZ_DATA") or default)


def checksum(path: Path) -> str:
    """The SHA-256 recorded beside a data set when it was written."""
    side = path.with_suffix(".h5.sha256")
    if not path.exists() or not side.exists():
        raise DataError(
            f"data set {path} is not there; build it with `python -m envs.datasets build`"
        )
    return side.read_text().split()[0]


def write(path: Path, arrays: dict[str, np.ndarray], facts: dict) -> None:
    """Writes one data set and its checksum, each atomically, the checksum last.

    Args:
        arrays: by their names in the file, groups separated by "/".
        facts: provenance, kept as JSON in the file.
    """
    path.with_suffix(".h5.sha256").unlink(missing_ok=True)
    # Not durable: the checksum tells a torn file, and it can be built again
    with atomic(path, durable=False) as part, h5py.File(part, "w", track_order=True) as file:
        file.attrs["provenance"] = json.dumps(facts, sort_keys=True)
        for name, values in arrays.items():
            values = np.ascontiguousarray(values)
            file.create_dataset(
                name, data=values, fletcher32=bool(values.ndim), chunks=chunks(values)
            )
    write_text(path.with_suffix(".h5.sha256"), f"{sha256(path)}  {path.name}\n")


def chunks(values: np.ndarray) -> tuple[int, ...] | None:
    """Chunks of about a megabyte, along the rows: h5py's own, far smaller ones take twice as long."""
    if not values.ndim or not values.size:
        return None
    rows = max(1, CHUNK_BYTES * len(values) // values.nbytes)
    return min(rows, len(values)), *values.shape[1:]


def read(path: Path, extract, verify: bool = True) -> dict:
    """One data set: `arrays` (what `extract(file, facts)` returns), `provenance`, `sha256`.

    Raises:
        DataError: the file is missing, changed since it was written, cut off, of another format or
            without what `extract` looks for.
    """
    recorded = checksum(path)
    if verify and sha256(path) != recorded:
        raise DataError(
            f"data set {path} does not match its checksum {recorded[:12]}: it was changed or damaged after it was "
            "written; delete it and build it again"
        )
    try:
        with h5py.File(path) as file:
            facts = json.loads(file.attrs["provenance"])
            arrays = extract(file, facts)
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"data set {path} cannot be read: {error}") from error
    if facts.get("format") != FORMAT:
        raise DataError(
            f"data set {path} has format {facts.get('format')}, expected {FORMAT}; build it again"
        )
    return {"arrays": arrays, "provenance": facts, "sha256": recorded}


def check_arrays(path: Path, arrays: dict[str, np.ndarray], shapes: dict[str, tuple]) -> None:
    """Raises DataError unless arrays have these shapes, finite numbers, and actions in [-1, 1]."""
    for key, expected in shapes.items():
        values = arrays[key]
        if values.shape != expected:
            raise DataError(f"data set {path}: {key} has shape {values.shape}, expected {expected}")
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise DataError(f"data set {path}: {key} holds NaN or infinity; build it again")
    if np.abs(arrays["actions"]).max() > 1:
        raise DataError(
            f"data set {path}: actions reach {np.abs(arrays['actions']).max():.3f}, expected [-1, 1]"
        )


def sums_between(rewards: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """[episodes] sums of rewards [R] up to each row where `ends` [R] is true; rows after the last
    end are left out.
    """
    stops = np.flatnonzero(ends) + 1
    if not len(stops):
        return np.empty(0)
    return np.add.reduceat(
        rewards[: stops[-1]].astype(np.float64), np.concatenate([[0], stops[:-1]])
    )
