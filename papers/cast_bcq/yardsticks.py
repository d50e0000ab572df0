"""What a critic and a generator are held against: the data's own returns and actions.

Axes: R rows of a data set, M members, N agents, B rows, K proposals, A an agent's action.
"""

import numpy as np
import torch
from torch import Tensor

from common.learning.population import generator

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


def looked_at(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """[B] numbers of rows that critics are judged on, the same for everyone; none where all are
    near a cut.
    """
    rows = np.flatnonzero(away_from_the_clock(arrays["terminals"], arrays["timeouts"], CUT))
    if not len(rows):
        return rows
    drawn = torch.randint(len(rows), (ROWS,), generator=generator(0, "yardstick"))
    return rows[drawn.numpy()]


def spread(actions: Tensor) -> Tensor:
    """[M] standard deviation over K of proposals [M, N, B, K, A], root mean square of the rest."""
    return actions.var(3, unbiased=False).mean((1, 2, 3)).sqrt()


def chosen(proposals: Tensor, values: Tensor, worst: bool = False) -> Tensor:
    """[M, N, B, A] of proposals [M, N, B, K, A] the best, or the worst, by values [M, N, B, K]."""
    which = values.argmin(-1) if worst else values.argmax(-1)
    return proposals.take_along_dim(which[..., None, None], dim=3).squeeze(3)
