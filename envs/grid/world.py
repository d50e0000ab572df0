"""CAST-BCQ's 4 x 6 grid world (Section 2.3): one robot, agent 0 moves it along x, agent 1 along y,
both at once.

Cells are (x, y), x in 1..6, y in 1..4. The robot starts at (1, 1); (6, 4) is the goal, everything
outside is a cliff. Every step costs 1, the goal brings 10, the cliff -10, and both end the episode;
so does the clock, after 30 steps. The shortest way takes 5 steps and returns 5. Both agents observe
the robot's cell.

A state is the index 4 (x - 1) + (y - 1), or one of the absorbing GOAL and CLIFF. Actions are stay,
forward, backward.

Axes: W worlds.
"""

import numpy as np
import torch

WIDTH = 6
HEIGHT = 4
HORIZON = 30
MOVES = np.array([0, 1, -1])  # of actions 0 stay, 1 forward, 2 backward
ACTIONS = ("stay", "forward", "backward")
CELLS = WIDTH * HEIGHT
START = 0
GOAL = CELLS - 1
CLIFF = CELLS
STEP_REWARD = -1.0
GOAL_REWARD = 10.0
CLIFF_REWARD = -10.0
BEHAVIOURS = ("dirichlet", "uniform")


def cell(state: int) -> tuple[int, int]:
    """(x, y) of a state."""
    return state // HEIGHT + 1, state % HEIGHT + 1


def state_of(x: int, y: int) -> int:
    """Index of a cell inside the grid."""
    return HEIGHT * (x - 1) + y - 1


def step(states: np.ndarray, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Next states [W] (CLIFF outside), rewards [W], terminated [W].

    Args:
        states: [W] cells that are not the goal.
        actions: [W, 2], of both agents.
    """
    x = states // HEIGHT + MOVES[actions[:, 0]]
    y = states % HEIGHT + MOVES[actions[:, 1]]
    outside = (x < 0) | (x >= WIDTH) | (y < 0) | (y >= HEIGHT)
    following = np.where(outside, CLIFF, HEIGHT * x + y)
    rewards = STEP_REWARD + GOAL_REWARD * (following == GOAL) + CLIFF_REWARD * outside
    return following, rewards, outside | (following == GOAL)


def collect(episodes: int, behaviour: str, stream: torch.Generator) -> dict[str, np.ndarray]:
    """Transitions of random behaviour, row by row in order of time: state, action [R, 2], reward,
    next_state, terminal, timeout (the clock ran out after a row that is not terminal).

    Args:
        behaviour: "uniform" over actions, or "dirichlet": every trajectory has, per agent, its own
            distribution over the three actions, drawn from Dirichlet(1, 1, 1).

    Raises:
        ValueError: unknown behaviour.
    """
    if behaviour not in BEHAVIOURS:
        raise ValueError(
            f"unknown behaviour {behaviour!r}, expected one of: {', '.join(BEHAVIOURS)}"
        )
    rows = []
    for _ in range(episodes):
        weights = torch.ones(2, 3)
        if behaviour == "dirichlet":
            weights = torch.empty(2, 3).exponential_(
                generator=stream
            )  # normalised exponentials are Dirichlet(1, 1, 1)
        state = START
        for number in range(1, HORIZON + 1):
            action = torch.multinomial(weights, 1, generator=stream)[:, 0].numpy()
            following, reward, over = step(np.array([state]), action[None])
            timeout = number == HORIZON and not over[0]
            rows.append((state, action, reward[0], following[0], over[0], timeout))
            if over[0]:
                break
            state = int(following[0])
    names = ("state", "action", "reward", "next_state", "terminal", "timeout")
    columns = (np.array(column) for column in zip(*rows, strict=True))
    return dict(zip(names, columns, strict=True))


def play(act, worlds: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns [W] and whether the goal was reached [W], of one episode in every world.

    Args:
        act: states [W] -> actions [W, 2]; called for all worlds, whether they have finished or not.
    """
    states = np.full(worlds, START)
    returns = np.zeros(worlds)
    running = np.ones(worlds, bool)
    reached = np.zeros(worlds, bool)
    for _ in range(HORIZON):
        actions = np.asarray(act(states))
        following, rewards, over = step(states[running], actions[running])
        returns[running] += rewards
        reached[running] = following == GOAL
        states[running] = np.where(over, START, following)  # of a finished world, never looked at
        running[running] = ~over
        if not running.any():
            break
    return returns, reached
