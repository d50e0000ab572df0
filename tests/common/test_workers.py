"""Workers end with their parent, whenever it is killed, and are heard until they end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from common.running.provenance import ROOT

SCRIPT = """
import functools, os, sys, time
import common  # as every script of ours
from common.running import interrupt, workers

def say(word):
    os.write(1, f"{word}\\n".encode())  # at once, since several write to this pipe

if __name__ != "__main__" and sys.argv[1] == "import":
    say(os.getpid())
    time.sleep(60)

def work(index, tell):
    try:
        say(os.getpid())
        if sys.argv[1] in ("work", "save"):
            time.sleep(60)
    except KeyboardInterrupt:
        time.sleep(0.5)
        say("saved")
        raise
    tell(1.5)
    if sys.argv[1] == "die" and index == 0:
        os._exit(9)
    return index

if __name__ == "__main__":
    interrupt.listen()
    told = []
    try:
        heard = workers.share(2, work, told.append)
    except interrupt.Interrupted as stop:
        sys.exit(stop.code)
    print(sorted(heard.answers), heard.died, told)
"""


@pytest.fixture
def start(tmp_path):
    """Starts the script, its workers doing what a word says."""
    file = tmp_path / "go.py"
    file.write_text(SCRIPT)

    def begin(what):
        return subprocess.Popen(
            [sys.executable, file, what],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    return begin


def alive(process: int) -> bool:
    """Whether a process runs; one that ended and was not yet waited for does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def started(pid: int) -> list[int]:
    """Processes that a process has started."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("moment", ["start", "import", "work"])
def test_no_worker_outlives_its_parent_by_three_seconds(start, moment):
    parent = start(moment)
    while len(started(parent.pid)) < 3:  # two workers and multiprocessing's own tracker
        time.sleep(0.005)
    if moment != "start":
        assert int(parent.stdout.readline()) and int(parent.stdout.readline())
    children = started(parent.pid)
    parent.kill()
    parent.wait()
    killed = time.monotonic()
    while any(map(alive, children)):
        assert time.monotonic() - killed < 3, "a worker lives on"
        time.sleep(0.01)


def test_what_workers_answer_and_tell_arrives_and_who_died_is_counted(start):
    output, error = start("answer").communicate(timeout=60)
    assert output.splitlines()[-1] == "[0, 1] 0 [1.5, 1.5]", error
    output, error = start("die").communicate(timeout=60)
    assert output.splitlines()[-1].startswith("[1] 1 "), error


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_to_all_processes_lets_workers_save_without_a_traceback(start, number):
    """As a terminal sends Ctrl-C, and sends SIGHUP, more than once, when it is closed."""
    parent = start("save")
    assert int(parent.stdout.readline()) and int(parent.stdout.readline())
    os.killpg(parent.pid, number)
    if number != signal.SIGINT:
        time.sleep(0.1)
        os.killpg(parent.pid, number)
    output, error = parent.communicate(timeout=60)
    assert parent.returncode == 128 + number, error
    assert output.splitlines() == ["saved", "saved"]
    assert error.strip() == "saving; Ctrl-C once more ends at once"
