"""Populations: many networks trained at once, one slice of a tensor per member.

Axes, always in this order: M members (seed x setting), N agents, E ensemble, B batch, then
features. Member m is exactly what a run of its seed and setting alone would train: losses are
reduced over the batch only and summed over members, and whatever looks at all parameters of a
network looks at one member's one agent.
"""

import copy
import hashlib
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from common.learning.kernels import adam_step


def generator(seed: int, purpose: str) -> torch.Generator:
    """The torch generator of one member for one purpose ("actor", "evaluation"...).

    It is for initial weights and simulators. What members draw while they learn and act comes from
    `common.learning.philox`.

    It is keyed by seed and purpose alone, so a member draws the same numbers whatever it is batched
    with.
    """
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


class Generators(list[torch.Generator]):
    """A generator per member, and its state."""

    def normal(self, shape: Sequence[int]) -> Tensor:
        """[M, *shape] standard normal numbers."""
        return normal_(torch.empty(len(self), *shape), self)

    def state_dict(self) -> list[Tensor]:
        return [stream.get_state() for stream in self]

    def load_state_dict(self, state: list[Tensor]) -> None:
        for stream, saved in zip(self, state, strict=True):
            stream.set_state(saved)


def generators(seeds: Sequence[int], purpose: str) -> Generators:
    """One generator per member."""
    return Generators(generator(seed, purpose) for seed in seeds)


def per_member(value, members: int, device="cpu") -> Tensor:
    """[M] float tensor: a hyperparameter given once, or once per member.

    Raises:
        ValueError: a list of another length than the number of members.
    """
    tensor = torch.as_tensor(value, dtype=torch.float32, device=device)
    if tensor.ndim and len(tensor) != members:
        raise ValueError(f"a per-member value has {len(tensor)} entries, expected {members}")
    return tensor.expand(members).clone()


def mean_over_batch(values: Tensor, leading: int = 2) -> Tensor:
    """Mean over everything behind the first `leading` axes (members, agents)."""
    return values.flatten(leading).mean(-1)


class Parameters:
    """Named tensors [M, N, ...] that share one flat storage [M, N, P].

    The flat storage makes everything that runs over all parameters of a network (Adam, norm clip,
    target averaging, checkpoints) one operation. `self[name]` is a leaf of the autograd graph whose
    gradient is a view of `self.grad`.
    """

    def __init__(self, tensors: dict[str, Tensor], trainable: bool = True):
        self.shapes = {name: tuple(tensor.shape[2:]) for name, tensor in tensors.items()}
        first = next(iter(tensors.values()))
        members, agents = first.shape[:2]
        self.flat = torch.cat(
            [tensor.reshape(members, agents, -1) for tensor in tensors.values()], dim=-1
        )
        self.grad = torch.zeros_like(self.flat) if trainable else torch.empty(0)
        self.tensors = self.split(self.flat)
        if trainable:
            for name, view in self.split(self.grad).items():
                leaf = self.tensors[name].detach().requires_grad_()
                leaf.grad = view
                self.tensors[name] = leaf

    def split(self, flat: Tensor) -> dict[str, Tensor]:
        """Tensors by name of flat [M, N, P], numbers for every parameter: views of it."""
        views = {}
        start = 0
        for name, shape in self.shapes.items():
            size = math.prod(shape)
            views[name] = flat[..., start : start + size].view(*flat.shape[:2], *shape)
            start += size
        return views

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def part(self, members: slice) -> "Parameters":
        """Those of some members without gradients: they share memory with these and follow their
        training.
        """
        some = copy.copy(self)
        some.flat = self.flat[members]
        some.grad = torch.empty(0)
        some.tensors = some.split(some.flat)
        return some

    def zero_grad(self) -> None:
        self.grad.zero_()

    def frozen_copy(self) -> "Parameters":
        """A copy without gradients: a target network, or a snapshot."""
        return Parameters(
            {name: tensor.detach() for name, tensor in self.tensors.items()}, trainable=False
        )

    def average_towards(self, online: "Parameters", tau: float) -> None:
        """Polyak average: self <- (1 - tau) self + tau online."""
        with torch.no_grad():
            self.flat.lerp_(online.flat, tau)

    def clip_grad_norm(self, max_norm: float) -> None:
        """Scales each network's gradient to a norm of at most max_norm, as
        torch.nn.utils.clip_grad_norm_ does.
        """
        norm = self.grad.norm(dim=-1, keepdim=True)  # [M, N, 1]
        self.grad.mul_((max_norm / (norm + 1e-6)).clamp_max(1.0))


class Adam:
    """Adam (Kingma and Ba, 2015) on a population, equal to torch.optim.Adam with one learning rate
    per member.

    Args:
        parameters: what to train.
        lr: [M], learning rates.
        max_norm: each network's gradient is clipped to this norm first; None for no clipping.
        weight_decay: L2 penalty, added to the (clipped) gradient.
    """

    def __init__(
        self,
        parameters: Parameters,
        lr: Tensor,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        max_norm: float | None = None,
        weight_decay: float = 0.0,
    ):
        self.parameters = parameters
        self.betas, self.eps = betas, eps
        self.max_norm, self.weight_decay = max_norm, weight_decay
        self.lr = lr.to(parameters.flat)
        self.mean = torch.zeros_like(parameters.flat)
        self.square = torch.zeros_like(parameters.flat)
        self.steps = 0

    @torch.no_grad()
    def step(self) -> None:
        """One step along `parameters.grad`."""
        if self.max_norm is not None:
            self.parameters.clip_grad_norm(self.max_norm)
        if self.weight_decay:
            self.parameters.grad.add_(self.parameters.flat, alpha=self.weight_decay)
        self.steps += 1
        beta1, beta2 = self.betas
        scale = math.sqrt(1 - beta2**self.steps)
        rate = self.lr / (1 - beta1**self.steps)
        adam_step(
            self.parameters.flat,
            self.parameters.grad,
            self.mean,
            self.square,
            rate,
            self.betas,
            scale,
            self.eps,
        )

    def state_dict(self) -> dict:
        return {"mean": self.mean, "square": self.square, "steps": self.steps}

    def load_state_dict(self, state: dict) -> None:
        self.mean.copy_(state["mean"])
        self.square.copy_(state["square"])
        self.steps = state["steps"]


def uniform_(
    out: Tensor, streams: list[torch.Generator], low: float = -1.0, high: float = 1.0
) -> Tensor:
    """Fills out [M, ...], each member from its own stream."""
    for member, stream in zip(out, streams, strict=True):
        member.uniform_(low, high, generator=stream)
    return out


def normal_(out: Tensor, streams: list[torch.Generator]) -> Tensor:
    """Fills out [M, ...] with standard normal numbers, each member from its own stream."""
    for member, stream in zip(out, streams, strict=True):
        member.normal_(generator=stream)
    return out


def members_of(state, members: list[int]):
    """The part of a learner's state that belongs to some of its members, in this order; a member
    may be taken twice.

    Args:
        state: nested dictionaries of tensors [M, ...], lists with an entry per member, and shared
            numbers.
    """
    if isinstance(state, dict):
        return {name: members_of(part, members) for name, part in state.items()}
    if isinstance(state, list):
        return [state[m] for m in members]
    return state[members] if isinstance(state, torch.Tensor) else state
