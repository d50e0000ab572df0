"""What methods were given, and whether their curves were flat."""

from types import SimpleNamespace

import pytest
import scipy.stats

from common.reporting import budget


def test_the_gain_of_a_curves_last_quarter():
    assert budget.gain_of([0.0, 5.0, 1.0, 2.0, 3.0]) == 1
    assert budget.gain_of([0, 0, 0, 0, 1.0, 2.0, 3.0, 4.0]) == 2
    assert budget.gain_of([1.0, 2.0]) is None
    assert budget.gain_of([1.0, None, 2.0, 3.0]) == 1
    assert budget.gain_of([1.0, 2.0, 3.0, None]) is None


def test_gains_are_of_rows_and_sure_ones_beyond_chance():
    def row(*curves):
        return {"seeds": [{"curve": curve} for curve in curves]}

    def gaining(*ends):
        return row(*([0.0, 0.0, 0.0, end] for end in ends))

    results = [gaining(4.0, 0.0), gaining(-3.0), row([1.0, 2.0])]
    assert [sample.tolist() for sample in budget.gains(results)] == [[4.0, 0.0], [-3.0]]
    assert budget.mean_gain(results) == {0: pytest.approx(1 / 3)}
    assert budget.mean_gain(results[2:]) == {0: None}
    assert budget.surely_gained(results[1:]) == {0: None}

    (sure,) = budget.surely_gained(results[:1]).values()
    assert sure == pytest.approx(scipy.stats.ttest_1samp([4, 0], 0).confidence_interval(0.9)[0])
    rises = [gaining(0.2, 0.21, 0.19), gaining(-0.01, 0.01, 0.0)]  # in one row of two
    assert budget.surely_gained(rises)[0] > 0.05
    chance = [gaining(0.3, -0.1, 0.1), gaining(-0.2, 0.1, 0.2)]
    assert budget.surely_gained(chance)[0] < 0.05


def test_gains_count_in_points_where_results_have_a_scale():
    results = [{"seeds": [{"curve": [0.0, 0.0, 2.0, 4.0]}], "unit": 10.0}]
    (row,) = budget.gains(results, lambda result: result["unit"])
    assert row.tolist() == [20.0]


def test_curves_of_few_points_have_no_gain():
    def entry(evaluations):
        cells = (SimpleNamespace(config={"evaluations": evaluations}),)
        return budget.of_curves("row", "gain", cells, budget.mean_gain)

    assert entry(3).missing == "fewer than 4 evaluations" and not entry(3).cells
    assert entry(4).missing is None and entry(4).value is budget.mean_gain
