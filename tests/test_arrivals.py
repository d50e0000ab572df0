"""A suite shows its tables when they are done, under one bar, and writes a log."""

import sys
from pathlib import Path

from common import suite
from common.reporting import arrivals, catalogue, planning
from common.running import progress, workers
from common.running.cells import runs_folder


def test_every_table_is_printed_once_and_when_its_cells_are_done(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OMZ_RESULTS", str(tmp_path))
    monkeypatch.setattr(progress, "EVERY", 0.0)
    only = ["--only", "omar/table1", "--only", "omar/table2", "--preset", "smoke", "--jobs", "1"]
    assert suite.main(only) == 0
    printed = capsys.readouterr()
    for name in ("table1", "table2"):
        assert printed.out.count(f"omar/{name}: ") == 1
    early = printed.out.index("report, as far as it goes: ")
    assert printed.out.index("omar/table") < early < printed.out.rindex("omar/table")
    assert printed.out.count("report: ") == 1
    [log] = Path(runs_folder() / "logs").glob("*.log")
    assert [line.split()[2] for line in log.read_text().splitlines() if "is done" in line] == [
        "omar/table1",
        "omar/table2",
    ]
    assert "begins: suite, preset smoke" in log.read_text() and "ends: " in log.read_text()
    assert suite.main(only) == 0  # nothing to do: all of it at the end
    assert capsys.readouterr().out.count("omar/table1: ") == 1


def test_a_table_that_cannot_be_shown_hides_no_other(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("OMZ_RESULTS", str(tmp_path))
    shown = []

    def present(table, preset, options):
        if table.name == "table1":
            raise RuntimeError("no ink")
        shown.append(table.name)

    monkeypatch.setattr(arrivals.script, "present", present)
    tables = [catalogue.table("omar/table1"), catalogue.table("omar/table2")]
    pages = arrivals.Arrivals(tables, "smoke", {})
    (failure,) = pages.rest()
    assert failure.startswith("omar/table1: ") and "no ink" in failure
    assert shown == ["table2"]


def test_tables_come_before_figures_and_the_rest_and_cheap_ones_first():
    order = planning.headlines_first(catalogue.find(), "quick", {})
    kinds = [catalogue.natural(table.name)[0] for table in order]
    costs = [planning.seconds_of(table.cells("quick")) for table in order]
    assert kinds == sorted(kinds) and kinds[0] == 0
    tables = costs[: kinds.count(0)]
    assert tables == sorted(tables)


def test_lines_of_a_process_are_handed_on_whole(capsys):
    heard = []
    with progress.heard_by(heard.append):
        print("one")
        print("two", "three\nfour", end="")
    assert heard == ["one", "two three"] and capsys.readouterr() == ("", "")


def loud(index, tell):
    """What a worker does that prints."""
    print(f"line of {index}")
    tell(2.0)


def test_lines_of_workers_reach_the_parent(capfd):
    told = []
    workers.share(1, loud, told.append)
    assert told == ["line of 0", 2.0] and capfd.readouterr().out == ""


def test_time_left_is_at_the_speed_since_the_start():
    bar = progress.Bar(total=1000.0, disable=False, file=sys.stderr)
    bar.jobs = 2
    bar.n, bar.start_t = 0.0, bar._time()
    assert bar.format_dict["left"] == "08:20"  # 1000 s of one core on two
    bar.n, bar.start_t = 440.0, bar._time() - 470.0  # one a second, of which 30 s as estimated
    assert bar.format_dict["left"] == "09:20"
    bar.close()
