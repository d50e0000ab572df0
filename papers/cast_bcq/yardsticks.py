"""What a critic and a generator are held against: the data's own returns and actions.

Axes: R rows of a data set, M members, N agents, B rows, K proposals, A an agent's action.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from common.learning.population import generator
from envs import joint

WAYS = ("random", "worst", "cloning")  # controls of a choice among proposals
CUT = 300  # steps before the clock's cut that miss more than 5 % of a return at gamma 0.99
ROWS = 1000  # looked at


def returns_to_go(rewards: np.ndarray, ends: np.ndarray, gamma: float) -> np.ndarray:
    """[R] discounted sum of rewards [R] from each row to the end [R] of its episode."""
    following = 0.0
    returns = np.empty(len(rewards))
    for row in range(len(rewards) - 1, -1, -1):
        following = rewards[row] + gamma * following * (not ends[row])
        returns[row] = following
    return returns


def away_from_the_clock(terminals: np.ndarray, timeouts: np.ndarray, steps: int) -> np.ndarray:
    """[R] rows whose episode goes on for `steps` steps, or ends in a terminal state.

    Values do not end with the clock, sums of rewards do. An episode that the data cut is cut, too.
    """
    ends = np.flatnonzero(terminals | timeouts)
    end = np.append(ends, len(terminals) - 1)[np.searchsorted(ends, np.arange(len(terminals)))]
    return terminals[end] | (end - np.arange(len(terminals)) >= steps)


class Yardstick(NamedTuple):
    """What is known of a data set.

    Attributes:
        numbers: [B] of the rows that critics and generators are looked at on, the same for
            everyone.
        return_to_go: mean of these rows, None where all are near a cut.
        data_return: mean of episodes.
        action_spread: standard deviation of actions.
    """

    numbers: np.ndarray
    return_to_go: float | None
    data_return: float
    action_spread: float


def yardstick(arrays: dict[str, np.ndarray], gamma: float) -> Yardstick:
    """Of a robot's data, as they are in the file."""
    rows = np.flatnonzero(away_from_the_clock(arrays["terminals"], arrays["timeouts"], CUT))
    fair = len(rows) > 0
    rows = rows if fair else np.arange(len(arrays["rewards"]))
    drawn = torch.randint(len(rows), (ROWS,), generator=generator(0, "yardstick"))
    numbers = rows[drawn.numpy()]
    ends = arrays["terminals"] | arrays["timeouts"]
    to_go = returns_to_go(arrays["rewards"], ends, gamma)[numbers]
    return Yardstick(
        numbers,
        float(to_go.mean()) if fair else None,
        float(joint.episode_returns(arrays).mean()),
        float(arrays["actions"].std(0).mean()),
    )


def spread(actions: Tensor) -> Tensor:
    """[M] standard deviation over K of proposals [M, N, B, K, A], root mean square of the rest."""
    return actions.var(3, unbiased=False).mean((1, 2, 3)).sqrt()


def best_proposals(proposals: Tensor, values: Tensor, worst: bool = False) -> Tensor:
    """[M, N, B, A] of proposals [M, N, B, K, A] the best, or the worst, by values [M, N, B, K]."""
    which = values.argmin(-1) if worst else values.argmax(-1)
    return proposals.take_along_dim(which[..., None, None], dim=3).squeeze(3)
