"""CQL (Kumar et al., 2020) with discrete actions on a population, every agent by itself, for the
battles of Figure 6d.

Double Q-learning with CQL(H)'s penalty. Actions that are not available are never chosen, and count
nowhere: not in the penalty, not in the target, not in V.

Axes: M members, N agents, B batch, O observation, A actions.
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from common.learning.networks import apply_mlp, mlp_parameters
from common.learning.population import Adam, Parameters, generators, mean_over_batch, per_member
from common.learning.replay import Batch


@dataclass(frozen=True)
class CQLConfig:
    """Networks and learning rate of OTC's Table 3; the rest is of double DQN and CQL(H). There is
    no actor to learn.
    """

    hidden: int = 256
    critic_lr: float = 1e-4
    gamma: float = 0.99
    tau: float = 0.005
    cql_weight: float = 1.0  # of the penalty


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


class CQL:
    """Q networks and their targets, one per member and agent.

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
        config: CQLConfig,
        device="cpu",
    ):
        self.config, self.num_actions = config, num_actions
        sizes = [dim - num_actions for dim in obs_dims]
        tensors = mlp_parameters(
            generators(seeds, "critic"),
            sizes,
            max(sizes),
            config.hidden,
            num_actions,
            input_norm=False,
        )
        self.critic = Parameters({name: tensor.to(device) for name, tensor in tensors.items()})
        self.target_critic = self.critic.frozen_copy()
        self.adam = Adam(self.critic, per_member(config.critic_lr, len(seeds), device))

    def values(self, rows: Tensor, params: Parameters) -> tuple[Tensor, Tensor]:
        """Q of all actions and the mask of the available ones, both [M, N, B, A], for rows [M, N,
        B, O + A].
        """
        obs, available = rows.split([rows.shape[-1] - self.num_actions, self.num_actions], dim=-1)
        return apply_mlp(params, obs.contiguous(), None), available

    def update(self, batch: Batch) -> None:
        """One step of the Q networks."""
        with torch.no_grad():
            next_q, next_available = self.values(batch.next_obs, self.critic)
            next_target_q, _ = self.values(batch.next_obs, self.target_critic)
            target = double_target(
                batch.reward,
                batch.terminal,
                next_q,
                next_target_q,
                next_available,
                self.config.gamma,
            )
        q, available = self.values(batch.obs, self.critic)
        self.critic.zero_grad()
        loss = cql_loss(
            q, available, batch.action.squeeze(-1).long(), target, self.config.cql_weight
        )
        loss.sum().backward(inputs=list(self.critic.tensors.values()))
        self.adam.step()
        self.target_critic.average_towards(self.critic, self.config.tau)

    @torch.no_grad()
    def act(self, obs: Tensor, streams=None) -> Tensor:
        """[M, N, B, 1] index of the best available action."""
        return masked(*self.values(obs, self.critic)).argmax(-1, keepdim=True)

    @torch.no_grad()
    def q(self, obs: Tensor, action: Tensor) -> Tensor:
        """[M, N, B] values of actions [M, N, B, 1]."""
        return self.values(obs, self.critic)[0].gather(-1, action.long()).squeeze(-1)

    @torch.no_grad()
    def value(self, obs: Tensor, streams=None, samples: int = 1) -> Tensor:
        """[M, N, B] mean value under the policy softmax(Q) over available actions, the one that
        CQL(H) penalises by.
        """
        q, available = self.values(obs, self.critic)
        return (masked(q, available).softmax(-1) * q).sum(-1)

    def part(self, members: slice) -> "CQL":
        """Some of the members, to act and to be valued by, not to train; it follows the
        population's training.
        """
        part = copy.copy(self)
        part.critic = self.critic.views(members)
        return part

    def state_dict(self) -> dict:
        return {
            "critic": self.critic.flat,
            "target_critic": self.target_critic.flat,
            "adam": self.adam.state_dict(),
        }

    @torch.no_grad()
    def load_state_dict(self, state: dict) -> None:
        self.critic.flat.copy_(state["critic"])
        self.target_critic.flat.copy_(state["target_critic"])
        self.adam.load_state_dict(state["adam"])
