"""Behaviour policies that ship with the repository: their cards, and the snapshots kept for replay data."""

import json
from pathlib import Path

from safetensors.torch import load_file

from common.population import Parameters


def read_card(policies: Path, task: str) -> dict:
    """What is known about a task's behaviour policies.

    Args:
        policies: folder of the family's policies.

    Raises:
        FileNotFoundError: there are none; the message says how to train them.
    """
    path = policies / task / "card.json"
    if not path.exists():
        raise FileNotFoundError(
            f"no behaviour policies for task {task!r} in {policies}; they ship with the repository, or run "
            f"`python -m envs.datasets train-behaviour {task}`"
        )
    return json.loads(path.read_text())


def read_snapshots(policies: Path, task: str) -> dict[int, Parameters]:
    """The training's snapshots that ship for the replay data, by the count on the card (steps or updates)."""
    counts = read_card(policies, task)["replay_snapshots"]
    grouped: dict[str, dict] = {index: {} for index in counts}
    for key, tensor in load_file(policies / task / "replay.safetensors").items():
        index, name = key.split("/")
        grouped[index][name] = tensor.float()
    return {count: Parameters(grouped[index], trainable=False) for index, count in counts.items()}
