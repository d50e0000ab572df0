"""Checkpoints: tensors, numbers and generator states of a program in training, in one file."""

import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import torch

from common.files import atomic

CHECKPOINT_SECONDS = 60


def save_checkpoint(path: Path, identity: dict, content: dict) -> None:
    """Writes content (tensors, numbers, strings, lists, dicts) atomically, with the identity of what is trained."""
    with atomic(path) as part:
        torch.save({"identity": identity, "content": content}, part)


def load_checkpoint(path: Path, identity: dict) -> dict | None:
    """The content of a checkpoint of exactly this identity; None where there is none, or it is of something else.

    A file that is damaged (its CRC is checked, a flipped bit loads silently otherwise) counts as none.
    """
    path = Path(path)
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


def train_to_end(
    program, identity: dict, path: Path, total: int, progress: Callable[[int, int], None], may_save=lambda: True
) -> float:
    """Runs a program's updates to the end, continuing from its checkpoint; returns the seconds spent, earlier runs included.

    Args:
        program: has `updates()`, which yields the number done after every one, `state_dict()` and `load_state_dict()`.
        identity: of what is trained; a checkpoint of anything else is left alone.
        path: written every minute, deleted by the caller once results are stored.
        total: updates in all.
        progress: called with (updates done, updates in all) after every update.
        may_save: whether the program's state can be written at present.
    """
    saved, seconds = load_checkpoint(path, identity), 0.0
    if saved:
        program.load_state_dict(saved["state"])
        seconds = saved["seconds"]
    began = written = time.monotonic()
    for done in program.updates():
        progress(done, total)
        now = time.monotonic()
        if now - written > CHECKPOINT_SECONDS and may_save():
            save_checkpoint(path, identity, {"state": program.state_dict(), "seconds": seconds + now - began})
            written = now
    return seconds + time.monotonic() - began


def members_of(state, members: list[int]):
    """The part of a learner's state that belongs to some of its members, in this order; a member may be taken twice.

    Args:
        state: nested dictionaries of tensors [M, ...], lists with an entry per member, and shared numbers.
    """
    if isinstance(state, dict):
        return {name: members_of(part, members) for name, part in state.items()}
    if isinstance(state, list):
        return [state[m] for m in members]
    return state[members] if isinstance(state, torch.Tensor) else state
