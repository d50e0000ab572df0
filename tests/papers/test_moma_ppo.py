"""MOMA-PPO: world models, sequences, the model-free learners, the game, end to end."""

import itertools
import math
import threading
from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pettingzoo.test import parallel_api_test

from common.learning.philox import Streams
from common.learning.population import generator
from common.learning.rollouts import ACTION_BOUND, Outcome, Rollouts
from common.reporting import figures, reference, stored
from common.reporting.claims import verdict
from common.reporting.scores import summary
from common.reporting.shown import Shown
from common.reporting.tables import last_score, paired
from common.running import cells as store
from common.running import work
from common.running.cells import Cell
from common.running.options import changed
from common.running.program import Course, train
from envs.coordination import game
from envs.coordination.parallel import CoordinationEnv
from envs.lockstep import View
from envs.mujoco.batch import RobotBatch
from envs.mujoco.simulated import SimulatedWorld
from envs.mujoco.views import view
from papers.moma_ppo import (
    ablation_models,
    ablation_parts,
    ablation_readings,
    audit,
    calibrate,
    calibration,
    claims,
    figure_curves_ant,
    growing,
    iql,
    learning,
    models,
    moma_ppo,
    table4_budgets,
    table4_imagined,
    table4a,
    table4b,
    tasks,
    td3,
    training,
)
from papers.moma_ppo.calibration import (
    foreseen_ends,
    horizon_errors,
    limit_of_length,
    penalty_weight,
    whole_pieces,
)
from papers.moma_ppo.config import (
    LONGER,
    PRESETS,
    AntOptions,
    following_rate,
    gradient_steps,
    preset_of,
    sizes_of_method,
)
from papers.moma_ppo.ensemble import (
    Ensemble,
    Scales,
    WorldModelConfig,
    falling_share,
    load_ensemble,
    model_loss,
    prepared_rows,
    rank_members,
    round_weights,
    save_ensemble,
    scales_of,
    split_rows,
    tensors_of,
)
from papers.moma_ppo.experiment import (
    PAPER,
    cell,
    game_cell,
    gpu_cost,
    playing_cost,
    update_cost,
)
from papers.moma_ppo.iql import (
    IBC,
    IQL,
    MAIQL,
    IQLConfig,
    advantage_weight,
    critic_loss,
    expectile_loss,
    policy_loss,
    value_loss,
)
from papers.moma_ppo.limits import LIMITS, VARIANTS
from papers.moma_ppo.sequences import GeneratedRows, HistoryBatch, Sequences, joined
from papers.moma_ppo.td3 import (
    ICQL,
    IOMAR,
    ITD3BC,
    MATD3BC,
    TD3Config,
    agent_q,
    cloning_loss,
    conservative_penalty,
    normal_log_density,
    omar_loss,
    sampled_q,
    smoothed,
)
from papers.moma_ppo.world import LearnedWorld, Limits, clip, covariance_norm, penalty

VIEW = View("toy", "toy", ((0, 1, 2), (0, 3)), 2)  # two agents of different sizes
SMALL = {"hidden": 8, "memory": 4}
TINY = WorldModelConfig(
    members=3, kept=2, hidden=16, layers=2, end_layers=1, lr=1e-2, batch_size=32, updates=1
)

ANT_OPTIONS = asdict(AntOptions())


def arrays(stream, rows=60, state=4, joint=4, episode=10):
    """Random data of whole episodes."""
    draw = lambda *shape: torch.randn(*shape, generator=stream).numpy()  # noqa: E731
    timeouts = np.arange(rows) % episode == episode - 1
    return {
        "observations": draw(rows, state),
        "actions": np.tanh(draw(rows, joint)),
        "rewards": draw(rows),
        "next_observations": draw(rows, state),
        "terminals": np.zeros(rows, bool),
        "timeouts": timeouts,
    }


def limits(members=1, **changes):
    row = {
        "lambda_r": 0.0,
        "lambda_g": 0.0,
        "lambda_a": 0.0,
        "l_clip": math.inf,
        "l_stop": math.inf,
        "box": True,
    } | changes
    return Limits.of([row] * members)


def world_of(
    ensemble, kept=(0, 1, 2), low=-100.0, high=100.0, combine="paper", copies=None, **changes
):
    size = ensemble.state_dim + 1
    box = torch.full((size,), low), torch.full((size,), high)
    return LearnedWorld(ensemble, torch.tensor(kept), *box, limits(**changes), combine, copies)


def test_eps_g_is_the_norm_of_the_covariance_matrix(stream):
    values = torch.randn(5, 7, 3, generator=stream)
    found = covariance_norm(values)
    for b in range(7):
        matrix = np.cov(values[:, b].numpy().T)  # unbiased
        assert found[b].item() == pytest.approx(np.linalg.norm(matrix), rel=1e-4)
    repeated = torch.cat(
        [values, values[..., :1], values[..., :1]], -1
    )  # the first number three times
    copies = torch.tensor([3.0, 1.0, 1.0])
    assert torch.allclose(covariance_norm(values, copies), covariance_norm(repeated), rtol=1e-4)


def test_ensemble_members_do_not_mix(stream):
    data = tensors_of(arrays(stream))

    def trained(config):
        ensemble = Ensemble(0, 4, 4, config)
        rows = prepared_rows(ensemble, data, torch.arange(60))
        for _ in range(3):
            ensemble.update(rows)
        return ensemble.params.flat[0]

    three, two = trained(TINY), trained(replace(TINY, members=2))
    assert torch.allclose(three[:2], two, atol=1e-6)
    assert not torch.allclose(three[0], three[1])


def test_the_loss_equals_a_slow_twin(stream):
    ensemble, data = Ensemble(0, 4, 4, TINY), tensors_of(arrays(stream))
    data["goes_on"][::3] = 0
    rows = prepared_rows(ensemble, data, torch.arange(6))
    found = ensemble.loss({name: tensor.expand(3, *tensor.shape) for name, tensor in rows.items()})
    for e in range(3):
        net = {
            name: tensor[0, e].detach().double().numpy()
            for name, tensor in ensemble.params.tensors.items()
        }

        def apply(prefix, x, net=net):
            layers = [name for name in net if name.startswith(f"{prefix}w")]
            for layer in range(len(layers)):
                x = np.maximum(x, 0) if layer else x
                x = x @ net[f"{prefix}w{layer}"] + net[f"{prefix}b{layer}"]
            return x

        x, total = rows["x"].double().numpy(), 0.0
        for prefix, target in (("t", rows["target"][:, :-1]), ("r", rows["target"][:, -1:])):
            mean, log_std = np.split(apply(prefix, x), 2, axis=-1)
            log_std = np.clip(log_std, -6, 2)
            total += np.mean(
                log_std + 0.5 * ((target.double().numpy() - mean) / np.exp(log_std)) ** 2
            )
        chance = 1 / (1 + np.exp(-apply("e", x)[:, 0]))
        goes_on = rows["goes_on"].numpy()
        total -= np.mean(goes_on * np.log(chance) + (1 - goes_on) * np.log(1 - chance))
        assert found[e].item() == pytest.approx(total, rel=1e-4)


def test_a_world_model_goes_on_from_its_state(stream):
    data = {name: torch.randn(30, 3, generator=stream) for name in ("state", "action")}
    data |= {"next_state": data["state"] + 1, "reward": data["state"][:, 0]}
    data |= {"goes_on": torch.ones(30)}
    whole, resumed = (Ensemble(0, 3, 3, TINY) for _ in range(2))
    rows = prepared_rows(whole, data, torch.arange(30))
    whole.update(rows)
    resumed.load_state_dict(whole.state_dict())
    for ensemble in (whole, resumed):
        ensemble.update(rows)
    assert torch.equal(whole.params.flat, resumed.params.flat)


@pytest.mark.parametrize(("scaled", "delta"), itertools.product((False, True), repeat=2))
def test_a_world_model_recovers_a_linear_system(stream, scaled, delta):
    config = replace(
        TINY, members=2, hidden=32, layers=1, batch_size=128, scaled=scaled, delta=delta
    )
    state, action = (
        torch.randn(2000, 3, generator=stream),
        torch.rand(2000, 2, generator=stream) * 2 - 1,
    )
    a, b = 0.5 * torch.randn(3, 3, generator=stream), torch.randn(2, 3, generator=stream)
    following, reward = state @ a + action @ b, state.sum(-1) - action[:, 0]
    data = {
        "state": state,
        "action": action,
        "next_state": following,
        "reward": reward,
        "goes_on": (state[:, 0] < 1).float(),
    }
    ensemble = Ensemble(0, 3, 2, config, scales_of(data, config))
    rows = prepared_rows(ensemble, data, torch.arange(1800))
    for _ in range(600):
        ensemble.update(rows)
    said = ensemble.predict(ensemble.members(torch.arange(2)), state[1800:], action[1800:])
    assert (said.state - following[1800:]).abs().mean() < 0.1
    assert (said.reward - reward[1800:]).abs().mean() < 0.15
    assert ((said.goes_on > 0.5).float() == data["goes_on"][1800:]).float().mean() > 0.9


def test_a_rollout_is_cut_when_uncertainty_passes_the_limit(stream):
    ensemble = Ensemble(0, 4, 4, TINY)
    state, action = (
        torch.randn(1, 50, 4, generator=stream),
        torch.randn(1, 50, 4, generator=stream).tanh(),
    )
    outcome = world_of(ensemble).step(state, action, Streams([0], "w"))
    eps = outcome.facts["eps_g"][0]
    limit = float(eps.median())
    cut = world_of(ensemble, l_stop=limit, l_clip=limit, lambda_g=2.0).step(
        state, action, Streams([0], "w")
    )
    assert (
        torch.equal(cut.running[0] == 0, eps >= limit)
        and (cut.running == 0).any()
        and (cut.running == 1).any()
    )
    # the penalty uses the uncertainty clipped at the same limit
    assert torch.allclose(outcome.reward - cut.reward, 2 * eps.clamp_max(limit)[None], atol=1e-5)


def test_what_the_world_takes_from_which_member(stream):
    ensemble = Ensemble(0, 4, 4, TINY)
    state, action = (
        torch.randn(1, 40, 4, generator=stream),
        torch.randn(1, 40, 4, generator=stream).tanh(),
    )
    said = ensemble.predict(ensemble.members(torch.arange(3)), state[0], action[0])
    drawn = Streams([0], "w").integers(3, (40,))[0]
    row = torch.arange(40)
    for combine, reward in (
        ("paper", said.reward.mean(0)),
        ("released", said.reward[drawn, row]),
        ("least", said.reward.amin(0)),
    ):
        outcome = world_of(ensemble, combine=combine).step(state, action, Streams([0], "w"))
        assert torch.allclose(outcome.state[0], said.state[drawn, row], atol=1e-6)
        assert torch.allclose(outcome.reward[0], reward, atol=1e-6)
    votes = (said.goes_on > 0.5).float().sum(0)
    assert torch.equal(
        world_of(ensemble).step(state, action, Streams([0], "w")).alive[0], (votes >= 2).float()
    )
    with pytest.raises(ValueError, match="unknown combine"):
        world_of(ensemble, combine="mean")


def test_a_world_in_bfloat16_says_nearly_the_same(stream):
    ensemble = Ensemble(0, 4, 4, replace(TINY, hidden=32))
    state = torch.randn(1, 200, 4, generator=stream)
    action = torch.randn(1, 200, 4, generator=stream).tanh()
    box = torch.full((5,), -100.0), torch.full((5,), 100.0)

    def said(inference):
        world = LearnedWorld(ensemble, torch.arange(3), *box, limits(), inference=inference)
        return world.step(state, action, Streams([0], "w"))

    exact = said("float32")
    near = said("bfloat16")
    assert near.state.dtype == near.reward.dtype == torch.float32
    for name in ("state", "reward"):
        numbers = getattr(exact, name)
        change = (getattr(near, name) - numbers).square().mean().sqrt()
        assert 0 < change < 0.01 * numbers.std()
    assert torch.equal(said("float32").state, exact.state)
    with pytest.raises(ValueError, match="unknown inference"):
        said("float16")


def test_the_bounding_box_and_its_absence(stream):
    ensemble = Ensemble(0, 4, 4, TINY)
    state, action = (
        torch.randn(1, 40, 4, generator=stream),
        torch.randn(1, 40, 4, generator=stream).tanh(),
    )
    inside = world_of(ensemble, low=-0.01, high=0.01).step(state, action, Streams([0], "w"))
    assert inside.state.abs().max() <= 0.01 and inside.reward.abs().max() <= 0.01
    assert (
        world_of(ensemble, low=-0.01, high=0.01, box=False)
        .step(state, action, Streams([0], "w"))
        .state.abs()
        .max()
        > 0.01
    )


def test_a_saved_model_predicts_the_same(tmp_path, stream):
    config = replace(TINY, scaled=True, delta=True)
    data = tensors_of(arrays(stream))
    ensemble = Ensemble(0, 4, 4, config, scales_of(data, config))
    low, high = torch.zeros(5), torch.ones(5)
    exact = ensemble.params.flat.clone()
    round_weights(ensemble)
    torch.testing.assert_close(ensemble.params.flat, exact, rtol=1e-3, atol=1e-6)
    save_ensemble(tmp_path / "m.safetensors", ensemble, torch.tensor([2, 0]), low, high)
    loaded, _, top = load_ensemble(tmp_path / "m.safetensors", 4, 4, config)
    first = ensemble.predict(ensemble.members(torch.tensor([2, 0])), data["state"], data["action"])
    second = loaded.predict(loaded.members(torch.arange(2)), data["state"], data["action"])
    assert (
        torch.equal(first.state, second.state)
        and torch.equal(first.goes_on, second.goes_on)
        and torch.equal(top, high)
    )


def test_the_likelihood_by_hand():
    one = torch.ones(1, 1, 3)
    loss = model_loss(
        mean=torch.tensor([[[1.0, 2.0, 3.0]]]),
        log_std=0 * one,
        logit=torch.zeros(1, 1),
        target=torch.tensor([[[2.0, 2.0, 5.0]]]),
        goes_on=torch.ones(1, 1),
    )
    # next state: mean of 1/2 and 0; reward: 2; a fair coin: log 2
    assert loss.tolist() == pytest.approx([0.25 + 2 + math.log(2)])


def test_weighted_likelihoods_by_hand(stream):
    """With beta = 1 the gradient in the mean is that of half the squared error, and in the log
    deviation it is sigma^2 - error^2.
    """
    mean = torch.randn(1, 1, 2, generator=stream, requires_grad=True)
    log_std = torch.randn(1, 1, 2, generator=stream, requires_grad=True)
    target = torch.randn(1, 1, 2, generator=stream)
    fixed = torch.zeros(1, 1), target, torch.ones(1, 1)
    model_loss(mean, log_std, *fixed, beta=1.0).sum().backward()
    error = (mean - target).detach()
    assert torch.allclose(mean.grad, error, atol=1e-6)
    variance = (2 * log_std.detach()).exp()
    assert torch.allclose(log_std.grad, variance - error.square(), atol=1e-5)
    # In between the likelihood's gradient is weighted by sigma
    plain, half = mean.detach().requires_grad_(), mean.detach().requires_grad_()
    model_loss(plain, log_std.detach(), *fixed).sum().backward()
    model_loss(half, log_std.detach(), *fixed, beta=0.5).sum().backward()
    assert torch.allclose(half.grad, variance.sqrt() * plain.grad, atol=1e-5)


def test_rows_that_end_weigh_more_where_asked_to():
    sure = torch.zeros(1, 2, 2)
    ends = torch.tensor([[0.0, 1.0]])
    plain, heavy = (
        model_loss(sure, sure, torch.zeros(1, 2), sure, ends, end_weight=weight)
        for weight in (1.0, 3.0)
    )
    assert plain.tolist() == pytest.approx([math.log(2)])
    assert heavy.tolist() == pytest.approx([2 * math.log(2)])  # weights 3 and 1


def test_ends_that_are_foreseen_and_false_ones(stream):
    """A world that ends where the first number of the state is positive."""

    class Ending:
        def step(self, state, action, streams):
            return Outcome(state, *[torch.zeros(1)] * 1, (state[..., 0] <= 0).float(), None, {})

    data = tensors_of(arrays(stream, rows=4))
    data["state"][:, 0] = torch.tensor([1.0, -1.0, 1.0, -1.0])
    data["goes_on"] = torch.tensor([0.0, 0.0, 1.0, 1.0])
    rows = torch.arange(4)
    assert foreseen_ends(Ending(), data, rows, 5) == {"ends_foreseen": 0.5, "false_ends": 0.5}
    assert foreseen_ends(Ending(), data, rows[2:], 1) == {"ends_foreseen": None, "false_ends": 1}


def test_squares_fit_the_means_as_if_there_were_no_deviations(stream):
    """Only the last layer's own half learns the deviations."""
    data = tensors_of(arrays(stream))
    config = replace(TINY, loss="squares", max_norm=1e9)
    ensemble = Ensemble(0, 4, 4, config)
    rows = prepared_rows(ensemble, data, torch.arange(60))
    rows = {name: tensor.expand(3, *tensor.shape) for name, tensor in rows.items()}
    ensemble.backward(ensemble.loss(rows), "members")
    found = {name: leaf.grad.clone() for name, leaf in ensemble.params.tensors.items()}
    mean, _, logit = ensemble.outputs(ensemble.members(), rows["x"])
    squares = 0.5 * (mean - rows["target"]).square()
    ends = torch.nn.functional.binary_cross_entropy_with_logits(
        logit, rows["goes_on"], reduction="none"
    )
    loss = squares[..., :-1].mean((1, 2)) + squares[..., -1].mean(1) + ends.mean(1)
    ensemble.backward(loss, "members")
    for name, leaf in ensemble.params.tensors.items():
        same = torch.allclose(leaf.grad, found[name], atol=1e-6)
        assert same != (name in ("tw2", "tb2", "rw2", "rb2")), name
    half = slice(0, 4)
    assert torch.allclose(
        ensemble.params["tw2"].grad[..., half], found["tw2"][..., half], atol=1e-6
    )


def test_the_rate_falls_to_nothing(stream):
    assert [falling_share(step, 4) for step in (0, 2, 4)] == pytest.approx([1, 0.5, 0])
    ensemble = Ensemble(0, 4, 4, replace(TINY, falling=True, updates=4))
    rows = prepared_rows(ensemble, tensors_of(arrays(stream)), torch.arange(60))
    for _ in range(3):
        ensemble.update(rows)
    rate = ensemble.optimisers["members"].lr
    assert rate.tolist() == pytest.approx([TINY.lr * falling_share(2, 4)] * len(rate))


def test_members_are_ranked_by_their_errors(stream):
    data = tensors_of(arrays(stream))
    ensemble = Ensemble(0, 4, 4, TINY)
    with torch.no_grad():
        for name, tensor in ensemble.params.tensors.items():
            if name in ("tb2", "rb2"):  # the last layers: means and log standard deviations
                tensor[0, 1] += 10  # far off, and noisy
    order, errors = rank_members(ensemble, data, torch.arange(60), 0)
    assert order[-1] == 1 and errors.argmax() == 1
    assert torch.equal(errors[order], errors.sort().values)


def test_held_out_rows_are_not_trained_on():
    ends = np.arange(200) % 10 == 9
    for by in ("transitions", "episodes"):
        fitted, held_out = split_rows(ends, 0.1, by)
        assert len(held_out) == 20
        assert sorted([*fitted.tolist(), *held_out.tolist()]) == list(range(200))
        assert torch.equal(split_rows(ends, 0.1, by)[1], held_out)
    assert held_out.view(2, 10).diff().eq(1).all() and held_out[0] % 10 == 0  # two whole episodes
    with pytest.raises(ValueError, match="1 of episodes"):
        split_rows(np.zeros(9, bool), 0.1, "episodes")


def test_limits_of_members_are_those_of_their_rows():
    both = Limits.of(
        [
            {"lambda_r": 1, "lambda_g": 2, "lambda_a": 0, "l_clip": 5, "l_stop": 6, "box": True},
            {"lambda_r": 3, "lambda_g": 4, "lambda_a": 1, "l_clip": 7, "l_stop": 8, "box": False},
        ]
    )
    rows = both.to("cpu").of_rows(2)
    assert rows.lambda_g.tolist() == [2, 2, 4, 4] and rows.box.tolist() == [
        True,
        True,
        False,
        False,
    ]
    # each uncertainty is cut at its member's l_clip
    uncertainty = torch.tensor([1.0, 10.0, 1.0, 10.0])
    cost = penalty(rows, uncertainty, uncertainty, uncertainty)
    assert cost.tolist() == pytest.approx([3, 15, 8, 56])


def test_what_lies_outside_the_box():
    low, high = torch.tensor([-1.0]), torch.tensor([1.0])
    numbers = torch.tensor([[2.0], [-math.inf], [0.5]])
    inside = torch.ones(3, 1, dtype=torch.bool)
    assert clip(numbers, low, high, inside)[:, 0].tolist() == [1, -1, 0.5]
    assert clip(numbers, low, high, ~inside)[:, 0].tolist() == [2, -1e6, 0.5]


def test_pieces_of_the_data_lie_in_one_episode():
    ends = np.array([False, False, True, False, False, True])
    assert whole_pieces(ends, 3).tolist() == [0, 3]
    assert whole_pieces(ends, 2).tolist() == [0, 1, 3, 4]
    assert whole_pieces(ends, 4).tolist() == []
    assert whole_pieces(ends, 9).tolist() == []
    assert whole_pieces(ends, 2, torch.tensor([1, 2, 3, 4])).tolist() == [1, 3]


def test_horizon_errors_of_a_world_that_stands_still(stream):
    class Still:
        def step(self, state, action, streams):
            return Outcome(state, torch.ones(1, 500), *[torch.zeros(1)] * 2, {})

    data = arrays(stream, rows=40)
    data["next_observations"][:-1] = data["observations"][1:]
    tensors = tensors_of(data)
    pick = Streams([0], "horizon errors").integers(32, (500,))[0]
    starts = whole_pieces(data["timeouts"], 3)
    assert len(starts) == 32
    row = starts[pick].numpy()
    obs = data["observations"]
    expected = [
        np.sqrt(
            (((obs[row] - data["next_observations"][row + t]) / obs.std(0, ddof=1)) ** 2).mean()
        )
        for t in range(3)
    ]
    found = horizon_errors(Still(), tensors, starts, 3, 500, 0)
    assert found["state"] == pytest.approx(expected, rel=1e-4)
    rewards = data["rewards"]
    expected = [
        np.sqrt(((1 - rewards[row + t]) ** 2).mean()) / rewards.std(ddof=1) for t in range(3)
    ]
    assert found["reward"] == pytest.approx(expected, rel=1e-4)
    nowhere = torch.zeros(0, dtype=torch.long)
    assert horizon_errors(Still(), tensors, nowhere, 3, 500, 0) == {"state": [], "reward": []}


def test_l_eps_of_a_length_by_trying_all(stream):
    eps_g = torch.rand(6, 40, generator=stream)
    for length in (1.0, 2.5, 4.0, 5.9):
        limit = limit_of_length(eps_g, length)
        lasted = [next((t + 1 for t in range(6) if row[t] >= limit), 6) for row in eps_g.T]
        assert np.mean(lasted) == pytest.approx(length, abs=1 / 40)
    assert limit_of_length(eps_g, 6.0) > eps_g.max()


def test_both_rules_of_l_eps_in_a_world_that_is_less_sure_of_larger_actions():
    class Unsure:
        """eps_g is the action's first number, eps_r twice that."""

        def step(self, state, action, streams):
            eps_g = action[..., 0]
            return Outcome(state + 1, *[torch.zeros(1)] * 3, {"eps_g": eps_g, "eps_r": 2 * eps_g})

    actions = torch.linspace(0, 0.9, 10).unsqueeze(1)
    data = {"state": torch.zeros(10, 3), "action": actions, "reward": torch.tensor([1.0, 3.0])}
    how = {"quantile": 0.6, "length": 1.5, "steps": 2, "rows": 4000, "action_std": 1e-6}
    eps = calibration.measured(
        Unsure(), data, torch.tensor([2, 4, 6, 8]), how, 0
    )  # 0.2, 0.4, 0.6 and 0.8
    assert eps["quantile"][0].shape == (1, 4000) and eps["length"][1].shape == (2, 4000)
    assert eps["quantile"][0].mean() == pytest.approx(0.5, abs=0.02)
    assert eps["length"][0].abs().max() < 1e-4  # untrained teams do not follow the data
    found = calibration.calibrate(Unsure(), data, torch.tensor([2, 4, 6, 8]), how, 0)
    half = 0.5 * 2**0.5  # of the standard deviation of rewards
    assert found["quantile"]["l_eps"] == pytest.approx(0.6, abs=1e-4)
    assert found["quantile"]["lambda_g"] == pytest.approx(half / 0.6, rel=1e-3)
    assert found["length"]["l_eps"] == limit_of_length(eps["length"][0], 1.5)


def test_what_is_behind_a_step_that_uncertainty_cut(stream):
    """Values 1, 2, 3 of the states of a rollout and 4 of the one it ends in; step 1 was cut."""
    rolled = rollouts_of(value=[1.0, 2.0, 3.0], next_value=[2.0, 3.0, 4.0], cut=[0.0, 1.0, 0.0])
    behind = {name: moma_ppo.cut_as(rolled, name) for name in ("next", "last", "end")}
    assert behind["next"] is rolled
    assert behind["last"].next_value.flatten().tolist() == [2, 2, 4]
    assert behind["last"].alive.flatten().tolist() == [1, 1, 1]
    assert behind["end"].alive.flatten().tolist() == [1, 0, 1]
    facts = moma_ppo.how_it_went(behind["last"], scale=0.5, largest=10.0)
    assert facts["length"].tolist() == [3] and facts["cut_rollouts"].tolist() == [1]
    assert facts["model_reward"].tolist() == [2] and facts["top_value_share"].tolist() == [
        pytest.approx(0.3)
    ]


def rollouts_of(value, next_value, cut):
    """One rollout with these numbers at its steps, rewards 1."""
    column = lambda numbers: torch.tensor(numbers).view(1, -1, 1)  # noqa: E731
    ones = torch.ones(1, len(value), 1)
    empty = torch.zeros(1)
    return Rollouts(
        *[empty] * 4, column(value), column(next_value), ones, ones, ones, ones.bool(),
        {"cut": column(cut)},
    )  # fmt: skip


def test_discounted_returns_stop_at_episodes_ends():
    data = {
        "rewards": np.array([1.0, 2.0, 4.0]),
        "terminals": np.array([False, True, False]),
        "timeouts": np.array([False, False, True]),
    }
    assert tasks.discounted_returns(data, 0.5).tolist() == [2, 2, 4]
    config = {"value_units": "returns", "hyper": {"gamma": 0.5}}
    assert tasks.reward_scale(config, data) == pytest.approx(1 / np.std([2, 2, 4]))


def test_teams_are_followed_until_they_fall():
    """A world that pays 1 a step and ends the second team's episode at its second step."""

    class Paying:
        steps = 0

        def reset(self, state):
            self.steps = 0

        def step(self, state, action, streams):
            self.steps += 1
            alive = torch.tensor([[1.0, float(self.steps < 2)]])
            return Outcome(state, torch.ones(1, 2), alive, torch.ones(1, 2), {})

    def act(obs, history):
        assert history.shape == (1, 2, 2, 4, 3 + 2)
        return torch.zeros(1, 2, 2, 2)

    state, history = torch.zeros(1, 2, 4), torch.zeros(1, 2, 2, 4, 5)
    streams = Streams([0], "w")
    rewards, alive = audit.followed(act, Paying(), VIEW, state, history, 3, streams)
    assert rewards[:, 0].tolist() == [[1, 1], [1, 1], [1, 0]]
    assert alive[:, 0].tolist() == [[1, 1], [1, 0], [1, 0]]


def test_fine_tuning_ends_with_as_many_rows_of_its_own():
    shares = [growing.offline_share(steps, 1000) for steps in (0, 500, 1000, 2000)]
    assert shares == pytest.approx([1, 2 / 3, 1 / 2, 1 / 2])
    rows = 10**6  # the authors' formula where fine-tuning is as long as the data
    assert growing.offline_share(1000, rows) == pytest.approx(rows / (rows + 1000))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("own", [{}, {"rollouts.every": 4, "rollouts.length": 25}])
def test_the_last_minibatch_of_fine_tuning_is_half_online_at_every_preset(preset, own):
    config = changed(cell(preset, "ant", "po", "random", "maiql_ft", ANT_OPTIONS), own).config
    source = growing.fine_tuned(SimpleNamespace(config=config, device="cpu", reward_scale=1.0))
    assert source.first == config["updates"] - config["ft_updates"]
    last = (config["ft_updates"] - 1) // config["rollouts"]["every"] + 1  # rollout, from 1
    assert last == source.capacity
    assert source.real(last * config["rollouts"]["length"]) == 0.5
    assert source.real(0) == 1


@pytest.mark.parametrize("preset", ["quick", "standard"])
@pytest.mark.parametrize("table", [table4a, table4b], ids=["table4a", "table4b"])
def test_methods_of_a_table_make_as_many_gradient_steps(preset, table):
    cells = [c for entry in table.entries(preset, ANT_OPTIONS) for c in entry.cells]
    offline: dict[bool, set[int]] = {True: set(), False: set()}
    for one in cells:
        fine_tuning = one.config.get("ft_updates", 0) * (one.config["updates"] > 0)
        ours = one.config["method"] == "moma_ppo"
        offline[ours].add(gradient_steps(one.config) - fine_tuning)
    (own,), (others,) = offline[True], offline[False]
    # At standard until curves are flat, which are MOMA-PPO's later
    assert own == others if preset == "quick" else own > others


def test_what_methods_were_given_counts_their_world_models():
    entries = {
        (one.row, one.column): one for one in table4_budgets.TABLE.entries_at("quick", ANT_OPTIONS)
    }
    of_models = entries["ant, world model", "gradient steps"]
    results = [{"config": one.config} for one in of_models.cells]
    assert of_models.value(results) == dict.fromkeys(range(4), 500.0)
    assert entries["reacher, world model", "surely gained"].missing


def test_every_team_that_learned_in_a_model_is_audited_once():
    entries = table4_imagined.TABLE.entries_at("quick", ANT_OPTIONS)
    true = [entry for entry in entries if entry.column == "true_50"]
    audited = [one for entry in true for one in entry.cells]
    of_tables, ablated = audited[:11], audited[11:]
    assert len(set(of_tables)) == 11 and len(ablated) == len(set(ablated)) == 2 * 12
    parts = [c for e in ablation_parts.entries("quick", ANT_OPTIONS) for c in e.cells]
    learned = {c for c in parts if c.config.get("world") == "model"}
    assert learned <= {*audited}
    shares = [entry for entry in entries if entry.column == "value_share"]
    assert [bool(entry.missing) for entry in shares] == [True] * 3 + [False] * 8


def test_learning_curves_are_over_shares_of_training(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "curves", lambda table, shown, *where: drawn.extend(shown))
    for rounds in ([30, 70], [1400, 2800], [5]):
        one = Shown("row", "column", (), "done", summary([1.0]), rounds=rounds)
        learning.draw(figure_curves_ant.TABLE, [one], tmp_path / "x.png", "quick")
    assert [one.rounds for one in drawn] == [[43, 100], [50, 100], [100]]


def test_the_score_is_the_mean_of_the_last_evaluations():
    curves = {"score": [0.0, 1.0, 3.0], "raw": [0.0, 10.0, 30.0], "true_10": [1.0, 2.0, 3.0]}
    found = tasks.facts(Course(0, 0, [1, 2, 3], curves, []), averaged=2)
    assert found["last_score"] == 2 and found["last_return"] == 20 and found["distance"] is None
    assert found["curve"] == curves["score"] and found["curves"] == {"true_10": [1, 2, 3]}


def seeds_with(key, *values):
    """A result whose seeds have these values."""
    return {"seeds": [{"seed": seed, key: value} for seed, value in enumerate(values)]}


def test_differences_of_the_ledger_are_averaged_within_seeds():
    results = [seeds_with("last_score", *values) for values in ((5, 1), (2, None), (4, 3), (3, 3))]
    mean_gap = claims.within_seeds(last_score)
    assert mean_gap(results) == {0: (3 + 1) / 2, 1: None}
    assert claims.twice(mean_gap)(results) == {0: 4.0, 1: None}
    shorter = [results[0], seeds_with("last_score", 2)]  # one seed less
    assert mean_gap(shorter) == paired("last_score")(shorter) == {0: 3.0}


def test_one_that_diverged_walked_nowhere():
    walked = [seeds_with("distance", *values) for values in ((1.0, None), (3.0, -2.0))]
    assert claims.farther(walked) == {0: 3.0, 1: 0.0}
    assert claims.farther([walked[0], seeds_with("distance", -1.0)]) == {0: 1.0}
    assert claims.every_distance(walked) == {0: 1.0, 1: 0.0, 2: 3.0, 3: -2.0}


def test_a_loss_that_is_no_number_is_a_large_one():
    seeds = [{"seed": seed, "facts": [{"q": 1.0}, {"q": q}]} for seed, q in enumerate((100, None))]
    assert claims.loss_size([{"seeds": seeds}]) == {0: 2.0, 1: claims.EXPLODED}


@pytest.mark.parametrize("task", ["reacher", "ant"])
def test_a_diverged_member_costs_the_others_nothing(task):
    of = view(task, "full")
    config = {"task": task, "episodes": 1, "evaluations": 1, "averaged": 1}

    def judged(*broken):
        def act(obs, history):
            actions = torch.full((*obs.shape[:3], of.action_dim), 0.1)
            actions[list(broken)] = torch.nan
            return actions

        return tasks.RobotJudge(config, [0, 1], of)(act, 1)

    both, alone = judged(), judged(0)
    assert math.isnan(alone.score[0]) and math.isnan(alone.raw[0])
    assert alone.score[1] == both.score[1]
    if task == "ant":
        assert math.isnan(alone.distance[0]) and alone.distance[1] == both.distance[1]


def test_the_simulator_takes_actions_that_are_no_numbers_for_zeros():
    worlds = [tasks.Simulator("reacher"), tasks.Simulator("reacher")]
    state = torch.from_numpy(RobotBatch("reacher", 2).reset([generator(0, "starts")])).float()[None]
    outcomes = []
    for world, first in zip(worlds, (0.0, torch.nan), strict=True):
        world.reset(state)
        action = torch.full((1, 2, 2), 0.3)
        action[:, 0] = first
        outcomes.append(world.step(state, action, None))
    assert torch.equal(outcomes[0].state, outcomes[1].state)


def test_an_uncertainty_at_its_quantile_costs_half_a_standard_deviation():
    assert 4.0 * penalty_weight(3.0, 4.0) == pytest.approx(1.5)
    assert math.isfinite(penalty_weight(3.0, 0.0))


def test_scales_change_nothing_where_none_are_asked_for():
    assert (
        Ensemble(0, 4, 4, TINY, Scales(*[torch.full((8,), 2.0)] * 4)).scales.input_std.eq(1).all()
    )


def test_variants_are_what_they_say():
    assert set(VARIANTS["aleatoric 5"]) == {"penalty", "aleatoric", "adaptive"}
    assert all(set(change) <= set(LIMITS) for change in VARIANTS.values())


def test_histories_stop_at_episodes_starts(stream):
    data = arrays(stream)
    sequences = Sequences(data, VIEW, 4)
    index = torch.tensor([[0, 3, 9, 10, 12]])
    batch = sequences.batch(index)
    actions = np.clip(data["actions"], -ACTION_BOUND, ACTION_BOUND)
    for column, row in enumerate(index[0].tolist()):
        first = row // 10 * 10
        for window, end in ((batch.history, row), (batch.next_history, row + 1)):
            for back in range(1, 5):
                seen = window[0, :, column, -back]
                source = end - back
                if source < first:
                    assert seen.eq(0).all()
                else:
                    assert seen[0].tolist() == pytest.approx(
                        [*data["observations"][source][[0, 1, 2]], *actions[source][:2]]
                    )
                    assert seen[1].tolist() == pytest.approx(
                        [*data["observations"][source][[0, 3]], 0, *actions[source][2:]]
                    )
    assert torch.equal(batch.joint_action, torch.from_numpy(actions[index.numpy()]).float())


def test_generated_rows_are_those_of_the_rollouts(stream):
    rows = GeneratedRows(2, VIEW, 3, 4, 2, 5)
    draw = lambda *shape: torch.randn(*shape, generator=stream)  # noqa: E731
    before, states, actions = draw(2, 4, 3, 8), draw(2, 4, 3, 4), draw(2, 4, 2, 4)
    rewards, ends = draw(2, 4, 2), torch.zeros(2, 4, 2)
    lengths = torch.tensor([[2, 1, 2, 2]] * 2)
    rows.add(before, states, actions, rewards, ends, lengths)
    batch = rows.batch(50, Streams([0, 1], "g"))
    assert set(batch.reward[0].tolist()) == set(rewards[0].flatten().tolist()) - {
        rewards[0, 1, 1].item()
    }
    k = 7
    found = (rewards[1] == batch.reward[1, k]).nonzero()[0].tolist()
    assert torch.equal(batch.state[1, k], states[1, found[0], found[1]])
    assert torch.equal(batch.next_state[1, k], states[1, found[0], found[1] + 1])
    both = joined(batch, batch)
    assert both.state.shape[1] == 100 and both.history.shape[2] == 100


def batch_of(members, stream, of=VIEW, state=4, rows=12):
    data = arrays(stream)
    sequences = Sequences(data, of, 3)
    return sequences.batch(torch.randint(60, (members, rows), generator=stream))


def member(batch, m):
    return HistoryBatch(*(getattr(batch, name)[m : m + 1] for name in batch.__dataclass_fields__))


def made_by(learner, config):
    return lambda seeds: learner(seeds, VIEW.obs_dims, 4, 2, config)


LEARNERS = {
    "maiql": made_by(MAIQL, IQLConfig(**SMALL)),
    "ibc": made_by(IBC, IQLConfig(**SMALL)),
    "itd3bc": made_by(ITD3BC, TD3Config(**SMALL)),
    "matd3bc": made_by(MATD3BC, TD3Config(**SMALL)),
    "icql": made_by(ICQL, TD3Config(**SMALL)),
    "iomar": made_by(IOMAR, TD3Config(**SMALL)),
}


@pytest.mark.parametrize("kind", LEARNERS)
def test_a_member_learns_the_same_alone(kind, stream):
    batch = batch_of(2, stream)
    both, alone = LEARNERS[kind]([0, 1]), LEARNERS[kind]([1])
    for _ in range(4):
        both.update(batch)
        alone.update(member(batch, 1))
    for name, network in both.networks.items():
        for key, tensor in network.tensors.items():
            if key != "key_b":  # attention does not feel it: its gradient is rounding alone
                assert torch.allclose(tensor[1], alone.networks[name][key][0], atol=2e-5), key
    again = LEARNERS[kind]([0, 1])
    again.load_state_dict(both.state_dict())
    for _ in range(2):
        both.update(batch)
        again.update(batch)
    for name, network in both.networks.items():
        assert torch.equal(network.flat, again.networks[name].flat), name


@pytest.mark.parametrize("kind", ["ibc", "itd3bc", "icql", "iomar"])
def test_independent_learners_see_no_other_agent(kind, stream):
    batch = batch_of(1, stream)
    other = {
        name: torch.cat(
            [
                getattr(batch, name)[:, :1],
                torch.randn(getattr(batch, name)[:, 1:].shape, generator=stream).tanh(),
            ],
            1,
        )
        for name in ("obs", "history", "action", "next_obs", "next_history")
    }
    changed = replace(batch, **other)
    first, second = LEARNERS[kind]([0]), LEARNERS[kind]([0])
    for _ in range(3):
        first.update(batch)
        second.update(changed)
    for name, network in first.networks.items():
        same = network.flat[:, 0], second.networks[name].flat[:, 0]
        assert torch.allclose(*same, atol=1e-6), name


@pytest.mark.parametrize("kind", ["itd3bc", "matd3bc", "icql", "iomar"])
def test_actors_and_targets_wait_and_critics_are_not_taught_by_actors(kind, stream):
    learner = LEARNERS[kind]([0, 1])
    batch = batch_of(2, stream)
    actor = learner.networks["policy"].flat.clone()
    target = learner.targets["q"].flat.clone()
    assert set(learner.update(batch)) == {"q"}
    assert torch.equal(learner.networks["policy"].flat, actor)
    assert torch.equal(learner.targets["q"].flat, target)
    assert set(learner.update(batch)) == {"q", "policy"}
    assert not torch.equal(learner.networks["policy"].flat, actor)
    for name in learner.critic_networks:
        learner.networks[name].zero_grad()
    learner.actor_loss(batch).sum().backward()
    assert all(learner.networks[name].grad.eq(0).all() for name in learner.critic_networks)


def test_maiql_clips_gradients_and_the_others_do_not():
    norms = {kind: make([0]).max_norm for kind, make in LEARNERS.items()}
    assert norms.pop("maiql") == 1.0
    assert set(norms.values()) == {None}


def test_the_losses_of_iql_by_hand():
    value = torch.tensor([[1.0, 2.0]])
    target_q = torch.tensor([[3.0, 1.0]])
    # differences 2 and -1
    assert value_loss(value, target_q, 0.7).item() == pytest.approx((0.7 * 4 + 0.3) / 2)
    weight = advantage_weight(target_q, value, 2.0, 50.0)
    assert weight[0].tolist() == pytest.approx([50.0, math.exp(-2)])  # exp(4) is more
    log_prob = torch.tensor([[[-1.0, -2.0], [-3.0, 0.0]]])  # two agents
    assert policy_loss(log_prob, weight).item() == pytest.approx((50 * 4 + math.exp(-2) * 2) / 2)
    assert policy_loss(log_prob).item() == pytest.approx(3.0)
    q = torch.tensor([[[1.0, 2.0], [0.0, 0.0]]])
    assert critic_loss(q, value).item() == pytest.approx(0 + (1 + 4) / 2)


def test_the_losses_of_td3s_relatives_by_hand():
    q = torch.tensor([[[1.0, -3.0]]])
    cloning = torch.tensor([[[4.0, 2.0]]])
    # lambda = 2.5 / 2, mean Q = -1
    assert cloning_loss(q, cloning, 2.5).item() == pytest.approx(3 + 1.25)
    action = torch.tensor([[[[0.5, 0.0], [1.0, 0.0]]]])
    best = torch.zeros(1, 1, 2, 2)
    square = (0.25 + 1) / 4
    expected = 0.9 * square + 0.1 + 1e-3 * square
    assert omar_loss(q, action, best, 0.9, 1e-3).item() == pytest.approx(expected)
    noise = torch.tensor([0.3, -0.9, 0.1])
    smooth = smoothed(torch.tensor([0.9, 0.2, 0.0]), noise, 0.5)
    assert smooth.tolist() == pytest.approx([1.0, -0.3, 0.1])


def test_the_conservative_penalty_equals_a_slow_twin(stream):
    learner = ICQL([0, 1], [6, 6, 6], 4, 2, TD3Config(hidden=16, memory=4))
    params = learner.networks["q"]
    features = torch.randn(2, 3, 4, SMALL["memory"] + 6, generator=stream)
    actions = torch.rand(2, 3, 4, 5, 2, generator=stream)
    log_density = torch.randn(2, 3, 4, 5, generator=stream)
    q = torch.randn(2, 3, 2, 4, generator=stream)
    penalty = conservative_penalty(params, features, actions, log_density, q)
    each = [agent_q(params, features, actions[:, :, :, k]) for k in range(5)]
    sampled = torch.stack(each, -1).detach()
    assert torch.allclose(sampled_q(params, features, actions), sampled[:, :, 0], atol=1e-6)
    for m, n in np.ndindex(2, 3):
        total = 0.0
        for head, row in np.ndindex(2, 4):
            ratios = sampled[m, n, head, row].exp() / log_density[m, n, row].exp()
            total += (ratios.sum().log() - q[m, n, head, row]).item() / 4
        assert penalty[m, n].item() == pytest.approx(total, rel=1e-4, abs=1e-4)


def test_the_density_of_sampled_actions(stream):
    noise = torch.randn(3, 4, 2, generator=stream)
    normal = torch.distributions.Normal(torch.zeros(2), 0.2)
    expected = normal.log_prob(0.2 * noise).sum(-1)
    assert torch.allclose(normal_log_density(noise, 0.2), expected, atol=1e-5)


def test_iql_bootstraps_where_the_episode_goes_on(stream):
    of = View("toy", "toy", ((0, 1, 2, 3),), 4)
    learner = IQL([0], of.obs_dims, 4, 4, IQLConfig(**SMALL))
    batch = batch_of(1, stream, of)
    ends = replace(batch, terminal=torch.ones_like(batch.terminal))
    assert torch.equal(learner.bootstrapped(ends), batch.reward)
    goes_on = replace(batch, terminal=torch.zeros_like(batch.terminal))
    features = learner.features(batch.next_obs, batch.next_history)
    with torch.no_grad():
        expected = batch.reward + 0.99 * learner.agent_value(features)[:, 0]
    assert torch.equal(learner.bootstrapped(goes_on), expected)


def test_the_expectile():
    assert expectile_loss(torch.tensor([2.0, -2.0]), 0.7).tolist() == pytest.approx([2.8, 1.2])


def test_cloning_clones(stream):
    of = View("toy", "toy", ((0, 1), (2, 3)), 1)
    data = arrays(stream, rows=400, joint=2)
    data["actions"] = np.tanh(data["observations"][:, [0, 2]])
    sequences = Sequences(data, of, 3)
    learner = IBC([0], of.obs_dims, 4, 1, IQLConfig(hidden=32, memory=4, lr=3e-3))
    streams = Streams([0], "minibatches")
    for _ in range(400):
        learner.update(sequences.batch(sequences.draw_index(64, streams)))
    batch = sequences.batch(torch.arange(100)[None])
    assert (learner.act(batch.obs, batch.history) - batch.action).abs().mean() < 0.1


def test_centralised_iql_is_one_agent():
    with pytest.raises(ValueError, match="one agent"):
        IQL([0], [4, 4], 4, 2, IQLConfig(**SMALL))


def test_the_game_is_a_pettingzoo_environment():
    parallel_api_test(CoordinationEnv(), num_cycles=50)
    env = CoordinationEnv()
    env.reset(seed=0)
    obs, rewards, *_ = env.step({"first": 1, "second": 1})
    assert rewards == {"first": 1.0, "second": 1.0} and obs["first"].tolist() == [0, 0, 0, 1, 0]
    with pytest.raises(ValueError, match="expected 0"):
        env.step({"first": 2, "second": 0})


def test_the_games_data_match_as_often_as_their_chances():
    for setting, (first, second) in game.SETTINGS.items():
        data = game.data(setting, 0)
        assert data["rewards"].mean() == pytest.approx(
            first * second + (1 - first) * (1 - second), abs=0.02
        )
        assert data["actions"][:, 1].mean() == pytest.approx(first, abs=0.02)
        joint = game.data(setting, 0, centralised=True)["actions"].argmax(1)
        assert np.array_equal(
            joint, 2 * data["actions"][:, :2].argmax(1) + data["actions"][:, 2:].argmax(1)
        )
    follows = data["next_observations"][:-1][data["observations"][1:, -1] == 0]
    assert np.array_equal(follows, data["observations"][1:][data["observations"][1:, -1] == 0])
    with pytest.raises(ValueError, match="unknown setting"):
        game.data("other", 0)


@pytest.mark.parametrize("name", ["reacher", "ant"])
def test_ground_truth_rollouts_equal_the_environment(name):
    real, world = RobotBatch(name, 3), SimulatedWorld(name)
    state = real.reset([generator(0, "starts")])
    for _ in range(3):
        state, *_ = real.step(np.full((3, real.action_dim), 0.3))
    world.reset(torch.from_numpy(state).float()[None])
    exact = RobotBatch(name, 3)
    exact.set_observed(state.astype(np.float32))
    seen = torch.from_numpy(state).float()[None]
    for t in range(4):
        action = np.full((3, real.action_dim), 0.1 * t)
        outcome = world.step(seen, torch.from_numpy(action).float()[None], None)
        following, reward, terminated, _ = exact.step(action.astype(np.float32))
        assert np.allclose(outcome.state[0], following, atol=1e-5) and np.allclose(
            outcome.reward[0], reward, atol=1e-5
        )
        assert np.array_equal(outcome.alive[0].numpy() == 0, terminated)


METHODS = (
    "iql",
    "maiql",
    "maiql_ft",
    "matd3bc",
    "ibc",
    "itd3bc",
    "icql",
    "iomar",
    "moma_iql",
    "moma_ppo",
)


@pytest.mark.parametrize("method", METHODS)
def test_a_cell_trains_and_resumes_bit_for_bit(method, tmp_path, monkeypatch):
    one = cell(
        "smoke", "ant", "full" if method == "iql" else "po", "full-replay", method, ANT_OPTIONS
    )
    PAPER.data.prepare(one)
    whole = train(training.build, [one], "cpu", tmp_path / "a.pt")[0]
    monkeypatch.setattr("common.running.checkpoint.CHECKPOINT_SECONDS", -1)

    class Stop(Exception):
        pass

    def stop(done, total):
        if done == 2:  # the checkpoint of the update before is on disk
            raise Stop

    with pytest.raises(Stop):
        train(training.build, [one], "cpu", tmp_path / "b.pt", stop)
    assert (tmp_path / "b.pt").exists()
    again = train(training.build, [one], "cpu", tmp_path / "b.pt")[0]
    assert [seed["curve"] for seed in whole["seeds"]] == [seed["curve"] for seed in again["seeds"]]
    assert whole["seeds"][0]["facts"][-1] == again["seeds"][0]["facts"][-1]
    assert whole["seeds"][0]["distance"] is not None


def test_seeds_and_variants_train_together_as_alone(tmp_path):
    cells = [
        cell("smoke", "ant", "full", "full-replay", "moma_ppo", ANT_OPTIONS, variant)
        for variant in list(VARIANTS)[:3]
    ]
    PAPER.data.prepare(cells[0])
    assert len({training.program_key(one) for one in cells}) == 1
    together = train(training.build, cells, "cpu", tmp_path / "a.pt")
    alone = train(training.build, [cells[2]], "cpu", tmp_path / "b.pt")[0]
    for first, second in zip(together[2]["seeds"], alone["seeds"], strict=True):
        assert first["curve"] == pytest.approx(second["curve"], abs=1e-4)


def test_the_game_is_played_by_all_methods(tmp_path):
    for method in ("iql", "maiql", "ibc", "moma_ppo"):
        one = game_cell("smoke", "favorable", method, ANT_OPTIONS)
        result = train(training.build, [one], "cpu", tmp_path / f"{method}.pt")[0]
        assert all(0 <= seed["last_score"] <= 1 for seed in result["seeds"])


def test_a_world_model_that_is_gone_is_trained_again(tmp_path, monkeypatch):
    monkeypatch.setenv("OMZ_RESULTS", str(tmp_path))
    one = models.model_cell("smoke", "coordination", "neutral")
    first = models.ensure(one, "cpu")
    models.file_of(one).unlink()
    second = models.ensure(one, "cpu")
    assert first["model_sha256"] == second["model_sha256"] and models.available(one)
    models.file_of(one).write_bytes(b"other")
    assert not models.available(one)


def test_two_who_need_a_world_model_that_is_gone_train_it_once(tmp_path, monkeypatch):
    """The second waits at the lock of the first, and then finds the model."""
    monkeypatch.setenv("OMZ_RESULTS", str(tmp_path))
    one = models.model_cell("smoke", "coordination", "neutral")
    first = models.ensure(one, "cpu")
    content = models.file_of(one).read_bytes()
    models.file_of(one).unlink()
    lock = work.program_lock([one])
    lock.acquire()
    second = threading.Thread(target=models.ensure, args=(one, "cpu"))
    second.start()
    second.join(0.3)
    assert second.is_alive() and one.path.exists()
    models.file_of(one).write_bytes(content)
    stored = one.path.stat().st_mtime_ns
    lock.release()
    second.join(60)
    assert not second.is_alive() and one.path.stat().st_mtime_ns == stored
    assert models.ensure(one, "cpu") == first


def test_the_released_uncertainty_counts_copies():
    full, po = view("ant", "full"), view("ant", "po_aligned")
    assert moma_ppo.copies_of(full, 27).eq(4).all()
    assert moma_ppo.copies_of(po, 27)[:-1].eq(1).all() and moma_ppo.copies_of(po, 27)[-1] == 4


def test_options_change_slots_and_programs():
    plain = cell("smoke", "ant", "po", "medium", "moma_ppo", ANT_OPTIONS)
    other = cell("smoke", "ant", "po", "medium", "moma_ppo", ANT_OPTIONS | {"combine": "released"})
    assert plain.slot != other.slot and training.program_key(plain) != training.program_key(other)
    mapped = cell("smoke", "ant", "po", "medium", "ibc", ANT_OPTIONS | {"mapping": "released"})
    assert isinstance(mapped, Cell) and mapped.config["view"] == "po_released"


def test_calibration_proposes_what_the_model_was_stored_with_and_says_how_long_rollouts_are(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("OMZ_RESULTS", str(tmp_path))
    trained = {
        "hidden": 32,
        "layers": 2,
        "updates": 300,
        "lr": 1e-3,
        "scaled": True,
        "delta": True,
        "ranking_batches": 2,
    }
    monkeypatch.setitem(PRESETS["smoke"], "model", trained)  # smoke's own is cut everywhere
    rows = calibrate.proposals("smoke", "reacher", "expert-mix", [0.1, 0.9], [1.0, 7.0, 10.0])
    stored = store.read(models.model_cell("smoke", "reacher", "expert-mix"))["calibration"]
    for rule, row in (("quantile", rows[1]), ("length", rows[3])):
        kept = [stored[rule][key] for key in ("l_eps", "lambda_g", "lambda_r")]
        assert row[0] == rule and row[2:5] == pytest.approx(kept, rel=1e-4)
    of_quantiles, of_lengths = [row[-1] for row in rows[:2]], [row[-1] for row in rows[2:]]
    assert 1 <= of_quantiles[0] < 2 < of_quantiles[1] < 10
    assert 1 <= of_lengths[0] < 2 and 5 < of_lengths[1] < 9 < of_lengths[2] <= 10
    words = ["reacher", "expert-mix", "--preset", "smoke", "--lengths", "5", "--quantiles"]
    assert calibrate.main(words) == 0
    assert "mean rollout length" in capsys.readouterr().out
    for words, message in (
        (["ant", "medum"], "did you mean 'ant medium'"),
        (["ant", "random", "--lengths", "0"], "lengths lie between"),
        (["ant", "random", "--quantiles", "1"], "quantiles lie between"),
    ):
        assert calibrate.main(words) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1


def test_a_gpu_waits_for_launches_where_networks_are_small():
    small = cell("quick", "ant", "full", "medium", "ibc", ANT_OPTIONS)
    played = 2 * playing_cost(small.config) / 16
    assert gpu_cost(small) == pytest.approx(120 * 800 * 8e-6 + played)
    large = cell("paper", "ant", "full", "medium", "iomar", ANT_OPTIONS)
    played = 3 * playing_cost(large.config) / 16
    products = 3 * 1e6 * update_cost(large.config, "iomar", 256) / 150
    assert gpu_cost(large) == pytest.approx(products + played)


def test_cells_that_learned_in_another_world_model_are_stale_and_models_travel(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("OMZ_RESULTS", str(tmp_path / "here"))
    monkeypatch.setattr(stored, "REFERENCE", tmp_path / "reference")
    monkeypatch.setattr(reference, "IN_PARTS", ("smoke",))
    monkeypatch.setattr(reference, "accept_table", lambda table, preset: True)
    monkeypatch.setattr(reference, "write_ledgers", lambda: None)
    one = game_cell("smoke", "neutral", "moma_ppo", ANT_OPTIONS)
    of_model = models.model_of(one)
    work.run_program([one], "cpu", lambda seconds: None, wait=True)
    assert PAPER.state(one) == PAPER.state(of_model) == "done"

    monkeypatch.setattr(reference.planning, "cells_of", lambda chosen, preset: [one])
    assert reference.accept([], "smoke") == 0
    monkeypatch.setenv("OMZ_RESULTS", str(tmp_path / "there"))
    reference.adopt([], "smoke")
    assert models.available(of_model) and PAPER.state(one) == "done"

    # A model is taken with its networks, also where they are gone, or not at all
    models.file_of(of_model).unlink()
    reference.adopt([], "smoke")
    assert models.available(of_model)
    for path in (models.file_of(of_model), of_model.path):
        path.unlink()
    kept = reference.kept_at(models.file_of(of_model), of_model)
    kept.rename(tmp_path / "elsewhere")
    reference.adopt([], "smoke")
    assert not of_model.path.exists() and PAPER.state(one) == "done"
    (tmp_path / "elsewhere").rename(kept)
    reference.adopt([], "smoke")

    other = store.read(of_model) | {"model_sha256": "0" * 64}
    del other["content_hash"]
    store.store(of_model, other)
    assert PAPER.state(one) == "stale: it learned in another world model"


def test_the_last_evaluations_have_the_episodes_of_the_score(monkeypatch):
    played = []

    def play(batch, act, streams):
        played.append(batch.worlds)
        return np.zeros(batch.worlds), None

    monkeypatch.setattr(tasks, "play", play)
    config = {"task": "reacher", "episodes": 3, "curve_episodes": 2, "evaluations": 4}
    judge = tasks.RobotJudge(config | {"averaged": 2}, [0, 1], view("reacher", "full"))
    for number in (1, 2, 3, 4):
        judge(None, number)
    assert played == [4, 4, 6, 6]


def test_target_networks_follow_as_fast_as_the_budget_asks():
    own = iql.IQLConfig()
    assert following_rate(own, 1_000_000) == own.tau == 0.005
    assert following_rate(own, 10_000) == pytest.approx(0.02)
    assert following_rate(td3.TD3Config(), 10_000) == pytest.approx(0.04)  # every second
    assert following_rate(own, 100) == 1
    usual = [cell(preset, "ant", "po", "random", "icql", ANT_OPTIONS) for preset in PRESETS]
    assert [one.config["hyper"]["tau"] for one in usual] == [1, 1, pytest.approx(0.04), 0.005]


@pytest.mark.parametrize("method", ["ibc", "maiql_ft", "moma_ppo"])
def test_who_still_gains_is_trained_twice_as_long_and_keeps_the_target_rates(monkeypatch, method):
    def settings():
        return cell("standard", "ant", "po", "random", method, ANT_OPTIONS).config

    usual = settings()
    monkeypatch.setitem(LONGER, "standard", {"ant": (method,)})
    longer = settings()
    assert gradient_steps(longer) == 2 * gradient_steps(usual) > 0
    lengths = ("epochs", "updates", "ft_updates")
    others = [name for name in usual if name not in lengths]
    assert [longer[name] for name in others] == [usual[name] for name in others]


@pytest.mark.parametrize("longer", ["maiql", "maiql_ft"])
def test_who_starts_from_maiql_is_trained_for_as_long_as_it(monkeypatch, longer):
    usual = preset_of("standard", "ant")
    monkeypatch.setitem(LONGER, "standard", {"ant": (longer,)})
    for method in ("maiql", "maiql_ft", "moma_iql", "ibc"):
        times = 1 if method == "ibc" else 2
        assert sizes_of_method("standard", "ant", method)["updates"] == times * usual["updates"]


def test_losses_of_models_and_readings_are_run_small_at_standard():
    rows = {entry.row: entry.cells[0].config for entry in ablation_models.entries("standard", {})}
    assert rows["likelihood"]["model"]["updates"] == 10_000
    assert rows["likelihood, a quarter of the updates"]["model"]["updates"] == 2500
    read = ablation_readings.entries("standard", ANT_OPTIONS)
    seeds = {entry.row: len(entry.cells[0].config["seeds"]) for entry in read}
    assert seeds == {"default": 5, "cut=next": 3, "cut=end": 3, "l_eps=length": 3}


def test_parts_do_not_wait_for_the_aleatoric_penalties():
    there = {claim.says: claim for claim in claims.CLAIMS}
    claim = there["the uncertainty penalty is necessary: without it more than 0.1 is lost"]
    row, column = "ant full-replay", "MOMA-PPO - no penalty"
    values = {(row, column): {0: 0.5, 1: 0.4, 2: 0.6}}
    walked = {(f"{row}, farther walk", column): {0: 50.0, 1: 60.0, 2: 40.0}}
    assert verdict(claim, lambda table: values | walked).word == "holds"
    still = {(f"{row}, farther walk", column): {0: 0.0, 1: 1.0, 2: 0.5}}
    assert verdict(claim, lambda table: values | still).word == "undecided"
    names = [name for one in claims.CLAIMS for name, _ in one.pairs if one.table == "claims"]
    premises = [one.premise for one in claims.CLAIMS if one.premise]
    names += [name for one in premises for name, _ in one.pairs if one.table == "claims"]
    assert {*names} <= {(entry.row, entry.column) for entry in claims.TABLE.entries_at("quick")}
