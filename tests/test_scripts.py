"""Every script through its real main at preset smoke, and what the command lines refuse."""

import csv
import json
import subprocess
import sys

import pytest

from common import suite
from common.reporting import planning, readme, script, stored, writer
from common.reporting.shown import show
from common.running import work
from common.running.cells import runs_folder
from common.running.provenance import ROOT

SCRIPTS = suite.find("*")


def python(*arguments, **options):
    return subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, **options
    )


def run_main(table, *words) -> int:
    with pytest.raises(SystemExit) as stop:
        script.main(table, [f"papers/{table.slot}.py", *words])
    return stop.value.code


@pytest.mark.parametrize("table", SCRIPTS, ids=lambda t: t.slot)
def test_a_script_runs_at_smoke_and_writes_everything(table, capsys):
    assert run_main(table, "with", "smoke", "jobs=1", "device=cpu") == 0
    printed = capsys.readouterr().out
    if table.unavailable:
        assert table.unavailable in printed
        return
    folder = runs_folder() / "smoke" / table.paper
    with open(folder / f"{table.name}.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    entries = table.entries("smoke", table.defaults)
    assert len(rows) == len(entries)
    assert all(
        bool(row["mean"]) != bool(entry.missing) for row, entry in zip(rows, entries, strict=True)
    )
    facts = json.loads((folder / f"{table.name}.json").read_text())
    assert facts["preset"] == "smoke"
    assert all(
        entry["state"] == (made.missing or "done")
        for entry, made in zip(facts["entries"], entries, strict=True)
    )
    if table.cells("smoke"):
        assert all(
            entry["data"]
            for entry, made in zip(facts["entries"], entries, strict=True)
            if not made.missing
        )
        assert facts["code"] and facts["machine"]["kernels"] in ("native", "torch")
    with open(folder / f"{table.name}.seeds.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == sum(entry["n"] for entry in facts["entries"])
    picture = folder / f"{table.name}.png"
    drawn = table.cells("smoke") and writer.has_picture(table, show(table, "smoke", {}))
    assert picture.stat().st_size > 5000 if drawn else not picture.exists()
    assert "published" in printed and "95 % interval" in printed


def test_a_second_run_trains_nothing(capsys, monkeypatch):
    table = suite.find("omar/table1")[0]
    run_main(table, "with", "smoke", "jobs=1")
    monkeypatch.setattr(work, "run_program", lambda *a: pytest.fail("trained again"))
    assert run_main(table, "with", "smoke", "jobs=1") == 0


def test_a_script_works_from_anywhere_and_answers_help(tmp_path):
    done = python(ROOT / "papers/omar/table1.py", "--help", cwd=tmp_path)
    assert done.returncode == 0 and "smoke" in done.stdout and "with" in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["with", "smok"], "did you mean 'smoke'"),
        (["with", "sedes=[0]"], "did you mean 'seeds'"),
        (["with", "jobs=two"], "jobs is 'two'"),
        (["with", "seeds=[a]"], "expected a list of whole numbers"),
        (["with", "seeds=[-1]"], "expected a list of whole numbers"),
        (["with", "seeds=[]"], "expected a list of whole numbers"),
        (["with", "jobs=0"], "expected a whole number above 0"),
        (["with", "preset=../../x"], "preset is '../../x', expected 'smoke', 'quick'"),
        (["with", "force=3"], "force is 3"),
        (["with", "reading=code"], "expected 'released' or 'text'"),
        (["with", "device=gpu"], "device is 'gpu', expected 'auto', 'cpu' or 'cuda'"),
        (["with", "seeds=[4294967296]"], "between 0 and 4294967295"),
        (["smoke"], "write `with smoke`"),
        (["jobs"], "write `with jobs=...`"),
        (["shwo"], "did you mean 'show'?"),
        (["help", "print_confg"], "did you mean 'print_config'?"),
        (["--forse"], "unknown option '--forse'; did you mean '--force'?"),
        (["-zz"], "unknown option '-zz'; --help says what can be written"),
        (["with", "smoke", "--id=../../x"], "--id is not supported"),
        (["-e"], "--enforce_clean is not supported"),
        (["-q"], "--queue is not supported"),
        (["-C", "nowhere"], "--capture is 'nowhere', expected 'no', 'sys' or 'fd'"),
        (["-F", "/dev/null/x"], "/dev/null"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(words, message, capsys):
    assert run_main(suite.find("omar/table1")[0], *words) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seeds", "0,x"], "--seeds is '0,x'"),
        (["--seeds", "-1"], "--seeds is [-1], expected a list of whole numbers"),
        (["--seeds", "4294967296"], "between 0 and 4294967295"),
        (["--seeds="], "--seeds is '', expected whole numbers with commas between"),
        (["--jobs", "0"], "--jobs is 0, expected a whole number above 0"),
        (["--jobs", "two"], "--jobs is 'two', expected a whole number above 0"),
        (["--only", "../*"], "no script matches '../*'"),
        (["--only"], "--only: expected one argument"),
        (["--only", "omar/table1", "--only", "omar/tabel2"], "did you mean 'omar/table2'?"),
        (["--onyl", "omar/table1"], "unknown option '--onyl'; did you mean '--only'?"),
        (["--preset", "smokee"], "did you mean 'smoke'?"),
        (["--device", "gpu"], "--device is 'gpu', expected 'auto', 'cpu' or 'cuda'"),
        (["--executor", "rayy"], "did you mean 'ray'?"),
        (["reprot"], "did you mean 'report'?"),
        (["run", "report"], "unrecognized arguments: report"),
    ],
)
def test_bad_options_of_the_suite_are_one_sentence(words, message, capsys):
    assert suite.main(["--dry-run", *words]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["report", "--to", "pdf"], "--to is 'pdf', expected 'marl-eval' or 'tensorboard'"),
        (["report", "--to", "tensorboard"], "report has no use for --to, only export has"),
        (["diff", "--jobs", "3"], "diff has no use for --jobs, only run has"),
        (["claims", "--seeds", "0"], "claims has no use for --seeds, only run has"),
        (["accept", "--dry-run"], "accept has no use for --dry-run, only run has"),
        (
            ["claims", "--preset", "standard"],
            "claims has no use for --preset, but run and 4 more have",
        ),
        (["readme", "--only", "omar/*"], "readme has no use for --only, but run and"),
    ],
)
def test_an_option_that_a_command_has_no_use_for_is_refused(words, message, capsys):
    assert suite.main(words) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_claims_are_those_of_the_chosen_papers(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OMZ_RESULTS", str(tmp_path))
    assert suite.main(["claims", "--only", "otc/*"]) == 0
    printed = capsys.readouterr().out
    assert "\notc\n" in printed and "\nomar\n" not in printed


def test_the_list_counts_the_world_models_that_a_script_alone_would_train():
    cells = suite.find("moma_ppo/figure6")[0].cells("standard")
    models = [cell for cell in work.with_needed(cells) if cell not in cells]
    assert models
    expected = planning.duration(planning.seconds_of([*models, *cells]))
    assert planning.takes(cells)[0] == expected


def test_a_plan_names_no_world_model_that_nothing_left_to_do_needs(monkeypatch, capsys):
    table = suite.find("moma_ppo/figure6")[0]
    cells = table.cells("standard")
    monkeypatch.setattr(work, "pending", lambda asked: [one for one in asked if one not in cells])
    assert planning.plan([table], "standard", {}) == 0
    assert "world_model" not in capsys.readouterr().out


def test_several_patterns_add_up(capsys):
    words = ["--only", "omar/table1", "--only", "omar/table2", "--preset", "smoke"]
    assert suite.main([*words, "--list"]) == 0
    listed = capsys.readouterr().out
    assert "omar/table1 " in listed and "omar/table2 " in listed
    assert "omar/table3" not in listed


def test_more_processes_than_cores_are_remarked_upon(monkeypatch, capsys):
    monkeypatch.setattr(script.os, "cpu_count", lambda: 2)
    assert suite.main(["--only", "omar/figure6", "--dry-run", "--jobs", "999"]) == 0
    error = capsys.readouterr().err
    assert error.startswith("note: up to 999 processes on 2 cores") and error.count("\n") == 1
    script.note_jobs(2)
    script.note_jobs(None)
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("flag", "package"),
    [
        ("-m=localhost:1:db", "pymongo"),
        ("-s=x", "sqlalchemy"),
        ("-t=x", "tinydb"),
        ("-S=x", "boto3"),
    ],
)
def test_another_store_of_runs_says_which_package_it_needs(flag, package, monkeypatch, capsys):
    monkeypatch.setattr(script.importlib.util, "find_spec", lambda name: None)
    words = [*flag.split("="), "with", "smoke"]
    assert run_main(suite.find("omar/table1")[0], *words) == 2
    error = capsys.readouterr().err
    assert f"needs the package {package}" in error and error.count("\n") == 1


@pytest.mark.parametrize(
    "words", [["print_dependencies"], ["print_config"], ["print_named_configs"], ["save_config"]]
)
def test_sacreds_own_commands_work(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run_main(suite.find("omar/table1")[0], *words) == 0
    printed = capsys.readouterr().out
    assert printed.strip()
    assert (tmp_path / "config.json").exists() == (words == ["save_config"])


def test_suite_lists_plans_reports_and_diffs(capsys):
    only = ["--only", "omar/table1", "--preset", "smoke"]
    assert suite.main([*only, "--jobs", "1"]) == 0
    assert suite.main(["--list", "--preset", "smoke"]) == 0
    listed = capsys.readouterr().out
    assert all(table.slot in listed for table in SCRIPTS) and "3 done" in listed
    assert suite.main([*only, "--dry-run"]) == 0
    assert "3 of 3 cells are done" in capsys.readouterr().out
    assert suite.main(["report"]) == 0
    assert "<table>" in (runs_folder() / "report.html").read_text()
    assert suite.main(["--only", "omar/tabel1"]) == 2
    assert "did you mean 'omar/table1'" in capsys.readouterr().err


def test_diff_passes_on_equal_results_and_fails_on_a_regression(tmp_path, monkeypatch, capsys):
    table = suite.find("omar/table1")[0]
    run_main(table, "with", "smoke", "jobs=1")
    monkeypatch.setattr(stored, "REFERENCE", tmp_path)
    assert suite.main(["accept", "--only", "omar/table1", "--preset", "smoke"]) == 0
    assert suite.main(["diff", "--only", "omar/table1", "--preset", "smoke"]) == 0
    assert "identical" in capsys.readouterr().out
    path = tmp_path / "smoke/omar/table1.seeds.csv"
    header, *lines = path.read_text().splitlines()
    moved = [
        ",".join([*line.split(",")[:4], str(float(line.split(",")[4]) + 1e4), ""]) for line in lines
    ]
    path.write_text("\n".join([header, *moved]) + "\n")
    assert suite.main(["diff", "--only", "omar/table1", "--preset", "smoke"]) == 4
    assert "DIFFERS" in capsys.readouterr().out


def test_every_package_is_installed():
    import configparser

    from setuptools import find_packages

    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    include = config["options.packages.find"]["include"].split(", ")
    there = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for top in ("common", "envs", "papers")
        for path in (ROOT / top).rglob("*.py")
    }
    assert set(find_packages(str(ROOT), include=include)) == there


COMMANDS = [name for name in suite.COMMANDS if name != "readme"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_usage_runs_at_smoke(command, tmp_path, monkeypatch, capsys):
    """On OMAR's Table 1, which it trains first; the reference is a copy."""
    monkeypatch.setattr(stored, "REFERENCE", tmp_path)
    only = ["--only", "omar/table1", "--preset", "smoke"]
    assert suite.main([*only, "--jobs", "1"]) == 0
    takes = [word for word in ("--only", "--preset") if word in suite.COMMANDS[command].takes]
    flags = [word for flag in takes for word in (flag, only[only.index(flag) + 1])]
    assert suite.main([command, *flags]) == 0
    printed = capsys.readouterr()
    assert printed.out.strip() and not printed.err.count("error:")


def test_the_command_readme_fills_the_pages(tmp_path, monkeypatch, capsys):
    page = tmp_path / "README.md"
    page.write_text("<!-- generated: state -->\n<!-- end -->\n")
    monkeypatch.setattr(readme, "pages", lambda: [page])
    assert suite.main(["readme"]) == 0
    assert str(page) in capsys.readouterr().out and "scripts" in page.read_text()


def test_the_usage_names_every_command():
    usage = suite.usage()
    assert all(f"./run_all.sh {name} " in usage for name in (*suite.COMMANDS, "test"))


def test_the_departures_of_the_locked_environment_are_text(monkeypatch):
    """tabulate reads "10,000" as a number and fails, unless it is told not to."""
    assert "10,000" in suite.for_people([["10,000"]], ["updates"], [20])
