"""The other columns of OMAR's tables on the same backbone: MA-CQL, MA-TD3+BC and MA-ICQ.

None but MA-CQL is in the released code; the README states what each is built from. Axes as in
omar.py.
"""

from dataclasses import dataclass

import torch

from common.learning.losses import (
    gaussian_log_prob,
    softmax_weights,
    td3bc_actor_loss,
    td_loss,
    td_target,
)
from common.learning.population import Adam, Parameters, mean_over_batch, per_member
from common.learning.replay import Batch
from papers.omar.omar import Backbone, CQLConfig, conservative_critic_loss


class CQL:
    """MA-CQL: conservative critics (Eq. 1) and the plain policy gradient."""

    def __init__(self, team: Backbone, config: CQLConfig):
        self.team, self.config = team, config
        self.alpha = per_member(config.alpha, len(team.noise_streams), team.device)

    def update(self, batch: Batch) -> None:
        """One round."""
        team = self.team
        context = team.data_context(batch)
        team.critic_step(conservative_critic_loss(team, batch, context, self.alpha, self.config))
        for _ in range(team.config.actor_updates):
            own = team.actors.train_actions(batch.obs, update_running=True)
            team.actor_step(
                -mean_over_batch(team.critics.values(context, own, team.critics.constant, head=0)),
                own,
            )
        team.update_targets()


@dataclass(frozen=True)
class TD3BCConfig:
    """MA-TD3+BC (Fujimoto and Gu, 2021) on the paper's backbone."""

    bc_weight: float = 2.5  # alpha of the TD3+BC paper, per member


class TD3BC:
    """MA-TD3+BC: plain critics, and a policy that climbs Q and clones the data."""

    def __init__(self, team: Backbone, config: TD3BCConfig):
        self.team = team
        self.bc_weight = per_member(config.bc_weight, len(team.noise_streams), team.device)

    def update(self, batch: Batch) -> None:
        """One round."""
        team = self.team
        context = team.data_context(batch)
        team.critic_step(td_loss(team.critics.values(context, batch.action), team.target(batch)))
        own = team.actors.train_actions(batch.obs, update_running=True)
        q = team.critics.values(context, own, team.critics.constant, head=0)
        team.actor_step(td3bc_actor_loss(q, own, batch.action, self.bc_weight), own)
        team.update_targets()


@dataclass(frozen=True)
class ICQConfig:
    """MA-ICQ (Yang et al., 2021), continuous, on the paper's backbone; both temperatures are ours
    (README).
    """

    target_temperature: float = 1000.0  # of the importance weights on target values
    policy_temperature: float = 10.0  # of the importance weights on the policy's log likelihood
    log_std_range: tuple[float, float] = (-6.0, 0.0)


class ICQ:
    """MA-ICQ: only the data's actions are ever valued, next ones included; the policy is a weighted
    likelihood.

    The policy is Gaussian with the backbone's tanh network as mean and a trained log standard
    deviation per agent that does not depend on the observation, squashed into `log_std_range`; its
    mean acts.
    """

    def __init__(self, team: Backbone, config: ICQConfig):
        self.team, self.config = team, config
        members, agents = len(team.noise_streams), team.num_agents
        zeros = torch.zeros(members, agents, 1, team.action_dim, device=team.device)
        self.spread = Parameters({"log_std": zeros})
        self.spread_adam = Adam(self.spread, per_member(team.config.actor_lr, members, team.device))

    def update(self, batch: Batch) -> None:
        """One round; batch rows have a known next action."""
        team, config = self.team, self.config
        context = team.data_context(batch)
        with torch.no_grad():
            later = batch.team or {}
            next_context = team.context(
                batch, batch.next_obs, later.get("next_obs"), later.get("next_action")
            )
            next_q = team.critics.values(next_context, batch.next_action, team.target_critic)
            weight = softmax_weights(next_q.amin(2), config.target_temperature)
            target = td_target(
                batch.reward, batch.terminal, weight.unsqueeze(2) * next_q, team.config.gamma
            )
        q = team.critics.values(context, batch.action)
        team.critic_step(td_loss(q, target))

        advantage_weight = softmax_weights(
            (target - q.detach()[:, :, 0]), config.policy_temperature
        )
        mean = team.actors.train_actions(batch.obs, update_running=True)
        low, high = config.log_std_range
        log_std = low + (high - low) * torch.sigmoid(self.spread["log_std"])
        loss = -mean_over_batch(advantage_weight * gaussian_log_prob(mean, log_std, batch.action))
        self.spread.zero_grad()
        log_std_grad = torch.autograd.grad(loss.sum(), self.spread["log_std"], retain_graph=True)[0]
        self.spread.grad.copy_(log_std_grad.flatten(2))
        team.actor_step(loss, mean)
        self.spread_adam.step()
        team.update_targets()

    def state_dict(self) -> dict:
        return {"log_std": self.spread.flat, "adam": self.spread_adam.state_dict()}

    @torch.no_grad()
    def load_state_dict(self, state: dict) -> None:
        self.spread.flat.copy_(state["log_std"])
        self.spread_adam.load_state_dict(state["adam"])
