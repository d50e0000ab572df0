"""A robot shared by a team: populations of multi-agent policies evaluated in lockstep."""

import numpy as np
import torch
from torch import Tensor

from envs.mujoco.batch import RobotBatch, play
from envs.mujoco.views import View, task_view


class RobotTeam:
    """The agents of a view of a robot.

    Args:
        task: a robot's name or a task built on one, see `task_view`.
        of: another view than the task's own.
        device: where policies live; physics runs on the CPU.
    """

    def __init__(self, task: str, of: View | None = None, device="cpu", contact_margins: str = "pre-3.5"):
        self.view, self.device, self.contact_margins = of or task_view(task), device, contact_margins
        self.num_agents, self.obs_dim, self.action_dim = self.view.num_agents, self.view.obs_dim, self.view.action_dim
        self.batches: dict[int, RobotBatch] = {}

    def returns(self, act, streams: list[torch.Generator], episodes: int) -> Tensor:
        """[M, episodes] undiscounted returns of whole episodes.

        Args:
            act: policy of the population, obs [M, N, E, O] -> actions [M, N, E, A].
            streams: start states, one stream per member.
        """
        members = len(streams)
        batch = self.batch(members * episodes)

        def joint(states: np.ndarray) -> np.ndarray:
            obs = self.view.observe(torch.from_numpy(states.astype(np.float32)).to(self.device))  # [W, N, O]
            actions = act(obs.unflatten(0, (members, episodes)).transpose(1, 2).contiguous())
            return self.view.join(actions.transpose(1, 2).flatten(0, 1)).cpu().numpy()

        returns, _ = play(batch, joint, streams)
        return torch.from_numpy(returns).view(members, episodes)

    def batch(self, worlds: int) -> RobotBatch:
        """A batch of this size, made once."""
        if worlds not in self.batches:
            self.batches = {worlds: RobotBatch(self.view.robot, worlds, self.contact_margins)}
        return self.batches[worlds]
