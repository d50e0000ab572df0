"""Memory of a population's agents: the last steps of each agent's observations and actions, encoded
with attention.

One layer of self-attention followed by soft attention, as MOMA-PPO (Barde et al., 2024, section
3.2) gives every learner.

Axes: M members, N agents, B batch, L steps of history, I observation and action of one agent, H
size of the embedding.
"""

import math

import torch
from torch import Tensor

from common.learning.population import Parameters

LENGTH = 10  # steps, without the present one
EPS = 1e-5
POSITION_BASE = 1e4


def encoder(
    streams: list[torch.Generator], inputs: list[int], padded: int, size: int, device="cpu"
) -> Parameters:
    """Encoders of every member and agent, PyTorch's default initialisation.

    Args:
        streams: one per member.
        inputs: true size of an agent's observation and action together, at most padded.
        size: H.
    """

    def linear(stream, fan_in: int, rows: int) -> tuple[Tensor, Tensor]:
        limit = 1 / math.sqrt(fan_in)
        weight = torch.empty(rows, size).uniform_(-limit, limit, generator=stream)
        return weight, torch.empty(size).uniform_(-limit, limit, generator=stream)

    names: dict[str, list] = {}
    for stream in streams:
        member: dict[str, list] = {}
        for fan_in in inputs:
            tensors = {}
            for name, width, rows in (
                ("embed", fan_in, padded),
                *((name, size, size) for name in ("query", "key", "value")),
            ):
                tensors[f"{name}_w"], tensors[f"{name}_b"] = linear(stream, width, rows)
            tensors["norm_w"], tensors["norm_b"] = torch.ones(size), torch.zeros(size)
            tensors["soft_w"], _ = linear(stream, size, size)
            tensors["soft_q"] = torch.empty(size).normal_(generator=stream)
            for name, tensor in tensors.items():
                member.setdefault(name, []).append(tensor)
        for name, parts in member.items():
            names.setdefault(name, []).append(torch.stack(parts))
    return Parameters({name: torch.stack(parts).to(device) for name, parts in names.items()})


def positions(length: int, size: int, device="cpu") -> Tensor:
    """[L, H] sinusoidal positions (Vaswani et al., 2017)."""
    rates = POSITION_BASE ** (-torch.arange(0, size, 2, device=device) / size)
    angles = torch.arange(length, device=device)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)[:, :size]


def encode(params: Parameters | dict, history: Tensor) -> Tensor:
    """[M, N, B, H] of histories [M, N, B, L, I], oldest first; steps before an episode's start are
    zeros, not masked.
    """
    members, agents, batch, length, _ = history.shape
    size = params["embed_b"].shape[-1]

    def linear(x: Tensor, name: str) -> Tensor:
        return torch.matmul(x, params[f"{name}_w"]) + params[f"{name}_b"].unsqueeze(-2)

    x = linear(history.flatten(2, 3), "embed").unflatten(2, (batch, length)) + positions(
        length, size, history.device
    )
    rows = x.flatten(2, 3)
    query, key, value = (
        linear(rows, name).view(members * agents * batch, length, size)
        for name in ("query", "key", "value")
    )
    weights = torch.softmax(torch.bmm(query, key.mT) / math.sqrt(size), dim=-1)
    mixed = x + torch.bmm(weights, value).view(x.shape)
    mean = mixed.mean(-1, keepdim=True)
    centred = mixed - mean
    normed = centred * (centred.square().mean(-1, keepdim=True) + EPS).rsqrt()
    h = normed * params["norm_w"][:, :, None, None] + params["norm_b"][:, :, None, None]
    keys = torch.matmul(h.flatten(2, 3), params["soft_w"]).tanh()
    scores = torch.matmul(keys, params["soft_q"].unsqueeze(-1)).unflatten(
        2, (batch, length)
    )  # [M, N, B, L, 1]
    return (torch.softmax(scores, dim=3) * h).sum(3)
