"""The Iterated Coordination Game (Boutilier, 1996), as MOMA-PPO uses it: two agents, two actions,
reward 1 for the same.

What the paper leaves open is fixed as: episodes of 10 steps; everybody observes the last joint
action (one-hot) and whether the episode has just begun; rewards are undiscounted and independent of
the state, so learners may take every step for an episode's end.

Axes: W games, R rows. Actions are 0 (left) and 1 (right).
"""

import numpy as np
import torch

from common.learning.population import generator
from envs.lockstep import View

HORIZON = 10
STATE_DIM = 5  # one-hot of the last joint action (2 a1 + a2), and the flag of the first step
AGENTS = 2
ACTIONS = 2
SETTINGS = {
    "favorable": (0.75, 0.75),
    "neutral": (0.5, 0.5),
    "unfavorable": (0.25, 0.75),
}  # P(right) of each agent
ROWS = 10_000


def view() -> View:
    """Both agents see everything; an action is one-hot."""
    return View("coordination", "full", (tuple(range(STATE_DIM)),) * AGENTS, ACTIONS)


def single() -> View:
    """The game as one agent's, whose action is one of four."""
    return View("coordination", "single", (tuple(range(STATE_DIM)),), ACTIONS**AGENTS)


def start(games: int) -> np.ndarray:
    """[W, 5] observed states at the beginning."""
    state = np.zeros((games, STATE_DIM), np.float32)
    state[:, -1] = 1
    return state


def step(actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """States [W, 5] and rewards [W] after actions [W, 2]."""
    state = np.zeros((len(actions), STATE_DIM), np.float32)
    state[np.arange(len(actions)), 2 * actions[:, 0] + actions[:, 1]] = 1
    return state, (actions[:, 0] == actions[:, 1]).astype(np.float32)


def data(
    setting: str, seed: int, rows: int = ROWS, centralised: bool = False
) -> dict[str, np.ndarray]:
    """What independent biased agents did, whole episodes one after the other, with the keys of
    `envs.joint`.

    Args:
        centralised: actions are one-hot of four instead of twice of two.

    Raises:
        ValueError: an unknown setting.
    """
    if setting not in SETTINGS:
        raise ValueError(f"unknown setting {setting!r}, expected one of: {', '.join(SETTINGS)}")
    draws = torch.rand(
        rows, AGENTS, generator=generator(seed, f"data/coordination/{setting}"), dtype=torch.float64
    )
    actions = (draws.numpy() < np.array(SETTINGS[setting])).astype(int)
    following, rewards = step(actions)
    first = np.arange(rows) % HORIZON == 0
    observations = np.where(first[:, None], start(rows), np.roll(following, 1, axis=0))
    index = (2 * actions[:, :1] + actions[:, 1:]) if centralised else actions
    one_hot = np.eye(ACTIONS**AGENTS if centralised else ACTIONS, dtype=np.float32)[index].reshape(
        rows, -1
    )
    return {
        "observations": observations,
        "actions": one_hot,
        "rewards": rewards,
        "next_observations": following,
        "terminals": np.ones(rows, bool),
        "timeouts": np.zeros(rows, bool),
    }


def play(act, members: int) -> np.ndarray:
    """[M] fraction of matching steps in one episode of each member; game and greedy policies are
    deterministic.

    Args:
        act: states [M, 5] -> actions [M, 2].
    """
    state = start(members)
    total = np.zeros(members)
    for _ in range(HORIZON):
        state, reward = step(act(state))
        total += reward
    return total / HORIZON
