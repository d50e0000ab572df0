"""Robots: the same numbers as gymnasium's v4 tasks, views that fit the actuators, states that can
be restored.
"""

import warnings

import gymnasium
import mujoco
import numpy as np
import pytest
import torch
from pettingzoo.test import parallel_api_test, parallel_seed_test

from common.learning.population import generator
from common.running.provenance import ROOT
from envs.lockstep import observed, play
from envs.mujoco.batch import RobotBatch
from envs.mujoco.parallel import RobotEnv
from envs.mujoco.robots import ROBOTS, robot
from envs.mujoco.views import ACTION_DIMS, STATE_DIMS, VIEWS, view

GYMNASIUM = {
    "halfcheetah": "HalfCheetah-v4",
    "hopper": "Hopper-v4",
    "walker2d": "Walker2d-v4",
    "ant": "Ant-v4",
    "reacher": "Reacher-v4",
}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", GYMNASIUM)
def test_equals_gymnasium_v4_exactly(name, threads, monkeypatch):
    # without an axis the norm is a product of BLAS, whose last bit depends on the processor
    norm = np.linalg.norm
    monkeypatch.setattr(
        np.linalg, "norm", lambda vector, ord=None, axis=-1: norm(vector, ord, axis)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = [gymnasium.make(GYMNASIUM[name]) for _ in range(3)]
    batch = RobotBatch(name, 3, contact_margins="plain", threads=threads)
    stream, rng, ended = generator(0, "test"), np.random.default_rng(0), 0
    batch.reset([stream])

    def restart(worlds):
        for w in worlds:
            reference[w].reset(seed=0)
            reference[w].unwrapped.set_state(batch.qpos[w].copy(), batch.qvel[w].copy())

    restart(range(3))
    for step in range(300):
        actions = rng.uniform(-1, 1, (3, batch.action_dim)) * (1.0 if step % 2 else 0.2)
        states, rewards, terminated, truncated = batch.step(actions)
        for w, env in enumerate(reference):
            state, reward, over, cut, _ = env.step(actions[w])
            np.testing.assert_array_equal(states[w], state)
            assert (rewards[w], terminated[w], truncated[w]) == (reward, over, cut and not over)
        again = np.flatnonzero(terminated | truncated)
        if len(again):
            batch.restart(again, [stream])
            restart(again)
            ended += len(again)
    assert ended > 0 or name in ("halfcheetah", "ant")


@pytest.mark.parametrize("name", GYMNASIUM)
def test_start_states_have_gymnasiums_distribution(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = gymnasium.make(GYMNASIUM[name]).unwrapped
    ours = RobotBatch(name, 3000).reset([generator(0, "test")])
    theirs = np.stack([reference.reset(seed=None if i else 0)[0] for i in range(3000)])
    np.testing.assert_allclose(ours.mean(0), theirs.mean(0), atol=0.01)
    np.testing.assert_allclose(ours.std(0), theirs.std(0), atol=0.01)


def test_episodes_are_cut_by_the_clock():
    for name, horizon in (("halfcheetah", 1000), ("reacher", 50)):
        batch = RobotBatch(name, 1)
        batch.reset([generator(0, "test")])
        ends = [batch.step(np.zeros((1, batch.action_dim)))[2:] for _ in range(horizon)]
        assert [bool(truncated[0]) for _, truncated in ends] == [False] * (horizon - 1) + [True]
        assert not any(terminated[0] for terminated, _ in ends)


def test_contact_margins_are_halved_by_default_and_change_hopper_and_ant_alone():
    for name in ROBOTS:
        plain, old = robot(name).model("plain"), robot(name).model()
        np.testing.assert_array_equal(old.geom_margin, plain.geom_margin / 2)
        assert bool(plain.geom_margin.any()) == (name in ("hopper", "ant"))
    with pytest.raises(
        ValueError, match="unknown contact_margins 'new', expected one of: pre-3.5, plain"
    ):
        robot("ant").model("new")


def test_no_log_file_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    RobotBatch("halfcheetah", 1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ROBOTS)
def test_a_result_depends_on_its_own_stream_alone(name):
    actions = np.random.default_rng(0).uniform(
        -1, 1, (20, 2, ROBOTS[name].agents * ACTION_DIMS[name])
    )
    alone, together = RobotBatch(name, 2), RobotBatch(name, 4, threads=2)
    alone.reset([generator(7, "starts")])
    together.reset([generator(3, "starts"), generator(7, "starts")])
    for action in actions:
        one, two = alone.step(action), together.step(np.concatenate([action[::-1], action]))
        for a, b in zip(one, two, strict=True):
            np.testing.assert_array_equal(a, b[2:])


@pytest.mark.parametrize("name", ROBOTS)
def test_the_simulator_continues_from_a_stored_state(name):
    rng = np.random.default_rng(1)
    first, second = RobotBatch(name, 4), RobotBatch(name, 4)
    first.reset([generator(0, "test")])
    for _ in range(5):
        first.step(rng.uniform(-0.3, 0.3, (4, first.action_dim)))
    seen = first.observe()
    trails = (
        0.02 if name == "reacher" else 1e-12
    )  # the observed fingertip trails the joints by a substep
    np.testing.assert_allclose(
        second.set_state(first.qpos.copy(), first.qvel.copy()), seen, atol=trails
    )
    np.testing.assert_allclose(second.set_observed(seen), seen, atol=trails)
    action = rng.uniform(-0.3, 0.3, (4, first.action_dim))
    expected, rewards, *_ = first.step(action)
    ours, our_rewards, *_ = second.step(action)
    # Near, not equal: the solver's warm start and, in Ant, the torso's trailing position are not in
    # the state.
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    np.testing.assert_allclose(
        our_rewards, rewards, atol={"ant": 0.1, "reacher": 0.02}.get(name, 1e-5)
    )
    assert ROBOTS[name].not_observed


@pytest.mark.parametrize("name", ROBOTS)
def test_a_snapshot_continues_bit_for_bit(name):
    rng = np.random.default_rng(1)
    first, second = RobotBatch(name, 3), RobotBatch(name, 3)
    first.reset([generator(0, "test")])
    for _ in range(10):
        first.step(rng.uniform(-0.3, 0.3, (3, first.action_dim)))
    np.testing.assert_array_equal(second.restore(first.snapshot()), first.observe())
    for _ in range(10):
        action = rng.uniform(-0.3, 0.3, (3, first.action_dim))
        for a, b in zip(first.step(action), second.step(action), strict=True):
            np.testing.assert_array_equal(a, b)


def test_bad_actions_are_named():
    batch = RobotBatch("hopper", 2)
    with pytest.raises(ValueError, match=r"actions have shape \(2, 4\), expected \(2, 3\)"):
        batch.step(np.zeros((2, 4)))
    with pytest.raises(ValueError, match="NaN"):
        batch.step(np.full((2, 3), np.nan))
    with pytest.raises(ValueError, match="unknown robot 'horse', expected one of: halfcheetah"):
        RobotBatch("horse", 1)


def test_play_stops_each_simulation_at_its_own_end():
    batch = RobotBatch("hopper", 5)
    returns, lengths = play(batch, lambda states: np.zeros((5, 3)), [generator(0, "test")])
    assert len(set(lengths)) > 1 and lengths.max() < 1000
    alone = RobotBatch("hopper", 1)
    for w in range(
        5
    ):  # the first of one simulation drawn after another is another start, so set the same ones
        batch.reset([generator(0, "test")])
        alone.set_state(batch.qpos[[w]].copy(), batch.qvel[[w]].copy())
        total, over = 0.0, False
        while not over:
            _, reward, terminated, truncated = alone.step(np.zeros((1, 3)))
            total, over = total + reward[0], bool(terminated[0] or truncated[0])
        assert (total, alone.steps[0]) == (returns[w], lengths[w])


NAMES = {  # of the joint behind every number of the state that is an angle or rate of a joint
    "halfcheetah": ["bthigh", "bshin", "bfoot", "fthigh", "fshin", "ffoot"],
    "walker2d": [
        "thigh_joint",
        "leg_joint",
        "foot_joint",
        "thigh_left_joint",
        "leg_left_joint",
        "foot_left_joint",
    ],
    "hopper": ["thigh_joint", "leg_joint", "foot_joint"],
    "ant": [f"{part}_{leg}" for leg in (1, 2, 3, 4) for part in ("hip", "ankle")],
}


@pytest.mark.parametrize("name", NAMES)
def test_own_joints_are_those_of_the_own_actuators(name):
    model, hidden = robot(name).model(), robot(name).hidden
    assert [model.joint(j).name for j in range(model.njnt)][-len(NAMES[name]) :] == NAMES[name]
    for agent, index in enumerate(VIEWS[name]["own_joints"]):
        expected = set()
        for actuator in range(agent * ACTION_DIMS[name], (agent + 1) * ACTION_DIMS[name]):
            joint = model.joint(model.actuator_trnid[actuator, 0])
            expected |= {joint.qposadr[0] - hidden, model.nq - hidden + joint.dofadr[0]}
        assert set(index) == expected


def test_ants_two_mappings_differ_in_whose_leg_is_seen():
    aligned, released = VIEWS["ant"]["po_aligned"], VIEWS["ant"]["po_released"]
    own = VIEWS["ant"]["own_joints"]
    assert [joints[-4:] for joints in aligned] == own
    assert [joints[-4:] for joints in released] == [own[1], own[2], own[3], own[0]]
    assert len(aligned[0]) == 15 and sorted(i for index in aligned for i in index) == list(
        range(27)
    )


@pytest.mark.parametrize("name", ROBOTS)
def test_views_split_and_join_what_the_environment_takes(name):
    for kind in VIEWS[name]:
        of = view(name, kind)
        env = RobotEnv(name, kind)
        obs, _ = env.reset(seed=3)
        state = torch.from_numpy(env.state())
        seen = of.observe(state)
        assert state.shape == (STATE_DIMS[name],) and seen.shape == (of.num_agents, of.obs_dim)
        for i, agent in enumerate(env.agents):
            np.testing.assert_array_equal(seen[i, : of.obs_dims[i]], obs[agent])
            np.testing.assert_array_equal(observed(env.state(), i, of), obs[agent])
            assert not seen[i, of.obs_dims[i] :].any()
        joint = torch.linspace(-1, 1, of.num_agents * of.action_dim)
        torch.testing.assert_close(of.join(of.split(joint)), joint)
        env.step({agent: of.split(joint)[i].numpy() for i, agent in enumerate(env.possible_agents)})
        np.testing.assert_allclose(env.batch.control[0], joint.numpy())
    with pytest.raises(ValueError, match=f"unknown observation function of {name} 'none'"):
        view(name, "none")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ROBOTS)
def test_pettingzoo(name, capsys):
    for kind in VIEWS[name]:
        parallel_api_test(RobotEnv(name, kind), num_cycles=60)
    parallel_seed_test(lambda: RobotEnv(name), num_cycles=30)


def test_drawing_gives_a_picture_or_says_what_is_missing():
    env = RobotEnv("ant", render_mode="rgb_array")
    env.reset(seed=0)
    try:
        picture = env.render()
    except RuntimeError as error:
        assert "libegl1" in str(error)
        return
    assert picture.shape == (240, 320, 3) and picture.std() > 10
    env.close()


def test_the_engine_is_the_one_the_lock_names():
    assert f"mujoco=={mujoco.__version__}\n" in (ROOT / "requirements.lock").read_text()
