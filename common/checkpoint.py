"""Checkpoints: tensors, numbers and generator states of a program in training, in one file."""

import zipfile
from pathlib import Path

import torch

from common.files import atomic


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
