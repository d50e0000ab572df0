"""Why choosing does harm on HalfCheetah's data of experts and of one training: whole episodes of
CAST-BCQ, trained as at preset standard, by its choice, a random proposal, the worst one, and
cloning, from the same starts.

An episode tips over if in one of its windows of fifty steps the robot earns less than 40 % of what
is usual for cloning (there is no terminal state). Prints, in points between a random and an
expert's return, the mean of all episodes and of those that do not tip; the share that do; and by
how much the torques are larger than cloning's in the same states (mean absolute value, of at most
1). First, how many episodes of the data tip, by what is usual there.

    python benchmarks/tipping.py > benchmarks/tipping.txt
"""

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from common.learning.population import generators
from common.running.cells import Cell
from common.running.program import Members, Training
from common.running.provenance import machine
from envs import datasets
from envs.mujoco.team import RobotTeam
from envs.mujoco.views import view
from papers.cast_bcq import training
from papers.cast_bcq.config import DATA as DATA_SETS
from papers.cast_bcq.config import Options
from papers.cast_bcq.data import DATA
from papers.cast_bcq.experiment import PAPER, cell
from papers.cast_bcq.playing import EpisodeStreams
from papers.cast_bcq.training import METHOD

ROBOT = "halfcheetah"
PRESET = "standard"
EPISODES = 50  # of every seed
STEPS = 1000
START = 100  # steps until the robot runs
WINDOW = 50
TIPPED = 0.4  # of the usual reward
ACTED = ("cloning", METHOD, "random", "worst")


def trained(made: Cell) -> Training:
    """What is trained, after all updates."""
    PAPER.data.prepare(made)
    started = training.build(Members([made]), "cpu")
    for done in tqdm(range(made.config["updates"]), desc=made.slot, leave=False):
        started.learner.update(started.draw(done))
    return started


def played(learner: Any, seeds: list[int], way: str) -> tuple[np.ndarray, float]:
    """Rewards [STEPS, W] of a way of acting, and how much larger its torques are than cloning's."""
    team = RobotTeam(ROBOT, view(ROBOT, "full"))
    batch = team.batch(len(seeds) * EPISODES)
    drawn = EpisodeStreams(seeds, f"tipping/{way}", EPISODES)

    def act(obs):
        return learner.act(obs, drawn) if way == METHOD else learner.control(way, obs, drawn)

    policy = team.joint(act, len(seeds))
    clone = team.joint(lambda obs: learner.control("cloning", obs, drawn), len(seeds))
    states = batch.reset(generators(seeds, "tipping"))
    rewards, larger = [], []
    for _ in tqdm(range(STEPS), desc=way, leave=False):
        actions = policy(states)
        larger.append(np.abs(actions).mean() - np.abs(clone(states)).mean())
        states, reward, _, _ = batch.step(actions)
        rewards.append(reward)
    return np.array(rewards), float(np.mean(larger))


def in_windows(rewards: np.ndarray) -> np.ndarray:
    """Mean rewards of windows, of rewards [STEPS, W]."""
    return rewards[START:].reshape(-1, WINDOW, rewards.shape[1]).mean(1)


def tips(windows: np.ndarray, usual: float) -> np.ndarray:
    """[W] which episodes tip, by what is usual for a window."""
    return np.any(windows < TIPPED * usual, axis=0)


def tipped_in_data(made: Cell) -> float:
    """The share of the data's whole episodes that tip, in %."""
    arrays = DATA.load([made]).sets[0]["arrays"]
    ends = np.flatnonzero(arrays["terminals"] | arrays["timeouts"]) + 1
    episodes = [one[:STEPS] for one in np.split(arrays["rewards"], ends) if len(one) >= STEPS]
    windows = in_windows(np.array(episodes).T)
    return 100 * float(tips(windows, float(np.median(windows))).mean())


def main() -> None:
    torch.set_num_threads(1)
    print(f"{machine('cpu')['processor']}, preset {PRESET}, {EPISODES} episodes a seed")
    for name in ("expert", "uncoordinated, one run"):
        quality, change = DATA_SETS[name]
        made = cell(PRESET, ROBOT, quality, "ours", asdict(Options()) | change)
        seeds = made.config["seeds"]
        learner = trained(made).learner
        print(f"{name}: {tipped_in_data(made):.1f} % of the data's episodes tip", flush=True)
        scale = datasets.scale(ROBOT, made.config["data_size"])
        found = {way: played(learner, seeds, way) for way in ACTED}
        usual = float(np.median(in_windows(found["cloning"][0])))
        for way, (rewards, larger) in found.items():
            tipped = tips(in_windows(rewards), usual)
            points = 100 * (rewards.sum(0) - scale["random"]) / (scale["expert"] - scale["random"])
            print(
                f"{name}, {len(seeds)} seeds, {way}: {points.mean():.1f}; where it does not tip "
                f"{points[~tipped].mean():.1f}; tips in {100 * tipped.mean():.0f} % of episodes; "
                f"torques larger by {larger:.4f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
