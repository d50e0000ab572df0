"""The fault table: 25 things that can happen to a command. Each has its exit code and at most one
line on stderr, loses no result, and leaves the numbers as they are where it trains again.

Rows that cannot be had in one process are shown by tests of their own, see ELSEWHERE.
"""

import errno
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import filelock
import pytest
import torch

from common import suite
from common.reporting import script
from common.running import cells, checkpoint, experiment, files, progress, work
from common.running.files import read_csv, write_json
from common.running.provenance import ROOT
from envs.datasets import commands
from papers.omar import table1

RUN = ["suite", "--preset", "smoke", "--jobs", "1", "--only"]
AGAIN = [*RUN, "omar/table1"]  # is done, unless the cause deletes it
OTHER = [*RUN, "omar/table2"]  # is not done
WITH = ["script", "with", "smoke"]


@dataclass
class Ground:
    """Where a fault is made."""

    results: Path
    data: Path
    patch: pytest.MonkeyPatch

    @property
    def cells(self) -> list[Path]:
        return sorted((self.results / "smoke" / "omar" / "cells").iterdir())

    @property
    def checkpoints(self) -> list[Path]:
        return sorted((self.results / "smoke" / "omar" / "checkpoints").glob("*.pt"))


class Row(NamedTuple):
    """What happens, the command that meets it, its exit code, and what its one line says; "" for
    no line.
    """

    number: int
    event: str
    cause: Callable[[Ground], object]
    words: list[str]
    code: int
    says: str = ""


def nothing(ground):
    """The command is the fault."""


def full_disk(ground):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    ground.patch.setattr(files.os, "fsync", full)


def interrupted(ground):
    """Training stopped in the middle: two checkpoints, no results."""
    for path in ground.cells:
        path.unlink()
    calls = []

    def stop(shown, message):
        calls.append(message)
        if len(calls) == 3:
            raise KeyboardInterrupt

    with ground.patch.context() as patch:
        patch.setattr(progress.Progress, "hear", stop)
        patch.setattr(checkpoint, "CHECKPOINT_SECONDS", -1)
        with pytest.raises(KeyboardInterrupt):
            work.run(table1.TABLE.cells("smoke"), 1, "cpu")


def flipped_checkpoint(ground):
    interrupted(ground)
    path = ground.checkpoints[0]
    assert checkpoint.previous(path).exists()
    flip(path)


def cut_checkpoint(ground):
    interrupted(ground)
    path = ground.checkpoints[0]
    path.write_bytes(path.read_bytes()[:100])


def hostile_checkpoint(ground):
    class Hostile:
        def __reduce__(self):
            return os.system, (f"touch {ground.results / 'owned'}",)

    interrupted(ground)
    torch.save(Hostile(), ground.checkpoints[0])


def flip(path):
    """One bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def flipped_data(ground):
    for path in ground.cells:
        path.unlink()
    for path in ground.data.rglob("*.h5"):
        flip(path)


def half_built_data(ground):
    """What a kill while data are built leaves."""
    for path in ground.cells:
        path.unlink()
    built = sorted(ground.data.rglob("*.h5"))
    assert built
    for path in built:
        name = f".{path.name}.{files.socket.gethostname()}-999999999-x.part"
        path.with_name(name).write_bytes(path.read_bytes()[:1000])
        path.unlink()
        path.with_suffix(".h5.sha256").unlink()


def cut_download(ground):
    folder = ground.data / "d4rl"
    folder.mkdir()
    for name in ("hopper_medium-v2.hdf5", "hopper-medium-v2.hdf5", "hopper_medium.hdf5"):
        (folder / name).write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 50)
    ground.patch.chdir(ground.data)


def another_command(ground):
    locks = ground.results / "smoke" / "omar" / "locks"
    lock = filelock.FileLock(locks / "writer.lock")
    lock.acquire()
    ground.patch.setattr(ground, "held", lock, raising=False)


def no_memory(ground):
    def train(*_):
        raise MemoryError("8 GB")

    ground.patch.setattr(work, "train", train)


def changed_code(ground):
    hashes = cells.code_hashes
    ground.patch.setattr(cells, "code_hashes", lambda roots: hashes(roots) | {"new.py": "x"})


def older_format(ground):
    path = ground.cells[0]
    content = files.json.loads(path.read_text())
    write_json(path, content | {"format": 1})


def changed_result(ground):
    path = ground.cells[0]
    path.write_text(re.sub(r'"last_score": (-?)', r'"last_score": \g<1>9', path.read_text()))


def read_only(ground):
    """As on a folder of somebody else's, also for root, whom modes do not stop."""

    def refused(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    ground.patch.setattr(files.tempfile, "mkstemp", refused)
    for module in (experiment, script, suite):
        ground.patch.setattr(module, "writable", lambda folder: False)


def variable(name, value):
    """A cause: an environment variable."""
    return lambda ground: ground.patch.setenv(name, value)


ROWS = [
    Row(3, "newest checkpoint flipped", flipped_checkpoint, AGAIN, 0, "pt.unusable cannot be"),
    Row(4, "disk full", full_disk, OTHER, 2, "No space left on device"),
    Row(5, "data flipped", flipped_data, AGAIN, 0),
    Row(6, "killed while data are built", half_built_data, AGAIN, 0),
    Row(
        7,
        "a cut download",
        cut_download,
        ["data", "import", "hopper", "medium", "--source", "d4rl:d4rl"],
        2,
        "error: ",
    ),
    Row(9, "two commands", another_command, OTHER, 3, "is being written by"),
    Row(11, "out of memory", no_memory, OTHER, 1, "more: MemoryError: 8 GB (traceback in "),
    Row(14, "code changed", changed_code, AGAIN, 0),
    Row(15, "a typo", nothing, ["script", "with", "smok"], 2, "did you mean 'smoke'?"),
    Row(15, "a word for a number", nothing, [*WITH, "jobs=many"], 2, "jobs is 'many'"),
    Row(16, "a seed twice", nothing, [*WITH, "seeds=[0,0]"], 2, "expected every seed once"),
    Row(16, "no process", nothing, [*WITH, "jobs=0"], 2, "jobs is 0"),
    Row(16, "seconds", variable("OMZ_CHECKPOINT_SECONDS", "abc"), AGAIN, 2, "expected seconds"),
    Row(16, "kernels", variable("OMZ_KERNELS", "fast"), WITH, 2, "expected native or torch"),
    Row(16, "a file", variable("OMZ_RESULTS", __file__), AGAIN, 2, "is a file; expected a folder"),
    Row(16, "a typo", variable("OMZ_RESULT", "x"), WITH, 2, "did you mean 'OMZ_RESULTS'?"),
    Row(16, "nowhere", variable("OMZ_RESULTS", "/proc/none"), AGAIN, 2, "/proc/none"),
    Row(17, "a hostile checkpoint", hostile_checkpoint, AGAIN, 0, "(UnpicklingError"),
    Row(18, "a cut checkpoint", cut_checkpoint, AGAIN, 0, "(BadZipFile"),
    Row(20, "a path for a word", nothing, [*WITH, "sampler=../../x"], 2, "sampler"),
    Row(20, "a path for a preset", nothing, ["script", "with", "preset=../x"], 2, "preset is"),
    Row(23, "no GPU", nothing, [*WITH, "device=cuda"], 2, "finds no GPU"),
    Row(25, "a result in an old format", older_format, AGAIN, 0),
    Row(25, "a result changed by hand", changed_result, AGAIN, 0, "the hash differs"),
    Row(4, "results read only", read_only, WITH, 0, "cannot be written: what is done is shown"),
]

ELSEWHERE = {
    1: ("test_kills", "test_killed_again_and_again_then_run_once_gives_the_same_bytes"),
    2: ("common/test_runner", "test_a_program_continues_from_its_checkpoint"),
    8: ("common/test_runner", "test_a_diverged_seed_stays_in_the_table_and_changes_no_other"),
    10: ("common/test_runner", "test_a_killed_worker_costs_nothing_but_time"),
    12: ("common/test_runner", "test_signals_save_say_how_to_continue_and_lose_nothing"),
    13: ("common/test_runner", "test_a_signal_is_answered_at_once_and_saved_at_the_next_update"),
    19: ("test_fault_table", "test_nothing_is_unpickled"),
    21: ("test_faults", "test_a_source_folder_with_spaces_that_cannot_be_written_serves"),
    22: ("test_faults", "test_a_source_folder_with_spaces_that_cannot_be_written_serves"),
    24: ("common/test_kernels", "test_a_library_that_was_cut_is_rebuilt_and_never_loaded"),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Results and data of OMAR's Table 1 at smoke, to be copied."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMZ_RESULTS", str(folder / "results"))
        patch.setenv("OMZ_DATA", str(folder / "data"))
        assert suite.main(AGAIN[1:]) == 0
    return folder


@pytest.fixture
def ground(finished, tmp_path, monkeypatch):
    shutil.copytree(finished, tmp_path / "a")
    results = tmp_path / "a" / "results"
    data = tmp_path / "a" / "data"
    monkeypatch.setenv("OMZ_RESULTS", str(results))
    monkeypatch.setenv("OMZ_DATA", str(data))
    return Ground(results, data, monkeypatch)


def numbers(results):
    """Of every finished cell and of the table."""
    paths = sorted((results / "smoke" / "omar" / "cells").glob("*.json"))
    stored = {path.name: files.json.loads(path.read_text())["seeds"] for path in paths}
    return stored | {"table": read_csv(results / "smoke" / "omar" / "table1.seeds.csv")}


def go(words) -> int:
    """The exit code of a command."""
    start = {
        "suite": suite.main,
        "script": lambda rest: script.main(table1.TABLE, ["table1.py", *rest]),
        "data": commands.main,
    }
    try:
        return start[words[0]](words[1:])
    except SystemExit as stop:
        return stop.code


def lines_of(error: str) -> list[str]:
    """What was said on stderr, without progress bars."""
    said = re.sub(r"[^\n\r]*?% \|.*? left", "\n", error)
    return [line for line in re.split(r"[\n\r]+", said) if line.strip()]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.number}: {row.event}")
def test_one_line_the_right_exit_code_and_nothing_lost(row, ground, capsys):
    if row.event == "no GPU" and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    before = numbers(ground.results)
    row.cause(ground)
    capsys.readouterr()
    code = go(row.words)
    error = capsys.readouterr().err
    ground.patch.undo()
    lines = lines_of(error)
    assert code == row.code, error
    assert len(lines) == bool(row.says) and row.says in "".join(lines), error
    after = numbers(ground.results)
    assert {name: after[name] for name in before} == before
    assert not list(ground.results.rglob("*.part")) and not (ground.results / "owned").exists()
    assert not list(ground.results.rglob("checkpoints/*")) or row.code


def test_the_table_is_whole():
    assert sorted({row.number for row in ROWS} | ELSEWHERE.keys()) == list(range(1, 26))
    for file, name in ELSEWHERE.values():
        assert f"def {name}" in (ROOT / "tests" / f"{file}.py").read_text(), name


def test_nothing_is_unpickled():
    words = ("import " + "pickle", "allow_" + "pickle=True", "weights_only=" + "False")
    for top in ("common", "envs", "papers", "benchmarks"):
        for path in (ROOT / top).rglob("*.py"):
            text = path.read_text()
            assert not [word for word in words if word in text], path
