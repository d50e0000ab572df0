"""Who contributed what: subteams, masking, counterfactual sample averages (Sections 3.2 and 3.3 of
CAST-BCQ).

    ST(i)    all subsets of the other agents, the empty one included
    Eq. 8    Delta_i = mean over m of Q(o, (a_i, a^_-i^m)) - Q(o, (a_i^d, a^_-i^m)), where the
             members of subteam m take their default action and the others follow the joint policy
    Eq. 10   Q = lambda min(Q_1, Q_2) + (1 - lambda) max(Q_1, Q_2)

Axes: M members, N agents, S subteams, B batch, A an agent's action, K candidates.
"""

import itertools

import torch
from torch import Tensor


def all_subteams(agents: int) -> Tensor:
    """[N, S, N] who is not masked, for every agent and subteam, S = 2^(N - 1): 0 for the subteam's
    members, else 1.

    The empty subteam comes first. An agent itself is never masked.
    """
    found = []
    for i in range(agents):
        others = [j for j in range(agents) if j != i]
        subsets = itertools.chain.from_iterable(
            itertools.combinations(others, size) for size in range(agents)
        )
        found.append([[0.0 if j in subset else 1.0 for j in range(agents)] for subset in subsets])
    return torch.tensor(found)


def draw_subteams(agents: int, count: int, stream: torch.Generator) -> Tensor:
    """[N, S, N] as `all_subteams`, of `count` drawn subteams: a uniform size, then a uniform subset
    of that size.

    Sizes go from 0 to N - 1, as in the Shapley value.
    """
    kept = torch.ones(agents, count, agents)
    for i, s in itertools.product(range(agents), range(count)):
        others = [j for j in range(agents) if j != i]
        size = int(torch.randint(agents, (), generator=stream))
        order = torch.randperm(agents - 1, generator=stream)[:size].tolist()
        kept[i, s, [others[j] for j in order]] = 0
    return kept


def combined(values: Tensor, weight: Tensor, single: Tensor) -> Tensor:
    """Eq. 10 of joint values [M, 2, ...] -> [M, ...]; the first critic alone for members that are
    `single` (w/o CD).

    Args:
        weight: lambda [M]; single: [M], true or false.
    """
    shape = (-1, *[1] * (values.ndim - 2))
    weight, single = weight.view(shape), single.view(shape)
    return torch.where(
        single, values[:, 0], weight * values.amin(1) + (1 - weight) * values.amax(1)
    )


def joint_actions(own: Tensor, others: Tensor, default: Tensor, kept: Tensor) -> Tensor:
    """Joint actions [M, N, S, B, N, A]: agent i takes its row of `own`, the others theirs of
    `others` or the default.

    Args:
        own, others: [M, N, B, A]; default: [N, A].
        kept: [M, N, S, N], see `all_subteams`.
    """
    members, agents, batch, _ = own.shape
    team = others.transpose(1, 2)[:, None, None]  # [M, 1, 1, B, N, A]
    mask = kept[:, :, :, None, :, None]
    masked = mask * team + (1 - mask) * default  # [M, N, S, B, N, A]
    self_ = torch.eye(agents, dtype=torch.bool, device=own.device)[None, :, None, None, :, None]
    mine = own[:, :, None, :, None].expand(members, agents, 1, batch, agents, own.shape[-1])
    return torch.where(self_, mine, masked)


def contributions(
    value,
    action: Tensor,
    policy_action: Tensor,
    default: Tensor,
    kept: Tensor,
    weights: Tensor,
    baseline: Tensor,
) -> Tensor:
    """Delta_i of Eq. 8, [M, N, B].

    Args:
        value: joint actions [M, R, B, N, A] -> joint values [M, R, B] at the minibatch's states, by
            Eq. 10.
        action: the data's, [M, N, B, A]; policy_action: what unmasked others do, [M, N, B, A].
        default: a^d, [N, A].
        kept: [M, N, S, N]; weights: [M, S], of the subteams, each member's sum to 1.
        baseline: [M], 1 to subtract the value of the default action, 0 not to.
    """
    members, agents, subteams = kept.shape[:3]
    taken = joint_actions(action, policy_action, default, kept)
    absent = joint_actions(default[None, :, None].expand_as(action), policy_action, default, kept)
    both = torch.stack([taken, absent], 1).flatten(1, 3)  # [M, 2 N S, B, N, A]
    with_, without = value(both).unflatten(1, (2, agents, subteams)).unbind(1)  # [M, N, S, B]
    gain = with_ - baseline.view(-1, 1, 1, 1) * without
    return (weights.view(members, 1, subteams, 1) * gain).sum(2)
