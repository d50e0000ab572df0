"""MAPPO with value decomposition and memory, on a population: the learner of MOMA-PPO (Barde et
al., 2024, section 3.2).

Every agent has its own encoder of past steps, policy and value; a mixer makes the team's value of
theirs. What the text leaves open follows the authors' code: one likelihood ratio of the whole team,
returns that are sums of rewards up to the rollout's end, an entropy coefficient that follows a
target, a penalty on means beyond the actions' bounds, one loss and one gradient norm for
everything.

Axes: M members, N agents, T steps of a rollout, B batch, L history, I observation and action of one
agent, O observation, A action, D state; K = 1 where the team has one likelihood ratio, else N.
"""

import math
from dataclasses import dataclass, fields, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from common.learning.heads import LOG_STD_RANGE, Gaussian, Head
from common.learning.learner import Learner
from common.learning.memory import encoder_parameters, remembered
from common.learning.mixing import Mixing, mix, mixer_parameters
from common.learning.networks import apply_mlp, mlp_parameters
from common.learning.philox import Streams
from common.learning.population import Parameters, generators, mean_over_batch
from common.learning.ranges import Count, CountOrZero, NotNegative, Positive, Share

LARGEST_LOG_RATIO = 10.0
LEAST_SPREAD = 1e-3  # added to the standard deviation of advantages
SMALL_START = 0.1  # factor of the policy's last weights, so that first actions hardly depend on obs

# The likelihood ratio of the whole team, or each agent's own, as MAPPO (Yu et al., 2022)
Ratio = Literal["joint", "agent"]


@dataclass(frozen=True)
class MAPPOConfig:
    """Values of the authors' code."""

    hidden: Count = 256
    memory: CountOrZero = 128  # size of the encoded history; 0 for agents without memory
    lr: Positive = 5e-5
    gamma: Share = 0.99
    gae_lambda: Share = 0.98
    clip: Positive = 0.2
    value_clip: NotNegative = 0.2  # of the change of values in an epoch; 0 for none
    value_weight: NotNegative = 0.5
    entropy_target: float = -2.0
    entropy_rate: NotNegative = 1e-3
    bound_weight: NotNegative = 1.0
    max_norm: Positive = 1.0
    passes: Count = 5
    minibatch: Count = 64
    log_std_min: float = LOG_STD_RANGE[0]
    log_std_max: float = LOG_STD_RANGE[1]
    initial_log_std: float = 0.0
    ratio: Ratio = "joint"
    mixer: Mixing = "free"


@dataclass(frozen=True)
class Experience:
    """Steps of a member's rollouts in any order.

    Attributes:
        obs: [M, N, B, O]; history: [M, N, B, L, I] (L may be 0); state: [M, B, D].
        action: [M, N, B, A], not clipped; one-hot where actions are choices.
        log_prob: [M, N, B]; value, advantage, target: [M, B].
    """

    obs: Tensor
    history: Tensor
    state: Tensor
    action: Tensor
    log_prob: Tensor
    value: Tensor
    advantage: Tensor
    target: Tensor

    @staticmethod
    def batch_axis(name: str) -> int:
        """Which axis of an attribute is B."""
        return 1 if name in ("state", "value", "advantage", "target") else 2

    def take(self, index: Tensor) -> "Experience":
        """Steps with these numbers [M, B']."""

        def taken(name: str) -> Tensor:
            tensor = getattr(self, name)
            *lead, count = tensor.shape[: self.batch_axis(name) + 1]
            networks = math.prod(lead[1:])
            first = torch.arange(len(index) * networks, device=index.device) * count
            rows = index.unsqueeze(1) + first.view(len(index), networks, 1)
            # rows are copied whole: a gather goes number by number, a fifth as fast
            flat = tensor.flatten(0, len(lead)).index_select(0, rows.flatten())
            return flat.unflatten(0, (*lead, index.shape[1]))

        return Experience(**{field.name: taken(field.name) for field in fields(self)})


def returns_and_advantages(
    reward: Tensor,
    alive: Tensor,
    running: Tensor,
    value: Tensor,
    next_value: Tensor,
    gamma: float,
    gae_lambda: float,
) -> tuple[Tensor, Tensor]:
    """Targets and advantages of rollouts [M, T, B], all arguments alike.

        delta_t = r_t + gamma f_t V'_t - V_t
        A_t = delta_t + gamma lambda f_t z_t A_{t+1}
        R_t = r_t + gamma f_t (z_t R_{t+1} + (1 - z_t) V'_t)

    Args:
        alive: f, 0 where the environment ended the episode (no value behind it), else 1.
        running: z, 0 where the rollout was cut (its value goes on in V'), else 1; the last step's
            must be 0 or ended.
    """
    targets = torch.empty_like(reward)
    advantages = torch.empty_like(reward)
    target = torch.zeros_like(reward[:, 0])
    advantage = torch.zeros_like(reward[:, 0])
    for t in reversed(range(reward.shape[1])):
        f = alive[:, t]
        z = running[:, t]
        bootstrap = next_value[:, t]
        delta = reward[:, t] + gamma * f * bootstrap - value[:, t]
        advantage = delta + gamma * gae_lambda * f * z * advantage
        target = reward[:, t] + gamma * f * (z * target + (1 - z) * bootstrap)
        advantages[:, t] = advantage
        targets[:, t] = target
    return targets, advantages


def likelihood_ratio(log_prob: Tensor, old: Tensor) -> Tensor:
    """[M, K, B] pi(a | h) / pi_old(a | h), kept finite."""
    return (log_prob - old).clamp_max(LARGEST_LOG_RATIO).exp()


def policy_loss(ratio: Tensor, clipped: Tensor, advantage: Tensor) -> Tensor:
    """[M] PPO's clipped objective (Schulman et al., 2017, Eq. 7), negative.

        - sum_k mean_b min(rho A, clip(rho, 1 - c, 1 + c) A)

    Args:
        ratio, clipped: rho and clip(rho, ...), [M, K, B]; advantage: A [M, B].
    """
    advantage = advantage.unsqueeze(1)
    return -torch.minimum(ratio * advantage, clipped * advantage).sum(1).mean(-1)


def entropy_estimate(ratio: Tensor, clipped: Tensor, log_prob: Tensor) -> Tensor:
    """[M] entropy of the present policies from actions of the old ones, as in the authors' code.

        - sum_k mean_b max(rho log pi, clip(rho, 1 - c, 1 + c) log pi)

    Args:
        ratio, clipped, log_prob: rho, clip(rho, ...) and log pi, [M, K, B].
    """
    return -torch.maximum(ratio * log_prob, clipped * log_prob).sum(1).mean(-1)


def value_loss(value: Tensor, target: Tensor, old: Tensor, clip: float) -> Tensor:
    """[M] squared error of values [M, B], or of values within `clip` of the old ones where that is
    larger; the larger of the two means, as in the authors' code.
    """
    loss = (value - target).square().mean(-1)
    if not clip:
        return loss
    near = old + (value - old).clamp(-clip, clip)
    return torch.maximum((near - target).square().mean(-1), loss)


def bound_penalty(ratio: Tensor, clipped: Tensor, excess: Tensor) -> Tensor:
    """[M] how far means lie beyond the actions' bounds, as in the authors' code.

        sum_k mean_b max(rho, clip(rho, 1 - c, 1 + c)) excess

    Args:
        ratio, clipped, excess: [M, K, B].
    """
    # The ratio only weighs: a gradient through it would make taken actions unlikely, and push
    # means further out.
    weight = torch.maximum(ratio, clipped).detach()
    return (weight * excess).sum(1).mean(-1)


def clip_grad_norm_together(networks: list[Parameters], max_norm: float) -> None:
    """Scales each member's gradient, over all agents of all networks, to a norm of at most
    max_norm.
    """
    squares = [network.grad.square().flatten(1).sum(1) for network in networks]
    norm = torch.stack(squares).sum(0).sqrt()  # [M]
    factor = (max_norm / (norm + 1e-6)).clamp_max(1.0)
    for network in networks:
        network.grad.mul_(factor.view(-1, 1, 1))


class MAPPO(Learner):
    """Policies, values, encoders and mixers of every member, trained by one loss.

    Args:
        seeds: one per member.
        obs_dims: true observation size of each agent.
        state_dim: D, what the mixer sees.
        action_dim: A.
        head: what policies make of their networks; a Gaussian by default.
    """

    def __init__(
        self,
        seeds: list[int],
        obs_dims: list[int],
        state_dim: int,
        action_dim: int,
        config: MAPPOConfig,
        device: str = "cpu",
        head: Head | None = None,
    ):
        if config.ratio not in get_args(Ratio):
            ratios = ", ".join(get_args(Ratio))
            raise ValueError(f"unknown ratio {config.ratio!r}, expected one of: {ratios}")
        super().__init__(seeds, device)
        self.config = config
        self.head: Head = head or Gaussian(
            action_dim, config.log_std_min, config.log_std_max, config.initial_log_std
        )
        size = config.memory
        padded = max(obs_dims)
        if size:
            inputs = [dim + action_dim for dim in obs_dims]
            streams = generators(seeds, "memory")
            encoder = encoder_parameters(streams, inputs, padded + action_dim, size)
            self.hold("memory", encoder, config.lr)

        def network(purpose: str, outputs: int) -> dict[str, Tensor]:
            streams = generators(seeds, purpose)
            inputs = [size + dim for dim in obs_dims]
            return mlp_parameters(
                streams, inputs, size + padded, config.hidden, outputs, input_norm=False
            )

        policy = network("policy", self.head.outputs)
        policy["w3"] = SMALL_START * policy["w3"]
        policy["b3"] = self.head.initial_bias().expand_as(policy["b3"])
        self.hold("policy", policy, config.lr)
        self.hold("value", network("value", 1), config.lr)
        streams = generators(seeds, "mixer")
        mixer = mixer_parameters(streams, state_dim, len(obs_dims), config.hidden)
        self.hold("mixer", mixer, config.lr)
        self.notes["entropy_weight"] = torch.zeros(len(seeds), device=device)

    @property
    def entropy_weight(self) -> Tensor:
        """[M] coefficient of the entropy; it follows `config.entropy_target`."""
        return self.notes["entropy_weight"]

    def features(self, obs: Tensor, history: Tensor) -> Tensor:
        """What policies and values see: [M, N, B, H + O] of obs [M, N, B, O] and history [M, N, B,
        L, I].
        """
        return remembered(self.networks.get("memory"), obs, history)

    def policy_output(self, features: Tensor) -> Tensor:
        """[M, N, B, P], what the head makes actions of."""
        return apply_mlp(self.networks["policy"], features, None)

    def values(self, features: Tensor, state: Tensor) -> Tensor:
        """[M, B] values of the team."""
        agent_values = apply_mlp(self.networks["value"], features, None).squeeze(-1)
        return mix(self.networks["mixer"], agent_values, state, self.config.mixer)

    @torch.no_grad()
    def sample(self, obs: Tensor, history: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Actions [M, N, B, A], their log probabilities [M, N, B], and features.

        Args:
            noise: [M, N, B, A], of the head.
        """
        features = self.features(obs, history)
        output = self.policy_output(features)
        action = self.head.sample(output, noise)
        return action, self.head.log_prob(output, action), features

    @torch.no_grad()
    def act(self, obs: Tensor, history: Tensor) -> Tensor:
        """[M, N, B, A] greedy actions."""
        return self.head.greedy(self.policy_output(self.features(obs, history)))

    def update(self, experience: Experience, streams: Streams) -> dict[str, Tensor]:
        """Several passes over an epoch's experience, whose advantages are normalised here.

        Args:
            streams: of the order of minibatches.

        Returns:
            Means over the epoch [M]: "policy", "value", "entropy", "clipped" (fraction of steps
                beyond the clip).
        """
        config = self.config
        advantage = experience.advantage
        spread = advantage.std(1, keepdim=True) + LEAST_SPREAD
        normalised = (advantage - advantage.mean(1, keepdim=True)) / spread
        experience = replace(experience, advantage=normalised)
        count = advantage.shape[1]
        size = min(config.minibatch, count)
        reports = []
        for _ in range(config.passes):
            order = streams.permutation(count)
            for start in range(0, count - size + 1, size):
                minibatch = experience.take(order[:, start : start + size])
                reports.append(self.step(minibatch))
        return {
            name: torch.stack([report[name] for report in reports]).mean(0) for name in reports[0]
        }

    def step(self, batch: Experience) -> dict[str, Tensor]:
        """One step of everything on a minibatch; the parts of the loss [M]."""
        config = self.config
        loss, entropy, facts = self.loss(batch)
        self.backward(loss, *self.networks)
        clip_grad_norm_together(list(self.networks.values()), config.max_norm)
        for optimiser in self.optimisers.values():
            optimiser.step()
        weight = self.entropy_weight + config.entropy_rate * (config.entropy_target - entropy)
        self.notes["entropy_weight"] = weight.clamp_min(0)
        return facts

    def loss(self, batch: Experience) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """The total loss [M], the entropy estimate [M], and parts for the record."""
        config = self.config
        features = self.features(batch.obs, batch.history)
        output = self.policy_output(features)
        log_prob = self.per_ratio(self.head.log_prob(output, batch.action))
        ratio = likelihood_ratio(log_prob, self.per_ratio(batch.log_prob))
        clipped = ratio.clamp(1 - config.clip, 1 + config.clip)
        policy = policy_loss(ratio, clipped, batch.advantage)
        entropy = entropy_estimate(ratio, clipped, log_prob)
        team_value = self.values(features, batch.state)
        value = value_loss(team_value, batch.target, batch.value, config.value_clip)
        beyond = bound_penalty(ratio, clipped, self.per_ratio(self.head.excess(output)))
        loss = policy + config.value_weight * value - self.entropy_weight * entropy
        loss = loss + config.bound_weight * beyond
        outside = ((ratio - 1).abs() > config.clip).float()
        facts = {
            "policy": policy,
            "value": value,
            "entropy": entropy,
            "clipped": mean_over_batch(outside, 1),
        }
        return loss, entropy.detach(), {name: fact.detach() for name, fact in facts.items()}

    def per_ratio(self, terms: Tensor) -> Tensor:
        """[M, K, B] of agents' terms [M, N, B]: their sum where the team has one ratio."""
        return terms.sum(1, keepdim=True) if self.config.ratio == "joint" else terms
