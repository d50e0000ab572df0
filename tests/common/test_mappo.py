"""MAPPO, memory, mixing and rollouts: by hand, against a slow NumPy twin, and what must not be
seen.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from common.learning.heads import ACTION_BOUND, Categorical, Gaussian, Squashed
from common.learning.mappo import (
    MAPPO,
    Experience,
    MAPPOConfig,
    bound_penalty,
    clip_grad_norm_together,
    entropy_estimate,
    likelihood_ratio,
    policy_loss,
    returns_and_advantages,
    value_loss,
)
from common.learning.memory import encode, encoder_parameters, positions, remembered
from common.learning.mixing import mix, mixer_parameters
from common.learning.philox import Streams
from common.learning.population import Parameters, generator, generators
from common.learning.rollouts import Outcome, Recalling, experience, roll
from envs.lockstep import View

SMALL = MAPPOConfig(hidden=8, memory=4, minibatch=5, passes=2, lr=1e-2)
VIEW = View("toy", "toy", ((0, 1, 2), (0, 3)), 2)  # two agents of different sizes


def masks(*rows):
    return torch.tensor(rows, dtype=torch.float32).unsqueeze(-1)  # [M, T, 1]


@pytest.mark.parametrize(
    ("alive", "running", "targets", "advantages"),
    [
        # neither: the last step's bootstrap; terminal: none; timeout in the middle: bootstrap
        # there; both: the terminal wins
        ((1, 1), (1, 0), (1 + 0.5 * (2 + 0.5 * 8), 2 + 0.5 * 8), None),
        ((1, 0), (1, 0), (1 + 0.5 * 2, 2.0), None),
        ((1, 1), (0, 0), (1 + 0.5 * 4, 2 + 0.5 * 8), None),
        ((0, 1), (0, 0), (1.0, 2 + 0.5 * 8), None),
        ((0, 1), (1, 0), (1.0, 2 + 0.5 * 8), None),
    ],
)
def test_returns_by_hand(alive, running, targets, advantages):
    reward, value, next_value = masks((1.0, 2.0)), masks((3.0, 5.0)), masks((4.0, 8.0))
    found, advantage = returns_and_advantages(
        reward, masks(alive), masks(running), value, next_value, 0.5, 0.5
    )
    assert found[0, :, 0].tolist() == pytest.approx(targets)
    second = 2 + 0.5 * alive[1] * 8 - 5
    first = 1 + 0.5 * alive[0] * 4 - 3 + 0.25 * alive[0] * running[0] * second
    assert advantage[0, :, 0].tolist() == pytest.approx([first, second])


def twin_encode(params, m, n, history):
    """The encoder in NumPy, one agent and one row at a time."""
    p = {
        name: tensor[m, n].detach().numpy().astype(np.float64)
        for name, tensor in params.tensors.items()
    }
    length, size = len(history), len(p["embed_b"])
    x = history @ p["embed_w"] + p["embed_b"] + positions(length, size).numpy()
    q, k, v = (x @ p[f"{name}_w"] + p[f"{name}_b"] for name in ("query", "key", "value"))
    scores = q @ k.T / math.sqrt(size)
    weights = np.exp(scores - scores.max(1, keepdims=True))
    x = x + weights / weights.sum(1, keepdims=True) @ v
    x = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
    x = x * p["norm_w"] + p["norm_b"]
    soft = np.exp(np.tanh(x @ p["soft_w"]) @ p["soft_q"])
    return (soft / soft.sum()) @ x


def test_the_encoder_equals_a_slow_twin(stream):
    params = Parameters(encoder_parameters(generators([0, 1], "memory"), [5, 4], 5, 6))
    history = torch.randn(2, 2, 3, 7, 5, generator=stream)
    found = encode(params, history)
    for m, n, b in np.ndindex(2, 2, 3):
        twin = twin_encode(params, m, n, history[m, n, b].double().numpy())
        assert found[m, n, b].detach().numpy() == pytest.approx(twin, abs=1e-5)


def test_positions_are_sines_and_cosines():
    found = positions(3, 4)
    assert found[2].tolist() == pytest.approx(
        [math.sin(2), math.cos(2), math.sin(2 / 100), math.cos(2 / 100)]
    )


def test_an_agent_does_not_see_anothers_history(stream):
    params = Parameters(encoder_parameters(generators([0], "memory"), [5, 5], 5, 6))
    history = torch.randn(1, 2, 3, 7, 5, generator=stream)
    changed = history.clone()
    changed[:, 1] += 1
    assert torch.equal(encode(params, history)[:, 0], encode(params, changed)[:, 0])
    assert not torch.equal(encode(params, history)[:, 1], encode(params, changed)[:, 1])


def test_an_agent_without_memory_sees_its_observation(stream):
    obs = torch.randn(1, 2, 3, 4, generator=stream)
    assert remembered(None, obs, None) is obs


def test_a_mixer_is_a_weighted_sum_with_weights_of_the_state(stream):
    params = Parameters(mixer_parameters(generators([0, 1], "m"), 3, 2, 8))
    agent_values = torch.randn(2, 2, 5)
    state = torch.randn(2, 5, 3, generator=stream)
    zero, first, second = (
        mix(params, torch.tensor(v).view(1, 2, 1).expand(2, 2, 5), state, "free")
        for v in ([0.0, 0], [1.0, 0], [0, 1.0])
    )
    mixed = zero + (first - zero) * agent_values[:, 0] + (second - zero) * agent_values[:, 1]
    assert torch.allclose(mix(params, agent_values, state, "free"), mixed, atol=1e-5)
    assert (first - zero).shape == (2, 5) and ((first - zero) < 0).any()  # free weights
    more = agent_values + torch.tensor([1.0, 0]).view(1, 2, 1)
    before = mix(params, agent_values, state, "monotone")
    assert (mix(params, more, state, "monotone") >= before).all()
    with pytest.raises(ValueError, match="unknown mixer"):
        mix(params, agent_values, state, "other")


def test_clipped_losses_by_hand():
    # one member, two ratios (K), two steps
    ratio = torch.tensor([[[2.0, 0.5], [1.0, 1.1]]])
    clipped = ratio.clamp(0.8, 1.2)
    advantage = torch.tensor([[1.0, -1.0]])
    # k = 0: min(2, 1.2), min(-0.5, -0.8); k = 1: 1, -1.1
    assert policy_loss(ratio, clipped, advantage).item() == pytest.approx(
        -((1.2 - 0.8) / 2 + (1 - 1.1) / 2)
    )
    log_prob = torch.tensor([[[-1.0, -2.0], [1.0, -1.0]]])
    # k = 0: max(-2, -1.2), max(-1, -1.6); k = 1: 1, -1.1
    assert entropy_estimate(ratio, clipped, log_prob).item() == pytest.approx(
        -((-1.2 - 1.0) / 2 + (1 - 1.1) / 2)
    )
    excess = torch.tensor([[[1.0, 1.0], [0.0, 2.0]]], requires_grad=True)
    penalty = bound_penalty(ratio, clipped, excess)
    assert penalty.item() == pytest.approx((2 + 0.8) / 2 + 2.2 / 2)
    penalty.sum().backward()
    assert excess.grad[0, 0].tolist() == pytest.approx([1.0, 0.4])


def test_a_ratio_stays_finite():
    log_prob = torch.tensor([[[200.0, -1.0]]])
    old = torch.tensor([[[0.0, -2.0]]])
    assert likelihood_ratio(log_prob, old)[0, 0].tolist() == pytest.approx(
        [math.exp(10), math.exp(1)]
    )


def test_the_value_loss_is_the_larger_of_two_means():
    value = torch.tensor([[1.0, 3.0]])
    old = torch.tensor([[0.0, 3.0]])
    target = torch.tensor([[1.0, 2.0]])
    # as it is: (0 + 1) / 2; within 0.2 of the old: (0.8^2 + 1) / 2
    assert value_loss(value, target, old, 0.2).item() == pytest.approx((0.64 + 1) / 2)
    assert value_loss(value, target, old, 0.0).item() == pytest.approx(0.5)
    assert value_loss(value, torch.tensor([[0.0, 2.0]]), old, 0.2).item() == pytest.approx(1.0)


def test_heads_say_how_likely_their_actions_are():
    output = torch.tensor([[[[0.5, -0.2, -1.0, 0.3]]]])  # means, log standard deviations
    action = torch.tensor([[[[0.1, 0.9]]]])
    normal = torch.distributions.Normal(output[..., :2], torch.tensor([-1.0, 0.0]).exp())
    expected = normal.log_prob(action).sum(-1)  # 0.3 is cut at 0
    assert torch.allclose(Gaussian(2).log_prob(output, action), expected)
    squashed = normal.log_prob(action.atanh()).sum(-1)
    assert torch.allclose(Squashed(2).log_prob(output, action), squashed, atol=1e-5)
    edge = Squashed(2).log_prob(output, torch.ones(1, 1, 1, 2))
    assert torch.equal(edge, Squashed(2).log_prob(output, torch.full((1, 1, 1, 2), ACTION_BOUND)))
    choice = torch.tensor([[[[0.0, 0.0, 1.0, 0.0]]]])
    assert Categorical(4).log_prob(output, choice).item() == pytest.approx(
        output.log_softmax(-1)[0, 0, 0, 2].item()
    )


def test_heads_act():
    output = torch.tensor([[[[1.5, -0.2, 0.0, 0.0]]]])
    noise = torch.tensor([[[[1.0, 2.0]]]])
    assert Gaussian(2).sample(output, noise)[0, 0, 0].tolist() == pytest.approx([2.5, 1.8])
    assert Gaussian(2).greedy(output)[0, 0, 0].tolist() == pytest.approx([1.0, -0.2])
    assert Gaussian(2).excess(output).item() == pytest.approx(0.25)
    assert Gaussian(2).played(3 * noise)[0, 0, 0].tolist() == pytest.approx([1, 1], abs=1e-4)
    assert torch.equal(Squashed(2).sample(output, noise), Gaussian(2).sample(output, noise).tanh())
    assert torch.equal(Squashed(2).greedy(output), output[..., :2].tanh())
    assert Categorical(4).greedy(output)[0, 0, 0].tolist() == [1, 0, 0, 0]
    assert Gaussian(2, initial_log_std=-1.0).initial_bias().tolist() == [0, 0, -1, -1]
    assert all(head.excess(output).eq(0).all() for head in (Squashed(2), Categorical(4)))


class Drift:
    """A world whose state moves by the joint action; rollouts of B > 0 are cut at step 2, of the
    last one end at step 1.
    """

    def reset(self, state):
        self.t = 0

    def step(self, state, action, streams):
        self.t += 1
        alive, running = torch.ones(state.shape[:2]), torch.ones(state.shape[:2])
        running[:, 0] = float(self.t != 2)
        alive[:, -1] = float(self.t != 1)
        return Outcome(
            state + action,
            action.sum(-1),
            alive,
            running,
            {"t": torch.full(state.shape[:2], float(self.t))},
        )


def made(seeds, config=SMALL, starts=4, length=3):
    learner = MAPPO(seeds, VIEW.obs_dims, 4, VIEW.action_dim, config)
    state = torch.stack(
        [torch.randn(starts, 4, generator=generator(seed, "state")) for seed in seeds]
    )
    history = torch.zeros(len(seeds), 2, starts, length, VIEW.obs_dim + VIEW.action_dim)
    rollouts = roll(
        learner,
        Drift(),
        VIEW,
        state,
        history,
        4,
        Streams(seeds, "actions"),
        Streams(seeds, "world"),
    )
    return learner, rollouts


def test_rollouts_end_where_the_world_says(stream):
    _, rollouts = made([0, 1])
    assert rollouts.valid[0].sum(0).tolist() == [2, 4, 4, 1]
    assert torch.equal(rollouts.next_value[:, :-1], rollouts.value[:, 1:])
    assert (rollouts.running[:, -1] == 0).all()


def test_experience_is_the_steps_in_order_with_their_histories():
    learner, rollouts = made([0])
    batch = experience(VIEW, [rollouts], 9, 3, 0.9, 0.8)
    order = [
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
        (1, 2),
        (1, 3),
        (2, 0),
        (2, 1),
        (2, 2),
    ]  # rollout, step
    for row, (b, t) in enumerate(order):
        assert torch.equal(batch.state[0, row], rollouts.states[0, t, b])
        assert torch.equal(batch.action[0, :, row], rollouts.action[0, t, :, b])
        seen = VIEW.observe(rollouts.states[0, t, b])
        assert torch.equal(batch.obs[0, :, row], seen)
        if t:
            before = VIEW.observe(rollouts.states[0, t - 1, b])
            assert torch.equal(batch.history[0, :, row, -1, : VIEW.obs_dim], before)
            acted = rollouts.action[0, t - 1, :, b].clamp(-1, 1)
            assert torch.allclose(batch.history[0, :, row, -1, VIEW.obs_dim :], acted, atol=2e-5)
        assert batch.history[0, :, row, : 3 - t].eq(0).all()
    with pytest.raises(ValueError, match="steps, expected"):
        experience(VIEW, [rollouts], 12, 3, 0.9, 0.8)


def test_with_unchanged_policies_the_ratio_is_one_and_nothing_is_clipped():
    learner, rollouts = made([0, 1])
    batch = experience(VIEW, [rollouts], 9, 3, 0.9, 0.8)
    _, entropy, facts = learner.loss(batch)
    assert facts["clipped"].eq(0).all()
    assert facts["policy"].tolist() == pytest.approx((-batch.advantage.mean(1)).tolist(), abs=1e-4)
    assert entropy.tolist() == pytest.approx((-batch.log_prob.sum(1).mean(-1)).tolist(), abs=1e-4)
    assert facts["value"].tolist() == pytest.approx(
        (batch.value - batch.target).square().mean(1).tolist(), rel=1e-4
    )


def test_the_joint_ratio_is_the_product_of_the_agents():
    learner, rollouts = made([0])
    batch = experience(VIEW, [rollouts], 9, 3, 0.9, 0.8)
    shift = torch.zeros_like(batch.log_prob)
    shift[:, 0] = 0.15
    shift[:, 1] = 0.15
    moved = Experience(**{**vars(batch), "log_prob": batch.log_prob - shift})
    assert learner.loss(moved)[2]["clipped"].item() == 1  # exp(0.3) is beyond 1.2
    apart = MAPPO(
        [0], VIEW.obs_dims, 4, VIEW.action_dim, MAPPOConfig(**{**vars(SMALL), "ratio": "agent"})
    )
    apart.load_state_dict(learner.state_dict())
    assert apart.loss(moved)[2]["clipped"].item() == 0  # exp(0.15) is not
    with pytest.raises(ValueError, match="unknown ratio"):
        MAPPO([0], VIEW.obs_dims, 4, 2, MAPPOConfig(ratio="each"))


def test_means_beyond_the_bounds_are_pulled_back():
    learner, rollouts = made([0], MAPPOConfig(**{**vars(SMALL), "bound_weight": 100.0, "lr": 1e-2}))
    with torch.no_grad():
        learner.networks["policy"]["b3"][..., :2] = 3.0
    batch = experience(VIEW, [rollouts], 9, 3, 0.9, 0.8)

    def output():
        return learner.policy_output(learner.features(batch.obs, batch.history))

    before = output()[..., :2].abs().mean()
    for _ in range(20):
        with torch.no_grad():
            fresh = learner.head.log_prob(output(), batch.action)
        learner.step(
            Experience(
                **{**vars(batch), "log_prob": fresh, "advantage": torch.zeros_like(batch.advantage)}
            )
        )
    after = output()[..., :2].abs().mean()
    assert after < before - 0.1


def test_the_entropy_weight_follows_its_target():
    learner, rollouts = made(
        [0], MAPPOConfig(**{**vars(SMALL), "entropy_target": 100.0, "entropy_rate": 0.01})
    )
    batch = experience(VIEW, [rollouts], 9, 3, 0.9, 0.8)
    _, entropy, _ = learner.loss(batch)
    learner.step(batch)
    assert learner.entropy_weight.item() == pytest.approx(0.01 * (100 - entropy.item()), rel=1e-4)
    low = MAPPO([0], VIEW.obs_dims, 4, 2, MAPPOConfig(**{**vars(SMALL), "entropy_target": -100.0}))
    low.step(batch)
    assert low.entropy_weight.item() == 0


def test_one_norm_for_all_networks_of_a_member():
    learner, rollouts = made([0, 1])
    loss, _, _ = learner.loss(experience(VIEW, [rollouts], 9, 3, 0.9, 0.8))
    (1e3 * loss).sum().backward()
    networks = list(learner.networks.values())
    assert len(networks) == 4  # memory, policy, value, mixer
    clip_grad_norm_together(networks, 1.0)
    for m in range(2):
        total = sum(network.grad[m].square().sum() for network in networks).sqrt()
        assert total.item() == pytest.approx(1.0, abs=1e-3)


def test_a_member_learns_the_same_alone():
    both, rollouts = made([0, 1])
    alone, single = made([1])
    for learner, rolled, seeds in ((both, rollouts, [0, 1]), (alone, single, [1])):
        batch = experience(VIEW, [rolled], 9, 3, 0.9, 0.8)
        learner.update(batch, Streams(seeds, "order"))
    for name, network in both.networks.items():
        assert torch.allclose(network.flat[1], alone.networks[name].flat[0], atol=1e-5), name


def test_a_learner_goes_on_from_its_state():
    first, rollouts = made([0, 1], replace(SMALL, entropy_target=100.0))
    batch = experience(VIEW, [rollouts], 9, 3, 0.9, 0.8)
    first.update(batch, Streams([0, 1], "order"))
    second, _ = made([2, 3], first.config)
    second.load_state_dict(first.state_dict())
    for learner in (first, second):
        learner.update(batch, Streams([0, 1], "more"))
    assert torch.equal(first.entropy_weight, second.entropy_weight)
    assert first.entropy_weight.gt(0).all()
    for name, network in first.networks.items():
        assert torch.equal(network.flat, second.networks[name].flat), name


def test_discrete_samples_follow_the_policy():
    config = MAPPOConfig(hidden=8, memory=0)
    learner = MAPPO([0], [2, 2], 2, 3, config, head=Categorical(3))
    with torch.no_grad():
        learner.networks["policy"]["b3"][0, 0] = torch.tensor([2.0, 0.0, 1.0])
    obs = torch.zeros(1, 2, 20_000, 2)
    noise = learner.head.noise(obs, Streams([0], "u"))
    action, log_prob, _ = learner.sample(obs, None, noise)
    assert action.sum(-1).eq(1).all()
    share = action[0, 0].sum(0) / 20_000
    probability = learner.policy_output(obs)[0, 0, 0].softmax(-1)
    assert share.tolist() == pytest.approx(probability.tolist(), abs=0.015)
    assert log_prob[0, 0, 0].item() == pytest.approx(
        probability[action[0, 0, 0].argmax()].log().item(), abs=1e-5
    )
    assert torch.equal(learner.act(obs, None)[0, 0, 0], torch.tensor([1.0, 0.0, 0.0]))


def test_recalling_keeps_the_last_steps():
    seen = []

    def act(obs, history):
        seen.append(history)
        return obs[..., :1] * 2

    policy = Recalling(act, 2, 1)
    for value in (0.1, 0.2, 5.0, 0.4):
        policy(torch.full((1, 1, 1, 3), value))
    assert seen[0].eq(0).all()
    assert seen[3][0, 0, 0, 0].tolist() == pytest.approx([0.2, 0.2, 0.2, 0.4])
    assert seen[3][0, 0, 0, 1].tolist() == pytest.approx(
        [5.0, 5.0, 5.0, 1.0], abs=1e-4
    )  # the action was bounded
