"""MA-CQL and OMAR of one agent with torch's own modules and optimiser, as the authors run them.

The package trains all agents and seeds as one population (omar.py). This is the same algorithm, an
agent at a time: tests hold the population against it, and timing.py times it. Particle worlds and
independent critics only.

Axes: B batch, K samples, O observation, A action.
"""

import copy
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from common.learning.losses import uniform_log_density
from papers.omar.omar import BackboneConfig, MACQLConfig, OMARConfig

Draw = Callable[[tuple[int, ...]], Tensor]


class Rows(NamedTuple):
    """An agent's minibatch: obs, next_obs [B, O], action [B, A], reward, terminal [B]."""

    obs: Tensor
    action: Tensor
    reward: Tensor
    next_obs: Tensor
    terminal: Tensor


def perceptron(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Two hidden ReLU layers."""
    first = nn.Linear(inputs, hidden)
    second = nn.Linear(hidden, hidden)
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.Linear(hidden, outputs))


class Policy(nn.Module):
    """Deterministic policy with a BatchNorm input."""

    def __init__(self, obs_dim: int, hidden: int, action_dim: int):
        super().__init__()
        self.norm = nn.BatchNorm1d(obs_dim)
        self.body = perceptron(obs_dim, hidden, action_dim)
        last = self.body[-1]
        assert isinstance(last, nn.Linear)
        nn.init.uniform_(last.weight, -3e-3, 3e-3)

    def forward(self, obs: Tensor) -> Tensor:
        """[B, A] actions in [-1, 1]."""
        return self.body(self.norm(obs)).tanh()


class Twin(nn.Module):
    """Two heads behind one BatchNorm input."""

    def __init__(self, obs_dim: int, hidden: int, action_dim: int):
        super().__init__()
        self.norm = nn.BatchNorm1d(obs_dim + action_dim)
        self.heads = nn.ModuleList(perceptron(obs_dim + action_dim, hidden, 1) for _ in range(2))

    def forward(self, obs: Tensor, action: Tensor) -> list[Tensor]:
        """[B] values of both heads."""
        inputs = self.norm(torch.cat([obs, action], dim=-1))
        return [head(inputs).squeeze(-1) for head in self.heads]

    def first(self, obs: Tensor, action: Tensor) -> Tensor:
        """[B] values of the first head."""
        return self.heads[0](self.norm(torch.cat([obs, action], dim=-1))).squeeze(-1)


class PlainAgent:
    """One agent, its networks, targets and optimisers.

    Args:
        config: OMAR's, or MA-CQL's for an actor that follows the gradient alone.
        uniform: draws from [-1, 1] of a shape; normal: standard normal ones.
    """

    def __init__(
        self,
        obs_dim: int,
        action_dim: int,
        backbone: BackboneConfig,
        config: MACQLConfig,
        uniform: Draw,
        normal: Draw,
        device: str = "cpu",
    ):
        self.backbone = backbone
        self.config = config
        self.uniform = uniform
        self.normal = normal
        self.policy = Policy(obs_dim, backbone.hidden, action_dim).to(device)
        self.critic = Twin(obs_dim, backbone.hidden, action_dim).to(device)
        self.target_policy = copy.deepcopy(self.policy)
        self.target_critic = copy.deepcopy(self.critic)
        self.policy_optimiser = torch.optim.Adam(self.policy.parameters(), backbone.actor_lr)
        self.critic_optimiser = torch.optim.Adam(self.critic.parameters(), backbone.critic_lr)

    def update(self, rows: Rows) -> None:
        """A critic step, then an actor step; targets follow by themselves (`follow`)."""
        self.descend(self.critic_loss(rows), self.critic, self.critic_optimiser)
        self.descend(self.actor_loss(rows), self.policy, self.policy_optimiser)

    def descend(self, loss: Tensor, network: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        """One clipped step."""
        optimiser.zero_grad()
        loss.backward()
        if self.backbone.grad_clip is not None:
            nn.utils.clip_grad_norm_(network.parameters(), self.backbone.grad_clip)
        optimiser.step()

    def critic_loss(self, rows: Rows) -> Tensor:
        """Eq. 1 for both heads, with uniform actions."""
        with torch.no_grad():
            next_action = self.target_policy(rows.next_obs)
            next_q = torch.minimum(*self.target_critic(rows.next_obs, next_action))
            target = rows.reward + self.backbone.gamma * (1 - rows.terminal) * next_q
        count, size = len(rows.obs), rows.action.shape[-1]
        samples = self.uniform((count, self.config.cql_samples, size))
        sampled_q = self.at_samples(self.critic, rows.obs, samples)
        loss = torch.zeros((), device=rows.obs.device)
        for q, others in zip(self.critic(rows.obs, rows.action), sampled_q, strict=True):
            others = others.view(count, -1) - uniform_log_density(size)
            gap = (others.logsumexp(1) - q).mean()
            loss = loss + nn.functional.mse_loss(q, target) + self.config.alpha * gap
        return loss

    @staticmethod
    def at_samples(value: Callable, obs: Tensor, samples: Tensor):
        """`value` of obs [B, O] and samples [B, K, A], as one batch of B K rows."""
        repeated = obs.repeat_interleave(samples.shape[1], dim=0)
        return value(repeated, samples.flatten(0, 1))

    def actor_loss(self, rows: Rows) -> Tensor:
        """Minus Eq. 2, or the plain policy gradient, and the penalty on actions."""
        action = self.policy(rows.obs)
        q = self.critic.first(rows.obs, action)
        penalty = self.backbone.action_penalty * action.square().mean()
        if not isinstance(self.config, OMARConfig):
            return penalty - q.mean()
        a_hat = self.best_action(rows.obs, action, q)
        distance = nn.functional.mse_loss(action, a_hat)
        coefficient = self.config.coefficient
        return penalty + coefficient * distance - (1 - coefficient) * q.mean()

    def best_action(self, obs: Tensor, action: Tensor, q: Tensor) -> Tensor:
        """[B, A] a_hat: lines 7 to 12 of Algorithm 1, with the released sigma."""
        config = self.config
        assert isinstance(config, OMARConfig)
        mean = torch.full_like(action, config.mean)
        std = torch.full_like(action, config.std)
        for _ in range(config.iterations):
            noise = self.normal((len(obs), config.samples, action.shape[1]))
            samples = (mean[:, None] + std[:, None] * noise).clamp(-1, 1)
            sampled_q = self.at_samples(self.critic.first, obs, samples).view(len(obs), -1)
            weights = (config.beta * sampled_q).softmax(1)[..., None]
            mean = (weights * samples).sum(1).detach()
            std = (samples - mean[:, None]).square().mean(1).sqrt()
        values = torch.cat([q[:, None], sampled_q], dim=1)
        candidates = torch.cat([action[:, None], samples], dim=1)
        best = values.argmax(1)[:, None, None].expand(-1, 1, action.shape[1])
        return candidates.gather(1, best).squeeze(1).detach()

    @torch.no_grad()
    def follow(self) -> None:
        """Targets move towards the networks."""
        pairs = ((self.target_policy, self.policy), (self.target_critic, self.critic))
        for target, network in pairs:
            for slow, fast in zip(target.parameters(), network.parameters(), strict=True):
                slow.lerp_(fast, self.backbone.tau)


def round_of(agents: Iterable[PlainAgent], draw: Callable[[int], Rows]) -> None:
    """One round of a team: an agent's minibatch and update after another's, then all targets."""
    team = list(agents)
    for index, agent in enumerate(team):
        agent.update(draw(index))
    for agent in team:
        agent.follow()
