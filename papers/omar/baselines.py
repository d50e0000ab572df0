"""The other columns of OMAR's tables on the same backbone: MA-CQL, MA-TD3+BC and MA-ICQ; and
behaviour cloning, which its tables do not have.

None but MA-CQL is in the released code; notes.md states what each is built from. Axes as in
omar.py.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from common.learning.losses import (
    gaussian_log_prob,
    softmax_weights,
    td3bc_actor_loss,
    td_loss,
    td_target,
)
from common.learning.population import mean_over_batch
from common.learning.ranges import NotNegative, Positive
from common.learning.replay import Batch
from papers.omar.omar import GAPS, Backbone, MACQLConfig, OnBackbone, conservative_critic_loss


class MACQL(OnBackbone):
    """MA-CQL: conservative critics (Eq. 1) and the plain policy gradient."""

    def __init__(self, backbone: Backbone, config: MACQLConfig):
        super().__init__(backbone)
        self.config = config
        self.gap = GAPS[config.cql_noisy_samples > 0]
        self.alpha = backbone.per_member(config.alpha)

    def update(self, batch: Batch) -> None:
        """One round."""
        backbone = self.backbone
        context = backbone.data_context(batch)
        q = backbone.critics.values(context, batch.action)
        gap = self.gap(backbone, batch, context, q, self.config)
        loss = conservative_critic_loss(q, backbone.target(batch), gap, self.alpha)
        backbone.critic_step(loss)
        for _ in range(backbone.config.actor_updates):
            self.improve(batch, context)
        backbone.update_targets()

    def improve(self, batch: Batch, context: Tensor) -> None:
        """One step of the actor."""
        backbone = self.backbone
        action = backbone.actors.train_actions(batch.obs, update_running=True)
        q = backbone.critics.values(context, action, backbone.critics.constant, head=0)
        backbone.actor_step(-mean_over_batch(q), action)


@dataclass(frozen=True)
class MATD3BCConfig:
    """MA-TD3+BC (Fujimoto and Gu, 2021) on the paper's backbone."""

    bc_weight: NotNegative = 2.5  # alpha of the TD3+BC paper, that is of Q; per member


class MATD3BC(OnBackbone):
    """MA-TD3+BC: plain critics, and a policy that climbs Q and clones the data."""

    def __init__(self, backbone: Backbone, config: MATD3BCConfig):
        super().__init__(backbone)
        self.bc_weight = backbone.per_member(config.bc_weight)

    def update(self, batch: Batch) -> None:
        """One round."""
        backbone = self.backbone
        context = backbone.data_context(batch)
        q = backbone.critics.values(context, batch.action)
        backbone.critic_step(td_loss(q, backbone.target(batch)))
        action = backbone.actors.train_actions(batch.obs, update_running=True)
        q = backbone.critics.values(context, action, backbone.critics.constant, head=0)
        backbone.actor_step(td3bc_actor_loss(q, action, batch.action, self.bc_weight), action)
        backbone.update_targets()


@dataclass(frozen=True)
class BCConfig:
    """Behaviour cloning has none beside the backbone's."""


class BC(OnBackbone):
    """Behaviour cloning: MA-TD3+BC's policy without its critics, that is with a weight of 0."""

    def __init__(self, backbone: Backbone, config: BCConfig):
        super().__init__(backbone)

    def update(self, batch: Batch) -> None:
        """One round."""
        backbone = self.backbone
        action = backbone.actors.train_actions(batch.obs, update_running=True)
        backbone.actor_step(mean_over_batch((action - batch.action).square()), action)


@dataclass(frozen=True)
class MAICQConfig:
    """MA-ICQ (Yang et al., 2021), continuous, on the paper's backbone."""

    target_temperature: Positive = 1000.0  # of weights on target values; the multi-agent release's
    # of weights on the policy's log likelihood, per member; ours: the releases have 0.1 and 600
    policy_temperature: Positive = 10.0
    # "constant": the Lagrange coefficient of the ICQ paper, as both releases have it; "spread": in
    # standard deviations of what is weighed, over the minibatch
    temperature: Literal["constant", "spread"] = "constant"
    # "mean_one": B times the softmax, as the multi-agent release; "clipped": half of that and at
    # most 1, as the single-agent one
    target_weights: Literal["mean_one", "clipped"] = "mean_one"
    log_std_range: tuple[float, float] = (-6.0, 0.0)


def as_they_are(values: Tensor) -> Tensor:
    """[M, N, B] values for a constant temperature: the larger they grow, the fewer rows count."""
    return values


def in_spreads(values: Tensor) -> Tensor:
    """[M, N, B] values in standard deviations over the batch: whatever their scale, as many rows
    count.
    """
    return values / values.std(-1, keepdim=True).clamp_min(1e-6)


def clipped_weights(values: Tensor, temperature: float) -> Tensor:
    """[M, N, B] half the `softmax_weights`, and at most 1: no target value is enlarged."""
    return (0.5 * softmax_weights(values, temperature)).clamp_max(1.0)


UNITS = {"constant": as_they_are, "spread": in_spreads}  # by MAICQConfig.temperature
TARGET_WEIGHTS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "mean_one": softmax_weights,
    "clipped": clipped_weights,
}


class MAICQ(OnBackbone):
    """MA-ICQ: only the data's actions are ever valued, next ones included; the policy is a weighted
    likelihood.

    The policy is Gaussian with the backbone's tanh network as mean and a trained log standard
    deviation per agent that does not depend on the observation ("spread"), squashed into
    `log_std_range`; its mean acts.
    """

    def __init__(self, backbone: Backbone, config: MAICQConfig):
        super().__init__(backbone)
        self.config = config
        self.units = UNITS[config.temperature]
        self.target_weights = TARGET_WEIGHTS[config.target_weights]
        self.policy_temperature = backbone.per_member(config.policy_temperature)[:, None, None]
        shape = (len(backbone.seeds), backbone.num_agents, 1, backbone.action_dim)
        logits = {"logits": torch.zeros(shape)}
        self.spread = backbone.hold("spread", logits, backbone.config.actor_lr, clip=False)

    def update(self, batch: Batch) -> None:
        """One round; batch rows have a known next action."""
        backbone = self.backbone
        config = self.config
        target = self.target(batch)
        q = backbone.critics.values(backbone.data_context(batch), batch.action)
        backbone.critic_step(td_loss(q, target))

        advantage = target - q.detach()[:, :, 0]
        weight = softmax_weights(self.units(advantage) / self.policy_temperature, 1.0)
        mean = backbone.actors.train_actions(batch.obs, update_running=True)
        low, high = config.log_std_range
        log_std = low + (high - low) * self.spread["logits"].sigmoid()
        loss = -mean_over_batch(weight * gaussian_log_prob(mean, log_std, batch.action))
        backbone.actor_step(loss, mean, "spread")
        backbone.update_targets()

    @torch.no_grad()
    def target(self, batch: Batch) -> Tensor:
        """[M, N, B] from the data's next action, weighted by the batch softmax of its value."""
        backbone = self.backbone
        assert batch.next_action is not None  # rows are drawn so that it is known
        context = backbone.next_context(batch, batch.joint.get("next_action"))
        next_q = backbone.critics.values(context, batch.next_action, backbone.targets["critic"])
        value = self.units(next_q.amin(2))
        weight = self.target_weights(value, self.config.target_temperature)
        weighted_q = weight.unsqueeze(2) * next_q
        return td_target(batch.reward, batch.terminal, weighted_q, backbone.config.gamma)
