"""Nearest neighbours in a pool, where OTC's distances spend their time: by L1 distance of
embeddings, and by value. Torch forms, and CPU forms in C.

Axes: M members, N agents, B rows, D rows of the pool, F embedding.
"""

from pathlib import Path

import torch
from torch import Tensor

from common.learning.kernels import Nets, compiled, longs

SOURCE = Path(__file__).with_name("nearest.c")


def native(*tensors: Tensor):
    """The C functions, or None where they do not serve these tensors."""
    serves = all(one.device.type == "cpu" and one.dtype == torch.float32 for one in tensors)
    return compiled(SOURCE) if serves else None


def nearest_l1_reference(rows: Tensor, pool: Tensor) -> Tensor:
    """Plain torch form of `nearest_l1`."""
    return torch.cdist(rows, pool, p=1).amin(-1)


@torch.no_grad()
def nearest_l1(rows: Tensor, pool: Tensor) -> Tensor:
    """[M, N, B] the smallest of the L1 distances of rows [M, N, B, F] to the pool [M, N, D, F]."""
    library = native(rows, pool)
    if library is None:
        return nearest_l1_reference(rows, pool)
    rows = rows.contiguous()
    pool = pool.contiguous()
    distances = rows.new_empty(rows.shape[:-1])
    nets = Nets(rows.shape[:-2])
    library.nearest_l1(
        *longs(nets.count, rows.shape[-2], pool.shape[-2], rows.shape[-1]),
        *(nets(tensor) for tensor in (rows, pool, distances)),
    )
    return distances


def nearest_value_reference(values: Tensor, pool: Tensor, ties: Tensor) -> Tensor:
    """Plain torch form of `nearest_value`."""
    ordered, order = pool.sort(dim=-1, stable=True)
    size = ordered.shape[-1]
    right = torch.searchsorted(ordered, values).clamp_max(size - 1)
    left = (right - 1).clamp_min(0)
    below = ordered.gather(-1, left)
    above = ordered.gather(-1, right)
    to_below = (values - below).abs()
    to_above = (above - values).abs()

    def block(neighbour: Tensor) -> tuple[Tensor, Tensor]:
        """First place and number of pool values equal to these."""
        first = torch.searchsorted(ordered, neighbour)
        return first, torch.searchsorted(ordered, neighbour, right=True) - first

    first_below, count_below = block(below)
    first_above, count_above = block(above)
    count_below = count_below * (to_below <= to_above)
    count_above = count_above * ((to_above <= to_below) & (above != below))
    picked = (ties * (count_below + count_above)).long()
    place = torch.where(
        picked < count_below, first_below + picked, first_above + picked - count_below
    )
    return order.gather(-1, place.clamp_max(size - 1))


@torch.no_grad()
def nearest_value(values: Tensor, pool: Tensor, ties: Tensor) -> Tensor:
    """[M, N, B] index into the pool [M, N, D] of the number closest to each of values [M, N, B];
    among equally close ones a uniform draw.

    Args:
        ties: [M, N, B], uniform in [0, 1).
    """
    library = native(values, pool, ties)
    if library is None:
        return nearest_value_reference(values, pool, ties)
    match = torch.empty(values.shape, dtype=torch.int64)
    nets = Nets(values.shape[:-1])
    library.nearest_value(
        *longs(nets.count, values.shape[-1], pool.shape[-1]),
        *(nets(tensor.contiguous()) for tensor in (values, pool, ties)),
        nets(match.view(torch.float32).unflatten(-1, (-1, 2))),
    )
    return match
