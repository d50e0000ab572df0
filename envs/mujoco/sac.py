"""Soft actor-critic (Haarnoja et al., 2018b) on a population: the learner behind D4RL's behaviour
policies.

Settings are rlkit's, which D4RL used: 256-256 ReLU networks, Adam at 3e-4, gamma 0.99, tau 0.005,
batches of 256, one update per environment step, automatic entropy with target -A. Axes as in
common.learning.policies, E = 2 critic heads.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from common.learning.learner import Learner
from common.learning.losses import td_loss
from common.learning.networks import TwinCritics
from common.learning.policies import SquashedGaussian
from common.learning.population import generators, mean_over_batch
from common.learning.ranges import Count, Positive, Share


@dataclass(frozen=True)
class SACConfig:
    """Values of rlkit's launchers for the MuJoCo tasks."""

    hidden: Count = 256
    batch_size: Count = 256
    lr: Positive = 3e-4
    gamma: Share = 0.99
    tau: Share = 0.005  # share of the online network in each target update


class SAC(Learner):
    """One policy, twin critics and temperature per member and agent.

    Args:
        seeds: one per member.
        obs_dim, action_dim: of the (single) agent.
    """

    def __init__(
        self, seeds: list[int], obs_dim: int, action_dim: int, config: SACConfig, device="cpu"
    ):
        super().__init__(seeds, device)
        # The training behind shipped policies can be run again for its replay buffer, so it must
        # draw as it did; see envs.matd3.
        self.noise = generators(seeds, "noise")
        self.others["noise"] = self.noise
        self.config = config
        self.action_dim = action_dim
        self.policy = SquashedGaussian(
            generators(seeds, "actor"), [obs_dim], obs_dim, config.hidden, action_dim, device
        )
        inputs = obs_dim + action_dim
        self.critics = TwinCritics(
            generators(seeds, "critic"), [inputs], inputs, config.hidden, False, device
        )
        self.hold("policy", self.policy.params, config.lr)
        self.hold("critic", self.critics.params, config.lr, target=True)
        zeros = {"log_alpha": torch.zeros(len(seeds), 1, 1)}
        self.temperature = self.hold("temperature", zeros, config.lr)

    def update(
        self, obs: Tensor, action: Tensor, reward: Tensor, next_obs: Tensor, terminal: Tensor
    ) -> None:
        """One step of critics, policy and temperature: obs [M, 1, B, O], action [M, 1, B, A], the
        others [M, 1, B].
        """
        config = self.config
        alpha = self.temperature["log_alpha"].detach().exp()  # [M, 1, 1]
        with torch.no_grad():
            noise = self.noise.normal(action.shape[1:])
            next_action, next_log_prob = self.policy.sample(next_obs, noise)
            next_q = self.critics.values(next_obs, next_action, self.targets["critic"]).amin(2)
            target = reward + config.gamma * (1 - terminal) * (next_q - alpha * next_log_prob)
        self.descend(td_loss(self.critics.values(obs, action), target), "critic")

        policy_action, log_prob = self.policy.sample(obs, self.noise.normal(action.shape[1:]))
        q = self.critics.values(obs, policy_action, self.critics.constant).amin(2)
        self.descend(mean_over_batch(alpha * log_prob - q), "policy")

        surprise = (log_prob.detach() - self.action_dim).mean(-1)  # the entropy's target is -A
        self.descend(-self.temperature["log_alpha"].squeeze(-1) * surprise, "temperature")
        self.follow(config.tau)
