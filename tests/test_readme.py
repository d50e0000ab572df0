"""The pages: generated tables are fresh, text is short, links lead somewhere."""

import io
import json
import re
import signal
import urllib.parse
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common import suite
from common.reporting import catalogue, readme, report, section
from common.reporting.tables import REFERENCE
from common.running.provenance import ROOT

PAGES = sorted(
    path
    for pattern in ("*.md", "common/*.md", "envs/*.md", "papers/*/*.md", "results/*.md")
    for path in ROOT.glob(pattern)
)
NAMES = [str(path.relative_to(ROOT)) for path in PAGES]


def typed(page) -> str:
    """A page without its generated blocks and code."""
    text = readme.BLOCK.sub("", page.read_text())
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def test_generated_tables_are_what_the_reference_says():
    hint = "run ./run_all.sh readme"
    assert not readme.stale(), hint


def test_the_results_page_is_what_the_reference_says():
    hint = "run ./run_all.sh readme"
    assert not report.is_stale(), hint


def test_a_changed_number_makes_the_results_page_stale(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "REPORT", tmp_path / "results" / "report.html")
    assert report.is_stale()
    page = report.build(catalogue.find("otc/table2"), report.of_the_reference(draw=False))[0]
    with_picture = page.replace("</figure>", '<img alt="a" src="data:,">\n</figure>')
    assert report.compared(page) == report.compared(with_picture)
    assert "<script" not in page and "http" not in page.replace("http-equiv", "")
    assert report.compared(page) != report.compared(page.replace("<b>", "<b>1", 1))


def test_the_results_page_leads_to_files_and_places_that_there_are():
    page = report.REPORT.read_text()
    named = re.findall(r'\bid="?([\w-]+)', page)
    places = {*named}
    assert len(named) == len(places)
    missing = [
        target
        for target in re.findall(r'href="([^"]+)"', page)
        if (
            target[1:] not in places
            if target[0] == "#"
            else not (report.REPORT.parent / urllib.parse.unquote(target)).exists()
        )
    ]
    assert not missing
    assert all(f'id="{table.slot.replace("/", "-")}"' in page for table in catalogue.find())


def test_a_changed_number_makes_a_page_stale(tmp_path, monkeypatch):
    page = tmp_path / "README.md"
    page.write_text("# x\n\n<!-- generated: state -->\n| typed |\n<!-- end -->\n")
    monkeypatch.setattr(readme, "pages", lambda: [page])
    monkeypatch.setattr(readme, "stamp", list)
    monkeypatch.setattr(report, "write_reference", lambda: None)
    assert readme.stale() == [page] == readme.write()
    assert readme.stale() == [] == readme.write() and "| typed |" not in page.read_text()
    page.write_text(page.read_text().replace("hold", "held"))
    assert readme.stale() == [page]


def test_a_page_may_have_blocks_of_several_papers(tmp_path):
    page = tmp_path / "README.md"
    blocks = [f"<!-- generated: review of {paper} -->\n<!-- end -->" for paper in ("omar", "otc")]
    page.write_text("\n".join(blocks))
    content = readme.filled(page)
    assert content.index("papers/omar/table3.py with") < content.index("papers/otc/claims.py with")
    assert "papers/omar" not in content[content.index("review of otc") :]


def test_a_block_that_nothing_makes_is_said(tmp_path):
    page = tmp_path / "README.md"
    page.write_text("<!-- generated: wishes -->\n<!-- end -->\n")
    with pytest.raises(ValueError, match="a block 'wishes', expected one of state"):
        readme.filled(page)


@pytest.mark.parametrize("paper", catalogue.papers())
def test_a_paper_has_both_pages_with_their_blocks(paper):
    folder = ROOT / "papers" / paper
    blocks = {
        page: [match[1] for match in readme.BLOCK.findall((folder / page).read_text())]
        for page in ("README.md", "notes.md")
    }
    own = [*readme.of_paper(paper)]
    assert blocks["README.md"] == ["verdicts", "scripts"]
    assert blocks["notes.md"] == ["claims", *own, "departures"]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_paragraphs_have_at_most_five_lines(page):
    for block in typed(page).split("\n\n"):
        lines = block.strip().splitlines()
        prose = not block.startswith(("|", "    ", "- ", "1. ", "#", "<!--"))
        assert not prose or len(lines) <= 5, lines[0]
        assert all(len(line) <= 120 for line in lines if not line.startswith(("|", "!"))), lines[0]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if target.startswith("http"):
            continue
        path, _, heading = target.partition("#")
        there = page.parent / path if path else page
        assert there.exists(), target
        if heading and there.suffix == ".md":
            assert heading in headings(there), target


def headings(page: Path) -> set[str]:
    """A page's anchors, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_a_paper_readme_is_one_screen_of_text():
    for paper in catalogue.papers():
        text = typed(ROOT / "papers" / paper / "README.md")
        assert len(text.splitlines()) <= 45 and len(text.split()) <= 250, paper
    assert len(typed(ROOT / "README.md").splitlines()) <= 60


def test_every_committed_table_says_which_commit_made_it():
    for path in sorted(REFERENCE.glob("*/*/*.json")):
        for commit in json.loads(path.read_text())["commit"].split(", "):
            assert re.fullmatch(r"[0-9a-f]{7,40}(-dirty)?", commit), path


def test_commits_are_shown_short_with_what_was_not_committed():
    assert readme.short("0123456789ab, abcdef0123-dirty") == "0123456, abcdef0-dirty"
    assert readme.short("") == ""


def test_every_module_of_common_is_named_on_its_page():
    text = (ROOT / "common" / "README.md").read_text()
    for wing in ("learning", "running", "reporting"):
        section = text.partition(f"\n## {wing.title()}\n")[2].partition("\n## ")[0]
        for path in (ROOT / "common" / wing).glob("*.py"):
            assert path.name == "__init__.py" or f"`{path.name}`" in section, path


def test_a_picture_keeps_the_colours_of_its_lines():
    lines, rare = np.zeros((40, 300, 3), np.uint8), np.arange(300)
    lines[::2], lines[1::2] = (38, 135, 189), (38, 172, 136)
    lines[0] = np.stack([rare % 256, rare // 256, rare % 7], 1)
    content = io.BytesIO()
    Image.fromarray(lines).save(content, format="PNG")
    small = np.asarray(Image.open(io.BytesIO(section.small(content.getvalue()))).convert("RGB"))
    assert (small[1:] == lines[1:]).all() and (small[0] != lines[0]).any()


def test_exit_codes_of_signals_are_what_the_page_and_the_help_say():
    page = (ROOT / "common" / "README.md").read_text()
    for name in ("SIGHUP", "SIGUSR1", "SIGPIPE", "SIGTERM"):
        words = f"{128 + signal.Signals[name]} {name}"
        assert words in page and words in suite.EPILOG


def test_a_verdict_says_when_its_control_does_not_hold():
    line = readme.ledger_of("omar")[0]
    usual = line._replace(preset="quick", verdict="holds", caveat="")
    assert readme.verdict_at([usual], "quick") == "holds"
    bare = usual._replace(caveat="control not shown here: without c")
    assert readme.verdict_at([bare], "quick") == "holds; control not shown here"
    assert readme.verdict_at([usual], "paper") == readme.NOTHING


def test_the_reviewer_sees_what_committed_cells_took():
    assert re.search(
        r"on one core, [\d.]+ (h|days) at standard, [\d.]+ h at paper", readme.hours("omar")
    )


def test_the_state_of_a_paper_names_the_commits_that_made_it():
    for paper in catalogue.papers():
        there = readme.complete(catalogue.find(f"{paper}/*"), "quick")
        assert re.search(r"\([0-9a-f]{7,}(-dirty)?[,) ]", there), there
