"""The grid world as a PettingZoo ParallelEnv."""

import numpy as np
from gymnasium.spaces import Discrete, MultiDiscrete

from envs.grid import world
from envs.parallel import TeamEnv


class GridEnv(TeamEnv):
    """Two agents move one robot, see world.py. Observation: x and y, from 0. Action: 0 stay, 1
    forward, 2 backward.

    Falling off the grid terminates; the last observation is then the cell that was left.
    """

    metadata = {"name": "grid", "render_modes": ["ansi"], "is_parallelizable": True}

    def __init__(self, render_mode: str | None = None):
        names = ("x", "y")
        super().__init__(
            {name: MultiDiscrete([world.WIDTH, world.HEIGHT]) for name in names},
            {name: Discrete(len(world.ACTIONS)) for name in names},
            render_mode,
        )

    def reset(self, seed=None, options=None):
        """Starts an episode, always in the lower left cell."""
        self.where = world.START
        self.steps = 0
        return self.begun(self._seen())

    def step(self, actions):
        """One step of both agents: {agent: action}.

        Raises:
            ValueError: an action is not 0, 1 or 2.
        """
        chosen = [actions[agent] for agent in self.agents]
        if any(int(action) not in range(len(world.ACTIONS)) for action in chosen):
            raise ValueError(
                f"actions are {chosen}, expected 0 (stay), 1 (forward) or 2 (backward)"
            )
        following, reward, over = world.step(np.array([self.where]), np.array([chosen]))
        self.steps += 1
        if following[0] != world.CLIFF:
            self.where = int(following[0])
        truncated = bool(self.steps >= world.HORIZON and not over[0])
        return self.moved(self._seen(), self.shared(reward[0]), over[0], truncated)

    def state(self):
        """x and y, from 0."""
        return np.array([self.where // world.HEIGHT, self.where % world.HEIGHT])

    def render(self):
        """The grid as text: R robot, G goal."""
        rows = [["." for _ in range(world.WIDTH)] for _ in range(world.HEIGHT)]
        for state, mark in ((world.GOAL, "G"), (self.where, "R")):
            x, y = world.cell(state)
            rows[world.HEIGHT - y][x - 1] = mark
        return "\n".join("".join(row) for row in rows)

    def _seen(self):
        return {agent: self.state() for agent in self.possible_agents}
