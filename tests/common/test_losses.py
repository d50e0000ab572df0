"""Every loss on numbers that can be checked on paper, or against a slow twin in NumPy."""

import math

import numpy as np
import pytest
import torch

from common.learning import losses, zeroth_order
from common.learning.philox import Streams
from common.learning.replay import Replay


def test_td_target_takes_the_smaller_head_and_stops_at_terminals():
    next_q = torch.tensor([[[[3.0, 8.0], [5.0, 2.0]]]])  # two heads, two rows
    target = losses.td_target(
        torch.tensor([[[1.0, 1.0]]]), torch.tensor([[[0.0, 1.0]]]), next_q, 0.5
    )
    assert target.tolist() == [[[1 + 0.5 * 3, 1.0]]]


def test_td_loss_sums_heads_and_averages_rows():
    q = torch.tensor([[[[1.0, 2.0], [0.0, 0.0]]]])
    assert losses.td_loss(q, torch.zeros(1, 1, 2)).tolist() == [[(1 + 4) / 2]]


def test_cql_gap_of_equal_values_is_log_volume_minus_log_count():
    logsumexp = torch.full((1, 1, 2), 4.0 + math.log(10))  # ten samples, all of value 4
    gap = losses.cql_gap(logsumexp, torch.full((1, 1, 2, 3), 4.0), losses.uniform_log_density(2))
    assert math.isclose(gap.item(), 2 * (math.log(10) + 2 * math.log(2)), rel_tol=1e-6)


def test_td3bc_weights_q_by_its_mean_size():
    q = torch.tensor([[[2.0, -6.0]]], requires_grad=True)  # mean |Q| = 4, mean Q = -2
    own, data = torch.tensor([[[[0.5], [0.5]]]]), torch.tensor([[[[0.0], [1.0]]]])
    loss = losses.td3bc_actor_loss(q, own, data, torch.tensor([2.0]))
    assert math.isclose(loss.item(), 0.25 - (2 / 4) * -2)
    loss.sum().backward()
    assert q.grad.tolist() == [[[-0.25, -0.25]]]  # the weight itself is a constant


def test_gaussian_log_prob_is_scipys():
    from scipy.stats import norm

    mean, log_std, action = (
        torch.tensor([[[[0.1, -0.2]]]]),
        torch.tensor([[[[-1.0, 0.5]]]]),
        torch.tensor([[[[0.4, 0.3]]]]),
    )
    expected = norm.logpdf([0.4, 0.3], [0.1, -0.2], np.exp([-1.0, 0.5])).sum()
    assert math.isclose(
        losses.gaussian_log_prob(mean, log_std, action).item(), expected, rel_tol=1e-5
    )


def test_softmax_weights_have_mean_one():
    weights = losses.softmax_weights(torch.randn(2, 3, 50), 0.3)
    torch.testing.assert_close(weights.mean(-1), torch.ones(2, 3))


def test_refine_softmax_follows_equation_3_in_both_readings():
    rng = np.random.default_rng(0)
    actions, q, mean = rng.normal(size=(3, 5, 2)), rng.normal(size=(3, 5)), rng.normal(size=(3, 2))
    for sigma in ("released", "text"):
        new_mean, new_std = zeroth_order.refine_softmax(
            *map(torch.from_numpy, (actions, q, mean)), beta=0.7, spread=zeroth_order.SPREADS[sigma]
        )
        for b in range(3):
            total = sum(math.exp(0.7 * value) for value in q[b])
            m = (
                sum(math.exp(0.7 * value) * a for value, a in zip(q[b], actions[b], strict=True))
                / total
            )
            np.testing.assert_allclose(new_mean[b], m)
            if sigma == "text":
                s = np.sqrt(sum((a - mean[b]) ** 2 for a in actions[b]))
            else:
                s = np.sqrt(sum((a - m) ** 2 for a in actions[b]) / 5)
            np.testing.assert_allclose(new_std[b], s)


def test_refine_elites_uses_the_best_samples_only():
    actions = torch.tensor([[0.0], [1.0], [3.0], [9.0]])
    mean, std = zeroth_order.refine_elites(actions, torch.tensor([0.0, 5.0, 6.0, -1.0]), 2)
    assert mean.item() == 2 and std.item() == 1


def test_carried_elites_join_the_next_population():
    drawn = iter([torch.tensor([[0.1], [0.5], [0.9]]), torch.zeros(3, 1)])
    seen = []

    def refine(actions, q, mean):
        seen.append((actions.clone(), q.clone()))
        return zeroth_order.refine_elites(actions, q, 2, correction=1)

    actions, q = zeroth_order.search(
        draw=lambda: next(drawn),
        value=lambda a: a[..., 0],
        iterations=2,
        mean=torch.zeros(1),
        std=torch.ones(1),
        refine=refine,
        carried=2,
    )
    mean, std = 0.7, math.sqrt(0.08)  # of 0.5 and 0.9, unbiased
    assert len(seen) == 1 and q.tolist() == pytest.approx([mean] * 3 + [0.9, 0.5])
    assert zeroth_order.refine_elites(*seen[0], 2, correction=1)[1].item() == pytest.approx(std)


def test_pick_prefers_the_policy_unless_a_sample_is_better():
    actions, q = torch.tensor([[[0.1], [0.9]]]), torch.tensor([[1.0, 2.0]])
    own = torch.tensor([[-0.5]])
    assert zeroth_order.pick(actions, q, own, torch.tensor([3.0])).tolist() == [[-0.5]]
    assert zeroth_order.pick(actions, q, own, torch.tensor([1.5])).tolist() == [
        [actions[0, 1, 0].item()]
    ]


def test_search_finds_the_maximum_of_a_bump_and_stays_in_bounds(stream):
    def value(actions):
        assert actions.abs().max() <= 1
        return -20 * (actions - 0.37).square().sum(-1)

    actions, q = zeroth_order.search(
        draw=lambda: torch.randn(4, 200, 1, generator=stream),
        value=value,
        iterations=4,
        mean=torch.zeros(4, 1),
        std=torch.full((4, 1), 2.0),
        refine=lambda a, q, m: zeroth_order.refine_softmax(
            a, q, m, 1.0, zeroth_order.spread_around_new_mean
        ),
    )
    best = zeroth_order.pick(actions, q, torch.zeros(4, 1), torch.full((4,), -1e9))
    assert (best - 0.37).abs().max() < 0.02


def numbered_rows(first: int, count: int) -> dict[str, torch.Tensor]:
    """A data set of two agents whose observations are its rows' numbers."""
    number = torch.arange(first, first + count).float().view(-1, 1).expand(-1, 2)
    names = ("obs", "action", "next_obs", "next_action")
    flat = {"reward": number, "terminal": torch.zeros_like(number)}
    return {name: number.unsqueeze(-1) for name in names} | flat


def replay_of(sizes: dict[int, int]) -> Replay:
    """Members by seed, each with so many rows of its own, numbered from 100 times the seed."""
    sets = [numbered_rows(100 * seed, size) for seed, size in sizes.items()]
    streams = Streams(list(sizes), "minibatches")
    return Replay(sets, list(range(len(sets))), streams, False, False, "cpu")


def test_minibatches_are_drawn_without_replacement_and_uniformly():
    replay = replay_of({0: 12, 1: 30})
    counts = torch.zeros(2, 30)
    for _ in range(600):
        rows = replay.draw(9).obs.squeeze(-1).long() - torch.tensor([0, 100]).view(2, 1, 1)
        ordered = rows.sort(-1).values
        assert (ordered[..., 1:] > ordered[..., :-1]).all()
        for member in range(2):
            counts[member] += torch.bincount(rows[member].flatten(), minlength=30)
    shares = counts / counts.sum(1, keepdim=True)
    assert shares[0, 12:].sum() == 0 and (shares[0, :12] - 1 / 12).abs().max() < 0.01
    assert (shares[1] - 1 / 30).abs().max() < 0.01


def test_a_member_draws_the_same_minibatches_whatever_it_is_batched_with():
    together = replay_of({3: 12, 1: 50, 2: 9})
    alone = replay_of({1: 50})
    for _ in range(3):
        assert torch.equal(together.draw(9).obs[1:2], alone.draw(9).obs)


def test_a_minibatch_larger_than_the_data_is_refused():
    with pytest.raises(ValueError, match="10 rows does not fit a data set of 9 rows"):
        replay_of({0: 12, 1: 9}).draw(10)
