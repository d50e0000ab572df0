"""Soft actor-critic (Haarnoja et al., 2018b) on a population: the learner behind D4RL's behaviour
policies.

Settings are rlkit's, which D4RL used: 256-256 ReLU networks, Adam at 3e-4, gamma 0.99, tau 0.005,
batches of 256, one update per environment step, automatic entropy with target -A. Axes as in
common.learning.policies, E = 2 critic heads.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from common.learning.losses import td_loss
from common.learning.networks import TwinCritics
from common.learning.policies import SquashedGaussian
from common.learning.population import (
    Adam,
    Parameters,
    generators,
    mean_over_batch,
    normal_,
    per_member,
)


@dataclass(frozen=True)
class SACConfig:
    """Values of rlkit's launchers for the MuJoCo tasks."""

    hidden: int = 256
    batch_size: int = 256
    lr: float = 3e-4
    gamma: float = 0.99
    tau: float = 0.005  # share of the online network in each target update


class SAC:
    """One policy, twin critics and temperature per member and agent.

    Args:
        seeds: one per member.
        obs_dim, action_dim: of the (single) agent.
    """

    def __init__(
        self, seeds: list[int], obs_dim: int, action_dim: int, config: SACConfig, device="cpu"
    ):
        self.config, self.action_dim = config, action_dim
        self.policy = SquashedGaussian(
            generators(seeds, "actor"), [obs_dim], obs_dim, config.hidden, action_dim, device
        )
        inputs = obs_dim + action_dim
        self.critics = TwinCritics(
            generators(seeds, "critic"), [inputs], inputs, config.hidden, False, device
        )
        self.target_critic = self.critics.params.frozen_copy()
        self.temperature = Parameters({"log_alpha": torch.zeros(len(seeds), 1, 1, device=device)})
        lr = per_member(config.lr, len(seeds), device)
        self.adams = {
            name: Adam(params, lr)
            for name, params in (
                ("policy", self.policy.params),
                ("critic", self.critics.params),
                ("alpha", self.temperature),
            )
        }
        self.noise_streams = generators(seeds, "noise", device)

    def noise(self, like: Tensor) -> Tensor:
        """Standard normal numbers in the shape of actions `like`, each member's from its own
        stream.
        """
        return normal_(torch.empty_like(like), self.noise_streams)

    def update(
        self, obs: Tensor, action: Tensor, reward: Tensor, next_obs: Tensor, terminal: Tensor
    ) -> None:
        """One step of critics, policy and temperature: obs [M, 1, B, O], action [M, 1, B, A], the
        others [M, 1, B].
        """
        config = self.config
        alpha = self.temperature["log_alpha"].detach().exp()  # [M, 1, 1]
        with torch.no_grad():
            next_action, next_log_prob = self.policy.sample(next_obs, self.noise(action))
            next_q = self.critics.values(next_obs, next_action, self.target_critic).amin(2)
            target = reward + config.gamma * (1 - terminal) * (next_q - alpha * next_log_prob)
        self._descend(
            "critic", self.critics.params, td_loss(self.critics.values(obs, action), target)
        )

        own, log_prob = self.policy.sample(obs, self.noise(action))
        q = self.critics.values(obs, own, self.critics.constant).amin(2)
        self._descend("policy", self.policy.params, mean_over_batch(alpha * log_prob - q))

        surprise = (log_prob.detach() - self.action_dim).mean(-1)  # the entropy's target is -A
        self._descend(
            "alpha", self.temperature, -self.temperature["log_alpha"].squeeze(-1) * surprise
        )
        self.target_critic.average_towards(self.critics.params, config.tau)

    def _descend(self, name: str, params: Parameters, loss: Tensor) -> None:
        params.zero_grad()
        loss.sum().backward(inputs=list(params.tensors.values()))
        self.adams[name].step()

    def state_dict(self) -> dict:
        """Everything a resumed training needs beside its replay buffer."""
        return {
            "policy": self.policy.params.flat,
            "critics": self.critics.params.flat,
            "target": self.target_critic.flat,
            "alpha": self.temperature.flat,
            "adams": {name: adam.state_dict() for name, adam in self.adams.items()},
            "noise": [stream.get_state() for stream in self.noise_streams],
        }

    @torch.no_grad()
    def load_state_dict(self, state: dict) -> None:
        self.policy.params.flat.copy_(state["policy"])
        self.critics.params.flat.copy_(state["critics"])
        self.target_critic.flat.copy_(state["target"])
        self.temperature.flat.copy_(state["alpha"])
        for name, adam in self.adams.items():
            adam.load_state_dict(state["adams"][name])
        for stream, saved in zip(self.noise_streams, state["noise"], strict=True):
            stream.set_state(saved)
