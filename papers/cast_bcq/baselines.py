"""The methods CAST-BCQ is compared with on robots: MABCQ and ICQ-MA. Joint and independent BCQ are
`proposing.py` on other views.

    MABCQ   Jiang and Lu, "Offline Decentralized Multi-Agent Reinforcement Learning",
            arXiv 2108.01832
    ICQ-MA  Yang et al., "Believe What You See: Implicit Constraint Approach for Offline Multi-Agent
            Reinforcement Learning", NeurIPS 2021

Axes: M members, N agents, B batch, K sampled actions, D state, O observation, A an agent's action,
Z latent.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from common.learning.bcq import BCQConfig
from common.learning.learner import Learner
from common.learning.losses import gaussian_log_prob, softmax_weights
from common.learning.networks import apply_mlp, mlp_parameters
from common.learning.philox import Streams
from common.learning.population import Parameters, generators, mean_over_batch
from common.learning.ranges import Count, Positive, Share
from common.learning.replay import Batch
from common.learning.vae import ConditionalVAE
from papers.cast_bcq.proposing import ProposingBCQ
from papers.cast_bcq.rows import JointBatch

LOG_STD_RANGE = (-6.0, 0.0)
TargetWeights = Literal["state", "minibatch", "halved"]


@dataclass(frozen=True)
class MABCQConfig(BCQConfig):
    """BCQ's, and how far from 1 each of MABCQ's two weights may be."""

    epsilon: Share = 0.8


def within(weights: Tensor, epsilon: float) -> Tensor:
    """MABCQ's weights, kept within 1 +- epsilon."""
    return weights.clamp(1 - epsilon, 1 + epsilon)


def value_deviation(
    next_value: Tensor,
    q: Tensor,
    reward: Tensor,
    terminal: Tensor,
    gamma: float,
    epsilon: float,
) -> Tensor:
    """MABCQ's value deviation, within 1 +- epsilon: 1 + (V(s') - E V) / |E V|, any shape.

    E V = (Q(s, a_i) - r) / gamma. Behind the end there is no V(s') to deviate: 1.
    """
    expected = (q - reward) / gamma
    deviation = (next_value - expected) / (expected.abs() + 1e-6)
    return within(1 + (1 - terminal) * deviation, epsilon)


def transition_normalisation(mean: Tensor, mean_with_next: Tensor, epsilon: float) -> Tensor:
    """MABCQ's transition normalisation, within 1 +- epsilon: p(a_i | s) / p(a_i | s, s') ~
    1 / P(s' | s, a_i), [M, N, B].

    Args:
        mean, mean_with_next: [M, N, B, Z], latent means of the action by the VAEs of (a_i | s) and
            (a_i | s, s'); their densities under the standard normal prior stand for those of the
            action.
    """
    log_ratio = 0.5 * (mean_with_next.square().sum(-1) - mean.square().sum(-1))
    return within(log_ratio.clamp(-20, 20).exp(), epsilon)


class MABCQ(ProposingBCQ):
    """BCQ of every agent by itself on the full state, with reweighted transitions.

    Args:
        seeds: one per member.
        obs_dims: true observation size of each agent.
    """

    config: MABCQConfig

    def __init__(
        self,
        seeds: list[int],
        obs_dims: list[int],
        action_dim: int,
        config: MABCQConfig,
        device: str = "cpu",
    ):
        super().__init__(seeds, obs_dims, action_dim, config, device)
        self.inverse = ConditionalVAE(
            generators(seeds, "inverse vae"),
            [2 * dim for dim in obs_dims],
            action_dim,
            self.latent,
            config.vae_hidden or config.hidden,
            config.vae_lr,
            device,
        )
        self.others["inverse"] = self.inverse

    def critic_loss(self, batch: Batch, target: Tensor, next_value: Tensor) -> Tensor:
        """[M, N] BCQ's loss over weighted transitions; the inverse model learns on the way."""
        pair = torch.cat([batch.obs, batch.next_obs], -1)
        self.inverse.update(pair, batch.action, self.noise(batch.obs), self.config.vae_kl_weight)
        q = self.critics.values(batch.obs, batch.action)
        with torch.no_grad():
            weights = self.weights(batch, pair, next_value, q[:, :, 0])
        return mean_over_batch(weights * (q - target.unsqueeze(2)).square().sum(2))

    def weights(self, batch: Batch, pair: Tensor, next_value: Tensor, q: Tensor) -> Tensor:
        """[M, N, B] of every transition, with mean 1; pair is [M, N, B, 2 O], both observations."""
        config = self.config
        mean, _ = self.vae.encode(batch.obs, batch.action)
        mean_with_next, _ = self.inverse.encode(pair, batch.action)
        weights = value_deviation(
            next_value, q, batch.reward, batch.terminal, config.gamma, config.epsilon
        )
        weights = weights * transition_normalisation(mean, mean_with_next, config.epsilon)
        return weights / weights.mean(-1, keepdim=True)


@dataclass(frozen=True)
class ICQMAConfig:
    """ICQ-MA with Gaussian policies."""

    hidden: Count = 400
    mixer_hidden: Count = 32
    lr: Positive = 1e-3
    gamma: Share = 0.99
    tau: Share = 0.005
    policy_temperature: Positive = 100.0  # of the policy's batch weights
    target_temperature: Positive = 1000.0  # of the target's
    # w of the target: "state", relative to the next state's other actions and at most 1 (ICQ's
    # Z(s), and its release for one robot); "minibatch", relative to the minibatch's other states
    # (its release for several agents, whose returns are at most 20: on robots values diverge);
    # "halved", half of that and at most 1 (the other release for one robot)
    target_weights: TargetWeights = "state"
    value_samples: Count = 4  # K, actions behind Z(s) and the advantage's baseline
    max_norm: Positive = 20.0  # of gradients


def linear_mixture(outputs: Tensor, agents_axis: int) -> Tensor:
    """ICQ-MA's k_i(s) of mixer outputs [...]: positive, their sum over agents is 1."""
    k = outputs.abs()
    return k / (k.sum(agents_axis, keepdim=True) + 1e-6)


def state_weights(following: Tensor, sampled: Tensor, temperature: float) -> Tensor:
    """ICQ's weights exp(Q' / T) / Z(s') of values [M, B], at most 1: [M, B].

    Z(s') is the mean of exp(Q' / T) over K actions of the policy in the same state, sampled
    [M, B, K]. Weights above 1 / gamma would make the target no contraction.
    """
    log_z = (sampled / temperature).logsumexp(-1) - math.log(sampled.shape[-1])
    return (following / temperature - log_z).exp().clamp_max(1.0)


def icq_target(
    reward: Tensor, terminal: Tensor, following: Tensor, weights: Tensor, gamma: float
) -> Tensor:
    """ICQ's implicit constraint: r + gamma (1 - d) w Q'(s', a'), a' the data's next action, [M, B].

    Args:
        following: [M, B], Q_tot of the target networks at the data's next actions; weights: its w.
    """
    return reward + gamma * (1 - terminal) * weights * following


class ICQMA(Learner):
    """Gaussian policies, a critic per agent, and a linear mixer whose coefficients depend on the
    state.

    Q_tot = sum_i k_i(s) Q_i(o_i, a_i), k_i >= 0 with sum 1.

    Args:
        seeds: one per member.
        obs_dims: true observation size of each agent; state_dim: D.
    """

    def __init__(
        self,
        seeds: list[int],
        obs_dims: list[int],
        state_dim: int,
        action_dim: int,
        config: ICQMAConfig,
        device: str = "cpu",
    ):
        super().__init__(seeds, device, config.max_norm)
        self.config = config
        self.action_dim = action_dim

        def network(name: str, inputs: list[int], outputs: int, hidden: int) -> dict[str, Tensor]:
            streams = generators(seeds, name)
            return mlp_parameters(streams, inputs, max(inputs), hidden, outputs, input_norm=False)

        actor = network("actor", obs_dims, action_dim, config.hidden)
        actor["log_std_logits"] = torch.zeros(len(seeds), len(obs_dims), action_dim)
        critic = network("critic", [dim + action_dim for dim in obs_dims], 1, config.hidden)
        mixer = network("mixer", [state_dim], len(obs_dims), config.mixer_hidden)
        self.hold("actor", actor, config.lr)
        self.hold("critic", critic, config.lr, target=True)
        self.hold("mixer", mixer, config.lr, target=True)

    def distribution(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Mean [M, N, B, A] and log standard deviation [M, N, 1, A] of the policy."""
        low, high = LOG_STD_RANGE
        log_std = low + (high - low) * self.networks["actor"]["log_std_logits"].sigmoid()
        return apply_mlp(self.networks["actor"], obs, None), log_std.unsqueeze(2)

    @staticmethod
    def values(obs: Tensor, action: Tensor, critic: Parameters) -> Tensor:
        """[M, N, B] every agent's value."""
        return apply_mlp(critic, torch.cat([obs, action], -1), None).squeeze(-1)

    @staticmethod
    def coefficients(state: Tensor, mixer: Parameters) -> Tensor:
        """[M, N, B] k_i(s), which sum to 1 over agents."""
        outputs = apply_mlp(mixer, state.unsqueeze(1), None).squeeze(1)
        return linear_mixture(outputs.transpose(1, 2), 1)

    def total(
        self, state: Tensor, obs: Tensor, action: Tensor, networks: dict[str, Parameters]
    ) -> Tensor:
        """[M, B] Q_tot."""
        k = self.coefficients(state, networks["mixer"])
        return (k * self.values(obs, action, networks["critic"])).sum(1)

    def sampled(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """K actions of the policy for every observation, with it: [M, N, B K, ...]."""
        samples = self.config.value_samples
        mean, log_std = self.distribution(obs)
        repeated = obs.repeat_interleave(samples, dim=2)
        noise = self.normal(*repeated.shape[1:-1], self.action_dim)
        action = mean.repeat_interleave(samples, dim=2) + log_std.exp() * noise
        return repeated, action.clamp(-1, 1)

    def mean_value(self, obs: Tensor) -> Tensor:
        """[M, N, B] mean value of K actions of the policy, the advantage's baseline."""
        values = self.values(*self.sampled(obs), self.networks["critic"])
        return values.unflatten(-1, (-1, self.config.value_samples)).mean(-1)

    def target(self, batch: JointBatch) -> Tensor:
        """[M, B] what Q_tot regresses on."""
        config = self.config
        following = self.total(batch.next_state, batch.next_obs, batch.next_action, self.targets)
        if config.target_weights == "state":
            samples = config.value_samples
            states = batch.next_state.repeat_interleave(samples, dim=1)
            others = self.total(states, *self.sampled(batch.next_obs), self.targets)
            others = others.unflatten(-1, (-1, samples))
            weights = state_weights(following, others, config.target_temperature)
        else:
            weights = softmax_weights(following, config.target_temperature)
        if config.target_weights == "halved":
            weights = (0.5 * weights).clamp_max(1.0)
        return icq_target(batch.reward, batch.terminal, following, weights, config.gamma)

    def update(self, batch: JointBatch) -> None:
        """One step of critics and mixer, and of the policies."""
        config = self.config
        with torch.no_grad():
            target = self.target(batch)
        total = self.total(batch.state, batch.obs, batch.action, self.networks)
        self.descend(mean_over_batch((total - target).square(), 1), "critic", "mixer")

        with torch.no_grad():
            baseline = self.mean_value(batch.obs)
            value = self.values(batch.obs, batch.action, self.networks["critic"])
            weights = self.coefficients(batch.state, self.networks["mixer"])
            weights = weights * softmax_weights(value - baseline, config.policy_temperature)
        log_prob = gaussian_log_prob(*self.distribution(batch.obs), batch.action)
        self.descend(-mean_over_batch(weights * log_prob), "actor")
        self.follow(config.tau)

    @torch.no_grad()
    def act(self, obs: Tensor, streams: Streams | None = None) -> Tensor:
        """[M, N, B, A] the policy's mean actions."""
        return self.distribution(obs)[0].clamp(-1, 1)

    @torch.no_grad()
    def value_on_data(self, batch: JointBatch) -> Tensor:
        """[M] mean Q_tot of the data's actions."""
        return self.total(batch.state, batch.obs, batch.action, self.networks).mean(1)
