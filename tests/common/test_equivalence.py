"""Results are carried over a change of code only where all smoke results were equal."""

import json
import subprocess

import pytest

from common.reporting import catalogue, equivalence
from common.running import cells, provenance, sources
from common.running.cells import Cell

FILES = ["papers/p/a.py", "b.py"]


def result(number=1.0, code="old", **config):
    config = {"task": "t", "hyper": {"alpha": 1}} | config
    return {
        "config": config,
        "code": {"papers/p/a.py": code, "b.py": "same"},
        "seeds": [{"last_return": number}],
        "data": {"0": "x"},
    }


def test_equal_numbers_give_the_changed_files_and_the_added_options():
    new = result(code="new", hyper={"alpha": 1, "extra": 0}) | {
        "machine": {"other": 1},
        "seconds": 3,
    }
    record = equivalence.compare({"s": result()}, {"s": new})
    assert record["code"] == {"papers/p/a.py": ["old", "new"]}
    assert record["added_config"] == {"hyper.extra": 0}
    assert record["evidence"] == {"smoke_cells": 1, "numbers": 1}


def test_a_group_that_is_new_is_added_by_its_options(record):
    old = {"s": result(), "t": result()}
    new = {"s": result(own={"a": 1}), "t": result(own={"a": 1, "b": 2})}
    made = equivalence.compare(old, new)
    assert made["added_config"] == {"own.a": 1, "own.b": 2}
    record.write_text(json.dumps([made | {"code": {"papers/p/a.py": ["old", "new"]}}]))
    provenance._equivalences.cache_clear()
    for slot, after in new.items():
        carried = provenance.carried(old[slot], after["config"], FILES)
        assert carried["config"] == after["config"]
    provenance._equivalences.cache_clear()
    new["s"] = result(own={"a": 3})
    with pytest.raises(ValueError, match=r"t: own.a is 1, elsewhere 3"):
        equivalence.compare(old, new)


def test_a_record_names_both_commits(tmp_path, monkeypatch, capsys):
    file = tmp_path / "equivalences.json"
    for module in (provenance, equivalence):
        monkeypatch.setattr(module, "EQUIVALENCES", file)
    monkeypatch.setattr(equivalence, "touched", lambda changed: ["p/a"])
    monkeypatch.setattr(equivalence, "run_smoke", lambda tree, folder, scripts: {"s": result()})
    assert equivalence.main(["HEAD"]) == 0
    (record,) = json.loads(file.read_text())
    assert len(record["from"]) == 40 and record["to"] == provenance.commit()
    assert equivalence.main(["no-such-commit"]) == 2


def test_only_scripts_are_run_whose_numbers_changed_files_decide(monkeypatch, capsys):
    battles = {*equivalence.touched({"envs/smac/core.py"})}
    assert {"cast_bcq/table1", "otc/figure6d"} <= battles < {*catalogue.scripts()}
    assert not {"cast_bcq/figure4", "omar/table3"} & battles
    builds = {*equivalence.touched({"envs/mujoco/data.py"})}
    assert {"cast_bcq/table2", "otc/table1"} <= builds and "omar/table1" not in builds
    of_omar = [name for name in catalogue.scripts() if name.startswith("omar/")]
    assert equivalence.touched({"papers/omar/config.py"}) == of_omar  # it names the methods
    for read in ("envs/tasks.py", "envs/mujoco/policies/hopper/card.json"):
        assert equivalence.touched({read}) == catalogue.scripts()
    harmless = {"README.md", "common/reporting/tables.py", "papers/omar/notes.md"}
    assert equivalence.touched(harmless) == []
    monkeypatch.setattr(equivalence, "changed_since", lambda before: set())
    assert equivalence.main(["HEAD"]) == 0
    assert "nothing that decides a script's numbers has changed" in capsys.readouterr().out


def test_a_tree_runs_the_scripts_it_has(tmp_path, monkeypatch):
    ran = []

    def run(command, **options):
        ran.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(equivalence.subprocess, "run", run)
    (tmp_path / "papers" / "p").mkdir(parents=True)
    assert equivalence.run_smoke(tmp_path, tmp_path, ["p/a", "p/b"]) == {} and not ran
    (tmp_path / "papers" / "p" / "a.py").touch()
    equivalence.run_smoke(tmp_path, tmp_path, ["p/a", "p/b"])
    assert ran[0][-2:] == ["--only", "p/a"] and "p/b" not in ran[0]


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ({"s": result(1.0000001)}, "s: seeds differs"),
        ({"s": result() | {"data": {"0": "y"}}}, "s: data differs"),
        ({"s": result(task="u")}, "task was 't' and is 'u'"),
        ({"s": result() | {"config": {"task": "t"}}}, "hyper is gone"),
        ({}, "s is not there any more"),
    ],
)
def test_any_difference_refuses(new, message):
    with pytest.raises(ValueError, match=message):
        equivalence.compare({"s": result()}, new)


def test_a_measurement_is_not_compared_but_something_must_be():
    timing = {"s/timing": result(timing=True)}
    with pytest.raises(ValueError, match="no cell was compared"):
        equivalence.compare(timing, timing)


def test_cells_of_data_that_are_others_now_are_not_compared():
    other = {"seeds": [{"seed": 0, "x": 3.0}]}
    old = {"s": result() | {"recipe": {"0": "a.old"}}, "t": result() | {"recipe": {"0": "b.old"}}}
    new = {
        "s": result() | {"recipe": {"0": "a.new"}},
        "t": result() | other | {"recipe": {"0": "c.new"}},
    }
    assert equivalence.compare(old, new)["evidence"]["smoke_cells"] == 1
    new["t"]["recipe"] = {"0": "b.new"}
    with pytest.raises(ValueError, match=r"t: seeds differs"):
        equivalence.compare(old, new)


def test_a_file_that_only_some_cells_had_as_a_source_keeps_its_old_hash():
    old = {
        "a": result() | {"code": {"x.py": "1", "y.py": "1"}},
        "b": result() | {"code": {"y.py": "1"}},
    }
    new = {
        "a": result() | {"code": {"x.py": "2", "y.py": "2"}},
        "b": result() | {"code": {"x.py": "2", "y.py": "2"}},
    }
    for slots in (("a", "b"), ("b", "a")):
        record = equivalence.compare({slot: old[slot] for slot in slots}, new)
        assert record["code"] == {"x.py": ["1", "2"], "y.py": ["1", "2"]}


@pytest.fixture
def record(tmp_path, monkeypatch):
    path = tmp_path / "equivalences.json"
    path.write_text(
        json.dumps(
            [
                {
                    "code": {"papers/p/a.py": ["old", "new"], "c.py": ["1", "2"]},
                    "added_config": {"hyper.extra": 0},
                }
            ]
        )
    )
    monkeypatch.setattr(provenance, "EQUIVALENCES", path)
    return path


def test_a_result_is_carried_over_recorded_changes_only(record):
    present = {"task": "t", "hyper": {"alpha": 1, "extra": 0}}
    carried = provenance.carried(result(), present, FILES)
    assert (
        carried["code"] == {"papers/p/a.py": "new", "b.py": "same"} and carried["config"] == present
    )
    assert carried["config_hash"] == provenance.config_hash(present)
    assert (
        provenance.carried(result(code="older"), present, FILES)["code"]["papers/p/a.py"] == "older"
    )
    assert (
        "extra"
        not in provenance.carried(result(), {"task": "t", "hyper": {"alpha": 1}}, FILES)["config"][
            "hyper"
        ]
    )


def test_nothing_leads_away_from_the_present_code(record):
    """A recorded change was taken back: what was made before it is of the present code again."""
    present = {"papers/p/a.py": "old", "b.py": "same"}
    config = {"task": "t", "hyper": {"alpha": 1}}
    assert provenance.carried(result(), config, present)["code"] == present


def test_a_table_of_the_present_code_counts_though_a_change_was_taken_back(record, monkeypatch):
    (there,) = json.loads(record.read_text())
    back = there | {"code": {"papers/p/a.py": ["older", "old"]}, "added_config": {}}
    record.write_text(json.dumps([back, there]))
    provenance._equivalences.cache_clear()
    monkeypatch.setattr(provenance, "code_hashes", lambda roots: {"papers/p/a.py": "old"})
    assert provenance.is_present({"papers/p/a.py": "older", "more.py": "1"}, [])
    assert not provenance.is_present({"papers/p/a.py": "oldest", "more.py": "1"}, [])
    provenance._equivalences.cache_clear()


def test_a_file_that_is_new_is_taken_in_where_it_counts(record):
    known = json.loads(record.read_text())
    known[0]["code"] |= {"new.py": [None, "hash"], "other.py": ["of others", "now"]}
    record.write_text(json.dumps(known))
    provenance._equivalences.cache_clear()
    present = {"task": "t", "hyper": {"alpha": 1, "extra": 0}}
    taken = provenance.carried(result(), present, ["papers/p/a.py", "b.py", "new.py", "other.py"])[
        "code"
    ]
    assert taken["new.py"] == "hash" and taken["other.py"] == "now"
    assert "new.py" not in provenance.carried(result(), present, ["papers/p/a.py", "b.py"])["code"]
    provenance._equivalences.cache_clear()


def test_a_file_that_moved_is_followed_and_one_that_no_longer_counts_is_left_out(record):
    old = {"s": result() | {"code": {"papers/p/a.py": "1", "moved.py": "2", "gone.py": "3"}}}
    new = {"s": result() | {"code": {"papers/p/a.py": "1", "wing/moved.py": "4"}}}
    made = equivalence.compare(old, new)
    assert made["code"] == {
        "gone.py": ["3", None],
        "moved.py": ["2", None],
        "wing/moved.py": [None, "4"],
    }
    record.write_text(json.dumps([made]))
    provenance._equivalences.cache_clear()
    after = new["s"]["code"]
    carried = provenance.carried(old["s"], old["s"]["config"], after)
    assert carried["code"] == after
    provenance._equivalences.cache_clear()


def test_a_file_that_counts_for_more_cells_than_before_is_taken_in_though_it_is_the_same(record):
    both = {"papers/p/a.py": "1", "b.py": "1"}
    old = {"s": result() | {"code": both}, "t": result() | {"code": {"papers/p/a.py": "1"}}}
    new = {"s": result() | {"code": both}, "t": result() | {"code": both}}
    made = equivalence.compare(old, new)
    assert made["code"] == {"b.py": ["1", "1"]}


def test_data_of_other_code_are_carried_by_task(record):
    old = {"s": result(task="world") | {"recipe": {"0": "facts"}}}
    new = {"s": result(task="world") | {"recipe": {"0": "facts.new"}}}
    made = equivalence.compare(old, new)
    assert made["data_code"] == {"world": ["", "new"]}
    record.write_text(json.dumps([made]))
    provenance._equivalences.cache_clear()
    assert provenance.carried_data("world", "") == "new"
    assert provenance.carried_data("ant", "") == ""
    carried = provenance.carried(old["s"], old["s"]["config"], FILES)
    assert carried["recipe"] == {"0": "facts.new"}
    provenance._equivalences.cache_clear()


def test_numbers_know_whether_the_present_code_made_them():
    now = sources.code_hashes(["common.learning.losses"])
    assert provenance.is_present(now, ["common.learning.losses"])
    assert not provenance.is_present(dict.fromkeys(now, "x"), ["common.learning.losses"])


def test_the_commit_is_noted_and_unknown_outside_of_git(tmp_path, monkeypatch):
    provenance.commit.cache_clear()
    assert provenance.commit()
    provenance.commit.cache_clear()
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    assert provenance.commit() is None
    provenance.commit.cache_clear()


def test_a_carried_result_counts_as_done(record, tmp_path, monkeypatch):
    monkeypatch.setenv("OMZ_RESULTS", str(tmp_path / "runs"))
    monkeypatch.setattr(
        cells, "code_hashes", lambda sources: {"papers/p/a.py": "new", "b.py": "same"}
    )
    cell = Cell("p", "smoke", "s", {"task": "t", "hyper": {"alpha": 1, "extra": 0}})
    old = result()
    cells.store(
        cell, old | {"config_hash": provenance.config_hash(old["config"]), "recipe": {"0": "r"}}
    )
    assert cells.state(cell, [], lambda c: {"0": "r"}) == "done"
    assert cells.state(cell, [], lambda c: {"0": "other"}) == "stale: data changed"
    changed = Cell("p", "smoke", "s", {"task": "t", "hyper": {"alpha": 1, "extra": 5}})
    assert cells.state(changed, [], lambda c: {}) == "stale: configuration changed (hyper)"
