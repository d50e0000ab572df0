"""Recurrent networks of a population: a ReLU layer, a GRU (Cho et al., 2014) and a linear output,
as SMAC's baselines use.

Axes: M members, N networks (agents, or one that a team shares), P positions in time, C columns
(episodes, agents), R rows, I input, H hidden, U outputs. Columns are whole episodes one after the
other: `fresh` marks where one begins and memory is cleared. Of the P C places only those that are
asked for are there, as `Rows`.

As in common.learning.kernels there is a CPU form, packed.c, that handles one network after another,
and a plain torch form for everything else; tests hold both together.
"""

import ctypes
import math
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from common.learning import kernels
from common.learning.population import Parameters

SOURCE = Path(__file__).with_name("packed.c")
LANES = 16  # as in kernels.c


def recurrent_parameters(
    streams: list[torch.Generator], networks: int, inputs: int, hidden: int, outputs: int
) -> dict[str, Tensor]:
    """Initial tensors of `networks` networks per member, PyTorch's default for Linear and GRU.

    Args:
        streams: one per member; a member's networks are drawn from its own stream.
    """
    wide = 1 / math.sqrt(hidden)
    shapes = {
        "in_w": ((inputs, hidden), 1 / math.sqrt(inputs)),
        "in_b": ((hidden,), 1 / math.sqrt(inputs)),
        "x_w": ((hidden, 3 * hidden), wide),
        "x_b": ((3 * hidden,), wide),
        "h_w": ((hidden, 3 * hidden), wide),
        "h_b": ((3 * hidden,), wide),
        "out_w": ((hidden, outputs), wide),
        "out_b": ((outputs,), wide),
    }

    def draw(stream: torch.Generator) -> dict[str, Tensor]:
        return {
            name: torch.empty(shape).uniform_(-limit, limit, generator=stream)
            for name, (shape, limit) in shapes.items()
        }

    members = [[draw(stream) for _ in range(networks)] for stream in streams]
    return {
        name: torch.stack([torch.stack([one[name] for one in member]) for member in members])
        for name in shapes
    }


def gates(projected: Tensor, recurrent: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Reset and update gates [..., 2 H], candidate and next memory [..., H].

    Args:
        projected, recurrent: [..., 3 H] of the input and of the memory, in PyTorch's order: reset,
            update, candidate.
    """
    size = hidden.shape[-1]
    both = (projected[..., : 2 * size] + recurrent[..., : 2 * size]).sigmoid()
    reset, update = both.split(size, -1)
    candidate = torch.addcmul(projected[..., 2 * size :], reset, recurrent[..., 2 * size :]).tanh()
    return both, candidate, torch.lerp(candidate, hidden, update)


def native(x: Tensor, *widths: int) -> ctypes.CDLL | None:
    """The compiled form, where it serves input x and layers of these widths."""
    usable = (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and all(width % LANES == 0 for width in widths)
    )
    return kernels.compiled(SOURCE) if usable else None


class Linear(torch.autograd.Function):
    """CPU form of `linear`."""

    @staticmethod
    def forward(ctx, x, w, b, rectify):
        lead = w.shape[:-2]
        rows, size = x.shape[-2:]
        out = w.shape[-1]
        y = x.new_empty(*lead, rows, out)
        p = kernels.Nets(lead)
        kernels.compiled(SOURCE).linear_forward(
            *kernels.longs(p.count, rows, size, out, rectify), *(p(t) for t in (x, w, b, y))
        )
        ctx.save_for_backward(x, w, y if rectify else None)
        ctx.rectify = rectify
        return y

    @staticmethod
    def backward(ctx, gy):
        x, w, y = ctx.saved_tensors
        lead = w.shape[:-2]
        rows, size = x.shape[-2:]
        out = w.shape[-1]
        needs_x = ctx.needs_input_grad[0]
        needs_weights = any(ctx.needs_input_grad[1:3])
        gx = x.new_empty(*lead, rows, size if needs_x else 0)
        gw = w.new_zeros(w.shape if needs_weights else (*lead, 0, 0))
        gb = w.new_zeros(*lead, 1, out)
        p = kernels.Nets(lead)
        gy = gy.clone(memory_format=torch.contiguous_format)
        kernels.compiled(SOURCE).linear_backward(
            *kernels.longs(p.count, rows, size, out, ctx.rectify, needs_weights, needs_x),
            *(p(t) for t in (x, w, gy if y is None else y, gy, gw, gb, gx)),
        )
        return (
            gx if needs_x else None,
            gw if needs_weights else None,
            gb if needs_weights else None,
            None,
        )


def linear(x: Tensor, w: Tensor, b: Tensor, rectify: bool = False) -> Tensor:
    """[..., B, out] x w + b of every network, or its positive part, for x [..., B, in], w [..., in,
    out] and b [..., out].

    Leading axes of x broadcast against those of the weights.
    """
    out = w.shape[-1]
    if not native(x):
        y = x @ w + b.unsqueeze(-2)
        return y.relu() if rectify else y
    if missing := -out % LANES:
        w = pad(w, (0, missing))
        b = pad(b, (0, missing))
    lead = kernels.broadcast_lead(x.shape[:-2], w.shape[:-2])
    x = x.expand(*lead, *x.shape[-2:])
    w = w.expand(*lead, *w.shape[-2:])
    return Linear.apply(x, w, b.unsqueeze(-2).expand(*lead, 1, -1), rectify)[..., :out]


class Rows(NamedTuple):
    """Places of every member that a network is asked about, in order of time.

    Attributes:
        fresh: [M, P, C], 1 where an episode begins.
        places: [M, R], their numbers p C + c; P C for those of a member that has fewer.
        begin: [M, P + 1], int32: the first row of every position, and how many there are.
        prior: [M, R], int32: the row before in its episode, -1 for none.
    """

    fresh: Tensor
    places: Tensor
    begin: Tensor
    prior: Tensor

    def pack(self, everywhere: Tensor) -> Tensor:
        """[M, R, ...] the rows of [M, P C, ...]; of what a member has fewer, any."""
        members, count = everywhere.shape[:2]
        first = count * torch.arange(members, device=everywhere.device).unsqueeze(1)
        numbers = first + self.places.clamp_max(count - 1)
        return everywhere.flatten(0, 1)[numbers.flatten()].unflatten(0, self.places.shape)

    def unpack(self, rows: Tensor) -> Tensor:
        """[M, P C, ...] of rows [M, R, ...]; zeros elsewhere."""
        members, positions, columns = self.fresh.shape
        count = positions * columns
        first = count * torch.arange(members, device=rows.device).unsqueeze(1)
        numbers = torch.where(self.places < count, first + self.places, members * count)
        zeros = rows.new_zeros(members * count + 1, *rows.shape[2:])  # the last is for the rest
        everywhere = zeros.index_copy(0, numbers.flatten(), rows.flatten(0, 1))
        return everywhere[:-1].unflatten(0, (members, count))


def rows_of(wanted: Tensor, fresh: Tensor) -> Rows:
    """The rows that are wanted.

    Args:
        wanted: [M, P, C], true for those; then it is for all before in the same episode, too.
        fresh: [M, P, C], 1 where an episode begins.
    """
    members, positions, columns = wanted.shape
    begin = torch.nn.functional.pad(wanted.sum(2).cumsum(1), (1, 0))
    number = (wanted.flatten(1).cumsum(1) - 1).view_as(wanted)
    before = torch.nn.functional.pad(number[:, :-1], (0, 0, 1, 0), value=-1)
    before = torch.where(fresh > 0, -1, before)
    member, place = wanted.flatten(1).nonzero(as_tuple=True)
    row = number.flatten(1)[member, place]
    shape = members, int(begin[:, -1].max())
    places = torch.full(shape, positions * columns, device=wanted.device)
    places[member, row] = place
    prior = torch.full(shape, -1, dtype=torch.int32, device=wanted.device)
    prior[member, row] = before.flatten(1)[member, place].int()
    return Rows(fresh, places, begin.int(), prior)


class GRU(torch.autograd.Function):
    """CPU form of `memories`."""

    @staticmethod
    def forward(ctx, projected, w, b, begin, prior):
        lead = w.shape[:-2]
        size = w.shape[-2]
        steps = begin.shape[-1] - 1
        rows = projected.shape[-2]
        before, candidate, last, after = (projected.new_empty(*lead, rows, size) for _ in range(4))
        both = projected.new_empty(*lead, rows, 2 * size)
        p = kernels.Nets(lead)
        kernels.compiled(SOURCE).packed_forward(
            *kernels.longs(p.count, steps, rows, size),
            *(p(t) for t in (projected, w, b, begin, prior, before, both, candidate, last, after)),
        )
        ctx.save_for_backward(w, begin, prior, before, both, candidate, last)
        return after

    @staticmethod
    def backward(ctx, upstream):
        w, begin, prior, before, both, candidate, last = ctx.saved_tensors
        lead = w.shape[:-2]
        rows, size = upstream.shape[-2:]
        steps = begin.shape[-1] - 1
        gprojected = upstream.new_empty(*lead, rows, 3 * size)
        gw = w.new_zeros(w.shape)
        gb = w.new_zeros(*lead, 1, 3 * size)
        p = kernels.Nets(lead)
        saved = (w, begin, prior, before, both, candidate, last)
        kernels.compiled(SOURCE).packed_backward(
            *kernels.longs(p.count, steps, rows, size),
            *(p(t) for t in (*saved, upstream, gprojected, gw, gb)),
        )
        return gprojected, gw, gb, None, None


def memories(projected: Tensor, w: Tensor, b: Tensor, rows: Rows) -> Tensor:
    """Memories [M, N, R, H] along time.

    Args:
        projected: [M, N, R, 3 H], inputs times their weights.
        w, b: [M, N, H, 3 H] and [M, N, 3 H], of the memory.
    """
    if native(projected, w.shape[-2]):
        begin, prior = rows.begin.unsqueeze(1), rows.prior.unsqueeze(1)
        return GRU.apply(projected, w, b.unsqueeze(-2), begin, prior)
    carried = (1 - rows.fresh).unsqueeze(1).unsqueeze(-1)
    everywhere = rows.unpack(projected.transpose(1, 2)).transpose(1, 2)
    everywhere = everywhere.unflatten(2, rows.fresh.shape[1:])  # [M, N, P, C, 3 H]
    hidden = projected.new_zeros(*projected.shape[:2], rows.fresh.shape[2], w.shape[-2])
    along = []
    for t in range(everywhere.shape[2]):
        hidden = hidden * carried[:, :, t]
        hidden = gates(everywhere[:, :, t], hidden @ w + b.unsqueeze(-2), hidden)[2]
        along.append(hidden)
    memory = torch.stack(along, 2).flatten(2, 3)  # [M, N, P C, H]
    return rows.pack(memory.transpose(1, 2)).transpose(1, 2)


def unroll(params: Parameters | dict[str, Tensor], x: Tensor, rows: Rows) -> tuple[Tensor, Tensor]:
    """Outputs [M, N, R, U] and memories [M, N, R, H] of the rows' inputs x [M, N, R, I]."""
    first = linear(x, params["in_w"], params["in_b"], rectify=True)
    projected = linear(first, params["x_w"], params["x_b"])
    memory = memories(projected, params["h_w"], params["h_b"], rows)
    return read(params, memory), memory


def read(params: Parameters | dict[str, Tensor], memory: Tensor) -> Tensor:
    """Outputs [M, N, B, U] of memories [M, N, B, H]."""
    return linear(memory, params["out_w"], params["out_b"])


def step(
    params: Parameters | dict[str, Tensor], x: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """Outputs [M, N, R, U] and the next memories [M, N, R, H] of inputs x [M, N, R, I]; acting, one
    step.
    """
    projected = linear(
        linear(x, params["in_w"], params["in_b"], rectify=True), params["x_w"], params["x_b"]
    )
    memory = gates(projected, linear(memory, params["h_w"], params["h_b"]), memory)[2]
    return read(params, memory), memory
