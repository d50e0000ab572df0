"""Losses and targets that more than one learner uses, as pure functions.

Axes: M members, N agents, E critic heads, B batch, K sampled actions, A action. Losses are reduced
over the batch only; the caller sums them over members and agents.
"""

import math

import torch
from torch import Tensor

from common.learning.population import mean_over_batch


def td_target(reward: Tensor, terminal: Tensor, next_q: Tensor, gamma: float) -> Tensor:
    """r + gamma (1 - d) min_k Q_k(o', a'), twin-critic target (Fujimoto et al., 2018).

    Args:
        reward, terminal: [M, N, B]; terminal is 1 where the episode ended, 0 where only its clock
            ran out.
        next_q: [M, N, E, B].

    Returns:
        [M, N, B].
    """
    return reward + gamma * (1 - terminal) * next_q.amin(2)


def td_loss(q: Tensor, target: Tensor) -> Tensor:
    """[M, N] squared error of every head against the target, summed over heads: q [M, N, E, B],
    target [M, N, B].
    """
    return mean_over_batch((q - target.unsqueeze(2)).square().sum(2))


def cql_gap(logsumexp: Tensor, q_data: Tensor, log_density: float) -> Tensor:
    """CQL(H) penalty of Kumar et al. (2020), Eq. 1 of OMAR without its weight, summed over heads.

    mean_b [ logsumexp_k (Q(o, a_k) - log density(a_k)) - Q(o, a) ]

    Args:
        logsumexp: [M, N, E], batch mean of logsumexp over sampled actions of Q.
        q_data: [M, N, E, B], values of the data's actions.
        log_density: of the sampled actions' uniform distribution, the same for all.

    Returns:
        [M, N].
    """
    return (logsumexp - log_density - q_data.mean(-1)).sum(2)


def uniform_log_density(action_dim: int) -> float:
    """Log density of uniform actions in [-1, 1]^A."""
    return action_dim * math.log(0.5)


def td3bc_actor_loss(q: Tensor, policy_action: Tensor, action: Tensor, bc_weight: Tensor) -> Tensor:
    """TD3+BC objective, Fujimoto and Gu (2021), Eqs. 3 and 5: (pi - a)^2 - lambda Q, lambda = alpha
    / mean |Q|.

    Args:
        q: [M, N, B], first critic at the policy's action.
        policy_action, action: [M, N, B, A]; the square is averaged over components, as in the
            authors' code.
        bc_weight: alpha [M].

    Returns:
        [M, N].
    """
    weight = bc_weight[:, None] / mean_over_batch(q.abs()).detach()
    return mean_over_batch((policy_action - action).square()) - weight * mean_over_batch(q)


def gaussian_log_prob(mean: Tensor, log_std: Tensor, action: Tensor) -> Tensor:
    """[M, N, B] log density of a diagonal Gaussian: mean and action [M, N, B, A], log_std [M, N, 1,
    A].
    """
    z = (action - mean) / log_std.exp()
    return (-0.5 * z.square() - log_std - 0.5 * math.log(2 * math.pi)).sum(-1)


def softmax_weights(values: Tensor, temperature: float) -> Tensor:
    """B times the softmax over the batch of values / temperature: importance weights with mean 1,
    [M, N, B].
    """
    return torch.softmax(values / temperature, dim=-1) * values.shape[-1]
