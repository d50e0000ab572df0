"""The grid world: every transition, data, the PettingZoo form."""

import itertools

import numpy as np
import pytest
from pettingzoo.test import parallel_api_test

from common.learning.population import generator
from envs.grid import world
from envs.grid.parallel import GridEnv


def test_every_transition():
    for x, y, first, second in itertools.product(range(1, 7), range(1, 5), range(3), range(3)):
        if (x, y) == (6, 4):
            continue
        following, reward, over = world.step(
            np.array([world.state_of(x, y)]), np.array([[first, second]])
        )
        new = (x + (0, 1, -1)[first], y + (0, 1, -1)[second])
        if not (1 <= new[0] <= 6 and 1 <= new[1] <= 4):
            assert (following[0], reward[0], over[0]) == (world.CLIFF, -11, True)
        elif new == (6, 4):
            assert (following[0], reward[0], over[0]) == (world.GOAL, 9, True)
        else:
            assert world.cell(int(following[0])) == new and (reward[0], over[0]) == (-1, False)


def test_the_example_of_the_paper_falls_and_the_shortest_way_returns_5():
    assert world.step(np.array([world.state_of(4, 4)]), np.array([[1, 1]]))[0][0] == world.CLIFF

    def shortest(states):
        x, y = states // world.HEIGHT, states % world.HEIGHT
        return np.stack([x < 5, y < 3], 1).astype(int)

    returns, reached = world.play(shortest, 3)
    assert returns.tolist() == [5, 5, 5] and reached.all()
    returns, reached = world.play(lambda states: np.zeros((len(states), 2), int), 2)
    assert returns.tolist() == [-30, -30] and not reached.any()


@pytest.mark.parametrize(("behaviour", "goals"), [("uniform", 0.0054), ("dirichlet", 0.015)])
def test_random_behaviour_rarely_reaches_the_goal(behaviour, goals):
    data = world.collect(4000, behaviour, generator(0, "grid"))
    ends = data["terminal"].sum()
    hits = (data["next_state"] == world.GOAL).sum()
    assert hits / ends == pytest.approx(goals, abs=0.006)
    again = world.collect(4000, behaviour, generator(0, "grid"))
    assert all((data[key] == again[key]).all() for key in data)


def test_unknown_behaviour_is_refused():
    with pytest.raises(ValueError, match="expected one of: dirichlet, uniform"):
        world.collect(1, "random", generator(0, "grid"))


def test_parallel_env():
    parallel_api_test(GridEnv(), num_cycles=200)
    env = GridEnv()
    env.reset()
    for _ in range(30):
        _, reward, terminated, truncated, _ = env.step({"x": 0, "y": 0})
    assert truncated["x"] and not terminated["x"] and env.agents == []
    env.reset()
    assert env.render().splitlines() == [".....G", "......", "......", "R....."]
    _, reward, terminated, _, _ = env.step({"x": 2, "y": 0})
    assert (reward["x"], terminated["y"]) == (-11.0, True)
    env.reset()
    with pytest.raises(ValueError, match="expected 0"):
        env.step({"x": 5, "y": 0})
