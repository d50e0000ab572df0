"""Data sets of a whole system, as D4RL's: one state and one joint action per row, which a view
turns into agents' data.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from envs.lockstep import View
from envs.storage import DataError, check_arrays, sums_between

FLOATS = ("observations", "actions", "rewards", "next_observations")
FLAGS = ("terminals", "timeouts")


def extract(file, optional: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """Arrays [R, ...] of an open file, and those of `optional` that it has."""
    return {key: file[key][:] for key in (*FLOATS, *FLAGS)} | {
        key: file[key][:] for key in optional if key in file
    }


def validate(
    path: Path, arrays: dict[str, np.ndarray], state_dim: int, action_dim: int, horizon: int
) -> None:
    """Raises DataError unless shapes fit, numbers are finite, actions are in [-1, 1] and no episode
    is too long.
    """
    count = len(arrays["rewards"])
    widths = {"observations": state_dim, "next_observations": state_dim, "actions": action_dim}
    shapes = {key: (count, widths[key]) if key in widths else (count,) for key in (*FLOATS, *FLAGS)}
    check_arrays(path, arrays, shapes)
    both = arrays["terminals"] & arrays["timeouts"]
    if both.any():
        raise DataError(
            f"data set {path}: row {int(both.argmax())} is both terminal and timeout, "
            "expected one of them"
        )
    ends = np.concatenate(
        [[-1], np.flatnonzero(arrays["terminals"] | arrays["timeouts"]), [count - 1]]
    )
    longest = int(np.diff(ends).max())
    if longest > horizon:
        raise DataError(
            f"data set {path}: an episode has {longest} steps, expected at most {horizon}; "
            "flags are missing"
        )


def transitions(
    arrays: dict[str, np.ndarray], of: View, terminal_timeouts: bool = False
) -> dict[str, Tensor]:
    """What the agents of a view learn from: tensors [R, N, ...], each agent's with its own action
    only.

    Args:
        terminal_timeouts: take the clock's cut for a terminal state.

    Everybody shares reward and terminal flag. The next action is that of the following row;
    `has_next_action` [R] is false where the episode was cut by the clock or by the end of the data.
    """
    terminals = (
        arrays["terminals"] | arrays["timeouts"] if terminal_timeouts else arrays["terminals"]
    )
    action = of.split(torch.from_numpy(arrays["actions"]))
    count, agents = action.shape[:2]
    follows = torch.from_numpy(~arrays["timeouts"] | arrays["terminals"])
    follows[-1] = bool(arrays["terminals"][-1])
    return {
        "obs": of.observe(torch.from_numpy(arrays["observations"])),
        "action": action,
        "reward": torch.from_numpy(arrays["rewards"])[:, None].expand(count, agents),
        "next_obs": of.observe(torch.from_numpy(arrays["next_observations"])),
        "terminal": torch.from_numpy(terminals).float()[:, None].expand(count, agents),
        "next_action": action.roll(-1, 0),
        "has_next_action": follows,
    }


def episode_returns(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """[episodes] undiscounted returns of finished episodes."""
    return sums_between(arrays["rewards"], arrays["terminals"] | arrays["timeouts"])
