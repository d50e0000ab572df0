"""Every benchmark runs in its smallest form. What it measures is looked at by people."""

import importlib
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from common.running.provenance import ROOT

VIEW = ("reacher", "leader_only", 11)


def benchmark(name):
    return importlib.import_module(f"benchmarks.{name}")


def once(update, *further):
    """In place of a measurement."""
    update()
    return 1.0


def anchors(patch):
    script = benchmark("anchors")
    patch.setattr(script, "EPISODES", 2)
    words = ["anchors.py", "--size", "smoke", "--updates", "2", "--robots", "hopper"]
    patch.setattr(sys, "argv", words)
    script.main()


def attention(patch):
    script = benchmark("attention")
    for name, least in {
        "TEAMS": 1,
        "TRANSITIONS": 20,
        "TURNS": 1,
        "SIZES": (32,),
        "VIEWS": (VIEW,),
    }.items():
        patch.setattr(script, name, least)
    patch.setitem(script.MODELS, "reacher", replace(script.MODELS["reacher"], hidden=16))
    patch.setattr(script.attention, "native", script.attention.native)
    script.main()


def battle_power(patch):
    script = benchmark("battle_power")
    patch.setattr(script, "METHODS", ("i_bcq",))
    script.main()


def cast_bcq(patch):
    script = benchmark("cast_bcq")
    patch.setattr(script, "LEAST", 1e-3)
    patch.setattr(script, "COMPARED", ("smoke",))
    patch.setattr(script, "DATA_SIZE", "smoke")
    patch.setattr(script, "MAPS", ("3s_vs_3z",))
    patch.setattr(script, "BATTLE_METHODS", ())
    for words in (["cast_bcq.py"], ["cast_bcq.py", "battles"]):
        patch.setattr(sys, "argv", words)
        script.main()


def gpu(patch):
    script = benchmark("gpu")
    least = {"UPDATES": 2, "SECONDS": 0.0, "MEMBERS": (2,), "PRESET": "smoke"}
    for name, value in (least | {"DATA_SIZE": "smoke"}).items():
        patch.setattr(script, name, value)
    with tempfile.TemporaryDirectory() as folder:
        words = ["gpu.py", "--device", "cpu", "--out", f"{folder}/gpu.json", "--only"]
        for only in ("omar/ma_cql", "grid/ours", "hours"):
            patch.setattr(sys, "argv", [*words, only])
            assert script.main() == 0
        kept = json.loads(Path(f"{folder}/gpu.json").read_text())["cpu"]
        steps = ("agreement/omar/ma_cql", "rate/omar/ma_cql/2", "hours")
        assert set(steps) < set(kept)
        assert kept["agreement/omar/ma_cql"]["apart"] == [0.0, 0.0]
        assert script.main() == 0  # nothing is left


def icq_temperature(patch):
    script = benchmark("icq_temperature")
    for name, least in {"MAPS": ("3m",), "PRESET": "smoke", "UPDATES": 1, "MINIBATCHES": 1}.items():
        patch.setattr(script, name, least)
    script.main()


def icq_weights(patch):
    script = benchmark("icq_weights")
    patch.setattr(script, "ROBOTS", ("hopper",))
    patch.setattr(script, "PRESET", "smoke")
    patch.setattr(script, "SHORT", {"data_size": "smoke"})
    script.main()


def tipping(patch):
    script = benchmark("tipping")
    least = {"PRESET": "smoke", "EPISODES": 1, "STEPS": 10, "START": 4, "WINDOW": 3}
    for name, value in least.items():
        patch.setattr(script, name, value)
    script.main()


def moma_ppo_costs(patch):
    script = benchmark("moma_ppo_costs")
    least = {"PRESET": "smoke", "SEEDS": [0], "SIZES": ((16, 16, 8),), "MODELS": ((16, 1),)}
    for name, value in (least | {"UPDATES": 1}).items():
        patch.setattr(script, name, value)
    script.main()


def inference(patch):
    script = benchmark("inference")
    least = {"DATA_SIZE": "smoke", "UPDATES": {16: 1}, "STARTS": 4, "STEPS": 2, "TURNS": 1}
    for name, value in least.items():
        patch.setattr(script, name, value)
    script.main()


def moma_ppo(patch):
    script = benchmark("moma_ppo")
    for name, least in {"TEAMS": 1, "STARTS": 2, "STEPS": 1, "REPEATS": 1}.items():
        patch.setattr(script, name, least)
    script.main()


def otc(patch):
    script = benchmark("otc")
    patch.setattr(script, "milliseconds", once)
    patch.setattr(script, "STEPS", 600)
    patch.setattr(sys, "argv", ["otc.py", "--rows", "600"])
    script.main()


def population(patch):
    script = benchmark("population")
    patch.setattr(script, "seconds", once)
    patch.setattr(sys, "argv", ["population.py", "--rows", "2000"])
    script.main()


def random_numbers(patch):
    script = benchmark("random_numbers")
    patch.setattr(script, "TURNS", 1)
    patch.setattr(script, "ROUNDS", {"smoke": (1, 8, 100)})
    patch.setattr(sys, "argv", ["random_numbers.py", "--before", str(ROOT)])
    script.main()


def simulators(patch):
    script = benchmark("simulators")
    patch.setattr(script, "LEAST", 1e-3)
    patch.setattr(script, "EPISODES", 1)
    patch.setattr(sys, "argv", ["simulators.py"])
    script.main()


SCRIPTS = (
    *(anchors, attention, battle_power, cast_bcq, gpu, icq_temperature, icq_weights),
    *(inference, moma_ppo, moma_ppo_costs),
    *(otc, population, random_numbers, simulators, tipping),
)


@pytest.mark.parametrize("run", SCRIPTS, ids=lambda run: run.__name__)
def test_a_benchmark_runs(run, monkeypatch, capsys):
    run(monkeypatch)
    assert capsys.readouterr().out.count("\n") > 1


def test_every_benchmark_is_run():
    there = {path.stem for path in (ROOT / "benchmarks").glob("*.py")}
    assert there == {run.__name__ for run in SCRIPTS}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_its_benchmark_says_so_in_a_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    assert benchmark("gpu").main() == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "finds no GPU" in error
