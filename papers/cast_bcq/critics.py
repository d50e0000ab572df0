"""The joint critics Q_1 and Q_2 of CAST-BCQ: their values, targets and steps.

`JointCritic` writes every joint action out as a vector. `FactoredCritic` takes discrete actions as
numbers and writes none, see factored.py. Both give the same values to rounding (a test holds them
together); each has its order of sums.

Axes: M members, N agents, B batch (all places of a minibatch of episodes in battles), K candidates,
S subteams, R rows, D state, A an agent's action, U discrete actions, H hidden.
"""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from common.learning.episodes import Lanes, mean_filled, traced_targets
from common.learning.learner import Learner
from common.learning.networks import apply_mlp, mlp_parameters
from common.learning.population import Parameters, generators, mean_over_batch
from common.learning.recurrent import linear
from papers.cast_bcq.cast import CASTConfig, Variant, combined, joint_errors, joint_target
from papers.cast_bcq.contributions import joint_actions
from papers.cast_bcq.discrete import DiscreteBatch, DiscreteConfig
from papers.cast_bcq.factored import Layers, candidate_values, counterfactual_values
from papers.cast_bcq.recurrent import MapSizes, RecurrentConfig, copy_targets
from papers.cast_bcq.rows import JointBatch


def hold_twins(learner: Learner, inputs: int, hidden: int, lr: float) -> None:
    """Two critics per member with their target, as the learner's "critic"."""
    streams = generators(learner.seeds, "critic")
    tensors = mlp_parameters(streams, [inputs], inputs, hidden, 1, heads=2, input_norm=False)
    learner.hold("critic", tensors, lr, target=True)


def twin_values(params: Parameters, state: Tensor, joint: Tensor) -> Tensor:
    """[M, 2, R] of states [M, R, D] and joint actions [M, R, N A]."""
    rows = torch.cat([state, joint], -1).unsqueeze(1)
    return apply_mlp(params, rows, None).squeeze(-1).squeeze(1)


class JointCritic:
    """Twin critics of the state and all agents' actions, one vector.

    Args:
        learner: holds them as "critic".
        default: [N, A], a^d of every agent.
        variants: one per member.
    """

    def __init__(
        self,
        learner: Learner,
        state_dim: int,
        default: Tensor,
        config: CASTConfig | DiscreteConfig,
        variants: list[Variant],
    ):
        self.learner = learner
        self.gamma = config.gamma
        self.tau = config.tau
        self.default = default.to(learner.device)
        hold_twins(learner, state_dim + default.numel(), config.hidden, config.lr)
        weight = [[one.weight] for one in variants]
        single = [[not one.double] for one in variants]
        self.weight = torch.tensor(weight, device=learner.device)  # [M, 1]
        self.single = torch.tensor(single, device=learner.device)

    def values(self, state: Tensor, actions: Tensor, params: Parameters) -> Tensor:
        """Eq. 10 [M, R] of states [M, R, D] with joint actions [M, R, N, A]."""
        joint_q = twin_values(params, state, actions.flatten(-2))
        return combined(joint_q, self.weight, self.single)

    def candidate_values(self, state: Tensor, candidates: Tensor, params: Parameters) -> Tensor:
        """Eq. 10 [M, B, K] of candidates [M, N, B, K, A] in states [M, B, D]."""
        count = candidates.shape[3]
        actions = candidates.permute(0, 2, 3, 1, 4).flatten(1, 2)  # [M, B K, N, A]
        values = self.values(state.repeat_interleave(count, dim=1), actions, params)
        return values.unflatten(1, (-1, count))

    def counterfactuals(
        self, state: Tensor, action: Tensor, others: Tensor, present: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Values [M, N, S, B] of Eq. 8 with agents' actions, and with their defaults.

        Args:
            state: [M, B, D]; action, others: [M, N, B, A]; present: [M, N, S, N].
        """
        absent = self.default[None, :, None].expand_as(action)
        pair = [joint_actions(one, others, self.default, present) for one in (action, absent)]
        actions = torch.stack(pair, 1).flatten(1, 3)  # [M, 2 N S, B, N, A]
        states = state.unsqueeze(1).expand(-1, actions.shape[1], -1, -1).flatten(1, 2)
        values = self.values(states, actions.flatten(1, 2), self.learner.networks["critic"])
        with_action, with_default = values.view(len(state), 2, *present.shape[1:3], -1).unbind(1)
        return with_action, with_default

    def update(self, batch: JointBatch | DiscreteBatch, action: Tensor, best: Tensor) -> None:
        """One step of Eq. 6: actions [M, N, B, A] of the data, values [M, B] of next states."""
        target = joint_target(batch.reward, batch.terminal, best, self.gamma)
        joint = action.transpose(1, 2).flatten(-2)  # [M, B, N A]
        joint_q = twin_values(self.learner.networks["critic"], batch.state, joint)
        self.learner.descend(mean_over_batch(joint_errors(joint_q, target), 1), "critic")

    def follow(self) -> None:
        """Polyak average of the target network."""
        self.learner.follow(self.tau)


class FactoredCritic:
    """Twin critics of the state and the numbers of all agents' discrete actions, over the places of
    minibatches of episodes.

    Args:
        learner: holds them as "critic", the same network as `JointCritic`'s of one-hot actions.
    """

    def __init__(self, learner: Learner, sizes: MapSizes, config: RecurrentConfig):
        if config.default not in ("zero", "first"):
            raise ValueError(f"default is {config.default!r}, expected 'zero' or 'first'")
        self.learner = learner
        self.sizes = sizes
        self.config = config
        self.single = torch.tensor(False, device=learner.device)
        inputs = sizes.state + sizes.agents * sizes.actions
        hold_twins(learner, inputs, config.critic_hidden, config.critic_lr)

    def layers(self, state: Tensor, params: Parameters) -> Layers:
        """Both critics in states [M, B, D]."""
        weights = params["w1"].detach()[:, 0]
        names = ("b1", "w2", "b2", "w3", "b3")
        bias, w2, b2, w3, b3 = (params[name].detach()[:, 0] for name in names)
        nobody = linear(state.unsqueeze(1), weights[:, :, : self.sizes.state], bias)
        table = weights[:, :, self.sizes.state :].unflatten(2, (self.sizes.agents, -1))
        return Layers(nobody, table, (w2, b2, w3, b3))

    def mixed(self, joint_q: Tensor) -> Tensor:
        """Eq. 10 [M, ...] of both critics' values [M, 2, ...]."""
        return combined(joint_q, self.config.weight, self.single)

    def candidate_values(self, state: Tensor, candidates: Tensor, params: Parameters) -> Tensor:
        """Eq. 10 [M, B, K] of candidates [M, N, B, K] in states [M, B, D]."""
        return self.mixed(candidate_values(self.layers(state, params), candidates))

    def counterfactuals(
        self, state: Tensor, action: Tensor, others: Tensor, present: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Values [M, N, S, B] of Eq. 8 with agents' actions, and with their defaults.

        Args:
            state: [M, B, D]; action, others: [M, N, B]; present: [M, N, S, N].
        """
        layers = self.layers(state, self.learner.networks["critic"])
        if self.config.default == "first":
            default = layers.table[:, :, :, :1]  # [M, 2, N, 1, H]
            nobody = layers.nobody + default.sum(2)
            layers = layers._replace(nobody=nobody, table=layers.table - default)
        with_action, with_default = counterfactual_values(layers, action, others, present)
        return self.mixed(with_action), self.mixed(with_default)

    def on_data(self, lanes: Lanes, action: Tensor) -> Tensor:
        """[M, 2, P, L] both critics' values of all places with actions [M, N, B]."""
        joint = one_hot(action.transpose(1, 2), self.sizes.actions).float().flatten(2)
        params = self.learner.networks["critic"]
        joint_q = twin_values(params, lanes.state.flatten(1, 2), joint)
        return joint_q.unflatten(2, lanes.filled.shape[1:])

    def update(self, lanes: Lanes, action: Tensor, best: Tensor) -> None:
        """One step of Eq. 6: actions [M, N, B] of the data, values [M, B] of all places; with a
        trace, TD(lambda) targets.
        """
        config = self.config
        filled = lanes.filled
        target = traced_targets(
            lanes.reward, lanes.terminal, filled, best.view_as(filled), config.gamma, config.trace
        )
        errors = joint_errors(self.on_data(lanes, action), target)
        self.learner.descend(mean_filled(errors, filled), "critic")

    def follow(self) -> None:
        """Copies to the target network every `copy_every` updates."""
        copy_targets(self.learner, self.config.copy_every)
