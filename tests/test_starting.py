"""README's commands as typed: `python papers/omar/table3.py` with a Python that has no packages."""

import os
import subprocess
import sys
import venv

import pytest

from common.reporting import catalogue
from common.running.provenance import ROOT

SCRIPTS = [f"papers/{name}.py" for name in catalogue.scripts()]


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A Python without any package."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False, symlinks=True)
    return folder / "bin" / "python"


def start(python, *words, cwd=ROOT, **variables) -> subprocess.CompletedProcess:
    """A command of a shell in which nothing of this project is set."""
    kept = {key: os.environ[key] for key in ("PATH", "HOME")}
    command = [str(python), *words]
    return subprocess.run(command, cwd=cwd, env=kept | variables, capture_output=True, text=True)


@pytest.mark.parametrize("script", [*SCRIPTS, "papers/moma_ppo/calibrate.py"])
def test_without_packages_one_line_says_which_command_makes_them(script, bare, tmp_path):
    done = start(bare, script, "with", "smoke", "seeds=[0]", OMZ_VENV=str(tmp_path / "none"))
    assert done.returncode == 2 and not done.stdout
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.endswith(f" ./run_all.sh {script} with smoke 'seeds=[0]'\n")


def test_the_named_command_is_one_from_where_it_was_typed(bare, tmp_path):
    folder = ROOT / "papers" / "omar"
    done = start(bare, "table3.py", cwd=folder, OMZ_VENV=str(tmp_path / "none"))
    assert done.stderr.endswith(": ../../run_all.sh table3.py\n")


@pytest.mark.parametrize("paper", catalogue.papers())
def test_the_environment_is_found(paper, bare, tmp_path):
    script = f"papers/{paper}/table1.py"
    words = (ROOT / script, "--help")
    done = start(bare, *words, cwd=tmp_path, OMZ_VENV=sys.prefix, OMZ_RESULTS=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "Presets: with smoke" in done.stdout and not done.stderr


def test_scripts_find_their_folder_again_in_workers(bare, tmp_path):
    words = ("papers/omar/table1.py", "with", "smoke", "jobs=2")
    places = {"OMZ_RESULTS": str(tmp_path / "r"), "OMZ_DATA": str(tmp_path / "d")}
    done = start(bare, *words, OMZ_VENV=sys.prefix, **places)
    assert done.returncode == 0, done.stderr
    assert "omar/table1: " in done.stdout
