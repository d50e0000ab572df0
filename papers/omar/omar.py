"""OMAR: offline multi-agent RL with actor rectification (Pan, Huang, Ma and Xu; ICLR 2022
submission).

The contribution (`OMAR`) and the backbone all methods of the paper share (`Backbone`): one
deterministic policy and twin critics per agent, on own observations (ITD3) or on everybody's
(MATD3, Section 4.1.4). The baselines are in baselines.py. What the paper's text, its appendix and
the released code say differently is an option of `BackboneConfig` or `OMARConfig`; the README lists
them.

Axes: M members (seed x setting), N agents, E = 2 heads, B batch, K samples, O observation, A
action.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from common.learning import kernels, zeroth_order
from common.learning.losses import (
    cql_gap,
    gaussian_log_prob,
    td_loss,
    td_target,
    uniform_log_density,
)
from common.learning.networks import Actors, TwinCritics, moments
from common.learning.population import (
    Adam,
    generators,
    mean_over_batch,
    normal_,
    per_member,
    uniform_,
)
from common.learning.replay import Batch


@dataclass(frozen=True)
class BackboneConfig:
    """What all four methods share. Defaults are the released values (facts: README, departures)."""

    hidden: int = 64
    batch_size: int = 1024
    actor_lr: float = 0.01  # one value, or one per member
    critic_lr: float = 0.01
    gamma: float = 0.95  # 0.99 in the appendix
    tau: float = 0.01  # share of the online network in each target update
    grad_clip: float | None = 0.5  # norm per network; None: no clipping, as in the text
    input_norm: bool = True  # BatchNorm on the raw input; absent from the text
    action_penalty: float = 1e-3  # weight of mean(pi^2) in the actor loss; absent from the text
    target_noise: float = (
        0.0  # std of the target policy's smoothing noise, clipped at 0.5; epsilon in Algorithm 1
    )
    actor_updates: int = 1  # actor steps per critic step (Table 2)
    centralised: bool = False  # critics see everybody's observations and actions (Table 5)


@dataclass(frozen=True)
class CQLConfig:
    """MA-CQL: the backbone with a conservative critic (Eq. 1)."""

    alpha: float = 1.0  # weight of the penalty, per member; the map per data set is in settings.py
    cql_samples: int = 10  # uniform actions per observation
    cql_policy_actions: bool = (
        False  # also 10 of the current policy, as the text allows; the code draws none
    )
    cql_noisy_samples: int = (
        0  # also so many around pi(o), and around pi(o'), as the code does on HalfCheetah
    )
    cql_noise: float = 0.2  # standard deviation of those


@dataclass(frozen=True)
class OMARConfig(CQLConfig):
    """OMAR = MA-CQL's critic and a rectified actor (Eqs. 2 and 3)."""

    coefficient: float = 0.5  # tau of Eq. 2, per member; the map per data set is in settings.py
    sampler: str = (
        "omar"  # "omar", "cem" or "random" (Table 4); "elites": the code's on HalfCheetah
    )
    iterations: int = 3  # J
    samples: int = 10  # K
    mean: float = 0.0  # of the first population, per member
    std: float = 2.0  # of the first population, per member
    beta: float = 1.0  # inverse temperature of Eq. 3
    elites: int = 3  # of the cross-entropy method
    sigma: str = "released"  # or "text": Eq. 3 as printed
    squared_norm: str = "mean"  # over action components, as in the code; "sum": |.|^2 of Eq. 2


class Backbone:
    """Policies, twin critics, their targets and optimisers for a population of teams.

    Args:
        seeds: one per member; every draw of a member depends on its seed and purpose alone.
        obs_dim, action_dim, num_agents: of the learning team.
        config: hyperparameters; actor_lr may hold one value per member.
    """

    def __init__(
        self,
        seeds,
        obs_dim,
        action_dim,
        num_agents,
        config: BackboneConfig,
        device="cpu",
        actor_outputs=None,
    ):
        self.config, self.device, self.action_dim, self.num_agents = (
            config,
            device,
            action_dim,
            num_agents,
        )
        members, agents = len(seeds), num_agents
        context = (
            obs_dim if not config.centralised else agents * obs_dim + (agents - 1) * action_dim
        )
        self.actors = Actors(
            generators(seeds, "actor"),
            [obs_dim] * agents,
            obs_dim,
            config.hidden,
            action_dim,
            config.input_norm,
            device,
        )
        self.critics = TwinCritics(
            generators(seeds, "critic"),
            [context + action_dim] * agents,
            context + action_dim,
            config.hidden,
            config.input_norm,
            device,
        )
        self.target_actor = self.actors.params.frozen_copy()
        self.target_critic = self.critics.params.frozen_copy()
        self.actor_adam = Adam(self.actors.params, per_member(config.actor_lr, members, device))
        self.critic_adam = Adam(self.critics.params, per_member(config.critic_lr, members, device))
        self.noise_streams = generators(seeds, "noise", device)
        index = [[j for j in range(agents) if j != i] for i in range(agents)]
        self.others = torch.tensor(index, dtype=torch.long, device=device)  # [N, N - 1]

    def uniform(self, *shape: int) -> Tensor:
        """[M, *shape] uniform numbers in [-1, 1] from each member's own stream."""
        return uniform_(
            torch.empty(len(self.noise_streams), *shape, device=self.device), self.noise_streams
        )

    def normal(self, *shape: int) -> Tensor:
        """[M, *shape] standard normal numbers from each member's own stream."""
        return normal_(
            torch.empty(len(self.noise_streams), *shape, device=self.device), self.noise_streams
        )

    def context(
        self, batch: Batch, obs: Tensor, team_obs: Tensor | None, team_action: Tensor | None
    ) -> Tensor:
        """[M, N, B, C] what each critic sees beside its agent's own action.

        Decentralised: the own observation. Centralised: everybody's observations and the others'
        actions.
        """
        if not self.config.centralised:
            return obs
        members, agents, rows = obs.shape[:3]
        index = self.others[None, :, None, :, None].expand(
            members, agents, rows, -1, self.action_dim
        )
        return torch.cat([team_obs.flatten(3), team_action.gather(3, index).flatten(3)], dim=-1)

    def data_context(self, batch: Batch) -> Tensor:
        """Critic context at the transitions' first half, with the data's actions."""
        team = batch.team or {}
        return self.context(batch, batch.obs, team.get("obs"), team.get("action"))

    @torch.no_grad()
    def target(self, batch: Batch) -> Tensor:
        """[M, N, B] y = r + gamma (1 - d) min_k Q_k(o', pi(o')), target networks (Section 2.1)."""
        if (
            self.config.centralised
        ):  # everybody's target policy acts on everybody's next observation
            members, agents, rows = batch.obs.shape[:3]
            everyone = (
                batch.team["next_obs"].permute(0, 3, 1, 2, 4).flatten(2, 3)
            )  # [M, N(actor), N * B, O]
            next_team = self.actors.train_actions(everyone, self.target_actor)
            next_team = next_team.unflatten(2, (agents, rows)).permute(
                0, 2, 3, 1, 4
            )  # [M, N, B, N(actor), A]
            next_action = next_team.diagonal(dim1=1, dim2=3).permute(0, 3, 1, 2)
            context = self.context(batch, batch.next_obs, batch.team["next_obs"], next_team)
        else:
            next_action = self.actors.train_actions(batch.next_obs, self.target_actor)
            context = batch.next_obs
        if self.config.target_noise:
            noise = self.normal(*next_action.shape[1:]) * self.config.target_noise
            next_action = (next_action + noise.clamp(-0.5, 0.5)).clamp(-1, 1)
        next_q = self.critics.values(context, next_action.contiguous(), self.target_critic)
        return td_target(batch.reward, batch.terminal, next_q, self.config.gamma)

    def critic_step(self, loss: Tensor) -> None:
        """Descends loss [M, N], each critic on its own."""
        self._step(loss, self.critics.params, self.critic_adam)

    def actor_step(self, loss: Tensor, action: Tensor) -> None:
        """Descends loss [M, N] plus the penalty on the policy's actions [M, N, B, A]."""
        penalty = self.config.action_penalty * mean_over_batch(action.square())
        self._step(loss + penalty, self.actors.params, self.actor_adam)

    def _step(self, loss, params, adam) -> None:
        params.zero_grad()
        loss.sum().backward(inputs=list(params.tensors.values()))
        if self.config.grad_clip:
            params.clip_grad_norm(self.config.grad_clip)
        adam.step()

    def update_targets(self) -> None:
        """Polyak averages of both networks (Algorithm 1, line 14)."""
        self.target_critic.average_towards(self.critics.params, self.config.tau)
        self.target_actor.average_towards(self.actors.params, self.config.tau)

    def act(self, obs: Tensor) -> Tensor:
        """Deterministic evaluation actions [M, N, B, A] for obs [M, N, B, O]."""
        return self.actors.act(obs)

    def state_dict(self) -> dict:
        """Everything a resumed run needs, as tensors and numbers."""
        return {
            "actors": self.actors.state_dict(),
            "critics": self.critics.params.flat,
            "target_actor": self.target_actor.flat,
            "target_critic": self.target_critic.flat,
            "actor_adam": self.actor_adam.state_dict(),
            "critic_adam": self.critic_adam.state_dict(),
            "noise": [stream.get_state() for stream in self.noise_streams],
        }

    @torch.no_grad()
    def load_state_dict(self, state: dict) -> None:
        """Continues from `state_dict`."""
        self.actors.load_state_dict(state["actors"])
        self.critics.params.flat.copy_(state["critics"])
        self.target_actor.flat.copy_(state["target_actor"])
        self.target_critic.flat.copy_(state["target_critic"])
        self.actor_adam.load_state_dict(state["actor_adam"])
        self.critic_adam.load_state_dict(state["critic_adam"])
        for stream, saved in zip(self.noise_streams, state["noise"], strict=True):
            stream.set_state(saved)


def conservative_critic_loss(
    team: Backbone, batch: Batch, context: Tensor, alpha: Tensor, config: CQLConfig
) -> Tensor:
    """[M, N] Eq. 1: squared TD error plus alpha times the CQL(H) gap, over own actions.

    With centralised critics only the own action is replaced by samples; the others' stay those of
    the data.
    """
    q = team.critics.values(context, batch.action)
    if config.cql_noisy_samples:
        return td_loss(q, team.target(batch)) + alpha[:, None] * noisy_gap(
            team, batch, context, q, config
        )
    agents, rows = batch.action.shape[1:3]
    samples = team.uniform(agents, rows, config.cql_samples, team.action_dim)
    if config.cql_policy_actions:
        own = team.actors.train_actions(batch.obs).detach().unsqueeze(3).expand_as(samples)
        samples = torch.cat([samples, own], dim=3)
    logsumexp = kernels.mean_logsumexp(*critic_samples(team, context, samples))
    gap = cql_gap(logsumexp, q, uniform_log_density(team.action_dim))
    return td_loss(q, team.target(batch)) + alpha[:, None] * gap


def noisy_gap(
    team: Backbone, batch: Batch, context: Tensor, q: Tensor, config: CQLConfig
) -> Tensor:
    """[M, N] the CQL(H) gap over uniform actions and actions around the policy's at o and at o',
    all valued at o.

    Each sample is weighted by its own density (Kumar et al., 2020, appendix F). The released code
    subtracts the Gaussian's density where its logarithm is meant; that is a plain bug, and the
    logarithm is used here.
    """
    agents, rows, size = batch.action.shape[1:]
    count, std = config.cql_noisy_samples, config.cql_noise
    uniform = team.uniform(agents, rows, config.cql_samples, size)
    pools = [
        (uniform, torch.full(uniform.shape[:-1], uniform_log_density(size), device=uniform.device))
    ]
    for obs in (batch.obs, batch.next_obs):
        center = team.actors.train_actions(obs).detach().unsqueeze(3)
        noise = team.normal(agents, rows, count, size)
        log_density = gaussian_log_prob(
            torch.zeros_like(noise), noise.new_full((1,), std).log(), std * noise
        )
        pools.append(((center + std * noise).clamp(-1, 1), log_density))
    values = []
    for (
        actions,
        log_density,
    ) in pools:  # each pool is a pass of its own, with its own batch statistics
        repeated = context.repeat_interleave(actions.shape[3], dim=2)
        sampled = team.critics.values(repeated, actions.flatten(2, 3)).unflatten(
            -1, (rows, -1)
        )  # [M, N, E, B, K]
        values.append(sampled - log_density.unsqueeze(2))
    return (torch.cat(values, dim=-1).logsumexp(-1) - q).mean(-1).sum(2)


def critic_samples(
    team: Backbone, context: Tensor, actions: Tensor, head: int | None = None
) -> list[Tensor]:
    """Arguments of `kernels.mean_logsumexp` and `sample_values` for both heads, or one, at actions
    [M, N, B, K, A].
    """
    params = team.critics.params
    w1, b1 = team.critics.sample_layer(
        moments(context) if team.config.input_norm else None, actions
    )
    weights = [
        w1,
        b1,
        params["w2"],
        params["b2"].unsqueeze(-2),
        params["w3"],
        params["b3"].unsqueeze(-2),
    ]
    if head is not None:
        return [context, actions, *(weight[:, :, head] for weight in weights)]
    return [context.unsqueeze(2), actions.unsqueeze(2), *weights]


def rectified_action(
    team: Backbone, context: Tensor, own: Tensor, own_q: Tensor, config: OMARConfig, mean, std
) -> Tensor:
    """a_hat of Eq. 2, [M, N, B, A]: the best action the zeroth-order optimiser finds (Algorithm 1,
    lines 7-12).

    Args:
        context: critic context [M, N, B, C].
        own, own_q: the policy's actions [M, N, B, A] and their values [M, N, B].
        mean, std: [M], of the first population.
    """
    agents, rows = own.shape[1:3]
    iterations, samples = (
        (1, config.iterations * config.samples)
        if config.sampler == "random"
        else (config.iterations, config.samples)
    )

    def refine(actions, q, mean):
        if config.sampler in ("cem", "elites"):
            return zeroth_order.refine_elites(
                actions, q, config.elites, correction=int(config.sampler == "elites")
            )
        return zeroth_order.refine_softmax(actions, q, mean, config.beta, config.sigma)

    with torch.no_grad():
        first = [value.reshape(-1, 1, 1, 1).expand_as(own) for value in (mean, std)]
        actions, q = zeroth_order.search(
            draw=lambda: team.normal(agents, rows, samples, team.action_dim),
            value=lambda actions: kernels.sample_values(
                *critic_samples(team, context, actions, head=0)
            ),
            iterations=iterations,
            mean=first[0],
            std=first[1],
            refine=refine,
            carried=config.elites if config.sampler == "elites" else 0,
        )
        return zeroth_order.pick(actions, q, own.detach(), own_q.detach())


def rectified_actor_loss(
    q: Tensor, policy_action: Tensor, a_hat: Tensor, coefficient: Tensor, squared_norm: str
) -> Tensor:
    """[M, N] minus Eq. 2: -(1 - tau) Q(o, pi(o)) + tau (pi(o) - a_hat)^2.

    Args:
        q: [M, N, B], first critic at the policy's action.
        policy_action, a_hat: [M, N, B, A].
        coefficient: tau [M].
        squared_norm: "mean" over action components (released code) or "sum" (text).
    """
    distance = (policy_action - a_hat).square()
    distance = distance.mean(-1) if squared_norm == "mean" else distance.sum(-1)
    tau = coefficient[:, None]
    return tau * mean_over_batch(distance) - (1 - tau) * mean_over_batch(q)


class OMAR:
    """Algorithm 1 for a population.

    Args:
        team: networks.
        config: hyperparameters; alpha, coefficient, mean and std may hold one value per member.
    """

    def __init__(self, team: Backbone, config: OMARConfig):
        members, device = len(team.noise_streams), team.device
        self.team, self.config = team, config
        values = (config.alpha, config.coefficient, config.mean, config.std)
        self.alpha, self.coefficient, self.mean, self.std = (
            per_member(v, members, device) for v in values
        )

    def update(self, batch: Batch) -> None:
        """One round: every agent's critics, then its actor, then the targets."""
        team, config = self.team, self.config
        context = team.data_context(batch)
        team.critic_step(conservative_critic_loss(team, batch, context, self.alpha, config))
        for _ in range(team.config.actor_updates):
            own = team.actors.train_actions(batch.obs, update_running=True)
            q = team.critics.values(context, own, team.critics.constant, head=0)
            a_hat = rectified_action(team, context, own, q, config, self.mean, self.std)
            team.actor_step(
                rectified_actor_loss(q, own, a_hat, self.coefficient, config.squared_norm), own
            )
        team.update_targets()
