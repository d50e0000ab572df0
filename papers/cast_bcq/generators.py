"""The generators G_1..G_N of CAST-BCQ: what agents are likely to do, and proposals of it.

A conditional VAE for continuous actions (Eq. 3). For discrete ones the paper gives none: a
behaviour-cloned categorical distribution takes the VAE's place, and an action may be proposed if it
is available and at least `threshold` times as probable as the most probable one (discrete BCQ,
Fujimoto et al., 2019).

Axes: M members, N agents, B batch, P positions and L lanes of episodes (common.learning.episodes),
K candidates, O observation, A a continuous action, U discrete actions.
"""

import torch
from torch import Tensor

from common.learning.episodes import Lanes, mean_filled
from common.learning.learner import Learner
from common.learning.networks import apply_mlp, mlp_parameters
from common.learning.philox import Streams
from common.learning.population import generators, mean_over_batch
from common.learning.vae import ConditionalVAE
from papers.cast_bcq.cast import CASTConfig, Situation
from papers.cast_bcq.discrete import DiscreteBatch, DiscreteConfig
from papers.cast_bcq.recurrent import Choice, HistoryNetwork, MapSizes, RecurrentConfig, seen
from papers.cast_bcq.rows import JointBatch


def available_only(logits: Tensor, available: Tensor) -> Tensor:
    """Logits [..., U], minus infinity where an action is not available."""
    return logits.masked_fill(available < 0.5, -torch.inf)


def allowed(logits: Tensor, available: Tensor, threshold: float) -> Tensor:
    """Which actions [..., U] may be chosen: available, and p >= threshold * max p among the
    available ones.
    """
    log_prob = available_only(logits, available).log_softmax(-1)
    probable = (log_prob - log_prob.amax(-1, keepdim=True)).exp() >= threshold
    return probable & (available >= 0.5)  # which says it all at a threshold of 0


def chosen(values: Tensor, action: Tensor) -> Tensor:
    """Values [...] of actions [...] among values [..., U]."""
    return values.gather(-1, action.unsqueeze(-1)).squeeze(-1)


def best_allowed(values: Tensor, mask: Tensor) -> Tensor:
    """[...] the best of the allowed actions by values [..., U]."""
    return values.masked_fill(~mask, -torch.inf).argmax(-1)


def draws_by_gumbel(logits: Tensor, mask: Tensor, count: int, streams: Streams) -> Tensor:
    """[M, ..., K] draws from the softmax of logits [M, ..., U] over allowed actions, by Gumbel
    maxima: U random numbers a draw.
    """
    among = logits.masked_fill(~mask, -torch.inf).unsqueeze(-2)
    noise = streams.gumbel((*logits.shape[1:-1], count, logits.shape[-1]))
    return (among + noise).argmax(-1)


def draws_by_inverse(logits: Tensor, mask: Tensor, count: int, streams: Streams) -> Tensor:
    """As `draws_by_gumbel`, by the inverse of the distribution: one random number a draw. Joint
    candidates of long episodes need millions.
    """
    cumulative = logits.masked_fill(~mask, -torch.inf).softmax(-1).cumsum(-1)
    uniform = streams.uniform((*logits.shape[1:-1], count))
    drawn = torch.searchsorted(cumulative, uniform * cumulative[..., -1:], right=True)
    # rounding may lead past the last allowed action
    return torch.minimum(drawn, mask.long().cumsum(-1).argmax(-1, keepdim=True))


class VAEGenerator:
    """A conditional VAE per agent; proposals are decoded from clipped latents.

    Args:
        learner: holds it, and draws its random numbers.
        obs_dims: true observation size of each agent.
    """

    def __init__(self, learner: Learner, obs_dims: list[int], action_dim: int, config: CASTConfig):
        self.learner = learner
        self.latent_clip = config.latent_clip
        self.kl_weight = config.vae_kl_weight
        self.latent = 2 * action_dim
        sizes = action_dim, self.latent, config.vae_hidden
        self.vae = ConditionalVAE(
            generators(learner.seeds, "vae"), obs_dims, *sizes, config.lr, learner.device
        )
        learner.others["vae"] = self.vae

    def update(self, batch: JointBatch) -> tuple[Situation, Situation]:
        """One step of Eq. 3; the situations of the minibatch, and those that follow them."""
        noise = self.learner.normal(*batch.obs.shape[1:-1], self.latent)
        self.vae.update(batch.obs, batch.action, noise, self.kl_weight)
        now = Situation(batch.state, (batch.obs,))
        return now, Situation(batch.next_state, (batch.next_obs,))

    def taken(self, batch: JointBatch) -> Tensor:
        """[M, N, B, A] the data's actions."""
        return batch.action

    def propose(
        self,
        given: tuple[Tensor, ...],
        count: int,
        streams: Streams | None = None,
    ) -> Tensor:
        """[M, N, B, K, A] proposals for observations [M, N, B, O]."""
        (obs,) = given
        repeated = obs.repeat_interleave(count, dim=2)
        noise = (streams or self.learner.streams).normal((*repeated.shape[1:-1], self.latent))
        latents = noise.clamp(-self.latent_clip, self.latent_clip)
        return self.vae.decode(repeated, latents).detach().unflatten(2, (-1, count))


class CategoricalGenerator:
    """A categorical distribution per agent, of its observation.

    Args:
        learner: holds it as "generator", and draws its random numbers.
        obs_dims: true observation size of each agent.
        actions: U.
    """

    def __init__(self, learner: Learner, obs_dims: list[int], actions: int, config: DiscreteConfig):
        self.learner = learner
        self.actions = actions
        self.threshold = config.threshold
        streams = generators(learner.seeds, "generator")
        tensors = mlp_parameters(
            streams, obs_dims, max(obs_dims), config.hidden, actions, input_norm=False
        )
        learner.hold("generator", tensors, config.lr)

    def clone(self, batch: DiscreteBatch) -> None:
        """One step of the data's cross entropy over available actions."""
        logits = apply_mlp(self.learner.networks["generator"], batch.obs, None)
        log_prob = available_only(logits, batch.available).log_softmax(-1)
        self.learner.descend(-mean_over_batch(chosen(log_prob, batch.action)), "generator")

    @torch.no_grad()
    def behaviour(self, obs: Tensor, available: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [M, N, B, U] of the behaviour, and which actions are allowed."""
        logits = apply_mlp(self.learner.networks["generator"], obs, None)
        return logits, allowed(logits, available, self.threshold)

    def update(self, batch: DiscreteBatch) -> tuple[Situation, Situation]:
        """One step of cloning; the situations of the minibatch, and those that follow them."""
        self.clone(batch)
        now = self.behaviour(batch.obs, batch.available)
        following = self.behaviour(batch.next_obs, batch.next_available)
        return Situation(batch.state, now), Situation(batch.next_state, following)

    def onehot(self, action: Tensor) -> Tensor:
        """[..., U] of actions [...]."""
        return torch.nn.functional.one_hot(action, self.actions).float()

    def taken(self, batch: DiscreteBatch) -> Tensor:
        """[M, N, B, U] the data's actions as vectors."""
        return self.onehot(batch.action)

    def propose(self, given: tuple[Tensor, ...], count: int) -> Tensor:
        """[M, N, B, K, U] proposals as vectors, from logits and masks [M, N, B, U]."""
        logits, mask = given
        return self.onehot(draws_by_gumbel(logits, mask, count, self.learner.streams))


class RecurrentGenerator:
    """A categorical distribution of an agent's observations and actions so far, by one network that
    the team shares.

    Args:
        learner: holds it as "generator", and draws its random numbers.
    """

    def __init__(self, learner: Learner, sizes: MapSizes, config: RecurrentConfig):
        self.learner = learner
        self.threshold = config.threshold
        self.network = HistoryNetwork(learner, "generator", sizes, config, sizes.actions)

    def clone(self, lanes: Lanes) -> Tensor:
        """One step of the data's cross entropy over available actions; its logits [M, P, L, N, U]
        from before.
        """
        outputs = self.network.along(lanes, seen(lanes, deciding=True))
        logits = available_only(outputs, lanes.available)
        log_prob = chosen(logits.log_softmax(-1), lanes.action)
        self.learner.descend(-mean_filled(log_prob, lanes.filled), "generator")
        return logits.detach()

    def update(self, lanes: Lanes) -> tuple[Situation, Situation]:
        """One step of cloning; the situations of all places, twice: what follows a place is the
        next one of its lane, and the critic sees to that.
        """
        logits = self.clone(lanes)
        mask = allowed(logits, lanes.available, self.threshold)
        given = logits.flatten(1, 2).transpose(1, 2), mask.flatten(1, 2).transpose(1, 2)
        places = Situation(lanes.state.flatten(1, 2), given)
        return places, places

    def taken(self, lanes: Lanes) -> Tensor:
        """[M, N, B] the data's actions, B = P L places."""
        return lanes.action.flatten(1, 2).transpose(1, 2)

    def choice(self, values: Tensor, logits: Tensor, available: Tensor) -> Choice:
        """The best by values [M, E, N, U] of the allowed actions."""
        mask = allowed(logits, available, self.threshold)
        return Choice(
            best_allowed(values, mask), mask, available_only(logits, available).argmax(-1)
        )

    def propose(self, given: tuple[Tensor, ...], count: int) -> Tensor:
        """[M, N, B, K] proposals, from logits and masks [M, N, B, U]."""
        logits, mask = given
        return draws_by_inverse(logits, mask, count, self.learner.streams)
