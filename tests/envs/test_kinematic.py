"""The kinematic worlds by hand: moves, the prey, rewards, ends; deployments; data."""

import numpy as np
import pytest
import torch
from pettingzoo.test import parallel_api_test, parallel_seed_test

from common.learning.population import generators
from envs import datasets
from envs.datasets import checks
from envs.kinematic.parallel import KinematicEnv
from envs.kinematic.worlds import KinematicBatch, KinematicTeam, flight, task_view


@pytest.mark.parametrize(
    "task", ["kinematic_predator_prey", "kinematic_navigation_4", "shifting_navigation"]
)
def test_pettingzoo_contract(task):
    parallel_api_test(KinematicEnv(task), num_cycles=60)
    parallel_seed_test(lambda: KinematicEnv(task))
    env = KinematicEnv(task)
    env.reset(seed=0)
    assert env.render().shape[2] == 3


def place(task, points, worlds=1, **options):
    batch = KinematicBatch(task, worlds, **options)
    batch.reset(generators([0], "test"))
    batch.points[:] = np.asarray(points, float)
    return batch


def test_actions_are_displacements_of_a_tenth_and_stop_at_the_walls():
    batch = place("kinematic_navigation_2", [[0, 0], [0.95, -1], [0.1, 0], [0.5, 0.5]])
    state, reward, terminated, truncated = batch.step(np.array([[1, -0.5, 2, -1]]))
    np.testing.assert_allclose(state, [[0.1, -0.05, 1, -1, 0.1, 0, 0.5, 0.5]])
    near = 0.05
    far = min(np.hypot(0.4, 0.55), np.hypot(0.5, 1.5))
    np.testing.assert_allclose(reward, -(near + far))
    assert not terminated and not truncated


def test_the_prey_runs_straight_from_the_nearest_predator_and_slides_along_walls():
    predators = np.array([[[0.3, 0.4], [1.0, 0.0], [0.0, 0.9]]])
    np.testing.assert_allclose(
        flight(predators, np.array([[[0.0, 0.0]]])), [[[-0.13 * 0.6, -0.13 * 0.8]]]
    )
    batch = place("kinematic_predator_prey", [[0.9, 0.8], [-1, -1], [-1, 1], [1.0, 0.9]])
    state, *_ = batch.step(np.zeros((1, 6)))
    np.testing.assert_allclose(state[0, 6:], [1.0, 0.9 + 0.13 / np.sqrt(2)])


def test_every_contact_with_the_prey_counts():
    batch = place("kinematic_predator_prey", [[1, 1], [0.95, 1], [0, 0], [1, 1]])
    assert batch.step(np.zeros((1, 6)))[1] == 2


def test_reaching_the_landmark_pays_ten_and_ends_the_episode():
    batch = place("shifting_navigation", [[0, 0], [0.25, 0]], beta=0.2)
    _, reward, terminated, truncated = batch.step(np.array([[1.0, 0.0]]))
    assert (reward, terminated, truncated) == (10, True, False)
    batch = place("shifting_navigation", [[-1, 0], [1, 0]], beta=0.1)
    for step in range(50):
        _, reward, terminated, truncated = batch.step(np.zeros((1, 2)))
        assert reward == 0 and not terminated and truncated == (step == 49)


def test_offline_betas_have_mean_zero_so_that_no_action_moves_anywhere_on_average():
    batch = KinematicBatch("shifting_navigation", 4000)
    batch.reset(generators([0], "test"))
    batch.points[:] = 0
    moved = batch.step(np.tile([1.0, 0.5], (4000, 1)))[0]
    assert (
        np.abs(moved[:, 0]).max() <= 0.2
        and abs(moved[:, 0].mean()) < 0.01
        and moved[:, 0].std() > 0.1
    )
    np.testing.assert_allclose(moved[:, 1], moved[:, 0] / 2)


def test_an_agent_sees_itself_first_and_the_others_in_a_fixed_order():
    view = task_view("kinematic_predator_prey")
    obs = view.observe(torch.arange(8.0))
    assert obs.tolist() == [
        [0, 1, 2, 3, 4, 5, 6, 7],
        [2, 3, 4, 5, 0, 1, 6, 7],
        [4, 5, 0, 1, 2, 3, 6, 7],
    ]


def test_bad_actions_and_tasks_are_refused():
    with pytest.raises(ValueError, match="expected one of: kinematic_predator_prey"):
        KinematicBatch("navigation", 1)
    batch = place("shifting_navigation", [[0, 0], [1, 1]])
    with pytest.raises(ValueError, match=r"shape \(1, 3\), expected \(1, 2\)"):
        batch.step(np.zeros((1, 3)))
    with pytest.raises(ValueError, match="NaN"):
        batch.step(np.full((1, 2), np.nan))


@pytest.mark.parametrize("task", ["kinematic_navigation_2", "shifting_navigation"])
def test_deployments_have_exact_length_chain_and_do_not_depend_on_other_members(task):
    def run(seeds):
        team = KinematicTeam(task, beta=0.2)

        def act(obs):  # towards the landmark
            return (obs[..., -2:] - obs[..., :2]).sign()

        return team.deploy(act, generators(seeds, "deploy"), steps=130, worlds=2)

    rows = run([3, 4])
    assert rows["rewards"].shape == (2, 130) and rows["actions"].dtype == np.float32
    ends = rows["terminals"] | rows["timeouts"]
    assert (
        not (rows["terminals"] & rows["timeouts"]).any() and ends[:, 64].all() and ends[:, -1].all()
    )
    for member in range(2):
        inside = np.flatnonzero(~ends[member])
        np.testing.assert_array_equal(
            rows["next_observations"][member, inside], rows["observations"][member, inside + 1]
        )
    alone = run([4])
    for key, values in alone.items():
        np.testing.assert_array_equal(values[0], rows[key][1])


def test_data_sets_build_and_agents_get_their_own_action_only(folders):
    path = datasets.build("kinematic_predator_prey", "random", [0], "smoke", say=lambda text: None)[
        0
    ]
    assert checks.check(path) is None
    data = datasets.load(path)
    seen = datasets.transitions(data)
    assert seen["action"].shape == (5000, 3, 2) and seen["obs"].shape == (5000, 3, 8)
    joint = torch.from_numpy(data["arrays"]["actions"])
    for agent in range(3):
        torch.testing.assert_close(seen["action"][:, agent], joint[:, 2 * agent : 2 * agent + 2])
    assert datasets.episode_returns(data).shape == (200,)
