"""What the PettingZoo forms of all tasks have in common: a team begins and ends together."""

from collections.abc import Mapping
from typing import Any

import torch
from gymnasium.spaces import Space
from pettingzoo import ParallelEnv

Seen = dict[str, Any]  # every agent's observation


class TeamEnv(ParallelEnv):
    """Agents with fixed spaces that all stay until an episode ends.

    Args:
        observation_spaces, action_spaces: by agent.
    """

    def __init__(
        self,
        observation_spaces: Mapping[str, Space],
        action_spaces: Mapping[str, Space],
        render_mode: str | None = None,
    ):
        self.observation_spaces = observation_spaces
        self.action_spaces = action_spaces
        self.render_mode = render_mode
        self.possible_agents = [*observation_spaces]
        self.agents: list[str] = []

    def observation_space(self, agent):
        return self.observation_spaces[agent]

    def action_space(self, agent):
        return self.action_spaces[agent]

    def begun(self, seen: Seen) -> tuple[Seen, dict[str, dict]]:
        """What `reset` returns: an episode has begun."""
        self.agents = self.possible_agents[:]
        return seen, self.infos()

    def moved(
        self, seen: Seen, rewards: dict[str, float], terminated: bool, truncated: bool, **info
    ) -> tuple[Seen, dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict]]:
        """What `step` returns; an episode that is over has no agents.

        Args:
            info: the same for everybody.
        """
        if terminated or truncated:
            self.agents = []
        return (
            seen,
            rewards,
            dict.fromkeys(self.possible_agents, bool(terminated)),
            dict.fromkeys(self.possible_agents, bool(truncated)),
            self.infos(**info),
        )

    def shared(self, reward) -> dict[str, float]:
        """The team's reward as everybody's."""
        return dict.fromkeys(self.possible_agents, float(reward))

    def infos(self, **info) -> dict[str, dict]:
        """A dictionary of every agent's own."""
        return {agent: dict(info) for agent in self.possible_agents}


class SeededEnv(TeamEnv):
    """A team whose starts are drawn from `stream`: from entropy until a seed is given."""

    def __init__(
        self,
        observation_spaces: Mapping[str, Space],
        action_spaces: Mapping[str, Space],
        render_mode: str | None = None,
    ):
        super().__init__(observation_spaces, action_spaces, render_mode)
        self.stream = torch.Generator()
        self.stream.seed()

    def reseed(self, seed: int | None) -> list[torch.Generator]:
        """The stream as a batched core takes it, started anew where there is a seed."""
        if seed is not None:
            self.stream.manual_seed(seed)
        return [self.stream]


def numbered(count: int) -> list[str]:
    """Names of agents."""
    return [f"agent_{i}" for i in range(count)]
