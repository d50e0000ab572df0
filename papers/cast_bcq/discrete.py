"""The grid's learners have discrete actions: their settings and minibatches.

Axes: M members, N agents, B batch, D state, O observation, U actions.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from common.learning.ranges import Count, Positive, Share


@dataclass(frozen=True)
class DiscreteConfig:
    """Of all three learners; threshold of discrete BCQ, temperatures of ICQ's code."""

    hidden: Count = 64
    lr: Positive = 1e-3
    gamma: Share = 0.99
    tau: Share = 0.005
    threshold: Share = 0.3
    candidates: Count = 10  # n, joint candidates
    subteams: Count = 10  # M, drawn for larger teams than `exact_up_to`
    exact_up_to: Count = 3  # agents: all subteams of the others are enumerated
    weight: Share = 0.75  # lambda of independent BCQ's twin target
    default: Literal["zero", "first"] = "zero"  # a^d: no action (absent), or the first (stay)
    others: Literal["policy", "data"] = "policy"  # whose actions unmasked agents take in Eq. 8
    target_temperature: Positive = 1.0  # alpha of ICQ
    policy_temperature: Positive = 0.1  # beta of ICQ

    def default_action(self, agents: int, actions: int) -> Tensor:
        """[N, U] a^d as one-hot vectors."""
        if self.default not in ("zero", "first"):
            raise ValueError(f"default is {self.default!r}, expected 'zero' or 'first'")
        action = torch.zeros(agents, actions)
        action[:, 0] = float(self.default == "first")
        return action


@dataclass(frozen=True)
class DiscreteBatch:
    """A minibatch of joint transitions.

    Attributes:
        state, next_state: [M, B, D]; obs, next_obs: [M, N, B, O].
        available, next_available: [M, N, B, U], 1 where an action may be taken.
        action, next_action: [M, N, B], indices; next_action of a terminal row is anything.
        reward, terminal: [M, B].
    """

    state: Tensor
    obs: Tensor
    available: Tensor
    action: Tensor
    reward: Tensor
    next_state: Tensor
    next_obs: Tensor
    next_available: Tensor
    terminal: Tensor
    next_action: Tensor
