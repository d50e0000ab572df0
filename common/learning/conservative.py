"""What a conservative critic pays for sampled actions (Kumar et al., 2020, Eq. 4), with gradients
to what it sees: a plain torch form and a CPU form, conservative.c.

`kernels.mean_logsumexp` is the same for observations that are constants and samples that weigh the
same. As in common.learning.kernels, the CPU form handles one network after another, so a member's
result does not depend on its neighbours, bit for bit; tests hold the two forms together.

Axes: B batch, K sampled actions, O what a critic sees besides the action, A action, H width.
"""

from pathlib import Path

import torch
from torch import Tensor

from common.learning import kernels

SOURCE = Path(__file__).with_name("conservative.c")


class WeightedLogSumExp(torch.autograd.Function):
    """CPU form of `weighted_logsumexp`. Gradients are computed with the value, block by block, and
    kept.
    """

    @staticmethod
    def forward(ctx, seen, actions, log_density, w1, b1, w2, b2, w3, b3):
        lead = w1.shape[:-2]
        batch, samples, size = actions.shape[-3:]
        width = w2.shape[-1]
        value = seen.new_empty(lead)
        to_seen = seen.new_empty(*lead, batch, seen.shape[-1])
        grads = [seen.new_zeros(weight.shape) for weight in (w1, b1, w2, b2, w3)]
        p = kernels.Nets(lead)
        given = (seen, actions, log_density, w1, b1, w2, b2, w3, b3, value, to_seen, *grads)
        kernels.compiled(SOURCE).weighted_logsumexp(
            *kernels.longs(p.count, batch, samples, seen.shape[-1], size, width),
            *(p(tensor) for tensor in given),
        )
        ctx.shape = seen.shape
        ctx.save_for_backward(to_seen, *grads)
        return value

    @staticmethod
    def backward(ctx, upstream):
        scale = upstream[..., None, None]
        to_seen, *grads = ctx.saved_tensors
        to_seen = (to_seen * scale).sum_to_size(ctx.shape)
        return to_seen, None, None, *(grad * scale for grad in grads), scale


def weighted_logsumexp_reference(
    seen: Tensor, actions: Tensor, log_density: Tensor, *weights: Tensor
) -> Tensor:
    """Plain torch form of `weighted_logsumexp`."""
    q = kernels.sample_values_reference(seen, actions, *weights)
    return (q - log_density).logsumexp(-1).mean(-1)


def weighted_logsumexp(
    seen: Tensor, actions: Tensor, log_density: Tensor, *weights: Tensor
) -> Tensor:
    """[...] mean over the batch of the logsumexp over sampled actions of Q - log density, for every
    network.

    Args:
        seen: [..., B, O]. Gradients flow to it and to the weights.
        actions: [..., B, K, A]; log_density: [..., B, K] of the samples; both constants.
        weights: w1 [..., O + A, H], b1, w2, b2, w3 [..., H, 1], b3, as in `kernels.stacked_mlp`.
            Leading axes of the others broadcast against theirs.
    """
    usable = kernels.fused(seen, weights[2].shape[-1]) and kernels.compiled(SOURCE) is not None
    if not usable:
        return weighted_logsumexp_reference(seen, actions.detach(), log_density.detach(), *weights)
    return WeightedLogSumExp.apply(seen, actions.detach(), log_density.detach(), *weights)
