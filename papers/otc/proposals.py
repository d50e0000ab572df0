"""BCQ's proposals and their values in one pass: where online tuning of BCQ spends most of its time.

Targets, V(s') of d_q and acting all ask the same: several latents per state, decoded, perturbed,
and valued by a critic. Here is a CPU form in C (`proposals.c`) for all three; where it does not
serve, `common.learning.bcq` does the same step by step. Both are equal up to rounding.

Axes: M members, N agents, E critics, B states, K proposals of a state, O observation, A action.
"""

import ctypes
from pathlib import Path

import torch
from torch import Tensor

from common.learning.bcq import BCQ
from common.learning.kernels import Nets, compiled, fused, longs
from common.learning.philox import Streams
from common.learning.population import Parameters

SOURCE = Path(__file__).with_name("proposals.c")
LAYERS = ("w1", "b1", "w2", "b2", "w3", "b3")


class FusedBCQ(BCQ):
    """BCQ whose proposals and their values are computed together."""

    def valued(
        self,
        obs: Tensor,
        samples: int,
        actor: Parameters,
        critic: Parameters,
        heads: int,
        streams: Streams | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Proposals [M, N, B, K, A] for obs [M, N, B, O], and their values [M, N, E, B, K].

        Args:
            samples: K.
            heads: E, so many of the critic's first heads.
            streams: of the latents; the learner's own by default.
        """
        config = self.config
        states = obs.shape[2]
        noise = self.latents(obs, states * samples, streams)
        sizes = (config.hidden, config.vae_hidden or config.hidden)
        library = compiled(SOURCE) if all(fused(obs, size) for size in sizes) else None
        if library is None:
            return self.valued_reference(obs, samples, actor, critic, heads, noise)
        lead = obs.shape[:2]
        actions = obs.new_empty(*lead, states, samples, self.action_dim)
        q = obs.new_empty(*lead, heads, states, samples)
        nets = Nets(lead)
        networks = (self.vae.networks["decoder"], actor, critic)
        weights = [network[name].detach() for network in networks for name in LAYERS]
        library.proposals(
            *longs(nets.count, states, samples, obs.shape[-1], self.action_dim, self.latent),
            *longs(*sizes, heads),
            ctypes.c_double(config.perturbation),
            *(nets(tensor) for tensor in (obs, noise, *weights, actions, q)),
        )
        return actions, q

    def latents(self, obs: Tensor, rows: int, streams: Streams | None) -> Tensor:
        """Clipped latents [M, N, B K, Z]."""
        clip = self.config.latent_clip
        shape = (obs.shape[1], rows, self.latent)
        return (streams or self.streams).normal(shape).clamp_(-clip, clip)

    def valued_reference(
        self,
        obs: Tensor,
        samples: int,
        actor: Parameters,
        critic: Parameters,
        heads: int,
        noise: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Plain torch form of `valued`, given its latents."""
        repeated = obs.repeat_interleave(samples, dim=2)  # [M, N, B K, O]
        actions = self.propose(repeated, noise, actor)
        q = self.critics.values(repeated, actions, critic)[:, :, :heads]
        return actions.unflatten(2, (-1, samples)), q.unflatten(-1, (-1, samples))

    @torch.no_grad()
    def next_value(self, next_obs: Tensor) -> Tensor:
        """As `BCQ.next_value`."""
        targets = self.targets["actor"], self.targets["critic"]
        _, q = self.valued(next_obs, self.config.target_samples, *targets, heads=2)
        weight = self.config.minimum_weight
        return (weight * q.amin(2) + (1 - weight) * q.amax(2)).amax(-1)

    @torch.no_grad()
    def act(self, obs: Tensor, streams: Streams) -> Tensor:
        """As `BCQ.act`."""
        own = self.networks["actor"], self.networks["critic"]
        actions, q = self.valued(obs, self.config.act_samples, *own, heads=1, streams=streams)
        best = q[:, :, 0].argmax(-1)[..., None, None].expand(*obs.shape[:-1], 1, self.action_dim)
        return actions.gather(3, best).squeeze(3)

    @torch.no_grad()
    def value(self, obs: Tensor, streams: Streams, samples: int) -> Tensor:
        """As `BCQ.value`."""
        own = self.networks["actor"], self.networks["critic"]
        _, q = self.valued(obs, samples, *own, heads=1, streams=streams)
        return q[:, :, 0].mean(-1)
