"""CQL (Kumar et al., 2020) with discrete actions on a population, every agent by itself, for the
battles of Figure 6d.

Double Q-learning with CQL(H)'s penalty. Actions that are not available are never chosen, and count
nowhere: not in the penalty, not in the target, not in V.

Axes: M members, N agents, B batch, O observation, A actions.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from common.learning.learner import Learner
from common.learning.networks import apply_mlp, mlp_parameters
from common.learning.philox import Streams
from common.learning.population import Parameters, generators, mean_over_batch
from common.learning.ranges import Count, NotNegative, Positive, Share
from common.learning.replay import Batch


@dataclass(frozen=True)
class DiscreteCQLConfig:
    """Networks and learning rate of OTC's Table 3; the rest is of double DQN and CQL(H). There is
    no actor to learn.
    """

    hidden: Count = 256
    critic_lr: Positive = 1e-4
    gamma: Share = 0.99
    tau: Share = 0.005
    cql_weight: NotNegative = 1.0  # of the penalty


def masked(values: Tensor, available: Tensor) -> Tensor:
    """Values [..., A] with -inf where `available` is 0."""
    return values.masked_fill(available < 0.5, -torch.inf)


def cql_loss(q: Tensor, available: Tensor, action: Tensor, target: Tensor, weight: float) -> Tensor:
    """(Q(s, a) - y)^2 + weight (logsumexp over available actions of Q(s, .) - Q(s, a)), [M, N].

    Args:
        q, available: [M, N, B, A].
        action: [M, N, B], indices.
        target: [M, N, B], y.
    """
    taken = q.gather(-1, action.unsqueeze(-1)).squeeze(-1)
    gap = masked(q, available).logsumexp(-1) - taken
    return mean_over_batch((taken - target).square() + weight * gap)


def double_target(
    reward, terminal, next_q: Tensor, next_target_q: Tensor, next_available: Tensor, gamma: float
) -> Tensor:
    """y = r + gamma (1 - d) Q'(s', argmax over available a of Q(s', a)), [M, N, B] (van Hasselt et
    al., 2016).
    """
    best = masked(next_q, next_available).argmax(-1, keepdim=True)
    return reward + gamma * (1 - terminal) * next_target_q.gather(-1, best).squeeze(-1)


class DiscreteCQL(Learner):
    """Q networks ("critic") and their targets, one per member and agent.

    An observation row is the agent's observation followed by the mask of its available actions [A];
    an action is stored as its index, a single number.

    Args:
        seeds: one per member.
        obs_dims: size of each agent's row, the mask included.
        num_actions: A.
    """

    def __init__(
        self,
        seeds: list[int],
        obs_dims: list[int],
        num_actions: int,
        config: DiscreteCQLConfig,
        device="cpu",
    ):
        super().__init__(seeds, device)
        self.config = config
        self.num_actions = num_actions
        sizes = [dim - num_actions for dim in obs_dims]
        tensors = mlp_parameters(
            generators(seeds, "critic"),
            sizes,
            max(sizes),
            config.hidden,
            num_actions,
            input_norm=False,
        )
        self.hold("critic", tensors, config.critic_lr, target=True)

    def values(self, rows: Tensor, params: Parameters) -> tuple[Tensor, Tensor]:
        """Q of all actions and the mask of the available ones, both [M, N, B, A], for rows [M, N,
        B, O + A].
        """
        obs, available = rows.split([rows.shape[-1] - self.num_actions, self.num_actions], dim=-1)
        return apply_mlp(params, obs.contiguous(), None), available

    def update(self, batch: Batch) -> None:
        """One step of the Q networks."""
        config = self.config
        critic = self.networks["critic"]
        with torch.no_grad():
            next_q, available = self.values(batch.next_obs, critic)
            next_target_q, _ = self.values(batch.next_obs, self.targets["critic"])
            target = double_target(
                batch.reward, batch.terminal, next_q, next_target_q, available, config.gamma
            )
        q, available = self.values(batch.obs, critic)
        action = batch.action.squeeze(-1).long()
        self.descend(cql_loss(q, available, action, target, config.cql_weight), "critic")
        self.follow(config.tau)

    @torch.no_grad()
    def act(self, obs: Tensor, streams: Streams | None = None) -> Tensor:
        """[M, N, B, 1] index of the best available action."""
        return masked(*self.values(obs, self.networks["critic"])).argmax(-1, keepdim=True)

    @torch.no_grad()
    def q(self, obs: Tensor, action: Tensor) -> Tensor:
        """[M, N, B] values of actions [M, N, B, 1]."""
        return self.values(obs, self.networks["critic"])[0].gather(-1, action.long()).squeeze(-1)

    @torch.no_grad()
    def value(self, obs: Tensor, streams: Streams | None = None, samples: int = 1) -> Tensor:
        """[M, N, B] mean value under the policy softmax(Q) over available actions, the one that
        CQL(H) penalises by.
        """
        q, available = self.values(obs, self.networks["critic"])
        return (masked(q, available).softmax(-1) * q).sum(-1)
