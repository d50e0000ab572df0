"""A kinematic world as a PettingZoo ParallelEnv, over the batched core."""

import numpy as np
from gymnasium.spaces import Box

from envs.kinematic.worlds import KinematicBatch, task_view
from envs.lockstep import observed
from envs.parallel import SeededEnv, numbered


class KinematicEnv(SeededEnv):
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
        self.view = task_view(task)
        self.speed = self.batch.scenario.speed
        names = numbered(self.view.num_agents)
        seen = Box(-1.0, 1.0, (self.view.obs_dim,), np.float32)
        act = Box(-self.speed, self.speed, (2,), np.float32)
        super().__init__(dict.fromkeys(names, seen), dict.fromkeys(names, act), render_mode)

    def reset(self, seed=None, options=None):
        """Starts an episode; the same seed gives the same episode."""
        return self.begun(self._named(self.batch.reset(self.reseed(seed))[0]))

    def step(self, actions):
        """One step of all agents: {agent: [2], a speed}, clipped to the action space."""
        speeds = np.concatenate([np.asarray(actions[agent], np.float64) for agent in self.agents])
        states, rewards, terminated, truncated = self.batch.step(speeds[None] / self.speed)
        seen = self._named(states[0])
        return self.moved(seen, self.shared(rewards[0]), terminated[0], truncated[0])

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
