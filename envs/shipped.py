"""Behaviour policies that ship with the repository: their cards, their weights, and the snapshots
kept for replay data.
"""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from common.learning.population import Parameters
from envs.storage import DataError


def read_card(policies: Path, task: str, name: str = "card") -> dict:
    """What is known about a task's behaviour policies.

    Args:
        policies: folder of the family's policies.
        name: of the card, where a task has several.

    Raises:
        FileNotFoundError: there are none; the message says how to train them.
    """
    path = policies / task / f"{name}.json"
    if not path.exists():
        raise FileNotFoundError(
            f"no behaviour policies for task {task!r} in {policies}; they ship with the "
            f"repository, or run `python -m envs.datasets train-behaviour {task}`"
        )
    return json.loads(path.read_text())


def read_weights(path: Path, device="cpu") -> dict[str, torch.Tensor]:
    """Tensors of a weights file; safetensors holds numbers only, nothing in it can run.

    Raises:
        DataError: there is no such file, it is damaged or something else, or holds NaN; the message
            says what to do.
    """
    hint = (
        f"restore it (`git checkout {path.name}` in its folder) or train again with "
        "`python -m envs.datasets train-behaviour`"
    )
    try:
        tensors = load_file(path, device=str(device))
    except (OSError, SafetensorError) as error:
        raise DataError(f"weights {path} cannot be read: {error}; {hint}") from None
    broken = [name for name, tensor in tensors.items() if not tensor.isfinite().all()]
    if broken:
        raise DataError(f"weights {path} hold NaN or infinity in {broken[0]}; {hint}")
    return tensors


def read_snapshots(policies: Path, task: str) -> dict[int, Parameters]:
    """The training's snapshots that ship for the replay data, by the count on the card (steps or
    updates).
    """
    counts = read_card(policies, task)["replay_snapshots"]
    grouped: dict[str, dict] = {index: {} for index in counts}
    for key, tensor in read_weights(policies / task / "replay.safetensors").items():
        index, name = key.split("/")
        grouped[index][name] = tensor.float()
    return {count: Parameters(grouped[index], trainable=False) for index, count in counts.items()}
