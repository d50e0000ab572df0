"""What CONTRIBUTING.md says, done: a fifth paper, a method in OMAR's Table 3, and data of one's own,
each in a copy of the tree.
"""

import os
import shutil
import subprocess
import sys

import h5py
import pytest

from common.running.provenance import ROOT
from envs import datasets

LEFT_OUT = (".git", ".venv", "runs", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache")
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
    assert "1 contradicted" in (tree / "papers" / "cloning" / "README.md").read_text()
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
    python(tree, "-c", ONE_CELL + "assert work.run([cell('ma_td3bc')], jobs=1, device='cpu') == []")
    (tree / "papers" / "omar" / "cloning.py").write_text(METHOD.lstrip())
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
    assert "omar/table3" in suite(tree, "--list", "--preset", "smoke", "--only", "omar/table3")


OWN_DATA = """
from common.running import work
from common.running.cells import Layer
from papers.otc import experiment
from papers.otc.config import Options
from dataclasses import asdict

options = asdict(Options()) | {"seeds": [0]}
built = experiment.cell("smoke", "hopper", "medium", "bcq", "d_e", options)
cell = built.under(["own data"], Layer("command line", {"data_size": "d4rl"}))
assert work.run([cell], jobs=1, device="cpu") == []
print(experiment.PAPER.state(cell))
"""


def test_data_in_d4rls_layout_take_the_place_of_ours(tree, tmp_path, monkeypatch):
    datasets.build("hopper", "medium", [0], "smoke", say=lambda line: None)
    ours = datasets.load(datasets.data_path("hopper", "medium", 0, "smoke"))["arrays"]
    with h5py.File(tmp_path / "hopper_medium-v2.hdf5", "w") as file:
        for key, rows in ours.items():
            file[key] = rows
    monkeypatch.setenv("OMZ_DATA", str(tmp_path / "data"))
    source = f"d4rl:{tmp_path}"
    python(tree, "-m", "envs.datasets", "import", "hopper", "medium", "--source", source)
    assert python(tree, "-c", OWN_DATA).strip() == "done"
