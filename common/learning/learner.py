"""What several learners share: named networks of a population with optimisers, target networks and
noise.
"""

import torch
from torch import Tensor

from common.learning.population import Adam, Parameters, generators, per_member


class Learner:
    """Holds networks; a subclass adds them and says how they learn.

    Attributes:
        parts, targets, adams: networks, their target networks where there are any, and optimisers,
            by name.
        streams: random numbers of learning, one stream per member.
        max_norm: gradients of a network are clipped to it; None for no clipping.
    """

    def __init__(self, seeds: list[int], device="cpu", max_norm: float | None = None):
        self.seeds, self.device, self.max_norm = seeds, device, max_norm
        self.parts: dict[str, Parameters] = {}
        self.targets: dict[str, Parameters] = {}
        self.adams: dict[str, Adam] = {}
        self.streams = generators(seeds, "noise", device)

    def hold(self, name: str, tensors: dict[str, Tensor], lr: float, target: bool) -> None:
        """A network for every member, its optimiser and, with `target`, a copy that follows it."""
        self.parts[name] = Parameters(
            {key: tensor.to(self.device) for key, tensor in tensors.items()}
        )
        self.adams[name] = Adam(self.parts[name], per_member(lr, len(self.seeds), self.device))
        if target:
            self.targets[name] = self.parts[name].frozen_copy()

    def descend(self, loss: Tensor, *names: str) -> None:
        """One optimiser step of some networks."""
        for name in names:
            self.parts[name].zero_grad()
        loss.sum().backward(
            inputs=[tensor for name in names for tensor in self.parts[name].tensors.values()]
        )
        for name in names:
            if self.max_norm is not None:
                self.parts[name].clip_grad_norm(self.max_norm)
            self.adams[name].step()

    def state_dict(self) -> dict:
        return {
            "parts": {name: part.flat for name, part in self.parts.items()},
            "targets": {name: part.flat for name, part in self.targets.items()},
            "adams": {name: adam.state_dict() for name, adam in self.adams.items()},
            "noise": [stream.get_state() for stream in self.streams],
        }

    @torch.no_grad()
    def load_state_dict(self, state: dict) -> None:
        for name, part in self.parts.items():
            part.flat.copy_(state["parts"][name])
            self.adams[name].load_state_dict(state["adams"][name])
        for name, part in self.targets.items():
            part.flat.copy_(state["targets"][name])
        for stream, saved in zip(self.streams, state["noise"], strict=True):
            stream.set_state(saved)
