"""Checkpoints: tensors, numbers and generator states of a program in training, in one file."""

import os
import zipfile
from pathlib import Path

import torch

from common.running.files import atomic

CHECKPOINT_SECONDS = float(
    os.environ.get("OMZ_CHECKPOINT_SECONDS") or 60
)  # between two checkpoints of a program


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
    """Deletes a checkpoint and the one before it."""
    Path(path).unlink(missing_ok=True)
    previous(path).unlink(missing_ok=True)


def load_checkpoint(path: Path, identity: dict) -> dict | None:
    """The content of a checkpoint of exactly this identity; None where there is none, or it is of
    something else.

    A file that is damaged (its CRC is checked, a flipped bit loads silently otherwise) counts as
    none; then the one before it is taken.
    """
    found = _read(Path(path), identity)
    return _read(previous(path), identity) if found is None else found


def _read(path: Path, identity: dict) -> dict | None:
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                return None
        saved = torch.load(path, weights_only=True, map_location="cpu")
    except (OSError, RuntimeError, ValueError, zipfile.BadZipFile):
        return None
    return saved["content"] if saved.get("identity") == identity else None
