"""TD3+BC (Fujimoto and Gu, 2021) on a population, with independent critics: the authors' algorithm
with all its parts.

Axes: M members, N agents, B batch, O observation, A action. Inputs are standardised by the data's
moments.
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from common.learning.losses import td3bc_actor_loss, td_loss, td_target
from common.learning.networks import Actors, TwinCritics
from common.learning.population import Adam, generators, normal_, per_member
from common.learning.replay import Batch


@dataclass(frozen=True)
class TD3BCConfig:
    """Values of the paper's Table 3."""

    hidden: int = 256
    batch_size: int = 256
    lr: float = 3e-4
    gamma: float = 0.99
    tau: float = 0.005
    policy_delay: int = 2  # critic updates per actor update
    target_noise: float = 0.2
    target_clip: float = 0.5
    bc_weight: float = 2.5  # alpha


class Standardiser:
    """Zero mean and unit variance per member's data set and agent, as the authors do with epsilon
    1e-3.

    Args:
        mean, std: [M, N, O].
    """

    def __init__(self, mean: Tensor, std: Tensor):
        self.mean, self.scale = mean.unsqueeze(-2), (std + 1e-3).unsqueeze(-2)

    def part(self, members: slice) -> "Standardiser":
        """That of some of the members."""
        part = copy.copy(self)
        part.mean, part.scale = self.mean[members], self.scale[members]
        return part

    def __call__(self, obs: Tensor) -> Tensor:
        """obs [M, N, B, O], standardised."""
        return (obs - self.mean) / self.scale


class TD3BC:
    """Policies, twin critics and their targets, one per member and agent.

    Args:
        seeds: one per member.
        obs_dims: true observation size of each agent.
        standardise: of the observations, see `Standardiser`.
    """

    def __init__(
        self,
        seeds,
        obs_dims,
        action_dim,
        config: TD3BCConfig,
        standardise: Standardiser,
        device="cpu",
    ):
        self.config, self.standardise, members, padded = (
            config,
            standardise,
            len(seeds),
            max(obs_dims),
        )
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
        self.target_actor = self.actors.params.frozen_copy()
        self.target_critic = self.critics.params.frozen_copy()
        self.actor_adam = Adam(self.actors.params, per_member(config.lr, members, device))
        self.critic_adam = Adam(self.critics.params, per_member(config.lr, members, device))
        self.noise_streams = generators(seeds, "noise", device)
        self.bc_weight = per_member(config.bc_weight, members, device)
        self.updates = 0

    def update(self, batch: Batch) -> None:
        """One critic step; an actor and target step on every `policy_delay`-th."""
        config = self.config
        obs, next_obs = self.standardise(batch.obs), self.standardise(batch.next_obs)
        with torch.no_grad():
            noise = normal_(torch.empty_like(batch.action), self.noise_streams).mul_(
                config.target_noise
            )
            next_action = self.actors.train_actions(next_obs, self.target_actor)
            next_action = (
                next_action + noise.clamp_(-config.target_clip, config.target_clip)
            ).clamp_(-1, 1)
            next_q = self.critics.values(next_obs, next_action, self.target_critic)
            target = td_target(batch.reward, batch.terminal, next_q, config.gamma)
        self._descend(
            td_loss(self.critics.values(obs, batch.action), target),
            self.critics.params,
            self.critic_adam,
        )
        self.updates += 1
        if self.updates % config.policy_delay == 0:
            own = self.actors.train_actions(obs)
            q = self.critics.values(obs, own, self.critics.constant, head=0)
            self._descend(
                td3bc_actor_loss(q, own, batch.action, self.bc_weight),
                self.actors.params,
                self.actor_adam,
            )
            self.target_critic.average_towards(self.critics.params, config.tau)
            self.target_actor.average_towards(self.actors.params, config.tau)

    @staticmethod
    def _descend(loss: Tensor, params, adam) -> None:
        params.zero_grad()
        loss.sum().backward(inputs=list(params.tensors.values()))
        adam.step()

    def act(self, obs: Tensor, streams=None) -> Tensor:
        """[M, N, B, A] deterministic actions for raw observations [M, N, B, O]."""
        return self.actors.act(self.standardise(obs))

    @torch.no_grad()
    def q(self, obs: Tensor, action: Tensor) -> Tensor:
        """[M, N, B] values of the first critic, for raw observations."""
        return self.critics.values(self.standardise(obs), action, self.critics.constant, head=0)

    def value(self, obs: Tensor, streams=None, samples: int = 1) -> Tensor:
        """[M, N, B] value of the policy's action."""
        return self.q(obs, self.act(obs))

    def part(self, members: slice) -> "TD3BC":
        """Some of the members, to act and to be valued by, not to train; it follows the
        population's training.
        """
        part = copy.copy(self)
        part.actors, part.critics, part.standardise = (
            copy.copy(self.actors),
            copy.copy(self.critics),
            self.standardise.part(members),
        )
        part.actors.params, part.critics.constant = (
            self.actors.params.views(members),
            self.critics.params.views(members),
        )
        return part

    def state_dict(self) -> dict:
        return {
            "actors": self.actors.state_dict(),
            "critics": self.critics.params.flat,
            "target_actor": self.target_actor.flat,
            "target_critic": self.target_critic.flat,
            "actor_adam": self.actor_adam.state_dict(),
            "critic_adam": self.critic_adam.state_dict(),
            "noise": [stream.get_state() for stream in self.noise_streams],
            "updates": self.updates,
        }

    @torch.no_grad()
    def load_state_dict(self, state: dict) -> None:
        self.actors.load_state_dict(state["actors"])
        self.critics.params.flat.copy_(state["critics"])
        self.target_actor.flat.copy_(state["target_actor"])
        self.target_critic.flat.copy_(state["target_critic"])
        self.actor_adam.load_state_dict(state["actor_adam"])
        self.critic_adam.load_state_dict(state["critic_adam"])
        for stream, saved in zip(self.noise_streams, state["noise"], strict=True):
            stream.set_state(saved)
        self.updates = state["updates"]
