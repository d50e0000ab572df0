"""What CAST-BCQ is compared with on the grid: independent BCQ and independent ICQ with discrete
actions.

Axes: M members, N agents, B batch, O observation, U actions.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from common.learning.learner import Learner
from common.learning.losses import softmax_weights
from common.learning.networks import apply_mlp, mlp_parameters
from common.learning.population import generators, mean_over_batch
from papers.cast_bcq.discrete import DiscreteBatch, DiscreteConfig
from papers.cast_bcq.generators import (
    CategoricalGenerator,
    available_only,
    best_allowed,
    chosen,
)

TargetWeights = Literal["state", "minibatch"]


@dataclass(frozen=True)
class DiscreteICQConfig(DiscreteConfig):
    """With what I-ICQ's target weights are relative to: the next state's other actions (ICQ's
    Z(s)), or the minibatch's other states (its release for several agents).
    """

    target_weights: TargetWeights = "state"


def independent_target(batch: DiscreteBatch, following: Tensor, gamma: float) -> Tensor:
    """r + gamma (1 - d) V(o_i') of every agent by itself: [M, N, B]."""
    return batch.reward.unsqueeze(1) + gamma * (1 - batch.terminal.unsqueeze(1)) * following


def mixed_best(twin_q: Tensor, mask: Tensor, weight: float) -> Tensor:
    """BCQ's value of a next observation: the best allowed action by lambda min_k Q_k + (1 - lambda)
    max_k Q_k.

    Args:
        twin_q: [M, N, 2, B, U]; mask: [M, N, B, U].

    Returns:
        [M, N, B].
    """
    mixed = weight * twin_q.amin(2) + (1 - weight) * twin_q.amax(2)
    return mixed.masked_fill(~mask, -torch.inf).amax(-1)


def icq_advantage(q: Tensor, logits: Tensor, action: Tensor) -> Tensor:
    """ICQ's A(o_i, a_i) = Q(o_i, a_i) - sum_a pi(a | o_i) Q(o_i, a): [...] of values and logits
    [..., U].
    """
    return chosen(q, action) - (logits.softmax(-1) * q).sum(-1)


def state_weights(q: Tensor, action: Tensor, logits: Tensor, temperature: float) -> Tensor:
    """ICQ's weights exp(Q(s, a) / T) / Z(s), whose mean over behaviour is 1 in every state: [...].

    Z(s) = sum_a mu(a | s) exp(Q(s, a) / T), over all actions.

    Args:
        q, logits: [..., U] values, and logits of the behaviour mu.
        action: [...], of the data.
    """
    log_z = (logits.log_softmax(-1) + q / temperature).logsumexp(-1)
    return (chosen(q, action) / temperature - log_z).exp()


class DiscreteLearner(Learner):
    """Networks of own observations; their targets follow at every step.

    Args:
        seeds: one per member.
        obs_dims: true observation size of each agent.
        actions: U.
    """

    def __init__(
        self,
        seeds: list[int],
        obs_dims: list[int],
        actions: int,
        config: DiscreteConfig,
        device: str = "cpu",
    ):
        super().__init__(seeds, device)
        self.obs_dims = obs_dims
        self.actions = actions
        self.config = config

    def add(self, name: str, heads: int | None = None, target: bool = False) -> None:
        """A network that gives every action a value, and its optimiser."""
        streams = generators(self.seeds, name)
        tensors = mlp_parameters(
            streams,
            self.obs_dims,
            max(self.obs_dims),
            self.config.hidden,
            self.actions,
            heads=heads,
            input_norm=False,
        )
        self.hold(name, tensors, self.config.lr, target)

    def critic_step(self, loss: Tensor) -> None:
        """One step of the critic; its target follows."""
        self.descend(loss, "critic")
        self.follow(self.config.tau)


class DiscreteBCQ(DiscreteLearner):
    """I-BCQ: every agent by itself, twin critics with BCQ's weighted clipped target over allowed
    actions.
    """

    def __init__(
        self,
        seeds: list[int],
        obs_dims: list[int],
        actions: int,
        config: DiscreteConfig,
        device: str = "cpu",
    ):
        super().__init__(seeds, obs_dims, actions, config, device)
        self.generator = CategoricalGenerator(self, obs_dims, actions, config)
        self.add("critic", heads=2, target=True)

    def update(self, batch: DiscreteBatch) -> None:
        """One step of the generator and the critics."""
        config = self.config
        self.generator.clone(batch)
        with torch.no_grad():
            _, mask = self.generator.behaviour(batch.next_obs, batch.next_available)
            next_q = apply_mlp(self.targets["critic"], batch.next_obs, None)
            following = mixed_best(next_q, mask, config.weight)
            target = independent_target(batch, following, config.gamma)
        twin_q = apply_mlp(self.networks["critic"], batch.obs, None)
        action = batch.action.unsqueeze(2).expand(*twin_q.shape[:-1])
        errors = (chosen(twin_q, action) - target.unsqueeze(2)).square().sum(2)
        self.critic_step(mean_over_batch(errors))

    @torch.no_grad()
    def act(self, obs: Tensor, available: Tensor) -> Tensor:
        """[M, N, B] the best allowed action by the first critic."""
        _, mask = self.generator.behaviour(obs, available)
        return best_allowed(apply_mlp(self.networks["critic"], obs, None, head=0), mask)


class DiscreteICQ(DiscreteLearner):
    """I-ICQ: every agent by itself, weighted SARSA targets, advantage-weighted policies; behaviour
    is cloned for the weights alone.
    """

    config: DiscreteICQConfig

    def __init__(
        self,
        seeds: list[int],
        obs_dims: list[int],
        actions: int,
        config: DiscreteICQConfig,
        device: str = "cpu",
    ):
        super().__init__(seeds, obs_dims, actions, config, device)
        self.generator = CategoricalGenerator(self, obs_dims, actions, config)
        self.add("critic", target=True)
        self.add("actor")

    def update(self, batch: DiscreteBatch) -> None:
        """One step of the critic and of the policy."""
        config = self.config
        self.generator.clone(batch)
        with torch.no_grad():
            next_q = apply_mlp(self.targets["critic"], batch.next_obs, None)
            following = chosen(next_q, batch.next_action)
            trusted = self.target_weights(batch, next_q) * following
            target = independent_target(batch, trusted, config.gamma)
        q = apply_mlp(self.networks["critic"], batch.obs, None)
        self.critic_step(mean_over_batch((chosen(q, batch.action) - target).square()))

        logits = self.policy(batch.obs, batch.available)
        with torch.no_grad():
            q = apply_mlp(self.networks["critic"], batch.obs, None)
            advantage = icq_advantage(q, logits, batch.action)
            weights = softmax_weights(advantage, config.policy_temperature)
        log_prob = chosen(logits.log_softmax(-1), batch.action)
        self.descend(-mean_over_batch(weights * log_prob), "actor")

    def target_weights(self, batch: DiscreteBatch, next_q: Tensor) -> Tensor:
        """[M, N, B] of next actions of the data, whose target values are among next_q
        [M, N, B, U].
        """
        temperature = self.config.target_temperature
        if self.config.target_weights == "minibatch":
            return softmax_weights(chosen(next_q, batch.next_action), temperature)
        logits, _ = self.generator.behaviour(batch.next_obs, batch.next_available)
        behaviour = available_only(logits, batch.next_available)
        return state_weights(next_q, batch.next_action, behaviour, temperature)

    def policy(self, obs: Tensor, available: Tensor) -> Tensor:
        """[M, N, B, U] logits of the available actions."""
        return available_only(apply_mlp(self.networks["actor"], obs, None), available)

    @torch.no_grad()
    def act(self, obs: Tensor, available: Tensor) -> Tensor:
        """[M, N, B] the policy's most probable available action."""
        return self.policy(obs, available).argmax(-1)
