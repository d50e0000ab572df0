"""What all model-free learners here share: encoders of the past with a target copy, and descent
that steps them too.

Axes: M members, N agents, B batch, L history, I observation and action of one agent, O observation,
H embedding.
"""

import torch
from torch import Tensor

from common.learning.memory import encode, encoder
from common.learning.networks import mlp_parameters
from common.learning.population import Adam, Parameters, generators, per_member


class Remembering:
    """Memory encoders of every member and agent, one Adam state that every loss steps, and a slowly
    following copy.

    Args:
        size: H; 0 for agents without memory.
        lr, tau: of Adam, and of the target copy.
    """

    def __init__(
        self,
        seeds: list[int],
        obs_dims: list[int],
        action_dim: int,
        size: int,
        hidden: int,
        lr: float,
        tau: float,
        device="cpu",
    ):
        self.seeds, self.obs_dims, self.padded = seeds, obs_dims, max(obs_dims)
        self.size, self.hidden, self.tau, self.device = size, hidden, tau, device
        self.rates = per_member(lr, len(seeds), device)
        self.memory = self.target_memory = self.memory_adam = None
        if size:
            inputs, width = [dim + action_dim for dim in obs_dims], self.padded + action_dim
            self.memory = encoder(generators(seeds, "memory"), inputs, width, size, device)
            self.target_memory, self.memory_adam = (
                self.memory.frozen_copy(),
                Adam(self.memory, self.rates),
            )

    def network(
        self,
        purpose: str,
        inputs: int,
        outputs: int,
        heads: int | None = None,
        bound: float | None = None,
    ) -> Parameters:
        """Networks on features and `inputs` more numbers."""
        sizes, width = (
            [self.size + dim + inputs for dim in self.obs_dims],
            self.size + self.padded + inputs,
        )
        streams = generators(self.seeds, purpose)
        tensors = mlp_parameters(
            streams, sizes, width, self.hidden, outputs, heads, input_norm=False, output_bound=bound
        )
        return Parameters({name: tensor.to(self.device) for name, tensor in tensors.items()})

    def features(self, obs: Tensor, history: Tensor, target: bool = False) -> Tensor:
        """[M, N, B, H + O] of obs [M, N, B, O] and history [M, N, B, L, I]."""
        if not self.size:
            return obs
        return torch.cat([encode(self.target_memory if target else self.memory, history), obs], -1)

    def descend(
        self,
        loss: Tensor,
        networks: list[Parameters],
        adams: list[Adam],
        max_norm: float | None = None,
    ) -> None:
        """One step of networks, and of the memory, on the sum of losses.

        Args:
            max_norm: of each network's own gradient.
        """
        networks, adams = list(networks), list(adams)
        if self.size:
            networks.append(self.memory)
            adams.append(self.memory_adam)
        for network in networks:
            network.zero_grad()
        loss.sum().backward(
            inputs=[tensor for network in networks for tensor in network.tensors.values()]
        )
        for network, adam in zip(networks, adams, strict=True):
            if max_norm is not None:
                network.clip_grad_norm(max_norm)
            adam.step()

    def follow(self) -> None:
        """The target copy's step."""
        if self.size:
            self.target_memory.average_towards(self.memory, self.tau)

    def state_dict(self) -> dict:
        if not self.size:
            return {}
        return {
            "memory": self.memory.flat,
            "target": self.target_memory.flat,
            "adam": self.memory_adam.state_dict(),
        }

    def load_state_dict(self, state: dict) -> None:
        if self.size:
            with torch.no_grad():
                self.memory.flat.copy_(state["memory"])
                self.target_memory.flat.copy_(state["target"])
            self.memory_adam.load_state_dict(state["adam"])
