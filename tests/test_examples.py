"""The examples do what they show."""

import pytest

from common.running import cells, work
from envs import datasets
from examples import battles, own_data, own_method
from papers.omar.config import METHODS
from papers.otc.table1_scores import TABLE


def test_a_method_of_ones_own_beside_table_3(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OMZ_RESULTS", str(tmp_path))
    monkeypatch.setitem(METHODS, "own", None)  # taken out again afterwards
    assert own_method.main("smoke") == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in rows if row[0] in METHODS] == ["own", "ma_td3bc"]
    cell = own_method.make_cell("smoke", "cooperative_navigation", "expert", "own")
    assert work.paper("omar").state(cell) == "done"
    assert "examples/own_method.py" in cells.read(cell)["code"]


def test_data_of_ones_own_in_otcs_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OMZ_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("OMZ_DATA", str(tmp_path / "data"))
    datasets.recipe.cache_clear()
    with pytest.raises(SystemExit) as stop:
        own_data.main(str(tmp_path), "smoke", steps=2000)
    datasets.recipe.cache_clear()
    assert stop.value.code == 0
    assert "medium/hopper" in capsys.readouterr().out
    options = {"seeds": [0], "changes": {"data_size": "d4rl"}}
    (entry, *_) = (one for one in TABLE.entries_at("smoke", options) if not one.missing)
    constants = cells.read(entry.cells[0])["constants"]
    assert constants == {"expert": 3234.3, "random": -20.272305, "from": "d4rl"}


def test_a_battle_through_pettingzoo(capsys):
    battles.main(episodes=1)
    assert capsys.readouterr().out.startswith("battle 0: return ")
