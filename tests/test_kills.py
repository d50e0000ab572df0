"""Kill -9 at random moments, in every paper: one clean run afterwards writes the bytes of an
undisturbed one.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from common.running.provenance import ROOT

TABLES = (  # small ones of every paper, with more than one program
    *("omar/table2", "cast_bcq/ablation_ambiguities"),
    *("moma_ppo/ablation_game_data", "otc/figure4"),
)
KILLS, JOBS = 2, 2  # of scripts with workers
FORKED_KILLS = 3  # of single processes; 20 kills in all


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


FORKS = """
import os, sys
from common.reporting import script
from common.reporting.catalogue import find

table = find(sys.argv[1])[0]
for line in sys.stdin:
    os.environ["OMZ_RESULTS"] = line.strip()
    child = os.fork()
    if not child:
        try:
            script.main(table, ["script.py", "with", "smoke", "jobs=1"])
        except SystemExit as stop:
            os._exit(stop.code)
    os.write(3, f"{child}\\n".encode())
    os.write(3, f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\\n".encode())
"""


class Forks:
    """Runs a table's script again and again, importing once."""

    def __init__(self, table):
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMZ_CHECKPOINT_SECONDS": "0"}
        words = [sys.executable, "-W", "ignore", "-c", FORKS, table]
        self.process = subprocess.Popen(
            ["bash", "-c", 'exec 3>&1 >/dev/null 2>&1; exec "$@"', "bash", *words],
            env=environment | {"OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, results) -> int:
        """The process that writes to a folder."""
        self.process.stdin.write(f"{results}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def wait(self) -> int:
        """The exit code of the last."""
        return int(self.process.stdout.readline())


@pytest.mark.parametrize("table", TABLES)
def test_a_single_process_killed_again_and_again_gives_the_same_bytes(table, tmp_path):
    forks = Forks(table)
    forks.start(tmp_path / "undisturbed")  # builds the data
    assert forks.wait() == 0
    began = time.monotonic()
    forks.start(tmp_path / "once_more")
    assert forks.wait() == 0
    took = time.monotonic() - began
    moments = random.Random(f"{table} alone")
    codes = []
    for _ in range(4 * FORKED_KILLS):
        process = forks.start(tmp_path / "killed")
        time.sleep(moments.uniform(0.05, 0.95) * took)
        with contextlib.suppress(ProcessLookupError):  # it has ended
            os.kill(process, signal.SIGKILL)
        codes.append(forks.wait())
        if codes.count(-signal.SIGKILL) == FORKED_KILLS:
            break
        if codes[-1] == 0:  # the machine is faster than it was: from nothing, and sooner
            shutil.rmtree(tmp_path / "killed")
            took *= 0.6
    assert -signal.SIGKILL in codes
    forks.start(tmp_path / "killed")
    assert forks.wait() == 0
    forks.process.stdin.close()
    forks.process.wait()
    assert tables_of(tmp_path / "killed") == tables_of(tmp_path / "undisturbed")
    assert not list((tmp_path / "killed").glob("smoke/*/checkpoints/*"))
    assert not list((tmp_path / "killed").rglob("*.part"))
