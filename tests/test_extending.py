"""What CONTRIBUTING.md says, done: a fifth paper, a method in OMAR's Table 3 (in copies of the
tree), a method of every paper, and data of one's own.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass

import h5py
import pytest

from common.learning.bcq import BCQ, BCQConfig
from common.reporting import catalogue, script
from common.running import work
from common.running.provenance import ROOT
from envs import datasets
from envs.datasets import commands
from papers.cast_bcq import config as cast
from papers.cast_bcq.experiment import cell as cast_cell
from papers.moma_ppo import config as moma
from papers.moma_ppo.experiment import cell as moma_cell
from papers.moma_ppo.iql import IBC, IQLConfig
from papers.omar import config as omar
from papers.omar.baselines import MATD3BC, MATD3BCConfig
from papers.omar.experiment import cell as omar_cell
from papers.otc import config as otc
from papers.otc.experiment import cell as otc_cell

LEFT_OUT = (".git", ".venv*", "runs", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache")
QUIET = {"PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}


@pytest.fixture
def tree(tmp_path):
    """A copy of the tree, with results of its own."""
    copy = tmp_path / "tree"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*LEFT_OUT))
    return copy


def python(tree, *arguments) -> str:
    """What a command in the copy prints."""
    mine = {"PYTHONPATH": str(tree), "OMZ_RESULTS": str(tree.parent / "results")}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=tree,
        env=os.environ | QUIET | mine,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def run_main(table, *words) -> int:
    with pytest.raises(SystemExit) as stop:
        script.main(table, [f"papers/{table.slot}.py", *words])
    return stop.value.code


def suite(tree, *arguments) -> str:
    return python(tree, "-m", "common.suite", *arguments)


def test_a_fifth_paper_is_a_folder(tree):
    shutil.copytree(ROOT / "tests" / "fifth_paper", tree, dirs_exist_ok=True)
    assert "cloning/table1" in suite(tree, "--list", "--only", "cloning/*")
    printed = suite(tree, "--preset", "quick", "--only", "cloning/*", "--jobs", "1")
    assert "cloning/table1: cloning of good and of bad data" in printed
    assert "2 of 2 cells are done" in suite(tree, "--dry-run", "--only", "cloning/*")
    suite(tree, "report", "--only", "cloning/*")
    report = (tree.parent / "results" / "report.html").read_text()
    assert "Claims of Cloning: 2" in report and "clones of experts are experts" in report
    ledger = suite(tree, "claims").split("\ncloning\n")[1].split("\n\n")[0]
    assert "clones of experts" in ledger and "not run" not in ledger
    suite(tree, "accept", "--only", "cloning/*")
    suite(tree, "readme")
    verdicts = (tree / "papers" / "cloning" / "README.md").read_text()
    assert "**clones of experts are experts** | contradicted |" in verdicts
    assert "[Cloning](papers/cloning/README.md)" in (tree / "README.md").read_text()
    assert "PASSED" in python(tree, "-m", "pytest", "-rA", "tests/papers/test_cloning.py")


METHOD = '''
"""Cloning as a column of Table 3."""

from dataclasses import dataclass

from common.learning.population import mean_over_batch
from common.learning.ranges import Positive
from common.learning.replay import Batch
from papers.omar.omar import Backbone, OnBackbone


@dataclass(frozen=True)
class CloningConfig:
    """A weight, as other losses have one."""

    bc_weight: Positive = 1.0


class Cloning(OnBackbone):
    """Each agent imitates its own actions in the data."""

    def __init__(self, backbone: Backbone, config: CloningConfig):
        super().__init__(backbone)
        self.weight = backbone.per_member(config.bc_weight)

    def update(self, batch: Batch) -> None:
        """One round."""
        action = self.backbone.actors.train_actions(batch.obs, update_running=True)
        loss = mean_over_batch((action - batch.action).square().mean(-1))
        self.backbone.actor_step(self.weight[:, None] * loss, action)
'''
ONE_CELL = """
from common.running import work
from papers.omar import table3

def cell(method):
    entries = table3.TABLE.entries_at("smoke")
    return next(e.cells[0] for e in entries if (e.row, e.column) == ("expert/world", method))

omar = work.paper("omar")
"""


def test_a_method_in_table_3_is_a_class_and_a_line(tree):
    """A finished column stays done; the method's own becomes stale when its file changes."""
    python(tree, "-c", ONE_CELL + "assert work.run([cell('ma_td3bc')], jobs=1, device='cpu') == []")
    file = tree / "papers" / "omar" / "cloning.py"
    file.write_text(METHOD.lstrip())
    config = tree / "papers" / "omar" / "config.py"
    line = 'METHODS["cloning"] = (Cloning, CloningConfig)'
    found = "from papers.omar.cloning import Cloning, CloningConfig"
    config.write_text(f"{config.read_text()}\n{found}\n\n{line}\n")
    python(
        tree,
        "-c",
        ONE_CELL + "assert omar.state(cell('ma_td3bc')) == 'done'\n"
        "assert work.run([cell('cloning')], jobs=1, device='cpu') == []\n"
        "assert omar.state(cell('cloning')) == 'done'",
    )
    file.write_text(file.read_text().replace(".square()", ".abs()"))
    python(
        tree,
        "-c",
        ONE_CELL + "assert omar.state(cell('ma_td3bc')) == 'done'\n"
        "assert omar.state(cell('cloning')) == 'stale: code changed (papers/omar/cloning.py)'",
    )


@dataclass(frozen=True)
class Plain:
    """A method without hyperparameters."""


REGISTRIES = {
    "OMAR": ("omar", omar.METHODS, lambda: omar_cell("smoke", "world", "expert", "plain", {})),
    "CAST-BCQ": (
        "cast_bcq",
        cast.METHODS,
        lambda: cast_cell("smoke", "hopper", "uncoordinated", "plain", {}),
    ),
    "MOMA-PPO": (
        "moma_ppo",
        moma.METHODS,
        lambda: moma_cell("smoke", "ant", "full", "expert", "plain", {}),
    ),
    "OTC": ("otc", otc.BASES, lambda: otc_cell("smoke", "hopper", "medium", "plain", "d_e", {})),
}


@pytest.mark.parametrize("name", REGISTRIES)
def test_a_method_of_ones_own_needs_a_line_in_its_papers_registry_only(name, monkeypatch):
    """Its cell, cost and roots follow; its dataclass may have no fields."""
    paper, registry, make = REGISTRIES[name]
    monkeypatch.setitem(registry, "plain", ("somewhere:Plain", Plain))
    cell = make()
    assert cell.config["hyper"] == {}
    known = work.paper(paper)
    assert known.cost(cell) > 0
    assert "somewhere" in known.roots(cell)
    assert known.program_key(cell)


@pytest.mark.parametrize(
    ("name", "learner", "config"),
    [
        ("OMAR", MATD3BC, MATD3BCConfig),
        ("OMAR", "papers.omar.baselines:MATD3BC", MATD3BCConfig),
        ("CAST-BCQ", BCQ, BCQConfig),
        ("MOMA-PPO", IBC, IQLConfig),
        ("OTC", BCQ, BCQConfig),
        ("OTC", "common.learning.bcq:BCQ", BCQConfig),
    ],
)
def test_a_registry_takes_the_class_or_where_it_is(name, learner, config, monkeypatch, tmp_path):
    paper, registry, make = REGISTRIES[name]
    monkeypatch.setitem(registry, "plain", (learner, config))
    cell = make()
    known = work.paper(paper)
    known.data.prepare(cell)
    (result,) = known.train([cell], "cpu", tmp_path / "plain.pt", lambda done, total: None)
    assert [seed["seed"] for seed in result["seeds"]] == cell.config["seeds"]


@pytest.fixture
def imported(tmp_path, monkeypatch):
    """A data folder with nothing but hopper's medium data, imported from D4RL's layout."""
    datasets.build("hopper", "medium", [0], "smoke", say=lambda line: None)
    ours = datasets.load(datasets.data_path("hopper", "medium", 0, "smoke"))["arrays"]
    with h5py.File(tmp_path / "hopper_medium-v2.hdf5", "w") as file:
        for key, rows in ours.items():
            file[key] = rows
    monkeypatch.setenv("OMZ_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("OMZ_RESULTS", str(tmp_path / "results"))
    datasets.recipe.cache_clear()
    source = f"d4rl:{tmp_path}"
    assert commands.main(["import", "hopper", "medium", "--source", source]) == 0
    yield tmp_path / "results"
    datasets.recipe.cache_clear()


def test_data_in_d4rls_layout_take_the_place_of_ours(imported, capsys):
    """What is there is trained, scored by D4RL's constants; the rest is named."""
    table = catalogue.table("otc/table1_scores")
    options = {"seeds": [0], "changes": {"data_size": "d4rl"}}
    entries = table.entries_at("smoke", options)
    present = [entry for entry in entries if not entry.missing]
    assert {entry.row for entry in present} == {"medium/hopper"}
    words = ["with", "smoke", "data_size=d4rl", "seeds=[0]", "jobs=1"]
    assert run_main(table, *words) == 0
    assert "no d4rl data imported" in capsys.readouterr().out
    for cell in present[0].cells:
        assert work.paper("otc").state(cell) == "done"
        constants = {"expert": 3234.3, "random": -20.272305, "from": "d4rl"}
        assert json.loads(cell.path.read_text())["constants"] == constants


def test_a_table_without_any_imported_data_is_refused(imported, capsys):
    for words in (["data_size=minari"], ["data_size=d4lr"]):
        assert run_main(catalogue.table("otc/table1_scores"), "with", "smoke", *words) == 2
    error = capsys.readouterr().err
    assert "no data of size minari for otc/table1_scores; import one with" in error
    assert "did you mean 'd4rl'?" in error and error.count("\n") == 2
    assert run_main(catalogue.table("omar/table3"), "with", "smoke", "data_size=d4rl") == 2
    assert "expected 'smoke', 'quick', 'standard', 'paper' or 'omar'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "words", "sentence"),
    [
        ("otc/table1_scores", ["data=minari"], "no data of size minari for otc/table1_scores"),
        ("otc/table1_scores", ["data=d4lr"], "did you mean 'd4rl'?"),
        ("otc/table1_scores", ["data=d4rl", "data_size=d4rl"], "name one of them"),
        ("omar/table3", ["data=released"], "no data of size omar for omar/table3"),
        ("omar/table3", ["data=d4rl"], "data is 'd4rl', expected 'released'"),
        ("cast_bcq/table1", ["data=d4rl"], "none can be imported for this script"),
    ],
)
def test_data_that_are_not_there_are_refused_in_a_line(imported, capsys, name, words, sentence):
    assert run_main(catalogue.table(name), "with", "smoke", *words) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1
