"""Reads the data that OMAR's authors released into our layout.

A folder <task>/<quality>/seed_<n>_data for each of five seeds, in it an array for every agent i:
obs_i [R, O], acs_i [R, A], rews_i [R], next_obs_i [R, O], dones_i [R], as .npy, the prey's last; of
HalfCheetah also states_i, next_states_i [R, 17] (loader: utils/buffer.py of ling-pan/OMAR).
Episodes are blocks of 25 rows (HalfCheetah 1000) in order of time. The released prey policy
(pretrained_adv_model.pt) is a pickle and is not read, and neither are arrays of Python objects.
"""

import hashlib
from pathlib import Path

import numpy as np

from common.running.files import sha256
from envs.mujoco.robots import robot
from envs.mujoco.views import JOINTS, STATE_DIMS, task_view
from envs.particle.scenarios import EPISODE_STEPS, SCENARIOS
from envs.storage import FORMAT, DataError
from envs.tasks import num_agents

ROBOT = "two_agent_halfcheetah"
FOLDERS = {
    "cooperative_navigation": "simple_spread",
    "predator_prey": "simple_tag",
    "world": "simple_world",
    ROBOT: "HalfCheetah-v2",
}
CLOSE = 1e-4  # to which rows that follow each other, and copies, agree


def seeds(task: str, quality: str, folder: Path) -> list[int]:
    """Seeds whose data are there.

    Raises:
        DataError: there are none, or none were released of this task.
    """
    if task not in FOLDERS:
        raise DataError(f"OMAR released no data of {task}, only of {', '.join(FOLDERS)}")
    place = folder / FOLDERS[task] / quality
    names = [path.name for path in place.glob("seed_*_data") if path.is_dir()]
    words = [name.removeprefix("seed_").removesuffix("_data") for name in names]
    found = sorted(int(word) for word in words if word.isdecimal())
    if not found:
        raise DataError(f"no data of {task} {quality} in {place}, expected seed_0_data and so on")
    return found


def read(task: str, quality: str, folder: Path, seed: int) -> tuple[dict[str, np.ndarray], dict]:
    """Arrays by their names in our file, and provenance, of one released data set.

    Raises:
        DataError: a file is missing, or does not hold what it should; the message names it.
    """
    place = folder / FOLDERS[task] / quality / f"seed_{seed}_data"
    files = Files(place)
    arrays = robot_rows(files) if task == ROBOT else particle_rows(task, files)
    facts = {
        "format": FORMAT,
        "task": task,
        "quality": quality,
        "seed": seed,
        "size": "omar",
        "agents": num_agents(task),
        "source": {"kind": "omar", "folder": "/".join(place.parts[-3:]), "sha256": files.digest()},
    }
    return arrays, facts


class Files:
    """The arrays of a folder; all have as many rows as the first that was read."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.rows: int | None = None
        self.used: list[Path] = []

    def array(self, name: str, width: int | None = None) -> np.ndarray:
        """[R, width] float32, or [R] without a width.

        Raises:
            DataError: it is missing, is no such array of numbers, or is not as long as the others.
        """
        path = self.folder / f"{name}.npy"
        if not path.exists():
            raise DataError(f"there is no {path}")
        try:
            values = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            what = "Python objects, which could run code" if "pickle" in str(error) else error
            raise DataError(f"{path} cannot be read as an array of numbers: {what}") from None
        if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiub":
            raise DataError(f"{path} holds no numbers")
        if self.rows is None and values.ndim:
            self.rows = len(values)
        expected = (self.rows,) if width is None else (self.rows, width)
        if values.shape != expected or not values.size:
            raise DataError(f"{path} has shape {values.shape}, expected {expected} and some rows")
        if not np.isfinite(values).all():
            raise DataError(f"{path} holds NaN or infinity")
        self.used.append(path)
        return values.astype(np.float32)

    def actions(self, agent: int, width: int) -> np.ndarray:
        """[R, width] actions of an agent, in [-1, 1] to rounding."""
        values = self.array(f"acs_{agent}", width)
        reach = float(np.abs(values).max())
        if reach > 1 + 1e-5:
            raise DataError(f"{self.used[-1]}: actions reach {reach:.3f}, expected [-1, 1]")
        return values.clip(-1, 1)

    def timeouts(self, agent: int, horizon: int) -> np.ndarray:
        """[R] true on the last row of every episode, where alone `dones` may be set: only the clock
        ends episodes of these tasks.
        """
        ends = np.arange(1, (self.rows or 0) + 1) % horizon == 0
        early = np.flatnonzero((self.array(f"dones_{agent}") != 0) & ~ends)
        if len(early):
            raise DataError(
                f"{self.used[-1]} is set in row {early[0]}, expected only at the end of episodes "
                f"of {horizon} steps"
            )
        return ends

    def check_order(self, name: str, obs: np.ndarray, next_obs: np.ndarray, ends) -> None:
        """Raises DataError unless every row is followed by its successor."""
        apart = np.abs(next_obs[:-1] - obs[1:]).max(1) > CLOSE
        broken = np.flatnonzero(apart & ~ends[:-1])
        if len(broken):
            raise DataError(
                f"{self.folder}: next_{name} in row {broken[0]} is not {name} in the row after, "
                "expected the rows of an episode in order of time"
            )

    def digest(self) -> str:
        """One hash of all files that were read."""
        return hashlib.sha256("".join(map(sha256, self.used)).encode()).hexdigest()


def particle_rows(task: str, files: Files) -> dict[str, np.ndarray]:
    """The learners' rows, per agent; of the prey nothing is needed."""
    scenario = SCENARIOS[task]
    arrays: dict[str, np.ndarray] = {}
    for agent in range(scenario.learners):
        width = scenario.obs_dims[agent]
        obs = files.array(f"obs_{agent}", width)
        if len(obs) % EPISODE_STEPS:
            raise DataError(
                f"{files.used[-1]} has {len(obs)} rows, expected whole episodes of {EPISODE_STEPS}"
            )
        rows = {
            "observations": obs,
            "actions": files.actions(agent, scenario.dims),
            "rewards": files.array(f"rews_{agent}"),
            "next_observations": files.array(f"next_obs_{agent}", width),
            "terminals": np.zeros(len(obs), bool),
            "timeouts": files.timeouts(agent, EPISODE_STEPS),
        }
        files.check_order(f"obs_{agent}", obs, rows["next_observations"], rows["timeouts"])
        arrays |= {f"agent_{agent}/{key}": values for key, values in rows.items()}
    return arrays


def robot_rows(files: Files) -> dict[str, np.ndarray]:
    """Rows of the whole robot: states and joint actions. Agents' observations are their joints of
    the state, in whatever order, and rewards are shared; both are checked.
    """
    of = task_view(ROBOT)
    width = STATE_DIMS[of.system]
    states = files.array("states_0", width)
    following = files.array("next_states_0", width)
    rewards = files.array("rews_0")
    timeouts = files.timeouts(0, robot(of.system).horizon)
    files.check_order("states_0", states, following, timeouts)
    for agent, joints in enumerate(JOINTS[of.system]):
        seen = files.array(f"obs_{agent}", len(joints))
        if np.abs(np.sort(seen, 1) - np.sort(states[:, joints], 1)).max() > CLOSE:
            raise DataError(f"{files.used[-1]} is not what states_0 says of agent {agent}'s joints")
        if np.abs(files.array(f"rews_{agent}") - rewards).max() > CLOSE:
            raise DataError(f"{files.used[-1]} is not rews_0, expected a shared reward")
        files.timeouts(agent, robot(of.system).horizon)
    actions = [files.actions(agent, of.action_dim) for agent in range(of.num_agents)]
    return {
        "observations": states,
        "actions": np.concatenate(actions, 1),
        "rewards": rewards,
        "next_observations": following,
        "terminals": np.zeros(len(states), bool),
        "timeouts": timeouts,
    }
