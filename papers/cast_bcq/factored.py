"""Values of joint actions that are given as numbers, by networks of the state and all agents'
one-hot actions; without gradients.

No joint action is written out: a first layer is linear, so that a joint action's is a sum of rows
of its weights, one per agent. As in common.learning.kernels there is a CPU form, factored.c, and a
plain torch form; both give the same to rounding.

Axes: M members, N agents, B places, K candidates, S subteams, U actions, H hidden. Every member has
two networks.
"""

import ctypes
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot, pad

from common.learning import kernels
from common.learning.recurrent import linear, native

SOURCE = Path(__file__).with_name("factored.c")
WIDE = 16  # as in factored.c


class Layers(NamedTuple):
    """Of both networks.

    Attributes:
        nobody: [M, 2, B, H], the first layer without any action.
        table: [M, 2, N, U, H], what agents' actions add to it.
        rest: w2 [M, 2, H, H], b2 [M, 2, H], w3 [M, 2, H, 1], b3 [M, 2, 1].
    """

    nobody: Tensor
    table: Tensor
    rest: tuple[Tensor, Tensor, Tensor, Tensor]

    def native(self) -> ctypes.CDLL | None:
        """The compiled form, where it serves."""
        serves = native(self.nobody, self.nobody.shape[-1])
        return kernels.compiled(SOURCE) if serves else None

    def pointers(self, nets: kernels.Nets) -> tuple[list, list]:
        """Of `nobody` and `table`, and of the rest, for factored.c."""
        w2, b2, w3, b3 = self.rest
        rest = (w2, b2.unsqueeze(2), pad(w3, (0, WIDE - 1)), pad(b3, (0, WIDE - 1)).unsqueeze(2))
        return [nets(self.nobody), nets(self.table)], [nets(one) for one in rest]


def top(first: Tensor, rest: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
    """Values [M, 2, ...] of first layers [M, 2, ..., H], which it overwrites."""
    w2, b2, w3, b3 = rest
    hidden = linear(first.relu_().flatten(2, -2), w2, b2, rectify=True)
    return linear(hidden, w3, b3).reshape(first.shape[:-1])


def candidate_values(layers: Layers, candidates: Tensor) -> Tensor:
    """[M, 2, B, K] of candidates [M, N, B, K]."""
    members, agents, places, count = candidates.shape
    rows = candidates.permute(0, 2, 3, 1)  # [M, B, K, N]
    functions = layers.native()
    if functions is None:
        joint = one_hot(rows.flatten(1, 2), layers.table.shape[3]).float().flatten(2).unsqueeze(1)
        by_all = (joint @ layers.table.flatten(2, 3)).unflatten(2, (places, count))
        return top(layers.nobody.unsqueeze(3) + by_all, layers.rest)
    q = layers.nobody.new_empty(members, 2, places, count)
    nets = kernels.Nets((members, 2))
    first, rest = layers.pointers(nets)
    numbers = nets(rows.int().contiguous().unsqueeze(1))
    functions.candidate_values(
        *kernels.longs(nets.count, places, count, agents, *layers.table.shape[3:]),
        *(*first, numbers, *rest, nets(q)),
    )
    return q


def counterfactual_values(
    layers: Layers, action: Tensor, others: Tensor, present: Tensor
) -> tuple[Tensor, Tensor]:
    """[M, 2, N, S, B] with every agent's action, and without it.

    Args:
        action, others: [M, N, B], of an agent and of those beside it.
        present: [M, N, S, N], 1 for those beside it who act.
    """
    members, agents, places = action.shape
    subteams = present.shape[2]
    functions = layers.native()
    if functions is None:
        return counterfactuals_reference(layers, action, others, present)
    pair = [layers.nobody.new_empty(members, 2, agents, subteams, places) for _ in range(2)]
    nets = kernels.Nets((members, 2))
    first, rest = layers.pointers(nets)
    numbers = [nets(one.int().contiguous().unsqueeze(1)) for one in (action, others)]
    there = nets(present.contiguous().unsqueeze(1))
    sizes = (places, agents, layers.table.shape[3], subteams, layers.table.shape[4])
    functions.counterfactual_values(
        *kernels.longs(nets.count, *sizes),
        *(*first, *numbers, there, *rest, *(nets(q) for q in pair)),
    )
    return pair[0], pair[1]


def counterfactuals_reference(
    layers: Layers, action: Tensor, others: Tensor, present: Tensor
) -> tuple[Tensor, Tensor]:
    """Plain torch form of `counterfactual_values`."""

    def by_agent(numbers: Tensor) -> Tensor:
        """[M, 2, N, B, H] what actions [M, N, B] add."""
        return one_hot(numbers, layers.table.shape[3]).float().unsqueeze(1) @ layers.table

    acting = by_agent(action)
    team = by_agent(others)
    itself = torch.eye(action.shape[1], device=present.device)
    beside = present * (1 - itself).unsqueeze(1)  # [M, N, S, N], without oneself
    with_action = []
    without = []
    for s in range(present.shape[2]):
        by_team = (beside[:, None, :, s] @ team.flatten(3)).view_as(team)
        first = layers.nobody.unsqueeze(2) + by_team
        with_action.append(top(first + acting, layers.rest))
        without.append(top(first, layers.rest))
    return torch.stack(with_action, 3), torch.stack(without, 3)
