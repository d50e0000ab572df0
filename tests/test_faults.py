"""What breaks around the package: a full disk, broken files, odd folders. One sentence, an exit
code, old results intact.
"""

import errno
import importlib.util
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

from common import suite
from common.reporting import script, stored
from common.running import experiment, faults, files, options, work
from common.running.provenance import ROOT
from envs import storage


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A results folder with OMAR's Table 1 finished at smoke."""
    monkeypatch.setenv("OMZ_RESULTS", str(tmp_path / "results"))
    assert suite.main(["--preset", "smoke", "--only", "omar/table1", "--jobs", "1"]) == 0
    return tmp_path / "results"


def everything(folder):
    """Contents of all finished files."""
    paths = [
        path
        for path in sorted((folder / "smoke").rglob("*"))
        if path.is_file() and "locks" not in path.parts
    ]
    return {path.name: path.read_bytes() for path in paths}


def test_a_full_disk_is_one_sentence_and_leaves_old_results_as_they_are(
    results, monkeypatch, capsys
):
    before = everything(results)
    capsys.readouterr()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    assert suite.main(["--preset", "smoke", "--only", "omar/table2", "--jobs", "1"]) in (1, 2)
    error = capsys.readouterr().err
    assert "No space left on device" in error
    assert everything(results).items() >= before.items()
    assert not list(results.rglob("*.part"))  # nothing half-written is left behind
    monkeypatch.undo()


def test_a_disk_without_room_for_the_data_is_said_before_anything_starts(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("OMZ_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("OMZ_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=10**9))
    monkeypatch.setattr(work, "run_program", lambda *_: pytest.fail("a program was started"))
    assert suite.main(["--preset", "paper", "--only", "omar/table3", "--jobs", "1"]) == 2
    error = capsys.readouterr().err
    needed = float(error.split(" GB")[0].split()[-1])
    assert (
        "the data to be built need" in error
        and "has 1.0 GB free" in error
        and "OMZ_DATA" in error
        and 10 < needed < 100
    )
    assert error.count("\n") == 1 and not (tmp_path / "data").exists()


def test_a_database_without_its_package_is_said_before_anything_starts(monkeypatch, capsys):
    monkeypatch.setenv("OMZ_MONGO", "mongodb://localhost/x")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert suite.main(["--preset", "smoke", "--only", "omar/table2", "--jobs", "1"]) == 2
    assert "pip install -e .[mongo]" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        script.main(suite.find("omar/table2")[0], ["table2.py", "with", "smoke"])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and "pip install -e .[mongo]" in error and error.count("\n") == 1


def test_a_database_that_does_not_answer_is_said_in_one_line(monkeypatch, capsys):
    pytest.importorskip("pymongo")
    monkeypatch.setattr(experiment, "ANSWER_SECONDS", 0.2)
    monkeypatch.setenv("OMZ_MONGO", "")  # as it was, after `-m` has set it
    with pytest.raises(SystemExit) as stop:
        words = ["table2.py", "-m", "127.0.0.1:9:zoo", "with", "smoke"]
        script.main(suite.find("omar/table2")[0], words)
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.count("\n") == 1
    assert "no MongoDB answers at mongodb://127.0.0.1:9/zoo" in error and "unset OMZ_MONGO" in error


@pytest.mark.parametrize(
    "content",
    ["not a table", "table,row,column,seed,last,best\ntable1,ma_cql,actor_lr=0.01,0,many,\n"],
)
def test_a_broken_csv_of_the_reference_is_bad_input(
    results, content, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(stored, "REFERENCE", tmp_path / "reference")
    assert suite.main(["accept", "--preset", "smoke", "--only", "omar/table1"]) == 0
    (tmp_path / "reference" / "smoke" / "omar" / "table1.seeds.csv").write_text(content)
    capsys.readouterr()
    assert suite.main(["diff", "--preset", "smoke", "--only", "omar/table1"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and "table1.seeds.csv" in error


def test_a_truncated_cell_is_trained_again_and_nothing_else(results, capsys):
    before = everything(results)
    cell = sorted((results / "smoke" / "omar" / "cells").iterdir())[0]
    cell.write_bytes(cell.read_bytes()[:100])
    assert suite.main(["--preset", "smoke", "--only", "omar/table1", "--dry-run"]) == 0
    assert "2 of 3 cells are done" in capsys.readouterr().out
    assert suite.main(["--preset", "smoke", "--only", "omar/table1", "--jobs", "1"]) == 0
    after = everything(results)
    assert after["table1.seeds.csv"] == before["table1.seeds.csv"]


def test_a_source_folder_with_spaces_that_cannot_be_written_serves(tmp_path, results):
    copy = tmp_path / "a folder with spaces"
    for name in ("common", "envs", "papers", "results/published"):
        shutil.copytree(
            ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.pt")
        )
    subprocess.run(["chmod", "-R", "a-w", copy], check=True)
    try:
        done = subprocess.run(
            [sys.executable, copy / "papers" / "omar" / "table1.py", "with", "smoke", "jobs=1"],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=files.os.environ
            | {"PYTHONPATH": str(copy), "OMZ_RESULTS": str(tmp_path / "r ü 結果")}
            | {"OMP_NUM_THREADS": "8", "TZ": "Asia/Kolkata", "LC_ALL": "C.UTF-8"},
        )
        assert done.returncode == 0, done.stderr
        ours = tmp_path / "r ü 結果" / "smoke" / "omar" / "table1.seeds.csv"
        assert ours.read_bytes() == (results / "smoke/omar/table1.seeds.csv").read_bytes()
    finally:
        subprocess.run(["chmod", "-R", "u+w", copy], check=True)


def test_what_is_done_is_shown_where_another_program_failed(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OMZ_RESULTS", str(tmp_path / "results"))
    original = work.train
    programs = []

    def train(cells, *rest):
        programs.append(cells)
        if len(programs) == 1:
            raise RuntimeError("no luck")
        return original(cells, *rest)

    monkeypatch.setattr(work, "train", train)
    words = ["--preset", "smoke", "--only", "omar/table4", "--jobs", "1"]
    assert suite.main(words) == 1
    said = capsys.readouterr()
    rows = [line for line in said.out.splitlines() if line.startswith(("random ", "cem ", "omar "))]
    undone = [line for line in rows if " missing " in line]
    assert len(rows) == 12 and len(undone) == len(programs[0]) < 12
    assert said.err.count("no luck") == 1 and "report: " in said.out


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (options.BadInput("a word"), 2),
        (storage.DataError("a data set"), 2),
        (PermissionError(errno.EACCES, "Permission denied", "a/folder"), 2),
        (OSError(errno.ENOSPC, "No space left on device"), 2),
        (ConnectionError("the database is gone"), 1),
        (ValueError("shapes differ"), 1),
        (KeyError("nothing"), 1),
    ],
)
def test_only_what_can_be_mended_by_the_user_is_bad_input(
    error, code, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("OMZ_RESULTS", str(tmp_path))

    def go():
        raise error

    assert faults.exit_code(go) == code
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1
    assert ("traceback in" in said) == (not isinstance(error, options.BadInput))


@pytest.mark.parametrize("lines", [0, 2000])
def test_a_reader_that_has_read_enough_is_no_error(lines):
    go = f"lambda: print('x\\n' * {lines}) or 0"
    code = f"from common.running import faults; raise SystemExit(faults.exit_code({go}))"
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=writer, stderr=-1)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (141, b"")


def test_a_pipe_that_broke_elsewhere_is_an_error(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OMZ_RESULTS", str(tmp_path))

    def go():
        raise BrokenPipeError(errno.EPIPE, "a worker is gone")

    assert faults.exit_code(go) == 1
    assert "a worker is gone" in capsys.readouterr().err
