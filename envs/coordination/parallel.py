"""The coordination game as a PettingZoo ParallelEnv."""

import numpy as np
from gymnasium.spaces import Box, Discrete

from envs.coordination import game
from envs.parallel import TeamEnv


class CoordinationEnv(TeamEnv):
    """Two agents are rewarded for doing the same, see game.py. Action: 0 left, 1 right. Episodes
    are cut after 10 steps.
    """

    metadata = {"name": "coordination", "render_modes": [], "is_parallelizable": True}

    def __init__(self):
        names = ("first", "second")
        seen = Box(0.0, 1.0, (game.STATE_DIM,), np.float32)
        super().__init__(dict.fromkeys(names, seen), dict.fromkeys(names, Discrete(game.ACTIONS)))

    def reset(self, seed=None, options=None):
        """Starts an episode."""
        self.steps = 0
        self.where = game.start(1)[0]
        return self.begun(self._seen())

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
        self.steps += 1
        truncated = self.steps >= game.HORIZON
        return self.moved(self._seen(), self.shared(reward[0]), False, truncated)

    def _seen(self):
        return {agent: self.where.copy() for agent in self.possible_agents}

    def state(self):
        """[5] the observed state."""
        return self.where.copy()
