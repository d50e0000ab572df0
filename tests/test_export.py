"""Exports hold the numbers of the tables, in the shape that marl-eval and TensorBoard read."""

import importlib.util
import json
import math

import pytest

from common import suite
from common.reporting import export, writer
from common.reporting.tables import REFERENCE

TABLE = suite.find("omar/table3")[0]


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A results folder without runs: what is exported comes from the committed reference."""
    monkeypatch.setenv("OMZ_RESULTS", str(tmp_path))
    return tmp_path


def test_marl_eval_gets_every_seed_with_its_curve(results, capsys):
    assert suite.main(["export", "--only", "omar/table3"]) == 0
    path = results / "quick/export/marl-eval/omar_table3.json"
    assert capsys.readouterr().out.strip() == str(path)
    tasks = json.loads(path.read_text())["omar/table3"]
    known = writer.read_seeds(REFERENCE / "quick/omar/table3.seeds.csv")
    assert {(task, method) for task, methods in tasks.items() for method in methods} == set(known)
    for (task, method), seeds in known.items():
        runs = tasks[task][method]
        assert {name: run["absolute_metrics"]["score"] for name, run in runs.items()} == {
            f"seed_{seed}": [value] for seed, value in seeds.items()
        }
        for run in (
            runs.values()
        ):  # marl-eval: step_0, step_1, ... with a step_count and a list per metric
            steps = [run[f"step_{index}"] for index in range(len(run) - 1)]
            counts = [step["step_count"] for step in steps]
            assert (
                len(steps) > 1
                and counts == sorted(counts)
                and all(isinstance(count, int) for count in counts)
            )
            assert all(math.isfinite(value) for step in steps for value in step["score"])


def test_a_diverged_seed_has_no_last_score(monkeypatch):
    found = {
        ("a", "m", 0): export.Curve([(1, 2.0)], None),
        ("a", "m", 1): export.Curve([], 3.0),
    }
    monkeypatch.setattr(export, "runs_of", lambda table, preset: found)
    runs = export.marl_eval(TABLE, "quick")["omar/table3"]["a"]["m"]
    assert runs == {
        "seed_0": {"step_0": {"step_count": 1, "score": [2.0]}},
        "seed_1": {
            "step_0": {"step_count": 0, "score": [3.0]},
            "absolute_metrics": {"score": [3.0]},
        },
    }


def test_where_scores_are_means_by_data_set_curves_are_too(results):
    runs = export.runs_of(TABLE, "standard")
    curves = writer.read_curves(REFERENCE / "standard/omar/table3.curves.csv")
    scores = writer.read_seeds(REFERENCE / "standard/omar/table3.seeds.csv")
    name = "random/world", "omar"
    assert len(curves[name]) == 2 * len(scores[name])
    for seed, last in scores[name].items():
        one, other = (dict(curves[name][run]) for run in (seed, seed + len(scores[name])))
        points = dict(runs[*name, seed].points)
        assert points == pytest.approx({count: (one[count] + other[count]) / 2 for count in one})
        assert runs[*name, seed].last == last
    assert {run[2] for run in runs if run[:2] == name} == {*scores[name]}


def test_a_number_of_some_runs_only_is_exported_with_their_curves(results):
    runs = export.runs_of(suite.find("cast_bcq/figure1")[0], "standard")
    scores = writer.read_seeds(REFERENCE / "standard/cast_bcq/figure1.seeds.csv")
    name = "success, goal in data", "i_bcq"
    there = {run[2]: curve for run, curve in runs.items() if run[:2] == name}
    assert {seed: curve.last for seed, curve in there.items()} == scores[name]
    assert all(curve.points for curve in there.values())


def test_tensorboard_gets_the_same_numbers(results):
    pytest.importorskip(
        "tensorboard", reason="tensorboard is not installed; pip install -e .[export]"
    )
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert suite.main(["export", "--to", "tensorboard", "--only", "omar/table6"]) == 0
    for (row, column, seed), (points, last) in export.runs_of(
        suite.find("omar/table6")[0], "quick"
    ).items():
        events = EventAccumulator(
            str(results / f"quick/export/tensorboard/omar/table6/{row}/{column}/seed_{seed}")
        ).Reload()
        assert [
            (event.step, pytest.approx(event.value)) for event in events.Scalars("score")
        ] == points
        assert events.Scalars("last_score")[0].value == pytest.approx(last)


def test_bad_formats_and_missing_packages_are_one_sentence(results, capsys, monkeypatch):
    assert suite.main(["export", "--to", "wandb"]) == 2
    assert "expected 'marl-eval' or 'tensorboard'" in capsys.readouterr().err
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert suite.main(["export", "--to", "tensorboard"]) == 2
    assert "pip install tensorboard" in capsys.readouterr().err
    assert suite.main(["export", "--preset", "smoke", "--only", "omar/table3"]) == 0
    assert "nothing has been run at preset smoke" in capsys.readouterr().out
