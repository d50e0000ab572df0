"""Ours beside the released data sets: what is near, and that every deviation has its reason."""

import pytest

from common.running import sources
from envs import released
from envs.datasets import checks, comparison
from envs.datasets.comparison import CARD, Figures, Ours
from envs.datasets.keys import family
from envs.tasks import TASKS


def navigation(quality="medium", size="quick", **figures):
    return Ours("cooperative_navigation", quality, size, (0,), Figures(**figures))


def test_every_deviation_on_the_cards_has_a_reason_and_every_reason_a_deviation():
    assert comparison.unexplained(comparison.chosen([], [])) == []


def test_reasons_are_about_released_data_sets_and_say_something():
    for (task, quality, word), reason in comparison.reasons().items():
        assert comparison.released(task, quality), (task, quality)
        assert word in ("level", "spread", "length", "rows") and len(reason) > 10


@pytest.mark.parametrize(
    ("figures", "off"),
    [
        ({"return_mean": 273.4, "return_sd": 92.0, "length": 25.0}, []),
        ({"return_mean": 273.4 + 36.0, "return_sd": 92.0}, ["level"]),  # 10 % of 357 are 35.7
        ({"return_mean": 273.4, "return_sd": 45.0}, ["spread"]),
        ({"return_mean": 273.4, "return_sd": 185.0}, ["spread"]),
        ({"length": 16.0}, ["length"]),
        ({"rows": 10.0}, []),  # no replay data
        ({}, []),
    ],
)
def test_near_is_what_the_rule_says(figures, off, monkeypatch):
    module = family("cooperative_navigation")
    monkeypatch.setattr(module, "constants", lambda task: (600.0, 160.0))
    assert comparison.off(navigation(**figures)) == off


def test_a_level_is_near_by_both_scales_or_not_at_all(monkeypatch):
    module = family("cooperative_navigation")
    monkeypatch.setattr(module, "constants", lambda task: (260.0, 160.0))
    assert comparison.off(navigation(return_mean=273.4 + 11)) == ["level"]  # 3 and 11 points
    assert comparison.level("cooperative_navigation", 516.8) == 100


@pytest.mark.parametrize(
    ("size", "rows", "off"),
    [
        ("paper", 97_600, []),
        ("paper", 90_000, ["rows"]),
        ("quick", 90_000, []),
        ("quick", 220_000, ["rows"]),
        ("smoke", 4_000, []),
    ],
)
def test_replay_data_have_the_released_rows(size, rows, off):
    assert comparison.off(navigation("medium-replay", size, rows=rows)) == off


def test_seeds_are_pooled_as_one_sample():
    stats = {"episodes": 2.0, "length": 25.0, "steps": 50.0, "saturated": 0.5, "terminated": 0.0}
    seeds = {
        0: stats | {"return_mean": 1.0, "return_sd": 1.0},  # 0, 2
        1: stats | {"return_mean": 5.0, "return_sd": 1.0},  # 4, 6
    }
    figures = comparison.built("world", "medium", "quick", seeds).figures
    assert figures.return_mean == 3 and figures.return_sd == pytest.approx(5**0.5)
    assert figures.rows == 50


@pytest.fixture
def written(monkeypatch, tmp_path):
    """A function that replaces the reasons."""

    def write(*rows):
        path = tmp_path / "deviations.csv"
        path.write_text("\n".join(["task,quality,off,reason", *rows, ""]))
        monkeypatch.setattr(comparison, "REASONS", path)

    return write


def test_what_is_off_needs_a_reason_and_what_is_near_again_needs_none(written):
    far = navigation(return_mean=100.0, return_sd=92.0)
    written()
    (sentence,) = comparison.unexplained([far])
    assert "is off in level without a reason" in sentence
    assert "`cooperative_navigation,medium,level,REASON`" in sentence
    written("cooperative_navigation,medium,level,a weaker team", "world,medium,level,not seen")
    assert comparison.unexplained([far]) == []
    (sentence,) = comparison.unexplained([navigation(return_mean=273.0)])
    assert "cooperative_navigation medium is near in level; take its row out" in sentence
    written("cooperative_navigation,medium,level,")
    assert len(comparison.unexplained([far])) == 1


def test_a_reason_at_the_edge_is_neither_needed_nor_too_much(written, monkeypatch):
    module = family("cooperative_navigation")
    monkeypatch.setattr(module, "constants", lambda task: (516.8, 159.8))
    edge = navigation(return_mean=273.4 - 0.09 * 357)
    for rows in ([], ["cooperative_navigation,medium,level,a weaker team"]):
        written(*rows)
        assert comparison.unexplained([edge]) == []


def test_the_table_has_a_line_for_every_released_data_set_without_any_file():
    shown = comparison.chosen([], [])
    kinds = {(ours.task, ours.quality) for ours in shown}
    twins = {
        (task, quality)
        for task in TASKS
        for quality in family(task).qualities(task)
        if comparison.released(task, quality)
    }
    assert twins <= kinds and all(ours.size == CARD for ours in shown)
    lines = {tuple(checks.row_of(ours)[:3]): checks.row_of(ours) for ours in shown}
    assert "273.4 +- 92.1" in lines["cooperative_navigation", "medium", CARD]
    assert not any(
        "+- None" in cell or cell.endswith("+- ") for row in lines.values() for cell in row
    )


@pytest.mark.parametrize("name", ["particle", "mujoco"])
def test_every_released_figure_has_a_source_and_a_task(name):
    path = sources.ROOT / "envs" / name / "released.csv"
    for (task, quality), row in released.table(path).items():
        assert row["source"] and any(row[figure] is not None for figure in released.FIGURES)
        known = (*family(task).qualities(task), *released.CONSTANTS)
        assert quality in known, (task, quality)
        assert family(task).released(task, quality) == row
