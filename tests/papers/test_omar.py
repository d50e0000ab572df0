"""OMAR's learners: against a per-agent PyTorch twin, population invariance, resume, options,
expected results.
"""

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from common.learning import kernels
from common.learning.losses import softmax_weights
from common.learning.philox import Streams
from common.learning.replay import Batch, Replay
from common.reporting import catalogue, script
from common.reporting.shown import by_data_set
from common.reporting.tables import Entry, difference
from common.running.checkpoint import load_checkpoint, save_checkpoint
from common.running.program import Program, train
from envs import datasets
from envs.datasets import commands
from papers.omar import ablation_tuning, experiment, landscape, timing, training
from papers.omar.baselines import clipped_weights, in_spreads
from papers.omar.config import METHODS, QUALITIES, TASKS, default_hyper, update_rounds
from papers.omar.experiment import (
    PAPER,
    make_cell,
    over_data,
    over_last_policy,
    over_second,
    points_over_data,
    training_return,
)
from papers.omar.landscape import Landscapes, Outcome, actions_after, landscapes
from papers.omar.omar import (
    Backbone,
    BackboneConfig,
    OMARConfig,
    mean_square,
    noisy_gap,
    rectified_actor_loss,
    sum_square,
)
from papers.omar.plain import PlainAgent, Rows, round_of
from tests.envs.test_omar_files import write_particles

EXPECTED = Path(__file__).with_name("omar_expected.json")


def random_data(rows=60, agents=3, obs=6, act=2, seed=0):
    stream = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=stream)

    return {
        "obs": draw(rows, agents, obs),
        "action": draw(rows, agents, act).clamp(-1, 1),
        "reward": draw(rows, agents),
        "next_obs": draw(rows, agents, obs),
        "terminal": (draw(rows, agents) > 1).float(),
        "next_action": draw(rows, agents, act).clamp(-1, 1),
        "has_next_action": torch.arange(rows) % 5 != 4,
    }


def learner(method, seeds, config=None, hyper=None, data=None):
    """A learner and its replay on random data, one data set per seed."""
    config = config or BackboneConfig(hidden=16, batch_size=20)
    build, kind = METHODS[method]
    backbone = Backbone(seeds, 6, 2, 3, config)
    replay = Replay(
        [random_data(seed=seed) for seed in seeds],
        list(range(len(seeds))),
        Streams(seeds, "minibatches"),
        config.centralised,
        method == "ma_icq",
        "cpu",
    )
    return build(backbone, kind(**(hyper or {}))), replay


def twin(params, member, agent, names, head=None):
    get = {n: params[n].detach()[member, agent] for n in names}
    if head is not None:
        get = {n: t if n.startswith("norm") else t[head] for n, t in get.items()}
    linear = [nn.Linear(*get[f"w{i}"].shape) for i in (1, 2, 3)]
    net = nn.Sequential(
        nn.BatchNorm1d(len(get["norm_weight"])),
        linear[0],
        nn.ReLU(),
        linear[1],
        nn.ReLU(),
        linear[2],
    )
    with torch.no_grad():
        net[0].weight.copy_(get["norm_weight"]), net[0].bias.copy_(get["norm_bias"])
        for i, layer in zip((1, 2, 3), (net[1], net[3], net[5]), strict=True):
            layer.weight.copy_(get[f"w{i}"].T), layer.bias.copy_(get[f"b{i}"])
    return net


def test_one_cql_critic_step_equals_a_plain_per_agent_implementation():
    """The released code's critic update, agent by agent with torch.nn and torch.optim, from the
    same start.
    """
    config = BackboneConfig(hidden=16, batch_size=20)
    agent, replay = learner("ma_cql", [0, 1], config, {"alpha": 2.0})
    backbone, batch = agent.backbone, replay.draw(20)
    names = list(backbone.critics.params.shapes)
    member, n = 1, 2
    pairs = [twin(backbone.critics.params, member, n, names, head) for head in (0, 1)]
    pairs[1][0] = pairs[0][0]  # one shared BatchNorm
    targets = [twin(backbone.targets["critic"], member, n, names, head) for head in (0, 1)]
    policy = twin(backbone.targets["actor"], member, n, list(backbone.actors.params.shapes))
    samples = Streams([0, 1], "noise").uniform((3, 20, 10, 2), -1, 1)[member, n]
    obs, action, reward = batch.obs[member, n], batch.action[member, n], batch.reward[member, n]
    next_obs, terminal = batch.next_obs[member, n], batch.terminal[member, n]

    with torch.no_grad():
        next_action = policy(next_obs).tanh()
        next_q = torch.stack(
            [t(torch.cat([next_obs, next_action], 1))[:, 0] for t in targets]
        ).amin(0)
        y = reward + 0.95 * (1 - terminal) * next_q
    loss = 0
    for net in pairs:
        q = net(torch.cat([obs, action], 1))[:, 0]
        repeated = torch.cat([obs[:, None].expand(-1, 10, -1), samples], 2).reshape(200, -1)
        sampled = net(repeated).reshape(20, 10) - 2 * math.log(0.5)
        loss = loss + (q - y).square().mean() + 2.0 * (sampled.logsumexp(1).mean() - q.mean())
    parameters = [*pairs[0].parameters(), *list(pairs[1].parameters())[2:]]
    optimizer = torch.optim.Adam(parameters, lr=0.01)
    loss.backward()
    nn.utils.clip_grad_norm_(parameters, 0.5)
    optimizer.step()

    agent.update(batch)
    for head, net in enumerate(pairs):
        for name, layer in (("w1", net[1]), ("w2", net[3]), ("w3", net[5])):
            mine = backbone.critics.params[name].detach()[member, n, head]
            torch.testing.assert_close(mine, layer.weight.T, rtol=1e-3, atol=2e-4)


def copied(norm, body, params, member, agent, head=None):
    """Puts a network of the population into torch's modules."""
    with torch.no_grad():
        norm.weight.copy_(params["norm_weight"][member, agent])
        norm.bias.copy_(params["norm_bias"][member, agent])
        for layer, linear in zip((1, 2, 3), (body[0], body[2], body[4]), strict=True):
            place = (member, agent) if head is None else (member, agent, head)
            linear.weight.copy_(params[f"w{layer}"][place].T)
            linear.bias.copy_(params[f"b{layer}"][place])


@pytest.mark.parametrize("method", ["ma_cql", "omar"])
def test_a_round_equals_the_plain_agent(method):
    """Both steps and the targets of one agent, with torch.nn and torch.optim."""
    hyper = {"alpha": 2.0} | ({"coefficient": 0.6} if method == "omar" else {})
    agent, replay = learner(method, [0, 1], hyper=hyper)
    backbone, batch = agent.backbone, replay.draw(20)
    member, n = 1, 2
    streams = Streams([0, 1], "noise")
    alone = PlainAgent(
        6,
        2,
        backbone.config,
        METHODS[method][1](**hyper),
        lambda shape: streams.uniform((3, *shape), -1, 1)[member, n],
        lambda shape: streams.normal((3, *shape))[member, n],
    )
    for policy in (alone.policy, alone.target_policy):
        copied(policy.norm, policy.body, backbone.actors.params, member, n)
    for critic in (alone.critic, alone.target_critic):
        for head in (0, 1):
            copied(critic.norm, critic.heads[head], backbone.critics.params, member, n, head)
    fields = ("obs", "action", "reward", "next_obs", "terminal")
    round_of([alone], lambda index: Rows(*(getattr(batch, f)[member, n] for f in fields)))
    agent.update(batch)
    close = {"rtol": 1e-3, "atol": 2e-4}
    for params, target, body, head in (
        (backbone.actors.params, backbone.targets["actor"], "policy", None),
        (backbone.critics.params, backbone.targets["critic"], "critic", 0),
        (backbone.critics.params, backbone.targets["critic"], "critic", 1),
    ):
        place = (member, n) if head is None else (member, n, head)
        for ours, name in ((params, body), (target, f"target_{body}")):
            network = getattr(alone, name)
            theirs = network.body if head is None else network.heads[head]
            for layer, linear in zip((1, 2, 3), (theirs[0], theirs[2], theirs[4]), strict=True):
                weights = ours[f"w{layer}"].detach()[place]
                torch.testing.assert_close(weights, linear.weight.detach().T, **close)
            norm = ours["norm_weight"].detach()[member, n]
            torch.testing.assert_close(norm, network.norm.weight.detach(), **close)


def test_times_by_hand(monkeypatch):
    """A clock that a round of OMAR moves by 6, of MA-CQL by 5, of few rows by 4."""
    now = [0]

    def round_of_length(length):
        return lambda: now.__setitem__(0, now[0] + length)

    monkeypatch.setattr(timing.program, "clock", lambda device: now[0])
    lengths = {"ma_cql": 5, "omar": 6, "few_rows": 4}
    rounds = {name: round_of_length(length) for name, length in lengths.items()}
    assert timing.measured(rounds, 7, "cpu") == {
        "percent": pytest.approx(20.0),
        "of_rows": pytest.approx(1.25),
    }
    assert now[0] == 8 * (5 + 6 + 4)  # with a round each that does not count


def test_actor_loss_is_equation_2_by_hand():
    q = torch.tensor([[[2.0, 4.0]]])
    own, best = (
        torch.tensor([[[[0.0, 0.0], [1.0, 0.0]]]]),
        torch.tensor([[[[1.0, 1.0], [1.0, 0.0]]]]),
    )
    loss = rectified_actor_loss(q, own, best, torch.tensor([0.25]), sum_square)
    assert loss.item() == pytest.approx(-0.75 * 3 + 0.25 * (2 + 0) / 2)
    assert rectified_actor_loss(
        q, own, best, torch.tensor([0.25]), mean_square
    ).item() == pytest.approx(-2.25 + 0.25 * 0.5)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("centralised", [False, True])
def test_a_member_is_what_its_seed_alone_would_train(method, centralised):
    """Adding and reordering members changes no member: to the bit where the native kernels run,
    else to tolerance.
    """
    config = BackboneConfig(hidden=48, batch_size=40, centralised=centralised)
    exact = (
        {"rtol": 0, "atol": 0} if kernels.backend() == "native" else {"rtol": 1e-4, "atol": 1e-5}
    )
    results = {}
    for seeds in ([0, 1, 2], [2, 0]):
        agent, replay = learner(method, seeds, config)
        for _ in range(5):
            agent.update(replay.draw(40))
        for i, seed in enumerate(seeds):
            results.setdefault(seed, []).append(
                (agent.backbone.actors.params.flat[i], agent.backbone.critics.params.flat[i])
            )
    for seed in (0, 2):
        for a, b in zip(*results[seed], strict=True):
            torch.testing.assert_close(a, b, **exact)
    assert not torch.equal(results[0][0][0], results[2][0][0])


def test_a_sweep_over_members_equals_separate_runs():
    both, replay = learner(
        "omar", [0, 0], hyper={"coefficient": [0.1, 0.9], "alpha": [1.0, 5.0], "std": [2.0, 1.0]}
    )
    alone, other = learner("omar", [0], hyper={"coefficient": 0.9, "alpha": 5.0, "std": 1.0})
    for _ in range(4):
        both.update(replay.draw(20))
        alone.update(other.draw(20))
    assert not torch.allclose(
        both.backbone.actors.params.flat[0], both.backbone.actors.params.flat[1]
    )
    torch.testing.assert_close(
        both.backbone.actors.params.flat[1],
        alone.backbone.actors.params.flat[0],
        rtol=1e-5,
        atol=1e-6,
    )


def test_a_diverged_member_leaves_the_others_alone():
    agent, replay = learner("omar", [0, 1])
    clean, again = learner("omar", [0, 1])
    with torch.no_grad():
        agent.backbone.critics.params.flat[0] = float("nan")
    for _ in range(3):
        agent.update(replay.draw(20))
        clean.update(again.draw(20))
    assert agent.backbone.actors.params.flat[0].isnan().any()
    torch.testing.assert_close(
        agent.backbone.actors.params.flat[1], clean.backbone.actors.params.flat[1]
    )


def test_coefficient_zero_is_ma_cql():
    omar, a = learner("omar", [0], hyper={"coefficient": 0.0})
    cql, b = learner("ma_cql", [0])
    omar.update(a.draw(20))
    cql.update(b.draw(20))
    torch.testing.assert_close(omar.backbone.actors.params.flat, cql.backbone.actors.params.flat)


def test_the_actor_step_leaves_critics_and_targets_untouched():
    agent, replay = learner("ma_td3bc", [0])
    backbone, batch = agent.backbone, replay.draw(20)
    before = backbone.critics.params.flat.clone()
    own = backbone.actors.train_actions(batch.obs)
    backbone.actor_step(
        -backbone.critics.values(batch.obs, own, backbone.critics.constant, head=0).mean(-1), own
    )
    assert (
        torch.equal(before, backbone.critics.params.flat)
        and not backbone.targets["actor"].flat.requires_grad
    )


def test_centralised_critics_see_everybody_and_replace_only_the_own_action():
    config = BackboneConfig(hidden=16, batch_size=20, centralised=True)
    agent, replay = learner("ma_cql", [0], config)
    batch = replay.draw(20)
    context = agent.backbone.data_context(batch)
    assert context.shape == (1, 3, 20, 3 * 6 + 2 * 2)
    torch.testing.assert_close(context[0, 1, :, 18:20], batch.joint["action"][0, 1, :, 0])
    torch.testing.assert_close(context[0, 1, :, 20:22], batch.joint["action"][0, 1, :, 2])
    torch.testing.assert_close(batch.joint["obs"][0, 1, :, 1], batch.obs[0, 1])


def test_centralised_target_uses_everybodys_target_policy_on_their_own_observation():
    config = BackboneConfig(hidden=16, batch_size=20, centralised=True, input_norm=False)
    agent, replay = learner("ma_cql", [0], config)
    backbone, batch = agent.backbone, replay.draw(20)
    i = 1
    next_actions = []
    for j in range(3):
        obs_j = batch.joint["next_obs"][0, i, :, j]
        hidden = (
            obs_j @ backbone.targets["actor"]["w1"][0, j] + backbone.targets["actor"]["b1"][0, j]
        ).relu()
        hidden = (
            hidden @ backbone.targets["actor"]["w2"][0, j] + backbone.targets["actor"]["b2"][0, j]
        ).relu()
        next_actions.append(
            (
                hidden @ backbone.targets["actor"]["w3"][0, j]
                + backbone.targets["actor"]["b3"][0, j]
            ).tanh()
        )
    x = torch.cat(
        [
            batch.joint["next_obs"][0, i].flatten(1),
            next_actions[0],
            next_actions[2],
            next_actions[1],
        ],
        1,
    )
    values = []
    for head in (0, 1):
        hidden = (
            x @ backbone.targets["critic"]["w1"][0, i, head]
            + backbone.targets["critic"]["b1"][0, i, head]
        ).relu()
        hidden = (
            hidden @ backbone.targets["critic"]["w2"][0, i, head]
            + backbone.targets["critic"]["b2"][0, i, head]
        ).relu()
        values.append(
            (
                hidden @ backbone.targets["critic"]["w3"][0, i, head]
                + backbone.targets["critic"]["b3"][0, i, head]
            )[:, 0]
        )
    expected = batch.reward[0, i] + 0.95 * (1 - batch.terminal[0, i]) * torch.stack(values).amin(0)
    torch.testing.assert_close(backbone.target(batch)[0, i], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["log", "released"])
def test_the_gap_over_noisy_actions_is_the_loop_over_samples(kind):
    """HalfCheetah's penalty: uniform actions and actions around pi(o) and pi(o'), each weighted by
    its density; the released code subtracts that of the noisy ones without the logarithm.
    """
    config = BackboneConfig(hidden=16, batch_size=20, input_norm=False)
    hyper = {"cql_noisy_samples": 3, "cql_samples": 4, "density": kind}
    agent, replay = learner("ma_cql", [0, 1], config, hyper)
    backbone, batch = agent.backbone, replay.draw(20)
    member, n = 1, 2
    streams = Streams([0, 1], "noise")
    uniform = streams.uniform((3, 20, 4, 2), -1, 1)[member, n]
    pools = [(uniform, torch.full((20, 4), 2 * math.log(0.5)))]
    for obs in (batch.obs, batch.next_obs):
        center = backbone.actors.train_actions(obs).detach()[member, n]
        noise = streams.normal((3, 20, 3, 2))[member, n]
        actions = (center[:, None] + 0.2 * noise).clamp(-1, 1)
        density = torch.distributions.Normal(0.0, 0.2).log_prob(0.2 * noise).sum(-1)
        pools.append((actions, density if kind == "log" else density.exp()))
    q = backbone.critics.values(batch.obs, batch.action)
    expected = 0
    for head in (0, 1):
        tensors = {
            k: backbone.critics.params[k].detach()[member, n, head]
            for k in ("w1", "b1", "w2", "b2", "w3", "b3")
        }
        total = 0
        for b in range(20):
            terms = []
            for actions, density in pools:
                for k in range(actions.shape[1]):
                    x = torch.cat([batch.obs[member, n, b], actions[b, k]])
                    hidden = (x @ tensors["w1"] + tensors["b1"]).relu()
                    value = (hidden @ tensors["w2"] + tensors["b2"]).relu() @ tensors[
                        "w3"
                    ] + tensors["b3"]
                    terms.append(value[0] - density[b, k])
            total += torch.stack(terms).logsumexp(0) - q[member, n, head, b].detach()
        expected += total / 20
    got = noisy_gap(backbone, batch, batch.obs, q, agent.config)[member, n]
    torch.testing.assert_close(got.detach(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("iterations", [1, 3])
def test_uniform_shooting_takes_the_best_of_uniform_draws_and_the_policy(iterations):
    """Random shooting as a loop over states and draws."""
    config = BackboneConfig(hidden=16, batch_size=20, input_norm=False)
    hyper = {"sampler": "uniform", "iterations": iterations}
    agent, replay = learner("omar", [0, 1], config, hyper)
    backbone, batch = agent.backbone, replay.draw(20)
    action = backbone.actors.train_actions(batch.obs)
    q = backbone.critics.values(batch.obs, action, head=0)
    drawn = Streams([0, 1], "noise").uniform((3, 20, 10 * iterations, 2), -1, 1)
    assert drawn.abs().max() <= 1
    found = agent.rectified_action(batch.obs, action, q)
    member, n = 1, 2
    for b in range(20):
        values = [
            backbone.critics.values(batch.obs[:, :, b : b + 1], one[:, :, None], head=0)
            for one in drawn[:, :, b].unbind(2)
        ]
        best = max(range(len(values)), key=lambda k: values[k][member, n].item())
        expected = drawn[member, n, b, best]
        if values[best][member, n] <= q[member, n, b]:
            expected = action[member, n, b]
        torch.testing.assert_close(found[member, n, b], expected.detach())


OTHER = {
    "sampler": "cem",
    "density": "released",
    "sigma": "text",
    "squared_norm": "sum",
    "beta": 0.01,
    "cql_noisy_samples": 2,
    "cql_policy_actions": True,
}


@pytest.mark.parametrize("change", [*OTHER, "elites"])
def test_options_of_omar_change_its_policy(change):
    other = OTHER.get(change, 2)
    flats = []
    base = {"sampler": "elites"} if change == "elites" else {}
    base |= {"cql_noisy_samples": 2} if change == "density" else {}
    for hyper in (base, {**base, change: other}):
        agent, replay = learner("omar", [0], hyper={"coefficient": 0.5, **hyper})
        for _ in range(3):
            agent.update(replay.draw(20))
        flats.append(agent.backbone.actors.params.flat.clone())
    assert not torch.equal(*flats)


@pytest.mark.parametrize(
    "change",
    [
        {"gamma": 0.5},
        {"input_norm": False},
        {"grad_clip": None},
        {"action_penalty": 1.0},
        {"target_noise": 0.5},
        {"actor_updates": 2},
    ],
)
def test_options_of_the_backbone_are_read(change):
    flats = []
    for config in (BackboneConfig(hidden=16), replace(BackboneConfig(hidden=16), **change)):
        agent, replay = learner("ma_cql", [0], config)
        for _ in range(3):
            agent.update(replay.draw(20))
        flats.append(agent.backbone.actors.params.flat.clone())
    assert flats[0].shape != flats[1].shape or not torch.equal(*flats)


def test_cloning_is_td3bc_with_a_weight_of_0_and_trains_no_critic():
    clone, a = learner("bc", [0, 1])
    other, b = learner("ma_td3bc", [0, 1], hyper={"bc_weight": 0.0})
    critics = clone.backbone.critics.params.flat.clone()
    for _ in range(4):
        clone.update(a.draw(20))
        other.update(b.draw(20))
    torch.testing.assert_close(clone.backbone.actors.params.flat, other.backbone.actors.params.flat)
    assert torch.equal(critics, clone.backbone.critics.params.flat)


def test_score_after_trying_settings_is_the_mean_over_all_subsets():
    """Against every subset: the setting is taken by the other seeds, and scored by this one."""
    stream = torch.Generator().manual_seed(0)
    drawn = torch.randn(4, 6, 3, generator=stream).tolist()  # quality, setting, seed
    results = [
        {"seeds": [{"seed": seed, "last_score": score} for seed, score in enumerate(scores)]}
        for quality in drawn
        for scores in quality
    ]
    for tried in range(1, 7):
        found = ablation_tuning.after_trying(results, tried)
        for seed in range(3):
            sample = []
            for quality in drawn:
                for subset in itertools.combinations(quality, tried):
                    taken = max(subset, key=lambda scores: sum(scores) - scores[seed])
                    sample.append(taken[seed])
            assert found[seed] == pytest.approx(sum(sample) / len(sample))


def test_a_setting_that_diverged_is_taken_last():
    scores = [{0: 1.0, 1: 1.0}, {0: None, 1: 9.0}, {0: 3.0, 1: 2.0}]
    assert ablation_tuning.expected(scores, 1, 2) == pytest.approx((2 + 2 + 1) / 3)
    assert ablation_tuning.expected(scores, 0, 2) is None
    assert ablation_tuning.expected([{0: 4.0}, {0: 2.0}], 0, 1) == pytest.approx(3)


def test_icq_weights_by_hand():
    values = torch.tensor([[[0.0, 2.0, 4.0]]])  # standard deviation 2
    shares = [1.0, math.exp(1), math.exp(2)]
    expected = torch.tensor([3 * share / sum(shares) for share in shares])
    torch.testing.assert_close(softmax_weights(in_spreads(values), 1.0)[0, 0], expected)
    torch.testing.assert_close(softmax_weights(values, 2.0)[0, 0], expected)
    halved = torch.tensor([0.5 * expected[0], 0.5 * expected[1], 0.9979])
    torch.testing.assert_close(clipped_weights(values, 2.0)[0, 0], halved, rtol=1e-4, atol=0)
    assert clipped_weights(values, 0.1).max() == 1


def test_only_weights_in_spreads_stay_the_same_while_values_grow():
    values = torch.randn(2, 3, 50, generator=torch.Generator().manual_seed(0))
    grown = 30 * values + 7
    torch.testing.assert_close(
        softmax_weights(in_spreads(grown), 1.0), softmax_weights(in_spreads(values), 1.0)
    )
    assert softmax_weights(grown, 10.0).max() > 3 * softmax_weights(values, 10.0).max()
    assert in_spreads(torch.ones(1, 1, 4)).isfinite().all()


def test_icq_targets_are_the_loop_over_the_batch():
    """Target weights of both kinds, from the twin critics' smaller value."""
    for hyper in ({}, {"target_weights": "clipped"}, {"temperature": "spread"}):
        hyper = {"target_temperature": 0.3, **hyper}
        agent, replay = learner("ma_icq", [0, 1], hyper=hyper)
        batch = replay.draw(20)
        targets = agent.backbone.targets["critic"]
        next_q = agent.backbone.critics.values(batch.next_obs, batch.next_action, targets)
        lower = next_q.amin(2)[1, 2].double()
        unit = lower.std() if "temperature" in hyper else 1.0
        shares = [math.exp((value - lower.max()) / unit / 0.3) for value in lower]
        for b in range(20):
            weight = 20 * shares[b] / sum(shares)
            if "target_weights" in hyper:
                weight = min(0.5 * weight, 1.0)
            keep = 0.95 * (1 - float(batch.terminal[1, 2, b]))
            expected = float(batch.reward[1, 2, b]) + keep * weight * float(lower[b])
            assert agent.target(batch)[1, 2, b].item() == pytest.approx(expected, abs=1e-4)


def test_a_population_of_policy_temperatures_equals_separate_runs():
    both, replay = learner("ma_icq", [0, 0], hyper={"policy_temperature": [0.5, 5.0]})
    alone, other = learner("ma_icq", [0], hyper={"policy_temperature": 5.0})
    for _ in range(3):
        both.update(replay.draw(20))
        alone.update(other.draw(20))
    first, second = both.backbone.actors.params.flat
    torch.testing.assert_close(second, alone.backbone.actors.params.flat[0], rtol=1e-5, atol=1e-6)
    assert not torch.allclose(first, second)


def test_icq_values_only_actions_of_the_data():
    agent, replay = learner("ma_icq", [0])
    batch = replay.draw(20)
    fake = Batch(**{**batch.__dict__, "next_action": batch.next_action * 0})
    twin_agent, _ = learner("ma_icq", [0])
    agent.update(batch)
    twin_agent.update(fake)
    assert not torch.equal(
        agent.backbone.critics.params.flat, twin_agent.backbone.critics.params.flat
    )
    assert replay.sizes == [48]  # rows whose successor is known


@pytest.mark.parametrize("method", METHODS)
def test_resumed_equals_uninterrupted_bit_for_bit(method, tmp_path, folders):
    cell = make_cell("smoke", "cooperative_navigation", "medium", method)
    PAPER.data.prepare(cell)
    whole = Program([cell], "cpu", training.build)
    list(whole.updates())
    half = Program([cell], "cpu", training.build)
    for done in half.updates():
        if done == 2:
            break
    save_checkpoint(tmp_path / "c.pt", {"x": 1}, {"state": half.state_dict()})
    rest = Program([cell], "cpu", training.build)
    rest.load_state_dict(load_checkpoint(tmp_path / "c.pt", {"x": 1})["state"])
    list(rest.updates())
    ours, theirs = (one.training.learner.backbone for one in (whole, rest))
    assert torch.equal(ours.actors.params.flat, theirs.actors.params.flat)
    assert torch.equal(ours.critics.params.flat, theirs.critics.params.flat)
    assert whole.points == rest.points


def test_repeating_minibatches_restarts_the_sampler_after_each_evaluation(folders):
    cell = make_cell(
        "smoke", "cooperative_navigation", "medium", "ma_td3bc", repeat_minibatches=True
    )
    PAPER.data.prepare(cell)
    drawn = []

    def noting(members, device):
        made = training.build(members, device)
        return replace(made, draw=lambda done: drawn.append(made.draw(done)) or drawn[-1])

    list(Program([cell], "cpu", noting).updates())
    torch.testing.assert_close(drawn[0].obs, drawn[2].obs)
    assert not torch.equal(drawn[0].obs, drawn[1].obs)


def test_paper_settings_are_those_of_the_released_code():
    assert [
        default_hyper("omar", "predator_prey", q, "released")["coefficient"] for q in QUALITIES
    ] == [0.9, 0.9, 0.7, 0.9]
    assert [default_hyper("omar", "world", q, "released")["alpha"] for q in QUALITIES] == [
        0.5,
        1.0,
        0.5,
        5.0,
    ]
    assert [default_hyper("omar", "world", q, "text")["coefficient"] for q in QUALITIES] == [
        0.5,
        0.5,
        0.7,
        0.9,
    ]
    total = sum(update_rounds(task, quality) for task in TASKS for quality in QUALITIES)
    assert total == 12_004 + 7_004 + 4_004
    assert OMARConfig().iterations * OMARConfig().samples == 30


def test_improvement_is_computed_per_seed():
    def result(values):
        return {"seeds": [{"seed": i, "last_return": v} for i, v in enumerate(values)]}

    assert over_second([result([12.0, None]), result([10.0, 5.0])]) == {
        0: pytest.approx(20.0),
        1: None,
    }


def test_improvement_over_the_behaviour_by_hand(monkeypatch):
    """Over the data's mean return, and over the card's last policy of the replay."""
    seeds = [
        {"seed": 0, "last_return": 30.0, "data_return": 20.0},
        {"seed": 1, "last_return": None, "data_return": 20.0},
    ]
    results = [{"config": {"task": "spread_1d_2"}, "seeds": seeds}]
    assert over_data(results) == {0: pytest.approx(50.0), 1: None}
    known = {"medium": {"return_mean": [25.0, 26.0]}}
    monkeypatch.setattr(experiment, "card", lambda task: known)
    assert over_last_policy(results) == {0: pytest.approx(20.0), 1: None}


def test_returns_of_a_whole_training_and_points_over_the_data_by_hand():
    seeds = [
        {"seed": 0, "curve": [0.0, 50.0, 100.0], "last_return": 50.0, "data_return": 40.0},
        {"seed": 1, "curve": [0.0, None], "last_return": None, "data_return": 40.0},
    ]
    results = [{"constants": {"expert": 60.0, "random": 20.0}, "seeds": seeds}]
    assert training_return(results) == {0: pytest.approx(40.0), 1: None}
    assert points_over_data(results) == {0: pytest.approx(25.0), 1: None}


def test_margins_of_table_4_are_differences_seed_by_seed():
    def result(values):
        return {"seeds": [{"seed": i, "last_score": v} for i, v in enumerate(values)]}

    found = difference("last_score")([result([5.0, None, 1.0]), result([3.0, 1.0, None])])
    assert found == {0: pytest.approx(2.0), 1: None, 2: None}


def test_theorem_1_is_tried_with_coefficients_below_1_only():
    table = catalogue.table("omar/theorem1")
    entries = [one for one in table.entries_at("quick") if one.column == "below_1"]
    assert len(entries) == 12
    assert all(one.cells[0].config["hyper"]["coefficient"] < 1 for one in entries)
    shared = {one.cells[0].slot for one in catalogue.table("omar/table3").entries_at("quick")}
    released = [one for one in table.entries_at("quick") if one.column == "released"]
    assert {one.cells[0].slot for one in released} <= shared


def test_a_result_says_what_its_data_returned(folders):
    cell = make_cell("smoke", "cooperative_navigation", "medium", "ma_td3bc")
    PAPER.data.prepare(cell)
    result = train(training.build, [cell], "cpu", Path("/nonexistent"))[0]
    for seed, path in PAPER.data.paths(cell).items():
        rewards = datasets.load(path)["arrays"]["rewards"]  # [R, N], episodes of 25 rows
        returns = rewards.reshape(-1, 25, rewards.shape[1]).sum(1).mean(1)
        said = next(one["data_return"] for one in result["seeds"] if one["seed"] == seed)
        assert said == pytest.approx(returns.mean(), rel=1e-5)


def climbed(values, point):
    """The way up from a point, step by step to the higher neighbour."""
    while True:
        near = [p for p in (point, point - 1, point + 1) if 0 <= p < len(values)]
        best = max(near, key=lambda p: values[p])
        if values[best] <= values[point]:
            return point
        point = best


def test_summits_are_where_a_walk_uphill_ends():
    values = torch.randn(2, 1, 3, 41, generator=torch.Generator().manual_seed(0)).cumsum(-1)
    summits = Landscapes(values).summits
    for m, n, b in itertools.product(range(2), range(1), range(3)):
        curve = values[m, n, b].tolist()
        assert summits[m, n, b].tolist() == [climbed(curve, point) for point in range(41)]


def test_poor_maxima_and_what_leaves_them_by_hand():
    """A curve with maxima of 2 at -0.8, of 10 at 0.4 and of 9.5 at 1, over six actions."""
    curve = torch.tensor([1.0, 2.0, 0.0, 1.0, 4.0, 7.0, 9.0, 10.0, 8.0, 9.0, 9.5])
    surfaces = Landscapes(curve.expand(1, 1, 6, 11))
    before = torch.tensor([[[-0.8, -0.75, -1.0, 0.4, 1.0, -0.8]]])
    assert surfaces.tops(before).flatten().tolist() == [2, 2, 2, 10, 9.5, 2]
    expected = torch.tensor([0.8, 0.8, 0.8, 0.0, 0.05, 0.8])
    torch.testing.assert_close(surfaces.gaps(before).flatten(), expected)
    # the third is too far away from its maximum, those behind are no poor ones
    assert surfaces.poor(before).flatten().tolist() == [True, True, False, False, False, True]
    after = torch.tensor([[[-0.4, -0.8, 0.4, 1.0, 0.4, 0.8]]])
    assert surfaces.left(before, after).flatten().tolist() == [True, False, *[False] * 3, True]
    outcome = Outcome(surfaces, before, {"omar": dict.fromkeys((1, 10, 100), after)})
    shares = outcome.shares(0)
    assert shares["poor"]["states"] == pytest.approx(50)
    assert shares["left after 1"]["omar"] == pytest.approx(100 / 3)
    assert outcome.drawn(0)[0] == 0 and outcome.drawn(0)[1] in (0, 1, 5)


def test_steps_of_figure_1d_train_the_actor_alone_and_leave_no_trace():
    agent, replay = learner("ma_cql", [0, 1])
    backbone, batch = agent.backbone, replay.draw(20)
    context = backbone.data_context(batch)
    networks = ("actors", "critics")
    before = [getattr(backbone, name).params.flat.clone() for name in networks]
    other = METHODS["omar"][0](backbone, OMARConfig())
    critics = []

    class Watched:
        def improve(self, batch, context):
            other.improve(batch, context)
            critics.append(backbone.critics.params.flat.clone())

    reached = actions_after(backbone, {"cql": agent, "omar": Watched()}, batch, context)
    assert len(critics) == 100 and all(torch.equal(one, before[1]) for one in critics)
    for name, flat in zip(networks, before, strict=True):
        assert torch.equal(getattr(backbone, name).params.flat, flat)
    alone, again = learner("ma_cql", [0, 1])
    same = again.draw(20)
    alone.improve(same, alone.backbone.data_context(same))
    after = alone.backbone.actors.train_actions(same.obs)[..., 0]
    torch.testing.assert_close(reached["cql"][1], after.detach())


@pytest.mark.parametrize("input_norm", [True, False])
def test_a_landscape_is_the_critic_that_the_actor_climbs(input_norm):
    """At the policy's own actions, here points of the grid, and anywhere without an input norm."""
    data = [random_data(act=1, agents=2, seed=seed) for seed in (0, 1)]
    replay = Replay(data, [0, 1], Streams([0, 1], "minibatches"), False, False, "cpu")
    config = BackboneConfig(hidden=16, batch_size=20, input_norm=input_norm)
    backbone = Backbone([0, 1], 6, 1, 2, config)
    batch = replay.draw(20)
    action = torch.randint(0, 201, (2, 2, 20), generator=torch.Generator().manual_seed(0)) / 100 - 1
    surfaces = landscapes(backbone, backbone.data_context(batch), action)
    assert surfaces.values.shape == (2, 2, 20, 201)
    value = backbone.critics.values(batch.obs, action.unsqueeze(-1), head=0)
    torch.testing.assert_close(surfaces.at(surfaces.points(action)), value, rtol=1e-4, atol=1e-5)
    for point in () if input_norm else (0, 37, 200):
        same = torch.full((2, 2, 20, 1), -1 + point / 100)
        value = backbone.critics.values(batch.obs, same, head=0)
        torch.testing.assert_close(surfaces.values[..., point], value, rtol=1e-4, atol=1e-5)
        assert (surfaces.points(same[..., 0]) == point).all()


def test_looking_at_landscapes_leaves_the_training_as_it_is(folders):
    cell = experiment.landscape_cell("smoke", {})
    PAPER.data.prepare(cell)
    looked = Program([cell], "cpu", landscape.build)
    plain = Program([cell], "cpu", training.build)
    for one in (looked, plain):
        list(one.updates())
    ours, theirs = (one.training.learner.backbone for one in (looked, plain))
    assert torch.equal(ours.actors.params.flat, theirs.actors.params.flat)
    assert torch.equal(ours.critics.params.flat, theirs.critics.params.flat)
    assert looked.rounds == [1, 2, 3, 4]  # of four updates each is looked at


def test_means_and_widest_of_all_looks():
    shares = [{"poor": {"states": 10.0}}, {"poor": {"states": 20.0}}]
    assert landscape.mean_shares(shares) == {"poor": {"states": 15.0}}
    pictures = [{"poor": False, "gap": 0.9}, {"poor": True, "gap": 0.3}, {"poor": True, "gap": 0.2}]
    assert landscape.widest(pictures) == pictures[1]
    assert landscape.widest(pictures[:1]) == pictures[0]


def smoke_scores() -> dict:
    """Last scores of a smoke cell of every method."""
    cells = [make_cell("smoke", "cooperative_navigation", "medium", method) for method in METHODS]
    for cell in cells:
        PAPER.data.prepare(cell)
    results = [train(training.build, [cell], "cpu", Path("/nonexistent"))[0] for cell in cells]
    return {
        method: [round(seed["last_score"], 4) for seed in result["seeds"]]
        for method, result in zip(METHODS, results, strict=True)
    }


def test_smoke_results_are_the_stored_ones(folders):
    """A regression test of the whole chain: environment, data, learners, evaluation. Four updates
    are numerically tame.
    """
    stored, fresh = json.loads(EXPECTED.read_text()), smoke_scores()
    for method, values in stored.items():
        assert fresh[method] == pytest.approx(values, abs=1.0), (
            f"{method} moved; if meant, rewrite {EXPECTED.name}"
        )


def run_main(table, words) -> int:
    with pytest.raises(SystemExit) as stop:
        script.main(table, [f"papers/{table.slot}.py", *words])
    return stop.value.code


def test_table_3_on_the_authors_own_data(tmp_path, monkeypatch, capsys):
    """What is imported is trained, scored by their constants; the rest is named, and nothing at all
    refused.
    """
    monkeypatch.setenv("OMZ_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("OMZ_RESULTS", str(tmp_path / "results"))
    datasets.recipe.cache_clear()
    table = catalogue.table("omar/table3")
    words = ["with", "smoke", "data_size=omar", "seeds=[0,1]", "jobs=1"]
    assert run_main(table, words) == 2
    assert "no data of size omar for omar/table3; import one with" in capsys.readouterr().err
    write_particles(tmp_path, "world")
    commands.import_source("world", "medium", f"omar:{tmp_path}", say=lambda line: None)
    datasets.recipe.cache_clear()
    assert run_main(table, words) == 0
    assert "no omar data imported" in capsys.readouterr().out
    options = {"seeds": [0, 1], "changes": {"data_size": "omar"}}
    entries = [entry for entry in table.entries_at("smoke", options) if not entry.missing]
    assert {entry.row for entry in entries} == {"medium/world"}
    assert len(entries) == len(METHODS) + 1  # the data, too
    for entry in entries:
        (cell,) = entry.cells
        result = json.loads(cell.path.read_text())
        constants = {"expert": 79.5, "random": -6.8, "from": "omar"}
        assert result["constants"] == constants | {"evaluated": "against our prey"}
    datasets.recipe.cache_clear()


def test_runs_on_one_data_set_count_once():
    ten = Entry("row", "column", (make_cell("standard", "world", "medium", "omar"),))
    values = {run: float(run) for run in range(10)}
    assert by_data_set(ten, values) == {data: data + 2.5 for data in range(5)}
    assert by_data_set(ten, values | {7: None})[2] is None
    assert by_data_set(ten, dict(enumerate(range(20)))) == dict(enumerate(range(20)))  # no runs
    five = Entry("row", "column", (make_cell("paper", "world", "medium", "omar"),))
    assert by_data_set(five, {3: 1.0, 4: None}) == {3: 1.0, 4: None}


def test_figure_1b_s_curves_are_returns():
    """Cells store scores; the paper draws raw returns."""
    seed = {"seed": 0, "curve": [0.0, 50.0, None]}
    results = [{"constants": {"expert": 500.0, "random": 100.0}, "seeds": [seed]}]
    assert experiment.return_curves(results) == {0: [100.0, 300.0, None]}
