"""Online transition correction (Jiang and Lu, AAAI 2023): which of the old transitions to learn
from.

For agent i a minibatch B of its merged data is matched with a minibatch D of what the last
deployment brought: every transition of B finds its best match in D, and those whose next state
resembles the match's are replayed more.

    Eq. 1   best match: argmin over D of d(s, a_i; s*, a_i*)
    d_e     L1 distance of embeddings; one embedding of (s, a_i, s') stands for both (s, a_i) and s'
    d_q     |Q(s, a_i) - Q(s*, a_i*)|, and |V(s') / E V - V(s'*) / E V*| for next states
    Eq. 3   P(j) = p_j^alpha / sum p^alpha, p_j = 1 / rank(j), rank 1 for the smallest next-state
            distance
    Eq. 4   alpha^k = alpha^(k-1) D^k / D^(k-1), D^k the mean next-state distance to the best match

Axes: M members, N agents, B rows to choose from, D pool of online rows, F embedding.
"""

import torch
from torch import Tensor

from papers.otc.nearest import nearest_l1, nearest_value


def embedding_distance(rows: Tensor, pool: Tensor) -> Tensor:
    """d_e(s', s'*) of every row to its best match, [M, N, B].

    With one embedding for both purposes the distance to the best match is the smallest distance:
    rows [M, N, B, F], pool [M, N, D, F]. Equal matches have equal distances, so nothing is left to
    draw.
    """
    return nearest_l1(rows, pool)


def best_match(q: Tensor, pool_q: Tensor, ties: Tensor) -> Tensor:
    """[M, N, B] index into the pool of the closest value (Eq. 1 under d_q); among equally close
    ones a uniform draw.

    Args:
        q: [M, N, B]; pool_q: [M, N, D].
        ties: [M, N, B], uniform in [0, 1).
    """
    return nearest_value(q, pool_q, ties)


def relative_value(value: Tensor) -> Tensor:
    """V / |mean of V over the minibatch|, the sign kept; values may be negative or near zero."""
    return value / (value.mean(-1, keepdim=True).abs() + 1e-6)


def value_distance(next_value: Tensor, matched_next_value: Tensor) -> Tensor:
    """d_q(s', s'*) [M, N, B], each side relative to its own mean over the minibatch."""
    return (relative_value(next_value) - relative_value(matched_next_value)).abs()


def conditional_value_distance(
    next_value, matched_next_value, expected: Tensor, matched_expected: Tensor
) -> Tensor:
    """d_q(s', s'*) with the expectation taken over s' given (s, a_i), as in the authors' MABCQ: (Q
    - r) / gamma.
    """
    return (
        next_value / (expected.abs() + 1e-6) - matched_next_value / (matched_expected.abs() + 1e-6)
    ).abs()


def log_priority(distance: Tensor) -> Tensor:
    """[M, N, B] log p_j = -log rank(j), rank 1 for the smallest distance."""
    order = distance.sort(dim=-1, stable=True).indices
    ranks = torch.arange(1, distance.shape[-1] + 1, dtype=distance.dtype, device=distance.device)
    return torch.empty_like(distance).scatter_(
        -1, order, ranks.log().neg().expand_as(distance).contiguous()
    )


def draw(log_priorities: Tensor, alpha: Tensor, gumbel: Tensor, count: int) -> Tensor:
    """[M, N, count] rows drawn without replacement, one after the other with P(j) ~ p_j^alpha (Eq.
    3).

    The largest of alpha log p + Gumbel noise are such a draw (Gumbel top-k).

    Args:
        log_priorities, gumbel: [M, N, B].
        alpha: [M, N]; 0 draws uniformly.
    """
    return (alpha.unsqueeze(-1) * log_priorities + gumbel).topk(count, dim=-1).indices


def draw_with_replacement(log_priorities: Tensor, alpha: Tensor, uniform: Tensor) -> Tensor:
    """As `draw`, every row independently of the others: uniform [M, N, count] in [0, 1)."""
    cumulative = torch.softmax(alpha.unsqueeze(-1) * log_priorities, -1).cumsum(-1)
    return torch.searchsorted(cumulative, uniform * cumulative[..., -1:]).clamp_max(
        log_priorities.shape[-1] - 1
    )


def next_alpha(
    alpha: Tensor, distance: Tensor, last_distance: Tensor, low: float, high: float
) -> Tensor:
    """Eq. 4, [M, N], kept between `low` and `high`."""
    return (alpha * distance / last_distance.clamp_min(1e-12)).clamp(low, high)


def corrected_kernel(old: Tensor, new: Tensor, acceptance: Tensor) -> Tensor:
    """P~(s'|s, a) ~ P_B(s'|s, a) sum over s^ of P_D(s^|s, a) f(d(s', s^)), Section 3.2: rows [...,
    S] of probabilities.

    Args:
        old, new: P_B and P_D, [..., S].
        acceptance: f(d(s', s^)), [S, S].
    """
    weighted = old * (new @ acceptance.T)
    return weighted / weighted.sum(-1, keepdim=True)
