"""A particle scenario as a PettingZoo ParallelEnv: one world with PettingZoo's interface, over the
batched core.
"""

import numpy as np
import torch
from gymnasium.spaces import Box

from envs.parallel import SeededEnv
from envs.particle.batch import ParticleBatch
from envs.particle.scenarios import EPISODE_STEPS, SCENARIOS


class ParticleEnv(SeededEnv):
    """All agents of a scenario, the prey included; observations are unpadded, actions are forces in
    [-1, 1].

    Agents, rewards and starts: see the scenario's class in scenarios.py. Episodes are truncated
    after 25 steps and never terminate.

    Args:
        task: name in `SCENARIOS`.
    """

    metadata = {"name": "particle", "render_modes": ["rgb_array"], "is_parallelizable": True}

    def __init__(self, task: str, render_mode: str | None = None):
        if task not in SCENARIOS:
            raise ValueError(f"unknown task {task!r}, expected one of: {', '.join(SCENARIOS)}")
        self.task = task
        self.batch = ParticleBatch(SCENARIOS[task])
        scenario = self.batch.scenario
        names = [body.name for body in scenario.agents]
        seen = [Box(-np.inf, np.inf, (size,), np.float32) for size in scenario.obs_dims]
        act = {name: Box(-1.0, 1.0, (scenario.dims,), np.float32) for name in names}
        super().__init__(dict(zip(names, seen, strict=True)), act, render_mode)

    def reset(self, seed=None, options=None):
        """Starts an episode; the same seed gives the same episode."""
        return self.begun(self._named(self.batch.reset(self.reseed(seed), 1)))

    def step(self, actions):
        """One step of all agents: {agent: [d] in [-1, 1]}, clipped."""
        joint = torch.from_numpy(
            np.stack([np.asarray(actions[agent], np.float64) for agent in self.agents])
        )
        obs, rewards = self.batch.step(joint[None])
        own = dict(zip(self.agents, rewards[0].tolist(), strict=True))
        return self.moved(self._named(obs), own, False, self.batch.steps >= EPISODE_STEPS)

    def state(self):
        """Everybody's observation, one after the other."""
        return np.concatenate(list(self._named(self.batch.observe()).values()))

    def render(self):
        """The present world as an RGB array [H, W, 3]."""
        from envs.particle.render import frame

        return frame(self.batch.scenario, self.batch.positions[0])

    def _named(self, obs):
        rows = zip(self.possible_agents, obs[0].numpy(), strict=True)
        return {agent: row[: self.observation_spaces[agent].shape[0]].copy() for agent, row in rows}
