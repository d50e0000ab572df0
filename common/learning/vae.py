"""Conditional variational autoencoders of a population (Kingma and Welling, 2013; Sohn et al.,
2015).

Axes: M members, N agents, B batch, C condition, A action, Z latent.
"""

import torch
from torch import Tensor

from common.learning.learner import Learner
from common.learning.networks import apply_mlp, mlp_parameters
from common.learning.population import mean_over_batch

LOG_STD_RANGE = (-4.0, 15.0)  # as in BCQ's code


class ConditionalVAE(Learner):
    """p(action | condition, z) with a bounded decoder, one per member and agent.

    Its networks are "encoder" and "decoder"; whoever trains it draws its noise.

    Args:
        streams: initialisation, one per member.
        conditions: true condition size C of each agent, padded to the largest in the tensors.
        latent: Z.
        lr: of Adam; one for all, or one per member.
    """

    def __init__(
        self,
        streams: list[torch.Generator],
        conditions: list[int],
        action_dim: int,
        latent: int,
        hidden: int,
        lr: float | list[float],
        device: str = "cpu",
    ):
        super().__init__([], device)

        def network(inputs: int, outputs: int) -> dict[str, Tensor]:
            sizes = [size + inputs for size in conditions]
            return mlp_parameters(streams, sizes, max(sizes), hidden, outputs, input_norm=False)

        self.hold("encoder", network(action_dim, 2 * latent), lr)
        self.hold("decoder", network(latent, action_dim), lr)

    def encode(self, condition: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation [M, N, B, Z] of the latent given condition [M, N, B, C]
        and action [M, N, B, A].
        """
        rows = torch.cat([action, condition], -1)
        mean, log_std = apply_mlp(self.networks["encoder"], rows, None).chunk(2, dim=-1)
        return mean, log_std.clamp(*LOG_STD_RANGE)

    def decode(self, condition: Tensor, z: Tensor) -> Tensor:
        """Actions [M, N, B, A] in [-1, 1]."""
        rows = torch.cat([z, condition], -1)
        return apply_mlp(self.networks["decoder"], rows, None).tanh()

    def losses(self, condition: Tensor, action: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """[M, N] mean squared reconstruction error, and mean Kullback-Leibler divergence per latent
        dimension in nats.

        Args:
            noise: [M, N, B, Z], standard normal.
        """
        mean, log_std = self.encode(condition, action)
        rebuilt = self.decode(condition, mean + log_std.exp() * noise)
        divergence = -0.5 * (1 + 2 * log_std - mean.square() - (2 * log_std).exp())
        return mean_over_batch((rebuilt - action).square()), mean_over_batch(divergence)

    def update(
        self, condition: Tensor, action: Tensor, noise: Tensor, kl_weight: float
    ) -> tuple[Tensor, Tensor]:
        """One step on reconstruction + kl_weight * divergence; returns both."""
        rebuilt, divergence = self.losses(condition, action, noise)
        self.descend(rebuilt + kl_weight * divergence, "encoder", "decoder")
        return rebuilt.detach(), divergence.detach()
