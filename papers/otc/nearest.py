"""Smallest L1 distance to a pool: where OTC's embedding distance spends its time. Torch form, and a
CPU form in C.
"""

from pathlib import Path

import torch
from torch import Tensor

from common.learning.kernels import Nets, compiled, longs

SOURCE = Path(__file__).with_name("nearest.c")


def nearest_l1_reference(rows: Tensor, pool: Tensor) -> Tensor:
    """Plain torch form of `nearest_l1`."""
    return torch.cdist(rows, pool, p=1).amin(-1)


@torch.no_grad()
def nearest_l1(rows: Tensor, pool: Tensor) -> Tensor:
    """[M, N, B] the smallest of the L1 distances of rows [M, N, B, F] to the pool [M, N, D, F]."""
    native = rows.device.type == "cpu" and rows.dtype == torch.float32
    library = compiled(SOURCE) if native else None
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
