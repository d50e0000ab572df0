"""Zeroth-order optimisers over one agent's action: OMAR's sampler and the two it is compared with.

Each draws J populations of K actions around a mean with a standard deviation, clips them to [-1,
1], values them with the first critic, and refines the two; `pick` then takes the best of the last
population and the policy's own action. Each iteration is one call of `refine_*`, a pure function of
the population drawn.

Axes: leading [M, N, B] (members, agents, batch), K samples, A action.
"""

from collections.abc import Callable

import torch
from torch import Tensor

SMALLEST_STD = 1e-10  # a distribution that collapsed stays drawable

Spread = Callable[[Tensor, Tensor, Tensor], Tensor]  # (actions, mean, new mean) -> std
# (actions, q, mean) -> mean and std of the next population
Refine = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def spread_around_new_mean(actions: Tensor, mean: Tensor, new_mean: Tensor) -> Tensor:
    """[..., A] root mean square distance of actions [..., K, A] to the new mean: released code."""
    return (actions - new_mean.unsqueeze(-2)).square().mean(-2).sqrt()


def spread_around_old_mean(actions: Tensor, mean: Tensor, new_mean: Tensor) -> Tensor:
    """[..., A] root of the sum of squared distances to the old mean: Eq. 3 as printed."""
    return (actions - mean.unsqueeze(-2)).square().sum(-2).sqrt()


SPREADS: dict[str, Spread] = {
    "released": spread_around_new_mean,
    "text": spread_around_old_mean,
}


def refine_softmax(
    actions: Tensor, q: Tensor, mean: Tensor, beta: float, spread: Spread
) -> tuple[Tensor, Tensor]:
    """OMAR's update, Eq. 3: mean = sum_k softmax_k(beta Q_k) a_k, and the spread of the samples.

    Args:
        actions: [..., K, A]; q: [..., K]; mean: [..., A], the mean they were drawn around.
        spread: one of SPREADS.

    Returns:
        New mean and standard deviation, [..., A].
    """
    new_mean = (torch.softmax(beta * q, dim=-1).unsqueeze(-1) * actions).sum(-2)
    return new_mean, spread(actions, mean, new_mean).clamp_min(SMALLEST_STD)


def best(actions: Tensor, q: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` samples of highest value and their values: [..., count, A], [..., count]."""
    highest, index = q.topk(count, dim=-1)
    index = index.unsqueeze(-1).expand(*index.shape, actions.shape[-1])
    return actions.gather(-2, index), highest


def refine_elites(
    actions: Tensor, q: Tensor, elites: int, correction: int = 0
) -> tuple[Tensor, Tensor]:
    """Cross-entropy method: mean and standard deviation of the `elites` best samples, [..., A]
    each.

    Args:
        correction: of the variance; 1 for the unbiased one.
    """
    chosen, _ = best(actions, q, elites)
    return chosen.mean(-2), chosen.std(-2, correction=correction).clamp_min(SMALLEST_STD)


def sample_around(noise: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Clipped actions mean + std noise: noise [..., K, A]; mean, std broadcastable to [..., A]."""
    return (noise * std.unsqueeze(-2) + mean.unsqueeze(-2)).clamp_(-1, 1)


def search(
    draw: Callable[[], Tensor],
    value: Callable[[Tensor], Tensor],
    iterations: int,
    mean: Tensor,
    std: Tensor,
    refine: Refine,
    carried: int = 0,
) -> tuple[Tensor, Tensor]:
    """The last of J populations and its values: actions [..., K, A], q [..., K].

    Args:
        draw: standard normal noise [..., K, A].
        value: Q of actions [..., K, A] -> [..., K].
        mean, std: of the first population, broadcastable to [..., A].
        carried: this many of the best samples join the next population, which has as many more.
    """
    actions = sample_around(draw(), mean, std)
    q = value(actions)
    for _ in range(iterations - 1):
        elites, elite_q = best(actions, q, carried)
        mean, std = refine(actions, q, mean)
        fresh = sample_around(draw(), mean, std)
        q = torch.cat([value(fresh), elite_q], dim=-1)
        actions = torch.cat([fresh, elites], dim=-2)
    return actions, q


def pick(actions: Tensor, q: Tensor, policy_action: Tensor, policy_q: Tensor) -> Tensor:
    """[..., A] the action of highest value among the samples and the policy's own (Algorithm 1,
    line 12).
    """
    best_q, index = q.max(-1)
    index = index[..., None, None].expand(*index.shape, 1, actions.shape[-1])
    best_action = actions.gather(-2, index).squeeze(-2)
    return torch.where((best_q > policy_q)[..., None], best_action, policy_action)
