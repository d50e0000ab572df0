"""A robot as a PettingZoo ParallelEnv: one simulation with PettingZoo's interface, over the batched
core.
"""

import numpy as np
import torch
from gymnasium.spaces import Box
from pettingzoo import ParallelEnv

from envs.lockstep import observed
from envs.mujoco.batch import RobotBatch
from envs.mujoco.views import view


class RobotEnv(ParallelEnv):
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
        self.render_mode = render_mode
        self.possible_agents = [f"agent_{i}" for i in range(self.view.num_agents)]
        self.observation_spaces = {
            agent: Box(-np.inf, np.inf, (size,), np.float32)
            for agent, size in zip(self.possible_agents, self.view.obs_dims, strict=True)
        }
        self.action_spaces = {
            agent: Box(-1.0, 1.0, (self.view.action_dim,), np.float32)
            for agent in self.possible_agents
        }
        self.agents: list[str] = []
        self.stream = torch.Generator()
        self.stream.seed()
        self.renderer = None

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
        """One control step: {agent: [A]}."""
        joint = np.concatenate([np.asarray(actions[agent], np.float64) for agent in self.agents])
        states, rewards, terminated, truncated = self.batch.step(joint[None])
        agents = self.agents
        over = bool(terminated[0] or truncated[0])
        result = (
            self._named(states[0]),
            dict.fromkeys(agents, float(rewards[0])),
            dict.fromkeys(agents, bool(terminated[0])),
            dict.fromkeys(agents, bool(truncated[0])),
            {agent: {} for agent in agents},
        )
        if over:
            self.agents = []
        return result

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
