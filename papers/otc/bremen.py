"""BREMEN (Matsushima et al., ICLR 2021) on a population, every agent by itself, adapted as OTC's
Section 4.4 says.

An ensemble of models of (s, a_i) -> (s', r) is fitted to data; the policy starts from behaviour
cloning and improves by trust-region steps on rollouts imagined with the models. Here it is trained
on the offline data first and then tuned, not trained anew, and the reward is learnt with the
dynamics (the original knows it). OTC chooses what the models are fitted to.

Axes: M members, N agents, E models, B batch, T steps of a rollout, O observation, A action, P
policy parameters.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from common.learning.kernels import stacked_mlp, stacked_mlp_reference
from common.learning.learner import Learner
from common.learning.networks import apply_mlp, first_layer, layers, mlp_parameters
from common.learning.philox import Streams
from common.learning.population import generators, mean_over_batch
from common.learning.ranges import Count, Positive, Share
from common.learning.replay import Batch

LAYERS = ("w1", "b1", "w2", "b2", "w3", "b3")


@dataclass(frozen=True)
class BREMENConfig:
    """Networks and learning rates of OTC's Table 3; the rest from BREMEN's code, for episodes of 25
    steps.
    """

    hidden: Count = 256
    actor_lr: Positive = 1e-4  # of behaviour cloning
    critic_lr: Positive = 5e-4  # of the value function
    model_lr: Positive = 1e-3
    gamma: Share = 0.99
    gae: Share = 0.95
    models: Count = 5
    initial_std: Positive = 0.1
    horizon: Count = 25  # of an imagined rollout
    rollouts: Count = 200  # imagined together, per trust-region step
    # Trust-region steps after the offline phase: cloned random policies stand still, and nearly so
    # after 25; in predator-prey the prey is caught about once an episode after 300
    first_iterations: Count = 300
    iterations: Count = 25  # and after each deployment, as in BREMEN's code
    value_updates: Count = 5  # of the value function per trust-region step
    max_kl: Positive = 0.05  # BREMEN's code has 0.01 to 0.1
    damping: Positive = 0.1
    conjugate_steps: Count = 10
    backtracks: Count = 10


def advantages(reward: Tensor, value: Tensor, gamma: float, gae: float) -> Tensor:
    """Generalised advantage estimates [T, ...] (Schulman et al., 2016) of rollouts that the clock
    cuts.

    Args:
        reward: [T, ...]; value: [T + 1, ...], the last one bootstraps.
    """
    gains = torch.empty_like(reward)
    last = torch.zeros_like(reward[0])
    for t in reversed(range(len(reward))):
        last = reward[t] + gamma * value[t + 1] - value[t] + gamma * gae * last
        gains[t] = last
    return gains


def conjugate_gradient(product: Callable[[Tensor], Tensor], right: Tensor, steps: int) -> Tensor:
    """x [M, N, P] with F x = right, for every member and agent by itself; product: v -> F v."""
    x = torch.zeros_like(right)
    residual = right.clone()
    direction = residual.clone()
    squared = residual.square().sum(-1, keepdim=True)
    for _ in range(steps):
        image = product(direction)
        step = squared / (direction * image).sum(-1, keepdim=True).clamp_min(1e-20)
        x = x + step * direction
        residual = residual - step * image
        fresh = residual.square().sum(-1, keepdim=True)
        direction = residual + fresh / squared.clamp_min(1e-20) * direction
        squared = fresh
    return x


def distribution(policy: dict[str, Tensor], obs: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [M, N, B, A] and log standard deviation [M, N, 1, A] of a policy given by its tensors.

    In plain torch, which can be differentiated twice.
    """
    w1, b1, w2, b2, w3, b3 = (policy[name].contiguous() for name in LAYERS)
    biases = [b.unsqueeze(-2) for b in (b1, b2, b3)]
    mean = stacked_mlp_reference(obs, w1, biases[0], w2, biases[1], w3, biases[2])
    return mean, policy["log_std"].unsqueeze(2)


def log_density(mean: Tensor, log_std: Tensor, action: Tensor) -> Tensor:
    """[M, N, B] of a Gaussian, but for its constant."""
    return (-0.5 * ((action - mean) / log_std.exp()).square() - log_std).sum(-1)


def divergence(old_mean: Tensor, old_log_std: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """[M, N] Kullback-Leibler divergence of Gaussian policies from old ones, batch mean."""
    squares = (2 * old_log_std).exp() + (old_mean - mean).square()
    spread = squares / (2 * (2 * log_std).exp())
    return mean_over_batch((log_std - old_log_std + spread - 0.5).sum(-1))


class BREMEN(Learner):
    """Models ("model"), policies ("actor") and value functions ("critic"), one set per member and
    agent.

    Args:
        seeds: one per member.
        obs_dims: observation size of each agent, all equal.
        moments: mean and standard deviation [M, N, O] of the offline observations; inputs are
            standardised by them.
    """

    def __init__(
        self,
        seeds: list[int],
        obs_dims: list[int],
        action_dim: int,
        config: BREMENConfig,
        moments: list[Tensor],
        device: str = "cpu",
    ):
        super().__init__(seeds, device)
        self.config = config
        self.obs_dim = obs_dims[0]
        self.action_dim = action_dim
        mean, std = moments
        self.mean = mean.unsqueeze(2)
        self.scale = std.unsqueeze(2) + 1e-3

        def network(
            purpose: str, extra: int, outputs: int, heads: int | None = None
        ) -> dict[str, Tensor]:
            sizes = [dim + extra for dim in obs_dims]
            return mlp_parameters(
                generators(seeds, purpose),
                sizes,
                sizes[0],
                config.hidden,
                outputs,
                heads=heads,
                input_norm=False,
            )

        self.hold(
            "model", network("model", action_dim, self.obs_dim + 1, config.models), config.model_lr
        )
        spread = torch.full((len(seeds), len(obs_dims), action_dim), math.log(config.initial_std))
        self.hold("actor", network("actor", 0, action_dim) | {"log_std": spread}, config.actor_lr)
        self.hold("critic", network("critic", 0, 1), config.critic_lr)
        self.choices = Streams(seeds, "imagination", device)
        self.others["choices"] = self.choices
        # cloning: until the first trust-region step; last_obs: what the models were last fitted to
        self.notes.update(cloning=True, last_obs=None)

    def standardise(self, obs: Tensor) -> Tensor:
        """obs [M, N, B, O] by the offline data's moments."""
        return (obs - self.mean) / self.scale

    def model_outputs(self, obs: Tensor, action: Tensor) -> Tensor:
        """[M, N, E, B, O + 1] standardised change and reward by every model."""
        return apply_mlp(self.networks["model"], self.model_inputs(obs, action), None)

    def predict(self, obs: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """Next observations [M, N, E, B, O] and rewards [M, N, E, B] by every model."""
        outputs = self.model_outputs(obs, action)
        change, reward = outputs.split([self.obs_dim, 1], dim=-1)
        return obs.unsqueeze(2) + change * self.scale.unsqueeze(2), reward.squeeze(-1)

    def model_loss(self, batch: Batch) -> Tensor:
        """[M, N] squared errors of standardised change and of reward, summed over models: each on
        its own share of the rows, in the order of the models.
        """
        models = self.networks["model"]
        inputs = self.model_inputs(batch.obs, batch.action)
        outputs = stacked_mlp(self.shared_out(inputs), *layers(models, first_layer(models, None)))
        change = (batch.next_obs - batch.obs) / self.scale
        target = self.shared_out(torch.cat([change, batch.reward.unsqueeze(-1)], -1))
        return mean_over_batch((outputs - target).square().mean(-1).sum(2))

    def shared_out(self, rows: Tensor) -> Tensor:
        """Rows [M, N, E B, F] by model, [M, N, E, B, F]."""
        return rows.unflatten(2, (self.config.models, -1)).contiguous()

    def model_inputs(self, obs: Tensor, action: Tensor) -> Tensor:
        """[M, N, B, O + A] what models see."""
        return torch.cat([self.standardise(obs), action], -1)

    def update(self, batch: Batch) -> None:
        """One step of the models; in the offline phase also one of behaviour cloning, on the first
        model's rows.
        """
        self.descend(self.model_loss(batch), "model")
        if self.notes["cloning"]:
            rows = batch.obs.shape[2] // self.minibatches
            error = self.mean_action(batch.obs[:, :, :rows]) - batch.action[:, :, :rows]
            self.descend(mean_over_batch(error.square()), "actor")
        self.notes["last_obs"] = batch.obs

    @property
    def minibatches(self) -> int:
        """Minibatches of an update, side by side in its batch: one for every model."""
        return self.config.models

    def mean_action(self, obs: Tensor) -> Tensor:
        """[M, N, B, A] the policy's mean, not clipped."""
        return apply_mlp(self.networks["actor"], self.standardise(obs), None)

    def value(self, obs: Tensor, streams: Streams | None = None, samples: int = 1) -> Tensor:
        """[M, N, B] expected return of the policy in imagination."""
        return apply_mlp(self.networks["critic"], self.standardise(obs), None).squeeze(-1)

    @torch.no_grad()
    def imagine(self, start: Tensor) -> dict[str, Tensor]:
        """Rollouts from observations [M, N, B, O] with sampled actions and a model drawn at every
        step: [T, M, N, B, ...].
        """
        std = self.networks["actor"]["log_std"].exp().unsqueeze(2)
        obs = start
        steps: dict[str, list[Tensor]] = {"obs": [], "action": [], "reward": [], "value": []}
        for _ in range(self.config.horizon):
            noise = self.normal(*obs.shape[1:-1], self.action_dim)
            action = self.mean_action(obs) + std * noise
            next_obs, reward = self.predict(obs, action.clamp(-1, 1))
            model = self.choices.integers(self.config.models, obs.shape[1:3])
            model = model.unsqueeze(2)  # [M, N, 1, B]
            steps["obs"].append(obs)
            steps["action"].append(action)
            steps["reward"].append(reward.gather(2, model).squeeze(2))
            steps["value"].append(self.value(obs))
            index = model.unsqueeze(-1).expand(-1, -1, -1, -1, self.obs_dim)
            obs = next_obs.gather(2, index).squeeze(2)
        steps["value"].append(self.value(obs))
        return {name: torch.stack(column) for name, column in steps.items()}

    def improve(self) -> None:
        """Trust-region steps in imagination, from the observations that the models were last fitted
        to.
        """
        config, last_obs = self.config, self.notes["last_obs"]
        first = self.notes["cloning"]
        self.notes["cloning"] = False
        for _ in range(config.first_iterations if first else config.iterations):
            agents, count = last_obs.shape[1:3]
            index = self.choices.integers(count, (agents, config.rollouts))
            start = last_obs.gather(2, index.unsqueeze(-1).expand(-1, -1, -1, self.obs_dim))
            rollouts = self.imagine(start)
            gain = advantages(rollouts["reward"], rollouts["value"], config.gamma, config.gae)
            gain = side_by_side(gain)
            obs = side_by_side(rollouts["obs"])
            targets = gain + side_by_side(rollouts["value"])[:, :, : gain.shape[2]]
            for _ in range(config.value_updates):
                self.descend(mean_over_batch((self.value(obs) - targets).square()), "critic")
            gain = (gain - gain.mean(-1, keepdim=True)) / (gain.std(-1, keepdim=True) + 1e-8)
            self.trust_region_step(obs, side_by_side(rollouts["action"]), gain)

    def trust_region_step(self, obs: Tensor, action: Tensor, gain: Tensor) -> Tensor:
        """One TRPO step (Schulman et al., 2015) of every policy by itself; returns the divergence
        [M, N] it caused.

        Args:
            obs: [M, N, B, O]; action: [M, N, B, A]; gain: [M, N, B], advantages.
        """
        config, x = self.config, self.standardise(obs)
        actor = self.networks["actor"]
        with torch.no_grad():
            old = distribution(actor.split(actor.flat), x)
            old_log_density = log_density(*old, action)

        def surrogate(flat: Tensor) -> Tensor:
            log_ratio = log_density(*distribution(actor.split(flat), x), action) - old_log_density
            return mean_over_batch(log_ratio.exp() * gain)

        def moved(flat: Tensor) -> Tensor:
            return divergence(*old, *distribution(actor.split(flat), x))

        flat = actor.flat.clone().requires_grad_()  # [M, N, P]
        (ascent,) = torch.autograd.grad(surrogate(flat).sum(), flat)
        (slope,) = torch.autograd.grad(moved(flat).sum(), flat, create_graph=True)

        def product(vector: Tensor) -> Tensor:
            (image,) = torch.autograd.grad((slope * vector).sum(), flat, retain_graph=True)
            return image + config.damping * vector

        direction = conjugate_gradient(product, ascent, config.conjugate_steps)
        curvature = (direction * product(direction)).sum(-1, keepdim=True)
        step = (2 * config.max_kl / curvature.clamp_min(1e-20)).sqrt() * direction
        return self.search_along(step, surrogate, moved)

    @torch.no_grad()
    def search_along(
        self,
        step: Tensor,
        surrogate: Callable[[Tensor], Tensor],
        moved: Callable[[Tensor], Tensor],
    ) -> Tensor:
        """Takes the first of step, step / 2, step / 4... that improves the surrogate within the
        trust region, every policy by itself; returns the divergence [M, N], 0 where none does.
        """
        actor = self.networks["actor"]
        start = actor.flat.clone()
        before = surrogate(start)
        caused = torch.zeros_like(before)
        taken = torch.zeros_like(before, dtype=torch.bool)
        for halvings in range(self.config.backtracks):
            tried = start + 0.5**halvings * step
            distance = moved(tried)
            inside = distance <= 1.5 * self.config.max_kl
            good = (surrogate(tried) > before) & inside & ~taken
            actor.flat.copy_(torch.where(good.unsqueeze(-1), tried, actor.flat))
            caused = torch.where(good, distance, caused)
            taken = taken | good
        return caused

    @torch.no_grad()
    def act(self, obs: Tensor, streams: Streams | None = None) -> Tensor:
        """[M, N, B, A] the policy's mean actions."""
        return self.mean_action(obs).clamp(-1, 1)

    def part(self, members: slice) -> Self:
        """As `Learner.part`, with the part's own moments."""
        some = super().part(members)
        some.mean = self.mean[members]
        some.scale = self.scale[members]
        return some


def side_by_side(steps: Tensor) -> Tensor:
    """Rollouts [T, M, N, B, ...] as rows [M, N, T B, ...]."""
    return steps.permute(1, 2, 0, 3, *range(4, steps.ndim)).flatten(2, 3)
