"""IQL (Kostrikov et al., 2021) for teams, and behaviour cloning.

IBC clones each agent's actions. IQL is one agent that sees and does everything. MAIQL is IQL whose
values and critics are a team's, mixed from its agents'.

    L_V = E[ L2_tau(Q^(s, a) - V(s)) ],    L2_tau(u) = |tau - 1(u < 0)| u^2        (Eq. 5)
    L_Q = E[ (r + gamma V(s') - Q(s, a))^2 ]                                       (Eq. 6)
    L_pi = -E[ exp(beta (Q^(s, a) - V(s))) log pi(a | s) ]                         (Eq. 7)

Axes: M members, N agents, E = 2 heads, B batch, D state, O observation, A action, U = N A joint
action.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from common.learning.heads import Head
from common.learning.mixing import Mixing, mix
from common.learning.networks import apply_mlp
from common.learning.population import Parameters
from common.learning.ranges import Count, CountOrZero, NotNegative, Positive, Share
from papers.moma_ppo.remembering import StochasticPolicies
from papers.moma_ppo.sequences import HistoryBatch


@dataclass(frozen=True)
class IQLConfig:
    """Values of the authors' code."""

    hidden: Count = 256
    memory: CountOrZero = 128
    lr: Positive = 3e-4
    gamma: Share = 0.99
    tau: Share = 0.005
    expectile: Share = 0.7
    temperature: NotNegative = 3.0
    largest_weight: Positive = 100.0
    max_norm: Positive = 1.0  # of each network's gradient, MAIQL only
    mixer: Mixing = "free"


def expectile_loss(difference: Tensor, expectile: float) -> Tensor:
    """[...] asymmetric square |expectile - 1(difference < 0)| difference^2, of any shape."""
    weight = torch.where(difference > 0, expectile, 1 - expectile)
    return weight * difference.square()


def value_loss(value: Tensor, target_q: Tensor, expectile: float) -> Tensor:
    """[M] Eq. 5, of V and the target critics' Q, [M, B] each."""
    return expectile_loss(target_q - value, expectile).mean(-1)


def critic_loss(q: Tensor, target: Tensor) -> Tensor:
    """[M] Eq. 6, both heads' errors summed: q [M, E, B], target r + gamma (1 - d) V' [M, B]."""
    errors = [(head - target).square().mean(-1) for head in q.unbind(1)]
    return errors[0] + errors[1]


def advantage_weight(target_q: Tensor, value: Tensor, temperature: float, largest: float) -> Tensor:
    """[M, B] exp(beta (Q - V)) of Eq. 7, at most `largest`; beta is the temperature."""
    return (temperature * (target_q - value)).exp().clamp_max(largest)


def policy_loss(log_prob: Tensor, weight: Tensor | float = 1.0) -> Tensor:
    """[M] Eq. 7 with one weight [M, B] for the whole team: log_prob [M, N, B] is summed over
    agents.
    """
    return -(weight * log_prob.sum(1)).mean(-1)


class IBC(StochasticPolicies):
    """Independent behaviour cloning: every agent's policy makes its actions in the data likely.

    Args:
        seeds: one per member.
        state_dim: D, not seen.
        head: what policies make of their networks; squashed Gaussians by default.
    """

    def __init__(
        self,
        seeds: list[int],
        obs_dims: list[int],
        state_dim: int,
        action_dim: int,
        config: IQLConfig,
        device: str = "cpu",
        head: Head | None = None,
    ):
        sizes = (action_dim, config.memory, config.hidden)
        super().__init__(seeds, obs_dims, *sizes, config.lr, device, head)

    def update(self, batch: HistoryBatch) -> dict[str, Tensor]:
        """One step; returns losses [M]."""
        output = self.policy_output(batch.obs, batch.history)
        loss = policy_loss(self.head.log_prob(output, batch.action))
        self.descend(loss, "policy")
        return {"policy": loss.detach()}


class IQL(StochasticPolicies):
    """One agent that sees and does everything; arguments as IBC's.

    Attributes:
        value_networks, critic_networks: names of what L_V and L_Q train.
    """

    value_networks: tuple[str, ...] = ("value",)
    critic_networks: tuple[str, ...] = ("q",)

    def __init__(
        self,
        seeds: list[int],
        obs_dims: list[int],
        state_dim: int,
        action_dim: int,
        config: IQLConfig,
        device: str = "cpu",
        head: Head | None = None,
        max_norm: float | None = None,
    ):
        sizes = (action_dim, config.memory, config.hidden)
        super().__init__(seeds, obs_dims, *sizes, config.lr, device, head, max_norm)
        self.config = config
        self.join(state_dim, action_dim)
        self.hold_mlp("value", 0, 1)
        self.hold_mlp("q", action_dim, 1, heads=2, target=True)

    def join(self, state_dim: int, action_dim: int) -> None:
        """Makes agents a team: centralised, there is only one."""
        if len(self.obs_dims) != 1:
            raise ValueError(f"centralised IQL is one agent, not {len(self.obs_dims)}")

    def update(self, batch: HistoryBatch) -> dict[str, Tensor]:
        """One step of V, then the policies, then Q, then the targets; returns losses [M]."""
        config = self.config
        target_q = self.least_target_q(batch)
        value = value_loss(self.present_value(batch), target_q, config.expectile)
        self.descend(value, *self.value_networks)

        weight = self.policy_weight(batch, target_q)
        output = self.policy_output(batch.obs, batch.history)
        policy = policy_loss(self.head.log_prob(output, batch.action), weight)
        self.descend(policy, "policy")

        target = self.bootstrapped(batch)
        q = critic_loss(self.present_q(batch), target)
        self.descend(q, *self.critic_networks)
        self.follow(config.tau)
        return {"value": value.detach(), "policy": policy.detach(), "q": q.detach()}

    def present_value(self, batch: HistoryBatch) -> Tensor:
        """[M, B] V(s)."""
        return self.team_value(self.features(batch.obs, batch.history), batch.state)

    def present_q(self, batch: HistoryBatch) -> Tensor:
        """[M, E, B] Q(s, a)."""
        features = self.features(batch.obs, batch.history)
        q = agent_q(self.networks["q"], features, batch.action)  # [M, N, E, B]
        return torch.stack([self.team_q(head, batch) for head in q.unbind(2)], 1)

    @torch.no_grad()
    def least_target_q(self, batch: HistoryBatch) -> Tensor:
        """[M, B] Q^(s, a): the smaller of each agent's two, made a team's."""
        features = self.target_features(batch.obs, batch.history)
        q = agent_q(self.targets["q"], features, batch.action)
        return self.team_target_q(q.amin(2), batch)

    @torch.no_grad()
    def policy_weight(self, batch: HistoryBatch, target_q: Tensor) -> Tensor:
        """[M, B] of Eq. 7, with the V that was just stepped."""
        config = self.config
        value = self.present_value(batch)
        return advantage_weight(target_q, value, config.temperature, config.largest_weight)

    @torch.no_grad()
    def bootstrapped(self, batch: HistoryBatch) -> Tensor:
        """[M, B] r + gamma (1 - d) V(s')."""
        features = self.features(batch.next_obs, batch.next_history)
        next_value = self.team_value(features, batch.next_state)
        return batch.reward + self.config.gamma * (1 - batch.terminal) * next_value

    def agent_value(self, features: Tensor) -> Tensor:
        """[M, N, B] V_i of every agent."""
        return apply_mlp(self.networks["value"], features, None).squeeze(-1)

    def team_value(self, features: Tensor, state: Tensor) -> Tensor:
        """[M, B] V of the team: the one agent's."""
        return self.agent_value(features).squeeze(1)

    def team_q(self, q: Tensor, batch: HistoryBatch) -> Tensor:
        """[M, B] Q of the team from its agents' [M, N, B]: the one agent's."""
        return q.squeeze(1)

    def team_target_q(self, q: Tensor, batch: HistoryBatch) -> Tensor:
        """[M, B] as `team_q`, by the target networks."""
        return q.squeeze(1)


class MAIQL(IQL):
    """IQL with value decomposition: one mixer of agents' V that sees the state, one of their Q that
    also sees the joint action; each network's gradient is clipped.
    """

    value_networks = ("value", "value mixer")
    critic_networks = ("q", "q mixer")

    def __init__(
        self,
        seeds: list[int],
        obs_dims: list[int],
        state_dim: int,
        action_dim: int,
        config: IQLConfig,
        device: str = "cpu",
        head: Head | None = None,
    ):
        sizes = (state_dim, action_dim)
        super().__init__(seeds, obs_dims, *sizes, config, device, head, config.max_norm)

    def join(self, state_dim: int, action_dim: int) -> None:
        """Makes agents a team by two mixers."""
        self.hold_mixer("value mixer", state_dim)
        self.hold_mixer("q mixer", state_dim + len(self.obs_dims) * action_dim, target=True)

    def team_value(self, features: Tensor, state: Tensor) -> Tensor:
        """[M, B] V of the team, mixed of agents' with weights of the state [M, B, D]."""
        mixer = self.networks["value mixer"]
        return mix(mixer, self.agent_value(features), state, self.config.mixer)

    def team_q(self, q: Tensor, batch: HistoryBatch) -> Tensor:
        """[M, B] Q of the team, mixed of its agents' [M, N, B]."""
        return mix(self.networks["q mixer"], q, seen_by_mixer(batch), self.config.mixer)

    def team_target_q(self, q: Tensor, batch: HistoryBatch) -> Tensor:
        """[M, B] as `team_q`, by the target mixer."""
        return mix(self.targets["q mixer"], q, seen_by_mixer(batch), self.config.mixer)


def agent_q(params: Parameters, features: Tensor, action: Tensor) -> Tensor:
    """[M, N, E, B] Q_i of every agent and head."""
    return apply_mlp(params, torch.cat([features, action], -1), None).squeeze(-1)


def seen_by_mixer(batch: HistoryBatch) -> Tensor:
    """[M, B, D + U] state and joint action."""
    return torch.cat([batch.state, batch.joint_action], -1)
