"""What is stale is shown as stale by every command, and the comparison with the reference sees what
a regression test must see.
"""

import dataclasses
import json
import math
import os
import re
import shutil

import numpy as np
import pytest

from common import suite
from common.reporting import catalogue, regression, report, scores, section, stored, writer
from common.reporting.shown import Shown, show
from common.reporting.stored import Stored
from common.running import cells as store
from common.running import provenance
from common.running.cells import runs_folder
from common.running.sources import code_hashes
from papers.omar.experiment import PAPER as OMAR

ONLY = ["--preset", "smoke", "--only", "omar/table1"]
TABLE = catalogue.table("omar/table1")
OTHER = {"papers/omar/omar.py": "other"}


def change_code(monkeypatch) -> None:
    """As if OMAR's file had been edited since."""
    present = store.code_hashes
    monkeypatch.setattr(store, "code_hashes", lambda roots: present(roots) | OTHER)


@pytest.fixture
def accepted(tmp_path, monkeypatch, capsys):
    """OMAR's Table 1 at smoke, run here and accepted into a reference of the test's own."""
    monkeypatch.setenv("OMZ_RESULTS", str(tmp_path / "results"))
    monkeypatch.setattr(stored, "REFERENCE", tmp_path / "reference")
    assert suite.main([*ONLY, "--jobs", "1"]) == 0
    assert suite.main(["accept", *ONLY]) == 0
    capsys.readouterr()
    return tmp_path / "reference" / "smoke" / "omar"


def run_here(preset, means) -> None:
    """OMAR's Table 1 at a preset as if this machine had run it."""
    for entry, mean in zip(TABLE.entries_at(preset), means, strict=True):
        cell = entry.cells[0]
        made = store.made_with(cell, {}, OMAR.data.recipes(cell), 1.0, "cpu", OMAR.roots(cell))
        seeds = [
            {"seed": seed, "last_return": mean + seed, "best_score": mean + seed, "curve": [mean]}
            for seed in range(3)
        ]
        store.store(cell, {"seeds": seeds, "rounds": [1], **made})
    writer.write(TABLE, preset, {}, show(TABLE, preset, {}))


def test_after_a_change_of_code_diff_says_stale_and_fails(accepted, monkeypatch, capsys):
    assert suite.main(["diff", *ONLY]) == 0
    assert capsys.readouterr().out.count("identical") == 3
    change_code(monkeypatch)
    assert suite.main(["diff", *ONLY]) == 4
    printed = capsys.readouterr().out
    assert "identical" not in printed and printed.count("STALE: code changed") == 3


def test_after_a_change_of_code_the_report_says_stale(tmp_path, monkeypatch):
    monkeypatch.setenv("OMZ_RESULTS", str(tmp_path))
    run_here("quick", [110.0, 120.0, 130.0])
    html, markdown = report.build([TABLE])
    assert "made by this machine" in html and "111.0" in html
    assert report.state(TABLE, "quick") == "complete"
    change_code(monkeypatch)
    assert report.state(TABLE, "quick") == "0 of 3 entries, 3 stale"
    html, markdown = report.build([TABLE])
    cell = r"<td class=stale><a [^>]*>stale: code changed \(papers/omar/omar.py\)</a>"
    assert len(re.findall(cell, html)) == 3
    assert "3 entries are stale" in html and "111.0" not in html
    assert "stale: code changed" in markdown and "111.0" not in markdown


def test_what_is_stale_is_not_exported(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OMZ_RESULTS", str(tmp_path))
    run_here("quick", [110.0, 120.0, 130.0])
    change_code(monkeypatch)
    assert suite.main(["export", "--only", "omar/table1"]) == 0
    printed = capsys.readouterr()
    assert "nothing has been run" in printed.out
    assert "3 of 3 entries left out, as stale: code changed" in printed.err


def test_a_lost_cell_is_missing_in_the_report(tmp_path, monkeypatch):
    monkeypatch.setenv("OMZ_RESULTS", str(tmp_path))
    run_here("quick", [110.0, 120.0, 130.0])
    TABLE.entries_at("quick")[0].cells[0].path.unlink()
    assert report.state(TABLE, "quick") == "2 of 3 entries, 1 missing"
    assert re.search("<td class=missing><a [^>]*>missing</a>", report.build([TABLE])[0])


def test_a_picture_older_than_its_cells_is_drawn_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("OMZ_RESULTS", str(tmp_path))
    run_here("quick", [110.0, 120.0, 130.0])
    path = runs_folder() / "quick" / "omar" / "table1.png"
    cells = TABLE.cells("quick")
    path.touch()
    assert section.newest(TABLE, "quick", path)
    time = path.stat().st_mtime_ns
    os.utime(cells[0].path, ns=(time + 1, time + 1))
    assert not section.newest(TABLE, "quick", path)
    os.utime(cells[0].path, ns=(time, time))
    cells[0].path.unlink()
    assert not section.newest(TABLE, "quick", path)


def test_a_reference_of_older_code_says_which_commit_made_it(accepted, monkeypatch):
    there = stored.judged(TABLE, "smoke")
    assert not there.outdated and "older" not in there.maker
    present = stored.is_present
    monkeypatch.setattr(stored, "is_present", lambda code, roots: present(code | OTHER, roots))
    there = stored.judged(TABLE, "smoke")
    assert {*there.outdated.values()} == {"code changed"}
    assert there.maker.startswith("commit ") and there.maker.endswith(", older code")
    shutil.rmtree(runs_folder())
    assert report.state(TABLE, "smoke") == f"complete, by {there.maker}"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"config": {}}, "configuration changed"),
        ({"recipe": {}}, "data changed"),
    ],
)
def test_a_reference_of_other_settings_or_data_is_outdated(accepted, change, reason):
    there = stored.committed(TABLE, "smoke")
    first = there.entries[0]
    other = dataclasses.replace(first, made=first.made | change)
    present = TABLE.entries_at("smoke")[0]
    assert stored.changed_since(first, present, there.facts) == ""
    assert stored.changed_since(other, present, there.facts) == reason


def test_options_that_came_later_outdate_nothing_at_their_recorded_values(accepted, monkeypatch):
    there = stored.committed(TABLE, "smoke")
    entry, present = there.entries[0], TABLE.entries_at("smoke")[0]
    (cell,) = present.cells
    grown = dataclasses.replace(cell, config=cell.config | {"later": 1})
    later = dataclasses.replace(present, cells=(grown,))
    assert stored.changed_since(entry, later, there.facts) == "configuration changed"
    name, hashed = next(iter(code_hashes(OMAR.roots(cell)).items()))
    shown_equal = {"code": {name: ["older", hashed]}, "added_config": {"later": 1}}
    known = [*provenance.recorded_equivalences(), shown_equal]
    monkeypatch.setattr(provenance, "recorded_equivalences", lambda: known)
    facts = there.facts | {"code": there.facts["code"] | {name: "older"}}
    assert stored.changed_since(entry, later, facts) == ""
    another = dataclasses.replace(cell, config=cell.config | {"later": 2})
    other = dataclasses.replace(present, cells=(another,))
    assert stored.changed_since(entry, other, facts) == "configuration changed"


def test_data_that_later_code_builds_to_the_byte_outdate_nothing(accepted, monkeypatch):
    there = stored.committed(TABLE, "smoke")
    entry, present = there.entries[0], TABLE.entries_at("smoke")[0]
    slot, recipes = next(iter(entry.made["recipe"].items()))
    _, _, now = next(iter(recipes.values())).partition(".")
    older = {run: recipe.replace(now, "older") for run, recipe in recipes.items()}
    before = dataclasses.replace(entry, made=entry.made | {"recipe": {slot: older}})
    assert stored.changed_since(before, present, there.facts) == "data changed"
    task = present.cells[0].config["task"]
    shown_equal = {"code": {}, "data_code": {task: ["older", now]}}
    known = [*provenance.recorded_equivalences(), shown_equal]
    monkeypatch.setattr(provenance, "recorded_equivalences", lambda: known)
    assert stored.changed_since(before, present, there.facts) == ""


def test_a_cell_that_several_entries_share_is_counted_once(accepted):
    there = stored.committed(TABLE, "smoke")
    once = sum(sum(entry.made["seconds"].values()) for entry in there.entries)
    twice = dataclasses.replace(there, entries=[*there.entries, *there.entries])
    assert 0 < twice.seconds == pytest.approx(once)


def test_the_committed_reference_is_shown_with_its_commit():
    page, _ = report.build([TABLE])
    commit = stored.short(stored.committed(TABLE, "quick").facts["commit"])
    assert f"by commit {commit}" in page


def test_entries_that_a_script_has_got_since_are_missing(accepted):
    assert stored.committed(TABLE, "smoke").whole
    facts = json.loads((accepted / "table1.json").read_text())
    gone = facts["entries"].pop()
    (accepted / "table1.json").write_text(json.dumps(facts))
    there = stored.committed(TABLE, "smoke")
    (missing,) = there.undone("missing")
    assert missing.name == (gone["row"], gone["column"]) and not there.whole
    assert stored.state_of(TABLE, there).endswith("1 missing")


def test_markdown_shows_html_as_text():
    page = report.Page()
    page.heading(2, "<script>alert(1)</script>")
    page.paragraph("<img onerror=x> & more")
    page.table([["<b>a|b</b>"]], ["<i>"], "<u>")
    text = "\n".join(page.markdown)
    assert not any(mark in text for mark in ("<script", "<img", "<b>", "<i>"))
    assert r"&lt;b&gt;a\|b&lt;/b&gt;" in text


def test_a_broken_json_is_one_sentence(accepted, capsys):
    for content in ("[]", "null", "{", '{"entries": [1]}', '{"entries": [{"row": "a"}]}'):
        (accepted / "table1.json").write_text(content)
        assert suite.main(["diff", *ONLY]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and "table1.json is not a table's JSON" in error


def entry(row, sample, **made) -> Shown:
    sample = dict(enumerate(sample)) if not isinstance(sample, dict) else sample
    summary = scores.summary(list(sample.values()))
    facts = {"config": {}, "data": {}, "kind": "here"} | made
    return Shown(row, "c", ("x",), "done", summary, seeds=sample, made=facts)


def judged(ours, theirs, same=False, times=()):
    """Words of entries, of samples by row."""
    fresh = Stored(stored.HERE, None, {}, [entry(*pair) for pair in ours.items()])
    entries = [entry(*pair) for pair in theirs.items()]
    outdated = {} if same else {item.name: "code changed" for item in entries}
    committed = Stored(stored.COMMITTED, None, {}, entries, outdated)
    judgements = regression.judge(fresh, committed, {(row, "c") for row in times})
    return {name[0]: judgement for name, judgement in judgements.items()}


def drawn(seed=0, rows=12, count=3, sd=7.0):
    random = np.random.default_rng(seed)
    return {f"row {row}": [*(50 + 5 * row + sd * random.normal(size=count))] for row in range(rows)}


def test_one_seed_of_three_that_moved_is_found():
    theirs = drawn()
    ours = drawn(1) | {"row 3": [theirs["row 3"][0], theirs["row 3"][1], 1000.0]}
    words = judged(ours, theirs)
    assert words["row 3"].word == "DIFFERS" and "one seed at 1000" in words["row 3"].why
    assert {item.word for row, item in words.items() if row != "row 3"} == {"consistent"}


def test_lost_and_diverged_seeds_and_lost_entries_are_found():
    theirs = drawn(rows=4)
    ours = {
        "row 0": dict(enumerate(theirs["row 0"][:1])),
        "row 1": [*theirs["row 1"][:2], None],
        "row 2": theirs["row 2"],
    }
    words = {row: str(item) for row, item in judged(ours, theirs).items()}
    assert words["row 0"] == "LOST SEEDS: 1, 2" and words["row 1"] == "DIVERGED: seed 2"
    assert (words["row 2"], words["row 3"]) == ("identical", "GONE")


def test_the_same_code_must_give_the_same_bits():
    theirs = drawn()
    changed = math.nextafter(theirs["row 5"][1], math.inf)
    ours = theirs | {"row 5": [theirs["row 5"][0], changed, theirs["row 5"][2]]}
    words = judged(ours, theirs, same=True)
    assert words.pop("row 5").regression
    assert {item.word for item in words.values()} == {"identical"}
    assert not any(item.regression for item in judged(ours, theirs).values())


def test_another_machine_may_round_otherwise():
    mine, other = entry("a", [1.0, 2.0]), entry("a", [1.0, 2.0], kind="there")
    assert regression.alike(mine, mine, outdated=False)
    assert not regression.alike(mine, other, outdated=False)
    assert not regression.alike(mine, mine, outdated=True)


def test_times_are_shown_and_never_a_regression():
    theirs = {"slow": [100.0, 101.0, 102.0]}
    words = judged({"slow": [900.0, 901.0, 902.0]}, theirs, same=True, times=["slow"])
    assert words["slow"].word == "time" and not words["slow"].regression
    runtime = catalogue.table("omar/runtime")
    entries = {(entry.row, entry.column) for entry in runtime.entries_at("quick")}
    assert regression.timed(runtime, "quick") == entries
    assert ("fused", "percent_over_ma_cql") in entries
    assert not regression.timed(TABLE, "quick")


def test_rounding_of_seeds_that_are_all_alike_is_no_regression():
    theirs = {"solved": [1.0, 1.0, 1.0]}
    assert not judged({"solved": [1.0, 1.0, 1.0 + 1e-9]}, theirs)["solved"].regression


def test_new_random_numbers_raise_one_false_alarm_in_twenty_tables():
    alarms = [
        any(item.regression for item in judged(drawn(2 * i), drawn(2 * i + 1)).values())
        for i in range(120)
    ]
    assert np.mean(alarms) < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 120)


def found(shift, rows) -> float:
    """Share of tables in which a shift of all seeds of some rows is found."""
    hits = []
    for i in range(60):
        ours = drawn(2 * i)
        ours |= {row: [value + shift for value in ours[row]] for row in rows}
        words = judged(ours, drawn(2 * i + 1))
        hits.append(any(item.regression for item in words.values()))
    return float(np.mean(hits))


def test_the_shift_that_the_power_table_names_is_found_in_four_of_five_cases():
    entries = [entry(row, sample) for row, sample in drawn(7, rows=12).items()]
    seen = regression.power(Stored(stored.COMMITTED, None, {}, entries), set())
    assert (seen.entries, seen.seeds) == (12, 3)
    error = scores.Student(7 * math.sqrt(2 / 3), 4)
    shift = regression.least_shift(error, regression.FALSE_ALARMS / 13 / 2)
    assert found(shift, ["row 0"]) == pytest.approx(0.8, abs=0.13)
    assert seen.whole < shift / 3
    strata = scores.student([((error.error / 12) ** 2, 4)] * 12)
    whole = regression.least_shift(strata, regression.FALSE_ALARMS / 13)
    assert found(whole, [f"row {row}" for row in range(12)]) > 0.7


def test_diff_prints_what_it_sees(accepted, capsys):
    assert suite.main(["diff", *ONLY]) == 0
    printed = capsys.readouterr().out
    assert "one entry" in printed and "whole table" in printed
    assert "3 entries compared: 3 equal, 0 with other numbers within chance, 0 diff" in printed
    row = next(line for line in printed.splitlines() if line.startswith("omar/table1  "))
    assert row.split()[1] == "3" and row.endswith("raw return")


def test_one_changed_seed_of_the_reference_fails_the_command(accepted, capsys):
    path = accepted / "table1.seeds.csv"
    header, first, *rest = path.read_text().splitlines()
    words = first.split(",")
    words[4] = str(float(words[4]) + 1000)
    path.write_text("\n".join([header, ",".join(words), *rest]) + "\n")
    assert suite.main(["diff", *ONLY]) == 4
    printed = capsys.readouterr().out
    assert "DIFFERS: seed 0" in printed and "same code, data and machine" in printed
