"""TD3 (Fujimoto et al., 2018) for teams, with what makes it offline: ITD3+BC, MATD3+BC, ICQL and
IOMAR.

ITD3+BC adds a behaviour-cloning term; MATD3+BC mixes agents' values into a team's; ICQL has a
conservative critic; IOMAR has that and actors drawn towards the best actions of a zeroth-order
search.

Axes: M members, N agents, E = 2 heads, B batch, K sampled actions, D state, O observation, A
action, F features.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from common.learning.conservative import weighted_logsumexp
from common.learning.kernels import sample_values
from common.learning.losses import td_loss, td_target, uniform_log_density
from common.learning.mixing import Mixing, mix
from common.learning.networks import apply_mlp, first_layer, layers
from common.learning.philox import Streams
from common.learning.population import Parameters, mean_over_batch
from common.learning.ranges import Count, CountOrZero, NotNegative, Positive, Share
from common.learning.zeroth_order import pick, refine_elites, search
from papers.moma_ppo.remembering import Remembering
from papers.moma_ppo.sequences import HistoryBatch


@dataclass(frozen=True)
class TD3Config:
    """Values of the authors' code."""

    hidden: Count = 256
    memory: CountOrZero = 128
    lr: Positive = 3e-4
    gamma: Share = 0.99
    tau: Share = 0.005
    noise: Positive = 0.2
    noise_clip: NotNegative = 0.5
    delay: Count = 2
    bc: NotNegative = 2.5  # lambda = bc / mean |Q|; ITD3+BC and MATD3+BC
    cql: NotNegative = 1.0  # weight of the conservative penalty; ICQL and IOMAR
    cql_samples: Count = 10  # of each kind of action
    omar: Share = 0.9  # IOMAR's share of the search
    iterations: Count = 2
    population: Count = 20
    elites: Count = 5
    sigma: Positive = 2.0
    action_cost: NotNegative = 1e-3  # IOMAR's, on its actors' squared actions
    mixer: Mixing = "free"


def smoothed(action: Tensor, noise: Tensor, clip: float) -> Tensor:
    """Target policies' actions with clipped noise, TD3's Eq. 14, within [-1, 1]."""
    return (action + noise.clamp(-clip, clip)).clamp(-1, 1)


def cloning_loss(q: Tensor, cloning: Tensor, bc_weight: float) -> Tensor:
    """TD3+BC objective, Fujimoto and Gu (2021), Eqs. 3 and 5, one loss per agent, or for the team.

        mean_b |pi - a|^2 - lambda mean_b Q,    lambda = alpha / mean |Q|

    Args:
        q: [M, N, B], or [M, 1, B] of the team.
        cloning: |pi - a|^2 as q; summed over components, as in MOMA-PPO's code.
        bc_weight: alpha.

    Returns:
        [M, N] or [M, 1].
    """
    weight = bc_weight / mean_over_batch(q.abs()).detach()
    return mean_over_batch(cloning) - weight * mean_over_batch(q)


def omar_loss(
    q: Tensor, policy_action: Tensor, best_action: Tensor, share: float, action_cost: float
) -> Tensor:
    """[M, N] OMAR's actor objective (Pan et al., 2022, Eq. 4), with a cost of actions.

        tau mean (pi - a^)^2 - (1 - tau) mean Q + action_cost mean pi^2

    Args:
        q: [M, N, B]; policy_action, best_action: [M, N, B, A]; share: tau.
    """
    drawn = mean_over_batch((policy_action - best_action).square())
    cost = action_cost * mean_over_batch(policy_action.square())
    return share * drawn - (1 - share) * mean_over_batch(q) + cost


def conservative_penalty(
    params: Parameters, features: Tensor, actions: Tensor, log_density: Tensor, q: Tensor
) -> Tensor:
    """[M, N] CQL(H) penalty (Kumar et al., 2020, Eq. 4), summed over heads.

        mean_b [ logsumexp_k (Q(o, a_k) - log density(a_k)) - Q(o, a) ]

    Args:
        features: [M, N, B, F]; actions: sampled ones [M, N, B, K, A]; log_density: theirs [M, N, B,
            K].
        q: of the data's actions [M, N, E, B].
    """
    samples = (features.unsqueeze(2), actions.unsqueeze(2), log_density.unsqueeze(2))
    weights = layers(params, first_layer(params, None))
    return (weighted_logsumexp(*samples, *weights) - q.mean(-1)).sum(2)


def normal_log_density(noise: Tensor, std: float) -> Tensor:
    """[...] log density of std noise, of standard normal noise [..., A]."""
    return (-0.5 * noise.square() - math.log(std) - 0.5 * math.log(2 * math.pi)).sum(-1)


def agent_q(
    params: Parameters,
    features: Tensor,
    action: Tensor,
    head: int | None = None,
) -> Tensor:
    """[M, N, E, B] of features [M, N, B, F] and actions [M, N, B, A]; [M, N, B] of one head."""
    return apply_mlp(params, torch.cat([features, action], -1), None, head).squeeze(-1)


def sampled_q(params: Parameters, features: Tensor, actions: Tensor) -> Tensor:
    """[M, N, B, K] the first critic's values of features [M, N, B, F] and actions [M, N, B, K, A],
    without gradients.
    """
    return sample_values(features, actions, *layers(params, first_layer(params, None), head=0))


def constant(params: Parameters) -> Parameters:
    """The network without gradients to it."""
    return params.part(slice(None))


class TD3(Remembering):
    """Independent TD3: a deterministic actor and twin critics for every agent, with target noise
    and delayed actors.

    Args:
        seeds: one per member.
        state_dim: D, what a mixer sees.
    """

    def __init__(
        self,
        seeds: list[int],
        obs_dims: list[int],
        state_dim: int,
        action_dim: int,
        config: TD3Config,
        device: str = "cpu",
    ):
        sizes = (action_dim, config.memory, config.hidden)
        super().__init__(seeds, obs_dims, *sizes, config.lr, device)
        self.config = config
        self.action_dim = action_dim
        self.critic_networks: tuple[str, ...] = ("q",)
        self.notes["updates"] = 0
        self.hold_mlp("policy", 0, action_dim, target=True)
        self.hold_mlp("q", action_dim, 1, heads=2, target=True)

    def update(self, batch: HistoryBatch) -> dict[str, Tensor]:
        """One step of the critics, every `delay` updates one of the actors and targets; returns
        losses [M].
        """
        config = self.config
        self.notes["updates"] += 1
        critic = self.critic_loss(batch)
        self.descend(critic, *self.critic_networks)
        facts = {"q": critic.detach()}
        if self.notes["updates"] % config.delay == 0:
            actor = self.actor_loss(batch)
            self.descend(actor, "policy")
            self.follow(config.tau)
            facts["policy"] = actor.detach()
        return facts

    def critic_loss(self, batch: HistoryBatch) -> Tensor:
        """[M], summed over agents."""
        target = self.target(batch)
        features = self.features(batch.obs, batch.history)
        q = agent_q(self.networks["q"], features, batch.action)
        return td_loss(q, target).sum(1)

    @torch.no_grad()
    def target(self, batch: HistoryBatch) -> Tensor:
        """[M, N, B] of the critics."""
        next_q = self.next_q(batch)
        reward = batch.reward.unsqueeze(1)
        return td_target(reward, batch.terminal.unsqueeze(1), next_q, self.config.gamma)

    def next_q(self, batch: HistoryBatch) -> Tensor:
        """[M, N, E, B] the target networks' values of the next step."""
        features = self.target_features(batch.next_obs, batch.next_history)
        action = apply_mlp(self.targets["policy"], features, None).tanh()
        noise = self.config.noise * self.normal(*action.shape[1:])
        action = smoothed(action, noise, self.config.noise_clip)
        return agent_q(self.targets["q"], features, action)

    def actor_loss(self, batch: HistoryBatch) -> Tensor:
        """[M] minus the first critic's values of the actors' actions, summed over agents."""
        _, _, q = self.actors_and_values(batch)
        return -mean_over_batch(q).sum(1)

    def actors_and_values(self, batch: HistoryBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Features [M, N, B, F], the actors' actions [M, N, B, A] and the first critic's values of
        them [M, N, B], without gradients to the critic.
        """
        features = self.features(batch.obs, batch.history)
        action = apply_mlp(self.networks["policy"], features, None).tanh()
        q = agent_q(constant(self.networks["q"]), features, action, head=0)
        return features, action, q

    @torch.no_grad()
    def act(self, obs: Tensor, history: Tensor) -> Tensor:
        """[M, N, B, A], no noise."""
        return apply_mlp(self.networks["policy"], self.features(obs, history), None).tanh()


class ITD3BC(TD3):
    """ITD3+BC: every agent's actor also clones its actions in the data."""

    def actor_loss(self, batch: HistoryBatch) -> Tensor:
        _, action, q = self.actors_and_values(batch)
        cloning = (action - batch.action).square().sum(-1)
        return cloning_loss(q, cloning, self.config.bc).sum(1)


class MATD3BC(TD3):
    """MATD3+BC: agents' values are mixed into a team's, whose critic and actors have one loss."""

    def __init__(
        self,
        seeds: list[int],
        obs_dims: list[int],
        state_dim: int,
        action_dim: int,
        config: TD3Config,
        device: str = "cpu",
    ):
        super().__init__(seeds, obs_dims, state_dim, action_dim, config, device)
        self.critic_networks = ("q", "q mixer")
        self.hold_mixer("q mixer", state_dim, target=True)

    def team_q(self, mixer: Parameters, q: Tensor, state: Tensor) -> Tensor:
        """[M, 1, E, B] the team's values of its agents' [M, N, E, B]."""
        heads = [mix(mixer, head, state, self.config.mixer) for head in q.unbind(2)]
        return torch.stack(heads, 1).unsqueeze(1)

    def critic_loss(self, batch: HistoryBatch) -> Tensor:
        target = self.target(batch)
        features = self.features(batch.obs, batch.history)
        q = agent_q(self.networks["q"], features, batch.action)
        return td_loss(self.team_q(self.networks["q mixer"], q, batch.state), target).sum(1)

    def next_q(self, batch: HistoryBatch) -> Tensor:
        """[M, 1, E, B]."""
        return self.team_q(self.targets["q mixer"], super().next_q(batch), batch.next_state)

    def actor_loss(self, batch: HistoryBatch) -> Tensor:
        _, action, q = self.actors_and_values(batch)
        cloning = (action - batch.action).square().sum(-1)
        mixer = constant(self.networks["q mixer"])
        team_q = mix(mixer, q, batch.state, self.config.mixer).unsqueeze(1)
        return cloning_loss(team_q, cloning.sum(1, keepdim=True), self.config.bc).sum(1)


class ICQL(TD3):
    """Independent CQL: critics that value actions which are not in the data less."""

    def __init__(
        self,
        seeds: list[int],
        obs_dims: list[int],
        state_dim: int,
        action_dim: int,
        config: TD3Config,
        device: str = "cpu",
    ):
        super().__init__(seeds, obs_dims, state_dim, action_dim, config, device)
        self.search_streams = Streams(seeds, "search", device)
        self.others["search"] = self.search_streams

    def critic_loss(self, batch: HistoryBatch) -> Tensor:
        target = self.target(batch)
        features = self.features(batch.obs, batch.history)
        q = agent_q(self.networks["q"], features, batch.action)
        loss = td_loss(q, target).sum(1)
        actions, log_density = self.sampled_actions(features, batch)
        penalty = conservative_penalty(self.networks["q"], features, actions, log_density, q)
        return loss + self.config.cql * penalty.sum(1)

    @torch.no_grad()
    def sampled_actions(self, features: Tensor, batch: HistoryBatch) -> tuple[Tensor, Tensor]:
        """Uniform actions, and actions around the present and the next step's policies, [M, N, B,
        3 K, A], and their log densities [M, N, B, 3 K].

        The released code, like OMAR's, has the density itself where the log density of the
        policies' actions belongs.
        """
        here, here_density = self.around(features)
        there, there_density = self.around(self.features(batch.next_obs, batch.next_history))
        uniform = self.search_streams.uniform(here.shape[1:], -1.0, 1.0)
        flat = torch.full_like(here_density, uniform_log_density(self.action_dim))
        actions = torch.cat([uniform, here, there], 3)
        return actions, torch.cat([flat, here_density, there_density], -1)

    def around(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Clipped actions around the policies' [M, N, B, K, A], log densities of their noise [M, N,
        B, K].
        """
        config = self.config
        mean = apply_mlp(self.networks["policy"], features, None).tanh().unsqueeze(3)
        shape = (*mean.shape[1:3], config.cql_samples, self.action_dim)
        noise = self.search_streams.normal(shape)
        actions = (mean + config.noise * noise).clamp(-1, 1)
        return actions, normal_log_density(noise, config.noise)


class IOMAR(ICQL):
    """ICQL with OMAR's actors: drawn towards the best actions of a cross-entropy search."""

    def actor_loss(self, batch: HistoryBatch) -> Tensor:
        features, action, q = self.actors_and_values(batch)
        best_action = self.best_actions(features.detach(), action.detach(), q.detach())
        config = self.config
        return omar_loss(q, action, best_action, config.omar, config.action_cost).sum(1)

    @torch.no_grad()
    def best_actions(self, features: Tensor, action: Tensor, q: Tensor) -> Tensor:
        """[M, N, B, A] the best of the policy's action, valued q [M, N, B], and the search's."""
        config = self.config
        shape = (*features.shape[:3], self.action_dim)
        critic = self.networks["q"]

        def draw() -> Tensor:
            population = (*shape[1:3], config.population, self.action_dim)
            return self.search_streams.normal(population)

        def value(actions: Tensor) -> Tensor:
            return sampled_q(critic, features, actions)

        def refine(actions: Tensor, q: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
            return refine_elites(actions, q, config.elites)

        mean = torch.zeros(shape, device=features.device)
        std = torch.full_like(mean, config.sigma)
        actions, sampled = search(draw, value, config.iterations, mean, std, refine)
        return pick(actions, sampled, action, q)
