"""Recurrent networks of a population: a ReLU layer, a GRU (Cho et al., 2014) and a linear output, as SMAC's baselines use.

Axes: M members, N networks (agents, or one that a team shares), P positions in time, R rows (episodes, agents), I input,
H hidden, U outputs. Rows are whole episodes one after the other: `fresh` marks where one begins and memory is cleared.
"""

import math

import torch
from torch import Tensor

from common.population import Parameters


def recurrent_parameters(streams: list[torch.Generator], networks: int, inputs: int, hidden: int, outputs: int) -> dict:
    """Initial tensors of `networks` networks per member, PyTorch's default for Linear and GRU.

    Args:
        streams: one per member; a member's networks are drawn from its own stream.
    """
    wide = 1 / math.sqrt(hidden)
    shapes = {
        "in_w": ((inputs, hidden), 1 / math.sqrt(inputs)), "in_b": ((hidden,), 1 / math.sqrt(inputs)),
        "x_w": ((hidden, 3 * hidden), wide), "x_b": ((3 * hidden,), wide),
        "h_w": ((hidden, 3 * hidden), wide), "h_b": ((3 * hidden,), wide),
        "out_w": ((hidden, outputs), wide), "out_b": ((outputs,), wide),
    }  # fmt: skip
    found = {name: [] for name in shapes}
    for stream in streams:
        member = [
            {name: torch.empty(shape).uniform_(-limit, limit, generator=stream) for name, (shape, limit) in shapes.items()}
            for _ in range(networks)
        ]
        for name in shapes:
            found[name].append(torch.stack([network[name] for network in member]))
    return {name: torch.stack(values) for name, values in found.items()}


def gates(projected: Tensor, recurrent: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Reset and update gates [..., 2 H], candidate and next memory [..., H].

    Args:
        projected, recurrent: [..., 3 H] of the input and of the memory, in PyTorch's order: reset, update, candidate.
    """
    size = hidden.shape[-1]
    both = (projected[..., : 2 * size] + recurrent[..., : 2 * size]).sigmoid_()
    reset, update = both.split(size, -1)
    candidate = torch.addcmul(projected[..., 2 * size :], reset, recurrent[..., 2 * size :]).tanh_()
    return both, candidate, torch.lerp(candidate, hidden, update)


class GRU(torch.autograd.Function):
    """Memories [G, P, R, H] along time, without a graph of every step.

    Args of forward:
        projected: [G, P, R, 3 H], inputs times their weights.
        w, b: [G, H, 3 H] and [G, 1, 3 H] of the memory.
        kept: [G, P, R, 1], 0 where an episode begins, else 1.
    """

    @staticmethod
    def forward(ctx, projected, w, b, kept):
        w, b = w.contiguous(), b.contiguous()
        count, steps, rows, size = *projected.shape[:3], w.shape[1]
        hidden = projected.new_zeros(count, rows, size)
        before, both, candidates, last, after = ([] for _ in range(5))
        for t in range(steps):
            hidden = hidden * kept[:, t]
            recurrent = torch.baddbmm(b, hidden, w)
            gate, candidate, following = gates(projected[:, t], recurrent, hidden)
            before.append(hidden)
            both.append(gate)
            candidates.append(candidate)
            last.append(recurrent[..., 2 * size :])
            after.append(following)
            hidden = following
        ctx.save_for_backward(w, kept)
        ctx.kept = before, both, candidates, last
        return torch.stack(after, 1)

    @staticmethod
    def backward(ctx, upstream):
        w, kept = ctx.saved_tensors
        before, both, candidates, last = ctx.kept
        size, wt = w.shape[1], w.mT.contiguous()
        flowing = torch.zeros_like(upstream[:, 0])
        to_projected, to_recurrent = [None] * len(before), [None] * len(before)
        for t in reversed(range(len(before))):
            reset, update = both[t].split(size, -1)
            candidate, hidden = candidates[t], before[t]
            grad = upstream[:, t] + flowing
            to_candidate = (grad - grad * update) * (1 - candidate.square())
            to_update = grad * (hidden - candidate) * (update - update.square())
            to_reset = to_candidate * last[t] * (reset - reset.square())
            to_projected[t] = torch.cat([to_reset, to_update, to_candidate], -1)
            to_recurrent[t] = torch.cat([to_reset, to_update, to_candidate * reset], -1)
            flowing = torch.baddbmm(grad * update, to_recurrent[t], wt) * kept[:, t]
        gradient = torch.stack(to_recurrent, 1).flatten(1, 2)
        to_w = torch.bmm(torch.stack(before, 1).flatten(1, 2).mT, gradient)
        return torch.stack(to_projected, 1), to_w, gradient.sum(1, keepdim=True), None


def unroll(params: Parameters | dict, x: Tensor, fresh: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs [M, N, P, R, U] and memories [M, N, P, R, H] of inputs x [M, N, P, R, I].

    Args:
        fresh: [M, N, P, R] or broadcastable, 1 where an episode begins.
    """
    members, networks, steps, rows, _ = x.shape
    kept = (1 - fresh).expand(members, networks, steps, rows).flatten(0, 1).unsqueeze(-1)
    first = (x.flatten(2, 3) @ params["in_w"] + params["in_b"].unsqueeze(-2)).relu()
    projected = (first @ params["x_w"] + params["x_b"].unsqueeze(-2)).unflatten(2, (steps, rows)).flatten(0, 1)
    memory = GRU.apply(projected, params["h_w"].flatten(0, 1), params["h_b"].flatten(0, 1).unsqueeze(1), kept)
    memory = memory.unflatten(0, (members, networks))
    return read(params, memory.flatten(2, 3)).unflatten(2, (steps, rows)), memory


def read(params: Parameters | dict, memory: Tensor) -> Tensor:
    """Outputs [M, N, B, U] of memories [M, N, B, H]."""
    return memory @ params["out_w"] + params["out_b"].unsqueeze(-2)


def step(params: Parameters | dict, x: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs [M, N, R, U] and the next memories [M, N, R, H] of inputs x [M, N, R, I]; acting, one step."""
    first = (x @ params["in_w"] + params["in_b"].unsqueeze(-2)).relu()
    projected = first @ params["x_w"] + params["x_b"].unsqueeze(-2)
    recurrent = memory @ params["h_w"] + params["h_b"].unsqueeze(-2)
    memory = gates(projected, recurrent, memory)[2]
    return read(params, memory), memory
