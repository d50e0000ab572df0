"""Memory of a population's agents: the last steps of each agent's observations and actions, encoded
with attention.

One layer of self-attention followed by soft attention, as MOMA-PPO (Barde et al., 2024, section
3.2) gives every learner. `attention.py` has its CPU form.

Axes: M members, N agents, B batch, L steps of history, I observation and action of one agent, H
size of the embedding, O observation.
"""

import functools
import math

import torch
from torch import Tensor

from common.learning import attention
from common.learning.population import Parameters

EPS = 1e-5
POSITION_BASE = 1e4


def linear_parameters(
    stream: torch.Generator, fan_in: int, rows: int, size: int
) -> tuple[Tensor, Tensor]:
    """Weight [rows, size] and bias [size], PyTorch's default for a layer of fan_in inputs."""
    limit = 1 / math.sqrt(fan_in)
    weight = torch.empty(rows, size).uniform_(-limit, limit, generator=stream)
    return weight, torch.empty(size).uniform_(-limit, limit, generator=stream)


def agent_encoder(
    stream: torch.Generator, inputs: int, padded: int, size: int
) -> dict[str, Tensor]:
    """Initial tensors of one agent's encoder, see `encoder_parameters`."""
    tensors = {}
    tensors["embed_w"], tensors["embed_b"] = linear_parameters(stream, inputs, padded, size)
    for name in ("query", "key", "value"):
        weight, bias = linear_parameters(stream, size, size, size)
        tensors[f"{name}_w"] = weight
        tensors[f"{name}_b"] = bias
    tensors["norm_w"] = torch.ones(size)
    tensors["norm_b"] = torch.zeros(size)
    # The keys of soft attention have no bias; it is drawn all the same, for the stream's sake.
    tensors["soft_w"], _ = linear_parameters(stream, size, size, size)
    tensors["soft_q"] = torch.empty(size).normal_(generator=stream)
    return tensors


def encoder_parameters(
    streams: list[torch.Generator], inputs: list[int], padded: int, size: int
) -> dict[str, Tensor]:
    """Initial tensors [M, N, ...] of the encoders of every member and agent.

    Args:
        streams: one per member.
        inputs: true size of an agent's observation and action together, at most padded.
        size: H.
    """
    members = [
        [agent_encoder(stream, fan_in, padded, size) for fan_in in inputs] for stream in streams
    ]
    return {
        name: torch.stack([torch.stack([agent[name] for agent in agents]) for agents in members])
        for name in members[0][0]
    }


@functools.cache
def positions(length: int, size: int, device="cpu") -> Tensor:
    """[L, H] sinusoidal positions (Vaswani et al., 2017); one tensor for all who ask."""
    rates = POSITION_BASE ** (-torch.arange(0, size, 2, device=device) / size)
    angles = torch.arange(length, device=device)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)[:, :size]


def encode(params: Parameters, history: Tensor) -> Tensor:
    """[M, N, B, H] of histories [M, N, B, L, I], oldest first; steps before an episode's start are
    zeros, not masked.
    """
    size = params["embed_b"].shape[-1]
    if not attention.native(history, size):
        return encode_reference(params, history)
    return attention.encode(params, history, positions(history.shape[3], size))


def encode_reference(params: Parameters, history: Tensor) -> Tensor:
    """Plain torch form of `encode`."""
    members, agents, batch, length, _ = history.shape
    size = params["embed_b"].shape[-1]

    def linear(x: Tensor, name: str) -> Tensor:
        return torch.matmul(x, params[f"{name}_w"]) + params[f"{name}_b"].unsqueeze(-2)

    embedded = linear(history.flatten(2, 3), "embed").unflatten(2, (batch, length))
    x = embedded + positions(length, size, history.device)

    rows = x.flatten(2, 3)
    query, key, value = (
        linear(rows, name).view(members * agents * batch, length, size)
        for name in ("query", "key", "value")
    )
    weights = torch.softmax(torch.bmm(query, key.mT) / math.sqrt(size), dim=-1)
    attended = x + torch.bmm(weights, value).view(x.shape)

    centred = attended - attended.mean(-1, keepdim=True)
    normed = centred * (centred.square().mean(-1, keepdim=True) + EPS).rsqrt()
    h = normed * params["norm_w"][:, :, None, None] + params["norm_b"][:, :, None, None]

    keys = torch.matmul(h.flatten(2, 3), params["soft_w"]).tanh()
    scores = torch.matmul(keys, params["soft_q"].unsqueeze(-1))
    scores = scores.unflatten(2, (batch, length))  # [M, N, B, L, 1]
    return (torch.softmax(scores, dim=3) * h).sum(3)


def remembered(encoder: Parameters | None, obs: Tensor, history: Tensor) -> Tensor:
    """[M, N, B, H + O] the encoded history in front of obs [M, N, B, O]; obs alone without an
    encoder.
    """
    if encoder is None:
        return obs
    return torch.cat([encode(encoder, history), obs], -1)
