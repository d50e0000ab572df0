"""Stochastic policies of a population: tanh-squashed Gaussians on stacked networks.

Axes: M members, N agents, B batch, O observation, A action.
"""

import math

import torch
from torch import Tensor

from common.learning.networks import apply_mlp, mlp_parameters
from common.learning.population import Parameters

LOG_STD_RANGE = (-20.0, 2.0)


class SquashedGaussian:
    """One tanh-squashed Gaussian policy per member and agent, in [-1, 1] (Haarnoja et al., 2018,
    appendix C).

    The network's output is the mean and the log standard deviation before the tanh, both functions
    of the observation.

    Args:
        streams: initialisation, one per member.
        obs_dims: true observation size of each agent, padded to `padded` in the tensors.
    """

    def __init__(
        self, streams, obs_dims: list[int], padded: int, hidden: int, action_dim: int, device="cpu"
    ):
        tensors = mlp_parameters(
            streams, obs_dims, padded, hidden, 2 * action_dim, input_norm=False, output_bound=3e-3
        )
        self.params = Parameters({name: tensor.to(device) for name, tensor in tensors.items()})

    def sample(self, obs: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Actions [M, N, B, A] and their log densities [M, N, B], by reparametrisation:
        differentiable.

        Args:
            obs: [M, N, B, O].
            noise: [M, N, B, A], standard normal.
        """
        return squash(*distribution(self.params, obs), noise)

    @torch.no_grad()
    def act(self, obs: Tensor, noise: Tensor | None = None) -> Tensor:
        """[M, N, B, A] actions for obs [M, N, B, O]: sampled with `noise`, else the mean's."""
        return act(self.params, obs, noise)


def distribution(params: Parameters, obs: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log standard deviation before the tanh, each [M, N, B, A]."""
    mean, log_std = apply_mlp(params, obs, None).chunk(2, dim=-1)
    return mean, log_std.clamp(*LOG_STD_RANGE)


def squash(mean: Tensor, log_std: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """tanh(mean + std noise) and its log density under the squashed Gaussian, summed over
    components.
    """
    z = mean + log_std.exp() * noise
    log_normal = -0.5 * noise.square() - log_std - 0.5 * math.log(2 * math.pi)
    # log(1 - tanh(z)^2), written so that it stays finite for large |z|
    log_slope = 2 * (math.log(2) - z - torch.nn.functional.softplus(-2 * z))
    return z.tanh(), (log_normal - log_slope).sum(-1)


def act(params: Parameters, obs: Tensor, noise: Tensor | None) -> Tensor:
    """Actions of a policy given by its parameters, see `SquashedGaussian.act`."""
    mean, log_std = distribution(params, obs)
    return (mean if noise is None else mean + log_std.exp() * noise).tanh()
