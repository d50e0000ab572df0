"""Behaviour cloning: each agent's policy imitates its own actions in the data.

Axes: M members, N agents, B batch, O observation, A action.
"""

from dataclasses import dataclass

from torch import Tensor

from common.learning.learner import Learner
from common.learning.networks import apply_mlp, mlp_parameters
from common.learning.population import generators, mean_over_batch
from common.learning.ranges import Count, Positive
from common.learning.replay import Batch


@dataclass(frozen=True)
class CloningConfig:
    """Values of our own choice."""

    hidden: Count = 32
    lr: Positive = 1e-3
    batch_size: Count = 32


def cloning_loss(policy_action: Tensor, action: Tensor) -> Tensor:
    """[M, N] mean squared error of actions [M, N, B, A]."""
    return mean_over_batch((policy_action - action).square().mean(-1))


class Cloning(Learner):
    """One policy per member and agent."""

    def __init__(
        self,
        seeds: list[int],
        obs_dims: list[int],
        actions: int,
        config: CloningConfig,
        device: str,
    ):
        super().__init__(seeds, device)
        streams = generators(seeds, "networks")
        widest = max(obs_dims)
        actor = mlp_parameters(streams, obs_dims, widest, config.hidden, actions, input_norm=False)
        self.hold("actor", actor, config.lr)

    def act(self, obs: Tensor) -> Tensor:
        """[M, N, B, A] actions in [-1, 1] for obs [M, N, B, O]."""
        return apply_mlp(self.networks["actor"], obs, None).tanh()

    def update(self, batch: Batch) -> None:
        """One step of every policy."""
        self.descend(cloning_loss(self.act(batch.obs), batch.action), "actor")
