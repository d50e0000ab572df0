"""MATD3 (Ackermann et al., 2019) online, for behaviour policies: a population of teams.

Independent tanh actors on own observations, twin critics per agent on everybody's observations (or
the global state) and actions, delayed actors, smoothed target policies.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from common.learning.networks import Actors, TwinCritics
from common.learning.population import (
    Adam,
    generators,
    mean_over_batch,
    members_of,
    normal_,
    per_member,
)


@dataclass(frozen=True)
class MATD3Config:
    """The learner's settings; defaults are those of the particle worlds."""

    batch_size: int = 1024
    hidden: int = 64
    lr: float = 0.01
    gamma: float = 0.95
    tau: float = 0.01
    grad_clip: float = 0.5
    policy_delay: int = 2  # critic updates per actor update
    target_noise: float = 0.2
    target_clip: float = 0.5
    actor_lr: float = 0.01
    # weight of the mean squared policy output before its tanh, which keeps it from saturating
    logit_penalty: float = 1e-3
    input_norm: bool = True  # BatchNorm on the actors' observations


class MATD3:
    """A population of teams, M members of N agents.

    Args:
        seeds: one per member; initialisation, minibatches and noise of a member depend on its seed
            alone.
        obs_dims: true observation size of each agent.
        state_dim: size of a global state the critics see in place of everybody's observations.
    """

    def __init__(
        self,
        seeds: list[int],
        obs_dims: list[int],
        action_dim: int,
        config: MATD3Config,
        purpose: str,
        state_dim: int | None = None,
    ):
        self.config, self.obs_dims, self.action_dim = config, obs_dims, action_dim
        self.seeds, self.purpose, self.state_dim = seeds, purpose, state_dim
        members, agents, padded = len(seeds), len(obs_dims), max(obs_dims)
        streams = generators(seeds, f"{purpose}/actor")
        self.actors = Actors(
            streams, obs_dims, padded, config.hidden, action_dim, config.input_norm
        )
        joint = (state_dim or sum(obs_dims)) + agents * action_dim
        padded_joint = (state_dim or agents * padded) + agents * action_dim
        self.critics = TwinCritics(
            generators(seeds, f"{purpose}/critic"),
            [joint] * agents,
            padded_joint,
            config.hidden,
            input_norm=False,
        )
        self.target_actor = self.actors.params.frozen_copy()
        self.target_critic = self.critics.params.frozen_copy()
        lr = per_member(config.lr, members)
        self.actor_adam = Adam(self.actors.params, per_member(config.actor_lr, members))
        self.critic_adam = Adam(self.critics.params, lr)
        self.noise_streams = generators(seeds, f"{purpose}/target noise")
        self.rounds = 0

    def joint(self, values: Tensor) -> Tensor:
        """[M, N, B, D] of each agent -> [M, 1, B, N * D], the same joint row for every agent's
        critic.
        """
        members, agents, batch, size = values.shape
        return values.transpose(1, 2).reshape(members, 1, batch, agents * size)

    def context(self, obs: Tensor, state: Tensor | None) -> Tensor:
        """What every critic sees beside the joint action, [M, 1, B, ...]: everybody's observations,
        or the state [M, B, D].
        """
        return self.joint(obs) if state is None else state.unsqueeze(1)

    def update(
        self,
        obs: Tensor,
        action: Tensor,
        reward: Tensor,
        next_obs: Tensor,
        state: Tensor | None = None,
        next_state: Tensor | None = None,
    ) -> None:
        """One round on a joint minibatch: obs [M, N, B, O], action [M, N, B, A], reward [M, N, B],
        state [M, B, D].

        Episodes are cut by the clock and never terminate.
        """
        config = self.config
        with torch.no_grad():
            noise = normal_(torch.empty_like(action), self.noise_streams).mul_(config.target_noise)
            next_action = self.actors.train_actions(next_obs, self.target_actor)
            next_action = (
                next_action + noise.clamp_(-config.target_clip, config.target_clip)
            ).clamp_(-1, 1)
            next_q = self.critics.values(
                self.context(next_obs, next_state), self.joint(next_action), self.target_critic
            )
            target = reward + config.gamma * next_q.amin(2)
        q = self.critics.values(self.context(obs, state), self.joint(action))
        self.critics.params.zero_grad()
        mean_over_batch((q - target.unsqueeze(2)).square().sum(2)).sum().backward()
        self.critics.params.clip_grad_norm(config.grad_clip)
        self.critic_adam.step()

        self.rounds += 1
        if self.rounds % config.policy_delay == 0:
            self.update_actors(obs, action, state)
            self.target_actor.average_towards(self.actors.params, config.tau)
        self.target_critic.average_towards(self.critics.params, config.tau)

    def update_actors(self, obs: Tensor, action: Tensor, state: Tensor | None) -> None:
        """Each agent climbs its own critic in its own action; the others' actions are those of the
        data.
        """
        agents, size = action.shape[1], action.shape[3]
        logits = self.actors.train_outputs(obs, update_running=True)
        own = logits.tanh()
        mine = torch.eye(agents).repeat_interleave(size, dim=1)[:, None]  # [N, 1, N * A]
        joint = torch.where(mine > 0, own.repeat(1, 1, 1, agents), self.joint(action))
        context = self.context(obs, state).expand(-1, agents, -1, -1)
        q = self.critics.values(context, joint, self.critics.constant, head=0)
        loss = mean_over_batch(-q) + self.config.logit_penalty * mean_over_batch(logits.square())
        self.actors.params.zero_grad()
        loss.sum().backward()
        self.actors.params.clip_grad_norm(self.config.grad_clip)
        self.actor_adam.step()

    def keep(self, members: list[int]) -> "MATD3":
        """A learner of only these members, as they are now; it goes on exactly as they would have
        in this one.
        """
        seeds = [self.seeds[m] for m in members]
        rest = MATD3(
            seeds, self.obs_dims, self.action_dim, self.config, self.purpose, self.state_dim
        )

        rest.load_state_dict(members_of(self.state_dict(), members))
        return rest

    def state_dict(self) -> dict:
        """Everything that `update` changes: tensors and lists over members, and counts."""
        return {
            "actors": self.actors.state_dict(),
            "critics": self.critics.params.flat,
            "target_actor": self.target_actor.flat,
            "target_critic": self.target_critic.flat,
            "actor_adam": self.actor_adam.state_dict(),
            "critic_adam": self.critic_adam.state_dict(),
            "noise": [stream.get_state() for stream in self.noise_streams],
            "rounds": self.rounds,
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
        self.rounds = state["rounds"]
