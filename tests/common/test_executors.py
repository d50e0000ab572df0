"""Ray and submitit give what the local run gives; a lost node loses nothing; what is missing is
said.
"""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from common import suite
from common.running import executors, work
from common.running.provenance import ROOT
from papers.moma_ppo import models, table4a
from papers.omar import table4

CELLS = table4.TABLE.cells("smoke")

KILLING = """
import sys, threading, time
import ray
from ray.cluster_utils import Cluster
from common.running import executors
from papers.omar import table4


cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
extra = cluster.add_node(num_cpus=1)
variables = {"OMP_NUM_THREADS": "1"}
ray.init(address=cluster.address, runtime_env={"env_vars": variables}, log_to_driver=False)


def kill():
    time.sleep(float(sys.argv[1]))
    cluster.remove_node(extra)


threading.Thread(target=kill, daemon=True).start()
failures = executors.run(table4.TABLE.cells("smoke"), "ray", 2, "cpu")
assert not failures, failures
"""


def scores(folder) -> dict:
    return {
        path.name: json.loads(path.read_text())["seeds"]
        for path in sorted(folder.glob("smoke/omar/cells/*.json"))
    }


def environment(results) -> dict:
    """Of a command whose results go there; Slurm is submitit's own processes unless the environment
    says otherwise.
    """
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    own = {"OMZ_RESULTS": str(results), "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    return {"OMZ_SLURM": "cluster=local"} | os.environ | own


def run(arguments, results):
    words = [sys.executable, *arguments]
    return subprocess.run(
        words, env=environment(results), capture_output=True, text=True, timeout=400
    )


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """Table 4's smoke results of a plain run."""
    results = tmp_path_factory.mktemp("local")
    done = run(
        ["-m", "common.suite", "--preset", "smoke", "--only", "omar/table4", "--jobs", "1"], results
    )
    assert done.returncode == 0, done.stderr
    return scores(results)


def slurm_answers() -> bool:
    """Whether there is a real Slurm here with a node that is up."""
    if shutil.which("sbatch") is None:
        return False
    found = subprocess.run(["sinfo", "-h", "-o", "%t"], capture_output=True, text=True)
    return found.returncode == 0 and bool({"idle", "mix", "alloc"} & {*found.stdout.split()})


@pytest.mark.parametrize(
    ("executor", "package"), [("slurm", "submitit"), ("real slurm", "submitit"), ("ray", "ray")]
)
def test_results_do_not_depend_on_who_runs_them(executor, package, expected, tmp_path, monkeypatch):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed; pip install -e .[cluster]")
    if executor == "real slurm":
        if not slurm_answers():
            pytest.skip("no Slurm answers here; benchmarks/slurm.txt is from one that did")
        monkeypatch.setenv("OMZ_SLURM", "cluster=slurm")
        executor = "slurm"
    words = [
        "-m",
        "common.suite",
        "--preset",
        "smoke",
        "--only",
        "omar/table4",
        "--jobs",
        "2",
        "--executor",
        executor,
    ]
    done = run(words, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert scores(tmp_path) == expected
    assert (tmp_path / "smoke" / "omar" / "table4.csv").exists()


def test_a_ray_node_that_dies_loses_nothing(expected, tmp_path):
    pytest.importorskip("ray", reason="ray is not installed; pip install -e .[cluster]")
    (tmp_path / "go.py").write_text(KILLING)
    done = run([tmp_path / "go.py", "6"], tmp_path / "results")
    assert done.returncode == 0, done.stdout + done.stderr
    assert scores(tmp_path / "results") == expected


def test_a_failing_program_is_reported_and_the_others_are_stored(tmp_path):
    pytest.importorskip("submitit", reason="submitit is not installed; pip install -e .[cluster]")
    (tmp_path / "go.py").write_text(
        "from common.running import executors\nfrom papers.omar.experiment import make_cell\n"
        "from dataclasses import replace\n"
        "good = make_cell('smoke', 'cooperative_navigation', 'medium', 'ma_td3bc')\n"
        "bad = make_cell('smoke', 'cooperative_navigation', 'medium', 'ma_icq')\n"
        "bad = replace(bad, config=bad.config | {'quality': 'nowhere'})\n"
        "failures = executors.run([bad, good], 'slurm', 2, 'cpu')\n"
        "assert len(failures) == 1 and 'ma_icq' in failures[0] and 'nowhere' in failures[0], "
        "failures\n"
    )
    done = run([tmp_path / "go.py"], tmp_path / "results")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(scores(tmp_path / "results")) == 1


def test_an_unknown_executor_and_a_missing_package_are_one_sentence(capsys, monkeypatch):
    assert suite.main(["--executor", "dask", "--dry-run"]) == 2
    assert "expected 'local', 'ray' or 'slurm'" in capsys.readouterr().err
    monkeypatch.setenv("OMZ_SLURM", "partition")
    with pytest.raises(ValueError, match="OMZ_SLURM is 'partition', expected key=value"):
        next(executors.on_slurm([], None, "cpu"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="needs the package ray: pip install ray"):
        executors.available("ray")


def test_a_world_model_is_no_task_beside_one_that_learns_in_it(monkeypatch):
    submitted = []
    monkeypatch.setattr(executors, "available", lambda executor: None)
    monkeypatch.setattr(work, "exclusively", lambda cells, go: go(cells))
    monkeypatch.setattr(
        executors, "on_slurm", lambda tasks, *_: iter(submitted.append(tasks) or ())
    )
    learning = table4a.TABLE.cells("smoke")
    for cells in (work.with_needed(learning), learning, [models.model_of(learning[-1])]):
        executors.run(cells, "slurm", 1, "cpu")
    both, alone, model = ([cell for task in tasks for cell in task.group] for tasks in submitted)
    assert both == alone == learning
    assert [cell.config["method"] for cell in model] == ["world_model"]


def test_sigterm_ends_what_was_submitted(tmp_path):
    """Exit code 143; no submitted process is left, and the same command goes on."""
    pytest.importorskip("submitit", reason="submitit is not installed; pip install -e .[cluster]")
    words = [
        sys.executable,
        "-m",
        "common.suite",
        "--preset",
        "smoke",
        "--only",
        "omar/table4",
        "--executor",
        "slurm",
    ]
    process = subprocess.Popen(
        words, env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for line in process.stdout:
        if line.startswith("1 of "):
            break
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 143 and "the same command continues" in error
    assert 1 <= len(scores(tmp_path)) < len(CELLS)  # what had ended is stored
    for _ in range(100):  # a submitted process ends when it notices
        left = [
            path
            for path in Path("/proc").glob("[0-9]*/cmdline")
            if str(tmp_path).encode() in content(path)
        ]
        if not left:
            break
        time.sleep(0.3)
    assert not left
    assert run(words[1:], tmp_path).returncode == 0
    assert len(scores(tmp_path)) == len(CELLS)


def content(path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it ended meanwhile
        return b""
