"""Robots in lockstep: many simulations of one robot stepped by one call, on MuJoCo's batch engine.

Physics is bit-identical to gymnasium's loop over single environments, at any number of threads.
"""

import numpy as np
import torch
from mujoco.batch import Batch

from envs.mujoco.robots import robot


class RobotBatch:
    """W simulations of one robot.

    Every simulation has its own clock, so finished ones can be restarted while others run on. All
    arrays are float64.

    Args:
        name: of the robot.
        worlds: W.
        contact_margins: see `Robot.model`.
        threads: of the physics; None for as many as torch uses.
    """

    def __init__(
        self, name: str, worlds: int, contact_margins: str = "pre-3.5", threads: int | None = None
    ):
        self.robot = robot(name)
        self.worlds = worlds
        self.contact_margins = contact_margins
        self.model = self.robot.model(contact_margins)
        self.dt = self.model.opt.timestep * self.robot.frame_skip
        self.action_dim = self.model.nu
        self.simulations = Batch(self.model, worlds, threads or torch.get_num_threads())
        self.qpos = self.simulations.bind("qpos")
        self.qvel = self.simulations.bind("qvel")
        self.control = self.simulations.bind("ctrl")
        self._xpos = self.simulations.bind("xpos")
        self.warmstart = self.simulations.bind("qacc_warmstart")
        self.steps = np.zeros(worlds, np.int64)
        self.simulations.reset()
        self.xpos = (
            self._xpos.copy()
        )  # of the bodies; after a step they trail qpos by a substep, as in MuJoCo
        self.state_dim = self.observe().shape[1]

    def reset(self, streams: list[torch.Generator]) -> np.ndarray:
        """Starts W / len(streams) episodes per stream, in order; returns observed states [W, D]."""
        return self.restart(np.arange(self.worlds), streams)

    def restart(self, which: np.ndarray, streams: list[torch.Generator]) -> np.ndarray:
        """Starts new episodes in the simulations `which`, equally many per stream; returns all
        observed states.
        """
        start = self.robot.start(self.model, streams, len(which) // len(streams))
        return self.set_state(*start, which)

    def set_state(
        self, qpos: np.ndarray, qvel: np.ndarray, which: np.ndarray | None = None
    ) -> np.ndarray:
        """Puts simulations (all, or `which`) into states qpos [W, nq] and qvel [W, nv] at step 0;
        returns all observed states.

        Exact but for the solver's warm start, which begins afresh as after any reset.
        """
        which = np.arange(self.worlds) if which is None else np.asarray(which)
        self.simulations.reset(which, stage=0)
        self.qpos[which] = qpos
        self.qvel[which] = qvel
        self.simulations.forward(which)
        self.xpos[which] = self._xpos[which]
        self.steps[which] = 0
        return self.observe()

    def set_observed(self, observed: np.ndarray) -> np.ndarray:
        """Puts all simulations into observed states [W, D], as stored in data; `robot.not_observed`
        says what is lost.
        """
        return self.set_state(*self.robot.state_of(self.model, np.asarray(observed)))

    def snapshot(self) -> dict[str, np.ndarray]:
        """Everything `restore` needs to continue bit for bit: state, the solver's warm start,
        trailing positions, clocks.
        """
        arrays = {
            "qpos": self.qpos,
            "qvel": self.qvel,
            "warmstart": self.warmstart,
            "xpos": self.xpos,
            "steps": self.steps,
        }
        return {name: values.copy() for name, values in arrays.items()}

    def restore(self, saved: dict[str, np.ndarray]) -> np.ndarray:
        """Continues from a `snapshot` of as many worlds; returns observed states [W, D]."""
        self.set_state(saved["qpos"], saved["qvel"])
        self.warmstart[:] = saved["warmstart"]
        self.xpos[:] = saved["xpos"]
        self.steps[:] = saved["steps"]
        return self.observe()

    def observe(self) -> np.ndarray:
        """[W, D] observed states."""
        return self.robot.observe(self.qpos, self.qvel, self.xpos)

    def step(self, actions: np.ndarray, which: np.ndarray | None = None):
        """One control step of all simulations, or of `which`.

        Args:
            actions: [W, U] (or one row for each of `which`), clipped to [-1, 1].

        Returns:
            observed states [W, D], rewards [W], terminated [W], truncated [W]; rows of the stepped
            simulations only.

        Raises:
            ValueError: actions of another shape, or not finite.
        """
        rows = slice(None) if which is None else np.asarray(which)
        actions = np.asarray(actions, np.float64)
        expected = (self.worlds if which is None else len(which), self.action_dim)
        if actions.shape != expected:
            raise ValueError(f"actions have shape {actions.shape}, expected {expected}")
        if not np.isfinite(actions).all():
            raise ValueError("actions hold NaN or infinity, expected numbers in [-1, 1]")
        actions = np.clip(actions, -1, 1)
        before = self.robot.place(self.qpos[rows], self.xpos[rows])
        self.control[rows] = actions
        self.simulations.step(None if which is None else rows, nstep=self.robot.frame_skip)
        self.steps[rows] += 1
        self.xpos[rows] = self._xpos[rows]
        qpos = self.qpos[rows]
        qvel = self.qvel[rows]
        xpos = self.xpos[rows]
        rewards = self.robot.rewards(before, self.robot.place(qpos, xpos), actions, self.dt)
        terminated = ~self.robot.healthy(qpos, qvel)
        truncated = (self.steps[rows] >= self.robot.horizon) & ~terminated
        return self.robot.observe(qpos, qvel, xpos), rewards, terminated, truncated
