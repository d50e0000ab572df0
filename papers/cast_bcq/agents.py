"""CAST-BCQ put together, and how its agents act (Eq. 2): on robots, on the grid, in battles.

Axes: M members, N agents, B batch, E battles, O observation, A a continuous action, U discrete
actions.
"""

import torch
from torch import Tensor

from common.learning.episodes import Lanes, mean_filled
from common.learning.learner import Learner
from common.learning.philox import Streams
from papers.cast_bcq.cast import CAST, CASTConfig, Variant, combined
from papers.cast_bcq.critics import FactoredCritic, JointCritic
from papers.cast_bcq.discrete import DiscreteConfig
from papers.cast_bcq.generators import (
    CategoricalGenerator,
    RecurrentGenerator,
    VAEGenerator,
    best_allowed,
)
from papers.cast_bcq.individual import ContinuousValues, DiscreteValues, RecurrentValues
from papers.cast_bcq.recurrent import Choice, MapSizes, Memory, RecurrentConfig
from papers.cast_bcq.rows import JointBatch
from papers.cast_bcq.yardsticks import best_proposals, spread


class ContinuousCAST(CAST):
    """Of robots: VAEs, actions as vectors, zero as the default action.

    Args:
        seeds: one per member.
        obs_dims: true observation size of each agent; state_dim: D.
        variants: one per member.
    """

    generator: VAEGenerator
    critic: JointCritic
    individual: ContinuousValues

    def __init__(
        self,
        seeds: list[int],
        obs_dims: list[int],
        state_dim: int,
        action_dim: int,
        config: CASTConfig,
        variants: list[Variant],
        device: str = "cpu",
    ):
        learner = Learner(seeds, device)
        default = torch.zeros(len(obs_dims), action_dim)
        self.act_samples = config.act_samples
        super().__init__(
            learner,
            VAEGenerator(learner, obs_dims, action_dim, config),
            JointCritic(learner, state_dim, default, config, variants),
            ContinuousValues(learner, obs_dims, action_dim, config),
            len(obs_dims),
            config.candidates,
            config.subteams,
            config.exact_up_to,
            config.others,
            variants,
        )

    @torch.no_grad()
    def act(self, obs: Tensor, streams: Streams) -> Tensor:
        """[M, N, B, A]: every agent's best of `act_samples` proposals for obs [M, N, B, O]."""
        proposals = self.generator.propose((obs,), self.act_samples, streams)
        return best_proposals(proposals, self.judged(obs, proposals))

    def judged(self, obs: Tensor, proposals: Tensor) -> Tensor:
        """[M, N, B, K] individual values of proposals [M, N, B, K, A]."""
        repeated = obs.repeat_interleave(proposals.shape[3], dim=2)
        values = self.individual.values(repeated, proposals.flatten(2, 3))
        return values.unflatten(2, (-1, proposals.shape[3]))

    @torch.no_grad()
    def control(self, way: str, obs: Tensor, streams: Streams) -> Tensor:
        """[M, N, B, A] for obs [M, N, B, O] a random proposal, the worst by individual values, or
        what the generator decodes from zero ("cloning").
        """
        if way == "cloning":
            zeros = obs.new_zeros(*obs.shape[:-1], self.generator.latent)
            return self.generator.vae.decode(obs, zeros)
        if way == "random":
            return self.generator.propose((obs,), 1, streams).squeeze(3)
        proposals = self.generator.propose((obs,), self.act_samples, streams)
        return best_proposals(proposals, self.judged(obs, proposals), worst=True)

    @torch.no_grad()
    def value_on_data(self, batch: JointBatch) -> Tensor:
        """[M] mean joint value (Eq. 10) of the data's actions."""
        action = batch.action.transpose(1, 2)
        return self.critic.values(batch.state, action, self.networks["critic"]).mean(1)

    @torch.no_grad()
    def spread(self, obs: Tensor, streams: Streams) -> Tensor:
        """[M] standard deviation of what the generators propose for an observation."""
        return spread(self.generator.propose((obs,), self.act_samples, streams))


class DiscreteCAST(CAST):
    """Of the grid: cloned behaviour, actions as one-hot vectors.

    Args:
        actions: U; the rest as of `ContinuousCAST`.
    """

    generator: CategoricalGenerator
    critic: JointCritic
    individual: DiscreteValues

    def __init__(
        self,
        seeds: list[int],
        obs_dims: list[int],
        state_dim: int,
        actions: int,
        config: DiscreteConfig,
        variants: list[Variant],
        device: str = "cpu",
    ):
        learner = Learner(seeds, device)
        super().__init__(
            learner,
            CategoricalGenerator(learner, obs_dims, actions, config),
            JointCritic(
                learner, state_dim, config.default_action(len(obs_dims), actions), config, variants
            ),
            DiscreteValues(learner, obs_dims, actions, config),
            len(obs_dims),
            config.candidates,
            config.subteams,
            config.exact_up_to,
            config.others,
            variants,
        )

    @torch.no_grad()
    def act(self, obs: Tensor, available: Tensor) -> Tensor:
        """[M, N, B] every agent's best allowed action for obs [M, N, B, O]."""
        _, mask = self.generator.behaviour(obs, available)
        return best_allowed(self.individual.values(obs), mask)


class RecurrentCAST(CAST):
    """Of battles: cloned behaviour of histories, actions as numbers.

    Args:
        seeds: one per member.
    """

    generator: RecurrentGenerator
    critic: FactoredCritic
    individual: RecurrentValues

    def __init__(
        self, seeds: list[int], sizes: MapSizes, config: RecurrentConfig, device: str = "cpu"
    ):
        learner = Learner(seeds, device, config.max_norm)
        super().__init__(
            learner,
            RecurrentGenerator(learner, sizes, config),
            FactoredCritic(learner, sizes, config),
            RecurrentValues(learner, sizes, config),
            sizes.agents,
            config.candidates,
            config.subteams,
            config.exact_up_to,
            config.others,
            [Variant(weight=config.weight) for _ in seeds],
            config.shared,
        )

    def memory(self, battles: int) -> Memory:
        """Empty memories to begin episodes with."""
        networks = self.generator.network, self.individual.network
        return networks[0].memory(battles) | networks[1].memory(battles)

    @torch.no_grad()
    def choose(self, obs: Tensor, available: Tensor, last: Tensor, memory: Memory) -> Choice:
        """Every agent's best allowed action, see `HistoryNetwork.step`; available is [M, E, N,
        U].
        """
        logits = self.generator.network.step(obs, last, memory)
        values = self.individual.network.step(obs, last, memory)
        return self.generator.choice(values, logits, available)

    def act(self, obs: Tensor, available: Tensor, last: Tensor, memory: Memory) -> Tensor:
        """[M, E, N] what they choose."""
        return self.choose(obs, available, last, memory).action

    @torch.no_grad()
    def value_on_data(self, lanes: Lanes) -> Tensor:
        """[M] mean joint value (Eq. 10) of the data's actions."""
        joint_q = self.critic.on_data(lanes, self.generator.taken(lanes))
        joint_value = combined(joint_q, self.critic.config.weight, self.critic.single)
        return mean_filled(joint_value, lanes.filled)
