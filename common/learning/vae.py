"""Conditional variational autoencoders of a population (Kingma and Welling, 2013; Sohn et al.,
2015).

Axes: M members, N agents, B batch, C condition, A action, Z latent.
"""

import torch
from torch import Tensor

from common.learning.networks import apply_mlp, mlp_parameters
from common.learning.population import Adam, Parameters, mean_over_batch, per_member

LOG_STD_RANGE = (-4.0, 15.0)  # as in BCQ's code


class ConditionalVAE:
    """p(action | condition, z) with a bounded decoder, one per member and agent, and its optimiser.

    Args:
        streams: initialisation, one per member.
        conditions: true condition size of each agent, padded to `padded` in the tensors.
        latent: Z.
        lr: of Adam.
    """

    def __init__(
        self,
        streams,
        conditions: list[int],
        padded: int,
        action_dim: int,
        latent: int,
        hidden: int,
        lr,
        device="cpu",
    ):
        def network(inputs: int, outputs: int) -> Parameters:
            sizes = [size + inputs for size in conditions]
            tensors = mlp_parameters(
                streams, sizes, padded + inputs, hidden, outputs, input_norm=False
            )
            return Parameters({name: tensor.to(device) for name, tensor in tensors.items()})

        self.encoder, self.decoder = network(action_dim, 2 * latent), network(latent, action_dim)
        rates = per_member(lr, len(streams), device)
        self.adams = [Adam(self.encoder, rates), Adam(self.decoder, rates)]

    def encode(self, condition: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation [M, N, B, Z] of the latent given condition [M, N, B, C]
        and action [M, N, B, A].
        """
        mean, log_std = apply_mlp(self.encoder, torch.cat([action, condition], -1), None).chunk(
            2, dim=-1
        )
        return mean, log_std.clamp(*LOG_STD_RANGE)

    def decode(self, condition: Tensor, z: Tensor) -> Tensor:
        """Actions [M, N, B, A] in [-1, 1]."""
        return apply_mlp(self.decoder, torch.cat([z, condition], -1), None).tanh()

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
        for part in (self.encoder, self.decoder):
            part.zero_grad()
        (rebuilt + kl_weight * divergence).sum().backward()
        for adam in self.adams:
            adam.step()
        return rebuilt.detach(), divergence.detach()

    def state_dict(self) -> dict:
        return {
            "encoder": self.encoder.flat,
            "decoder": self.decoder.flat,
            "encoder_adam": self.adams[0].state_dict(),
            "decoder_adam": self.adams[1].state_dict(),
        }

    @torch.no_grad()
    def load_state_dict(self, state: dict) -> None:
        self.encoder.flat.copy_(state["encoder"])
        self.decoder.flat.copy_(state["decoder"])
        self.adams[0].load_state_dict(state["encoder_adam"])
        self.adams[1].load_state_dict(state["decoder_adam"])
