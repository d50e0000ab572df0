"""Scales between presets: the ends are the presets, what lies between trains, hours are kept."""

import pytest

from common import scale, suite
from papers.cast_bcq.experiment import BATTLE_OPTIONS, PAPER, battle_cell, grid_cell
from papers.omar import table3
from papers.omar.experiment import PAPER as OMAR

SCRIPTS = suite.find("*")


@pytest.mark.parametrize("table", SCRIPTS, ids=lambda t: t.slot)
def test_the_ends_of_the_scale_are_the_presets(table):
    for preset, same in (("scale-0.00", "quick"), ("scale-1.00", "paper")):
        for cell, other in zip(table.cells(preset), table.cells(same), strict=True):
            assert cell.config == other.config or cell.config.get("timing"), cell.slot


def test_numbers_lie_between_and_the_rest_is_chosen():
    quick = {"a": 10, "lr": 1e-2, "hidden": 32, "data_size": "quick", "seeds": [0, 1], "x": None, "on": True, "deep": {"b": 1}}
    paper = {"a": 1000, "lr": 1e-4, "hidden": 512, "data_size": "paper", "seeds": list(range(8)), "x": 3, "on": False}
    paper["deep"] = {"b": 9}
    found = scale.mixed(quick, paper, 0.5)
    assert found == {
        "a": 100, "lr": 1e-3, "hidden": 128, "data_size": "paper", "seeds": [0, 1, 2, 3], "x": 3, "on": False, "deep": {"b": 3},
    }  # fmt: skip
    assert scale.mixed(quick, paper, 0.4)["data_size"] == "quick"


def test_every_presets_name_says_what_it_is():
    assert scale.share_of("quick") is None and scale.share_of("scale-0.25") == 0.25
    for name in ("scale-2", "scale-", "scale-x"):
        with pytest.raises(ValueError, match="a number between 0"):
            scale.share_of(name)


@pytest.mark.parametrize("make", [
    lambda preset: battle_cell(preset, "3s_vs_3z", "i_bcq", BATTLE_OPTIONS), lambda preset: grid_cell(preset, "ours", {}),
])  # fmt: skip
def test_what_lies_between_trains(folders, make):
    cell = scale.between(make("smoke"), make("quick"), "scale-0.10")
    PAPER.prepare(cell)
    result = PAPER.train([cell], "cpu", folders / "none.pt", lambda done, total: None)[0]
    assert make("smoke").config["updates"] <= result["config"]["updates"] < make("quick").config["updates"]
    assert all(seed["curve"] for seed in result["seeds"])


def test_hours_choose_the_scale_and_too_few_are_said(capsys):
    def cells_at(preset):
        return table3.TABLE.cells(preset)

    costs = {preset: sum(OMAR.cost(cell) for cell in cells_at(preset)) / 3600 for preset in ("quick", "paper")}
    middle = (costs["quick"] * costs["paper"]) ** 0.5
    preset, hours = scale.fit(cells_at, middle, 1)
    assert preset.startswith("scale-0.") and 0.8 * middle < hours <= middle
    assert scale.fit(cells_at, 10 * costs["paper"], 1)[0] == "paper"
    assert scale.fit(cells_at, middle, 2)[0] > preset  # two processes get further
    assert suite.main(["--hours", "0.0001", "--dry-run", "--only", "omar/table3"]) == 2
    assert "choose fewer with --only" in capsys.readouterr().err
    assert suite.main(["--hours", "1", "--dry-run", "--only", "omar/table3"]) == 0
    assert "preset scale-" in capsys.readouterr().out
