"""Who contributed what: subteams of the other agents, and joint actions in which their members are
masked (Section 3.2 of CAST-BCQ).

    ST(i)    all subsets of the other agents, the empty one included
    a^_-i^m  what the others do in the m-th sample of Eq. 8: members of subteam m their default
             action, everyone else the joint policy's

Axes: M members, N agents, S subteams, B batch, A an agent's action.
"""

import functools
import itertools
from typing import NamedTuple

import torch
from torch import Tensor

from common.learning.philox import Streams


class Subteams(NamedTuple):
    """The samples of Eq. 8.

    Attributes:
        present: [M, N, S, N], of every agent's subteams: 0 for who is masked, else 1.
        weights: [M, S], of the subteams in the average; each member's sum to 1.
    """

    present: Tensor
    weights: Tensor


@functools.cache
def all_subteams(agents: int, device: torch.device | str = "cpu") -> Tensor:
    """[N, S, N] who is not masked, for every agent and subteam, S = 2^(N - 1): 0 for the subteam's
    members, else 1.

    The empty subteam comes first. An agent itself is never masked.
    """
    present = []
    for i in range(agents):
        others = [j for j in range(agents) if j != i]
        subsets = itertools.chain.from_iterable(
            itertools.combinations(others, size) for size in range(agents)
        )
        present.append([[0.0 if j in subset else 1.0 for j in range(agents)] for subset in subsets])
    return torch.tensor(present, device=device)


def draw_subteams(agents: int, count: int, streams: Streams) -> Tensor:
    """[M, N, S, N] as `all_subteams`, of `count` drawn subteams of every member: a uniform size,
    then a uniform subset of that size.

    Sizes go from 0 to N - 1, as in the Shapley value.
    """
    sizes = streams.integers(agents, (agents, count, 1))
    order = streams.words((agents, count, agents))
    order.diagonal(dim1=1, dim2=3).fill_(2**32)  # an agent itself comes last
    place = order.argsort(dim=-1, stable=True).argsort(dim=-1)
    return (place >= sizes).float()


def sampled_subteams(
    agents: int, count: int, exact_up_to: int, masking: Tensor, streams: Streams
) -> Subteams:
    """All subteams of a small team, `count` drawn ones of a large team.

    Args:
        exact_up_to: agents of the largest team that is small.
        masking: [M], false for members that mask nobody (w/o ST): theirs is the empty subteam only.
        streams: of drawn subteams.
    """
    members = len(streams)
    device = masking.device
    if agents <= exact_up_to:
        every = all_subteams(agents, device)
        uniform = torch.full(every.shape[1:2], 1 / every.shape[1], device=device)
        empty = torch.zeros_like(uniform)
        empty[0] = 1
        weights = torch.where(masking.unsqueeze(-1), uniform, empty)
        return Subteams(every.expand(members, -1, -1, -1), weights)
    drawn = draw_subteams(agents, count, streams)
    present = torch.where(masking.view(-1, 1, 1, 1), drawn, 1.0)
    return Subteams(present, present.new_full((members, count), 1 / count))


def joint_actions(acting: Tensor, others: Tensor, default: Tensor, present: Tensor) -> Tensor:
    """Joint actions [M, N, S, B, N, A]: agent i takes its row of `acting`, the others theirs of
    `others` or the default.

    Args:
        acting, others: [M, N, B, A]; default: [N, A].
        present: [M, N, S, N], see `Subteams`.
    """
    members, agents, batch, size = acting.shape
    team = others.transpose(1, 2)[:, None, None]  # [M, 1, 1, B, N, A]
    mask = present[:, :, :, None, :, None]
    masked = mask * team + (1 - mask) * default  # [M, N, S, B, N, A]
    itself = torch.eye(agents, dtype=torch.bool, device=acting.device)
    itself = itself[None, :, None, None, :, None]
    action = acting[:, :, None, :, None].expand(members, agents, 1, batch, agents, size)
    return torch.where(itself, action, masked)
