"""CAST-BCQ: subteams, contributions and joint values by hand and by brute force; the learners; the
grid; end to end.
"""

import copy
import itertools
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch

from common.learning import kernels
from common.learning.bcq import BCQConfig
from common.learning.episodes import EpisodeStore, mean_filled, softmax_over_filled, traced_targets
from common.learning.learner import Learner
from common.learning.philox import Streams
from common.learning.population import generators
from common.reporting import scores
from common.reporting.shown import Shown
from common.running import work
from common.running.program import Members, Program, train
from envs.grid import world
from envs.mujoco.team import RobotTeam
from envs.mujoco.views import view
from papers.cast_bcq import (
    ablation_battles,
    ablation_teams,
    battles,
    budgets,
    claims,
    controls,
    controls_elsewhere,
    diagnosis,
    diagnosis_battles,
    figure1,
    figure5,
    grid,
    pages,
    table1,
    training,
)
from papers.cast_bcq.agents import ContinuousCAST, DiscreteCAST, RecurrentCAST
from papers.cast_bcq.baselines import (
    ICQMA,
    MABCQ,
    ICQMAConfig,
    MABCQConfig,
    icq_target,
    state_weights,
    transition_normalisation,
    value_deviation,
)
from papers.cast_bcq.cast import (
    CASTConfig,
    Situation,
    Variant,
    best_joint,
    combined,
    contribution,
    individual_errors,
    joint_errors,
    joint_target,
)
from papers.cast_bcq.claims import (
    beyond,
    beyond_the_best,
    first_beyond_others,
    mean_gap,
    of_data,
)
from papers.cast_bcq.config import METHODS, PRESETS, TIME_CONSTANTS, Teams
from papers.cast_bcq.contributions import (
    Subteams,
    all_subteams,
    draw_subteams,
    joint_actions,
    sampled_subteams,
)
from papers.cast_bcq.critics import JointCritic
from papers.cast_bcq.data import BATTLE_LEARNERS
from papers.cast_bcq.discrete import DiscreteBatch, DiscreteConfig
from papers.cast_bcq.discrete_baselines import (
    DiscreteBCQ,
    DiscreteICQ,
    DiscreteICQConfig,
    icq_advantage,
    independent_target,
    mixed_best,
)
from papers.cast_bcq.discrete_baselines import state_weights as discrete_state_weights
from papers.cast_bcq.experiment import PAPER, battle_cell, cell, grid_cell
from papers.cast_bcq.generators import (
    allowed,
    available_only,
    chosen,
    draws_by_gumbel,
    draws_by_inverse,
)
from papers.cast_bcq.grid import Grid, data_set, encode, usable_rows
from papers.cast_bcq.playing import EpisodeStreams, acted_for, returns
from papers.cast_bcq.proposing import ProposingBCQ
from papers.cast_bcq.recurrent import Choice, MapSizes, RecurrentConfig, seen, until_last
from papers.cast_bcq.recurrent_baselines import RecurrentCloning
from papers.cast_bcq.rows import JointBatch, JointRows
from papers.cast_bcq.yardsticks import away_from_the_clock, returns_to_go

SMALL = CASTConfig(hidden=16, vae_hidden=16, candidates=3, act_samples=4)


def same(first, second) -> bool:
    """Bitwise with our own kernels; matrix products of other batch sizes round differently in
    torch.
    """
    return (
        torch.equal(first, second)
        if kernels.backend() == "native"
        else torch.allclose(first, second, atol=1e-5)
    )


def joint_batch(members, agents, stream, rows=12, obs=3, act=2, state=5):
    def draw(*shape):
        return torch.randn(*shape, generator=stream)

    return JointBatch(
        draw(members, rows, state),
        draw(members, agents, rows, obs),
        draw(members, agents, rows, act).tanh(),
        draw(members, rows),
        draw(members, rows, state),
        draw(members, agents, rows, obs),
        (draw(members, rows) > 1).float(),
        draw(members, agents, rows, act).tanh(),
    )


def members_of(batch, index):
    return type(batch)(*(getattr(batch, name)[index] for name in batch.__dataclass_fields__))


def test_subteams_of_three_agents_are_those_of_the_paper():
    kept = all_subteams(3)
    masked = [{j + 1 for j in range(3) if not kept[0, s, j]} for s in range(4)]
    assert masked == [set(), {2}, {3}, {2, 3}]  # ST(1)
    assert kept.shape == (3, 4, 3) and all(kept[i, :, i].eq(1).all() for i in range(3))


def test_drawn_subteams_have_uniform_sizes_and_uniform_members():
    kept = draw_subteams(4, 4000, Streams([0], "subteams"))[0]
    sizes = (1 - kept).sum(-1)
    for i in range(4):
        assert kept[i, :, i].eq(1).all()
        assert sizes[i].long().bincount(minlength=4).div(4000).tolist() == pytest.approx(
            [0.25] * 4, abs=0.03
        )
        others = [j for j in range(4) if j != i]
        assert (1 - kept[i][:, others]).mean(0).tolist() == pytest.approx([0.5] * 3, abs=0.03)


def test_combined_is_the_minimum_at_1_the_maximum_at_0_and_one_critic_without_the_other():
    values = torch.tensor([[[1.0, 5.0], [3.0, 2.0]]]).repeat(4, 1, 1)
    weight, single = torch.tensor([1.0, 0.0, 0.9, 0.9]), torch.tensor([False, False, False, True])
    expected = [[1, 2], [3, 5], [0.9 * 1 + 0.1 * 3, 0.9 * 2 + 0.1 * 5], [1, 5]]
    torch.testing.assert_close(
        combined(values, weight[:, None], single[:, None]),
        torch.tensor(expected, dtype=torch.float32),
    )
    torch.testing.assert_close(
        combined(values[:1], 0.9, torch.tensor(False)), torch.tensor([expected[2]])
    )


def test_joint_targets_and_errors_by_hand():
    terminal = torch.tensor([[0.0, 1.0]])
    target = joint_target(torch.ones(1, 2), terminal, torch.full((1, 2), 4.0), 0.5)
    assert target.tolist() == [[1 + 0.5 * 4, 1]]  # nothing follows the end of an episode
    joint_q = torch.tensor([[[4.0, 1.0], [3.0, 3.0]]])
    assert joint_errors(joint_q, target).tolist() == [[1 + 0, 0 + 4]]


def test_individual_errors_by_hand():
    value, delta = torch.tensor([3.0, 3.0]), torch.tensor([1.0, 5.0])
    assert individual_errors(value, delta).tolist() == [4, 4]
    expected = [4 * torch.tensor(1.0).exp().item(), 4 * 10]  # e^5 is clipped
    assert individual_errors(value, delta, exp_clip=10.0).tolist() == pytest.approx(expected)


def test_the_best_joint_candidate_pairs_the_same_draw_of_every_agent():
    candidates = torch.arange(6.0).view(1, 2, 1, 3, 1)  # agent 0 proposes 0 1 2, agent 1 3 4 5
    action, best = best_joint(candidates, torch.tensor([[[1.0, 7.0, 2.0]]]))
    assert action.flatten().tolist() == [1, 4] and best.tolist() == [[7]]
    numbers, _ = best_joint(candidates[..., 0], torch.tensor([[[1.0, 2.0, 7.0]]]))
    assert numbers.flatten().tolist() == [2, 5]


def test_who_masks_nobody_has_only_the_empty_subteam():
    masking = torch.tensor([True, False])
    small = sampled_subteams(2, 9, 3, masking, Streams([0, 1], "subteams"))
    assert small.present.shape == (2, 2, 2, 2)  # exact, whatever the count
    assert small.weights.tolist() == [[0.5, 0.5], [1, 0]]
    large = sampled_subteams(5, 6, 3, masking, Streams([0, 1], "subteams"))
    assert torch.equal(large.present[0], draw_subteams(5, 6, Streams([0], "subteams"))[0])
    assert large.present[1].eq(1).all() and large.weights.eq(1 / 6).all()


def contributions(value, action, others, default, samples, baseline):
    """Eq. 8 by whole joint actions; value gives joint actions [M, N, S, B, N, A] theirs."""
    absent = default[None, :, None].expand_as(action)
    pair = [value(joint_actions(one, others, default, samples.present)) for one in (action, absent)]
    return contribution(*pair, samples.weights, baseline)


@pytest.mark.parametrize("baseline", [1.0, 0.0])
def test_contributions_equal_a_brute_force_loop(stream, baseline):
    members, agents, batch, size = 2, 3, 4, 2
    action, others = (torch.randn(members, agents, batch, size, generator=stream) for _ in range(2))
    default = torch.randn(agents, size, generator=stream)
    mixing = torch.randn(agents * size, agents * size, generator=stream)

    def joint_value(actions):  # [..., N, A]: a value that couples all agents
        flat = actions.flatten(-2)
        return (flat @ mixing * flat).sum(-1).sin()

    present = all_subteams(agents).expand(members, -1, -1, -1)
    weights = torch.rand(members, 4, generator=stream)
    weights = weights / weights.sum(1, keepdim=True)
    delta = contributions(
        joint_value,
        action,
        others,
        default,
        Subteams(present, weights),
        torch.full((members,), baseline),
    )
    for m, i, b in itertools.product(range(members), range(agents), range(batch)):
        rest, total = [j for j in range(agents) if j != i], 0.0
        subsets = [s for size_ in range(agents) for s in itertools.combinations(rest, size_)]
        for weight, masked in zip(weights[m], subsets, strict=True):
            team = torch.stack(
                [default[j] if j in masked else others[m, j, b] for j in range(agents)]
            )
            with_action, without = team.clone(), team.clone()
            with_action[i], without[i] = action[m, i, b], default[i]
            total += weight * (joint_value(with_action) - baseline * joint_value(without))
        torch.testing.assert_close(delta[m, i, b], total, rtol=1e-4, atol=1e-5)


def test_an_additive_team_value_gives_every_agent_its_own_term(stream):
    action, others = (torch.randn(1, 3, 5, 2, generator=stream) for _ in range(2))
    samples = Subteams(all_subteams(3)[None], torch.full((1, 4), 0.25))
    scale = torch.tensor([1.0, 2.0, -3.0])[:, None]

    def value(actions):
        return (scale * actions.square()).sum((-1, -2))

    delta = contributions(value, action, others, torch.zeros(3, 2), samples, torch.ones(1))
    torch.testing.assert_close(delta[0], scale * action[0].square().sum(-1))


def test_joint_actions_take_the_own_row_and_mask_the_subteam():
    own, others = torch.full((1, 2, 1, 1), 5.0), torch.full((1, 2, 1, 1), 7.0)
    found = joint_actions(own, others, torch.tensor([[1.0], [2.0]]), all_subteams(2)[None])
    assert found[0, :, :, 0, :, 0].tolist() == [[[5, 7], [5, 2]], [[7, 5], [1, 5]]]


def test_joint_candidates_pair_draws_and_the_best_pair_wins(stream):
    agent = ContinuousCAST([0], [3, 3], 5, 2, SMALL, [Variant()])
    critic = agent.networks["critic"]
    batch = joint_batch(1, 2, stream)
    now = Situation(batch.state, (batch.obs,))
    proposals = agent.generator.propose(now.given, 3, Streams([0], "noise"))
    actions, best = agent.joint_policy(now, critic)  # draws from the same stream
    for b in range(batch.state.shape[1]):
        pairs = [proposals[0, :, b, j] for j in range(3)]
        values = [
            agent.critic.values(batch.state[:, b : b + 1], pair[None, None], critic).detach()
            for pair in pairs
        ]
        j = max(range(3), key=lambda k: float(values[k]))
        assert torch.equal(actions[0, :, b], pairs[j])
        torch.testing.assert_close(best[0, b], values[j][0, 0])


def test_cast_learns_an_additive_reward_and_who_earned_it(stream):
    """One step, r = 2 a_0 - a_1: agent 0 should go up, agent 1 down; contributions say so."""
    config = CASTConfig(hidden=32, vae_hidden=32, candidates=5, act_samples=20, lr=3e-3)
    agent = ContinuousCAST([0], [2, 2], 2, 1, config, [Variant()])
    for _ in range(600):
        state = torch.randn(1, 64, 2, generator=stream)
        action = torch.rand(1, 2, 64, 1, generator=stream) * 2 - 1
        obs = state.unsqueeze(1).expand(-1, 2, -1, -1).contiguous()
        reward = 2 * action[:, 0, :, 0] - action[:, 1, :, 0]
        agent.update(JointBatch(state, obs, action, reward, state, obs, torch.ones(1, 64), action))
    others, _ = agent.joint_policy(Situation(state, (obs,)), agent.networks["critic"])
    delta = agent.contributions(state, action, others).detach()
    assert (delta[0, 0] - 2 * action[0, 0, :, 0]).abs().mean() < 0.15
    assert (delta[0, 1] + action[0, 1, :, 0]).abs().mean() < 0.15
    done = agent.act(obs, Streams([0], "acting"))
    assert done[0, 0].mean() > 0.3 and done[0, 1].mean() < -0.3


@pytest.mark.parametrize("kind", ["cast", "icq", "mabcq"])
def test_a_member_does_not_depend_on_the_others_and_resumes(stream, kind):
    def build(seeds):
        if kind == "cast":
            variants = [Variant(masking=seed != 1, double=seed != 2) for seed in seeds]
            return ContinuousCAST(seeds, [3, 3], 5, 2, SMALL, variants)
        if kind == "icq":
            return ICQMA(seeds, [3, 3], 5, 2, ICQMAConfig(hidden=16, mixer_hidden=16))
        return MABCQ(seeds, [3, 3], 2, MABCQConfig(hidden=16, target_samples=3, act_samples=4))

    together, alone, resumed = build([0, 1, 2]), build([1]), build([0, 1, 2])
    batches = [joint_batch(3, 2, stream) for _ in range(6)]
    for k, batch in enumerate(batches):
        part = members_of(batch, slice(1, 2))
        together.update(batch.separate() if kind == "mabcq" else batch)
        alone.update(part.separate() if kind == "mabcq" else part)
        if k == 2:
            resumed.load_state_dict(together.state_dict())
        if k > 2:
            resumed.update(batch.separate() if kind == "mabcq" else batch)
    obs = batches[0].obs
    ours = together.act(obs, Streams([0, 1, 2], "acting"))
    assert same(ours[1:2], alone.act(obs[1:2], Streams([1], "acting")))
    assert torch.equal(ours, resumed.act(obs, Streams([0, 1, 2], "acting")))


def test_mabcq_weights_by_hand():
    one = torch.ones(1, 1, 1)

    def deviation(next_value: float, terminal: float):
        """E V = (2.98 - 1) / 0.99 = 2."""
        return value_deviation(next_value * one, 2.98 * one, one, terminal * one, 0.99, 0.8)

    torch.testing.assert_close(deviation(3.0, 0.0), 1.5 * one)
    torch.testing.assert_close(deviation(9.0, 0.0), 1.8 * one)
    torch.testing.assert_close(deviation(9.0, 1.0), one)
    mean, sharp = torch.tensor([[[[0.0, 0.6]]]]), torch.tensor([[[[0.0, 0.0]]]])
    torch.testing.assert_close(
        transition_normalisation(mean, sharp, 0.8), one * torch.tensor(-0.18).exp()
    )
    torch.testing.assert_close(transition_normalisation(sharp, 5 + mean, 0.8), 1.8 * one)


def test_icq_targets_by_hand():
    reward, terminal = torch.ones(1, 2), torch.tensor([[0.0, 1.0]])
    weights, following = torch.tensor([[0.5, 0.5]]), torch.tensor([[4.0, 4.0]])
    assert icq_target(reward, terminal, following, weights, 0.5).tolist() == [[2, 1]]


def test_icq_weights_are_relative_to_the_state_and_at_most_one():
    """Z = (1 + 3) / 2 = 2: the action worth e^0 has weight 1/2, that of 3 would have 3/2."""
    log_3 = torch.tensor(3.0).log()
    sampled = 2 * torch.tensor([[[0.0, log_3], [0.0, log_3], [100.0, 100.0]]])
    following = 2 * torch.tensor([[0.0, log_3, 100.0]])
    weights = state_weights(following, sampled, 2.0)
    torch.testing.assert_close(weights, torch.tensor([[0.5, 1.0, 1.0]]))


@pytest.mark.parametrize("kind", ["state", "halved"])
def test_icq_values_stay_below_what_rewards_allow(stream, kind):
    """Weights of at most 1 leave the target a contraction, also where values differ by thousands
    of temperatures; over the minibatch they do not.
    """

    def largest(weights):
        config = ICQMAConfig(
            hidden=16, mixer_hidden=16, gamma=0.9, tau=0.5, lr=1e-2, target_temperature=1.0
        )
        agent = ICQMA([0], [3, 3], 5, 2, replace(config, target_weights=weights))
        batch = joint_batch(1, 2, torch.Generator().manual_seed(0), rows=32)
        batch = replace(batch, reward=torch.ones_like(batch.reward) + (batch.reward > 0))
        for _ in range(400):
            agent.update(batch)
        return agent.value_on_data(batch).item()

    assert largest(kind) < 2 / (1 - 0.9) < largest("minibatch")


def test_controls_take_the_best_the_worst_and_the_middle(stream):
    """An individual value that likes large actions chooses the largest proposal, the control the
    smallest; cloning is what latents of zero decode to.
    """
    agents = {
        "cast": ContinuousCAST([0], [3, 3], 5, 2, SMALL, [Variant()]),
        "bcq": ProposingBCQ([0], [3, 3], 2, BCQConfig(hidden=16, act_samples=4)),
    }
    obs = torch.randn(1, 2, 6, 3, generator=stream)
    for kind, agent in agents.items():
        best = agent.act(obs, Streams([0], "acting"))
        worst = agent.control("worst", obs, Streams([0], "acting"))
        judge = agent.individual.values if kind == "cast" else agent.q
        assert (judge(obs, best) >= judge(obs, worst)).all() and not torch.equal(best, worst)
        one = agent.control("random", obs, Streams([0], "acting"))
        assert one.shape == best.shape
        vae = agent.generator.vae if kind == "cast" else agent.vae
        middle = agent.control("cloning", obs, Streams([0], "acting"))
        assert torch.equal(middle, vae.decode(obs, torch.zeros(1, 2, 6, 4)))
        assert (agent.spread(obs, Streams([0], "x")) > 0).all()
    still = ProposingBCQ([0], [3, 3], 2, BCQConfig(hidden=16, act_samples=4, perturbation=0.0))
    assert still.correction(obs, Streams([0], "x")).item() == 0
    assert 0 < agents["bcq"].correction(obs, Streams([0], "x")).item() <= 0.05


def test_returns_to_go_and_rows_away_from_the_clock_by_hand():
    rewards = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    terminals = np.array([False, True, False, False, False])
    timeouts = np.array([False, False, False, True, False])
    to_go = returns_to_go(rewards, terminals | timeouts, 0.5)
    assert to_go.tolist() == [1 + 1, 2, 4 + 4, 8, 16]
    far = away_from_the_clock(terminals, timeouts, 1)
    assert far.tolist() == [True, True, True, False, False]  # the last row's episode was cut


def test_independent_targets_and_advantages_by_hand(stream):
    twin_q = torch.tensor([[1.0, 5.0, 9.0], [3.0, 4.0, 9.0]]).view(1, 1, 2, 1, 3)
    mask = torch.tensor([True, True, False]).view(1, 1, 1, 3)  # the last is not allowed
    following = mixed_best(twin_q, mask, 0.75)
    assert following.tolist() == [[[0.75 * 4 + 0.25 * 5]]]
    batch = discrete_batch(1, 2, stream, rows=6)
    target = independent_target(batch, torch.full((1, 2, 6), 4.0), 0.5)
    expected = batch.reward + 2 * (1 - batch.terminal)
    assert torch.equal(target[0, 0], expected[0]) and torch.equal(target[0, 1], expected[0])
    q, logits = torch.tensor([2.0, 6.0]), torch.tensor([0.25, 0.75]).log()
    torch.testing.assert_close(
        icq_advantage(q, logits, torch.tensor(1)), torch.tensor(6 - (0.25 * 2 + 0.75 * 6))
    )


def test_weights_of_independent_icq_have_mean_one_over_behaviour_in_every_state(stream):
    q, logits = torch.tensor([2.0, 6.0]), torch.tensor([0.25, 0.75]).log()
    z = 0.25 * np.exp(2 / 4) + 0.75 * np.exp(6 / 4)
    weights = discrete_state_weights(q.expand(2, 2), torch.tensor([0, 1]), logits.expand(2, 2), 4.0)
    torch.testing.assert_close(weights, torch.tensor([np.exp(0.5) / z, np.exp(1.5) / z]).float())


@pytest.mark.parametrize("reading", ["state", "minibatch"])
def test_what_weights_of_independent_icq_are_relative_to(stream, reading):
    config = DiscreteICQConfig(hidden=16, target_weights=reading)
    agent = DiscreteICQ([0, 1], [4, 4], 5, config)
    batch = discrete_batch(2, 2, stream)
    q = torch.randn(*batch.action.shape, 5, generator=stream)
    higher = q + torch.arange(10.0).view(-1, 1)  # by state
    weights, others = agent.target_weights(batch, q), agent.target_weights(batch, higher)
    assert torch.allclose(weights, others, atol=1e-4) == (reading == "state")
    assert weights.mean(-1).allclose(torch.ones(2, 2)) == (reading == "minibatch")


def test_icq_mixes_with_coefficients_that_sum_to_one(stream):
    agent = ICQMA([0, 1], [3, 3, 3], 5, 2, ICQMAConfig(hidden=16, mixer_hidden=16))
    batch = joint_batch(2, 3, stream)
    k = agent.coefficients(batch.state, agent.networks["mixer"])
    torch.testing.assert_close(k.sum(1), torch.ones(2, 12), rtol=1e-3, atol=1e-3)
    assert (k >= 0).all()
    values = agent.values(batch.obs, batch.action, agent.networks["critic"])
    torch.testing.assert_close(
        agent.total(batch.state, batch.obs, batch.action, agent.networks), (k * values).sum(1)
    )


def test_rows_are_the_same_for_all_agents_and_round_trip(stream):
    of, count = view("hopper", "own_joints_torso"), 30
    state, action = (
        torch.randn(count, 11, generator=stream),
        torch.randn(count, 3, generator=stream),
    )
    data = {
        "obs": state[:, None],
        "action": action[:, None],
        "reward": torch.arange(count).float()[:, None],
        "next_obs": state[:, None] + 1,
        "terminal": torch.zeros(count, 1),
        "next_action": action.roll(-1, 0)[:, None],
        "has_next_action": torch.arange(count) % 3 > 0,
    }
    rows = JointRows([data], [0, 0], Streams([0, 1], "minibatches"), of, successors=False)
    batch = rows.draw(16)
    index = batch.reward.long()
    assert torch.equal(batch.state, state[index]) and torch.equal(
        of.join(batch.action.transpose(1, 2)), action[index]
    )
    for i in range(3):
        assert torch.equal(batch.obs[:, i], state[index][..., list(of.indices[i])])
    assert JointRows([data], [0], Streams([0], "minibatches"), of, successors=True).sizes == [20]


def discrete_batch(members, agents, stream, rows=10, obs=4, actions=5):
    def draw(*shape):
        return torch.randn(*shape, generator=stream)

    def masks():
        available = (torch.rand(members, agents, rows, actions, generator=stream) < 0.6).float()
        available[..., 0] = 1
        return available

    available, next_available = masks(), masks()
    action = torch.rand(members, agents, rows, actions, generator=stream).mul(available).argmax(-1)
    next_action = (
        torch.rand(members, agents, rows, actions, generator=stream).mul(next_available).argmax(-1)
    )
    return DiscreteBatch(
        draw(members, rows, 6),
        draw(members, agents, rows, obs),
        available,
        action,
        draw(members, rows),
        draw(members, rows, 6),
        draw(members, agents, rows, obs),
        next_available,
        (draw(members, rows) > 1).float(),
        next_action,
    )


def build_discrete(kind, seeds, agents=2):
    dims, config = [4] * agents, DiscreteICQConfig(hidden=16)
    if kind is DiscreteCAST:
        return kind(seeds, dims, 6, 5, config, [Variant() for _ in seeds])
    return kind(seeds, dims, 5, config)


def test_allowed_actions_are_available_and_probable_enough():
    logits = torch.tensor([0.5, 0.3, 0.14, 0.06]).log()
    assert allowed(logits, torch.ones(4), 0.3).tolist() == [True, True, False, False]
    assert allowed(logits, torch.tensor([0.0, 0, 1, 1]), 0.3).tolist() == [False, False, True, True]
    drawn = draws_by_gumbel(
        logits.expand(1, 1, 1, 4),
        allowed(logits, torch.ones(4), 0.3).expand(1, 1, 1, 4),
        4000,
        Streams([0], "n"),
    )
    assert drawn.flatten().bincount(minlength=4).div(4000).tolist() == pytest.approx(
        [0.625, 0.375, 0, 0], abs=0.03
    )
    half = torch.tensor([1.0, 0.0, 1.0, 0.0])
    assert allowed(logits, half, 0.0).tolist() == [True, False, True, False]


@pytest.mark.parametrize("kind", [DiscreteBCQ, DiscreteICQ, DiscreteCAST])
@pytest.mark.parametrize("agents", [2, 4])
def test_discrete_learners_never_take_what_is_not_available_and_members_are_independent(
    stream, kind, agents
):
    together, alone = build_discrete(kind, [0, 1, 2], agents), build_discrete(kind, [1], agents)
    for _ in range(4):
        batch = discrete_batch(3, agents, stream)
        together.update(batch)
        alone.update(members_of(batch, slice(1, 2)))
        chosen = together.act(batch.obs, batch.available)
        assert batch.available.gather(-1, chosen.unsqueeze(-1)).eq(1).all()
        assert torch.equal(chosen[1:2], alone.act(batch.obs[1:2], batch.available[1:2]))
    again = build_discrete(kind, [0, 1, 2], agents)
    again.load_state_dict(together.state_dict())
    batch = discrete_batch(3, agents, stream)
    together.update(batch), again.update(batch)
    assert torch.equal(
        together.act(batch.obs, batch.available), again.act(batch.obs, batch.available)
    )


def best_values(states, following, reward, over):
    """[R] discounted return of the data's joint actions and the best ones after them."""
    values = np.zeros(world.CELLS + 1)
    for _ in range(world.HORIZON):
        q = reward + 0.99 * (1 - over) * values[following]
        values[: world.CELLS - 1] = q.reshape(world.CELLS - 1, 9).max(1)
    return q


def test_on_plentiful_grid_data_the_team_walks_to_the_goal(stream):
    """Every joint action in every cell is in the data: then the joint values, and what follows from
    them, must be right.
    """
    config = grid_cell("quick", "ours", {"seeds": [0]})
    team = Grid(Members([config]), "cpu")
    states, actions = torch.meshgrid(torch.arange(world.CELLS - 1), torch.arange(9), indexing="ij")
    states, actions = (
        states.flatten().numpy(),
        torch.stack([actions // 3, actions % 3], -1).flatten(0, 1).numpy(),
    )
    following, reward, over = world.step(states, actions)
    every = {
        "state": states,
        "action": actions,
        "reward": reward,
        "next_state": following,
        "terminal": over,
        "next_action": actions,
    }
    team.rows = {name: torch.from_numpy(numbers) for name, numbers in every.items()}
    team.sizes = [len(states)]
    team.known = torch.arange(len(states)).unsqueeze(0)
    for _ in range(2500):
        team.learner.update(team.draw())
    measured = team.evaluate()
    assert measured["return"] == [5.0] and measured["success"] == [100.0]
    assert abs(measured["value"][0] - best_values(states, following, reward, over).mean()) < 1
    values = torch.tensor(team.example()[0])  # rows: x stays, forward, backward; columns: y
    assert (
        values.argmax() == 3 and (values[:, 1] < -8).all()
    )  # x forward, y stays; y forward falls at (4, 4)


def test_grid_data_of_a_seed_are_its_own_and_goals_are_counted():
    config = grid_cell("smoke", "ours", {}).config
    first, again, other = data_set(config, 0), data_set(config, 0), data_set(config, 1)
    assert first[1] == again[1] != other[1]
    assert first[2] == int((first[0]["next_state"] == world.GOAL).sum())
    assert (first[0]["state"] == world.START).sum() >= 100
    with pytest.raises(ValueError, match="expected 'position' or 'onehot'"):
        encode("pixels")


def test_rows_that_the_clock_cut_are_not_for_learners_of_next_actions():
    random = torch.Generator().manual_seed(0)
    data = world.collect(3000, "uniform", random)
    cut = np.flatnonzero(data["timeout"])
    assert len(cut) and not data["terminal"][cut].any()
    assert np.array_equal(usable_rows(data, False), np.arange(len(data["state"])))
    kept = usable_rows(data, True)
    assert not np.isin(cut, kept).any() and len(kept) == len(data["state"]) - len(cut)
    inner = kept[~data["terminal"][kept]]
    assert np.array_equal(data["state"][inner + 1], data["next_state"][inner])


def test_grid_cells_are_trained_and_say_what_they_saw(tmp_path):
    path = tmp_path / "c.pt"
    result = train(grid.build, [grid_cell("smoke", "ours", {})], "cpu", path)[0]
    assert len(result["seeds"]) == 2 and len(result["seeds"][0]["joint_values_at_4_4"]) == 3
    assert len(result["seeds"][0]["values"]) == 2
    alone = train(grid.build, [grid_cell("smoke", "ours", {"seeds": [1]})], "cpu", path)[0]
    assert alone["seeds"][0] == result["seeds"][1]


@pytest.mark.parametrize("method", grid.METHODS)
def test_grid_critics_are_held_against_rows_that_the_clock_did_not_cut(method):
    made = grid_cell("smoke", method, {"seeds": [0, 1]}, 1000)
    team = Grid(Members([made]), "cpu")
    known = team.gather(team.known)
    for m, data in enumerate(team.data):
        ends = data["terminal"] | data["timeout"]
        to_go = returns_to_go(data["reward"], ends, 0.99)
        own = team.yardsticks[m]
        cut = np.flatnonzero(data["timeout"])
        assert not np.isin(cut, own.numbers).any()
        assert own.return_to_go == pytest.approx(to_go[own.numbers].mean())
        rewards = torch.from_numpy(data["reward"][own.numbers]).float()
        assert torch.equal(known.reward[m], rewards)  # rows of this member, left-out ones skipped
        assert own.data_return == pytest.approx(data["reward"].sum() / ends.sum())

    critic = team.learner.networks["critic"]
    critic.flat.zero_()  # the last layer's bias is left: 3 for the action "backward"
    critic["b3"].detach()[..., -1] = 3.0
    backward = (known.action == 2).float().mean((1, 2))
    expected = torch.full((2,), 3.0) if method == "ours" else 3 * backward
    assert torch.allclose(team.value_on_data(), expected)


@pytest.mark.parametrize("method", ["bcq", "i_bcq", "mabcq", "icq_ma", "ours"])
def test_resumed_equals_uninterrupted(folders, tmp_path, method):
    made = cell("smoke", "hopper", "uncoordinated", method, {})
    PAPER.data.prepare(made)
    whole, first, second = (Program([made], "cpu", training.build) for _ in range(3))
    list(whole.updates())
    steps = first.updates()
    next(steps), next(steps)
    second.load_state_dict(first.state_dict())
    list(second.updates())
    assert second.results(1.0)[0]["seeds"] == whole.results(1.0)[0]["seeds"]


def test_ablations_are_members_of_one_program_and_change_nothing_for_the_others(folders):
    cells = [
        cell("smoke", "hopper", "uncoordinated", "ours", {}, variant)
        for variant in ("ours", "w/o CSAA", "w/o ST", "w/o CD")
    ]
    PAPER.data.prepare(cells[0])
    assert len({PAPER.program_key(one) for one in cells}) == 1
    together = train(training.build, cells, "cpu", folders / "none.pt")
    alone = train(training.build, cells[:1], "cpu", folders / "none.pt")
    assert together[0]["seeds"] == alone[0]["seeds"]


@pytest.mark.parametrize("kind", [ContinuousCAST, ProposingBCQ])
def test_returns_are_the_same_where_only_running_episodes_are_acted_for(kind):
    seeds = [3, 4]
    robot = view("hopper", "full")
    if kind is ContinuousCAST:
        agent = kind(seeds, robot.obs_dims, 11, 1, SMALL, [Variant()] * 2)
    else:
        agent = kind(seeds, robot.obs_dims, 1, BCQConfig(hidden=16, act_samples=4))
    team = RobotTeam("hopper", robot)
    asked = []

    def acting(drawn):
        def act(obs):
            asked.append(obs.shape[2])
            return agent.act(obs, drawn)

        return act

    everyone = Streams(seeds, "acting")
    expected = team.returns(acting(everyone), generators(seeds, "starts"), 5)
    assert set(asked) == {5}
    asked.clear()
    drawn = EpisodeStreams(seeds, "acting", 5)
    found = returns(team, acting(drawn), drawn, generators(seeds, "starts"))
    assert same(found, expected)
    assert asked == sorted(asked, reverse=True) and min(asked) < 5


def test_a_diverged_member_returns_nothing_and_costs_the_others_nothing():
    team = RobotTeam("hopper", view("hopper", "full"))

    def played(*broken):
        def act(obs):
            actions = torch.full((*obs.shape[:3], 1), 0.1)
            actions[list(broken)] = torch.nan
            return actions

        drawn = EpisodeStreams([0, 1], "acting", 3)
        found = returns(team, act, drawn, generators([0, 1], "starts"))
        whole = team.returns(act, generators([0, 1], "starts"), 3)
        torch.testing.assert_close(found, whole, rtol=0, atol=0, equal_nan=True)
        return found

    both, second = played(), played(0)
    assert second[0].isnan().all() and both.isfinite().all()
    assert torch.equal(second[1], both[1])

    def deployed(*broken):
        def act(obs):
            actions = torch.full((*obs.shape[:3], 1), 0.1)
            actions[list(broken)] = torch.nan
            return actions

        return team.deploy(act, generators([0, 1], "starts"), 40, 2)

    whole, rest = deployed(), deployed(0)
    for name, values in rest.items():
        np.testing.assert_array_equal(values[1], whole[name][1])
    assert (rest["actions"][0] == 0).all()


def test_whoever_runs_is_acted_for():
    running = np.array([1, 4, 5])  # of two members' three episodes
    places = acted_for(running, 2, 3)
    assert places.tolist() == [[1, 0], [1, 2]]


@pytest.mark.parametrize("preset", ["quick", "standard", "paper"])
def test_target_rates_follow_the_budget(preset):
    for method in METHODS:
        config = cell(preset, "hopper", "medium", method, {}).config
        assert 160 <= config["updates"] * config["hyper"]["tau"] <= 300
        assert config["hyper"]["gamma"] == 0.99
    config = grid_cell(preset, "ours", {}).config
    assert 160 <= config["updates"] * config["hyper"]["tau"] <= 300
    config = battle_cell(preset, "2s3z", "ours", {}).config
    assert 160 <= config["updates"] / config["hyper"]["copy_every"] <= 300


def test_data_sets_of_one_program_change_nothing_for_each_other(folders, tmp_path):
    for method in ("ours", "icq_ma"):
        readings = {"uncoordinated": "snapshots"}
        cells = [
            cell("smoke", "hopper", "medium", method, {}),
            cell("smoke", "hopper", "uncoordinated", method, readings | {"seeds": [1, 5]}),
        ]
        for one in cells:
            PAPER.data.prepare(one)
        assert len(work.programs(cells)) == 1
        together = train(training.build, cells, "cpu", tmp_path / "none.pt")
        for one, result in zip(cells, together, strict=True):
            (alone,) = train(training.build, [one], "cpu", tmp_path / "none.pt")
            assert alone["seeds"] == result["seeds"] and alone["data"] == result["data"]
        assert together[0]["data"] != together[1]["data"]


def test_robots_say_what_critics_know_and_what_controls_get(folders, tmp_path):
    made = [cell("smoke", "hopper", "uncoordinated", name, {}) for name in ("ours", "icq_ma")]
    PAPER.data.prepare(made[0])
    ours, icq = (train(training.build, [one], "cpu", tmp_path / "c.pt")[0] for one in made)
    seed = ours["seeds"][0]
    assert len(seed["values"]) == len(seed["curve"]) == PRESETS["smoke"]["evaluations"]
    assert seed["value"] == seed["values"][-1] and 0 < seed["spread"] < seed["action_spread"]
    assert all(seed[f"{way}_score"] is not None for way in training.WAYS)
    assert icq["seeds"][0]["return_to_go"] == seed["return_to_go"]  # the same rows
    assert "random_score" not in icq["seeds"][0]


def scored(*scores, **facts):
    """A result whose seeds have these scores."""
    seeds = [{"seed": number, "average_score": score} for number, score in enumerate(scores)]
    return {"seeds": [seed | facts for seed in seeds]}


def test_differences_of_the_ledger_by_hand():
    assert beyond("random_score")([scored(5.0, None, random_score=2.0)]) == {0: 3.0, 1: None}
    data = {"walker": 10.0, "hopper": 20.0, "cheetah": 40.0}
    scores = {"walker": (9.0, 5.0), "hopper": (3.0, 1.0), "cheetah": (2.0, 2.0)}
    pairs = [
        scored(score, data_score=data[robot]) for robot, pair in scores.items() for score in pair
    ]
    # 40, 10 and 0 % of the data's score
    assert first_beyond_others(pairs) == {0: 40 - (10 + 0) / 2}
    assert first_beyond_others([scored(9.0, data_score=0.0), *pairs[1:]]) == {0: None}
    assert mean_gap(pairs) == {0: (4.0 + 2.0 + 0.0) / 3}
    assert mean_gap([scored(None), scored(1.0)]) == {0: None}
    assert of_data(pairs[2:4]) == {0: 10.0}
    assert first_beyond_others([*pairs[:2], scored(None, data_score=20.0), *pairs[3:]]) == {0: None}
    assert beyond_the_best([scored(3.0, 5.0), scored(4.0, 2.0), scored(0.0, 3.0)]) == {0: -1, 1: 3}
    assert beyond_the_best([scored(1.0, 1.0), scored(None), scored(9.0)]) == {0: -8}


def test_observations_are_named_and_joint_methods_always_see_everything():
    def seen(reading):
        return {
            method: cell("quick", "hopper", "medium", method, reading).config["observation"]
            for method in METHODS
        }

    own = "own_joints_torso"
    assert set(seen({}).values()) == {"full"}
    assert seen({"observation": own}) == {
        "bcq": "full", "i_bcq": own, "mabcq": "full", "icq_ma": own, "ours": own,
    }  # fmt: skip
    archive = seen({"observation": "archive"})
    assert archive == seen({"observation": own}) | {"ours": "full"}
    changed = cell("quick", "hopper", "medium", "ours", {"latent_clip": 0.05, "others": "data"})
    assert (
        changed.slot.endswith("others=data/latent_clip=0.05")
        and changed.config["hyper"]["others"] == "data"
    )
    with pytest.raises(ValueError, match="expected 'policy' or 'data'"):
        ContinuousCAST([0], [3, 3], 5, 2, replace(SMALL, others="nobody"), [Variant()])
    with pytest.raises(ValueError, match="expected 'zero' or 'first'"):
        DiscreteConfig(default="last").default_action(2, 3)
    with pytest.raises(ValueError, match="expected 'zero' or 'first'"):
        RecurrentCAST([0], SIZES, RecurrentConfig(default="last"))
    assert BCQConfig().vae_hidden is None


SIZES = MapSizes(obs=4, state=6, agents=4, actions=5)


def plain_critic(agent, default="zero"):
    """The critic of battles over one-hot vectors: every joint action written out."""
    config = DiscreteConfig(default=default)
    variants = [Variant(weight=agent.critic.config.weight) for _ in agent.learner.seeds]
    action = config.default_action(SIZES.agents, SIZES.actions)
    critic = JointCritic(Learner(agent.learner.seeds), SIZES.state, action, config, variants)
    critic.learner.networks["critic"] = agent.networks["critic"]
    return critic


def onehot(numbers):
    return torch.nn.functional.one_hot(numbers, SIZES.actions).float()


@pytest.fixture(params=["native", "torch"])
def form(request, monkeypatch):
    """Both forms of what has a compiled one, where there is a compiler."""
    if request.param == "torch":
        for module in ("common.learning.recurrent", "papers.cast_bcq.factored"):
            monkeypatch.setattr(f"{module}.native", lambda *a: None)
    elif kernels.backend() == "torch":
        pytest.skip("no compiled kernels here")


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize("default", ["zero", "first"])
def test_contributions_in_battles_equal_those_by_whole_joint_actions(stream, default):
    config = RecurrentConfig(hidden=16, critic_hidden=16, default=default, weight=0.8, subteams=3)
    agent = RecurrentCAST([0, 1], SIZES, config)
    plain = plain_critic(agent, default)
    state = torch.randn(2, 7, 6, generator=stream)
    action, others = (torch.randint(5, (2, 4, 7), generator=stream) for _ in range(2))
    samples = sampled_subteams(4, 3, 3, torch.ones(2).bool(), Streams([0, 1], "subteams"))
    pair = plain.counterfactuals(state, onehot(action), onehot(others), samples.present)
    expected = contribution(*pair, samples.weights, torch.ones(2)).detach()
    delta = agent.contributions(state, action, others)  # draws the same subteams
    torch.testing.assert_close(delta, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.usefixtures("form")
def test_best_joint_candidate_in_battles_has_the_value_the_critic_gives_it(stream):
    config = RecurrentConfig(hidden=16, critic_hidden=16, candidates=50)
    agent = RecurrentCAST([0, 1], SIZES, config)
    plain, params = plain_critic(agent), agent.networks["critic"]
    state, logits = torch.randn(2, 7, 6, generator=stream), torch.zeros(2, 4, 7, 5)
    mask = torch.ones(2, 4, 7, 5, dtype=torch.bool)
    mask[..., 0] = False
    best, value = agent.joint_policy(Situation(state, (logits, mask)), params)
    again = plain.values(state, onehot(best.transpose(1, 2)), params).detach()
    torch.testing.assert_close(again, value, atol=1e-5, rtol=1e-4)
    assert (best > 0).all()
    everything = torch.cartesian_prod(*[torch.arange(1, 5)] * 4).T  # [N, K]
    every = everything[None, :, None].expand(2, -1, 7, -1)
    all_values = plain.candidate_values(state, onehot(every), params).detach()
    torch.testing.assert_close(
        agent.critic.candidate_values(state, every, params), all_values, atol=1e-5, rtol=1e-4
    )
    assert (value <= all_values.amax(-1) + 1e-5).all() and (value > all_values.mean(-1)).all()


def lanes_of(members, stream):
    """Minibatches of random episodes of SIZES."""
    shape, longest = (8, 6, SIZES.agents), 5
    lengths = torch.randint(2, longest + 1, (8, 1), generator=stream)
    arrays = {
        "obs": torch.randn(*shape, SIZES.obs, generator=stream),
        "state": torch.randn(8, 6, SIZES.state, generator=stream),
        "available": torch.ones(*shape, SIZES.actions),
        "actions": torch.randint(SIZES.actions, (8, longest, SIZES.agents), generator=stream),
        "rewards": torch.randn(8, longest, generator=stream),
        "terminated": (torch.arange(longest) == lengths - 1).float(),
        "filled": (torch.arange(longest) < lengths).float(),
    }
    return EpisodeStore(arrays, list(range(members)), lanes=2, positions=12)


def build_cast(kind, seeds, stream):
    """An agent of a kind, and a function that draws its minibatches."""
    variants = [Variant() for _ in seeds]
    if kind == "continuous":
        agent = ContinuousCAST(seeds, [3, 3, 3, 3], 5, 2, SMALL, variants)
        return agent, lambda: joint_batch(len(seeds), 4, stream)
    if kind == "discrete":
        agent = DiscreteCAST(seeds, [4] * 4, 6, 5, DiscreteConfig(hidden=16), variants)
        return agent, lambda: discrete_batch(len(seeds), 4, stream)
    agent = RecurrentCAST(seeds, SIZES, RecurrentConfig(hidden=16, critic_hidden=16, subteams=3))
    return agent, lanes_of(len(seeds), stream).draw


def flat(agent):
    """All parameters, by name; the generator's under "generator"."""
    named = {name: one.flat.clone() for name, one in agent.networks.items()}
    if "generator" not in named:
        networks = agent.generator.vae.networks.values()
        named["generator"] = torch.cat([one.flat.flatten() for one in networks])
    targets = {f"target {name}": one.flat.clone() for name, one in agent.learner.targets.items()}
    return named | targets


@pytest.mark.parametrize("shared", [False, True])
def test_a_shared_joint_policy_is_the_one_of_the_target(stream, monkeypatch, shared):
    config = RecurrentConfig(hidden=16, critic_hidden=16, subteams=3, shared=shared)
    agent = RecurrentCAST([0, 1], SIZES, config)
    found, used = [], []
    joint_policy, contributions = agent.joint_policy, agent.contributions

    def noted_policy(situation, params):
        result = joint_policy(situation, params)
        found.append((params, result[0]))
        return result

    def noted_contributions(state, action, others):
        used.append(others)
        return contributions(state, action, others)

    monkeypatch.setattr(agent, "joint_policy", noted_policy)
    monkeypatch.setattr(agent, "contributions", noted_contributions)
    agent.update(lanes_of(2, stream).draw())
    assert len(found) == (1 if shared else 2)
    assert found[0][0] is agent.learner.targets["critic"]
    assert used[0] is found[-1][1]


@pytest.mark.parametrize("kind", ["continuous", "discrete", "recurrent"])
def test_every_step_changes_its_own_networks_only(stream, kind):
    """Eq. 3 the generator, Eq. 6 the critics, Eq. 9 the individual values, then the target."""
    agent, draw = build_cast(kind, [0, 1], stream)
    batch = draw()

    def changed(step, *args):
        before = flat(agent)
        result = step(*args)
        after = flat(agent)
        return result, {name for name in after if not torch.equal(after[name], before[name])}

    (now, following), names = changed(agent.generator.update, batch)
    assert names == {"generator"}
    action = agent.generator.taken(batch)
    (others, best), names = changed(agent.joint_policy, following, agent.networks["critic"])
    assert not names
    delta, names = changed(agent.contributions, now.state, action, others)
    assert not names and delta.shape == action.shape[:3]
    _, names = changed(agent.critic.update, batch, action, best.detach())
    assert names == {"critic"}
    _, names = changed(agent.individual.update, batch, delta.detach())
    assert names == {"value"}
    agent.learner.optimisers["critic"].steps = RecurrentConfig().copy_every
    _, names = changed(agent.critic.follow)
    assert names == {"target critic"}


@pytest.mark.parametrize("kind", ["continuous", "discrete", "recurrent"])
def test_a_member_that_is_lost_does_not_touch_the_others(stream, kind):
    """NaN in the rewards of one member stays with it, and a state brings everything back."""
    agent, draw = build_cast(kind, [0, 1, 2], stream)
    twin, _ = build_cast(kind, [0, 1, 2], stream)
    for step in range(4):
        batch = draw()
        twin.update(batch)
        reward = batch.reward.clone()
        reward[1] = torch.nan
        agent.update(replace(batch, reward=reward))
        if step == 1:
            saved = copy.deepcopy(twin.state_dict())
            later_batches = []
        elif step > 1:
            later_batches.append(batch)
    for name, network in twin.networks.items():
        assert torch.equal(agent.networks[name].flat[[0, 2]], network.flat[[0, 2]])
    assert agent.networks["critic"].flat[1].isnan().any()
    resumed, _ = build_cast(kind, [0, 1, 2], stream)
    resumed.load_state_dict(saved)
    for batch in later_batches:
        resumed.update(batch)
    assert all(
        torch.equal(resumed.networks[name].flat, network.flat)
        for name, network in twin.networks.items()
    )


def test_places_with_one_action_to_the_end_of_an_episode_are_not_asked_about(stream):
    marked = torch.tensor([0, 1, 0, 0, 1, 0, 0, 1, 0]).bool().view(1, 9, 1, 1)
    fresh = torch.tensor([1, 0, 0, 1, 0, 0, 1, 0, 0]).view(1, 9, 1)
    expected = [True, True, False, True, True, False, True, True, False]
    assert until_last(marked, fresh).flatten().tolist() == expected
    lanes = lanes_of(2, stream).draw()
    lanes.available[..., 1:] = 0
    lanes.available[:, 0] = 1
    rows = seen(lanes, deciding=True).rows
    assert (rows.places < lanes.obs.shape[2] * SIZES.agents).all()  # the first position's
    learner = RecurrentCloning([0, 1], SIZES, RecurrentConfig(hidden=16))
    lanes.action[:, 1:] = 0
    network = learner.generator.network
    gradients = []
    for deciding in (True, False):
        logits = available_only(network.along(lanes, seen(lanes, deciding)), lanes.available)
        log_prob = chosen(logits.log_softmax(-1), lanes.action)
        learner.backward(-mean_filled(log_prob, lanes.filled), "generator")
        gradients.append(learner.networks["generator"].grad.clone())
    torch.testing.assert_close(*gradients, atol=1e-7, rtol=1e-5)
    assert gradients[0].abs().sum() > 0


def test_draws_by_inverse_distribution_have_the_right_frequencies_and_stay_allowed():
    logits = torch.tensor([0.5, 0.2, 0.2, 0.1]).log().expand(2, 1, 1, 4)
    mask = torch.tensor([True, False, True, False]).expand(2, 1, 1, 4)
    drawn = draws_by_inverse(logits, mask, 4000, Streams([0, 1], "n"))
    assert not torch.equal(drawn[0], drawn[1])
    for member in drawn:
        assert member.flatten().bincount(minlength=4).div(4000).tolist() == pytest.approx(
            [5 / 7, 0, 2 / 7, 0], abs=0.03
        )


def test_traced_targets_by_hand():
    # one lane with an episode of two steps that ends by itself, and one of two steps cut by its
    # clock
    reward, value = torch.tensor([1.0, 2, 9, 3, 4, 9]), torch.tensor([10.0, 20, 30, 40, 50, 60])
    terminal, filled = torch.tensor([0.0, 1, 0, 0, 0, 0]), torch.tensor([1.0, 1, 0, 1, 1, 0])
    shape = (t.view(1, -1, 1) for t in (reward, terminal, filled, value))
    found = traced_targets(*shape, 0.5, 0.25).flatten()
    cut = 4 + 0.5 * 60
    expected = [
        1 + 0.5 * (0.75 * 20 + 0.25 * 2),
        2,
        None,
        3 + 0.5 * (0.75 * 50 + 0.25 * cut),
        cut,
        None,
    ]
    assert [float(y) for y, x in zip(found, expected, strict=True) if x] == pytest.approx(
        [x for x in expected if x]
    )
    plain = traced_targets(
        *(t.view(1, -1, 1) for t in (reward, terminal, filled, value)), 0.5, 0.0
    ).flatten()
    assert plain[0] == 1 + 0.5 * 20


def test_weights_over_filled_places_have_mean_one_and_ignore_the_rest(stream):
    values, filled = (
        torch.randn(2, 6, 3, 4, generator=stream),
        (torch.rand(2, 6, 3, generator=stream) > 0.3).float(),
    )
    weights = softmax_over_filled(values, filled, 0.5)
    assert (
        (weights * filled.unsqueeze(-1))
        .sum((1, 2))
        .allclose(filled.sum((1, 2))[:, None].expand(-1, 4))
    )
    assert weights[filled == 0].eq(0).all()
    expected = (values[0, :, :, 1][filled[0] > 0] / 0.5).softmax(0) * filled[0].sum()
    torch.testing.assert_close(weights[0, :, :, 1][filled[0] > 0], expected)


@pytest.mark.parametrize("method", list(BATTLE_LEARNERS))
def test_a_cell_of_battles_does_not_depend_on_other_seeds_and_resumes(folders, method):
    made, alone = (
        battle_cell("smoke", "3s_vs_3z", method, {"seeds": seeds}) for seeds in ([0, 1, 2], [1])
    )
    PAPER.data.prepare(made)
    whole, first, second = (Program([made], "cpu", battles.build) for _ in range(3))
    single = Program([alone], "cpu", battles.build)
    list(whole.updates()), list(single.updates())
    results = whole.results(1.0)[0]
    assert results["seeds"][1] == single.results(1.0)[0]["seeds"][0]
    assert all(
        torch.equal(part.flat[1], single.training.learner.networks[name].flat[0])
        for name, part in whole.training.learner.networks.items()
    )
    steps = first.updates()
    next(steps), next(steps)
    second.load_state_dict(first.state_dict())
    list(second.updates())
    assert second.results(1.0)[0]["seeds"] == results["seeds"]
    assert all(
        torch.equal(part.flat, second.training.learner.networks[name].flat)
        for name, part in whole.training.learner.networks.items()
    )
    assert (
        results["environment"]["family"].startswith("SMAC-like")
        and 0 <= results["extra"]["data_win_rate"] <= 100
    )


def test_cloning_an_expert_of_3m_in_battles_wins(folders):
    made = battle_cell("smoke", "3m", "bc", {"seeds": [0]})
    config = made.config | {
        "quality": "expert",
        "updates": 250,
        "evaluations": 1,
        "episodes": 50,
        "lanes": 4,
        "last": 1,
        "hyper": made.config["hyper"] | {"hidden": 32, "lr": 4e-3},
    }
    made = replace(made, config=config)
    PAPER.data.prepare(made)
    assert train(battles.build, [made], "cpu", folders / "none.pt")[0]["seeds"][0]["win_rate"] > 70


def test_returns_to_go_of_battles_by_a_loop(stream):
    store = lanes_of(2, stream)
    before = copy.deepcopy(store.state_dict())
    lanes = battles.looked_at(store, [0, 1])
    assert store.state_dict() == before  # training's draws stay as they are
    expected = []
    for m in range(2):
        sums = []
        for lane in range(lanes.reward.shape[2]):
            following = 0.0
            for t in reversed(range(lanes.reward.shape[1])):
                goes_on = lanes.filled[m, t + 1, lane] if t + 1 < lanes.reward.shape[1] else 0
                ahead = following * float(goes_on) * (1 - float(lanes.terminal[m, t, lane]))
                following = float(lanes.reward[m, t, lane]) + 0.9 * ahead
                if lanes.filled[m, t, lane]:
                    sums.append(following)
        expected.append(sum(sums) / len(sums))
    found = battles.returns_to_go(lanes, 0.9)
    assert torch.allclose(found, torch.tensor(expected), atol=1e-5)


def test_habits_are_means_over_decisions_of_the_living_by_hand():
    habits = battles.Habits(1, "cpu")
    available = torch.tensor([[[[0, 1, 1], [1, 0, 0]], [[0, 1, 1], [0, 0, 1]]]]).float()
    choice = Choice(
        torch.tensor([[[1, 0], [2, 2]]]),
        torch.tensor([[[[0, 1, 0], [1, 0, 0]], [[0, 1, 1], [0, 0, 1]]]]) > 0,
        torch.tensor([[[1, 0], [1, 2]]]),
    )
    assert habits.means() == {}
    habits.note(choice, available, torch.tensor([[1.0, 1.0]]))
    habits.note(choice, available, torch.tensor([[1.0, 0.0]]))  # the second battle is over
    expected = {"available": 7 / 4, "allowed": 5 / 4, "as_cloned": 75.0}
    assert {name: mean for name, (mean,) in habits.means().items()} == expected


def test_the_best_team_behind_data_by_hand():
    arrays = {"won": np.array([0, 1, 1, 1, 0]), "source": np.array([2, 2, 5, 5, 7])}
    about = battles.about_data(arrays)
    assert about == {"data_win_rate": 60, "best_team_win_rate": 100, "best_team_share": 40}
    rest = battles.without_best(arrays)
    assert rest["source"].tolist() == [2, 2, 7] and rest["won"].tolist() == [0, 1, 0]
    assert battles.about_data(rest)["best_team_win_rate"] == 50


def test_battles_without_the_best_team_are_learned_from_less(folders):
    made = [battle_cell("smoke", "3s_vs_3z", "bc", {"teams": name}) for name in get_args(Teams)]
    PAPER.data.prepare(made[0])
    whole, fewer = (battles.build(Members([one]), "cpu") for one in made)
    of_whole, of_fewer = (one.summary([])["extra"] for one in (whole, fewer))
    assert of_fewer["best_team_share"] > of_whole["best_team_share"]
    assert of_fewer["best_team_win_rate"] <= of_whole["best_team_win_rate"]
    lengths = [one.others["store"].lengths for one in (whole, fewer)]
    assert len(lengths[1]) == 20 and len(lengths[0]) == 24  # one of six teams is left out
    beside = battle_cell("standard", "3s_vs_3z", "bc", {"teams": "without_best"})
    assert beside.config["seeds"] == [0, 1, 2, 3, 4] and "teams=without_best" in beside.slot


def test_mabcq_weights_in_battles_have_mean_one_and_parts_can_be_left_out(folders):
    made = battle_cell("smoke", "3s_vs_3z", "mabcq", {"transitions": False})
    PAPER.data.prepare(made)
    made = battles.build(Members([made]), "cpu")
    learner, lanes = made.learner, made.draw(0)
    logits = learner.generator.clone(lanes)
    q = torch.randn(lanes.action.shape)
    before = learner.networks["inverse"].flat.clone()
    weights = learner.weights(lanes, logits, torch.randn(lanes.action.shape), q)
    assert mean_filled(weights, lanes.filled).allclose(torch.ones(2)) and weights.std() > 0
    assert torch.equal(before, learner.networks["inverse"].flat)


def means_of(*scripts):
    """Every entry of some tables at standard, each with the number 2, in place of results."""
    return {
        script.TABLE.name: {
            (entry.row, entry.column): 2.0 for entry in script.TABLE.entries_at("standard")
        }
        for script in scripts
    }


def test_the_notes_blocks_have_every_robot_method_and_map(monkeypatch):
    tables = means_of(
        controls,
        controls_elsewhere,
        diagnosis,
        budgets,
        table1,
        figure5,
        diagnosis_battles,
        ablation_battles,
    )
    monkeypatch.setattr(pages, "best_whole", lambda *slots: ("standard", slots))
    monkeypatch.setattr(pages, "committed", lambda table, preset: table.slot)
    monkeypatch.setattr(pages, "means_of", lambda slot: tables[slot.partition("/")[2]])
    robots = pages.robots_block("cast_bcq").splitlines()
    assert len(robots) == 4 + 3 * len(METHODS)
    assert "| hopper_3x1 | CAST-BCQ | 100 % | 1.00 | 2.0 | 2.0 | 2.0 | 2.0 | - |" in robots
    assert "| hopper_3x1 | ICQ-MA | 100 % | - | - | - | - | - | - |" in robots
    assert "| hopper_3x1 | I-BCQ | 100 % | 1.00 | 2.0 | 2.0 | 2.0 | 2.0 | 2.0 |" in robots
    elsewhere = pages.elsewhere_block("cast_bcq").splitlines()
    assert len(elsewhere) == 4 + 3 * len(METHODS)
    assert "| expert-expert | CAST-BCQ | 100 % | 1.00 | 2.0 | 2.0 | 2.0 | 2.0 | - |" in elsewhere
    assert "| medium-medium | MABCQ | 100 % | 1.00 | 2.0 | 2.0 | 2.0 | 2.0 | 2.0 |" in elsewhere
    given = pages.budgets_block("cast_bcq").splitlines()
    assert "| expert | 2 | 2.0 to 2.0 | 2.0 | 2.0 to 2.0 | 2.0 (joint BCQ) |" in given
    assert len(given) == 4 + 5  # data of robots, and battles
    assert len(pages.scale_block("cast_bcq").splitlines()) == 2 + 4
    found = pages.battles_block("cast_bcq").splitlines()
    (line,) = (line for line in found if line.startswith("| 2s3z "))
    assert line.endswith("| 2 | 2.0 of 2.0 | 2 | 2.0 of 2.0 | 2 | 2 (8) | 2 | 2 (1) | 2 |"), line


def test_the_notes_say_what_the_best_team_is_worth_seed_by_seed(monkeypatch):
    entries = ablation_teams.TABLE.entries_at("quick")
    seeds = {
        (entry.row, entry.column): {0: 40.0, 1: 50.0, 2: 60.0 - 9 * entry.row.endswith("best")}
        for entry in entries
        if entry.cells
    }
    monkeypatch.setattr(pages, "best_whole", lambda slot: ("quick", [slot]))
    monkeypatch.setattr(pages.claims, "finite", lambda _: seeds)
    lines = pages.teams_block("cast_bcq").splitlines()
    assert len(lines) == 4 + len(ablation_teams.COLUMNS)  # of one map at quick
    assert lines[4] == "| 3s_vs_3z | data | 50 | 47 | - |"
    assert lines[7] == "| 3s_vs_3z | I-BCQ | 50 | 47 | -3 [-16, 10] |"


def test_data_on_which_curves_gained_are_trained_on_for_twice_as_long():
    expected = {"uncoordinated": 1, "uncoordinated, one run": 2, "medium": 1, "expert": 2}
    usual = PRESETS["standard"]["updates"]
    for row, cells in budgets.trained("standard", {}).items():
        data = row.partition("/")[0]
        if data in expected:
            assert {one.config["updates"] for one in cells} == {expected[data] * usual}, row
            rates = {one.config["hyper"]["tau"] for one in cells}
            assert rates == {TIME_CONSTANTS / (expected[data] * usual)}, row


def test_what_a_choice_is_worth_is_counted_in_shares_of_the_datas_score():
    def result(data_score):
        seed = {"seed": 3, "average_score": 50.0, "random_score": 20.0, "data_score": data_score}
        return [{"seeds": [seed]}]

    beyond = claims.beyond_of_data("random_score")
    assert beyond(result(60.0)) == {3: pytest.approx(50.0)}
    assert beyond(result(-1.0)) == {3: None}


def test_gains_of_robots_are_points_of_their_constants():
    assert budgets.points({"constants": {"expert": 300.0, "random": 100.0}}) == 0.5
    assert budgets.points({}) == 1


def shown_of(script, made=None):
    """Every entry of a script's table at smoke, with numbers in place of results."""
    return [
        Shown(entry.row, entry.column, (), "done", scores.summary([1.0, 2.0]), made=made or {})
        for entry in script.TABLE.entries_at("smoke")
    ]


@pytest.mark.parametrize("preset", ["quick", "standard"])
def test_every_difference_can_be_taken_of_cells_of_other_numbers_of_seeds(preset):
    def result(cell):
        keys = ("average_score", "win_rate", "success", "data_score")
        keys += tuple(f"{way}_score" for way in training.WAYS)
        return {"seeds": [{"seed": n} | dict.fromkeys(keys, 1.0) for n in cell.config["seeds"]]}

    for entry in claims.TABLE.entries_at(preset):
        values = entry.value([result(cell) for cell in entry.cells])
        assert set(values.values()) == {0.0}, entry


@pytest.mark.filterwarnings("error::UserWarning")
def test_pictures_of_many_comparisons_have_room_for_all(tmp_path):
    claims.TABLE.draw(claims.TABLE, shown_of(claims), tmp_path / "claims.png", "smoke")
    assert (tmp_path / "claims.png").stat().st_size > 10_000
    lines = {claims.place_of(entry) for entry in shown_of(claims)}
    assert ("ours - bcq: uncoordinated", "hopper_3x1") in lines
    assert ("ours - best of the others: expert", "hopper_3x1") in lines


def test_the_grids_picture_needs_nothing_but_what_its_table_keeps(tmp_path, monkeypatch):
    values = [[1.0, 2.0, 3.0]] * 3
    drawn = []
    monkeypatch.setattr(figure1, "draw_joint_values", lambda *what: drawn.append(what[1:]))
    for extra in ({"goals_in_data": [1]}, {"joint_values_at_4_4": values, "drawn_seed": 7}):
        shown = shown_of(figure1, {"extra": [extra]})
        figure1.draw(figure1.TABLE, shown, tmp_path / "figure1.png", "smoke")
    ((joint_values, seed),) = drawn  # older tables have no values, and no empty panel
    assert joint_values.tolist() == values and seed == 7
