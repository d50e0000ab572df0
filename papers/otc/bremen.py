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
from dataclasses import dataclass

import torch
from torch import Tensor

from common.learning.kernels import stacked_mlp_reference
from common.learning.networks import apply_mlp, mlp_parameters
from common.learning.population import (
    Adam,
    Parameters,
    generators,
    mean_over_batch,
    normal_,
    per_member,
)
from common.learning.replay import Batch


@dataclass(frozen=True)
class BREMENConfig:
    """Networks and learning rates of OTC's Table 3; the rest from BREMEN's code, for episodes of 25
    steps.
    """

    hidden: int = 256
    actor_lr: float = 1e-4  # of behaviour cloning
    critic_lr: float = 5e-4  # of the value function
    model_lr: float = 1e-3
    gamma: float = 0.99
    gae: float = 0.95
    models: int = 5
    initial_std: float = 0.1
    horizon: int = 25  # of an imagined rollout
    rollouts: int = 200  # imagined together, per trust-region step
    iterations: int = (
        25  # trust-region steps, after the offline phase and after each deployment's updates
    )
    value_updates: int = 5  # of the value function per trust-region step
    max_kl: float = 0.01
    damping: float = 0.1
    conjugate_steps: int = 10
    backtracks: int = 10


def advantages(reward: Tensor, value: Tensor, gamma: float, gae: float) -> Tensor:
    """Generalised advantage estimates [T, ...] (Schulman et al., 2016) of rollouts that the clock
    cuts.

    Args:
        reward: [T, ...]; value: [T + 1, ...], the last one bootstraps.
    """
    found, last = torch.empty_like(reward), 0.0
    for t in reversed(range(len(reward))):
        last = reward[t] + gamma * value[t + 1] - value[t] + gamma * gae * last
        found[t] = last
    return found


def conjugate_gradient(product, right: Tensor, steps: int) -> Tensor:
    """x [M, N, P] with F x = right, for every member and agent by itself; product: v -> F v."""
    x, residual = torch.zeros_like(right), right.clone()
    direction, squared = residual.clone(), residual.square().sum(-1, keepdim=True)
    for _ in range(steps):
        image = product(direction)
        step = squared / (direction * image).sum(-1, keepdim=True).clamp_min(1e-20)
        x, residual = x + step * direction, residual - step * image
        fresh = residual.square().sum(-1, keepdim=True)
        direction, squared = residual + fresh / squared.clamp_min(1e-20) * direction, fresh
    return x


class BREMEN:
    """Models, policies and value functions, one set per member and agent.

    Args:
        seeds: one per member.
        obs_dims: observation size of each agent, all equal.
        moments: mean and standard deviation [M, N, O] of the offline observations; inputs are
            standardised by them.
    """

    def __init__(
        self,
        seeds,
        obs_dims: list[int],
        action_dim: int,
        config: BREMENConfig,
        moments,
        device="cpu",
    ):
        self.config, self.obs_dim, self.action_dim, self.device = (
            config,
            obs_dims[0],
            action_dim,
            device,
        )
        self.mean, self.scale = (part.unsqueeze(2) for part in moments)
        self.scale = self.scale + 1e-3

        def network(purpose: str, extra: int, outputs: int, heads=None) -> Parameters:
            sizes = [dim + extra for dim in obs_dims]
            streams = generators(seeds, purpose)
            tensors = mlp_parameters(
                streams, sizes, sizes[0], config.hidden, outputs, heads=heads, input_norm=False
            )
            if purpose == "actor":
                shape = (len(seeds), len(obs_dims), action_dim)
                tensors["log_std"] = torch.full(shape, math.log(config.initial_std))
            return Parameters({name: tensor.to(device) for name, tensor in tensors.items()})

        self.model = network("model", action_dim, self.obs_dim + 1, config.models)
        self.actor, self.critic = network("actor", 0, action_dim), network("critic", 0, 1)
        self.adams = {
            name: Adam(getattr(self, name), per_member(lr, len(seeds), device))
            for name, lr in (
                ("model", config.model_lr),
                ("actor", config.actor_lr),
                ("critic", config.critic_lr),
            )
        }
        self.streams = generators(seeds, "noise", device)
        self.choices = generators(seeds, "imagination")
        self.cloning = True  # until the first trust-region step

    def standardise(self, obs: Tensor) -> Tensor:
        return (obs - self.mean) / self.scale

    def predict(self, obs: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """Next observations [M, N, E, B, O] and rewards [M, N, E, B] by every model."""
        out = apply_mlp(self.model, torch.cat([self.standardise(obs), action], -1), None)
        change, reward = out.split([self.obs_dim, 1], dim=-1)
        return obs.unsqueeze(2) + change * self.scale.unsqueeze(2), reward.squeeze(-1)

    def model_loss(self, batch: Batch) -> Tensor:
        """[M, N] squared errors of standardised change and of reward, summed over models."""
        out = apply_mlp(
            self.model, torch.cat([self.standardise(batch.obs), batch.action], -1), None
        )
        change = (batch.next_obs - batch.obs) / self.scale
        target = torch.cat([change, batch.reward.unsqueeze(-1)], -1).unsqueeze(2)
        return mean_over_batch((out - target).square().mean(-1).sum(2))

    def update(self, batch: Batch) -> None:
        """One step of the models; in the offline phase also one of behaviour cloning."""
        self._descend("model", self.model_loss(batch))
        if self.cloning:
            self._descend(
                "actor", mean_over_batch((self.mean_action(batch.obs) - batch.action).square())
            )
        self.last_obs = batch.obs

    def mean_action(self, obs: Tensor) -> Tensor:
        return apply_mlp(self.actor, self.standardise(obs), None)

    def value(self, obs: Tensor, streams=None, samples: int = 1) -> Tensor:
        """[M, N, B] expected return of the policy in imagination."""
        return apply_mlp(self.critic, self.standardise(obs), None).squeeze(-1)

    @torch.no_grad()
    def imagine(self, start: Tensor) -> dict[str, Tensor]:
        """Rollouts from observations [M, N, B, O] with sampled actions and a model drawn at every
        step: [T, M, N, B, ...].
        """
        config, obs, rows = self.config, start, {"obs": [], "action": [], "reward": [], "value": []}
        std = self.actor["log_std"].exp().unsqueeze(2)
        for _ in range(config.horizon):
            action = self.mean_action(obs) + std * normal_(
                obs.new_empty(*obs.shape[:-1], self.action_dim), self.streams
            )
            next_obs, reward = self.predict(obs, action.clamp(-1, 1))
            shape = obs.shape[1:3]
            which = torch.stack(
                [torch.randint(config.models, shape, generator=s) for s in self.choices]
            ).to(self.device)
            pick = which.unsqueeze(2)  # [M, N, 1, B]
            for name, part in (("obs", obs), ("action", action), ("value", self.value(obs))):
                rows[name].append(part)
            rows["reward"].append(reward.gather(2, pick).squeeze(2))
            obs = next_obs.gather(
                2, pick.unsqueeze(-1).expand(-1, -1, -1, -1, self.obs_dim)
            ).squeeze(2)
        rows["value"].append(self.value(obs))
        return {name: torch.stack(values) for name, values in rows.items()}

    def improve(self) -> None:
        """Trust-region steps in imagination, from the observations that the models were last fitted
        to.
        """
        self.cloning = False
        config = self.config
        for _ in range(config.iterations):
            count = self.last_obs.shape[2]
            shape = (self.last_obs.shape[1], config.rollouts)
            index = torch.stack(
                [torch.randint(count, shape, generator=s) for s in self.choices]
            ).to(self.device)
            start = self.last_obs.gather(2, index.unsqueeze(-1).expand(-1, -1, -1, self.obs_dim))
            rows = self.imagine(start)
            gains = advantages(rows["reward"], rows["value"], config.gamma, config.gae)
            flat = {
                name: values.permute(1, 2, 0, 3, *range(4, values.ndim)).flatten(2, 3)
                for name, values in rows.items()
            }
            gain = gains.permute(1, 2, 0, 3).flatten(2, 3)  # [M, N, T B]
            targets = gain + flat["value"][:, :, : gain.shape[2]]
            for _ in range(config.value_updates):
                self._descend(
                    "critic", mean_over_batch((self.value(flat["obs"]) - targets).square())
                )
            gain = (gain - gain.mean(-1, keepdim=True)) / (gain.std(-1, keepdim=True) + 1e-8)
            self.trust_region_step(flat["obs"], flat["action"], gain)

    def trust_region_step(self, obs: Tensor, action: Tensor, gain: Tensor) -> Tensor:
        """One TRPO step (Schulman et al., 2015) of every policy by itself; returns the divergence
        [M, N] it caused.

        Args:
            obs: [M, N, B, O]; action: [M, N, B, A]; gain: [M, N, B], advantages.
        """
        config, x = self.config, self.standardise(obs)
        names = list(self.actor.tensors)
        start = {name: tensor.detach().clone() for name, tensor in self.actor.tensors.items()}

        def distribution(tensors: dict) -> tuple[Tensor, Tensor]:
            weights = [
                tensors[name] if name[0] == "w" else tensors[name].unsqueeze(-2)
                for name in names[:6]
            ]
            return stacked_mlp_reference(x, *weights), tensors["log_std"].unsqueeze(2)

        def log_prob(mean: Tensor, log_std: Tensor) -> Tensor:
            return (-0.5 * ((action - mean) / log_std.exp()).square() - log_std).sum(-1)

        with torch.no_grad():
            old_mean, old_log_std = distribution(start)
            old = log_prob(old_mean, old_log_std)

        def surrogate(tensors: dict) -> Tensor:
            return mean_over_batch((log_prob(*distribution(tensors)) - old).exp() * gain)

        def divergence(tensors: dict) -> Tensor:
            mean, log_std = distribution(tensors)
            spread = ((2 * old_log_std).exp() + (old_mean - mean).square()) / (
                2 * (2 * log_std).exp()
            )
            return mean_over_batch((log_std - old_log_std + spread - 0.5).sum(-1))

        def flat(parts) -> Tensor:
            return torch.cat([part.flatten(2) for part in parts], dim=-1)  # [M, N, P]

        leaves = {name: tensor.clone().requires_grad_() for name, tensor in start.items()}
        ascent = flat(torch.autograd.grad(surrogate(leaves).sum(), list(leaves.values())))
        slope = flat(
            torch.autograd.grad(divergence(leaves).sum(), list(leaves.values()), create_graph=True)
        )

        def product(vector: Tensor) -> Tensor:
            parts = torch.autograd.grad(
                (slope * vector).sum(), list(leaves.values()), retain_graph=True
            )
            return flat(parts) + config.damping * vector

        direction = conjugate_gradient(product, ascent, config.conjugate_steps)
        curvature = (direction * product(direction)).sum(-1, keepdim=True)
        step = (2 * config.max_kl / curvature.clamp_min(1e-20)).sqrt() * direction
        sizes = [tensor[0, 0].numel() for tensor in start.values()]
        caused = torch.zeros_like(gain[..., 0])
        with torch.no_grad():
            before, taken = surrogate(start), torch.zeros_like(caused, dtype=torch.bool)
            for power in range(config.backtracks):
                moves = (0.5**power * step).split(sizes, dim=-1)
                tried = {
                    n: t + move.view(t.shape)
                    for (n, t), move in zip(start.items(), moves, strict=True)
                }
                apart = divergence(tried)
                good = (surrogate(tried) > before) & (apart <= 1.5 * config.max_kl) & ~taken
                for name, tensor in tried.items():
                    mask = good.view(*good.shape, *[1] * (tensor.ndim - 2))
                    self.actor.tensors[name].copy_(
                        torch.where(mask, tensor, self.actor.tensors[name])
                    )
                caused, taken = torch.where(good, apart, caused), taken | good
        return caused

    def _descend(self, name: str, loss: Tensor) -> None:
        params = getattr(self, name)
        params.zero_grad()
        loss.sum().backward(
            inputs=[tensor for key, tensor in params.tensors.items() if key != "log_std"]
        )
        self.adams[name].step()

    @torch.no_grad()
    def act(self, obs: Tensor, streams=None) -> Tensor:
        """[M, N, B, A] the policy's mean actions."""
        return self.mean_action(obs).clamp(-1, 1)

    def state_dict(self) -> dict:
        return {
            **{name: getattr(self, name).flat for name in self.adams},
            "adams": {name: adam.state_dict() for name, adam in self.adams.items()},
            "noise": [stream.get_state() for stream in self.streams],
            "choices": [stream.get_state() for stream in self.choices],
            "cloning": self.cloning,
            "last_obs": getattr(self, "last_obs", None),
        }

    @torch.no_grad()
    def load_state_dict(self, state: dict) -> None:
        for name, adam in self.adams.items():
            getattr(self, name).flat.copy_(state[name])
            adam.load_state_dict(state["adams"][name])
        for streams, saved in ((self.streams, state["noise"]), (self.choices, state["choices"])):
            for stream, one in zip(streams, saved, strict=True):
                stream.set_state(one)
        self.cloning = state["cloning"]
        if state["last_obs"] is not None:
            self.last_obs = state["last_obs"]
