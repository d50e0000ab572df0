"""MAPPO, memory, mixing and rollouts: by hand, against a slow NumPy twin, and what must not be
seen.
"""

import math

import numpy as np
import pytest
import torch

from common.learning.mappo import (
    MAPPO,
    Experience,
    MAPPOConfig,
    clip_grad_norm_together,
    returns_and_advantages,
)
from common.learning.memory import encode, encoder, positions
from common.learning.mixing import Mixer
from common.learning.population import generator, generators
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
    params = encoder(generators([0, 1], "memory"), [5, 4], 5, 6)
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
    params = encoder(generators([0], "memory"), [5, 5], 5, 6)
    history = torch.randn(1, 2, 3, 7, 5, generator=stream)
    changed = history.clone()
    changed[:, 1] += 1
    assert torch.equal(encode(params, history)[:, 0], encode(params, changed)[:, 0])
    assert not torch.equal(encode(params, history)[:, 1], encode(params, changed)[:, 1])


def test_a_mixer_is_a_weighted_sum_with_weights_of_the_state(stream):
    mixer, values, state = (
        Mixer(generators([0, 1], "m"), 3, 2, 8),
        torch.randn(2, 2, 5),
        torch.randn(2, 5, 3, generator=stream),
    )
    zero, first, second = (
        mixer.mix(torch.tensor(v).view(1, 2, 1).expand(2, 2, 5), state)
        for v in ([0.0, 0], [1.0, 0], [0, 1.0])
    )
    mixed = zero + (first - zero) * values[:, 0] + (second - zero) * values[:, 1]
    assert torch.allclose(mixer.mix(values, state), mixed, atol=1e-5)
    assert (first - zero).shape == (2, 5) and ((first - zero) < 0).any()  # free weights
    mixer.kind = "monotone"
    more = values + torch.tensor([1.0, 0]).view(1, 2, 1)
    assert (mixer.mix(more, state) >= mixer.mix(values, state)).all()
    with pytest.raises(ValueError, match="unknown mixer"):
        Mixer(generators([0], "m"), 3, 2, 8, "other")


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
        generators(seeds, "actions"),
        generators(seeds, "world"),
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
        learner.policy["b3"][..., :2] = 3.0
    batch = experience(VIEW, [rollouts], 9, 3, 0.9, 0.8)
    before = learner.distribution(learner.features(batch.obs, batch.history))[0].abs().mean()
    for _ in range(20):
        with torch.no_grad():
            fresh = learner.log_prob(
                learner.distribution(learner.features(batch.obs, batch.history)), batch.action
            )
        learner.step(
            Experience(
                **{**vars(batch), "log_prob": fresh, "advantage": torch.zeros_like(batch.advantage)}
            )
        )
    after = learner.distribution(learner.features(batch.obs, batch.history))[0].abs().mean()
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
    clip_grad_norm_together(learner.trained, 1.0)
    for m in range(2):
        total = sum(part.grad[m].square().sum() for part in learner.trained).sqrt()
        assert total.item() == pytest.approx(1.0, abs=1e-3)


def test_a_member_learns_the_same_alone():
    both, rollouts = made([0, 1])
    alone, single = made([1])
    for learner, rolled, seeds in ((both, rollouts, [0, 1]), (alone, single, [1])):
        batch = experience(VIEW, [rolled], 9, 3, 0.9, 0.8)
        learner.update(batch, generators(seeds, "order"))
    assert torch.allclose(both.policy.flat[1], alone.policy.flat[0], atol=1e-5)
    assert torch.allclose(both.value.flat[1], alone.value.flat[0], atol=1e-5)


def test_discrete_samples_follow_the_policy():
    learner = MAPPO([0], [2, 2], 2, 3, MAPPOConfig(hidden=8, memory=0), discrete=True)
    with torch.no_grad():
        learner.policy["b3"][0, 0] = torch.tensor([2.0, 0.0, 1.0])
    obs = torch.zeros(1, 2, 20_000, 2)
    draw = torch.rand(1, 2, 20_000, 3, generator=generator(0, "u")).clamp_min(1e-7)
    action, log_prob, _ = learner.sample(obs, None, draw)
    share = action[0, 0, :, 0].long().bincount(minlength=3) / 20_000
    probability = learner.distribution(obs)[0][0, 0, 0].exp()
    assert share.tolist() == pytest.approx(probability.tolist(), abs=0.015)
    assert log_prob[0, 0, 0].item() == pytest.approx(
        probability[int(action[0, 0, 0, 0])].log().item(), abs=1e-5
    )


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
