"""The robots: gymnasium's v4 tasks, whose rules are those of the v2 tasks that D4RL collected its
data in.

A robot says which coordinates are observed, how it is rewarded, when it has fallen and where an
episode starts, for W simulations at once. The models are gymnasium's own XML files. v5 is another
task: in Walker2d other feet, in Hopper and Walker2d no alive bonus on the last step, in Ant other
observations and a contact cost, in Reacher the distance after the step.

Axes: W simulations, D numbers of the observed state, U actuators. States are float64.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    import mujoco

SILENT_WARNINGS = lambda message: None  # noqa: E731  kept alive here, MuJoCo holds only a reference
MARGINS = ("pre-3.5", "plain")


def _noise(
    kind: str, streams: list[torch.Generator], worlds: int, size: int, scale: float
) -> np.ndarray:
    """[streams x worlds, size] start noise, drawn per stream; kind is "uniform" (in +-scale) or
    "normal".
    """
    draws = []
    for stream in streams:
        draw = torch.empty(worlds, size, dtype=torch.float64)
        draw = (
            draw.uniform_(-1, 1, generator=stream)
            if kind == "uniform"
            else draw.normal_(generator=stream)
        )
        draws.append(draw)
    return scale * torch.cat(draws).numpy()


@dataclass(frozen=True)
class Robot:
    """A running robot: forward speed, less a cost of control, plus a bonus on every step it is
    alive.

    The observed state is qpos without its first `hidden` coordinates, then qvel, clipped to
    +-`speed_limit`. The episode terminates when the robot is not `healthy` and is truncated after
    `horizon` steps. Start states are the model's, plus uniform noise on qpos and `speed_noise`
    noise on qvel, both of size `start_noise`.
    """

    name: str
    xml: str
    agents: int  # who share the actuators in contiguous slices
    frame_skip: int
    control_cost: float
    alive: float = 0.0
    start_noise: float = 0.1
    speed_noise: str = "normal"
    speed_limit: float = np.inf
    hidden: int = 1
    horizon: int = 1000
    not_observed: str = "the robot's distance along x, set to 0 (it changes no reward)"

    def model(self, contact_margins: str = "pre-3.5") -> "mujoco.MjModel":
        """The physics model.

        Args:
            contact_margins: "pre-3.5" halves every geom's margin, because MuJoCo adds the margins
                of two touching geoms since 3.5.0 where it took the larger before; "plain" leaves
                them. Matters in Hopper and Ant.
        """
        import mujoco

        if contact_margins not in MARGINS:
            expected = ", ".join(MARGINS)
            raise ValueError(
                f"unknown contact_margins {contact_margins!r}, expected one of: {expected}"
            )
        # Else MuJoCo writes MUJOCO_LOG.TXT into the working folder at every load
        mujoco.set_mju_user_warning(SILENT_WARNINGS)
        model = mujoco.MjModel.from_xml_path(str(xml_path(self.xml)))
        if contact_margins == "pre-3.5":
            model.geom_margin[:] *= 0.5
        return model

    def observe(self, qpos: np.ndarray, qvel: np.ndarray, xpos: np.ndarray) -> np.ndarray:
        """[W, D] observed states."""
        return np.concatenate(
            [qpos[:, self.hidden :], np.clip(qvel, -self.speed_limit, self.speed_limit)], axis=1
        )

    def place(self, qpos: np.ndarray, xpos: np.ndarray) -> np.ndarray:
        """[W, ...] what the step's reward compares before and after."""
        return qpos[:, 0].copy()

    def rewards(
        self, before: np.ndarray, after: np.ndarray, actions: np.ndarray, dt: float
    ) -> np.ndarray:
        """[W] rewards of one step, from `place` before and after it."""
        forward = (after - before) / dt
        return (forward + self.alive) - self.control_cost * np.square(actions).sum(1)

    def healthy(self, qpos: np.ndarray, qvel: np.ndarray) -> np.ndarray:
        """[W] whether the episode goes on."""
        return np.ones(len(qpos), bool)

    def start(
        self, model, streams: list[torch.Generator], worlds: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Start states qpos [W, nq] and qvel [W, nv] of `worlds` episodes per stream."""
        qpos = model.qpos0 + _noise("uniform", streams, worlds, model.nq, self.start_noise)
        return qpos, _noise(self.speed_noise, streams, worlds, model.nv, self.start_noise)

    def state_of(self, model, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """qpos and qvel behind observed states [W, D]; what is not in them is said by
        `not_observed`.
        """
        qpos = np.zeros((len(observed), model.nq))
        qpos[:, self.hidden :] = observed[:, : model.nq - self.hidden]
        return qpos, observed[:, model.nq - self.hidden :].astype(np.float64)


class HalfCheetah(Robot):
    """Never falls."""


class Hopper(Robot):
    """Falls below 0.7 m, beyond 0.2 rad of pitch, or with a coordinate beyond 100."""

    def healthy(self, qpos, qvel):
        state = np.concatenate([qpos[:, 2:], qvel], axis=1)
        bounded = (np.abs(state) < 100).all(1)
        return bounded & (qpos[:, 1] > 0.7) & (np.abs(qpos[:, 2]) < 0.2)


class Walker2d(Robot):
    """Falls outside 0.8 to 2 m or beyond 1 rad of pitch."""

    def healthy(self, qpos, qvel):
        return (qpos[:, 1] > 0.8) & (qpos[:, 1] < 2.0) & (np.abs(qpos[:, 2]) < 1.0)


class Ant(Robot):
    """Falls outside 0.2 to 1 m. Speed is that of the torso body, whose position trails qpos by one
    substep.

    27 numbers, without the 84 contact forces: they are all zero in D4RL's data.
    """

    def place(self, qpos, xpos):
        return xpos[:, 1, 0].copy()  # body 1 is the torso

    def healthy(self, qpos, qvel):
        finite = np.isfinite(qpos).all(1) & np.isfinite(qvel).all(1)
        return finite & (qpos[:, 2] >= 0.2) & (qpos[:, 2] <= 1.0)


class Reacher(Robot):
    """A two-joint arm reaches for a target: minus the distance before the step, minus the squared
    torques.

    11 numbers: cosines and sines of both joints, target x and y, joint speeds, fingertip minus
    target (x, y, z). Never terminates; 50 steps.
    """

    # bodies
    FINGERTIP = 3
    TARGET = 4

    def observe(self, qpos, qvel, xpos):
        angles = qpos[:, :2]
        tip = xpos[:, self.FINGERTIP] - xpos[:, self.TARGET]
        return np.concatenate(
            [np.cos(angles), np.sin(angles), qpos[:, 2:], qvel[:, :2], tip], axis=1
        )

    def place(self, qpos, xpos):
        return np.linalg.norm(xpos[:, self.FINGERTIP] - xpos[:, self.TARGET], axis=1)

    def rewards(self, before, after, actions, dt):
        return -before - np.square(actions).sum(1)

    def start(self, model, streams, worlds):
        qpos = model.qpos0 + _noise("uniform", streams, worlds, model.nq, 0.1)
        qpos[:, 2:] = np.concatenate([_targets(stream, worlds) for stream in streams])
        qvel = _noise("uniform", streams, worlds, model.nv, 0.005)
        qvel[:, 2:] = 0
        return qpos, qvel

    def state_of(self, model, observed):
        observed = observed.astype(np.float64)
        angles = np.arctan2(observed[:, 2:4], observed[:, :2])
        qvel = np.zeros((len(observed), 4))
        qvel[:, :2] = observed[:, 6:8]
        return np.concatenate([angles, observed[:, 4:6]], axis=1), qvel


def _targets(stream: torch.Generator, count: int) -> np.ndarray:
    """[count, 2] points uniform in the disc of radius 0.2, by rejection from its square."""
    found = np.empty((0, 2))
    while len(found) < count:
        square = (
            torch.empty(2 * count + 8, 2, dtype=torch.float64)
            .uniform_(-0.2, 0.2, generator=stream)
            .numpy()
        )
        found = np.concatenate([found, square[np.linalg.norm(square, axis=1) < 0.2]])
    return found[:count]


CLIPPED = "the distance along x, set to 0, and speeds beyond +-10, which the observation clips"
ROBOTS = {
    robot.name: robot
    for robot in (
        HalfCheetah("halfcheetah", "half_cheetah.xml", 2, frame_skip=5, control_cost=0.1),
        Hopper(
            "hopper",
            "hopper.xml",
            3,
            frame_skip=4,
            control_cost=1e-3,
            alive=1.0,
            start_noise=5e-3,
            speed_noise="uniform",
            speed_limit=10.0,
            not_observed=CLIPPED,
        ),
        Walker2d(
            "walker2d",
            "walker2d.xml",
            2,
            frame_skip=4,
            control_cost=1e-3,
            alive=1.0,
            start_noise=5e-3,
            speed_noise="uniform",
            speed_limit=10.0,
            not_observed=CLIPPED,
        ),
        Ant(
            "ant",
            "ant.xml",
            4,
            frame_skip=5,
            control_cost=0.5,
            alive=1.0,
            hidden=2,
            not_observed="the torso's x and y, set to 0 (they change no reward), and its position "
            "one substep earlier, which the next step's reward measures from",
        ),
        Reacher(
            "reacher",
            "reacher.xml",
            2,
            frame_skip=2,
            control_cost=1.0,
            horizon=50,
            not_observed="whole turns of the first joint (they change nothing), and that the "
            "fingertip trails the joints by a substep",
        ),
    )
}


def robot(name: str) -> Robot:
    """The robot of this name.

    Raises:
        ValueError: no such robot.
    """
    if name not in ROBOTS:
        raise ValueError(f"unknown robot {name!r}, expected one of: {', '.join(ROBOTS)}")
    return ROBOTS[name]


def xml_path(xml: str) -> Path:
    """gymnasium's model file."""
    import gymnasium

    return Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets" / xml
