"""A kinematic world as a PettingZoo ParallelEnv, over the batched core."""

import numpy as np
import torch
from gymnasium.spaces import Box
from pettingzoo import ParallelEnv

from envs.kinematic.worlds import KinematicBatch, task_view
from envs.lockstep import observed


class KinematicEnv(ParallelEnv):
    """The learning agents of a task in worlds.py; a prey is part of the world.

    Observation: own position, the others' in a fixed order, then the prey's or the landmarks', all
    in [-1, 1]. Action: displacement [2] in [-0.1, 0.1] (in shifting navigation in [-1, 1], to be
    multiplied by beta). Reward: shared. Terminates when the landmark of shifting navigation is
    reached; truncated after 25 steps, there after 50.

    Args:
        task: name in `worlds.SCENARIOS`.
        beta: of shifting navigation, see `KinematicBatch`.
    """

    metadata = {"name": "kinematic", "render_modes": ["rgb_array"], "is_parallelizable": True}

    def __init__(self, task: str, beta: float | None = None, render_mode: str | None = None):
        self.batch = KinematicBatch(task, 1, beta)
        self.render_mode = render_mode
        self.view = task_view(task)
        self.speed = self.batch.scenario.speed
        self.possible_agents = [f"agent_{i}" for i in range(self.view.num_agents)]
        seen = Box(-1.0, 1.0, (self.view.obs_dim,), np.float32)
        act = Box(-self.speed, self.speed, (2,), np.float32)
        self.observation_spaces = dict.fromkeys(self.possible_agents, seen)
        self.action_spaces = dict.fromkeys(self.possible_agents, act)
        self.agents: list[str] = []
        self.stream = torch.Generator()
        self.stream.seed()

    def observation_space(self, agent):
        return self.observation_spaces[agent]

    def action_space(self, agent):
        return self.action_spaces[agent]

    def reset(self, seed=None, options=None):
        """Starts an episode; the same seed gives the same episode."""
        if seed is not None:
            self.stream.manual_seed(seed)
        self.agents = self.possible_agents[:]
        return self._named(self.batch.reset([self.stream])[0]), {agent: {} for agent in self.agents}

    def step(self, actions):
        """One step of all agents: {agent: [2], a speed}, clipped to the action space."""
        speeds = np.concatenate([np.asarray(actions[agent], np.float64) for agent in self.agents])
        states, rewards, terminated, truncated = self.batch.step(speeds[None] / self.speed)
        agents = self.agents
        if terminated[0] or truncated[0]:
            self.agents = []
        return (
            self._named(states[0]),
            dict.fromkeys(agents, float(rewards[0])),
            dict.fromkeys(agents, bool(terminated[0])),
            dict.fromkeys(agents, bool(truncated[0])),
            {agent: {} for agent in agents},
        )

    def state(self):
        """Positions of all agents, then of the prey or the landmarks."""
        return self.batch.observe()[0].astype(np.float32)

    def render(self):
        """The present world as an RGB array [H, W, 3]."""
        from envs.kinematic.render import frame

        return frame(self.batch.scenario, self.batch.points[0])

    def _named(self, state):
        return {
            agent: observed(state, i, self.view).astype(np.float32)
            for i, agent in enumerate(self.possible_agents)
        }
