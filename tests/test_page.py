"""Sections of the results page: what is shown of a table, what is not, and why."""

import io
from dataclasses import replace

import pytest
from PIL import Image

from common.reporting import catalogue, claims, figures, findings, report, scores, section, stored
from common.reporting.claims import Claim
from common.reporting.edition import Edition
from common.reporting.markup import TALL, Page, inline, size_of
from common.reporting.shown import Shown
from common.reporting.stored import COMMITTED, Stored

TABLE = replace(catalogue.table("omar/table3"), names={"ours": "OUR METHOD"}, ours="ours")


def entry(row, column, values=(), **facts) -> Shown:
    """An entry of these values, by seed."""
    seeds = dict(enumerate(values))
    state = "done" if values else "missing"
    return Shown(row, column, ("cell",), state, scores.summary([*values]), seeds=seeds, **facts)


def stored_in(tmp_path, *entries) -> Stored:
    """These entries as a table of the reference."""
    return Stored(COMMITTED, tmp_path, {}, [*entries])


def edition_of(there) -> Edition:
    """A page's source in which every table is this one, without pictures."""
    return Edition(there.folder, lambda table, preset: there, (), draw=False)


def aggregates(there) -> str:
    """HTML of what is said of all tasks together."""
    page = Page()
    section.show_aggregates(page, TABLE, there, "quick", edition_of(there))
    return "".join(page.html)


@pytest.mark.parametrize("runs", [2, 3])
def test_nothing_is_said_of_all_tasks_from_two_runs(tmp_path, monkeypatch, runs):
    monkeypatch.setattr(claims, "of_paper", lambda paper: [])
    better, worse = [5.0, 6.0, 7.0][:runs], [1.0, 2.0, 3.0][:runs]
    there = stored_in(tmp_path, entry("a", "ours", better), entry("a", "theirs", worse))
    page = aggregates(there)
    assert ("fewer than 3 runs of a method on a task" in page) == (runs < 3)
    assert ("that a run of OUR METHOD beats" in page) == (runs > 2)


def test_nothing_is_said_of_all_tasks_where_a_premise_is_not_shown(tmp_path, monkeypatch):
    premise = Claim("", "anybody walks", "table3", ((("a", "ours"), None),), above=10)
    claim = Claim("1", "x", "table3", ((("a", "ours"), None),), above=0, premise=premise)
    monkeypatch.setattr(claims, "of_paper", lambda paper: [claim])
    there = stored_in(
        tmp_path, entry("a", "ours", [5.0, 6.0, 7.0]), entry("a", "theirs", [1.0, 2.0, 3.0])
    )
    page = aggregates(there)
    assert "premise not so here: anybody walks" in page and "beats" not in page


def png_of(width, height) -> bytes:
    """A picture of this size."""
    content = io.BytesIO()
    Image.new("RGB", (width, height)).save(content, format="PNG")
    return content.getvalue()


def test_bars_are_drawn_of_few_rows_in_one_unit():
    few, many = ([entry(f"{row}", "ours", [1.0]) for row in range(n)] for n in (16, 17))
    assert figures.suits_bars(TABLE, few) and not figures.suits_bars(TABLE, many)
    for unit in ("as the column says", "as named", "%, or return"):
        assert not figures.suits_bars(replace(TABLE, unit=unit), few)


def test_bars_of_many_rows_are_no_wider_than_a_screen(tmp_path):
    shown = [entry(f"{row}", column, [1.0]) for row in range(16) for column in ("ours", "b")]
    figures.bars(TABLE, shown, tmp_path / "bars.png", "quick")
    with Image.open(tmp_path / "bars.png") as picture:
        assert picture.width < 1200


def test_a_picture_says_its_size_and_is_folded_where_it_is_tall():
    page = Page()
    for height in (TALL, TALL + 1):
        source = inline(png_of(30, height))
        assert size_of(source) == (30, height)
        page.picture(source, "says")
    low, tall = page.html
    assert f'width="30" height="{TALL}"' in low and low.startswith("<figure")
    assert tall.startswith("<details")


def test_a_key_of_several_parts_is_called_by_theirs():
    table = replace(TABLE, names={"i_bcq": "I-BCQ", "ours": "CAST-BCQ", "ours - x": "gap"})
    assert table.called("hopper/i_bcq, masked") == "hopper/I-BCQ, masked"
    assert table.called_row("ours - i_bcq") == "CAST-BCQ - I-BCQ"
    assert table.called("ours - x") == "gap" and table.called("best of ours") == "best of ours"


def test_columns_without_anything_are_left_out():
    header, rows = section.filled(["row", "published", "ours"], [["a", "-", "1 +- 2"]])
    assert header == ["row", "ours"] and rows == [["a", "1 ± 2"]]


@pytest.mark.parametrize(("points", "says"), [(1, "one point"), (2, "2 points"), (3, "")])
def test_curves_of_a_point_or_two_are_no_picture(tmp_path, points, says):
    learned = {"rounds": [*range(points)], "curves": {0: [1.0] * points}}
    there = stored_in(tmp_path, entry("a", "ours", [1.0], **learned))
    assert section.no_picture(TABLE, there) == ""
    assert says in section.no_picture(replace(TABLE, x="updates"), there)


def test_above_a_small_preset_that_is_whole_stands_how_much_there_is_of_a_larger_one(
    tmp_path, monkeypatch
):
    whole = stored_in(tmp_path, entry("a", "ours", [1.0]))
    begun = stored_in(tmp_path, entry("a", "ours", [1.0]), entry("b", "ours"))
    there_are = {"quick": whole, "standard": begun}
    shown = []
    monkeypatch.setattr(section, "full", lambda table, there: there)
    monkeypatch.setattr(section, "show_preset", lambda page, table, name, *_: shown.append(name))
    page = Page()
    edition = replace(edition_of(whole), source=lambda table, preset: there_are.get(preset))
    section.show_table(page, TABLE, edition)
    assert shown == ["quick", "standard"]
    assert "standard: 1 of 2 entries, 1 missing, below" in "".join(page.html)


def test_a_caption_does_not_scroll_with_its_table_and_is_said_once():
    page = Page()
    page.table([["1"]], ["a"], "what it shows")
    page.table([["1"]], ["a"], "what it shows", folded=True)
    plain, folded = page.html
    assert plain.startswith('<p class=caption>what it shows</p><div class="scroll"')
    assert "caption>" not in folded and "<summary>what it shows</summary>" in folded


def test_the_page_needs_no_script_and_has_its_contents_on_a_phone_too():
    tables = catalogue.find("otc/table2")
    html, _ = report.build(tables, report.of_the_reference(draw=False))
    assert "<script" not in html
    assert html.count('<a href="#otc-table2">Table 2</a>') == 2
    assert "<nav class=index aria-label=contents><details>" in html
    assert "#others" not in html and "Other runs" not in html


def test_a_single_addition_is_told_in_the_singular():
    lines = claims.ledger(["cast_bcq"], presets=("quick",), sources=(stored.committed,))
    tested = [line for line in lines if line.verdict in findings.ONE]
    line = next(line for line in tested if not line.alone)
    whose = "of ours"
    one = line._replace(verdict="undecided")
    says = "The one addition of ours is undecided"
    assert findings.told([one], "addition", whose) == f"{says}; preset quick."
    one = one._replace(alone="holds")
    alone = f"{says} (tested alone, it would hold); preset quick."
    assert findings.told([one], "addition", whose) == alone
    assert findings.told(tested[:2], "claim", "of the paper").startswith("Of 2 claims of the paper")


def test_evidence_without_a_test_has_no_gap():
    lines = claims.ledger(["moma_ppo"], presets=("quick",), sources=(stored.committed,))
    untested = [line for line in lines if line.mean and not line.p]
    assert untested and not any(", ," in findings.evidence(line) for line in untested)
