"""What the learners of battles share: their settings, and networks along time.

The agents of a team share a network, told apart by a number in the input, as in the code base that
ICQ-MA's authors use; an agent remembers its own observations and actions.

Axes: M members, P positions in time and L lanes (see common.learning.episodes), N agents, E
battles, O observation, U actions, H hidden.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from common.learning.episodes import Lanes, agent_inputs
from common.learning.learner import Learner
from common.learning.population import Parameters, generators
from common.learning.ranges import Count, Positive, Share
from common.learning.recurrent import Rows, recurrent_parameters, rows_of, step, unroll


class MapSizes(NamedTuple):
    """Of a map."""

    obs: int
    state: int
    agents: int
    actions: int


Default = Literal["zero", "first"]  # a^d: no action (absent), or the first (no-op, stay)


@dataclass(frozen=True)
class RecurrentConfig:
    """Of all five learners."""

    hidden: Count = 64  # of agents
    critic_hidden: Count = 256
    mixer_hidden: Count = 32
    lr: Positive = 5e-4  # of agents
    critic_lr: Positive = 1e-4
    gamma: Share = 0.99
    copy_every: Count = 600  # updates between copies to target networks
    max_norm: Positive = 20.0  # of gradients
    threshold: Share = 0.3  # of discrete BCQ
    candidates: Count = 10  # n, joint candidates
    subteams: Count = 10  # M, drawn for larger teams than `exact_up_to`
    exact_up_to: Count = 3  # agents: all subteams of the others are enumerated
    weight: Share = 0.75  # lambda of the twin target; 0.9 for CAST-BCQ
    default: Default = "zero"
    others: Literal["policy", "data"] = "policy"  # whose actions unmasked agents take in Eq. 8
    shared: bool = False  # CAST-BCQ's joint policy of Eq. 7 is the target network's, at no cost
    trace: Share = 0.0  # CAST-BCQ's share of the data's return in Eq. 6; 0 as in the paper
    epsilon: Share = 0.8  # how far from 1 MABCQ's weights may be
    transitions: bool = True  # MABCQ's transition normalisation, next to its value deviation
    icq_trace: Share = 0.75  # lambda of ICQ-MA's targets
    target_temperature: Positive = 1000.0  # of ICQ-MA's targets
    policy_temperature: Positive = 0.1  # of ICQ-MA's policies


class Choice(NamedTuple):
    """What agents do, and what they could have done.

    Attributes:
        action: [M, E, N].
        allowed: [M, E, N, U] actions among which they choose.
        cloned: [M, E, N] the most probable available action.
    """

    action: Tensor
    allowed: Tensor
    cloned: Tensor


Memory = dict[str, Tensor]  # of every network that acting needs, by name: [M, 1, E N, H]


def copy_targets(learner: Learner, every: int) -> None:
    """Copies networks to their targets at every `every`-th update of the learner."""
    for name, target in learner.targets.items():
        if learner.optimisers[name].steps % every == 0:
            target.flat.copy_(learner.networks[name].flat)


class Seen(NamedTuple):
    """What a network is asked about of a minibatch.

    Attributes:
        inputs: [M, R, I] of every row; rows: their places.
    """

    inputs: Tensor
    rows: Rows


def seen(lanes: Lanes, deciding: bool = False, further: Tensor | None = None) -> Seen:
    """Inputs at the places of episodes, what comes after their last steps included.

    Args:
        deciding: leave out the places from which on an agent has one action only, as the dead do.
            Its probability is one there, whatever a network of behaviour says, without a gradient.
        further: [M, P, L, N, ...], inputs next to those of the lanes.
    """
    placed = lanes.filled > 0
    placed[:, 1:] |= lanes.filled[:, :-1] > 0
    wanted = placed.unsqueeze(-1).expand_as(lanes.last)
    if deciding:
        wanted = until_last((lanes.available.sum(-1) > 1) & wanted, lanes.fresh)
    fresh = lanes.fresh.unsqueeze(-1).expand_as(lanes.last)
    rows = rows_of(wanted.flatten(2), fresh.flatten(2))
    inputs = rows.pack(lanes.inputs.flatten(1, 3))
    if further is not None:
        inputs = torch.cat([inputs, rows.pack(further.flatten(1, 3))], -1)
    return Seen(inputs, rows)


def until_last(marked: Tensor, fresh: Tensor) -> Tensor:
    """[M, P, L, N] true up to the last place of its episode that is marked [M, P, L, N].

    Args:
        fresh: [M, P, L], 1 where an episode begins.
    """
    from_here = marked.flip(1).cumsum(1)
    begins = torch.where(fresh.unsqueeze(-1).flip(1) > 0, from_here, 0).cummax(1).values
    from_next = torch.cat([torch.zeros_like(begins[:, :1]), begins[:, :-1]], 1)
    return (from_here > from_next).flip(1)


class HistoryNetwork:
    """A recurrent network that a team shares, one per member.

    Args:
        learner: holds it.
        name: of the network, and of the stream its initial weights are drawn from.
        outputs: for every agent.
        further: size of inputs next to those of `Lanes.inputs`.
    """

    def __init__(
        self,
        learner: Learner,
        name: str,
        sizes: MapSizes,
        config: RecurrentConfig,
        outputs: int,
        target: bool = False,
        further: int = 0,
    ):
        self.learner = learner
        self.name = name
        self.sizes = sizes
        self.hidden = config.hidden
        inputs = sizes.obs + sizes.actions + sizes.agents + further
        streams = generators(learner.seeds, name)
        tensors = recurrent_parameters(streams, 1, inputs, config.hidden, outputs)
        learner.hold(name, tensors, config.lr, target)

    def along(self, lanes: Lanes, of: Seen, params: Parameters | None = None) -> Tensor:
        """[M, P, L, N, outputs] of every place; zeros where it is not asked.

        Args:
            of: what it is asked about of the lanes.
            params: other parameters, a target network's.
        """
        network = params or self.learner.networks[self.name]
        outputs, _ = unroll(network, of.inputs.unsqueeze(1), of.rows)
        return of.rows.unpack(outputs.squeeze(1)).view(*lanes.last.shape, -1)

    def memory(self, battles: int) -> Memory:
        """Empty memory to begin episodes with."""
        shape = len(self.learner.seeds), 1, battles * self.sizes.agents, self.hidden
        return {self.name: torch.zeros(shape, device=self.learner.device)}

    @torch.no_grad()
    def step(self, obs: Tensor, last: Tensor, memory: Memory) -> Tensor:
        """[M, E, N, outputs] of one step of E battles; follows `memory` in place.

        Args:
            obs: [M, E, N, O]; last: [M, E, N], -1 at the first step.
        """
        x = agent_inputs(obs, last, self.sizes.actions).flatten(1, 2).unsqueeze(1)
        outputs, memory[self.name] = step(self.learner.networks[self.name], x, memory[self.name])
        return outputs.view(*obs.shape[:3], -1)
