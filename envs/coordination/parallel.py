"""The coordination game as a PettingZoo ParallelEnv."""

import numpy as np
from gymnasium.spaces import Box, Discrete
from pettingzoo import ParallelEnv

from envs.coordination import game


class CoordinationEnv(ParallelEnv):
    """Two agents are rewarded for doing the same, see game.py. Action: 0 left, 1 right. Episodes
    are cut after 10 steps.
    """

    metadata = {"name": "coordination", "render_modes": [], "is_parallelizable": True}

    def __init__(self):
        self.render_mode = None
        self.possible_agents = ["first", "second"]
        self.agents: list[str] = []

    def observation_space(self, agent):
        return self._spaces()[0]

    def action_space(self, agent):
        return self._spaces()[1]

    def _spaces(self):
        if not hasattr(self, "_kept"):
            self._kept = Box(0.0, 1.0, (game.STATE_DIM,), np.float32), Discrete(game.ACTIONS)
        return self._kept

    def reset(self, seed=None, options=None):
        """Starts an episode."""
        self.agents = self.possible_agents[:]
        self.steps = 0
        self.where = game.start(1)[0]
        return self._seen(self.agents), {agent: {} for agent in self.agents}

    def step(self, actions):
        """One step of both agents: {agent: action}.

        Raises:
            ValueError: an action is not 0 or 1.
        """
        chosen = [int(actions[agent]) for agent in self.agents]
        if any(action not in range(game.ACTIONS) for action in chosen):
            raise ValueError(f"actions are {chosen}, expected 0 (left) or 1 (right)")
        following, reward = game.step(np.array([chosen]))
        self.where = following[0]
        self.steps = self.steps + 1
        agents = self.agents
        truncated = self.steps >= game.HORIZON
        if truncated:
            self.agents = []
        return (
            self._seen(agents),
            dict.fromkeys(agents, float(reward[0])),
            dict.fromkeys(agents, False),
            dict.fromkeys(agents, truncated),
            {agent: {} for agent in agents},
        )

    def _seen(self, agents):
        return {agent: self.where.copy() for agent in agents}

    def state(self):
        """[5] the observed state."""
        return self.where.copy()
