"""OTC: the method by hand and against slow twins, its theorem, the learners, online tuning end to
end.
"""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
import torch
from torch import nn

from common.learning import kernels
from common.learning.bcq import BCQ, BCQConfig
from common.learning.philox import Streams
from common.learning.replay import Batch
from common.running.program import Program
from papers.otc import bremen, experiment, otc, ranking, table3, training, tuning
from papers.otc.balanced import BalancedConfig, BalancedReplay, density_ratio_loss
from papers.otc.baselines import AWAC, AWACConfig
from papers.otc.bremen import BREMEN, BREMENConfig
from papers.otc.claims import part_ways, settling
from papers.otc.config import METHODS
from papers.otc.cql import DiscreteCQL, DiscreteCQLConfig
from papers.otc.embedding import effective_dims
from papers.otc.experience import MergedData
from papers.otc.experiment import PAPER, make_cell
from papers.otc.nearest import (
    nearest_l1,
    nearest_l1_reference,
    nearest_value,
    nearest_value_reference,
)
from papers.otc.proposals import FusedBCQ


def test_nearest_equals_a_slow_loop(stream):
    rows, pool = (
        torch.randn(2, 3, 7, 10, generator=stream),
        torch.randn(2, 3, 37, 10, generator=stream),
    )
    slow = np.empty((2, 3, 7))
    for m, n, b in np.ndindex(2, 3, 7):
        slow[m, n, b] = min(
            np.abs(rows[m, n, b].numpy() - candidate.numpy()).sum() for candidate in pool[m, n]
        )
    for form in (nearest_l1, nearest_l1_reference):
        torch.testing.assert_close(form(rows, pool), torch.from_numpy(slow).float())
    assert (nearest_l1(pool[:, :, :5], pool) == 0).all()


@pytest.mark.parametrize("directions", [1, 3, 10])
def test_nearest_is_the_smallest_sum_to_the_bit_however_few_directions_there_are(
    directions, stream
):
    """A collapsed embedding is searched outwards, a full one everywhere."""
    mix = torch.randn(directions, 10, generator=stream)
    both = torch.randn(2, 2, 90 + 333, directions, generator=stream) @ mix
    rows, pool = both[:, :, :90], both[:, :, 90:]
    total = torch.zeros(2, 2, 90, 333)
    for axis in range(10):
        total += (rows[..., axis].unsqueeze(-1) - pool[..., axis].unsqueeze(-2)).abs()
    found = nearest_l1(rows, pool)
    torch.testing.assert_close(found, nearest_l1_reference(rows, pool))
    assert torch.equal(found, total.amin(-1)) or kernels.backend() == "torch"


@pytest.mark.skipif(kernels.backend() == "torch", reason="no C compiler: there is only one form")
def test_both_forms_of_the_nearest_value_find_the_same(stream):
    values, ties = (torch.rand(2, 3, 200, generator=stream) for _ in range(2))
    pool = torch.rand(2, 3, 333, generator=stream) * 1.5 - 0.2
    for digits in (0, 1, 7):  # many ties, some, none
        rounded = [(numbers * 10**digits).round() for numbers in (values, pool)]
        found, expected = (
            form(*rounded, ties) for form in (nearest_value, nearest_value_reference)
        )
        assert torch.equal(found, expected)
    odd = pool.clone()
    odd[0, 0, ::7] = float("nan")
    assert torch.equal(nearest_value(values, odd, ties), nearest_value_reference(values, odd, ties))


@pytest.mark.parametrize("widths", [(32, None), (64, 48)])
def test_fused_proposals_are_bcqs(widths, stream):
    """Targets, values, actions: the same numbers, up to rounding, from the same random numbers."""
    config = BCQConfig(widths[0], widths[1], target_samples=3, act_samples=7, perturbation=0.3)
    plain, fused = (kind([0, 1, 2], [5, 5], 2, config) for kind in (BCQ, FusedBCQ))
    batch = small_batch(3, 2, stream)
    for _ in range(3):
        plain.update(batch)
        fused.update(batch)
    for name, network in plain.networks.items():
        torch.testing.assert_close(fused.networks[name].flat, network.flat, rtol=1e-3, atol=1e-5)
    fused.load_state_dict(plain.state_dict())
    ours, theirs = Streams([0, 1, 2], "act"), Streams([0, 1, 2], "act")
    obs = 3 * batch.obs  # so that some actions are cut
    close = {"rtol": 1e-4, "atol": 1e-5}
    torch.testing.assert_close(fused.value(obs, ours, 5), plain.value(obs, theirs, 5), **close)
    torch.testing.assert_close(fused.act(obs, ours), plain.act(obs, theirs), **close)
    torch.testing.assert_close(fused.next_value(obs), plain.next_value(obs), **close)
    part = fused.part(slice(1, 2))
    ours, theirs = Streams([1], "act"), Streams([0, 1, 2], "act")
    expected = fused.act(obs, theirs)[1:2]
    assert torch.equal(part.act(obs[1:2], ours), expected) or kernels.backend() == "torch"


@pytest.mark.skipif(kernels.backend() == "torch", reason="no C compiler: there is only one form")
def test_nearest_of_a_member_does_not_depend_on_the_others(stream):
    rows, pool = (
        torch.randn(3, 2, 9, 10, generator=stream),
        torch.randn(3, 2, 21, 10, generator=stream),
    )
    assert torch.equal(nearest_l1(rows, pool)[1:2], nearest_l1(rows[1:2], pool[1:2]))


def test_best_match_is_the_closest_value_and_ties_are_drawn_uniformly(stream):
    q, pool = torch.randn(2, 2, 50, generator=stream), torch.randn(2, 2, 30, generator=stream)
    found = otc.best_match(q, pool, torch.rand(2, 2, 50, generator=stream))
    assert torch.equal(found, (q.unsqueeze(-1) - pool.unsqueeze(-2)).abs().argmin(-1))
    pool = torch.tensor([[[1.0, 3.0, 1.0, 7.0, 3.0, 3.0]]])
    ties = torch.linspace(0, 0.999, 3000).expand(1, 1, -1)
    both = otc.best_match(torch.full((1, 1, 3000), 2.0), pool, ties)[
        0, 0
    ]  # 1 and 3 are equally far
    assert both.bincount(minlength=6).tolist() == pytest.approx([600, 600, 600, 0, 600, 600], abs=2)
    one = otc.best_match(torch.full((1, 1, 3000), 3.0), pool, ties)[0, 0]
    assert one.bincount(minlength=6).tolist() == pytest.approx([0, 1000, 0, 0, 1000, 1000], abs=2)
    ends = otc.best_match(torch.tensor([[[-9.0, 9.0]]]), pool, torch.zeros(1, 1, 2))[0, 0]
    assert pool[0, 0, ends].tolist() == [1, 7]


def test_value_distance_by_hand():
    ours, matched = torch.tensor([[[1.0, 3.0]]]), torch.tensor([[[-2.0, -6.0]]])
    torch.testing.assert_close(
        otc.value_distance(ours, matched), torch.tensor([[[0.5 + 0.5, 1.5 + 1.5]]])
    )
    torch.testing.assert_close(
        otc.value_distance(ours, 10 * ours), torch.zeros(1, 1, 2)
    )  # scale-free


def test_effective_dimensions_do_not_count_copies_nor_see_scale(stream):
    one = torch.randn(20_000, 1, 1, generator=stream)
    four = torch.randn(20_000, 1, 4, generator=stream)
    assert float(effective_dims(one.repeat(1, 1, 10))) == pytest.approx(1)
    assert float(effective_dims(four)) == pytest.approx(4, rel=0.01)
    assert float(effective_dims(1e-3 * four)) == pytest.approx(4, rel=0.01)
    uneven = four[..., :2] * torch.tensor([1.0, 2.0])
    assert float(effective_dims(uneven)) == pytest.approx(25 / 17, rel=0.02)


def test_rank_correlation_equals_scipys(stream):
    first, second = (torch.randn(2, 3, 30, generator=stream) for _ in range(2))
    for place in np.ndindex(2, 3):
        theirs = scipy.stats.spearmanr(first[place], second[place]).statistic
        assert float(ranking.rank_correlation(first, second)[place]) == pytest.approx(theirs)


def test_the_value_of_the_first_quarter_by_hand():
    distance = torch.tensor([[[3.0, 0.0, 2.0, 1.0]]])
    value = torch.tensor([[[1.0, 5.0, 3.0, 3.0]]])
    assert float(ranking.value_of_first(distance, value)) == pytest.approx(2 / (8 / 3) ** 0.5)


def test_the_others_deviation_leaves_out_ones_own():
    class Still:
        def act(self, obs, streams):
            return torch.zeros(*obs.shape[:-1], 1)

    experience, _ = toy_experience(agents=3)
    index = torch.tensor([0, 20]).expand(2, 3, 2)
    far = ranking.deviation_of_others(experience, Still(), index, Streams([0, 1], "x"))
    torch.testing.assert_close(far[0, :, 0], torch.tensor([300.0, 200.0, 100.0]))
    torch.testing.assert_close(far[1, 0], torch.tensor([300.0, 300.04]))


def test_priorities_are_inverse_ranks():
    priority = otc.log_priority(torch.tensor([[[0.3, 0.1, 0.2, 5.0]]])).exp()
    torch.testing.assert_close(priority, torch.tensor([[[1 / 3, 1, 1 / 2, 1 / 4]]]))


def exact_without_replacement(weights, count):
    """Probability of every ordered draw."""
    result = {}
    for order in itertools.permutations(range(len(weights)), count):
        left, probability = sum(weights), 1.0
        for j in order:
            probability *= weights[j] / left
            left -= weights[j]
        result[order] = probability
    return result


@pytest.mark.parametrize("alpha", [0.0, 1.0, 2.0])
def test_gumbel_top_k_has_the_exact_distribution_of_drawing_without_replacement(alpha, stream):
    draws = 60_000
    logs = otc.log_priority(torch.tensor([[0.3, 0.1, 0.2, 5.0]]).expand(draws, 1, 4).contiguous())
    noise = -torch.empty(draws, 1, 4).exponential_(generator=stream).log()
    drawn = otc.draw(logs, torch.full((draws, 1), alpha), noise, 2)[:, 0]
    for order, probability in exact_without_replacement(
        [p**alpha for p in (1 / 3, 1, 1 / 2, 1 / 4)], 2
    ).items():
        share = (drawn == torch.tensor(order)).all(-1).float().mean().item()
        assert share == pytest.approx(probability, abs=4 * (probability / draws) ** 0.5 + 1e-4)


def test_drawing_with_replacement_follows_eq_3(stream):
    logs = otc.log_priority(torch.tensor([[[0.3, 0.1, 0.2, 5.0]]]))
    drawn = otc.draw_with_replacement(
        logs, torch.tensor([[2.0]]), torch.rand(1, 1, 100_000, generator=stream)
    )
    weights = np.array([1 / 3, 1, 1 / 2, 1 / 4]) ** 2
    np.testing.assert_allclose(
        drawn[0, 0].bincount(minlength=4) / 100_000, weights / weights.sum(), atol=0.01
    )


def test_alpha_telescopes_and_is_guarded():
    alpha, distances = (
        torch.ones(1, 2),
        [torch.tensor([[2.0, 1.0]]), torch.tensor([[3.0, 0.5]]), torch.tensor([[4.0, 0.01]])],
    )
    for last, now in itertools.pairwise(distances):
        alpha = otc.next_alpha(alpha, now, last, 0.1, 5.0)
    torch.testing.assert_close(alpha, torch.tensor([[2.0, 0.1]]))


def test_correction_brings_a_different_kernel_closer_and_overshoots_on_an_equal_one():
    """Section 3.2, enumerated: a decreasing f lowers KL(P_D | P~) where the kernels differ, a
    constant one changes nothing.
    """
    positions = torch.arange(12.0)
    acceptance = 1 / (1 + (positions[:, None] - positions).abs())

    def kernel(centre):
        return torch.softmax(-((positions - centre) ** 2) / 20, 0)

    def divergence(new, other):
        return (new * (new / other).log()).sum()

    for old_centre, new_centre in itertools.permutations(range(12), 2):
        old, new = kernel(old_centre), kernel(new_centre)
        torch.testing.assert_close(otc.corrected_kernel(old, new, torch.ones(12, 12)), old)
        if abs(old_centre - new_centre) >= 4:
            assert divergence(new, otc.corrected_kernel(old, new, acceptance)) < divergence(
                new, old
            )
    same = kernel(5)  # the reason to adapt alpha: nothing is left to correct
    assert divergence(same, otc.corrected_kernel(same, same, acceptance)) > 0.001


def optimal_values(kernel, reward, gamma):
    """[S] by value iteration: kernel [S, A, S], reward [S, A]."""
    values = torch.zeros(len(reward), dtype=torch.float64)
    for _ in range(2000):
        values = (reward + gamma * kernel @ values).amax(1)
    return values


def test_theorem_1_holds_on_random_mdps(stream):
    """|V1* - V2*| <= gamma r_max / (1 - gamma)^2 |P1 - P2|_1, and the bound is not vacuous."""
    tightest = 0.0
    for gamma in (0.5, 0.9):
        for _ in range(20):
            reward = torch.rand(4, 3, generator=stream, dtype=torch.float64)
            first = torch.rand(4, 3, 4, generator=stream, dtype=torch.float64)
            mix = torch.rand(1, generator=stream, dtype=torch.float64) * 0.3
            second = first * (1 - mix) + mix * torch.rand(
                4, 3, 4, generator=stream, dtype=torch.float64
            )
            first, second = (
                first / first.sum(-1, keepdim=True),
                second / second.sum(-1, keepdim=True),
            )
            gap = (
                (optimal_values(first, reward, gamma) - optimal_values(second, reward, gamma))
                .abs()
                .max()
            )
            bound = gamma * reward.max() / (1 - gamma) ** 2 * (first - second).abs().sum(-1).max()
            assert gap <= bound + 1e-9
            tightest = max(tightest, float(gap / bound))
    assert tightest > 0.01


def net(tensors, head=None):
    """One agent's network as a torch module."""
    pick = (lambda t: t[0, 0]) if head is None else (lambda t: t[0, 0, head])
    layers = [nn.Linear(*pick(tensors[f"w{i}"]).shape) for i in (1, 2, 3)]
    with torch.no_grad():
        for i, layer in zip((1, 2, 3), layers, strict=True):
            layer.weight.copy_(pick(tensors[f"w{i}"]).T), layer.bias.copy_(pick(tensors[f"b{i}"]))
    return nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])


def small_batch(members, agents, stream, rows=12, obs=5, act=2):
    def draw(*shape):
        return torch.randn(members, agents, rows, *shape, generator=stream)

    return Batch(draw(obs), draw(act).tanh(), draw(), draw(obs), (draw() > 1).float())


def test_awac_equals_a_plain_implementation(stream):
    config = AWACConfig(hidden=32, actor_lr=1e-2, critic_lr=1e-2, tau=0.3, weight_decay=0.1)
    agent = AWAC([3], [5], 2, config)
    actor = net(agent.networks["actor"].tensors)
    logits = agent.networks["actor"]["log_std_logits"][0, 0].detach().clone().requires_grad_()
    critics, targets = (
        [net(agent.critics.params.tensors, head) for head in (0, 1)] for _ in range(2)
    )
    adam_pi = torch.optim.Adam([*actor.parameters(), logits], 1e-2, weight_decay=0.1)
    adam_q = torch.optim.Adam([p for q in critics for p in q.parameters()], 1e-2)
    streams = Streams([3], "noise")

    def policy(obs):
        return torch.distributions.Normal(
            actor(obs), (-6 + 6 * logits.sigmoid()).exp().expand(len(obs), 2)
        )

    def sample(obs):
        found, noise = policy(obs), streams.normal((1, len(obs), 2))[0, 0]
        return (found.mean + found.stddev * noise).clamp(-1, 1)

    for _ in range(3):
        rows = small_batch(1, 1, stream)
        obs, action, following = rows.obs[0, 0], rows.action[0, 0], rows.next_obs[0, 0]
        with torch.no_grad():
            x = torch.cat([following, sample(following)], 1)
            y = rows.reward[0, 0] + 0.99 * (1 - rows.terminal[0, 0]) * torch.minimum(
                *(q(x)[:, 0] for q in targets)
            )
        x = torch.cat([obs, action], 1)
        adam_q.zero_grad()
        sum((q(x)[:, 0] - y).square().mean() for q in critics).backward()
        adam_q.step()
        with torch.no_grad():
            own = torch.cat([obs, sample(obs)], 1)
            advantage = torch.minimum(*(q(x)[:, 0] for q in critics)) - torch.minimum(
                *(q(own)[:, 0] for q in critics)
            )
            weight = advantage.exp().clamp_max(100)
        adam_pi.zero_grad()
        (-(weight * policy(obs).log_prob(action).sum(-1)).mean()).backward()
        adam_pi.step()
        with torch.no_grad():
            for target, online in zip(targets, critics, strict=True):
                for a, b in zip(target.parameters(), online.parameters(), strict=True):
                    a.lerp_(b, 0.3)
        agent.update(rows)
    torch.testing.assert_close(
        agent.networks["actor"]["w2"][0, 0].detach(),
        actor[2].weight.detach().T,
        rtol=1e-2,
        atol=2e-3,
    )
    torch.testing.assert_close(
        agent.networks["actor"]["log_std_logits"][0, 0].detach(),
        logits.detach(),
        rtol=1e-2,
        atol=2e-3,
    )


def toy_experience(members=2, agents=2, offline=40, steps=6, deployments=2):
    """Data whose numbers say where they are from: obs = row, action = 100 agent + row / 1000."""

    def data(start, count, lead=()):
        rows = torch.arange(start, start + count).float()
        obs = rows.view(-1, 1, 1).expand(count, agents, 1)
        action = torch.arange(agents).view(1, -1, 1) * 100 + rows.view(-1, 1, 1) / 1000
        fields = {
            "obs": obs,
            "action": action,
            "next_obs": obs + 1,
            "reward": obs[..., 0] * 2,
            "terminal": torch.zeros(count, agents),
        }
        return {name: values.expand(*lead, *values.shape) for name, values in fields.items()}

    return MergedData([data(0, offline)], [0] * members, deployments, steps), data


def battle_batch(members, agents, rows, actions, stream):
    """Rows of 4 numbers and a mask each; every action taken is available."""
    shape = (members, agents, rows)

    def seen():
        mask = (torch.rand(*shape, actions, generator=stream) < 0.6).float()
        mask[..., 0] = 1
        return torch.cat([torch.randn(*shape, 4, generator=stream), mask], -1)

    obs = seen()
    action = (
        torch.rand(*shape, actions, generator=stream)
        .mul(obs[..., 4:])
        .argmax(-1, keepdim=True)
        .float()
    )
    reward, terminal = (
        torch.randn(shape, generator=stream),
        (torch.rand(shape, generator=stream) < 0.2).float(),
    )
    return Batch(obs, action, reward, seen(), terminal)


def test_discrete_cql_equals_a_plain_implementation(stream):
    agent = DiscreteCQL(
        [3], [9], 5, DiscreteCQLConfig(hidden=32, critic_lr=1e-2, tau=0.3, cql_weight=0.7)
    )
    q, target = net(agent.networks["critic"].tensors), net(agent.networks["critic"].tensors)
    adam = torch.optim.Adam(q.parameters(), 1e-2)
    for _ in range(3):
        rows = battle_batch(1, 1, 16, 5, stream)
        loss = 0.0
        for b in range(16):
            obs, following = rows.obs[0, 0, b], rows.next_obs[0, 0, b]
            with torch.no_grad():
                allowed = [a for a in range(5) if following[4 + a] > 0]
                best = max(allowed, key=lambda a: q(following[:4])[a].item())
                y = (
                    rows.reward[0, 0, b]
                    + 0.99 * (1 - rows.terminal[0, 0, b]) * target(following[:4])[best]
                )
            values, taken = q(obs[:4]), int(rows.action[0, 0, b, 0])
            penalty = (
                torch.stack([values[a] for a in range(5) if obs[4 + a] > 0]).exp().sum().log()
                - values[taken]
            )
            loss = loss + (values[taken] - y).square() + 0.7 * penalty
        adam.zero_grad()
        (loss / 16).backward()
        adam.step()
        with torch.no_grad():
            for ours, theirs in zip(target.parameters(), q.parameters(), strict=True):
                ours.lerp_(theirs, 0.3)
        agent.update(rows)
    rows = battle_batch(1, 1, 6, 5, stream)
    with torch.no_grad():
        expected = q(rows.obs[0, 0, :, :4])
    for b, row in enumerate(rows.obs[0, 0]):
        allowed = [a for a in range(5) if row[4 + a] > 0]
        assert int(agent.act(rows.obs)[0, 0, b, 0]) == max(
            allowed, key=lambda a: expected[b, a].item()
        )
        weights = expected[b, allowed].softmax(0)
        torch.testing.assert_close(
            agent.value(rows.obs)[0, 0, b],
            (weights * expected[b, allowed]).sum(),
            rtol=1e-4,
            atol=1e-5,
        )
        torch.testing.assert_close(
            agent.q(rows.obs, rows.action)[0, 0, b],
            expected[b, int(rows.action[0, 0, b, 0])],
            rtol=1e-4,
            atol=1e-5,
        )


def test_discrete_cql_of_a_member_does_not_depend_on_the_others(stream):
    config = DiscreteCQLConfig(hidden=16)
    batch = battle_batch(3, 2, 12, 5, stream)
    together, alone = DiscreteCQL([0, 1, 2], [9, 9], 5, config), DiscreteCQL([1], [9, 9], 5, config)
    for _ in range(4):
        together.update(batch)
        alone.update(
            Batch(
                batch.obs[1:2],
                batch.action[1:2],
                batch.reward[1:2],
                batch.next_obs[1:2],
                batch.terminal[1:2],
            )
        )
    assert (
        torch.equal(together.value(batch.obs)[1], alone.value(batch.obs[1:2])[0])
        or kernels.backend() == "torch"
    )
    torch.testing.assert_close(
        together.part(slice(1, 2)).value(batch.obs[1:2]), alone.value(batch.obs[1:2])
    )


def test_table_3_is_what_the_code_runs_with():
    published = table3.TABLE.published()
    for entry in table3.TABLE.entries("paper", {}):
        if not entry.missing:
            assert entry.value([])[0] == pytest.approx(published[entry.row, entry.column][0]), (
                entry.row,
                entry.column,
            )


def test_experience_merges_deployments_and_every_agent_gets_its_own_action_only():
    experience, data = toy_experience()
    experience.add(data(1000, 6, (2,)))
    experience.add(data(2000, 6, (2,)))
    assert (
        experience.rows.shape[-1] == 1 + 1 + 1 + 1 + 1
    )  # obs, own action, reward, next obs, terminal: no room for others'
    index = torch.tensor([0, 39, 40, 45, 46, 51]).expand(2, 2, 6)
    batch = experience.gather(index)
    expected = torch.tensor([0.0, 39, 1000, 1005, 2000, 2005])
    for member, agent in itertools.product(range(2), range(2)):
        torch.testing.assert_close(batch.obs[member, agent, :, 0], expected)
        torch.testing.assert_close(batch.action[member, agent, :, 0], 100 * agent + expected / 1000)
        torch.testing.assert_close(batch.reward[member, agent], expected * 2)
    streams = Streams([0, 1], "draw")
    assert experience.draw(500, streams).unique().tolist() == list(range(52))
    assert experience.draw_latest(200, streams).unique().tolist() == list(range(46, 52))


def test_values_of_a_pool_are_its_rows_however_often_they_are_drawn():
    class Sum:
        def q(self, obs, action):
            return (obs + action).squeeze(-1)

    experience, data = toy_experience(steps=6)
    experience.add(data(1000, 6, (2,)))
    experience.add(data(2000, 6, (2,)))
    for count in (4, 50):
        pool = experience.draw_latest(count, Streams([0, 1], "pool"))
        found = tuning.pool_values(experience, Sum(), slice(0, 2), pool)
        rows = experience.gather(pool)
        torch.testing.assert_close(found, Sum().q(rows.obs, rows.action))


def test_balanced_replay_draws_the_online_share_it_is_told_and_by_priority():
    experience, data = toy_experience(offline=600, steps=12)
    replay = BalancedReplay(
        [0, 1], experience, slice(0, 2), BalancedConfig(hidden=16, batch_size=8)
    )
    experience.add(data(1000, 12, (2,)))
    replay.add_latest()
    assert float(replay.priorities[0, 0, :612].sum()) == pytest.approx(1200)
    torch.testing.assert_close(replay.sums.sum(-1), replay.priorities.sum(-1))
    kept = replay.priorities.clone()
    drawn = replay.draw(4000)
    assert (drawn >= 600).double().mean().item() == pytest.approx(
        0.5, abs=0.02
    ) and drawn.max() < 612
    assert not torch.equal(kept, replay.priorities)
    torch.testing.assert_close(replay.sums, replay.priorities.unflatten(-1, (-1, 512)).sum(-1))


def test_density_ratio_loss_prefers_high_weights_online():
    low, high = torch.full((1, 1, 3), 0.1), torch.full((1, 1, 3), 5.0)
    assert density_ratio_loss(low, high) < density_ratio_loss(high, low)
    torch.testing.assert_close(
        density_ratio_loss(torch.ones(1, 1, 3), torch.ones(1, 1, 3)), torch.zeros(1, 1)
    )


def program(
    methods, seeds=(0, 1), task="kinematic_navigation_2", base="bcq", quality="random", **changes
):
    cells = [
        make_cell("smoke", task, quality, base, method, seeds=list(seeds), **changes)
        for method in methods
    ]
    for cell in cells:
        PAPER.data.prepare(cell)
    return cells


@pytest.mark.parametrize("base", ["bcq", "awac", "td3bc"])
def test_a_result_does_not_depend_on_other_methods_or_seeds(folders, base, tmp_path):
    cells = program(METHODS, base=base)
    together = dict(
        zip((c.slot for c in cells), training.train(cells, "cpu", tmp_path / "a"), strict=True)
    )
    for method in ("d_e", "d_q", "balanced"):
        alone = training.train(program([method], seeds=[1], base=base), "cpu", tmp_path / "b")[0][
            "seeds"
        ][0]
        slot = next(c.slot for c in cells if c.slot.split("/")[3] == method)
        same = next(seed for seed in together[slot]["seeds"] if seed["seed"] == 1)
        if kernels.backend() == "native":
            assert alone == same
        else:
            assert alone["curve"] == pytest.approx(same["curve"], rel=1e-4)


@pytest.mark.parametrize("stop", [1, 3, 4, 6, 7, 8, 9])
def test_resumed_equals_uninterrupted(folders, stop):
    """Stopped while offline, within and after the embedding, within the tuning of either deployment
    and between them: the same numbers, to the bit.
    """
    cells = program(METHODS)
    whole, first, second = (Program(cells, "cpu", training.build) for _ in range(3))
    list(whole.updates())
    for done in first.updates():
        if done == stop:
            break
    second.load_state_dict(first.state_dict())
    list(second.updates())
    ours, theirs = (one.training.learner for one in (whole, second))
    assert second.points == whole.points and theirs.alphas == ours.alphas
    assert torch.equal(theirs.learner.networks["actor"].flat, ours.learner.networks["actor"].flat)


def test_variants_of_a_seed_share_their_offline_phase_and_uniform_has_no_alpha(folders, tmp_path):
    results = training.train(program(["d_e", "uniform"]), "cpu", tmp_path / "c")
    ours, uniform = (result["seeds"] for result in results)
    assert [seed["first_return"] for seed in ours] == [seed["first_return"] for seed in uniform]
    assert all(value == 0 for seed in uniform for point in seed["alpha"] for value in point)
    assert all(seed["alpha"][0] == [1.0, 1.0] and seed["alpha"][1] != [1.0, 1.0] for seed in ours)
    assert all(1 <= dims <= 10 for seed in ours for dims in seed["embedding"]["effective_dims"])
    assert ours[0]["improvement"] == pytest.approx(
        100 * (ours[0]["curve"][-1] - ours[0]["curve"][0]) / abs(ours[0]["curve"][0])
    )


@pytest.mark.parametrize(
    ("base", "task", "quality"),
    [("bcq", "kinematic_navigation_2", "random"), ("cql", "5m_vs_6m", "medium")],
)
def test_a_diverged_member_has_no_numbers_and_costs_the_others_nothing(
    folders, base, task, quality
):
    cells = program(["d_q", "uniform"], task=task, base=base, quality=quality)

    def trained(*broken):
        run = Program(cells, "cpu", training.build)
        updates = run.updates()
        next(updates)
        for network in run.training.learner.learner.networks.values():
            network.flat.data[list(broken)] = torch.nan
        list(updates)
        return [result["seeds"] for result in run.results(1.0)]

    for whole, ours in zip(trained(), trained(0), strict=True):
        for name in ("last_return", "first_return", "improvement", "last_score", "score_gain"):
            assert ours[0][name] is None
        assert ours[1] == whole[1]


def test_deployments_are_whole_episodes_where_they_hold_one():
    assert training.whole(2_020, 1000) == 2000
    assert training.whole(1_000, 1000) == 1000
    assert training.whole(40, 1000) == 40
    assert training.whole(0, 25) == 1


def test_the_offline_phase_and_tuning_have_learning_rates_of_their_own(folders):
    cell = program(["uniform"])[0]
    rates = {"offline_rate": 10.0, "tuning_rate": 4.0}
    run = Program([replace(cell, config=cell.config | rates)], "cpu", training.build)
    tuned = run.training.learner
    rate = cell.config["hyper"]["critic_lr"]

    def now():
        return float(tuned.learner.optimisers["critic"].lr.flatten()[0])

    assert now() == pytest.approx(10 * rate)
    for _ in run.updates():
        pass
    assert now() == pytest.approx(4 * rate)


def test_fixed_alpha_stays(folders, tmp_path):
    result = training.train(program(["d_q"], fixed_alpha=2.0), "cpu", tmp_path / "d")[0]
    assert all(point == [2.0, 2.0] for seed in result["seeds"] for point in seed["alpha"])


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("d_q", {"tuning": {"normaliser": "minibatch"}}),
        ("d_q", {"tuning": {"replacement": True}}),
        ("d_e", {"embedding": {"target": "next_state"}}),
        ("d_e", {"embedding": {"target": "transition"}}),
    ],
)
def test_readings_run_and_change_the_result(folders, tmp_path, method, changes):
    plain = training.train(program([method]), "cpu", tmp_path / "e")[0]["seeds"]
    other = training.train(program([method], changes=changes), "cpu", tmp_path / "f")[0]["seeds"]
    assert [seed["curve"] for seed in plain] != [seed["curve"] for seed in other]


def test_another_distance_is_a_function_a_row_and_a_name(folders, tmp_path, monkeypatch):
    """Rows whose states resemble those of now: prioritised, alpha adapted, others untouched."""

    def by_state(sampler, members, candidates, pool, streams):
        rows = sampler.experience.gather(candidates, members).obs
        online = sampler.experience.gather(pool, members).obs
        return otc.embedding_distance(rows, online)

    plain = training.train(program(["d_q"]), "cpu", tmp_path / "g")[0]["seeds"]
    monkeypatch.setitem(tuning.STRATEGIES, "state", by_state)
    monkeypatch.setitem(METHODS, "d_s", ("state", 1.0, True))
    results = training.train(program(["d_s", "d_q"]), "cpu", tmp_path / "h")
    ours, others = (result["seeds"] for result in results)
    assert all(seed["alpha"][1] != seed["alpha"][0] == [1.0, 1.0] for seed in ours)
    assert [seed["curve"] for seed in others] == [seed["curve"] for seed in plain]


def test_the_world_shifts_between_deployments_only(folders, tmp_path):
    cells = program(["uniform"], task="shifting_navigation")
    run = Program(cells, "cpu", training.build)
    seen = [run.training.learner.team.beta for _ in run.updates()]
    assert seen[-1] == pytest.approx(0.2)
    assert seen[-cells[0].config["tuning_updates"] - 1] == pytest.approx(0.1)


def test_advantages_equal_the_sum_of_discounted_errors(stream):
    reward, value = torch.randn(6, 2, generator=stream), torch.randn(7, 2, generator=stream)
    errors = reward + 0.9 * value[1:] - value[:-1]
    slow = torch.stack(
        [sum((0.9 * 0.8) ** (j - t) * errors[j] for j in range(t, 6)) for t in range(6)]
    )
    torch.testing.assert_close(bremen.advantages(reward, value, 0.9, 0.8), slow)


def test_conjugate_gradients_solve_every_members_own_system(stream):
    root = torch.randn(2, 3, 5, 5, generator=stream, dtype=torch.float64)
    matrix = root @ root.mT + torch.eye(5, dtype=torch.float64)
    right = torch.randn(2, 3, 5, generator=stream, dtype=torch.float64)
    found = bremen.conjugate_gradient(lambda v: (matrix @ v.unsqueeze(-1)).squeeze(-1), right, 5)
    torch.testing.assert_close(found, torch.linalg.solve(matrix, right))


def small_bremen(seeds, **changes):
    config = BREMENConfig(
        **{"hidden": 32, "horizon": 4, "rollouts": 16, "first_iterations": 2, "iterations": 2}
        | {"initial_std": 0.5, "max_kl": 0.01}
        | {"models": 4}  # 12 and 128 rows can be shared out
        | changes
    )
    shape = (len(seeds), 2, 3)
    return BREMEN(seeds, [3, 3], 1, config, (torch.zeros(shape), torch.ones(shape)))


def test_every_model_learns_from_rows_of_its_own(stream):
    """Other rows for the last model change the last model and no other."""
    agents = [small_bremen([0]), small_bremen([0])]
    rows = small_batch(1, 2, stream, obs=3, act=1)
    other = small_batch(1, 2, stream, obs=3, act=1)
    fields = ("obs", "action", "reward", "next_obs", "terminal")

    def but_last(name):
        mine, theirs = getattr(rows, name), getattr(other, name)
        return torch.cat([mine[:, :, :9], theirs[:, :, 9:]], 2)

    agents[0].update(rows)
    agents[1].update(Batch(*(but_last(name) for name in fields)))
    first, second = (agent.networks["model"]["w2"][0, 0] for agent in agents)
    assert [torch.equal(a, b) for a, b in zip(first, second, strict=True)] == [True] * 3 + [False]


def test_a_trust_region_step_improves_within_its_region(stream):
    agent = small_bremen([0, 1])
    obs, noise = (
        torch.randn(2, 2, 200, 3, generator=stream),
        torch.randn(2, 2, 200, 1, generator=stream),
    )
    action = (agent.mean_action(obs) + 0.5 * noise).detach()
    gain = action[..., 0] - action[..., 0].mean(-1, keepdim=True)  # larger actions are better
    before = agent.mean_action(obs).mean((-2, -1)).detach()
    caused = agent.trust_region_step(obs, action, gain)
    assert (caused > 0).all() and (caused <= 0.015).all()
    assert (agent.mean_action(obs).mean((-2, -1)) > before).all()


def test_models_learn_the_dynamics_and_the_policy_improves_in_imagination(stream):
    agent = small_bremen([0], model_lr=3e-3, first_iterations=15, horizon=6, rollouts=100)
    obs_now = torch.empty(1, 2, 128, 3)
    for _ in range(600):
        obs, action = (
            obs_now.normal_(generator=stream).clone(),
            torch.rand(1, 2, 128, 1, generator=stream) * 2 - 1,
        )
        following = obs + torch.cat([0.5 * action, torch.zeros(1, 2, 128, 2)], -1)
        agent.update(
            Batch(obs, action, -following[..., 0].abs(), following, torch.zeros(1, 2, 128))
        )
    predicted, reward = agent.predict(obs, action)
    assert (predicted - following.unsqueeze(2)).abs().mean() < 0.1
    assert (reward + following[..., 0].abs().unsqueeze(2)).abs().mean() < 0.2
    first = agent.imagine(obs)["reward"].mean()
    agent.improve()
    assert agent.imagine(obs)["reward"].mean() > first + 0.05


def test_bremen_takes_its_first_steps_after_the_offline_phase_only(stream, monkeypatch):
    agent = small_bremen([0], first_iterations=3, iterations=1)
    agent.update(small_batch(1, 2, stream, obs=3, act=1))
    steps = []
    monkeypatch.setattr(agent, "trust_region_step", lambda *given: steps.append(given))
    agent.improve()
    assert len(steps) == 3
    agent.improve()
    assert len(steps) == 4


def test_bremen_of_a_member_does_not_depend_on_the_others(stream):
    both, alone = small_bremen([3, 8]), small_bremen([8])
    for _ in range(2):
        rows = small_batch(2, 2, stream, obs=3, act=1)
        both.update(rows)
        alone.update(
            Batch(
                *(
                    getattr(rows, name)[1:]
                    for name in ("obs", "action", "reward", "next_obs", "terminal")
                )
            )
        )
    both.improve(), alone.improve()
    torch.testing.assert_close(
        both.networks["actor"].flat[1:], alone.networks["actor"].flat, rtol=1e-3, atol=1e-4
    )
    torch.testing.assert_close(
        both.networks["critic"].flat[1:], alone.networks["critic"].flat, rtol=1e-3, atol=1e-4
    )


def test_what_claims_read_off_alpha():
    def run(*alpha):
        return [{"seeds": [{"seed": 3, "alpha": [list(of_agents) for of_agents in alpha]}]}]

    apart = run((1.0, 1.0), (1.5, 0.8))
    assert part_ways(apart) == {3: 100.0}
    assert part_ways(run((1.0, 1.0), (1.5, 1.2))) == {3: 0.0}
    assert settling(0, apart) == {3: None}  # two deployments settle nothing
    alpha = [(9.0,), (1.0,), (1.1,), (1.1,), (0.55,)]
    assert settling(0, run(*alpha)) == {3: pytest.approx((10 + 0 + 50) / 3)}


def test_balanced_replay_learns_as_fast_as_its_learner():
    def of(method, preset="standard"):
        return make_cell(preset, "hopper", "medium", "bcq", method).config

    assert of("balanced")["balanced"]["lr"] == 4 * of("uniform")["balanced"]["lr"]
    assert of("balanced", "paper")["balanced"] == of("uniform", "paper")["balanced"]


def test_improvement_is_in_percent_of_what_the_seeds_return_on_average():
    firsts, lasts = (10.0, 0.001, None), (12.0, 5.001, None)
    seeds = [
        {"seed": seed, "first_return": first, "last_return": last}
        for seed, (first, last) in enumerate(zip(firsts, lasts, strict=True))
    ]
    found = experiment.improvement([{"seeds": seeds}])
    whole = (10 + 0.001) / 2
    assert found == {0: pytest.approx(200 / whole), 1: pytest.approx(500 / whole), 2: None}
