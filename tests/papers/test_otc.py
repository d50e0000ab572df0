"""OTC: the method by hand and against slow twins, its theorem, the learners, online tuning end to end."""

import itertools

import numpy as np
import pytest
import torch

from common import kernels
from papers.otc import otc
from papers.otc.nearest import nearest_l1, nearest_l1_reference


def test_nearest_equals_a_slow_loop(stream):
    rows, pool = torch.randn(2, 3, 7, 10, generator=stream), torch.randn(2, 3, 37, 10, generator=stream)
    slow = np.empty((2, 3, 7))
    for m, n, b in np.ndindex(2, 3, 7):
        slow[m, n, b] = min(np.abs(rows[m, n, b].numpy() - candidate.numpy()).sum() for candidate in pool[m, n])
    for form in (nearest_l1, nearest_l1_reference):
        torch.testing.assert_close(form(rows, pool), torch.from_numpy(slow).float())
    assert (nearest_l1(pool[:, :, :5], pool) == 0).all()


@pytest.mark.skipif(kernels.backend() == "torch", reason="no C compiler: there is only one form")
def test_nearest_of_a_member_does_not_depend_on_the_others(stream):
    rows, pool = torch.randn(3, 2, 9, 10, generator=stream), torch.randn(3, 2, 21, 10, generator=stream)
    assert torch.equal(nearest_l1(rows, pool)[1:2], nearest_l1(rows[1:2], pool[1:2]))


def test_best_match_is_the_closest_value_and_ties_are_drawn_uniformly(stream):
    q, pool = torch.randn(2, 2, 50, generator=stream), torch.randn(2, 2, 30, generator=stream)
    found = otc.best_match(q, pool, torch.rand(2, 2, 50, generator=stream))
    assert torch.equal(found, (q.unsqueeze(-1) - pool.unsqueeze(-2)).abs().argmin(-1))
    pool = torch.tensor([[[1.0, 3.0, 1.0, 7.0, 3.0, 3.0]]])
    ties = torch.linspace(0, 0.999, 3000).expand(1, 1, -1)
    both = otc.best_match(torch.full((1, 1, 3000), 2.0), pool, ties)[0, 0]  # 1 and 3 are equally far
    assert both.bincount(minlength=6).tolist() == pytest.approx([600, 600, 600, 0, 600, 600], abs=2)
    one = otc.best_match(torch.full((1, 1, 3000), 3.0), pool, ties)[0, 0]
    assert one.bincount(minlength=6).tolist() == pytest.approx([0, 1000, 0, 0, 1000, 1000], abs=2)
    ends = otc.best_match(torch.tensor([[[-9.0, 9.0]]]), pool, torch.zeros(1, 1, 2))[0, 0]
    assert pool[0, 0, ends].tolist() == [1, 7]


def test_value_distance_by_hand():
    ours, matched = torch.tensor([[[1.0, 3.0]]]), torch.tensor([[[-2.0, -6.0]]])
    torch.testing.assert_close(otc.value_distance(ours, matched), torch.tensor([[[0.5 + 0.5, 1.5 + 1.5]]]))
    torch.testing.assert_close(otc.value_distance(ours, 10 * ours), torch.zeros(1, 1, 2))  # scale-free


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
    for order, probability in exact_without_replacement([p**alpha for p in (1 / 3, 1, 1 / 2, 1 / 4)], 2).items():
        share = (drawn == torch.tensor(order)).all(-1).float().mean().item()
        assert share == pytest.approx(probability, abs=4 * (probability / draws) ** 0.5 + 1e-4)


def test_drawing_with_replacement_follows_eq_3(stream):
    logs = otc.log_priority(torch.tensor([[[0.3, 0.1, 0.2, 5.0]]]))
    drawn = otc.draw_with_replacement(logs, torch.tensor([[2.0]]), torch.rand(1, 1, 100_000, generator=stream))
    weights = np.array([1 / 3, 1, 1 / 2, 1 / 4]) ** 2
    np.testing.assert_allclose(drawn[0, 0].bincount(minlength=4) / 100_000, weights / weights.sum(), atol=0.01)


def test_alpha_telescopes_and_is_guarded():
    alpha, distances = torch.ones(1, 2), [torch.tensor([[2.0, 1.0]]), torch.tensor([[3.0, 0.5]]), torch.tensor([[4.0, 0.01]])]
    for last, now in itertools.pairwise(distances):
        alpha = otc.next_alpha(alpha, now, last)
    torch.testing.assert_close(alpha, torch.tensor([[2.0, 0.1]]))


def test_correction_brings_a_different_kernel_closer_and_overshoots_on_an_equal_one():
    """Section 3.2, enumerated: a decreasing f lowers KL(P_D | P~) where the kernels differ, a constant one changes nothing."""
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
            assert divergence(new, otc.corrected_kernel(old, new, acceptance)) < divergence(new, old)
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
            second = first * (1 - mix) + mix * torch.rand(4, 3, 4, generator=stream, dtype=torch.float64)
            first, second = first / first.sum(-1, keepdim=True), second / second.sum(-1, keepdim=True)
            gap = (optimal_values(first, reward, gamma) - optimal_values(second, reward, gamma)).abs().max()
            bound = gamma * reward.max() / (1 - gamma) ** 2 * (first - second).abs().sum(-1).max()
            assert gap <= bound + 1e-9
            tightest = max(tightest, float(gap / bound))
    assert tightest > 0.01
