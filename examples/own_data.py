"""Data of one's own in OTC's Table 1: a file in D4RL's layout takes the place of ours.

    .venv/bin/python -m examples.own_data FOLDER [smoke|quick|standard|paper]

FOLDER gets the file and must be there. Here random play stands for what was collected, so FOLDER
gets what is imported and the results, too, instead of `OMZ_DATA` and `OMZ_RESULTS`: D4RL's own data
would have the same name. Scores are relative to D4RL's constants.
"""

import os
import sys
from pathlib import Path

import gymnasium
import h5py
import numpy as np

from common.reporting import script
from envs.datasets.commands import import_source
from papers.otc.table1_scores import TABLE


def collected(steps: int) -> dict[str, np.ndarray]:
    """D4RL's arrays, a row a step, of the whole robot."""
    env = gymnasium.make("Hopper-v4")
    env.action_space.seed(0)
    obs, _ = env.reset(seed=0)
    rows: dict[str, list] = {name: [] for name in ROWS}
    for _ in range(steps):
        action = env.action_space.sample()
        following, reward, terminated, truncated, _ = env.step(action)
        row = (obs, action, reward, following, terminated, truncated and not terminated)
        for name, value in zip(ROWS, row, strict=True):
            rows[name].append(value)
        obs = env.reset()[0] if terminated or truncated else following
    return {name: np.array(values) for name, values in rows.items()}


ROWS = ("observations", "actions", "rewards", "next_observations", "terminals", "timeouts")


def main(folder: str, preset: str = "quick", *, steps: int = 20_000) -> None:
    os.environ["OMZ_DATA"] = str(Path(folder, "data"))
    os.environ["OMZ_RESULTS"] = str(Path(folder, "results"))
    with h5py.File(Path(folder) / "hopper_medium-v2.hdf5", "w") as file:
        for name, values in collected(steps).items():
            file[name] = values
    import_source("hopper", "medium", f"d4rl:{folder}")
    script.main(TABLE, [TABLE.slot, "with", preset, "data=d4rl", "seeds=[0]", "jobs=1"])


if __name__ == "__main__":
    main(*sys.argv[1:])
