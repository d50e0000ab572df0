"""BCQ (Fujimoto, Meger and Precup, 2019) on a population, every agent by itself: the authors'
algorithm with all its parts.

A conditional VAE proposes actions like those of the data, a network perturbs them a little, twin
critics choose.

Axes: M members, N agents, E = 2 critic heads, B batch, K candidates, O observation, A action, Z = 2
A latent.
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from common.learning.losses import td_loss
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
from common.learning.vae import ConditionalVAE

KL_WEIGHT = 0.5  # of the authors' code


@dataclass(frozen=True)
class BCQConfig:
    """Values of the authors' code."""

    hidden: int = 256
    vae_hidden: int | None = None  # of the generator; None for `hidden`
    actor_lr: float = 1e-3
    critic_lr: float = 1e-3
    vae_lr: float = 1e-3
    gamma: float = 0.99
    tau: float = 0.005
    minimum_weight: float = (
        0.75  # lambda: of the smaller of both target values, the rest is the larger one's
    )
    target_samples: int = 10  # candidates per next observation in the target
    act_samples: int = 100  # candidates in acting
    perturbation: float = 0.05  # Phi: largest correction of a proposed action
    latent_clip: float = 0.5  # of the latents that proposals are decoded from


class BCQ:
    """Generators, perturbations, twin critics and their targets, one per member and agent.

    Args:
        seeds: one per member.
        obs_dims: true observation size of each agent.
    """

    def __init__(
        self,
        seeds: list[int],
        obs_dims: list[int],
        action_dim: int,
        config: BCQConfig,
        device="cpu",
    ):
        self.config, self.action_dim, self.latent, padded = (
            config,
            action_dim,
            2 * action_dim,
            max(obs_dims),
        )
        self.vae = ConditionalVAE(
            generators(seeds, "vae"),
            obs_dims,
            padded,
            action_dim,
            self.latent,
            config.vae_hidden or config.hidden,
            config.vae_lr,
            device,
        )
        inputs, width = [dim + action_dim for dim in obs_dims], padded + action_dim
        tensors = mlp_parameters(
            generators(seeds, "actor"), inputs, width, config.hidden, action_dim, input_norm=False
        )
        self.actor = Parameters({name: tensor.to(device) for name, tensor in tensors.items()})
        self.critics = TwinCritics(
            generators(seeds, "critic"), inputs, width, config.hidden, False, device
        )
        self.target_actor, self.target_critic = (
            self.actor.frozen_copy(),
            self.critics.params.frozen_copy(),
        )
        self.actor_adam = Adam(self.actor, per_member(config.actor_lr, len(seeds), device))
        self.critic_adam = Adam(
            self.critics.params, per_member(config.critic_lr, len(seeds), device)
        )
        self.noise_streams = generators(seeds, "noise", device)

    def noise(self, like: Tensor, streams=None) -> Tensor:
        """Standard normal latents [M, N, B, Z] for observations [M, N, B, O]."""
        return normal_(like.new_empty(*like.shape[:-1], self.latent), streams or self.noise_streams)

    def propose(self, obs: Tensor, noise: Tensor, actor: Parameters) -> Tensor:
        """Actions [M, N, B, A]: decoded from clipped latents, then perturbed by at most Phi."""
        clip = self.config.latent_clip
        return self.perturb(obs, self.vae.decode(obs, noise.clamp(-clip, clip)).detach(), actor)

    def perturb(self, obs: Tensor, action: Tensor, actor: Parameters) -> Tensor:
        """Actions [M, N, B, A] corrected by at most Phi."""
        correction = (
            self.config.perturbation * apply_mlp(actor, torch.cat([obs, action], -1), None).tanh()
        )
        return (action + correction).clamp(-1, 1)

    def update(self, batch: Batch) -> None:
        """One step of the generator, the critics and the perturbation."""
        config, obs = self.config, batch.obs
        self.vae.update(obs, batch.action, self.noise(obs), KL_WEIGHT)

        with torch.no_grad():
            repeated = batch.next_obs.repeat_interleave(
                config.target_samples, dim=2
            )  # [M, N, B K, O]
            candidates = self.propose(repeated, self.noise(repeated), self.target_actor)
            values = self.critics.values(repeated, candidates, self.target_critic)  # [M, N, E, B K]
            mixed = config.minimum_weight * values.amin(2) + (
                1 - config.minimum_weight
            ) * values.amax(2)
            best = mixed.unflatten(-1, (-1, config.target_samples)).amax(-1)
            target = batch.reward + config.gamma * (1 - batch.terminal) * best
        self._descend(self.critic_loss(batch, target, best), self.critics.params, self.critic_adam)

        with torch.no_grad():
            proposed = self.vae.decode(
                obs, self.noise(obs).clamp(-config.latent_clip, config.latent_clip)
            )
        own = self.perturb(obs, proposed, self.actor)
        self._descend(
            -mean_over_batch(self.critics.values(obs, own, self.critics.constant, head=0)),
            self.actor,
            self.actor_adam,
        )
        self.target_critic.average_towards(self.critics.params, config.tau)
        self.target_actor.average_towards(self.actor, config.tau)

    def critic_loss(self, batch: Batch, target: Tensor, next_value: Tensor) -> Tensor:
        """[M, N] squared error against the target [M, N, B]; next_value [M, N, B] is what the
        target bootstraps from.
        """
        return td_loss(self.critics.values(batch.obs, batch.action), target)

    @staticmethod
    def _descend(loss: Tensor, params: Parameters, adam: Adam) -> None:
        params.zero_grad()
        loss.sum().backward(inputs=list(params.tensors.values()))
        adam.step()

    @torch.no_grad()
    def act(self, obs: Tensor, streams: list[torch.Generator]) -> Tensor:
        """[M, N, B, A]: the best of `act_samples` candidates by the first critic, for obs [M, N, B,
        O].
        """
        samples = self.config.act_samples
        repeated = obs.repeat_interleave(samples, dim=2)
        candidates = self.propose(repeated, self.noise(repeated, streams), self.actor)
        best = (
            self.q(repeated, candidates).unflatten(-1, (-1, samples)).argmax(-1, keepdim=True)
        )  # [M, N, B, 1]
        picked = candidates.unflatten(2, (-1, samples))
        return picked.gather(3, best.unsqueeze(-1).expand(*best.shape, self.action_dim)).squeeze(3)

    @torch.no_grad()
    def q(self, obs: Tensor, action: Tensor) -> Tensor:
        """[M, N, B] values of the first critic."""
        return self.critics.values(obs, action, self.critics.constant, head=0)

    @torch.no_grad()
    def value(self, obs: Tensor, streams: list[torch.Generator], samples: int) -> Tensor:
        """[M, N, B] mean value of `samples` proposals."""
        repeated = obs.repeat_interleave(samples, dim=2)
        proposed = self.propose(repeated, self.noise(repeated, streams), self.actor)
        return self.q(repeated, proposed).unflatten(-1, (-1, samples)).mean(-1)

    def part(self, members: slice) -> "BCQ":
        """Some of the members, to act and to be valued by, not to train; it follows the
        population's training.
        """
        part = copy.copy(self)
        part.vae, part.critics = copy.copy(self.vae), copy.copy(self.critics)
        part.vae.decoder, part.actor = self.vae.decoder.views(members), self.actor.views(members)
        part.critics.constant = self.critics.params.views(members)
        return part

    def state_dict(self) -> dict:
        return {
            "vae": self.vae.state_dict(),
            "actor": self.actor.flat,
            "critics": self.critics.params.flat,
            "target_actor": self.target_actor.flat,
            "target_critic": self.target_critic.flat,
            "actor_adam": self.actor_adam.state_dict(),
            "critic_adam": self.critic_adam.state_dict(),
            "noise": [stream.get_state() for stream in self.noise_streams],
        }

    @torch.no_grad()
    def load_state_dict(self, state: dict) -> None:
        self.vae.load_state_dict(state["vae"])
        self.actor.flat.copy_(state["actor"])
        self.critics.params.flat.copy_(state["critics"])
        self.target_actor.flat.copy_(state["target_actor"])
        self.target_critic.flat.copy_(state["target_critic"])
        self.actor_adam.load_state_dict(state["actor_adam"])
        self.critic_adam.load_state_dict(state["critic_adam"])
        for stream, saved in zip(self.noise_streams, state["noise"], strict=True):
            stream.set_state(saved)
