"""Results are carried over a change of code only where all smoke results were equal."""

import json

import pytest

from common.running import cells, equivalence, provenance
from common.running.cells import Cell


def result(number=1.0, code="old", **config):
    config = {"task": "t", "hyper": {"alpha": 1}} | config
    return {
        "config": config,
        "code": {"a.py": code, "b.py": "same"},
        "seeds": [{"last_return": number}],
        "data": {"0": "x"},
    }


def test_equal_numbers_give_the_changed_files_and_the_added_options():
    new = result(code="new", hyper={"alpha": 1, "extra": 0}) | {
        "machine": {"other": 1},
        "seconds": 3,
    }
    found = equivalence.compare({"s": result()}, {"s": new})
    assert found[:2] == ({"a.py": ["old", "new"]}, {"hyper.extra": 0})
    assert found[2] == {
        "smoke_cells": 1,
        "smoke_cells_equal": 1,
        "numbers": 1,
        "agree": 1,
        "to": 0.0,
        "largest_difference": 0.0,
    }


def test_rounding_passes_if_it_was_asked_for_and_nothing_else_does():
    new = {"s": result(1.0001, code="new") | {"data": {"0": "other bytes"}}}
    *_, evidence = equivalence.compare({"s": result()}, new, rounding=1e-3)
    assert evidence["agree"] == 1 and evidence["smoke_cells_equal"] == 0
    assert evidence["largest_difference"] == pytest.approx(1e-4, rel=1e-3)
    with pytest.raises(
        ValueError, match="only 0 of 1 numbers agree to 1e-05; s differs most, by 1.0e-04"
    ):
        equivalence.compare({"s": result()}, new, rounding=1e-5)
    for other in (float("nan"), "1.0", None):
        with pytest.raises(ValueError, match="seeds differs"):
            equivalence.compare({"s": result()}, {"s": result(other)}, rounding=1e-3)


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
        code, _, _ = equivalence.compare({slot: old[slot] for slot in slots}, new)
        assert code == {"x.py": ["1", "2"], "y.py": ["1", "2"]}


@pytest.fixture
def record(tmp_path, monkeypatch):
    path = tmp_path / "equivalences.json"
    path.write_text(
        json.dumps(
            [
                {
                    "code": {"a.py": ["old", "new"], "c.py": ["1", "2"]},
                    "added_config": {"hyper.extra": 0},
                }
            ]
        )
    )
    monkeypatch.setattr(provenance, "EQUIVALENCES", path)
    return path


def test_a_result_is_carried_over_recorded_changes_only(record):
    present = {"task": "t", "hyper": {"alpha": 1, "extra": 0}}
    carried = provenance.carried(result(), present)
    assert carried["code"] == {"a.py": "new", "b.py": "same"} and carried["config"] == present
    assert carried["config_hash"] == provenance.config_hash(present)
    assert provenance.carried(result(code="older"), present)["code"]["a.py"] == "older"
    assert (
        "extra"
        not in provenance.carried(result(), {"task": "t", "hyper": {"alpha": 1}})["config"]["hyper"]
    )


def test_a_file_that_is_new_is_taken_in_where_it_counts(record):
    known = json.loads(record.read_text())
    known[0]["code"] |= {"new.py": [None, "hash"], "other.py": ["of others", "now"]}
    record.write_text(json.dumps(known))
    provenance._equivalences.cache_clear()
    present = {"task": "t", "hyper": {"alpha": 1, "extra": 0}}
    taken = provenance.carried(result(), present, ["a.py", "b.py", "new.py", "other.py"])["code"]
    assert taken["new.py"] == "hash" and taken["other.py"] == "now"
    assert "new.py" not in provenance.carried(result(), present, ["a.py", "b.py"])["code"]
    provenance._equivalences.cache_clear()


def test_a_carried_result_counts_as_done(record, tmp_path, monkeypatch):
    monkeypatch.setenv("OMZ_RESULTS", str(tmp_path / "runs"))
    monkeypatch.setattr(cells, "code_hashes", lambda sources: {"a.py": "new", "b.py": "same"})
    cell = Cell("p", "smoke", "s", {"task": "t", "hyper": {"alpha": 1, "extra": 0}})
    old = result()
    cells.store(
        cell, old | {"config_hash": provenance.config_hash(old["config"]), "recipe": {"0": "r"}}
    )
    assert cells.state(cell, [], lambda c: {"0": "r"}) == "done"
    assert cells.state(cell, [], lambda c: {"0": "other"}) == "stale: data changed"
    changed = Cell("p", "smoke", "s", {"task": "t", "hyper": {"alpha": 1, "extra": 5}})
    assert cells.state(changed, [], lambda c: {}) == "stale: configuration changed (hyper)"
