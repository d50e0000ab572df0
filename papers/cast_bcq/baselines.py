"""The methods CAST-BCQ is compared with: MABCQ and ICQ-MA. Joint and independent BCQ are
`common.learning.bcq` on other views.

Axes: M members, N agents, B batch, D state, O observation, A an agent's action.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from common.learning.bcq import BCQ, KL_WEIGHT, BCQConfig
from common.learning.learner import Learner
from common.learning.losses import gaussian_log_prob, softmax_weights
from common.learning.networks import apply_mlp, mlp_parameters
from common.learning.population import Parameters, generators, mean_over_batch, normal_
from common.learning.replay import Batch
from common.learning.vae import ConditionalVAE
from papers.cast_bcq.rows import TeamBatch

LOG_STD_RANGE = (-6.0, 0.0)


@dataclass(frozen=True)
class MABCQConfig(BCQConfig):
    """BCQ's, and how far from 1 each of MABCQ's two weights may be."""

    epsilon: float = 0.8


def value_deviation(
    next_value: Tensor, q: Tensor, reward: Tensor, gamma: float, epsilon: float
) -> Tensor:
    """1 + (V(s') - E V) / |E V|, within 1 +- epsilon, where E V = (Q(s, a_i) - r) / gamma: all [M,
    N, B].
    """
    expected = (q - reward) / gamma
    return (1 + (next_value - expected) / (expected.abs() + 1e-6)).clamp(1 - epsilon, 1 + epsilon)


def transition_normalisation(mean: Tensor, mean_with_next: Tensor, epsilon: float) -> Tensor:
    """p(a_i | s) / p(a_i | s, s') within 1 +- epsilon, ~ 1 / P(s' | s, a_i): [M, N, B].

    Args:
        mean, mean_with_next: [M, N, B, Z], latent means of the action by the VAEs of (a_i | s) and
            (a_i | s, s'); their densities under the standard normal prior stand for those of the
            action.
    """
    log_ratio = 0.5 * (mean_with_next.square().sum(-1) - mean.square().sum(-1))
    return log_ratio.clamp(-20, 20).exp().clamp(1 - epsilon, 1 + epsilon)


class MABCQ(BCQ):
    """BCQ of every agent by itself on the full state, with reweighted transitions (Jiang and Lu,
    2021).
    """

    def __init__(self, seeds, obs_dims, action_dim, config: MABCQConfig, device="cpu"):
        super().__init__(seeds, obs_dims, action_dim, config, device)
        self.inverse = ConditionalVAE(
            generators(seeds, "inverse vae"),
            [2 * dim for dim in obs_dims],
            2 * max(obs_dims),
            action_dim,
            self.latent,
            config.vae_hidden or config.hidden,
            config.vae_lr,
            device,
        )

    def critic_loss(self, batch: Batch, target: Tensor, next_value: Tensor) -> Tensor:
        pair = torch.cat([batch.obs, batch.next_obs], -1)
        self.inverse.update(pair, batch.action, self.noise(batch.obs), KL_WEIGHT)
        q = self.critics.values(batch.obs, batch.action)
        with torch.no_grad():
            means = (
                self.vae.encode(batch.obs, batch.action)[0],
                self.inverse.encode(pair, batch.action)[0],
            )
            epsilon = self.config.epsilon
            weights = value_deviation(
                next_value, q[:, :, 0], batch.reward, self.config.gamma, epsilon
            )
            weights = weights * transition_normalisation(*means, epsilon)
            weights = weights / weights.mean(-1, keepdim=True)
        return mean_over_batch(weights * (q - target.unsqueeze(2)).square().sum(2))

    def state_dict(self) -> dict:
        return super().state_dict() | {"inverse": self.inverse.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        super().load_state_dict(state)
        self.inverse.load_state_dict(state["inverse"])


@dataclass(frozen=True)
class ICQConfig:
    """ICQ-MA with Gaussian policies."""

    hidden: int = 400
    mixer_hidden: int = 32
    lr: float = 1e-3
    gamma: float = 0.99
    tau: float = 0.005
    policy_temperature: float = 100.0  # of the policy's batch weights
    target_temperature: float = 1000.0  # of the target's
    value_samples: int = 4  # actions behind the advantage's baseline
    max_norm: float = 20.0  # of gradients


class ICQ(Learner):
    """Gaussian policies, a critic per agent, and a linear mixer whose coefficients depend on the
    state.

    Q_tot = sum_i k_i(s) Q_i(o_i, a_i), k_i >= 0 with sum 1. The target bootstraps from the data's
    next action, weighted by the batch softmax of its value.

    Args:
        seeds: one per member.
        obs_dims: true observation size of each agent; state_dim: D.
    """

    def __init__(
        self,
        seeds,
        obs_dims: list[int],
        state_dim: int,
        action_dim: int,
        config: ICQConfig,
        device="cpu",
    ):
        super().__init__(seeds, device, config.max_norm)
        self.config, self.action_dim = config, action_dim

        def network(purpose: str, sizes: list[int], outputs: int, hidden: int) -> dict[str, Tensor]:
            return mlp_parameters(
                generators(seeds, purpose), sizes, max(sizes), hidden, outputs, input_norm=False
            )

        actor = network("actor", obs_dims, action_dim, config.hidden)
        actor["log_std_logits"] = torch.zeros(len(seeds), len(obs_dims), action_dim)
        critic = network("critic", [dim + action_dim for dim in obs_dims], 1, config.hidden)
        self.hold("actor", actor, config.lr, target=False)
        self.hold("critic", critic, config.lr, target=True)
        self.hold(
            "mixer",
            network("mixer", [state_dim], len(obs_dims), config.mixer_hidden),
            config.lr,
            target=True,
        )

    def distribution(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Mean [M, N, B, A] and log standard deviation [M, N, 1, A] of the policy."""
        low, high = LOG_STD_RANGE
        log_std = low + (high - low) * self.networks["actor"]["log_std_logits"].sigmoid()
        return apply_mlp(self.networks["actor"], obs, None), log_std.unsqueeze(2)

    @staticmethod
    def values(obs: Tensor, action: Tensor, critic: Parameters) -> Tensor:
        """[M, N, B] own values."""
        return apply_mlp(critic, torch.cat([obs, action], -1), None).squeeze(-1)

    @staticmethod
    def coefficients(state: Tensor, mixer: Parameters) -> Tensor:
        """[M, N, B] k_i(s), which sum to 1 over agents."""
        k = apply_mlp(mixer, state.unsqueeze(1), None).squeeze(1).abs().transpose(1, 2)
        return k / (k.sum(1, keepdim=True) + 1e-6)

    def total(self, state: Tensor, obs: Tensor, action: Tensor, parts: dict) -> Tensor:
        """[M, B] Q_tot."""
        return (
            self.coefficients(state, parts["mixer"]) * self.values(obs, action, parts["critic"])
        ).sum(1)

    def update(self, batch: TeamBatch) -> None:
        """One step of critics and mixer, and of the policies."""
        config = self.config
        with torch.no_grad():
            following = self.total(
                batch.next_state, batch.next_obs, batch.next_action, self.targets
            )
            trusted = softmax_weights(following, config.target_temperature) * following
            target = batch.reward + config.gamma * (1 - batch.terminal) * trusted
        loss = mean_over_batch(
            (self.total(batch.state, batch.obs, batch.action, self.networks) - target).square(), 1
        )
        self.descend(loss, "critic", "mixer")

        with torch.no_grad():
            mean, log_std = self.distribution(batch.obs)
            samples = config.value_samples
            wide = batch.obs.repeat_interleave(samples, dim=2)
            noise = normal_(wide.new_empty(*wide.shape[:-1], self.action_dim), self.streams)
            sampled = (mean.repeat_interleave(samples, dim=2) + log_std.exp() * noise).clamp(-1, 1)
            baseline = (
                self.values(wide, sampled, self.networks["critic"])
                .unflatten(-1, (-1, samples))
                .mean(-1)
            )
            advantage = self.values(batch.obs, batch.action, self.networks["critic"]) - baseline
            weights = self.coefficients(batch.state, self.networks["mixer"])
            weights = weights * softmax_weights(advantage, config.policy_temperature)
        log_prob = gaussian_log_prob(*self.distribution(batch.obs), batch.action)
        self.descend(-mean_over_batch(weights * log_prob), "actor")
        for name, part in self.targets.items():
            part.average_towards(self.networks[name], config.tau)

    @torch.no_grad()
    def act(self, obs: Tensor, streams=None) -> Tensor:
        """[M, N, B, A] the policy's mean actions."""
        return self.distribution(obs)[0].clamp(-1, 1)
