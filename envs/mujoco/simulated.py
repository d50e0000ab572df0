"""The simulator itself as the world that rollouts are made in: online training, and the
ground-truth ablations.
"""

import numpy as np
import torch
from torch import Tensor

from common.learning.philox import Streams
from common.learning.rollouts import Outcome
from envs.mujoco.batch import RobotBatch


class SimulatedWorld:
    """A robot put into given states and stepped; see `common.learning.rollouts`.

    Args:
        name: of the robot.
        horizon: steps after which an episode is over; None for never.
    """

    def __init__(
        self, name: str, horizon: int | None = None, contact_margins: str = "pre-3.5", device="cpu"
    ):
        self.name = name
        self.horizon = horizon
        self.contact_margins = contact_margins
        self.device = device
        self.batch = RobotBatch(name, 1, contact_margins)

    def reset(self, state: Tensor) -> None:
        """Puts one simulation into each of the observed states [M, B, D]; `Robot.not_observed` says
        what is lost.
        """
        rows = state.flatten(0, 1)
        if self.batch.worlds != len(rows):
            self.batch = RobotBatch(self.name, len(rows), self.contact_margins)
        self.batch.set_observed(rows.cpu().numpy())

    def step(self, state: Tensor, action: Tensor, streams: Streams | None) -> Outcome:
        """One control step with joint actions [M, B, U]; the simulation goes on from its own state,
        not from `state`.
        """
        shape = state.shape[:2]
        observed, reward, terminated, _ = self.batch.step(action.flatten(0, 1).cpu().numpy())
        if self.horizon is not None:
            terminated = terminated | (self.batch.steps >= self.horizon)

        def tensor(values: np.ndarray) -> Tensor:
            return (
                torch.from_numpy(np.ascontiguousarray(values, np.float32))
                .to(self.device)
                .view(*shape, *values.shape[1:])
            )

        # a robot that fell may explode numerically afterwards; such rows are masked, and must not
        # spread NaN
        observed = np.nan_to_num(np.clip(observed, -1e3, 1e3))
        running = torch.ones(shape, device=self.device)
        return Outcome(
            tensor(observed), tensor(np.nan_to_num(reward)), tensor(~terminated), running, {}
        )
