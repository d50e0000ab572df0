"""What a distance ranks first: facts about rows that are replayed more, which decide nothing.

The correction is after rows in which the other agents do what they do now. An agent cannot see
that; here it is looked up, in the rows of all agents, to say what a distance does.

Axes: M members, N agents, B rows.
"""

import torch
from torch import Tensor

from common.learning.philox import Streams
from papers.otc.experience import MergedData

FIRST = 4  # the best-ranked quarter


def ranks(values: Tensor) -> Tensor:
    """[M, N, B] places in ascending order, from 0."""
    return values.argsort(stable=True).argsort(stable=True).double()


def rank_correlation(first: Tensor, second: Tensor) -> Tensor:
    """[M, N] Spearman's, of [M, N, B] without ties."""
    one, other = (ranks(values) for values in (first, second))
    one = one - one.mean(-1, keepdim=True)
    other = other - other.mean(-1, keepdim=True)
    return (one * other).mean(-1) / (one.square().mean(-1) * other.square().mean(-1)).sqrt()


def value_of_first(distance: Tensor, value: Tensor) -> Tensor:
    """[M, N] value of the best-ranked quarter less the mean value, in standard deviations."""
    first = distance.argsort(stable=True)[..., : distance.shape[-1] // FIRST]
    above = value.gather(-1, first).mean(-1) - value.mean(-1)
    return above / value.std(-1).clamp_min(1e-12)


@torch.no_grad()
def deviation_of_others(
    experience: MergedData, learner, candidates: Tensor, streams: Streams
) -> Tensor:
    """[M, N, B] L1 distance of the other agents' actions in these rows from what they do now."""
    found = []
    for agent in range(experience.agents):
        same_rows = candidates[:, agent : agent + 1].expand_as(candidates)
        rows = experience.gather(same_rows)
        far = (rows.action - learner.act(rows.obs, streams)).abs().sum(-1)  # [M, N, B]
        found.append(far.sum(1) - far[:, agent])
    return torch.stack(found, 1)


def facts(
    experience: MergedData,
    learner,
    candidates: Tensor,
    distances: list[Tensor],
    streams: Streams,
    samples: int,
) -> dict[str, list]:
    """By name, [M][N]:

    pools: rank correlation of the distances to two independent pools D; how much is chance
    value: value of next states of the best-ranked quarter, in sds above the mean
    others: rank correlation with the other agents' deviation; positive is what OTC is after

    Args:
        candidates: [M, N, B] indices.
        distances: [M, N, B] of the candidates to each of two pools.
    """
    rows = experience.gather(candidates)
    value = learner.value(rows.next_obs, streams, samples) * (1 - rows.terminal)
    found = {
        "pools": rank_correlation(*distances),
        "value": value_of_first(distances[0], value),
    }
    if experience.agents > 1:
        others = deviation_of_others(experience, learner, candidates, streams)
        found["others"] = rank_correlation(distances[0], others)
    return {name: numbers.tolist() for name, numbers in found.items()}
