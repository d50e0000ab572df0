"""OMAR: offline multi-agent RL with actor rectification (Pan, Huang, Ma and Xu; ICLR 2022
submission).

The contribution (`OMAR`) and the backbone all methods of the paper share (`Backbone`): one
deterministic policy and twin critics per agent, on own observations (ITD3) or on everybody's
(MATD3, Section 4.1.4). The baselines are in baselines.py. What the paper's text, its appendix and
the released code say differently is an option of `BackboneConfig` or `OMARConfig`; notes.md lists
them.

Axes: M members (seed x setting), N agents, E = 2 heads, B batch, K samples, C context of a critic,
O observation, A action.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from common.learning import kernels, zeroth_order
from common.learning.learner import Learner
from common.learning.losses import (
    cql_gap,
    gaussian_log_prob,
    td_loss,
    td_target,
    uniform_log_density,
)
from common.learning.networks import Actors, TwinCritics, layers, moments
from common.learning.population import generators, mean_over_batch, per_member
from common.learning.ranges import Count, CountOrZero, NotNegative, Positive, Share
from common.learning.replay import Batch


@dataclass(frozen=True)
class BackboneConfig:
    """What all four methods share. Defaults are the released values (facts: notes.md)."""

    hidden: Count = 64
    batch_size: Count = 1024
    actor_lr: Positive = 0.01  # one value, or one per member
    critic_lr: Positive = 0.01
    gamma: Share = 0.95  # 0.99 in the appendix
    tau: Share = 0.01  # share of the online network in each target update
    grad_clip: Positive | None = 0.5  # norm per network; None: no clipping, as in the text
    input_norm: bool = True  # BatchNorm on the raw input; absent from the text
    action_penalty: NotNegative = 1e-3  # of mean(pi^2) in the actor loss; absent from the text
    # std of the target policy's smoothing noise, clipped at 0.5; epsilon in Algorithm 1
    target_noise: NotNegative = 0.0
    actor_updates: Count = 1  # actor steps per critic step (Table 2)
    centralised: bool = False  # critics see everybody's observations and actions (Table 5)


@dataclass(frozen=True)
class MACQLConfig:
    """MA-CQL: the backbone with a conservative critic (Eq. 1)."""

    alpha: NotNegative = 1.0  # weight of the penalty, per member; the map per data set is a setting
    cql_samples: Count = 10  # uniform actions per observation
    # also as many of the current policy, as the text allows; the code draws none
    cql_policy_actions: bool = False
    # also so many around pi(o), and around pi(o'), as the code does on HalfCheetah
    cql_noisy_samples: CountOrZero = 0
    cql_noise: Positive = 0.2  # standard deviation of those
    # what is subtracted from their values: the logarithm of their density, or the density itself,
    # as the released code does
    density: Literal["log", "released"] = "log"


@dataclass(frozen=True)
class OMARConfig(MACQLConfig):
    """OMAR = MA-CQL's critic and a rectified actor (Eqs. 2 and 3)."""

    coefficient: Share = 0.5  # tau of Eq. 2, per member; the map per data set is a setting
    # "omar", "cem", "random" or "uniform" (Table 4); "elites": the code's on HalfCheetah
    sampler: Literal["omar", "cem", "random", "uniform", "elites"] = "omar"
    iterations: Count = 3  # J
    samples: Count = 10  # K
    mean: float = 0.0  # of the first population, per member
    std: Positive = 2.0  # of the first population, per member
    beta: NotNegative = 1.0  # inverse temperature of Eq. 3
    elites: Count = 3  # of the cross-entropy method
    sigma: Literal["released", "text"] = "released"  # or Eq. 3 as printed
    # over action components: "mean" as in the code, "sum": |.|^2 of Eq. 2
    squared_norm: Literal["mean", "sum"] = "mean"


class OwnView:
    """Decentralised critics (ITD3): each sees its agent's observation and action."""

    @staticmethod
    def width(obs_dim: int, action_dim: int, agents: int) -> int:
        """C."""
        return obs_dim

    @staticmethod
    def context(obs: Tensor, joint_obs: Tensor | None, joint_action: Tensor | None) -> Tensor:
        """[M, N, B, C] what each critic sees beside its agent's own action: the own observation."""
        return obs

    @staticmethod
    def next_actions(
        policy: Callable[[Tensor], Tensor], batch: Batch
    ) -> tuple[Tensor, Tensor | None]:
        """Every agent's action [M, N, B, A] on its own next observation."""
        return policy(batch.next_obs), None


class JointView:
    """Centralised critics (MATD3): each sees everybody's observations and actions."""

    @staticmethod
    def width(obs_dim: int, action_dim: int, agents: int) -> int:
        """C."""
        return agents * obs_dim + (agents - 1) * action_dim

    @staticmethod
    def context(obs: Tensor, joint_obs: Tensor | None, joint_action: Tensor | None) -> Tensor:
        """[M, N, B, C] everybody's observations and the others' actions.

        Args:
            obs: [M, N, B, O]; joint_obs, joint_action: [M, N, B, N, O] and [M, N, B, N, A].
        """
        assert joint_obs is not None and joint_action is not None  # of a centralised draw
        agents = obs.shape[1]
        index = others_of(agents, obs.device)[None, :, None, :, None]
        index = index.expand(*obs.shape[:3], -1, joint_action.shape[-1])
        return torch.cat([joint_obs.flatten(3), joint_action.gather(3, index).flatten(3)], dim=-1)

    @staticmethod
    def next_actions(
        policy: Callable[[Tensor], Tensor], batch: Batch
    ) -> tuple[Tensor, Tensor | None]:
        """Everybody's actions on their own next observations: each agent's own [M, N, B, A], and
        all of them beside each row [M, N, B, N, A].
        """
        agents, rows = batch.obs.shape[1:3]
        # [M, N(actor), N B, O]
        everybody = batch.joint["next_obs"].permute(0, 3, 1, 2, 4).flatten(2, 3)
        actions = policy(everybody).unflatten(2, (agents, rows))
        joint_action = actions.permute(0, 2, 3, 1, 4)  # [M, N, B, N(actor), A]
        return joint_action.diagonal(dim1=1, dim2=3).permute(0, 3, 1, 2), joint_action


# by BackboneConfig.centralised
VIEWS: dict[bool, type[OwnView] | type[JointView]] = {False: OwnView, True: JointView}


@functools.cache
def others_of(agents: int, device: torch.device) -> Tensor:
    """[N, N - 1] for every agent the numbers of the others."""
    index = [[j for j in range(agents) if j != i] for i in range(agents)]
    return torch.tensor(index, dtype=torch.long, device=device)


class Backbone(Learner):
    """Policies ("actor") and twin critics ("critic") of a population, and what every method does
    with them.

    Args:
        seeds: one per member; every draw of a member depends on its seed and purpose alone.
        obs_dim, action_dim, num_agents: of the team that learns.
        config: hyperparameters; actor_lr may hold one value per member.
    """

    def __init__(
        self,
        seeds: list[int],
        obs_dim: int,
        action_dim: int,
        num_agents: int,
        config: BackboneConfig,
        device: str = "cpu",
    ):
        super().__init__(seeds, device, max_norm=config.grad_clip)
        self.config = config
        self.action_dim = action_dim
        self.num_agents = num_agents
        self.view = VIEWS[config.centralised]
        self.actors = Actors(
            generators(seeds, "actor"),
            [obs_dim] * num_agents,
            obs_dim,
            config.hidden,
            action_dim,
            config.input_norm,
            device,
        )
        inputs = self.view.width(obs_dim, action_dim, num_agents) + action_dim
        self.critics = TwinCritics(
            generators(seeds, "critic"),
            [inputs] * num_agents,
            inputs,
            config.hidden,
            config.input_norm,
            device,
        )
        self.hold("actor", self.actors.params, config.actor_lr, target=True)
        self.hold("critic", self.critics.params, config.critic_lr, target=True)
        if self.actors.running:
            self.others["moments"] = self.actors.running

    def per_member(self, value: float | list[float]) -> Tensor:
        """[M] a hyperparameter given once, or once per member."""
        return per_member(value, len(self.seeds), self.device)

    def uniform_actions(self, rows: int, samples: int) -> Tensor:
        """[M, N, B, K, A] in [-1, 1]."""
        shape = (self.num_agents, rows, samples, self.action_dim)
        return self.streams.uniform(shape, -1.0, 1.0)

    def data_context(self, batch: Batch) -> Tensor:
        """[M, N, B, C] critic context at the transitions' first half, with the data's actions."""
        return self.view.context(batch.obs, batch.joint.get("obs"), batch.joint.get("action"))

    def next_context(self, batch: Batch, joint_action: Tensor | None) -> Tensor:
        """As `data_context`, at their second half, with these actions of everybody's."""
        return self.view.context(batch.next_obs, batch.joint.get("next_obs"), joint_action)

    @torch.no_grad()
    def target(self, batch: Batch) -> Tensor:
        """[M, N, B] y = r + gamma (1 - d) min_k Q_k(o', pi(o')), target networks (Section 2.1)."""
        policy = functools.partial(self.actors.train_actions, params=self.targets["actor"])
        next_action, next_joint = self.view.next_actions(policy, batch)
        context = self.next_context(batch, next_joint)
        if self.config.target_noise:
            noise = self.normal(*next_action.shape[1:]) * self.config.target_noise
            next_action = (next_action + noise.clamp(-0.5, 0.5)).clamp(-1, 1)
        next_q = self.critics.values(context, next_action.contiguous(), self.targets["critic"])
        return td_target(batch.reward, batch.terminal, next_q, self.config.gamma)

    def critic_step(self, loss: Tensor) -> None:
        """Descends loss [M, N], each critic on its own."""
        self.descend(loss, "critic")

    def actor_step(self, loss: Tensor, action: Tensor, *also: str) -> None:
        """Descends loss [M, N] plus the penalty on the policy's actions [M, N, B, A].

        Args:
            also: names of further networks that the loss trains.
        """
        penalty = self.config.action_penalty * mean_over_batch(action.square())
        self.descend(loss + penalty, "actor", *also)

    def update_targets(self) -> None:
        """Polyak averages of both networks (Algorithm 1, line 14)."""
        self.follow(self.config.tau)

    def act(self, obs: Tensor) -> Tensor:
        """Deterministic evaluation actions [M, N, B, A] for obs [M, N, B, O]."""
        return self.actors.act(obs)


class OnBackbone:
    """A method of the paper is how a backbone learns: it acts with its policies, and its state is
    the backbone's.
    """

    def __init__(self, backbone: Backbone):
        self.backbone = backbone

    def act(self, obs: Tensor) -> Tensor:
        """Deterministic evaluation actions [M, N, B, A] for obs [M, N, B, O]."""
        return self.backbone.act(obs)

    def state_dict(self) -> dict:
        """Everything that training changes."""
        return self.backbone.state_dict()

    def load_state_dict(self, state: dict) -> None:
        """Goes on from a `state_dict`."""
        self.backbone.load_state_dict(state)


def conservative_critic_loss(q: Tensor, target: Tensor, gap: Tensor, alpha: Tensor) -> Tensor:
    """[M, N] Eq. 1: squared TD error plus alpha times the CQL(H) gap.

    Args:
        q: [M, N, E, B], of the data's actions.
        target: [M, N, B].
        gap: [M, N], how far sampled actions are valued above the data's.
        alpha: [M].
    """
    return td_loss(q, target) + alpha[:, None] * gap


def uniform_gap(
    backbone: Backbone, batch: Batch, context: Tensor, q: Tensor, config: MACQLConfig
) -> Tensor:
    """[M, N] the CQL(H) gap over uniform own actions, and the policy's if so configured.

    With centralised critics only the own action is replaced by samples; the others' stay those of
    the data.
    """
    rows, size = batch.action.shape[2:]
    samples = backbone.uniform_actions(rows, config.cql_samples)
    if config.cql_policy_actions:
        policy_action = backbone.actors.train_actions(batch.obs).detach()
        samples = torch.cat([samples, policy_action.unsqueeze(3).expand_as(samples)], dim=3)
    logsumexp = kernels.mean_logsumexp(*critic_samples(backbone, context, samples))
    return cql_gap(logsumexp, q, uniform_log_density(size))


def as_log(log_density: Tensor) -> Tensor:
    """The logarithm of a density, as CQL(H) means it."""
    return log_density


# by MACQLConfig.density: what is subtracted, of a log density
DENSITIES: dict[str, Callable[[Tensor], Tensor]] = {"log": as_log, "released": torch.exp}


def noisy_gap(
    backbone: Backbone, batch: Batch, context: Tensor, q: Tensor, config: MACQLConfig
) -> Tensor:
    """[M, N] the CQL(H) gap over uniform actions and actions around the policy's at o and at o',
    all valued at o.

    Each sample is weighted by its own density (Kumar et al., 2020, appendix F). The released code
    subtracts the Gaussian's density where its logarithm is meant: `density` chooses.
    """
    correction = DENSITIES[config.density]
    agents, rows, size = batch.action.shape[1:]
    uniform = backbone.uniform_actions(rows, config.cql_samples)
    density = torch.full(uniform.shape[:-1], uniform_log_density(size), device=uniform.device)
    pools = [(uniform, density)]
    log_std = uniform.new_full((1,), config.cql_noise).log()
    for obs in (batch.obs, batch.next_obs):
        center = backbone.actors.train_actions(obs).detach().unsqueeze(3)
        noise = config.cql_noise * backbone.normal(agents, rows, config.cql_noisy_samples, size)
        log_density = gaussian_log_prob(torch.zeros_like(noise), log_std, noise)
        pools.append(((center + noise).clamp(-1, 1), correction(log_density)))
    weighted = []
    for actions, density in pools:  # each pool is a pass of its own, with its own batch statistics
        repeated = context.repeat_interleave(actions.shape[3], dim=2)
        sampled_q = backbone.critics.values(repeated, actions.flatten(2, 3))
        # [M, N, E, B, K]
        weighted.append(sampled_q.unflatten(-1, (rows, -1)) - density.unsqueeze(2))
    return (torch.cat(weighted, dim=-1).logsumexp(-1) - q).mean(-1).sum(2)


GAPS = {False: uniform_gap, True: noisy_gap}  # by whether there are noisy samples


def critic_samples(
    backbone: Backbone, context: Tensor, actions: Tensor, head: int | None = None
) -> list[Tensor]:
    """Arguments of `kernels.mean_logsumexp` and `sample_values` for both heads, or one, at actions
    [M, N, B, K, A].
    """
    obs_moments = moments(context) if backbone.config.input_norm else None
    first = backbone.critics.sample_layer(obs_moments, actions)
    weights = layers(backbone.critics.params, first, head)
    if head is not None:
        return [context, actions, *weights]
    return [context.unsqueeze(2), actions.unsqueeze(2), *weights]


class ActionSampler(NamedTuple):
    """A zeroth-order optimiser over actions; see `zeroth_order.search`.

    Attributes:
        uniform: one population is drawn uniformly, instead of Gaussian ones.
    """

    iterations: int
    samples: int
    refine: zeroth_order.Refine
    carried: int = 0
    uniform: bool = False


def softmax_sampler(config: OMARConfig) -> ActionSampler:
    """OMAR's: J populations of K actions, refined by Eq. 3."""
    spread = zeroth_order.SPREADS[config.sigma]

    def refine(actions: Tensor, q: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
        return zeroth_order.refine_softmax(actions, q, mean, config.beta, spread)

    return ActionSampler(config.iterations, config.samples, refine)


def random_sampler(config: OMARConfig) -> ActionSampler:
    """Random shooting around OMAR's first mean: one Gaussian population of J K actions."""
    return softmax_sampler(config)._replace(
        iterations=1, samples=config.iterations * config.samples
    )


def uniform_sampler(config: OMARConfig) -> ActionSampler:
    """Random shooting over the whole range: J K uniform actions."""
    return random_sampler(config)._replace(uniform=True)


def cem_sampler(config: OMARConfig, correction: int = 0) -> ActionSampler:
    """The cross-entropy method: J populations of K, refined to their elites."""

    def refine(actions: Tensor, q: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
        return zeroth_order.refine_elites(actions, q, config.elites, correction)

    return ActionSampler(config.iterations, config.samples, refine)


def elites_sampler(config: OMARConfig) -> ActionSampler:
    """The released code's on HalfCheetah: elites stay in the next population, variance unbiased."""
    return cem_sampler(config, correction=1)._replace(carried=config.elites)


SAMPLERS = {
    "omar": softmax_sampler,
    "cem": cem_sampler,
    "random": random_sampler,
    "uniform": uniform_sampler,
    "elites": elites_sampler,
}


def mean_square(difference: Tensor) -> Tensor:
    """[M, N, B] mean over action components, as in the released code."""
    return difference.square().mean(-1)


def sum_square(difference: Tensor) -> Tensor:
    """[M, N, B] |.|^2, as Eq. 2 is printed."""
    return difference.square().sum(-1)


SQUARED_NORMS = {"mean": mean_square, "sum": sum_square}


def rectified_actor_loss(
    q: Tensor,
    policy_action: Tensor,
    a_hat: Tensor,
    coefficient: Tensor,
    squared_norm: Callable[[Tensor], Tensor],
) -> Tensor:
    """[M, N] minus Eq. 2: -(1 - tau) Q(o, pi(o)) + tau (pi(o) - a_hat)^2.

    Args:
        q: [M, N, B], first critic at the policy's action.
        policy_action, a_hat: [M, N, B, A].
        coefficient: tau [M].
        squared_norm: one of SQUARED_NORMS.
    """
    tau = coefficient[:, None]
    distance = squared_norm(policy_action - a_hat)
    return tau * mean_over_batch(distance) - (1 - tau) * mean_over_batch(q)


class OMAR(OnBackbone):
    """Algorithm 1 for a population.

    Args:
        backbone: networks.
        config: hyperparameters; alpha, coefficient, mean and std may hold one value per member.
    """

    def __init__(self, backbone: Backbone, config: OMARConfig):
        super().__init__(backbone)
        self.config = config
        self.gap = GAPS[config.cql_noisy_samples > 0]
        self.sampler = SAMPLERS[config.sampler](config)
        self.squared_norm = SQUARED_NORMS[config.squared_norm]
        self.alpha = backbone.per_member(config.alpha)
        self.coefficient = backbone.per_member(config.coefficient)
        self.mean = backbone.per_member(config.mean)
        self.std = backbone.per_member(config.std)

    def update(self, batch: Batch) -> None:
        """One round: every agent's critics, then its actor, then the targets."""
        backbone = self.backbone
        context = backbone.data_context(batch)
        q = backbone.critics.values(context, batch.action)
        gap = self.gap(backbone, batch, context, q, self.config)
        loss = conservative_critic_loss(q, backbone.target(batch), gap, self.alpha)
        backbone.critic_step(loss)
        for _ in range(backbone.config.actor_updates):
            self.improve(batch, context)
        backbone.update_targets()

    def improve(self, batch: Batch, context: Tensor) -> None:
        """One step of the actor (line 13)."""
        backbone = self.backbone
        action = backbone.actors.train_actions(batch.obs, update_running=True)
        q = backbone.critics.values(context, action, backbone.critics.constant, head=0)
        a_hat = self.rectified_action(context, action, q)
        loss = rectified_actor_loss(q, action, a_hat, self.coefficient, self.squared_norm)
        backbone.actor_step(loss, action)

    @torch.no_grad()
    def rectified_action(self, context: Tensor, action: Tensor, q: Tensor) -> Tensor:
        """a_hat of Eq. 2, [M, N, B, A]: the best action the zeroth-order optimiser finds (Algorithm
        1, lines 7-12), or the policy's own.

        Args:
            context: critic context [M, N, B, C].
            action, q: the policy's actions [M, N, B, A] and their values [M, N, B].
        """
        backbone, sampler = self.backbone, self.sampler
        agents, rows, size = action.shape[1:]

        def draw() -> Tensor:
            return backbone.normal(agents, rows, sampler.samples, size)

        def value(actions: Tensor) -> Tensor:
            return kernels.sample_values(*critic_samples(backbone, context, actions, head=0))

        if sampler.uniform:
            candidates = backbone.uniform_actions(rows, sampler.samples)
            return zeroth_order.pick(candidates, value(candidates), action.detach(), q.detach())
        mean, std = (one.reshape(-1, 1, 1, 1).expand_as(action) for one in (self.mean, self.std))
        candidates, candidate_q = zeroth_order.search(
            draw, value, sampler.iterations, mean, std, sampler.refine, sampler.carried
        )
        return zeroth_order.pick(candidates, candidate_q, action.detach(), q.detach())
