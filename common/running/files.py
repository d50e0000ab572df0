"""Writing files so that a killed run leaves either the old file or the new one, and reading them
back checked.
"""

import csv
import hashlib
import io
import json
import os
import re
import socket
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def atomic(path: Path, durable: bool = True):
    """Yields a temporary path beside `path`, which replaces it when the block ends without an
    error.

    Args:
        durable: wait until the content is on the disk; without, a power failure may leave a torn
            file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{_machine()}-{os.getpid()}-"  # short, however long the names of file and machine
    handle, name = tempfile.mkstemp(prefix=prefix, suffix=".part", dir=path.parent)
    os.close(handle)
    part = Path(name)
    try:
        yield part
        if durable:
            with open(part, "rb+") as file:
                os.fsync(file.fileno())
        part.chmod(0o644)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _machine() -> str:
    """Sixteen letters for the name of this machine."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:16]


def sweep(folder: Path) -> None:
    """Deletes what processes of this machine that were killed left half-written in a folder and
    below.
    """
    for part in Path(folder).rglob(".*.part"):
        owner = re.fullmatch(rf"\.{_machine()}-(\d+)-.*\.part", part.name)
        if owner and not _alive(int(owner.group(1))):
            with suppress(OSError):  # results that cannot be written can still be read
                part.unlink(missing_ok=True)


def writable(folder: Path) -> bool:
    """Whether files can be made in a folder, which may have to be made first."""
    places = (Path(folder), *Path(folder).absolute().parents)
    return os.access(next(place for place in places if place.exists()), os.W_OK)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def write_text(path: Path, text: str) -> None:
    """Writes text atomically."""
    with atomic(path) as part:
        part.write_text(text)


def write_json(path: Path, value) -> None:
    """Writes JSON atomically; NaN and infinity are refused, since strict readers do."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def write_csv(path: Path, header: list[str], rows: list[list]) -> None:
    """Writes a CSV with `\\n` line ends atomically."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def read_csv(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV as dictionaries."""
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
