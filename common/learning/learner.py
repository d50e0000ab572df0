"""What several learners share: named networks of a population with optimisers, target networks and
noise.
"""

import torch
from torch import Tensor

from common.learning.population import Adam, Parameters, generators, per_member


class Learner:
    """Holds networks; a subclass adds them and says how they learn.

    Attributes:
        networks, targets, optimisers: networks, their target networks where there are any, and optimisers,
            by name.
        streams: random numbers of learning, one stream per member.
        max_norm: gradients of a network are clipped to it; None for no clipping.
    """

    def __init__(self, seeds: list[int], device="cpu", max_norm: float | None = None):
        self.seeds, self.device, self.max_norm = seeds, device, max_norm
        self.networks: dict[str, Parameters] = {}
        self.targets: dict[str, Parameters] = {}
        self.optimisers: dict[str, Adam] = {}
        self.streams = generators(seeds, "noise", device)

    def hold(self, name: str, tensors: dict[str, Tensor], lr: float, target: bool) -> None:
        """A network for every member, its optimiser and, with `target`, a copy that follows it."""
        self.networks[name] = Parameters(
            {key: tensor.to(self.device) for key, tensor in tensors.items()}
        )
        self.optimisers[name] = Adam(self.networks[name], per_member(lr, len(self.seeds), self.device))
        if target:
            self.targets[name] = self.networks[name].frozen_copy()

    def descend(self, loss: Tensor, *names: str) -> None:
        """One optimiser step of some networks."""
        for name in names:
            self.networks[name].zero_grad()
        loss.sum().backward(
            inputs=[tensor for name in names for tensor in self.networks[name].tensors.values()]
        )
        for name in names:
            if self.max_norm is not None:
                self.networks[name].clip_grad_norm(self.max_norm)
            self.optimisers[name].step()

    def state_dict(self) -> dict:
        return {
            "networks": {name: part.flat for name, part in self.networks.items()},
            "targets": {name: part.flat for name, part in self.targets.items()},
            "optimisers": {name: adam.state_dict() for name, adam in self.optimisers.items()},
            "noise": self.streams.state_dict(),
        }

    @torch.no_grad()
    def load_state_dict(self, state: dict) -> None:
        for name, part in self.networks.items():
            part.flat.copy_(state["networks"][name])
            self.optimisers[name].load_state_dict(state["optimisers"][name])
        for name, part in self.targets.items():
            part.flat.copy_(state["targets"][name])
        self.streams.load_state_dict(state["noise"])
