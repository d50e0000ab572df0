"""Kill -9 at random moments, in every paper: one clean run afterwards writes the bytes of an
undisturbed one.
"""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from common.running.provenance import ROOT

TABLES = ("omar/table4", "cast_bcq/ablation_ambiguities", "moma_ppo/table3", "otc/figure4")
KILLS, JOBS = 3, 2


def start(table, results):
    """The script of a table at smoke, writing a checkpoint after every update."""
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "OMZ_RESULTS": str(results),
        "OMZ_CHECKPOINT_SECONDS": "0",
        "OMP_NUM_THREADS": "1",
    }
    words = [
        sys.executable,
        "-W",
        "ignore",
        ROOT / "papers" / f"{table}.py",
        "with",
        "smoke",
        f"jobs={JOBS}",
    ]
    return subprocess.Popen(
        words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def tables_of(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("smoke/*/*.csv"))}


@pytest.mark.parametrize("table", TABLES)
def test_killed_again_and_again_then_run_once_gives_the_same_bytes(table, tmp_path):
    began = time.monotonic()
    undisturbed = start(table, tmp_path / "undisturbed")
    _, error = undisturbed.communicate(timeout=300)
    assert undisturbed.returncode == 0, error
    took, moments, states = time.monotonic() - began, random.Random(table), []
    for _ in range(KILLS):
        process = start(table, tmp_path / "killed")
        time.sleep(moments.uniform(0.3, 0.95) * took)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        states.append(
            len(list((tmp_path / "killed").glob("smoke/*/c*/*")))
        )  # cells and checkpoints
    last = start(table, tmp_path / "killed")
    _, error = last.communicate(timeout=300)
    assert last.returncode == 0, error
    assert any(states), "every kill came before anything was written: this test tested nothing"
    expected = tables_of(tmp_path / "undisturbed")
    assert tables_of(tmp_path / "killed") == expected and len(expected) >= 2
    assert not list((tmp_path / "killed").glob("smoke/*/checkpoints/*"))
    assert not list((tmp_path / "killed").rglob("*.part"))
