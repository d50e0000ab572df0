"""The particle worlds: contract, physics against mpe2, scenarios by hand."""

import numpy as np
import pytest
import torch
from pettingzoo.test import parallel_api_test, parallel_seed_test

from envs.particle import behaviour
from envs.particle.batch import ParticleBatch, by_member, by_world, episode_returns
from envs.particle.parallel import ParticleEnv
from envs.particle.scenarios import SCENARIOS, Spread, Tag, prey_bound
from envs.particle.world import Body, Physics


@pytest.mark.parametrize(
    "task", ["cooperative_navigation", "predator_prey", "world", "spread_1d_2"]
)
def test_pettingzoo_contract(task):
    parallel_api_test(ParticleEnv(task), num_cycles=30)
    parallel_seed_test(lambda: ParticleEnv(task), num_cycles=30)


def five_actions(actions):
    """mpe2's continuous actions for forces [N, 2] in [-1, 1]; all are exact in float32."""
    x, y = actions[:, 0], actions[:, 1]
    zero = np.zeros_like(x)
    return np.stack(
        [zero, np.maximum(-x, 0), np.maximum(x, 0), np.maximum(-y, 0), np.maximum(y, 0)], 1
    ).astype(np.float32)


@pytest.mark.parametrize("name", ["simple_spread", "simple_tag"])
def test_mpe2_rules_agree_with_mpe2(name):
    if name == "simple_spread":
        from mpe2 import simple_spread_v3 as module

        scenario = Spread(rules="mpe2")
    else:
        from mpe2 import simple_tag_v3 as module

        scenario = Tag(rules="mpe2")
    theirs = module.parallel_env(continuous_actions=True, max_cycles=25)
    ours = ParticleBatch(scenario)
    rng = np.random.default_rng(0)
    steps = touches = 0
    for episode in range(16):
        theirs.reset(seed=episode)
        ours.reset([torch.Generator().manual_seed(episode)], 1)
        world = theirs.unwrapped.world
        for i, entity in enumerate(world.entities):
            start = rng.uniform(-0.4, 0.4, 2)  # crowded, so that bodies collide
            entity.state.p_pos = start.copy()
            ours.positions[0, i] = torch.from_numpy(start)
        for _ in range(25):
            actions = rng.integers(-128, 129, size=(scenario.num_agents, 2)) / 128
            obs, rewards, *_ = theirs.step(
                dict(zip(theirs.agents, five_actions(actions), strict=True))
            )
            mine, my_rewards = ours.step(torch.from_numpy(actions)[None])
            positions = np.stack([entity.state.p_pos for entity in world.entities])
            np.testing.assert_allclose(ours.positions[0], positions, atol=1e-6)
            np.testing.assert_allclose(my_rewards[0], list(rewards.values()), atol=1e-5)
            for row, theirs_row in zip(mine[0].numpy(), obs.values(), strict=True):
                np.testing.assert_allclose(row[: len(theirs_row)], theirs_row, atol=1e-6)
            steps += 1
            touches += int((np.abs(my_rewards[0].numpy()) > 0.4).any())
    assert steps == 400 and touches > 20


def test_omar_rules_integrate_velocity_first_and_apply_acceleration_twice():
    predator = Body("adversary_0", 0.075, accel=3.0, max_speed=1.0)
    start, still = (
        torch.zeros(1, 1, 2, dtype=torch.float64),
        torch.zeros(1, 1, 2, dtype=torch.float64),
    )
    push = torch.tensor([[[1.0, 0.0]]], dtype=torch.float64)
    for rules, speed, position in (("omar", 0.9, 0.09), ("mpe2", 0.3, 0.0)):
        moved, velocity = Physics([predator], [], rules).step(start, still, push)
        assert velocity[0, 0, 0].item() == pytest.approx(speed) and moved[
            0, 0, 0
        ].item() == pytest.approx(position)
    _, second = Physics([predator], [], "omar").step(moved, velocity * 3, push)
    assert second.norm().item() == pytest.approx(1.0)  # clipped to the maximal speed


def test_contact_pushes_apart_with_equal_and_opposite_forces():
    bodies = [Body("a", 0.15), Body("b", 0.15)]
    forces = Physics(bodies, [], "omar").contact_forces(
        torch.tensor([[[0.0, 0.0], [0.2, 0.0]]], dtype=torch.float64)
    )
    assert forces[0, 0, 0].item() == pytest.approx(
        -10.0, rel=1e-6
    )  # 100 N per metre, 0.1 m of overlap
    torch.testing.assert_close(forces[0, 0], -forces[0, 1])


def test_spread_reward_by_hand():
    positions = torch.tensor(
        [[[0.0, 0.0], [0.2, 0.0], [5.0, 0.0], [0.0, 0.5], [0.2, 0.01], [5.0, 2.0]]],
        dtype=torch.float64,
    )
    rewards = Spread().rewards(positions)[0]
    shared = 1 / 0.5 + 10 + 1 / 2.0
    assert rewards.tolist() == pytest.approx([shared - 5, shared - 5, shared])


def test_tag_and_world_rewards_by_hand():
    positions = torch.zeros(1, 9, 2, dtype=torch.float64)
    positions[0, 0, 0], positions[0, 1, 0], positions[0, 2, 0] = (
        0.1,
        1.0,
        -2.0,
    )  # one predator touches the prey at 0
    positions[0, 5:7] = torch.tensor([[0.0, 0.05], [3.0, 0.0]])
    tag = SCENARIOS["predator_prey"].rewards(positions[:, :6])[0]
    assert tag.tolist() == pytest.approx([10 - 0.31] * 3 + [0.31 - 10])
    world = SCENARIOS["world"].rewards(positions)[0]
    assert world.tolist() == pytest.approx([5 - 0.31] * 3 + [0.31 - 5 + 2 + 0.05 * 0.05])
    assert prey_bound(torch.tensor([[[0.95, 1.5]]]))[0, 0].item() == pytest.approx(
        0.5 + np.exp(1.0)
    )


def test_observation_sizes_are_those_of_the_papers():
    assert [
        SCENARIOS[t].obs_dims[0] for t in ("cooperative_navigation", "predator_prey", "world")
    ] == [18, 16, 24]
    assert [SCENARIOS[f"spread_1d_{n}"].obs_dims[0] for n in range(1, 6)] == [
        4 * n - 1 for n in range(1, 6)
    ]
    for name, scenario in SCENARIOS.items():
        obs = ParticleBatch(scenario).reset([torch.Generator().manual_seed(0)], 3)
        assert obs.shape == (3, scenario.num_agents, max(scenario.obs_dims)), name


def test_uniform_actions_give_the_return_of_the_released_random_data():
    team = behaviour.load_team("cooperative_navigation")
    act = behaviour.uniform_policy(behaviour.generators([0], "n"), 2)
    returns = episode_returns(team, act, behaviour.generators([0], "s"), 4000).mean()
    assert abs(returns - 159.57) < 4  # og-marl's card of OMAR's data; the standard error here is 1


def test_worlds_of_one_member_do_not_depend_on_the_others():
    def act(obs):
        return obs[..., :2].clamp(-1, 1)

    team = behaviour.load_team("predator_prey")
    both = episode_returns(team, act, behaviour.generators([3, 4], "s"), 5)
    alone = episode_returns(team, act, behaviour.generators([4], "s"), 5)
    torch.testing.assert_close(both[1], alone[0])


def test_training_of_a_member_does_not_depend_on_the_others_nor_on_when_they_leave():
    config = behaviour.BehaviourConfig(rounds=9)
    team = behaviour.load_team("world")

    def train(seeds, rounds):
        collected = {seed: [] for seed in seeds}
        run = behaviour.train(team, [team.obs_dim] * team.num_agents, seeds, config, "test", rounds)
        for round_index, _, new in run:
            training = [
                seed for seed, last in zip(seeds, rounds, strict=True) if last >= round_index
            ]
            for seed, rows in zip(training, new, strict=True):
                collected[seed].append(rows.clone())
        return {seed: torch.stack(rows) for seed, rows in collected.items()}

    together = train([0, 1, 2], [9, 5, 9])
    for seed, last in ((1, 5), (2, 9)):
        assert len(together[seed]) == last
        assert torch.equal(together[seed], train([seed], [last])[seed])


def test_member_and_world_axes_are_inverse():
    values = torch.arange(24.0).reshape(6, 2, 2)
    assert torch.equal(by_world(by_member(values, 3)), values)


@pytest.mark.parametrize("task", list(SCENARIOS))
def test_shipped_policies_are_ordered_and_the_expert_beats_random(task):
    card = behaviour.card(task)
    assert (
        np.mean(card["expert"]["return_mean"])
        > np.mean(card["medium"]["return_mean"]) - 1
        > card["random_return"]
    )


def test_stepping_past_the_end_is_refused():
    worlds = ParticleBatch(SCENARIOS["cooperative_navigation"])
    worlds.reset([torch.Generator()], 1)
    for _ in range(25):
        worlds.step(torch.zeros(1, 3, 2))
    with pytest.raises(RuntimeError, match="call reset"):
        worlds.step(torch.zeros(1, 3, 2))
