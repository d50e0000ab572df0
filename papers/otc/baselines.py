"""AWAC (Nair et al., 2020) on a population, every agent by itself. BCQ and TD3+BC are in common/.

A learner of online tuning has `update(batch)`, `act(obs, streams)` (what is deployed: no
exploration), `q(obs, action)` (the first critic), `value(obs, streams, samples)` and `state_dict`,
`load_state_dict`.

Axes: M members, N agents, E = 2 critic heads, B batch, O observation, A action.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from common.learning.learner import Learner
from common.learning.losses import gaussian_log_prob, td_loss, td_target
from common.learning.networks import TwinCritics, apply_mlp, mlp_parameters
from common.learning.philox import Streams
from common.learning.population import generators, mean_over_batch
from common.learning.ranges import Count, NotNegative, Positive, Share
from common.learning.replay import Batch

LOG_STD_RANGE = (-6.0, 0.0)  # as in rlkit's launchers


@dataclass(frozen=True)
class AWACConfig:
    """Networks and learning rates of OTC's Table 3, the rest as in rlkit and CORL."""

    hidden: Count = 64
    actor_lr: Positive = 1e-4
    critic_lr: Positive = 5e-4
    gamma: Share = 0.99
    tau: Share = 0.005
    temperature: Positive = 1.0  # lambda: the advantage is divided by it
    max_weight: Positive = 100.0
    weight_decay: NotNegative = 1e-4  # of the policy


def advantage_weights(q: Tensor, value: Tensor, temperature: float, max_weight: float) -> Tensor:
    """exp(A / lambda), at most max_weight, A = Q(s, a) - V(s): [M, N, B] from [M, N, B]."""
    return ((q - value) / temperature).exp().clamp_max(max_weight)


class AWAC(Learner):
    """Gaussian policies with state-independent spread ("actor") and twin critics, one per member
    and agent.

    Args:
        seeds: one per member.
        obs_dims: true observation size of each agent.
    """

    def __init__(
        self,
        seeds: list[int],
        obs_dims: list[int],
        action_dim: int,
        config: AWACConfig,
        device="cpu",
    ):
        super().__init__(seeds, device)
        self.config = config
        padded = max(obs_dims)
        actor = mlp_parameters(
            generators(seeds, "actor"),
            obs_dims,
            padded,
            config.hidden,
            action_dim,
            input_norm=False,
        )
        actor["log_std_logits"] = torch.zeros(len(seeds), len(obs_dims), action_dim)
        self.hold("actor", actor, config.actor_lr, weight_decay=config.weight_decay)
        self.critics = TwinCritics(
            generators(seeds, "critic"),
            [dim + action_dim for dim in obs_dims],
            padded + action_dim,
            config.hidden,
            False,
            device,
        )
        self.hold("critic", self.critics.params, config.critic_lr, target=True)

    def distribution(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Mean [M, N, B, A] and log standard deviation [M, N, 1, A] of the policy."""
        actor = self.networks["actor"]
        low, high = LOG_STD_RANGE
        log_std = low + (high - low) * actor["log_std_logits"].sigmoid()
        return apply_mlp(actor, obs, None), log_std.unsqueeze(2)

    @torch.no_grad()
    def sample(self, obs: Tensor, streams: Streams) -> Tensor:
        """Actions [M, N, B, A], clipped to [-1, 1]."""
        mean, log_std = self.distribution(obs)
        noise = streams.normal(mean.shape[1:])
        return (mean + log_std.exp() * noise).clamp(-1, 1)

    def update(self, batch: Batch) -> None:
        """One step of the critics and the policy."""
        config, obs = self.config, batch.obs
        with torch.no_grad():
            next_action = self.sample(batch.next_obs, self.streams)
            next_q = self.critics.values(batch.next_obs, next_action, self.targets["critic"])
            target = td_target(batch.reward, batch.terminal, next_q, config.gamma)
        self.descend(td_loss(self.critics.values(obs, batch.action), target), "critic")

        with torch.no_grad():
            q = self.critics.values(obs, batch.action).amin(2)
            value = self.critics.values(obs, self.sample(obs, self.streams)).amin(2)
            weights = advantage_weights(q, value, config.temperature, config.max_weight)
        log_prob = gaussian_log_prob(*self.distribution(obs), batch.action)
        self.descend(-mean_over_batch(weights * log_prob), "actor")
        self.follow(config.tau)

    @torch.no_grad()
    def act(self, obs: Tensor, streams=None) -> Tensor:
        """[M, N, B, A] the policy's mean actions."""
        return self.distribution(obs)[0].clamp(-1, 1)

    @torch.no_grad()
    def q(self, obs: Tensor, action: Tensor) -> Tensor:
        """[M, N, B] values of the first critic."""
        return self.critics.values(obs, action, self.networks["critic"], head=0)

    @torch.no_grad()
    def value(self, obs: Tensor, streams: Streams, samples: int) -> Tensor:
        """[M, N, B] mean value of `samples` actions of the policy."""
        repeated = obs.repeat_interleave(samples, dim=2)
        q = self.q(repeated, self.sample(repeated, streams))
        return q.unflatten(-1, (-1, samples)).mean(-1)
