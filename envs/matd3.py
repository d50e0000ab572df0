"""MATD3 (Ackermann et al., 2019) online, for behaviour policies: a population of teams.

Independent tanh actors on own observations, twin critics per agent on everybody's observations (or
the global state) and actions, delayed actors, smoothed target policies.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from common.learning.learner import Learner
from common.learning.losses import td_loss
from common.learning.networks import Actors, TwinCritics
from common.learning.population import generators, mean_over_batch, members_of
from common.learning.ranges import Count, NotNegative, Positive, Share


@dataclass(frozen=True)
class MATD3Config:
    """The learner's settings; defaults are those of the particle worlds."""

    batch_size: Count = 1024
    hidden: Count = 64
    lr: Positive = 0.01
    gamma: Share = 0.95
    tau: Share = 0.01
    grad_clip: Positive = 0.5
    policy_delay: Count = 2  # critic updates per actor update
    target_noise: NotNegative = 0.2
    target_clip: NotNegative = 0.5
    actor_lr: Positive = 0.01
    # weight of the mean squared policy output before its tanh, which keeps it from saturating
    logit_penalty: NotNegative = 1e-3
    input_norm: bool = True  # BatchNorm on the actors' observations


class MATD3(Learner):
    """A population of teams, M members of N agents.

    Args:
        seeds: one per member; initialisation, minibatches and noise of a member depend on its seed
            alone.
        obs_dims: true observation size of each agent.
        purpose: what the random numbers are named after.
        state_dim: size of a global state the critics see in place of everybody's observations.
    """

    def __init__(
        self,
        seeds: list[int],
        obs_dims: list[int],
        action_dim: int,
        config: MATD3Config,
        purpose: str,
        state_dim: int | None = None,
    ):
        super().__init__(seeds, max_norm=config.grad_clip)
        # Replay data are made by running this training again, so it must draw as it did when its
        # policies were made; from `self.streams`, as every other learner, once they are made anew.
        self.noise = generators(seeds, f"{purpose}/target noise")
        self.others["noise"] = self.noise
        self.config = config
        self.sizes = (obs_dims, action_dim)
        self.purpose = purpose
        self.state_dim = state_dim
        agents, padded = len(obs_dims), max(obs_dims)
        self.actors = Actors(
            generators(seeds, f"{purpose}/actor"),
            obs_dims,
            padded,
            config.hidden,
            action_dim,
            config.input_norm,
        )
        joint = (state_dim or sum(obs_dims)) + agents * action_dim
        padded_joint = (state_dim or agents * padded) + agents * action_dim
        self.critics = TwinCritics(
            generators(seeds, f"{purpose}/critic"),
            [joint] * agents,
            padded_joint,
            config.hidden,
            input_norm=False,
        )
        self.hold("actor", self.actors.params, config.actor_lr, target=True)
        self.hold("critic", self.critics.params, config.lr, target=True)
        if self.actors.running:
            self.others["moments"] = self.actors.running
        self.notes["rounds"] = 0

    def joint(self, values: Tensor) -> Tensor:
        """[M, N, B, D] of each agent -> [M, 1, B, N * D], the same joint row for every agent's
        critic.
        """
        members, agents, batch, size = values.shape
        return values.transpose(1, 2).reshape(members, 1, batch, agents * size)

    def context(self, obs: Tensor, state: Tensor | None) -> Tensor:
        """What every critic sees beside the joint action, [M, 1, B, ...]: everybody's observations,
        or the state [M, B, D].
        """
        return self.joint(obs) if state is None else state.unsqueeze(1)

    def update(
        self,
        obs: Tensor,
        action: Tensor,
        reward: Tensor,
        next_obs: Tensor,
        state: Tensor | None = None,
        next_state: Tensor | None = None,
    ) -> None:
        """One round on a joint minibatch: obs [M, N, B, O], action [M, N, B, A], reward [M, N, B],
        state [M, B, D].

        Episodes are cut by the clock and never terminate.
        """
        config = self.config
        with torch.no_grad():
            noise = self.noise.normal(action.shape[1:]) * config.target_noise
            noise = noise.clamp_(-config.target_clip, config.target_clip)
            next_action = self.actors.train_actions(next_obs, self.targets["actor"])
            next_action = (next_action + noise).clamp_(-1, 1)
            next_q = self.critics.values(
                self.context(next_obs, next_state), self.joint(next_action), self.targets["critic"]
            )
            target = reward + config.gamma * next_q.amin(2)
        q = self.critics.values(self.context(obs, state), self.joint(action))
        self.descend(td_loss(q, target), "critic")

        self.notes["rounds"] += 1
        if self.notes["rounds"] % config.policy_delay == 0:
            self.update_actors(obs, action, state)
            self.follow(config.tau, "actor")
        self.follow(config.tau, "critic")

    def update_actors(self, obs: Tensor, action: Tensor, state: Tensor | None) -> None:
        """Each agent climbs its own critic in its own action; the others' actions are those of the
        data.
        """
        agents, size = action.shape[1], action.shape[3]
        logits = self.actors.train_outputs(obs, update_running=True)
        policy_action = logits.tanh()
        is_own = torch.eye(agents).repeat_interleave(size, dim=1)[:, None]  # [N, 1, N * A]
        joint = torch.where(is_own > 0, policy_action.repeat(1, 1, 1, agents), self.joint(action))
        context = self.context(obs, state).expand(-1, agents, -1, -1)
        q = self.critics.values(context, joint, self.critics.constant, head=0)
        loss = mean_over_batch(-q) + self.config.logit_penalty * mean_over_batch(logits.square())
        self.descend(loss, "actor")

    def keep(self, members: list[int]) -> "MATD3":
        """A learner of only these members, as they are now; it goes on exactly as they would have
        in this one.
        """
        seeds = [self.seeds[m] for m in members]
        rest = MATD3(seeds, *self.sizes, self.config, self.purpose, self.state_dim)
        rest.load_state_dict(members_of(self.state_dict(), members))
        return rest
