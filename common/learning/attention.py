"""CPU form of the encoder of the past (`memory.encode`), forward and backward: attention.c, which
handles histories in blocks that stay in cache.

As in common.learning.kernels, it handles one network after another, so a member's result does not
depend on its neighbours, bit for bit; tests hold it and the torch form together, and
`benchmarks/attention.py` measures the gain. The bias of the keys moves no output: its gradient is
zero here, and rounding in torch.

Axes: M members, N agents, B batch, L steps of history, I observation and action of one agent, H
size of the embedding.
"""

import ctypes
from pathlib import Path

import torch
from torch import Tensor

from common.learning import kernels
from common.learning.population import Parameters

SOURCE = Path(__file__).with_name("attention.c")
LANES = 16  # as in kernels.c
NAMES = (
    *("embed_w", "embed_b", "query_w", "query_b", "key_w", "value_w", "value_b"),
    *("norm_w", "norm_b", "soft_w", "soft_q"),
)


def native(history: Tensor, size: int) -> ctypes.CDLL | None:
    """The compiled form, where it serves these histories and embeddings of this size."""
    usable = (
        history.device.type == "cpu"
        and history.dtype == torch.float32
        and not history.requires_grad
        and history.shape[3] > 0
        and size % LANES == 0
    )
    return kernels.compiled(SOURCE) if usable else None


class Encode(torch.autograd.Function):
    """CPU form of `memory.encode`; no gradient flows to histories."""

    @staticmethod
    def forward(ctx, history, positions, key_b, *weights):
        lead = history.shape[:2]
        batch, length, inputs = history.shape[2:]
        size = weights[0].shape[-1]
        history = history.contiguous()
        keep = any(ctx.needs_input_grad)
        of_row = 4 * size + length + -length % LANES + 2  # see attention.c
        kept = history.new_empty(*lead, batch * length * of_row if keep else 0)
        y = history.new_empty(*lead, batch, size)
        p = kernels.Nets(lead)
        kernels.compiled(SOURCE).attention_forward(
            *kernels.longs(p.count, batch, length, inputs, size, keep),
            *(p(t) for t in (history, positions[None, None], *weights, kept, y)),
        )
        ctx.save_for_backward(history, kept, key_b, *weights)
        return y

    @staticmethod
    def backward(ctx, gy):
        history, kept, key_b, *weights = ctx.saved_tensors
        batch, length, inputs = history.shape[2:]
        grads = [weight.new_zeros(weight.shape) for weight in weights]
        _, _, query_w, query_b, key_w, value_w, _, norm_w, norm_b, soft_w, soft_q = weights
        read = (query_w, query_b, key_w, value_w, norm_w, norm_b, soft_w, soft_q)
        p = kernels.Nets(history.shape[:2])
        kernels.compiled(SOURCE).attention_backward(
            *kernels.longs(p.count, batch, length, inputs, gy.shape[-1]),
            *(p(t) for t in (history, *read, kept, gy.contiguous(), *grads)),
        )
        return None, None, key_b.new_zeros(key_b.shape), *grads


def encode(params: Parameters, history: Tensor, positions: Tensor) -> Tensor:
    """[M, N, B, H] of histories [M, N, B, L, I] and positions [L, H], as `memory.encode`."""
    weights = (params[name] for name in NAMES)
    return Encode.apply(history, positions, params["key_b"], *weights)
