"""MAPPO with value decomposition and memory, on a population: the learner of MOMA-PPO (Barde et
al., 2024, section 3.2).

Every agent has its own encoder of past steps, policy and value; a mixer makes the team's value of
theirs. What the text leaves open follows the authors' code: one likelihood ratio of the whole team,
returns that are sums of rewards up to the rollout's end, an entropy coefficient that follows a
target, a penalty on means beyond the actions' bounds, one loss and one gradient norm for
everything.

Axes: M members, N agents, T steps of a rollout, B batch, L history, I observation and action of one
agent, O observation, A action, D state.
"""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from common.learning.losses import gaussian_log_prob
from common.learning.memory import encode, encoder
from common.learning.mixing import Mixer
from common.learning.networks import apply_mlp, mlp_parameters
from common.learning.population import Adam, Parameters, generators, mean_over_batch, per_member

LARGEST_LOG_RATIO = 10.0
RATIOS = ("joint", "agent")


@dataclass(frozen=True)
class MAPPOConfig:
    """Values of the authors' code."""

    hidden: int = 256
    memory: int = 128  # size of the encoded history; 0 for agents without memory
    lr: float = 5e-5
    gamma: float = 0.99
    gae_lambda: float = 0.98
    clip: float = 0.2
    value_clip: float = 0.2  # of the change of values in an epoch; 0 for none
    value_weight: float = 0.5
    entropy_target: float = -2.0
    entropy_rate: float = 1e-3
    bound_weight: float = 1.0
    max_norm: float = 1.0
    passes: int = 5
    minibatch: int = 64
    log_std_min: float = -6.0
    log_std_max: float = 0.0
    initial_log_std: float = 0.0
    ratio: str = "joint"  # or "agent", as MAPPO
    mixer: str = "free"


@dataclass(frozen=True)
class Experience:
    """Steps of a member's rollouts in any order.

    Attributes:
        obs: [M, N, B, O]; history: [M, N, B, L, I] (L may be 0); state: [M, B, D].
        action: [M, N, B, A], not clipped, or indices [M, N, B, 1] of discrete actions.
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

    def take(self, index: Tensor) -> "Experience":
        """Steps with these numbers [M, B']."""
        parts = {}
        for field in fields(self):
            tensor = getattr(self, field.name)
            axis = 1 if field.name in ("state", "value", "advantage", "target") else 2
            shape = [1] * tensor.ndim
            shape[0], shape[axis] = index.shape
            expanded = list(tensor.shape)
            expanded[axis] = index.shape[1]
            parts[field.name] = tensor.gather(axis, index.view(shape).expand(expanded))
        return Experience(**parts)


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
    targets, advantages = torch.empty_like(reward), torch.empty_like(reward)
    later_target = later_advantage = torch.zeros_like(reward[:, 0])
    for t in reversed(range(reward.shape[1])):
        f, z, bootstrap = alive[:, t], running[:, t], next_value[:, t]
        delta = reward[:, t] + gamma * f * bootstrap - value[:, t]
        later_advantage = delta + gamma * gae_lambda * f * z * later_advantage
        later_target = reward[:, t] + gamma * f * (z * later_target + (1 - z) * bootstrap)
        advantages[:, t], targets[:, t] = later_advantage, later_target
    return targets, advantages


def clip_grad_norm_together(networks: list[Parameters], max_norm: float) -> None:
    """Scales each member's gradient, over all agents of all networks, to a norm of at most
    max_norm.
    """
    squares = torch.stack([network.grad.square().flatten(1).sum(1) for network in networks]).sum(
        0
    )  # [M]
    factor = (max_norm / (squares.sqrt() + 1e-6)).clamp_max(1.0)
    for network in networks:
        network.grad.mul_(factor.view(-1, 1, 1))


class MAPPO:
    """Policies, values, encoders and mixers of every member, trained by one loss.

    Args:
        seeds: one per member.
        obs_dims: true observation size of each agent.
        state_dim: D, what the mixer sees.
        action_dim: A, or the number of actions.
        discrete: whether policies are categorical.
    """

    def __init__(
        self,
        seeds: list[int],
        obs_dims: list[int],
        state_dim: int,
        action_dim: int,
        config: MAPPOConfig,
        device="cpu",
        discrete: bool = False,
    ):
        if config.ratio not in RATIOS:
            raise ValueError(
                f"unknown ratio {config.ratio!r}, expected one of: {', '.join(RATIOS)}"
            )
        self.config, self.action_dim, self.discrete, self.agents = (
            config,
            action_dim,
            discrete,
            len(obs_dims),
        )
        padded, size = max(obs_dims), config.memory
        self.memory = None
        if size:
            inputs = [dim + action_dim for dim in obs_dims]
            self.memory = encoder(
                generators(seeds, "memory"), inputs, padded + action_dim, size, device
            )

        def network(purpose: str, outputs: int) -> dict[str, Tensor]:
            streams, sizes = generators(seeds, purpose), [size + dim for dim in obs_dims]
            return mlp_parameters(
                streams, sizes, size + padded, config.hidden, outputs, input_norm=False
            )

        policy = network("policy", action_dim if discrete else 2 * action_dim)
        policy["w3"], policy["b3"] = 0.1 * policy["w3"], torch.zeros_like(policy["b3"])
        if not discrete:
            policy["b3"][..., action_dim:] = config.initial_log_std
        self.policy, self.value = (
            Parameters({name: tensor.to(device) for name, tensor in tensors.items()})
            for tensors in (policy, network("value", 1))
        )
        self.mixer = Mixer(
            generators(seeds, "mixer"), state_dim, self.agents, config.hidden, config.mixer, device
        )
        self.trained = [
            part
            for part in (self.memory, self.policy, self.value, self.mixer.params)
            if part is not None
        ]
        rates = per_member(config.lr, len(seeds), device)
        self.adams = [Adam(part, rates) for part in self.trained]
        self.entropy_weight = torch.zeros(len(seeds), device=device)

    def features(self, obs: Tensor, history: Tensor) -> Tensor:
        """What policies and values see: [M, N, B, H + O] of obs [M, N, B, O] and history [M, N, B,
        L, I].
        """
        return obs if self.memory is None else torch.cat([encode(self.memory, history), obs], -1)

    def distribution(self, features: Tensor) -> tuple[Tensor, Tensor | None]:
        """Mean and log standard deviation [M, N, B, A] of actions; log probabilities and None where
        they are discrete.
        """
        output = apply_mlp(self.policy, features, None)
        if self.discrete:
            return output.log_softmax(-1), None
        mean, log_std = output.chunk(2, dim=-1)
        return mean, log_std.clamp(self.config.log_std_min, self.config.log_std_max)

    def log_prob(self, distribution: tuple[Tensor, Tensor | None], action: Tensor) -> Tensor:
        """[M, N, B] of actions [M, N, B, A], or indices [M, N, B, 1]."""
        first, log_std = distribution
        if self.discrete:
            return first.gather(-1, action.long()).squeeze(-1)
        return gaussian_log_prob(first, log_std, action)

    def values(self, features: Tensor, state: Tensor) -> Tensor:
        """[M, B] values of the team."""
        return self.mixer.mix(apply_mlp(self.value, features, None).squeeze(-1), state)

    @torch.no_grad()
    def sample(self, obs: Tensor, history: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Actions, their log probabilities [M, N, B], and features.

        Args:
            noise: [M, N, B, A], standard normal; uniform in (0, 1) for discrete actions, whose
                indices [M, N, B, 1] return.
        """
        features = self.features(obs, history)
        distribution = self.distribution(features)
        if self.discrete:
            action = (
                (distribution[0] - (-noise.log()).log()).argmax(-1, keepdim=True).float()
            )  # Gumbel-max
        else:
            action = distribution[0] + distribution[1].exp() * noise
        return action, self.log_prob(distribution, action), features

    @torch.no_grad()
    def act(self, obs: Tensor, history: Tensor) -> Tensor:
        """Greedy actions: the mean clipped to [-1, 1], or indices [M, N, B, 1]."""
        first, _ = self.distribution(self.features(obs, history))
        return first.argmax(-1, keepdim=True).float() if self.discrete else first.clamp(-1, 1)

    def update(self, experience: Experience, streams: list[torch.Generator]) -> dict[str, Tensor]:
        """Several passes over an epoch's experience, whose advantages are normalised here.

        Args:
            streams: order of minibatches, one per member, on the CPU.

        Returns:
            Means over the epoch [M]: "policy", "value", "entropy", "clipped" (fraction of steps
                beyond the clip).
        """
        config, advantage = self.config, experience.advantage
        spread = advantage.std(1, keepdim=True) + 1e-3
        normalised = (advantage - advantage.mean(1, keepdim=True)) / spread
        experience = Experience(**{**vars(experience), "advantage": normalised})
        count = advantage.shape[1]
        size = min(config.minibatch, count)
        facts: dict[str, list] = {}
        for _ in range(config.passes):
            order = torch.stack([torch.randperm(count, generator=stream) for stream in streams]).to(
                advantage.device
            )
            for start in range(0, count - size + 1, size):
                for name, value in self.step(
                    experience.take(order[:, start : start + size])
                ).items():
                    facts.setdefault(name, []).append(value)
        return {name: torch.stack(values).mean(0) for name, values in facts.items()}

    def step(self, batch: Experience) -> dict[str, Tensor]:
        """One step of everything on a minibatch; the parts of the loss [M]."""
        config = self.config
        loss, entropy, facts = self.loss(batch)
        for part in self.trained:
            part.zero_grad()
        loss.sum().backward(
            inputs=[tensor for part in self.trained for tensor in part.tensors.values()]
        )
        clip_grad_norm_together(self.trained, config.max_norm)
        for adam in self.adams:
            adam.step()
        self.entropy_weight += config.entropy_rate * (config.entropy_target - entropy)
        self.entropy_weight.clamp_min_(0)
        return facts

    def loss(self, batch: Experience) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """The total loss [M], the entropy estimate [M], and parts for the record."""
        config, features = self.config, self.features(batch.obs, batch.history)
        distribution = self.distribution(features)
        log_prob, old = self.log_prob(distribution, batch.action), batch.log_prob  # [M, N, B]
        if config.ratio == "joint":
            log_prob, old = log_prob.sum(1, keepdim=True), old.sum(1, keepdim=True)
        ratio = (log_prob - old).clamp_max(LARGEST_LOG_RATIO).exp()
        clipped = ratio.clamp(1 - config.clip, 1 + config.clip)
        advantage = batch.advantage.unsqueeze(1)
        policy = -torch.minimum(ratio * advantage, clipped * advantage).sum(1).mean(-1)
        entropy = -torch.maximum(ratio * log_prob, clipped * log_prob).sum(1).mean(-1)

        value = self.values(features, batch.state)
        value_loss = (value - batch.target).square().mean(-1)
        if config.value_clip:
            near = batch.value + (value - batch.value).clamp(-config.value_clip, config.value_clip)
            value_loss = torch.maximum((near - batch.target).square().mean(-1), value_loss)
        loss = policy + config.value_weight * value_loss - self.entropy_weight * entropy
        if not self.discrete:
            beyond = (distribution[0].abs() - 1).clamp_min(0).square().sum(-1)  # [M, N, B]
            if config.ratio == "joint":
                beyond = beyond.sum(1, keepdim=True)
            # the ratio only weighs: a gradient through it would make taken actions unlikely, and
            # push means further out
            weight = torch.maximum(ratio, clipped).detach()
            loss = loss + config.bound_weight * (weight * beyond).sum(1).mean(-1)
        outside = ((ratio - 1).abs() > config.clip).float()
        facts = {
            "policy": policy,
            "value": value_loss,
            "entropy": entropy,
            "clipped": mean_over_batch(outside, 1),
        }
        return loss, entropy.detach(), {name: fact.detach() for name, fact in facts.items()}

    def state_dict(self) -> dict:
        return {
            "params": [part.flat for part in self.trained],
            "adams": [adam.state_dict() for adam in self.adams],
            "entropy_weight": self.entropy_weight,
        }

    @torch.no_grad()
    def load_state_dict(self, state: dict) -> None:
        for part, flat in zip(self.trained, state["params"], strict=True):
            part.flat.copy_(flat)
        for adam, saved in zip(self.adams, state["adams"], strict=True):
            adam.load_state_dict(saved)
        self.entropy_weight.copy_(state["entropy_weight"])
