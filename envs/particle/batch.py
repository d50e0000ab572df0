"""Batches of particle worlds, and the teams that learn in them against a frozen prey."""

from typing import Any

import torch
from torch import Tensor

from envs.particle.scenarios import EPISODE_STEPS, SCENARIOS
from envs.particle.world import Physics


class ParticleBatch:
    """W worlds of one scenario, reset and stepped together.

    Args:
        scenario: an entry of `SCENARIOS`, or any object with its interface.
        device: where states live; physics is float64, observations and rewards are float32.
    """

    def __init__(self, scenario, device="cpu"):
        self.scenario = scenario
        self.device = device
        self.num_agents = scenario.num_agents
        self.dims = scenario.dims
        self.physics = Physics(scenario.agents, scenario.landmarks, scenario.rules, device)
        self.ranges = torch.tensor(scenario.start_ranges(), dtype=torch.float64)[
            :, None
        ]  # [N + L, 1]

    def reset(self, streams: list[torch.Generator], worlds: int) -> Tensor:
        """Starts `worlds` episodes per stream; returns observations [W, N, O] with W = streams x
        worlds.

        Start states are drawn on the CPU, so they are the same on every device.
        """
        shape = (worlds, len(self.ranges), self.dims)
        draws = [torch.rand(shape, generator=stream, dtype=torch.float64) for stream in streams]
        self.positions = ((torch.cat(draws) * 2 - 1) * self.ranges).to(self.device)
        self.velocities = self.positions.new_zeros(len(self.positions), self.num_agents, self.dims)
        self.steps = 0
        return self.observe()

    def observe(self) -> Tensor:
        """[W, N, O] observations, float32, padded with zeros to the longest agent's."""
        return self.scenario.observe(self.positions, self.velocities).float()

    def step(self, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Observations [W, N, O] and rewards [W, N] after actions [W, N, d], clipped to [-1, 1].

        Raises:
            RuntimeError: the episode is over after 25 steps.
        """
        if self.steps >= EPISODE_STEPS:
            raise RuntimeError(f"the episode is over after {EPISODE_STEPS} steps, call reset")
        self.steps += 1
        actions = actions.to(torch.float64).clamp(-1, 1)
        self.positions, self.velocities = self.physics.step(
            self.positions, self.velocities, actions
        )
        return self.observe(), self.scenario.rewards(self.positions).float()


class Team:
    """The learning agents of a scenario; agents after them (the prey) follow a frozen policy.

    Args:
        task: name in `SCENARIOS`.
        prey: policy of the other agents, obs [1, 1, W, O] -> action [1, 1, W, d]; None where all
            agents learn.
    """

    def __init__(self, task: str, prey=None, device="cpu"):
        self.worlds = ParticleBatch(SCENARIOS[task], device)
        scenario = self.worlds.scenario
        self.prey = prey
        self.num_agents = scenario.learners
        self.obs_dim = scenario.obs_dims[0]
        self.action_dim = scenario.dims

    def reset(self, streams: list[torch.Generator], worlds: int) -> Tensor:
        """[W, N, O] first observations of the learning agents, see `ParticleBatch.reset`."""
        return self._learners(self.worlds.reset(streams, worlds))

    def step(self, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Observations [W, N, O] and rewards [W, N] of the learning agents after their actions [W,
        N, d].
        """
        if self.prey is not None:
            actions = torch.cat(
                [actions, self.prey(self.prey_obs[None, None])[0, 0][:, None]], dim=1
            )
        obs, rewards = self.worlds.step(actions)
        return self._learners(obs), rewards[:, : self.num_agents]

    def returns(self, act, streams: list[torch.Generator], episodes: int) -> Tensor:
        """[M, episodes] the paper's raw scores of a population, mean over agents; see
        `episode_returns`.
        """
        return episode_returns(self, act, streams, episodes).mean(1)

    def _learners(self, obs: Tensor) -> Tensor:
        if self.prey is not None:
            self.prey_obs = obs[:, self.num_agents, : self.worlds.scenario.obs_dims[-1]]
        return obs[:, : self.num_agents]


def by_member(values: Tensor, members: int) -> Tensor:
    """[W, N, ...] with worlds ordered by member -> [M, N, W / M, ...], the axes of a population."""
    return values.unflatten(0, (members, -1)).transpose(1, 2)


def by_world(values: Tensor) -> Tensor:
    """Inverse of `by_member`: [M, N, E, ...] -> [M E, N, ...]."""
    return values.transpose(1, 2).flatten(0, 1)


@torch.no_grad()
def episode_returns(team: Any, act, streams: list[torch.Generator], episodes: int) -> Tensor:
    """[M, N, episodes] undiscounted returns of every learning agent over 25 steps.

    Args:
        team: the task, whatever has `reset` and `step` as a `Team`.
        act: policy of the population, obs [M, N, E, O] -> actions [M, N, E, d].
        streams: start states, one stream per member.
        episodes: per member.
    """
    members = len(streams)
    obs = team.reset(streams, episodes)
    total = torch.zeros(())
    for _ in range(EPISODE_STEPS):
        obs, rewards = team.step(by_world(act(by_member(obs, members))))
        total = total + rewards
    return by_member(total, members)
