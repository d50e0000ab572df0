"""What stochastic policies make of their networks' outputs: Gaussian, squashed Gaussian and
categorical actions. A head is how an agent acts; the network is whoever's.

Axes: M members, N agents, B batch, A action (or choices of one), P outputs of the network.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from common.learning.losses import gaussian_log_prob
from common.learning.philox import Streams

ACTION_BOUND = 1 - 1e-5  # of what worlds and memories see
LOG_STD_RANGE = (-6.0, 0.0)  # of MOMA-PPO's policies


class Head(Protocol):
    """Attributes: action_dim: A; outputs: P."""

    @property
    def action_dim(self) -> int: ...

    @property
    def outputs(self) -> int: ...

    def initial_bias(self) -> Tensor:
        """[P] of the last layer of a network that starts out undecided."""

    def noise(self, obs: Tensor, streams: Streams) -> Tensor:
        """What `sample` needs for obs [M, N, B, O]: [M, N, B, A]."""

    def sample(self, output: Tensor, noise: Tensor) -> Tensor:
        """Actions [M, N, B, A] of outputs [M, N, B, P]."""

    def greedy(self, output: Tensor) -> Tensor:
        """The likeliest actions [M, N, B, A]."""

    def log_prob(self, output: Tensor, action: Tensor) -> Tensor:
        """[M, N, B] of actions [M, N, B, A]."""

    def played(self, action: Tensor) -> Tensor:
        """Actions as worlds and memories see them."""

    def excess(self, output: Tensor) -> Tensor:
        """[M, N, B] squared distance of the likeliest actions to what can be played."""


@dataclass(frozen=True)
class Gaussian:
    """Mean and log standard deviation, both outputs; samples may lie outside [-1, 1]."""

    action_dim: int
    log_std_min: float = LOG_STD_RANGE[0]
    log_std_max: float = LOG_STD_RANGE[1]
    initial_log_std: float = 0.0

    @property
    def outputs(self) -> int:
        return 2 * self.action_dim

    def initial_bias(self) -> Tensor:
        bias = torch.zeros(self.outputs)
        bias[self.action_dim :] = self.initial_log_std
        return bias

    def noise(self, obs: Tensor, streams: Streams) -> Tensor:
        """Standard normal."""
        return streams.normal((*obs.shape[1:3], self.action_dim))

    def moments(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation."""
        mean, log_std = output.chunk(2, dim=-1)
        return mean, log_std.clamp(self.log_std_min, self.log_std_max)

    def sample(self, output: Tensor, noise: Tensor) -> Tensor:
        mean, log_std = self.moments(output)
        return mean + log_std.exp() * noise

    def greedy(self, output: Tensor) -> Tensor:
        return self.moments(output)[0].clamp(-1, 1)

    def log_prob(self, output: Tensor, action: Tensor) -> Tensor:
        return gaussian_log_prob(*self.moments(output), action)

    def played(self, action: Tensor) -> Tensor:
        return action.clamp(-ACTION_BOUND, ACTION_BOUND)

    def excess(self, output: Tensor) -> Tensor:
        mean, _ = self.moments(output)
        return (mean.abs() - 1).clamp_min(0).square().sum(-1)


@dataclass(frozen=True)
class Squashed(Gaussian):
    """The tanh of a Gaussian: actions within [-1, 1]."""

    def sample(self, output: Tensor, noise: Tensor) -> Tensor:
        return super().sample(output, noise).tanh()

    def greedy(self, output: Tensor) -> Tensor:
        return self.moments(output)[0].tanh()

    def log_prob(self, output: Tensor, action: Tensor) -> Tensor:
        """Up to what no parameter changes (the tanh's slope)."""
        return super().log_prob(output, self.played(action).atanh())

    def excess(self, output: Tensor) -> Tensor:
        return output.new_zeros(output.shape[:-1])


@dataclass(frozen=True)
class Categorical:
    """One of A choices; actions are one-hot."""

    action_dim: int

    @property
    def outputs(self) -> int:
        return self.action_dim

    def initial_bias(self) -> Tensor:
        return torch.zeros(self.outputs)

    def noise(self, obs: Tensor, streams: Streams) -> Tensor:
        """Standard Gumbel."""
        return streams.gumbel((*obs.shape[1:3], self.action_dim))

    def sample(self, output: Tensor, noise: Tensor) -> Tensor:
        return self.greedy(output.log_softmax(-1) + noise)

    def greedy(self, output: Tensor) -> Tensor:
        choice = output.argmax(-1)
        return torch.nn.functional.one_hot(choice, self.action_dim).to(output.dtype)

    def log_prob(self, output: Tensor, action: Tensor) -> Tensor:
        return (output.log_softmax(-1) * action).sum(-1)

    def played(self, action: Tensor) -> Tensor:
        return action

    def excess(self, output: Tensor) -> Tensor:
        return output.new_zeros(output.shape[:-1])
