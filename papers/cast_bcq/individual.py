"""The individual values Q~_1..Q~_N of CAST-BCQ, by which agents choose (Eqs. 2 and 9).

Axes: M members, N agents, B batch, P positions and L lanes of episodes, O observation, A a
continuous action, U discrete actions.
"""

import torch
from torch import Tensor

from common.learning.episodes import Lanes, mean_filled
from common.learning.learner import Learner
from common.learning.networks import apply_mlp, mlp_parameters
from common.learning.population import generators, mean_over_batch
from papers.cast_bcq.cast import CASTConfig, individual_errors
from papers.cast_bcq.discrete import DiscreteBatch, DiscreteConfig
from papers.cast_bcq.generators import chosen
from papers.cast_bcq.recurrent import HistoryNetwork, MapSizes, RecurrentConfig, seen
from papers.cast_bcq.rows import JointBatch


class ContinuousValues:
    """Networks of own observations and actions, the learner's "value"."""

    def __init__(self, learner: Learner, obs_dims: list[int], action_dim: int, config: CASTConfig):
        self.learner = learner
        self.exp_clip = config.exp_clip if config.exp_weight else None
        inputs = [dim + action_dim for dim in obs_dims]
        streams = generators(learner.seeds, "value")
        tensors = mlp_parameters(streams, inputs, max(inputs), config.hidden, 1, input_norm=False)
        learner.hold("value", tensors, config.lr)

    def values(self, obs: Tensor, action: Tensor) -> Tensor:
        """[M, N, B] of observations [M, N, B, O] and actions [M, N, B, A]."""
        rows = torch.cat([obs, action], -1)
        return apply_mlp(self.learner.networks["value"], rows, None).squeeze(-1)

    def update(self, batch: JointBatch, delta: Tensor) -> None:
        """One step of Eq. 9; delta is [M, N, B]."""
        value = self.values(batch.obs, batch.action)
        errors = individual_errors(value, delta, self.exp_clip)
        self.learner.descend(mean_over_batch(errors), "value")


class DiscreteValues:
    """Networks of own observations that give every action's value, the learner's "value"."""

    def __init__(self, learner: Learner, obs_dims: list[int], actions: int, config: DiscreteConfig):
        self.learner = learner
        streams = generators(learner.seeds, "value")
        tensors = mlp_parameters(
            streams, obs_dims, max(obs_dims), config.hidden, actions, input_norm=False
        )
        learner.hold("value", tensors, config.lr)

    def values(self, obs: Tensor) -> Tensor:
        """[M, N, B, U] of observations [M, N, B, O]."""
        return apply_mlp(self.learner.networks["value"], obs, None)

    def update(self, batch: DiscreteBatch, delta: Tensor) -> None:
        """One step of Eq. 9; delta is [M, N, B]."""
        errors = individual_errors(chosen(self.values(batch.obs), batch.action), delta)
        self.learner.descend(mean_over_batch(errors), "value")


class RecurrentValues:
    """A network of observations and actions so far that the team shares, the learner's "value"."""

    def __init__(self, learner: Learner, sizes: MapSizes, config: RecurrentConfig):
        self.learner = learner
        self.network = HistoryNetwork(learner, "value", sizes, config, sizes.actions)

    def update(self, lanes: Lanes, delta: Tensor) -> None:
        """One step of Eq. 9; delta is [M, N, B] of B = P L places."""
        value = chosen(self.network.along(lanes, seen(lanes)), lanes.action)
        errors = individual_errors(value, delta.transpose(1, 2).view_as(value))
        self.learner.descend(mean_filled(errors, lanes.filled), "value")
