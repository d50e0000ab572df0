"""IQL (Kostrikov et al., 2021) for teams: centralised IQL, MAIQL with value decomposition, and
behaviour cloning (IBC).

One class, as they differ in few places: IQL is a single agent that sees and does everything; MAIQL
mixes agents' values into a team's; IBC is the policy alone with all weights equal.

Axes: M members, N agents, E = 2 heads, B batch, D state, O observation, A action, U = N A joint
action.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from common.learning.losses import gaussian_log_prob
from common.learning.mixing import Mixer
from common.learning.networks import apply_mlp
from common.learning.population import Adam, generators
from common.learning.rollouts import ACTION_BOUND
from papers.moma_ppo.remembering import Remembering
from papers.moma_ppo.sequences import TeamBatch

LOG_STD_RANGE = (-6.0, 0.0)
KINDS = ("iql", "maiql", "ibc")


@dataclass(frozen=True)
class IQLConfig:
    """Values of the authors' code."""

    hidden: int = 256
    memory: int = 128
    lr: float = 3e-4
    gamma: float = 0.99
    tau: float = 0.005
    expectile: float = 0.7
    temperature: float = 3.0
    largest_weight: float = 100.0
    max_norm: float = 1.0  # of each network's gradient, MAIQL only
    mixer: str = "free"


def expectile_loss(difference: Tensor, expectile: float) -> Tensor:
    """Asymmetric square |expectile - 1(difference < 0)| difference^2."""
    weight = torch.where(difference > 0, expectile, 1 - expectile)
    return weight * difference.square()


class IQL:
    """Values, critics, policies and their mixers of every member.

    Args:
        seeds: one per member.
        kind: "iql" (one agent), "maiql" or "ibc".
        state_dim: D, what mixers see.
        discrete: whether actions are one-hot and policies categorical.
    """

    def __init__(
        self,
        seeds: list[int],
        kind: str,
        obs_dims: list[int],
        state_dim: int,
        action_dim: int,
        config: IQLConfig,
        device="cpu",
        discrete: bool = False,
    ):
        if kind not in KINDS:
            raise ValueError(f"unknown kind {kind!r}, expected one of: {', '.join(KINDS)}")
        if kind == "iql" and len(obs_dims) != 1:
            raise ValueError(f"centralised IQL is one agent, not {len(obs_dims)}")
        self.config, self.kind, self.action_dim, self.discrete = config, kind, action_dim, discrete
        agents = len(obs_dims)
        self.base = Remembering(
            seeds, obs_dims, action_dim, config.memory, config.hidden, config.lr, config.tau, device
        )
        self.policy = self.base.network("policy", 0, action_dim if discrete else 2 * action_dim)
        self.parts = {"policy": self.policy}
        if kind != "ibc":
            self.value, self.q = (
                self.base.network("value", 0, 1),
                self.base.network("q", action_dim, 1, heads=2),
            )
            self.target_q = self.q.frozen_copy()
            self.parts |= {"value": self.value, "q": self.q}
        self.value_mixer = self.q_mixer = self.target_q_mixer = None
        if kind == "maiql":
            joint = state_dim + agents * action_dim
            self.value_mixer = Mixer(
                generators(seeds, "value mixer"),
                state_dim,
                agents,
                config.hidden,
                config.mixer,
                device,
            )
            self.q_mixer = Mixer(
                generators(seeds, "q mixer"), joint, agents, config.hidden, config.mixer, device
            )
            self.target_q_mixer = self.q_mixer.params.frozen_copy()
            self.parts |= {"value_mixer": self.value_mixer.params, "q_mixer": self.q_mixer.params}
        self.adams = {name: Adam(part, self.base.rates) for name, part in self.parts.items()}

    def team_value(self, features: Tensor, state: Tensor) -> Tensor:
        """[M, B] V of the team."""
        values = apply_mlp(self.value, features, None).squeeze(-1)  # [M, N, B]
        return self.value_mixer.mix(values, state) if self.value_mixer else values.squeeze(1)

    def team_q(self, values: Tensor, batch: TeamBatch, mixer=None) -> Tensor:
        """[M, B] Q of the team from its agents' [M, N, B]; the mixer also sees the joint action."""
        if not self.q_mixer:
            return values.squeeze(1)
        return self.q_mixer.mix(values, torch.cat([batch.state, batch.joint_action], -1), mixer)

    def update(self, batch: TeamBatch) -> dict[str, Tensor]:
        """One step of V, then the policies, then Q, then the targets; returns losses [M]."""
        config, facts = self.config, {}
        norm = config.max_norm if self.kind == "maiql" else None
        weight = 1.0
        if self.kind != "ibc":
            with torch.no_grad():
                features = self.base.features(batch.obs, batch.history, target=True)
                q = (
                    apply_mlp(self.target_q, torch.cat([features, batch.action], -1), None)
                    .squeeze(-1)
                    .amin(2)
                )  # [M, N, B]
                target_q = self.team_q(q, batch, self.target_q_mixer)
            value = self.team_value(self.base.features(batch.obs, batch.history), batch.state)
            loss = expectile_loss(target_q - value, config.expectile).mean(-1)
            self._descend(loss, ["value", "value_mixer"], norm)
            facts["value"] = loss.detach()
            with torch.no_grad():
                value = self.team_value(self.base.features(batch.obs, batch.history), batch.state)
            weight = (
                (config.temperature * (target_q - value)).exp().clamp_max(config.largest_weight)
            )  # [M, B]

        log_prob = self.log_prob(self.base.features(batch.obs, batch.history), batch.action).sum(
            1
        )  # [M, B]
        loss = -(weight * log_prob).mean(-1)
        self._descend(loss, ["policy"], norm)
        facts["policy"] = loss.detach()

        if self.kind != "ibc":
            with torch.no_grad():
                following = self.team_value(
                    self.base.features(batch.next_obs, batch.next_history), batch.next_state
                )
                target = batch.reward + config.gamma * (1 - batch.terminal) * following
            features = self.base.features(batch.obs, batch.history)
            q = apply_mlp(self.q, torch.cat([features, batch.action], -1), None).squeeze(
                -1
            )  # [M, N, E, B]
            heads = [self.team_q(q[:, :, head], batch) for head in range(q.shape[2])]
            loss = sum((head - target).square().mean(-1) for head in heads)
            self._descend(loss, ["q", "q_mixer"], norm)
            facts["q"] = loss.detach()
            self.target_q.average_towards(self.q, config.tau)
            if self.q_mixer:
                self.target_q_mixer.average_towards(self.q_mixer.params, config.tau)
        self.base.follow()
        return facts

    def _descend(self, loss: Tensor, names: list[str], max_norm: float | None) -> None:
        names = [name for name in names if name in self.parts]
        self.base.descend(
            loss,
            [self.parts[name] for name in names],
            [self.adams[name] for name in names],
            max_norm,
        )

    def log_prob(self, features: Tensor, action: Tensor) -> Tensor:
        """[M, N, B] of the data's actions, up to what no parameter changes (the tanh's slope)."""
        output = apply_mlp(self.policy, features, None)
        if self.discrete:
            return (output.log_softmax(-1) * action).sum(-1)
        mean, log_std = output.chunk(2, dim=-1)
        return gaussian_log_prob(
            mean, log_std.clamp(*LOG_STD_RANGE), action.clamp(-ACTION_BOUND, ACTION_BOUND).atanh()
        )

    @torch.no_grad()
    def act(self, obs: Tensor, history: Tensor, noise: Tensor | None = None) -> Tensor:
        """Actions [M, N, B, A]: the mean's, or sampled with `noise`; one-hot and greedy where they
        are discrete.
        """
        output = apply_mlp(self.policy, self.base.features(obs, history), None)
        if self.discrete:
            return torch.nn.functional.one_hot(output.argmax(-1), self.action_dim).float()
        mean, log_std = output.chunk(2, dim=-1)
        return (
            mean if noise is None else mean + log_std.clamp(*LOG_STD_RANGE).exp() * noise
        ).tanh()

    def state_dict(self) -> dict:
        state = {
            "base": self.base.state_dict(),
            "params": {name: part.flat for name, part in self.parts.items()},
        }
        state["adams"] = {name: adam.state_dict() for name, adam in self.adams.items()}
        if self.kind != "ibc":
            state["target_q"] = self.target_q.flat
        if self.q_mixer:
            state["target_q_mixer"] = self.target_q_mixer.flat
        return state

    @torch.no_grad()
    def load_state_dict(self, state: dict) -> None:
        self.base.load_state_dict(state["base"])
        for name, flat in state["params"].items():
            self.parts[name].flat.copy_(flat)
            self.adams[name].load_state_dict(state["adams"][name])
        if self.kind != "ibc":
            self.target_q.flat.copy_(state["target_q"])
        if self.q_mixer:
            self.target_q_mixer.flat.copy_(state["target_q_mixer"])
