"""TD3+BC (Fujimoto and Gu, 2021) on a population, with independent critics: the authors' algorithm
with all its parts.

Axes: M members, N agents, B batch, O observation, A action. Inputs are standardised by the data's
moments.
"""

import copy
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from common.learning.learner import Learner
from common.learning.losses import td3bc_actor_loss, td_loss, td_target
from common.learning.networks import Actors, TwinCritics
from common.learning.philox import Streams
from common.learning.population import generators, per_member
from common.learning.ranges import Count, NotNegative, Positive, Share
from common.learning.replay import Batch


@dataclass(frozen=True)
class TD3BCConfig:
    """Values of the paper's Table 3."""

    hidden: Count = 256
    batch_size: Count = 256
    lr: Positive = 3e-4
    gamma: Share = 0.99
    tau: Share = 0.005
    policy_delay: Count = 2  # critic updates per actor update
    target_noise: NotNegative = 0.2
    target_clip: NotNegative = 0.5
    bc_weight: NotNegative = 2.5  # alpha


class Standardiser:
    """Zero mean and unit variance per member's data set and agent, as the authors do with epsilon
    1e-3.

    Args:
        mean, std: [M, N, O].
    """

    def __init__(self, mean: Tensor, std: Tensor):
        self.mean = mean.unsqueeze(-2)
        self.scale = (std + 1e-3).unsqueeze(-2)

    def part(self, members: slice) -> "Standardiser":
        """That of some of the members."""
        some = copy.copy(self)
        some.mean = self.mean[members]
        some.scale = self.scale[members]
        return some

    def __call__(self, obs: Tensor) -> Tensor:
        """obs [M, N, B, O], standardised."""
        return (obs - self.mean) / self.scale


class TD3BC(Learner):
    """Policies ("actor"), twin critics and their targets, one per member and agent.

    Args:
        seeds: one per member.
        obs_dims: true observation size of each agent.
        standardise: of the observations, see `Standardiser`.
    """

    def __init__(
        self,
        seeds: list[int],
        obs_dims: list[int],
        action_dim: int,
        config: TD3BCConfig,
        standardise: Standardiser,
        device: str = "cpu",
    ):
        super().__init__(seeds, device)
        self.config = config
        self.standardise = standardise
        self.bc_weight = per_member(config.bc_weight, len(seeds), device)
        padded = max(obs_dims)
        self.actors = Actors(
            generators(seeds, "actor"), obs_dims, padded, config.hidden, action_dim, False, device
        )
        self.critics = TwinCritics(
            generators(seeds, "critic"),
            [dim + action_dim for dim in obs_dims],
            padded + action_dim,
            config.hidden,
            False,
            device,
        )
        self.hold("actor", self.actors.params, config.lr, target=True)
        self.hold("critic", self.critics.params, config.lr, target=True)
        self.notes["updates"] = 0

    def update(self, batch: Batch) -> None:
        """One critic step; an actor and target step on every `policy_delay`-th."""
        config = self.config
        obs = self.standardise(batch.obs)
        q = self.critics.values(obs, batch.action)
        self.descend(td_loss(q, self.target(batch)), "critic")
        self.notes["updates"] += 1
        if self.notes["updates"] % config.policy_delay == 0:
            policy_action = self.actors.train_actions(obs)
            q = self.critics.values(obs, policy_action, self.critics.constant, head=0)
            loss = td3bc_actor_loss(q, policy_action, batch.action, self.bc_weight)
            self.descend(loss, "actor")
            self.follow(config.tau)

    @torch.no_grad()
    def target(self, batch: Batch) -> Tensor:
        """[M, N, B] twin-critic target at the smoothed target policy's action."""
        config = self.config
        next_obs = self.standardise(batch.next_obs)
        noise = self.normal(*batch.action.shape[1:]) * config.target_noise
        next_action = self.actors.train_actions(next_obs, self.targets["actor"])
        next_action = next_action + noise.clamp(-config.target_clip, config.target_clip)
        next_q = self.critics.values(next_obs, next_action.clamp(-1, 1), self.targets["critic"])
        return td_target(batch.reward, batch.terminal, next_q, config.gamma)

    def act(self, obs: Tensor, streams: Streams | None = None) -> Tensor:
        """[M, N, B, A] deterministic actions for raw observations [M, N, B, O]."""
        return self.actors.act(self.standardise(obs), self.networks["actor"])

    @torch.no_grad()
    def q(self, obs: Tensor, action: Tensor) -> Tensor:
        """[M, N, B] values of the first critic, for raw observations."""
        return self.critics.values(self.standardise(obs), action, self.networks["critic"], head=0)

    def value(self, obs: Tensor, streams: Streams | None = None, samples: int = 1) -> Tensor:
        """[M, N, B] value of the policy's action."""
        return self.q(obs, self.act(obs))

    def part(self, members: slice) -> Self:
        """As `Learner.part`, standardised by the part's own moments."""
        some = super().part(members)
        some.standardise = self.standardise.part(members)
        return some
