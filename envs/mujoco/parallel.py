"""A robot as a PettingZoo ParallelEnv: one simulation with PettingZoo's interface, over the batched
core.
"""

import numpy as np
from gymnasium.spaces import Box

from envs.lockstep import observed
from envs.mujoco.batch import RobotBatch
from envs.mujoco.views import view
from envs.parallel import SeededEnv, numbered


class RobotEnv(SeededEnv):
    """Agents `agent_0`... share a robot and its reward.

    Observations: see `envs.mujoco.views`; actions: torques in [-1, 1] of the agent's own actuators,
    clipped. Reward, termination and start: gymnasium's v4 task, see `envs.mujoco.robots`. Truncated
    after 1000 steps (Reacher: 50).

    Args:
        robot: "halfcheetah", "hopper", "walker2d", "ant" or "reacher".
        observation: name of the observation function.
        contact_margins: "pre-3.5" (the physics of D4RL's time) or "plain".
    """

    metadata = {"name": "mujoco", "render_modes": ["rgb_array"], "is_parallelizable": True}

    def __init__(
        self,
        robot: str,
        observation: str = "full",
        contact_margins: str = "pre-3.5",
        render_mode: str | None = None,
    ):
        self.view = view(robot, observation)
        self.batch = RobotBatch(robot, 1, contact_margins, threads=1)
        names = numbered(self.view.num_agents)
        seen = [Box(-np.inf, np.inf, (size,), np.float32) for size in self.view.obs_dims]
        act = {name: Box(-1.0, 1.0, (self.view.action_dim,), np.float32) for name in names}
        super().__init__(dict(zip(names, seen, strict=True)), act, render_mode)
        self.renderer = None

    def reset(self, seed=None, options=None):
        """Starts an episode; the same seed gives the same episode."""
        return self.begun(self._named(self.batch.reset(self.reseed(seed))[0]))

    def step(self, actions):
        """One control step: {agent: [A]}."""
        joint = np.concatenate([np.asarray(actions[agent], np.float64) for agent in self.agents])
        states, rewards, terminated, truncated = self.batch.step(joint[None])
        seen = self._named(states[0])
        return self.moved(seen, self.shared(rewards[0]), terminated[0], truncated[0])

    def state(self):
        """The whole robot's observed state."""
        return self.batch.observe()[0].astype(np.float32)

    def render(self):
        """The present simulation as an RGB array [H, W, 3]."""
        from envs.mujoco.render import Camera

        self.renderer = self.renderer or Camera(self.batch)
        return self.renderer.frame(0)

    def close(self):
        if self.renderer:
            self.renderer.close()

    def _named(self, state):
        return {
            agent: observed(state, i, self.view).astype(np.float32)
            for i, agent in enumerate(self.possible_agents)
        }
