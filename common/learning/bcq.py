"""BCQ (Fujimoto, Meger and Precup, 2019) on a population, every agent by itself: the authors'
algorithm with all its parts.

A conditional VAE proposes actions like those of the data, a network perturbs them a little, twin
critics choose.

Axes: M members, N agents, E = 2 critic heads, B batch, K candidates, O observation, A action, Z = 2
A latent.
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from common.learning.learner import Learner
from common.learning.losses import td_loss
from common.learning.networks import TwinCritics, apply_mlp, mlp_parameters
from common.learning.philox import Streams
from common.learning.population import Parameters, generators, mean_over_batch
from common.learning.ranges import Count, NotNegative, Positive, Share
from common.learning.replay import Batch
from common.learning.vae import ConditionalVAE


@dataclass(frozen=True)
class BCQConfig:
    """Values of the authors' code."""

    hidden: Count = 256
    vae_hidden: Count | None = None  # of the generator; None for `hidden`
    actor_lr: Positive = 1e-3
    critic_lr: Positive = 1e-3
    vae_lr: Positive = 1e-3
    gamma: Share = 0.99
    tau: Share = 0.005
    minimum_weight: Share = 0.75  # lambda: of the smaller target value, the rest is the larger's
    target_samples: Count = 10  # candidates per next observation in the target
    act_samples: Count = 100  # candidates in acting
    perturbation: NotNegative = 0.05  # Phi: largest correction of a proposed action
    latent_clip: Positive = 0.5  # of the latents that proposals are decoded from
    vae_kl_weight: NotNegative = 0.5


class BCQ(Learner):
    """Generators, perturbations ("actor"), twin critics, one per member and agent.

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
        device: str = "cpu",
    ):
        super().__init__(seeds, device)
        self.config = config
        self.action_dim = action_dim
        self.latent = 2 * action_dim
        self.vae = ConditionalVAE(
            generators(seeds, "vae"),
            obs_dims,
            action_dim,
            self.latent,
            config.vae_hidden or config.hidden,
            config.vae_lr,
            device,
        )
        self.others["vae"] = self.vae
        inputs = [dim + action_dim for dim in obs_dims]
        width = max(inputs)
        actor = mlp_parameters(
            generators(seeds, "actor"), inputs, width, config.hidden, action_dim, input_norm=False
        )
        self.hold("actor", actor, config.actor_lr, target=True)
        self.critics = TwinCritics(
            generators(seeds, "critic"), inputs, width, config.hidden, False, device
        )
        self.hold("critic", self.critics.params, config.critic_lr, target=True)

    def noise(self, like: Tensor, streams: Streams | None = None) -> Tensor:
        """Standard normal latents [M, N, B, Z] for observations [M, N, B, O]."""
        return (streams or self.streams).normal((*like.shape[1:-1], self.latent))

    @torch.no_grad()
    def decode(self, obs: Tensor, noise: Tensor) -> Tensor:
        """The generator's actions [M, N, B, A] from clipped latents, without gradients."""
        clip = self.config.latent_clip
        return self.vae.decode(obs, noise.clamp(-clip, clip))

    def propose(self, obs: Tensor, noise: Tensor, actor: Parameters) -> Tensor:
        """Actions [M, N, B, A]: the generator's, perturbed by at most Phi."""
        return self.perturb(obs, self.decode(obs, noise), actor)

    def perturb(self, obs: Tensor, action: Tensor, actor: Parameters) -> Tensor:
        """Actions [M, N, B, A] corrected by at most Phi."""
        rows = torch.cat([obs, action], -1)
        correction = self.config.perturbation * apply_mlp(actor, rows, None).tanh()
        return (action + correction).clamp(-1, 1)

    def update(self, batch: Batch) -> None:
        """One step of the generator, the critics and the perturbation."""
        config, obs = self.config, batch.obs
        self.vae.update(obs, batch.action, self.noise(obs), config.vae_kl_weight)

        next_value = self.next_value(batch.next_obs)
        target = batch.reward + config.gamma * (1 - batch.terminal) * next_value
        self.descend(self.critic_loss(batch, target, next_value), "critic")

        action = self.perturb(obs, self.decode(obs, self.noise(obs)), self.networks["actor"])
        q = self.critics.values(obs, action, self.critics.constant, head=0)
        self.descend(-mean_over_batch(q), "actor")
        self.follow(config.tau)

    @torch.no_grad()
    def next_value(self, next_obs: Tensor) -> Tensor:
        """[M, N, B] best of the candidates by a convex mix of both target critics."""
        config = self.config
        repeated = next_obs.repeat_interleave(config.target_samples, dim=2)  # [M, N, B K, O]
        candidates = self.propose(repeated, self.noise(repeated), self.targets["actor"])
        q = self.critics.values(repeated, candidates, self.targets["critic"])  # [M, N, E, B K]
        weight = config.minimum_weight
        mixed = weight * q.amin(2) + (1 - weight) * q.amax(2)
        return mixed.unflatten(-1, (-1, config.target_samples)).amax(-1)

    def critic_loss(self, batch: Batch, target: Tensor, next_value: Tensor) -> Tensor:
        """[M, N] squared error against the target [M, N, B]; next_value [M, N, B] is what the
        target bootstraps from.
        """
        return td_loss(self.critics.values(batch.obs, batch.action), target)

    @torch.no_grad()
    def act(self, obs: Tensor, streams: Streams) -> Tensor:
        """[M, N, B, A]: the best of `act_samples` candidates by the first critic, for obs [M, N, B,
        O].
        """
        samples = self.config.act_samples
        repeated = obs.repeat_interleave(samples, dim=2)
        candidates = self.propose(repeated, self.noise(repeated, streams), self.networks["actor"])
        q = self.q(repeated, candidates).unflatten(-1, (-1, samples))
        best = q.argmax(-1)[..., None, None].expand(*obs.shape[:-1], 1, self.action_dim)
        return candidates.unflatten(2, (-1, samples)).gather(3, best).squeeze(3)

    @torch.no_grad()
    def q(self, obs: Tensor, action: Tensor) -> Tensor:
        """[M, N, B] values of the first critic."""
        return self.critics.values(obs, action, self.networks["critic"], head=0)

    @torch.no_grad()
    def value(self, obs: Tensor, streams: Streams, samples: int) -> Tensor:
        """[M, N, B] mean value of `samples` proposals."""
        repeated = obs.repeat_interleave(samples, dim=2)
        proposed = self.propose(repeated, self.noise(repeated, streams), self.networks["actor"])
        return self.q(repeated, proposed).unflatten(-1, (-1, samples)).mean(-1)

    def part(self, members: slice) -> Self:
        """As `Learner.part`, with the part's own generators."""
        some = super().part(members)
        some.vae = self.vae.part(members)
        return some
