"""Checkpoints: tensors, numbers and generator states of a program in training, in one file.

A file that cannot be used is set aside, said on stderr, and training goes on without it.
"""

import os
import sys
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import torch

from common.running.files import atomic


def _seconds(text: str) -> float:
    """A number of seconds; `environment.check` refuses what is none."""
    try:
        return float(text)
    except ValueError:
        return 60


CHECKPOINT_SECONDS = _seconds(os.environ.get("OMZ_CHECKPOINT_SECONDS") or "60")  # between two


def save_checkpoint(path: Path, identity: dict, content: dict) -> None:
    """Writes content (tensors, numbers, strings, lists, dicts) atomically, with the identity of
    what is trained.

    The checkpoint before it is kept beside it.
    """
    with atomic(path) as part:
        torch.save({"identity": identity, "content": content}, part)
        if Path(path).exists():
            os.replace(path, previous(path))


def previous(path: Path) -> Path:
    """Where the last checkpoint but one is."""
    return Path(path).with_suffix(".previous")


def forget_checkpoint(path: Path) -> None:
    """Deletes a checkpoint and the one before it, and what was set aside of both."""
    for one in (Path(path), previous(path)):
        one.unlink(missing_ok=True)
        aside(one).unlink(missing_ok=True)


def aside(path: Path) -> Path:
    """Where a checkpoint is that cannot be used."""
    return path.with_name(f"{path.name}.unusable")


def load_checkpoint(path: Path, identity: dict) -> dict | None:
    """The content of the newest of `checkpoints`, or None."""
    return next((content for _, content in checkpoints(path, identity)), None)


def checkpoints(path: Path, identity: dict) -> Iterator[tuple[Path, dict]]:
    """The checkpoint of exactly this identity and the one before it, as far as they are there, each
    with its content.

    A file that is damaged (its CRC is checked, a flipped bit loads silently otherwise) or holds
    anything else than a checkpoint is set aside.
    """
    for one in (Path(path), previous(path)):
        content = _read(one, identity)
        if content is not None:
            yield one, content


def set_aside(path: Path, why: str) -> None:
    """Renames a checkpoint that cannot be used, so that nothing looks at it again, and says so."""
    with suppress(OSError):
        os.replace(path, aside(path))
    hint = "training goes on from the checkpoint before it, or from the start"
    print(f"checkpoint {aside(path)} cannot be used ({why}); {hint}", file=sys.stderr)


def _read(path: Path, identity: dict) -> dict | None:
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged:
            raise ValueError(f"{damaged} is damaged")
        saved = torch.load(path, weights_only=True, map_location="cpu")
        content = saved["content"] if saved["identity"] == identity else None
    except Exception as error:  # whatever a strange file makes torch say
        set_aside(path, f"{type(error).__name__}: {first_line(error)}")
        return None
    return content


def first_line(error: Exception) -> str:
    """The beginning of what an error says: torch goes on with advice that nobody should follow."""
    lines = str(error).strip().splitlines() or [""]
    return lines[0][:100]
