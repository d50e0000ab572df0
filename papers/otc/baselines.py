"""AWAC (Nair et al., 2020) on a population, every agent by itself. BCQ and TD3+BC are in common/.

A learner of online tuning has `update(batch)`, `act(obs, streams)` (what is deployed: no
exploration), `q(obs, action)` (the first critic), `value(obs, streams, samples)` and `state_dict`,
`load_state_dict`.

Axes: M members, N agents, E = 2 critic heads, B batch, O observation, A action.
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from common.learning.losses import gaussian_log_prob, td_loss, td_target
from common.learning.networks import TwinCritics, apply_mlp, mlp_parameters
from common.learning.population import (
    Adam,
    Parameters,
    generators,
    mean_over_batch,
    normal_,
    per_member,
)
from common.learning.replay import Batch

LOG_STD_RANGE = (-6.0, 0.0)  # as in rlkit's launchers


@dataclass(frozen=True)
class AWACConfig:
    """Networks and learning rates of OTC's Table 3, the rest as in rlkit and CORL."""

    hidden: int = 64
    actor_lr: float = 1e-4
    critic_lr: float = 5e-4
    gamma: float = 0.99
    tau: float = 0.005
    temperature: float = 1.0  # lambda: the advantage is divided by it
    max_weight: float = 100.0
    weight_decay: float = 1e-4  # of the policy


def advantage_weights(q: Tensor, value: Tensor, temperature: float, max_weight: float) -> Tensor:
    """exp(A / lambda), at most max_weight, A = Q(s, a) - V(s): [M, N, B] from [M, N, B]."""
    return ((q - value) / temperature).exp().clamp_max(max_weight)


class AWAC:
    """Gaussian policies with state-independent spread, twin critics and their targets, one per
    member and agent.

    Args:
        seeds: one per member.
        obs_dims: true observation size of each agent.
    """

    def __init__(
        self,
        seeds: list[int],
        obs_dims: list[int],
        action_dim: int,
        config: AWACConfig,
        device="cpu",
    ):
        self.config, padded = config, max(obs_dims)
        tensors = mlp_parameters(
            generators(seeds, "actor"),
            obs_dims,
            padded,
            config.hidden,
            action_dim,
            input_norm=False,
        )
        tensors["log_std_logits"] = torch.zeros(len(seeds), len(obs_dims), action_dim)
        self.actor = Parameters({name: tensor.to(device) for name, tensor in tensors.items()})
        self.critics = TwinCritics(
            generators(seeds, "critic"),
            [dim + action_dim for dim in obs_dims],
            padded + action_dim,
            config.hidden,
            False,
            device,
        )
        self.target_critic = self.critics.params.frozen_copy()
        self.actor_adam = Adam(self.actor, per_member(config.actor_lr, len(seeds), device))
        self.critic_adam = Adam(
            self.critics.params, per_member(config.critic_lr, len(seeds), device)
        )
        self.noise_streams = generators(seeds, "noise", device)

    def distribution(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Mean [M, N, B, A] and log standard deviation [M, N, 1, A] of the policy."""
        low, high = LOG_STD_RANGE
        log_std = low + (high - low) * self.actor["log_std_logits"].sigmoid()
        return apply_mlp(self.actor, obs, None), log_std.unsqueeze(2)

    @torch.no_grad()
    def sample(self, obs: Tensor, streams: list[torch.Generator]) -> Tensor:
        """Actions [M, N, B, A], clipped to [-1, 1]."""
        mean, log_std = self.distribution(obs)
        return (mean + log_std.exp() * normal_(torch.empty_like(mean), streams)).clamp(-1, 1)

    def update(self, batch: Batch) -> None:
        """One step of the critics and the policy."""
        config, obs = self.config, batch.obs
        with torch.no_grad():
            next_action = self.sample(batch.next_obs, self.noise_streams)
            next_q = self.critics.values(batch.next_obs, next_action, self.target_critic)
            target = td_target(batch.reward, batch.terminal, next_q, config.gamma)
        self.critics.params.zero_grad()
        td_loss(self.critics.values(obs, batch.action), target).sum().backward(
            inputs=list(self.critics.params.tensors.values())
        )
        self.critic_adam.step()

        with torch.no_grad():
            q = self.critics.values(obs, batch.action, self.critics.constant).amin(2)
            value = self.critics.values(
                obs, self.sample(obs, self.noise_streams), self.critics.constant
            ).amin(2)
            weights = advantage_weights(q, value, config.temperature, config.max_weight)
        self.actor.zero_grad()
        loss = -mean_over_batch(weights * gaussian_log_prob(*self.distribution(obs), batch.action))
        loss.sum().backward(inputs=list(self.actor.tensors.values()))
        self.actor.grad.add_(self.actor.flat, alpha=config.weight_decay)
        self.actor_adam.step()
        self.target_critic.average_towards(self.critics.params, config.tau)

    @torch.no_grad()
    def act(self, obs: Tensor, streams=None) -> Tensor:
        """[M, N, B, A] the policy's mean actions."""
        return self.distribution(obs)[0].clamp(-1, 1)

    @torch.no_grad()
    def q(self, obs: Tensor, action: Tensor) -> Tensor:
        """[M, N, B] values of the first critic."""
        return self.critics.values(obs, action, self.critics.constant, head=0)

    @torch.no_grad()
    def value(self, obs: Tensor, streams: list[torch.Generator], samples: int) -> Tensor:
        """[M, N, B] mean value of `samples` actions of the policy."""
        repeated = obs.repeat_interleave(samples, dim=2)
        return (
            self.q(repeated, self.sample(repeated, streams)).unflatten(-1, (-1, samples)).mean(-1)
        )

    def part(self, members: slice) -> "AWAC":
        """Some of the members, to act and to be valued by, not to train; it follows the
        population's training.
        """
        part = copy.copy(self)
        part.critics, part.actor = copy.copy(self.critics), self.actor.views(members)
        part.critics.constant = self.critics.params.views(members)
        return part

    def state_dict(self) -> dict:
        return {
            "actor": self.actor.flat,
            "critics": self.critics.params.flat,
            "target_critic": self.target_critic.flat,
            "actor_adam": self.actor_adam.state_dict(),
            "critic_adam": self.critic_adam.state_dict(),
            "noise": [stream.get_state() for stream in self.noise_streams],
        }

    @torch.no_grad()
    def load_state_dict(self, state: dict) -> None:
        self.actor.flat.copy_(state["actor"])
        self.critics.params.flat.copy_(state["critics"])
        self.target_critic.flat.copy_(state["target_critic"])
        self.actor_adam.load_state_dict(state["actor_adam"])
        self.critic_adam.load_state_dict(state["critic_adam"])
        for stream, saved in zip(self.noise_streams, state["noise"], strict=True):
            stream.set_state(saved)
