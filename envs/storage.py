"""Files of data sets: HDF5 with provenance inside, written atomically, and beside it a text with
its SHA-256 and a hash of the code that built it.

Code is noted beside the file and not inside, so that a change of code that alters no array alters
no byte and no checksum either.
"""

import json
import os
from pathlib import Path

import numpy as np

from common.running.files import atomic, sha256, write_text
from common.running.options import BadInput

FORMAT = 1
CHUNK_BYTES = 1 << 20
CODE = "# built by code "  # a line that sha256sum takes for a comment


class DataError(BadInput):
    """A data set is missing, broken, or not what it says."""


def data_folder() -> Path:
    """Where data sets are kept."""
    default = (
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        / "offline-marl-zoo"
        / "data"
    )
    return Path(os.environ.get("OMZ_DATA") or default)


def side(path: Path) -> Path:
    """The text beside a data set."""
    return path.with_suffix(".h5.sha256")


def checksum(path: Path, remedy: str = "build it with `python -m envs.datasets build`") -> str:
    """The SHA-256 recorded beside a data set when it was written.

    Raises:
        DataError: there is no such data set, or nothing beside it; the message ends with `remedy`.
    """
    words = side(path).read_text().split() if path.exists() and side(path).exists() else []
    if not words:
        raise DataError(f"data set {path} is not there; {remedy}")
    return words[0]


def code(path: Path) -> str:
    """Hash of the code that built a data set; "" where it was not noted."""
    lines = side(path).read_text().splitlines()
    notes = [line.removeprefix(CODE) for line in lines if line.startswith(CODE)]
    return notes[0] if notes else ""


def write(path: Path, arrays: dict[str, np.ndarray], facts: dict, built_by: str = "") -> None:
    """Writes one data set and the text beside it, each atomically, the text last.

    Args:
        arrays: by their names in the file, groups separated by "/".
        facts: provenance, kept as JSON in the file.
        built_by: hash of the code that built it.
    """
    import h5py

    side(path).unlink(missing_ok=True)
    # Not durable: the checksum tells a torn file, and it can be built again
    with (
        atomic(path, durable=False) as temporary,
        h5py.File(temporary, "w", track_order=True) as file,
    ):
        file.attrs["provenance"] = json.dumps(facts, sort_keys=True)
        for name, array in arrays.items():
            array = np.ascontiguousarray(array)
            file.create_dataset(name, data=array, fletcher32=bool(array.ndim), chunks=chunks(array))
    note = f"{CODE}{built_by}\n" if built_by else ""
    write_text(side(path), f"{sha256(path)}  {path.name}\n{note}")


def chunks(array: np.ndarray) -> tuple[int, ...] | None:
    """Chunks of about a megabyte, along the rows.

    h5py's own, far smaller ones take twice as long.
    """
    if not array.ndim or not array.size:
        return None
    rows = max(1, CHUNK_BYTES * len(array) // array.nbytes)
    return min(rows, len(array)), *array.shape[1:]


def read(path: Path, extract, verify: bool = True, remedy: str = "build it again") -> dict:
    """One data set: `arrays` (what `extract(file, facts)` returns), `provenance`, `sha256`.

    Args:
        remedy: what to do about a broken file, the end of every message.

    Raises:
        DataError: the file is missing, changed since it was written, cut off, of another format or
            without what `extract` looks for.
    """
    import h5py

    recorded = checksum(path, remedy)
    if verify and sha256(path) != recorded:
        raise DataError(
            f"data set {path} does not match its checksum {recorded[:12]}: "
            f"it was changed or damaged after it was written; {remedy}"
        )
    try:
        with h5py.File(path) as file:
            facts = json.loads(file.attrs["provenance"])
            if not isinstance(facts, dict):
                raise DataError(
                    f"provenance of data set {path} is a {type(facts).__name__}, "
                    f"expected a dictionary; {remedy}"
                )
            if facts["format"] != FORMAT:
                raise DataError(
                    f"data set {path} has format {facts['format']}, expected {FORMAT}; {remedy}"
                )
            arrays = extract(file, facts)
    except DataError:
        raise
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"data set {path} cannot be read: {error}; {remedy}") from error
    return {"arrays": arrays, "provenance": facts, "sha256": recorded}


def check_arrays(path: Path, arrays: dict[str, np.ndarray], shapes: dict[str, tuple]) -> None:
    """Raises DataError unless arrays have these shapes and at least one row, hold finite numbers,
    and actions are in [-1, 1].
    """
    for key, expected in shapes.items():
        array = arrays[key]
        if array.shape != expected:
            raise DataError(f"data set {path}: {key} has shape {array.shape}, expected {expected}")
        if not array.size:
            raise DataError(f"data set {path}: {key} has no rows, shape {array.shape}")
        if array.dtype.kind not in "fiub":
            raise DataError(f"data set {path}: {key} holds {array.dtype}, expected numbers")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise DataError(f"data set {path}: {key} holds NaN or infinity")
    largest = np.abs(arrays["actions"]).max()
    if largest > 1:
        raise DataError(f"data set {path}: actions reach {largest:.3f}, expected [-1, 1]")


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
