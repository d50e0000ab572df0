"""Draws robots without a screen: a frame as an array, an episode of a shipped policy as a GIF.

    python -m envs.mujoco.render two_agent_halfcheetah expert run.gif [steps]

On Linux this needs EGL (Debian and Ubuntu: `apt-get install libegl1`) or, with MUJOCO_GL=osmesa,
`libosmesa6`.
"""

import sys
from pathlib import Path

import mujoco
import numpy as np
import torch
from PIL import Image

from common.learning.population import generator, generators
from common.running.files import atomic
from envs.mujoco import behaviour
from envs.mujoco import team_behaviour as teams
from envs.mujoco.batch import RobotBatch
from envs.mujoco.robots import robot
from envs.mujoco.views import TASK_VIEWS, task_view

NEEDS = (
    "drawing robots needs off-screen OpenGL, which this machine lacks: on Debian or Ubuntu run "
    "`apt-get install libegl1`, or `apt-get install libosmesa6` and set MUJOCO_GL=osmesa; if "
    "mujoco was imported before envs.mujoco, set MUJOCO_GL=egl"
)
CAMERAS = {
    "reacher": None,
    "ant": "track",
    "halfcheetah": "track",
    "hopper": "track",
    "walker2d": "track",
}


class Camera:
    """Frames of one batch.

    Raises:
        RuntimeError: no off-screen OpenGL; the message says what to install.
    """

    def __init__(self, batch: RobotBatch, height: int = 240, width: int = 320):
        self.batch = batch
        self.data = mujoco.MjData(batch.model)
        try:
            self.renderer = mujoco.Renderer(batch.model, height, width)
        except Exception as error:  # whatever the OpenGL binding raises when there is none
            raise RuntimeError(f"{NEEDS} ({type(error).__name__}: {error})") from error

    def frame(self, world: int) -> np.ndarray:
        """RGB array [H, W, 3] of one simulation."""
        self.data.qpos[:] = self.batch.qpos[world]
        self.data.qvel[:] = self.batch.qvel[world]
        mujoco.mj_forward(self.batch.model, self.data)
        self.renderer.update_scene(
            self.data, camera=CAMERAS[self.batch.robot.name] or self._above()
        )
        return self.renderer.render()

    def _above(self) -> mujoco.MjvCamera:
        camera = mujoco.MjvCamera()
        camera.lookat[:] = 0
        camera.distance = 0.8
        camera.elevation = -90
        return camera

    def close(self) -> None:
        self.renderer.close()


def save_gif(frames: list[np.ndarray], path: Path, seconds_per_frame: float) -> None:
    """Writes frames as a GIF, atomically."""
    images = [Image.fromarray(frame) for frame in frames]
    with atomic(path) as part:
        images[0].save(
            part,
            format="GIF",
            save_all=True,
            append_images=images[1:],
            duration=max(20, 1000 * seconds_per_frame),
            loop=0,
        )


def episode(
    robot: str, act, streams, steps: int, every: int = 2, contact_margins: str = "pre-3.5"
) -> list[np.ndarray]:
    """Every other frame of one episode of a policy, states [1, D] -> actions [1, U], at most
    `steps` long.
    """
    batch = RobotBatch(robot, 1, contact_margins, threads=1)
    camera = Camera(batch)
    state = batch.reset(streams)
    frames = []
    for step in range(steps):
        if step % every == 0:
            frames.append(camera.frame(0).copy())
        state, _, terminated, truncated = batch.step(act(state))
        if terminated[0] or truncated[0]:
            break
    camera.close()
    return frames


def shipped_policy(task: str, quality: str):
    """Deterministic joint actions of a shipped policy (of the first team), states [1, D] -> actions
    [1, U].
    """
    if task not in TASK_VIEWS:
        return behaviour.deterministic(behaviour.load_policy(task, quality))
    of = task_view(task)
    policy = teams.load_policy(task, quality)
    act = teams.noisy(policy, generators(teams.SEEDS, "render"), std=0.0)

    def joint(state: np.ndarray) -> np.ndarray:
        obs = of.observe(torch.from_numpy(state).float())[None].transpose(1, 2)  # [1, N, 1, O]
        return of.join(act(obs.expand(len(teams.SEEDS), -1, -1, -1))[0].transpose(0, 1)).numpy()

    return joint


def main(arguments: list[str]) -> int:
    """Command line; returns the exit code."""
    if len(arguments) not in (3, 4) or not arguments[2].endswith(".gif"):
        print(
            "usage: python -m envs.mujoco.render TASK medium|expert FILE.gif [STEPS]",
            file=sys.stderr,
        )
        return 2
    name, quality, path = arguments[:3]
    try:
        steps = int(arguments[3]) if len(arguments) == 4 else 200
        which = robot(task_view(name).system)
        frames = episode(
            which.name,
            shipped_policy(name, quality),
            [generator(0, "render")],
            min(steps, which.horizon),
        )
        save_gif(frames, Path(path), 2 * RobotBatch(which.name, 1).dt)
    except (ValueError, FileNotFoundError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{len(frames)} frames in {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
