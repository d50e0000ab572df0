"""Reads original D4RL files (v0 and v2) and Minari data sets of the four running robots into our
layout.

They are other data than ours: D4RL's come from MuJoCo 2.0, Minari's from gymnasium's v5 tasks and
stronger policies ("medium" there is far above D4RL's). Before scores on them are believed, replay
some of their states and actions in our simulator (`envs.mujoco.batch.RobotBatch.set_observed`).
"""

from pathlib import Path

import h5py
import numpy as np

from common.running.files import sha256
from envs.mujoco.data import D4RL_CONSTANTS, FLAGS, FLOATS
from envs.mujoco.robots import robot
from envs.mujoco.views import ACTION_DIMS, STATE_DIMS
from envs.storage import FORMAT, DataError

V0_NAMES = {"medium-replay": "mixed"}
V0_TASKS = {"walker2d": "walker"}


def read(task: str, quality: str, kind: str, where: str) -> tuple[dict[str, np.ndarray], dict]:
    """Arrays by name and provenance of a foreign data set.

    Args:
        kind: "d4rl" (where: a folder with D4RL's files) or "minari" (where: an id such as
            "mujoco/hopper/medium-v0", below MINARI_DATASETS_PATH or ~/.minari/datasets; or a
            folder).

    Raises:
        DataError: no such file, or it does not hold this robot's data.
    """
    path = d4rl_file(task, quality, Path(where)) if kind == "d4rl" else minari_file(where)
    try:
        with h5py.File(path) as file:
            arrays = (read_d4rl if kind == "d4rl" else read_minari)(file, task)
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a {kind} data set of {task}: {error}") from error
    facts = {
        "format": FORMAT,
        "task": task,
        "quality": quality,
        "seed": 0,
        "size": kind,
        "source": {
            "kind": kind,
            "file": path.name,
            "id": where if kind == "minari" else path.stem,
            "sha256": sha256(path),
        },
        "constants": {"d4rl": D4RL_CONSTANTS[task]} if task in D4RL_CONSTANTS else {},
    }
    return arrays, facts


def d4rl_file(task: str, quality: str, folder: Path) -> Path:
    """The file of a task and quality in a folder of D4RL's files; v2 is preferred to v1 and v0."""
    name = quality.replace("-", "_")
    old = V0_NAMES.get(quality, name)
    names = [
        f"{task}_{name}-v2.hdf5",
        f"{task}_{name}-v1.hdf5",
        f"{V0_TASKS.get(task, task)}_{old}.hdf5",
        f"{task}_{old}.hdf5",
    ]
    for candidate in names:
        if (folder / candidate).exists():
            return folder / candidate
    expected = ", ".join(dict.fromkeys(names))
    raise DataError(f"no D4RL file of {task} {quality} in {folder}, expected one of: {expected}")


def minari_file(where: str) -> Path:
    """The main file of a Minari data set."""
    import os

    root = Path(os.environ.get("MINARI_DATASETS_PATH") or Path.home() / ".minari" / "datasets")
    for folder in (Path(where), root / where):
        for path in (folder / "main_data.hdf5", folder / "data" / "main_data.hdf5"):
            if path.exists():
                return path
    raise DataError(
        f"no Minari data set {where!r}: looked for data/main_data.hdf5 in {Path(where)} and "
        f"{root / where}"
    )


def read_d4rl(file: h5py.File, task: str) -> dict[str, np.ndarray]:
    """Arrays of a D4RL file.

    Missing `next_observations` (v0) are the following rows; missing `timeouts` fall on the 1000th
    step of an episode. Ant's 84 contact forces, all zero there, are dropped.
    """
    arrays = {key: file[key][:] for key in ("observations", "actions", "rewards", "terminals")}
    arrays["terminals"] = arrays["terminals"].astype(bool)
    arrays["timeouts"] = (
        file["timeouts"][:].astype(bool)
        if "timeouts" in file
        else clock(arrays["terminals"], robot(task).horizon)
    )
    arrays["timeouts"] &= ~arrays["terminals"]
    following = (
        file["next_observations"][:]
        if "next_observations" in file
        else np.roll(arrays["observations"], -1, axis=0)
    )
    arrays["next_observations"] = following
    if "next_observations" not in file:
        arrays = without_cut_rows(arrays)
    return tidy(arrays, task)


def without_cut_rows(arrays: dict) -> dict:
    """Drops the rows whose successor is in no row: where the clock cut the episode, and the last.

    The row before becomes the cut; after a terminal row no successor is needed.
    """
    gone = arrays["timeouts"].copy()
    gone[-1] |= not arrays["terminals"][-1]
    before = np.roll(gone, -1)
    before[-1] = False
    arrays["timeouts"] = (arrays["timeouts"] | before) & ~arrays["terminals"]
    return {key: values[~gone] for key, values in arrays.items()}


def clock(terminals: np.ndarray, horizon: int) -> np.ndarray:
    """[R] true on the last step before the time limit of every episode."""
    timeouts = np.zeros(len(terminals), bool)
    step = 0
    for row, over in enumerate(terminals):
        step += 1
        if over or step == horizon:
            timeouts[row] = not over
            step = 0
    return timeouts


def read_minari(file: h5py.File, task: str) -> dict[str, np.ndarray]:
    """Arrays of a Minari file: one group per episode, with one more observation than actions."""
    groups = sorted(
        (name for name in file if name.startswith("episode_")),
        key=lambda name: int(name.split("_")[1]),
    )
    if not groups:
        raise KeyError("no episode groups")
    parts: dict[str, list[np.ndarray]] = {key: [] for key in (*FLOATS, *FLAGS)}
    for name in groups:
        episode = file[name]
        obs = episode["observations"][:]
        over = episode["terminations"][:].astype(bool)
        cut = episode["truncations"][:].astype(bool)
        cut = cut & ~over
        cut[-1] |= not over[-1]
        values = (obs[:-1], episode["actions"][:], episode["rewards"][:], obs[1:], over, cut)
        for key, value in zip(parts, values, strict=True):
            parts[key].append(value)
    return tidy({key: np.concatenate(values) for key, values in parts.items()}, task)


def tidy(arrays: dict, task: str) -> dict[str, np.ndarray]:
    """Our types, Ant's 27 numbers, actions inside [-1, 1] to rounding.

    Raises:
        ValueError: widths are not this robot's, or actions are further out.
    """
    for key in ("observations", "next_observations"):
        arrays[key] = arrays[key][:, : STATE_DIMS[task]] if task == "ant" else arrays[key]
        if arrays[key].ndim != 2 or arrays[key].shape[1] != STATE_DIMS[task]:
            raise ValueError(
                f"{key} have shape {arrays[key].shape}, "
                f"expected {STATE_DIMS[task]} columns for {task}"
            )
    actions = robot(task).agents * ACTION_DIMS[task]
    if arrays["actions"].shape[1:] != (actions,):
        raise ValueError(
            f"actions have shape {arrays['actions'].shape}, expected {actions} columns for {task}"
        )
    reach = float(np.abs(arrays["actions"]).max())
    if reach > 1 + 1e-5:
        raise ValueError(f"actions reach {reach:.3f}, expected [-1, 1]")
    arrays["actions"] = arrays["actions"].clip(-1, 1)
    order = (*FLOATS, *FLAGS)
    return {key: arrays[key].astype(bool if key in FLAGS else np.float32) for key in order}
