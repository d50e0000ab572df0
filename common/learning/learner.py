"""What every learner holds: named networks of a population with optimisers, targets and noise."""

import copy
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from common.learning.philox import Streams
from common.learning.population import Adam, Parameters, per_member


class Stateful(Protocol):
    """Whatever a checkpoint can hold and bring back."""

    def state_dict(self) -> Any: ...

    def load_state_dict(self, state: Any) -> None: ...


class Learner:
    """Holds networks; a subclass adds them and says how they learn.

    Args:
        seeds: one per member; none for a learner that draws nothing itself.
        max_norm: gradients of a network are clipped to this norm; None for no clipping.
        noise: what the random numbers of learning are named after.

    Attributes:
        networks, targets, optimisers: networks, their target networks where there are any, and
            optimisers, by name.
        streams: random numbers of learning.
        others: whatever else has a state that training changes (streams, running moments, learners
            inside this one), by name.
        notes: numbers and tensors that training replaces (counts, a last minibatch), by name.
    """

    def __init__(
        self,
        seeds: list[int],
        device: str = "cpu",
        max_norm: float | None = None,
        noise: str = "noise",
    ):
        self.seeds = seeds
        self.device = device
        self.max_norm = max_norm
        self.networks: dict[str, Parameters] = {}
        self.targets: dict[str, Parameters] = {}
        self.optimisers: dict[str, Adam] = {}
        self.streams = Streams(seeds, noise, device)
        self.others: dict[str, Stateful] = {"noise": self.streams} if seeds else {}
        self.notes: dict[str, Any] = {}

    def hold(
        self,
        name: str,
        network: Parameters | dict[str, Tensor],
        lr: float | list[float],
        target: bool = False,
        clip: bool = True,
        weight_decay: float = 0.0,
    ) -> Parameters:
        """A network for every member, its optimiser and, with `target`, a copy that follows it.

        Args:
            network: its parameters, or the tensors [M, N, ...] they start from.
            lr: learning rate; one for all, or one per member.
            clip: whether its gradient is clipped to the learner's `max_norm`.
            weight_decay: L2 penalty, added to the gradient as torch.optim.Adam does.
        """
        if not isinstance(network, Parameters):
            network = Parameters({key: one.to(self.device) for key, one in network.items()})
        rates = per_member(lr, len(network.flat), self.device)
        max_norm = self.max_norm if clip else None
        self.networks[name] = network
        self.optimisers[name] = Adam(network, rates, max_norm=max_norm, weight_decay=weight_decay)
        if target:
            self.targets[name] = network.frozen_copy()
        return network

    def backward(self, loss: Tensor, *names: str) -> None:
        """The gradient of loss [M] or [M, N] in these networks."""
        networks = [self.networks[name] for name in names]
        for network in networks:
            network.zero_grad()
        leaves = [leaf for network in networks for leaf in network.tensors.values()]
        loss.sum().backward(inputs=leaves)

    def descend(self, loss: Tensor, *names: str) -> None:
        """One optimiser step of these networks along the gradient of loss [M] or [M, N]."""
        self.backward(loss, *names)
        for name in names:
            self.optimisers[name].step()

    def follow(self, tau: float, *names: str) -> None:
        """Moves targets towards their networks by the share tau: those named, else all."""
        for name in names or self.targets:
            self.targets[name].average_towards(self.networks[name], tau)

    def normal(self, *shape: int) -> Tensor:
        """[M, *shape] standard normal numbers."""
        return self.streams.normal(shape)

    def part(self, members: slice) -> Self:
        """Some of the members, to act and to be valued by, not to train.

        Its `networks` share memory with the population's and follow their training.
        """
        some = copy.copy(self)
        some.networks = {name: network.part(members) for name, network in self.networks.items()}
        return some

    def state_dict(self) -> dict:
        """Everything that training changes: tensors and lists over members, and shared numbers."""
        return {
            "networks": {name: network.flat for name, network in self.networks.items()},
            "targets": {name: target.flat for name, target in self.targets.items()},
            "optimisers": {name: adam.state_dict() for name, adam in self.optimisers.items()},
            "others": {name: other.state_dict() for name, other in self.others.items()},
            "notes": dict(self.notes),
        }

    @torch.no_grad()
    def load_state_dict(self, state: dict) -> None:
        """Goes on from a `state_dict`."""
        for name, network in self.networks.items():
            network.flat.copy_(state["networks"][name])
            self.optimisers[name].load_state_dict(state["optimisers"][name])
        for name, target in self.targets.items():
            target.flat.copy_(state["targets"][name])
        for name, other in self.others.items():
            other.load_state_dict(state["others"][name])
        for name, note in state["notes"].items():
            self.notes[name] = note.clone().to(self.device) if isinstance(note, Tensor) else note
