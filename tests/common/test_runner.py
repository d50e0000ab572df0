"""The runner: states of cells, kills, two processes at once, failures, records."""

import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from types import SimpleNamespace

import filelock
import pytest
import torch

from common import suite
from common.reporting import scores, script, writer
from common.reporting.shown import show
from common.running import cells as store
from common.running import (
    checkpoint,
    experiment,
    interrupt,
    program,
    provenance,
    sources,
    work,
    workers,
)
from common.running.cells import runs_folder
from common.running.files import atomic, sweep, write_json
from papers.moma_ppo.table3 import TABLE as OF_GAMES
from papers.omar import table4
from papers.omar.experiment import PAPER, make_cell


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setenv("OMZ_RESULTS", str(tmp_path / "results"))
    return tmp_path / "results"


def cells(*methods):
    return [make_cell("smoke", "cooperative_navigation", "medium", method) for method in methods]


def contents(folder):
    """Scores of every cell: what must not depend on how often a run was killed."""
    return {
        p.name: json.loads(p.read_text())["seeds"]
        for p in sorted(folder.glob("smoke/omar/cells/*.json"))
    }


def test_a_cell_is_missing_then_done_then_stale_when_configuration_code_or_data_change(
    results, monkeypatch
):
    cell = cells("ma_icq")[0]
    assert PAPER.state(cell) == "missing"
    assert work.run([cell], jobs=1, device="cpu") == []
    assert PAPER.state(cell) == "done"
    changed = make_cell("smoke", "cooperative_navigation", "medium", "ma_icq")
    changed.config["backbone"]["gamma"] = 0.5
    assert PAPER.state(changed) == "stale: configuration changed (backbone)"
    original = store.code_hashes
    monkeypatch.setattr(
        store, "code_hashes", lambda names: original(names) | {"common/learning/losses.py": "other"}
    )
    assert PAPER.state(cell) == "stale: code changed (common/learning/losses.py)"
    monkeypatch.setattr(store, "code_hashes", original)
    now = provenance.versions()
    monkeypatch.setattr(
        provenance,
        "versions",
        lambda: now | {"torch": "99.0+cu126", "mujoco": "99.0", "sacred": "99.0"},
    )
    assert (
        PAPER.state(cell) == f"stale: packages changed (torch {now['torch']} -> 99.0+cu126)"
    )  # no robots, no MuJoCo
    monkeypatch.setattr(
        provenance, "versions", lambda: now | {"torch": now["torch"].split("+")[0] + "+cu126"}
    )
    assert PAPER.state(cell) == "done"  # another build of the same version
    monkeypatch.setattr(
        type(PAPER), "state", lambda self, c: store.state(c, self.roots(c), lambda c: {"0": "x"})
    )
    assert PAPER.state(cell) == "stale: data changed"


def test_comments_and_docstrings_make_nothing_stale(tmp_path):
    def hash_of(name: str, code: str) -> str:
        path = tmp_path / name / "common" / "a.py"
        path.parent.mkdir(parents=True)
        path.write_text(code)
        return sources.code_hashes(["common.a"], tmp_path / name)["common/a.py"]

    before = hash_of("1", '"""Doc."""\ndef f(x):\n    """Doc."""\n    return x + 1  # why\n')
    same = '"""Other."""\n# more\ndef f(x):\n    """Another."""\n    return x + 1\n'
    assert hash_of("2", same) == before
    assert hash_of("3", "def f(x):\n    return x + 2\n") != before


def test_a_half_written_result_counts_as_missing(results):
    cell = cells("ma_icq")[0]
    cell.path.parent.mkdir(parents=True)
    cell.path.write_text('{"format": 1, "conf')
    assert PAPER.state(cell) == "missing"


@pytest.fixture
def finished(results):
    """A cell that is done, and its result."""
    cell = cells("ma_icq")[0]
    assert work.run([cell], jobs=1, device="cpu") == []
    return cell, json.loads(cell.path.read_text())


def changed_number(result):
    result["seeds"][0]["last_score"] += 1
    return result


def lost_seed(result):
    del result["seeds"][1]
    return result


def lost_key(result):
    del result["code"]
    return result


DAMAGE = {
    "a changed number": changed_number,
    "a lost seed": lost_seed,
    "a lost key": lost_key,
    "no hash": lambda result: result | {"content_hash": None},
    "a list": lambda result: [],
    "null": lambda result: None,
    "a number": lambda result: 3,
    "a format in words": lambda result: result | {"format": "new"},
    "lists for everything": lambda result: {key: [] for key in result} | {"format": store.FORMAT},
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_result_that_was_changed_is_said_once_and_counts_as_missing(finished, damage, capsys):
    cell, result = finished
    write_json(cell.path, DAMAGE[damage](result))
    capsys.readouterr()
    assert PAPER.state(cell) == PAPER.state(cell) == "missing"
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"{cell.path} cannot be used" in error
    assert "is trained again" in error


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[" * 100000, b"", b"1e999"])
def test_a_result_that_is_no_json_counts_as_missing(finished, content, capsys):
    cell, _ = finished
    cell.path.write_bytes(content)
    assert PAPER.state(cell) == "missing"
    assert "cannot be used" in capsys.readouterr().err


def test_a_result_in_an_older_format_is_trained_again_without_a_word(finished, capsys):
    cell, result = finished
    write_json(cell.path, result | {"format": store.FORMAT - 1})
    capsys.readouterr()
    assert PAPER.state(cell) == "missing" and capsys.readouterr().err == ""
    assert work.run([cell], jobs=1, device="cpu") == [] and PAPER.state(cell) == "done"


def test_a_program_continues_from_its_checkpoint(results, monkeypatch):
    from papers.omar.training import build

    cell = cells("ma_td3bc")[0]
    PAPER.data.prepare(cell)
    monkeypatch.setattr("common.running.checkpoint.CHECKPOINT_SECONDS", 0)
    path, rounds = results / "c.pt", []

    def interrupt(done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        program.train(build, [cell], "cpu", path, interrupt)
    program.train(build, [cell], "cpu", path, lambda done, total: rounds.append(done))
    assert rounds == [3, 4]  # the third round was not yet in the checkpoint


@pytest.fixture
def listening():
    """Our handlers of signals, for one test."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
    before = {number: signal.getsignal(number) for number in numbers}
    interrupt.listen()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"])
def test_a_signal_is_answered_at_once_and_saved_at_the_next_update(results, listening, capfd, name):
    """SIGHUP is a closed terminal, SIGUSR1 Slurm's warning; both may come more than once."""
    from papers.omar.training import build

    number = signal.Signals[name]
    cell = cells("ma_td3bc")[0]
    PAPER.data.prepare(cell)
    path = results / "c.pt"
    rounds = []

    def send(done, total):
        for _ in range(1 if number in interrupt.HASTY else 2):
            os.kill(os.getpid(), number)
        assert "saving; Ctrl-C once more ends at once\n" in capfd.readouterr().err
        rounds.append(done)

    with pytest.raises(interrupt.Interrupted) as stop:
        program.train(build, [cell], "cpu", path, send)
    assert stop.value.code == 128 + number
    program.train(build, [cell], "cpu", path, lambda done, total: rounds.append(done))
    assert rounds == [1, 2, 3, 4]  # none twice


def test_under_nohup_a_closed_terminal_is_no_reason_to_end(listening):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    interrupt.listen()
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def test_a_damaged_or_foreign_checkpoint_counts_as_none(tmp_path):
    path = tmp_path / "c.pt"
    checkpoint.save_checkpoint(path, {"a": 1}, {"x": torch.arange(5000.0)})
    assert checkpoint.load_checkpoint(path, {"a": 1})["x"][7] == 7
    assert checkpoint.load_checkpoint(path, {"a": 2}) is None
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert checkpoint.load_checkpoint(path, {"a": 1}) is None
    path.write_bytes(content[:100])
    assert checkpoint.load_checkpoint(path, {"a": 1}) is None


def resized(tree):
    """The same with other shapes of tensors."""
    if isinstance(tree, dict):
        return {key: resized(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [resized(value) for value in tree]
    return torch.zeros(7, 5) if isinstance(tree, torch.Tensor) else tree


ODD = {
    "a list": lambda content: [1, 2],
    "no state": lambda content: {"seconds": 1.0},
    "no learner": lambda content: content | {"state": content["state"] | {"training": {}}},
    "wrong shapes": resized,
    "too many updates": lambda content: content | {"state": content["state"] | {"done": 10**9}},
}


@pytest.mark.parametrize("odd", ODD)
def test_a_checkpoint_that_does_not_fit_is_set_aside_and_training_starts_afresh(
    results, monkeypatch, odd, capsys
):
    from papers.omar.training import build

    cell = cells("ma_td3bc")[0]
    PAPER.data.prepare(cell)
    monkeypatch.setattr("common.running.checkpoint.CHECKPOINT_SECONDS", 0)
    path = results / "c.pt"
    whole = program.train(build, [cell], "cpu", path)
    identity = program.Program([cell], "cpu", build).identity()
    content = checkpoint.load_checkpoint(path, identity)
    checkpoint.forget_checkpoint(path)
    checkpoint.save_checkpoint(path, identity, ODD[odd](content))
    rounds = []
    capsys.readouterr()
    again = program.train(build, [cell], "cpu", path, lambda done, _: rounds.append(done))
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"{path}.unusable cannot be used" in error
    assert rounds == [1, 2, 3, 4] and again[0]["seeds"] == whole[0]["seeds"]


def test_the_checkpoint_before_a_damaged_one_is_taken(tmp_path):
    path = tmp_path / "c.pt"
    for value in (1, 2):
        checkpoint.save_checkpoint(path, {"a": 1}, {"x": value})
    assert checkpoint.load_checkpoint(path, {"a": 1})["x"] == 2
    path.write_bytes(path.read_bytes()[:-7])
    assert checkpoint.load_checkpoint(path, {"a": 1})["x"] == 1
    checkpoint.forget_checkpoint(path)
    assert not list(tmp_path.iterdir())


SLOW_TABLE = """
import sys, time
from dataclasses import replace
from datetime import datetime
from common.reporting import script
from papers.omar import experiment, table4

def slow(cells, device, path, progress):
    def step(done, total):
        progress(done, total)
        print("step", done, flush=True)
        time.sleep(0.2 * (sys.argv[1] == "slow"))
    return train(cells, device, path, step)

train = experiment.PAPER.train
experiment.PAPER = replace(experiment.PAPER, train=slow)
if __name__ == "__main__":
    script.main(table4.TABLE, [__file__, "with", "smoke", f"jobs={sys.argv[2]}"])
"""


@pytest.mark.parametrize(
    ("number", "code", "jobs"),
    [(signal.SIGINT, 130, 1), (signal.SIGTERM, 143, 2)],
)
def test_signals_save_say_how_to_continue_and_lose_nothing(results, tmp_path, number, code, jobs):
    file = tmp_path / "go.py"
    file.write_text(SLOW_TABLE)
    environment = os.environ | {"PYTHONPATH": str(provenance.ROOT)}
    started = dict(env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    run = subprocess.Popen([sys.executable, file, "slow", str(jobs)], **started)
    for line in run.stdout:
        if line.startswith("step 2"):
            break
    run.send_signal(number)
    _, error = run.communicate(timeout=100)
    assert run.returncode == code, error
    assert "interrupted; the same command continues: python" in error
    assert error.index("saving; Ctrl-C once more") < error.index("interrupted;")
    assert "Traceback" not in error
    assert list(results.rglob("checkpoints/*.pt"))
    again = subprocess.run([sys.executable, file, "fast", str(jobs)], timeout=300, **started)
    assert again.returncode == 0, again.stderr
    steps = [int(line.split()[1]) for line in again.stdout.splitlines() if line.startswith("step")]
    assert jobs > 1 or steps[0] == 3  # it went on where it was
    assert not list(results.rglob("checkpoints/*.pt"))
    interrupted = contents(results)
    assert len(interrupted) == len(table4.TABLE.cells("smoke"))
    work.run(table4.TABLE.cells("smoke"), 1, "cpu")  # nothing is left to do
    for path in results.rglob("cells/*.json"):
        path.unlink()
    work.run(table4.TABLE.cells("smoke"), 1, "cpu")
    assert contents(results) == interrupted


def test_a_killed_worker_costs_nothing_but_time(results, tmp_path):
    """One of two workers is killed outright; its program is taken up again and the command ends
    well, without orphans.
    """
    file = tmp_path / "go.py"
    file.write_text(
        SLOW_TABLE.replace(
            'print("step", done, flush=True)', 'print("step", done, os.getpid(), flush=True)'
        ).replace("import sys, time", "import os, sys, time")
    )
    environment = os.environ | {"PYTHONPATH": str(provenance.ROOT)}
    started = dict(env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    run = subprocess.Popen([sys.executable, file, "slow", "2"], **started)
    pids = set()
    for line in run.stdout:
        if line.startswith("step"):
            pids.add(int(line.split()[2]))
            break
    os.kill(min(pids), signal.SIGKILL)
    output, error = run.communicate(timeout=200)
    assert run.returncode == 0, error
    assert len(contents(results)) == len(table4.TABLE.cells("smoke"))
    pids |= {int(line.split()[2]) for line in output.splitlines() if line.startswith("step")}
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)


def test_a_hostile_checkpoint_is_not_executed_and_set_aside(tmp_path, capsys):
    class Hostile:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'owned'}",)

    torch.save(Hostile(), tmp_path / "c.pt")
    assert checkpoint.load_checkpoint(tmp_path / "c.pt", {}) is None
    assert not (tmp_path / "owned").exists()
    error = capsys.readouterr().err
    assert "c.pt.unusable cannot be used (UnpicklingError" in error and error.count("\n") == 1
    assert "weights_only=False" not in error  # torch's own advice is to run it
    assert not (tmp_path / "c.pt").exists() and (tmp_path / "c.pt.unusable").exists()


def test_a_program_that_another_process_holds_is_left_to_it(results):
    cell = cells("ma_icq")[0]
    assert work.run_program([cell], "cpu", lambda cost: None, wait=False)
    lock = next(results.glob("smoke/omar/locks/*.lock"))
    with filelock.FileLock(lock):
        assert not work.run_program([cell], "cpu", lambda cost: None, wait=False)


def test_a_program_whose_data_another_process_builds_is_left_for_later(results, monkeypatch):
    cell = cells("ma_icq")[0]
    monkeypatch.setattr(work, "missing_data", lambda cells: {results / "random-0.h5": 1})
    assert not work.built_elsewhere([cell])
    with filelock.FileLock(results / work.BUILDING):
        assert work.built_elsewhere([cell])
        assert not work.run_program([cell], "cpu", lambda cost: None, wait=False)
    assert work.run_program([cell], "cpu", lambda cost: None, wait=False)


def test_what_is_held_is_tried_again_after_every_other_program(monkeypatch):
    tried = []

    def run_program(group, device, move, wait, attempt):
        tried.append((group[0].slot, wait))
        return wait or group[0].slot != "a" or len(tried) > 4

    groups = [[SimpleNamespace(slot=name)] for name in "abcd"]
    monkeypatch.setattr(work, "run_program", run_program)
    assert work.work(groups, "cpu", lambda cost: None) == []
    assert tried == [(name, False) for name in ("a", "b", "a", "c", "a", "d")]
    tried.clear()
    assert work.work(groups[:1], "cpu", lambda cost: None) == []
    assert tried == [("a", False), ("a", True)]


def test_a_second_writer_is_refused_until_the_first_is_gone(results, tmp_path, capsys):
    """Exit code 3 and who holds the results; nothing changes; kill -9 of the holder frees them."""
    file = tmp_path / "go.py"
    file.write_text(SLOW_TABLE)
    environment = os.environ | {"PYTHONPATH": str(provenance.ROOT)}
    first = subprocess.Popen(
        [sys.executable, file, "slow", "1"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    for line in first.stdout:
        if line.startswith("step"):
            break
    before = contents(results)
    words = ["--preset", "smoke", "--only", "omar/table4", "--jobs", "1"]
    for arguments in (words, [*words, "--force"], [*words, "--executor", "slurm"]):
        assert suite.main(arguments) == 3
        error = capsys.readouterr().err
        assert error.startswith(
            f"error: {results / 'smoke' / 'omar'} is being written by process {first.pid} on "
        )
        assert error.count("\n") == 1 and "OMZ_RESULTS" in error
    with pytest.raises(SystemExit) as stop:
        script.main(table4.TABLE, ["table4.py", "with", "smoke", "jobs=1"])
    assert stop.value.code == 3
    assert contents(results) == before
    assert (
        suite.main(["--preset", "smoke", "--only", "otc/table3", "--dry-run"]) == 0
    )  # reading is for everyone
    first.kill()
    first.wait()
    assert suite.main(words) == 0
    assert len(contents(results)) == len(table4.TABLE.cells("smoke"))


def test_a_failing_program_is_reported_and_the_others_finish(results, monkeypatch, capsys):
    good, bad = cells("ma_icq", "ma_cql")
    original = PAPER.train

    def train(group, *rest):
        if group[0].slot == bad.slot:
            raise RuntimeError("no luck")
        return original(group, *rest)

    monkeypatch.setattr(
        work, "paper", lambda name: work.Paper(**{**PAPER.__dict__, "train": train})
    )
    failures = work.run([bad, good], jobs=1, device="cpu")
    assert len(failures) == 1 and "no luck" in failures[0]
    assert store.read(good) and not store.read(bad)


def test_sacred_records_configuration_and_a_metric_per_seed(results):
    cell = cells("ma_td3bc")[0]
    work.run([cell], jobs=1, device="cpu")
    run = results / "sacred" / "1"
    assert json.loads((run / "config.json").read_text())["backbone"]["gamma"] == 0.95
    metrics = json.loads((run / "metrics.json").read_text())
    assert {"score/0", "score/1", "return/0", "return/1"} <= set(metrics)
    facts = json.loads((run / "run.json").read_text())
    assert facts["status"] == "COMPLETED" and facts["heartbeat"]
    began, ended = (datetime.fromisoformat(facts[name]) for name in ("start_time", "stop_time"))
    assert (ended - began).total_seconds() > 0.5 * store.read(cell)["seconds"]  # it trained in it
    sources = {name for name, _ in facts["experiment"]["sources"]}
    assert {"papers/omar/baselines.py", "common/learning/losses.py"} <= sources


def test_a_score_that_was_measured_live_is_noted_once(results):
    (cell,) = OF_GAMES.cells("smoke")[:1]
    work.run([cell], jobs=1, device="cpu")
    metrics = json.loads((results / "sacred" / "1" / "metrics.json").read_text())
    rounds = store.read(cell)["rounds"]
    assert [one["steps"] for name, one in metrics.items() if name.startswith("score/")] == [
        rounds for _ in cell.config["seeds"]
    ]


def test_metrics_are_live_and_a_run_that_fails_says_so(results, monkeypatch):
    cell = cells("ma_td3bc")[0]
    seen = {}

    def train(todo, device, checkpoint, progress):
        def fails(done, total):
            progress(done, total)
            if done == total:
                print("half way")
                recording.beat()
                seen.update(json.loads((results / "sacred" / "1" / "metrics.json").read_text()))
                raise RuntimeError("no luck")

        return PAPER.train(todo, device, checkpoint, fails)

    def record(todo):
        nonlocal recording
        recording = experiment.Recording(todo)
        return recording

    recording = None
    changed = work.Paper(**{**PAPER.__dict__, "train": train, "record": record})
    monkeypatch.setattr(work, "paper", lambda name: changed)
    assert "no luck" in work.run([cell], jobs=1, device="cpu")[0]
    facts = json.loads((results / "sacred" / "1" / "run.json").read_text())
    assert facts["status"] == "FAILED" and "no luck" in facts["fail_trace"][-1]
    assert len(seen["return/0"]["steps"]) >= 1
    assert "half way" in (results / "sacred" / "1" / "cout.txt").read_text()


def test_runs_are_kept_in_a_mongodb_if_one_is_named(results, monkeypatch):
    """Through pymongo and its protocol, to a server whose documents mongomock keeps."""
    pytest.importorskip("pymongo")
    pytest.importorskip("mongomock")
    from tests.common import mongo_server

    with mongo_server.running() as server:
        port = server.server_address[1]
        monkeypatch.setenv("OMZ_MONGO", f"mongodb://127.0.0.1:{port}/zoo")
        work.run(cells("ma_td3bc"), jobs=1, device="cpu")
        (run,) = server.store["zoo"]["runs"].find()
        assert run["status"] == "COMPLETED" and run["heartbeat"]
        assert run["config"]["backbone"]["gamma"] == 0.95
        names = {metric["name"] for metric in server.store["zoo"]["metrics"].find()}
        assert {"return/0", "score/0"} <= names
        sources = {file["filename"] for file in server.store["zoo"]["fs.files"].find()}
        assert any(name.endswith("papers/omar/training.py") for name in sources)
    assert not (results / "sacred").exists()


def statuses(results):
    """Of every Sacred run."""
    return [
        json.loads(path.read_text())["status"] for path in sorted(results.glob("sacred/*/run.json"))
    ]


def test_a_script_whose_cells_failed_is_failed_in_sacred(results, monkeypatch, capsys):
    monkeypatch.setattr(work, "train", lambda *_: 1 / 0)
    with pytest.raises(SystemExit) as stop:
        script.main(table4.TABLE, ["table4.py", "with", "smoke", "jobs=1"])
    assert stop.value.code == 1 and set(statuses(results)) == {"FAILED"}
    error = capsys.readouterr().err
    lines = [line for line in error.splitlines() if "ZeroDivisionError" in line]
    others = len(table4.TABLE.cells("smoke")) - 1
    assert len(lines) == 1 and f"and {others} more: ZeroDivisionError" in lines[0]
    log = lines[0].partition("(traceback in ")[2].removesuffix(")")
    assert "Traceback" not in error and "1 / 0" in open(log).read()


def test_a_killed_sacred_run_does_not_stay_running(results, tmp_path):
    file = tmp_path / "go.py"
    file.write_text(
        "import time\nfrom common.running import experiment\n"
        "ex = experiment.create('long')\nex.observers.extend(experiment.observers())\n"
        "@ex.main\ndef run():\n    print('on', flush=True)\n    time.sleep(100)\nex.run()\n"
    )
    environment = os.environ | {"PYTHONPATH": str(provenance.ROOT)}
    words = [sys.executable, "-W", "ignore", file]
    process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE)
    process.stdout.readline()
    experiment.tidy()
    assert statuses(results) == ["RUNNING"]  # it does
    process.kill()
    process.communicate()
    experiment.tidy()
    assert statuses(results) == ["INTERRUPTED"]
    assert not list(results.rglob("alive.lock"))


@pytest.mark.parametrize("content", ["[]", "{}", '{"status": "RUNNING"}', "3", "null", "x"])
def test_an_odd_record_of_a_run_stays_and_its_lock_goes(results, content):
    folder = results / "sacred" / "1"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(content)
    (folder / experiment.ALIVE).touch()
    experiment.tidy()
    assert [path.name for path in folder.iterdir()] == ["run.json"]
    assert (folder / "run.json").read_text() == content


def test_a_kill_while_sacred_writes_leaves_whole_json_files(results, tmp_path):
    """Sacred rewrites metrics.json in place, over and over; ours is replaced by a rename."""
    script = tmp_path / "go.py"
    script.write_text(
        "import sys\nfrom common.running import experiment\n"
        "ex = experiment.create('beat')\nex.observers.extend(experiment.observers())\n"
        "@ex.main\ndef run(_run):\n"
        "    _run.beat_interval = 0.01\n"
        "    for step in range(10**9):\n"
        "        _run.log_scalar('score', step, step)\n"
        "        step % 500 == 0 and print(step, flush=True)\n"
        "        step % 100 == 0 and _run._emit_heartbeat()\n"
        "ex.run()\n"
    )
    environment = os.environ | {"PYTHONPATH": str(provenance.ROOT)}
    for kill in range(3):
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", script], env=environment, stdout=subprocess.PIPE
        )
        for _ in range(4 + kill):
            process.stdout.readline()
        process.kill()
        process.communicate()
    found = sorted(results.glob("sacred/*/*.json"))
    assert sum(path.name == "metrics.json" for path in found) == 3
    for path in found:
        json.loads(path.read_text())


def test_records_that_cannot_be_written_are_a_note_and_lose_no_result(results, monkeypatch, capsys):
    """Sacred alone would warn, say COMPLETED and end with 0."""
    several = cells("ma_td3bc", "ma_icq")

    def full(self, obj, filename):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("common.running.experiment.AtomicFileStorageObserver.save_json", full)
    assert work.run(several, jobs=1, device="cpu") == []
    assert [PAPER.state(cell) for cell in several] == ["done", "done"]
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    assert len(notes) == 2 and all("without a Sacred run" in note for note in notes)
    assert all("No space left" in note or "could not write" in note for note in notes)


def test_a_record_that_fails_costs_its_program_no_other_cell(finished, monkeypatch, capsys):
    cell, result = finished
    cells_of_program = [replace(cell, slot=f"{cell.slot}/{index}") for index in range(4)]
    recorded = []

    class Recording(contextlib.nullcontext):
        def __enter__(self):
            return self

        def finished(self, cell, result):
            if cell.slot.endswith("/1"):
                raise ConnectionError("the database is gone")
            recorded.append(cell.slot[-1])

    other = work.Paper(**{**PAPER.__dict__, "record": Recording})
    monkeypatch.setattr(work, "paper", lambda name: other)
    work.keep(cells_of_program, [result] * 4)
    assert all(cell.path.exists() for cell in cells_of_program) and recorded == ["0", "2", "3"]
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"{cell.slot}/1: the database is gone" in error


def test_a_program_that_failed_is_not_tried_again_by_another_worker(results, monkeypatch):
    bad, good = cells("ma_icq", "ma_cql")
    tried = []

    def train(group, *rest):
        tried.append(group[0].slot)
        raise RuntimeError("no luck")

    monkeypatch.setattr(work, "train", train)
    failed = workers.flags(2)
    share = functools.partial(work.share_of, groups=[[bad], [good]], device="cpu", failed=failed)
    failures = [failure for index in range(8) for failure in share(index, lambda cost: None)]
    assert sorted(tried) == sorted([bad.slot, good.slot]) and len(failures) == 2
    assert [*failed] == [True, True]


def test_a_worker_that_waited_for_a_program_that_fails_does_not_try_it(results, monkeypatch):
    monkeypatch.setattr(work, "train", lambda *_: pytest.fail("tried again"))
    cell = cells("ma_icq")[0]
    failed = work.Attempt([True], 0)
    assert work.run_program([cell], "cpu", lambda cost: None, wait=True, attempt=failed)


def test_failures_name_a_cell_once_however_often_it_failed():
    failures = [work.Failure(["a", "b"], "no luck"), work.Failure(["b", "a"], "no luck")]
    assert work.sentences(failures) == ["a and 1 more: no luck"]


def test_a_diverged_seed_stays_in_the_table_and_changes_no_other(results, capsys):
    table = table4.TABLE
    chosen = table.cells("smoke")
    assert work.run(chosen, jobs=1, device="cpu") == []
    before = show(table, "smoke", {})
    result = store.read(chosen[0])
    result["seeds"][1] |= {"last_score": None, "best_score": None}
    store.store(chosen[0], result)
    after = show(table, "smoke", {})
    assert (
        [one for one in after[1:] if len(one.cells) == 1]
        == [one for one in before[1:] if len(one.cells) == 1]
        and after[0].summary.diverged == 1
        and after[0].mean == before[0].seeds[0]
    )
    assert "2 (1 diverged)" in writer.text(table, after)
    writer.write(table, "smoke", {}, after)
    written = writer.read_seeds(results / "smoke" / "omar" / "table4.seeds.csv")
    assert len(written[before[0].name]) == 2


def test_writing_replaces_whole_files_and_refuses_nan(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError), atomic(path) as part:
        part.write_text("half")
        raise ValueError
    assert json.loads(path.read_text()) == {"a": 1} and list(tmp_path.iterdir()) == [path]
    with pytest.raises(ValueError):
        write_json(path, {"a": float("nan")})


def test_a_host_with_a_long_name_can_write_files_with_long_names(tmp_path, monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "node" * 16)
    path = tmp_path / f"{'x' * 250}.json"
    write_json(path, {"a": 1})
    assert [*tmp_path.iterdir()] == [path]


def test_what_a_killed_process_left_half_written_is_swept_and_nothing_else(tmp_path):
    code = (
        "import os; from common.running.files import atomic\n"
        f"with atomic('{tmp_path}/a/b-1.json') as part:\n    os.kill(os.getpid(), 9)"
    )
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=os.environ | {"PYTHONPATH": str(provenance.ROOT)},
    )
    with atomic(tmp_path / "a" / "mine.json") as part:
        elsewhere = tmp_path / "a" / ".0123456789abcdef-1-x7.part"
        elsewhere.write_text("of another machine")
        assert len(list(tmp_path.rglob("*.part"))) == 3
        sweep(tmp_path)
        assert {*tmp_path.rglob("*.part")} == {part, elsewhere}


def test_statistics_by_hand():
    facts = scores.summary([1.0, 2.0, 3.0, 10.0])
    assert facts.mean == 4 and facts.iqm == 2.5
    assert facts.std == pytest.approx(3.5355, abs=1e-4)
    assert facts.low < 4 < facts.high and facts == scores.summary([1.0, 2.0, 3.0, 10.0])
    assert scores.summary([1.0, None, float("inf")]).diverged == 2
    assert scores.summary([None]).mean is None
    assert runs_folder().name


def test_a_missing_gpu_is_said():
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="finds no GPU"):
            work.pick_device("cuda")
