"""One offline report: the state of everything, the claims ledger, every table beside the published
numbers, pictures.

One HTML file without scripts or anything from the network, and the same as Markdown. Every number
says which file it is from and which command made it.
"""

import base64
import html as escape
import os
import re
import tempfile
import urllib.parse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tabulate import tabulate

from common.reporting import catalogue, claims, departures, figures, planning, scores, writer
from common.reporting.shown import Shown
from common.reporting.stored import HERE, Stored, state_of, stored
from common.reporting.tables import Table
from common.running.cells import PRESETS, runs_folder
from common.running.files import write_text

STYLE = """
:root {
  color-scheme: light dark;
  --line: #8886; --soft: #8882; --good: #0a7a3d; --bad: #b3261e; --open: #7a5c00;
}
@media (prefers-color-scheme: dark) {
  :root { --good: #5fd38d; --bad: #ff8a80; --open: #e0c060; }
}
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 0 auto; padding: 1rem; }
h1 { line-height: 1.2; } h3 { margin-top: 2rem; }
h2 { margin-top: 3rem; border-bottom: 2px solid var(--line); }
nav ul { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; list-style: none; padding: 0; }
.scroll { overflow-x: auto; margin: .5rem 0 1rem; } .scroll:focus { outline: 2px solid; }
table { border-collapse: collapse; font-size: 14px; }
caption { text-align: left; padding: .3rem 0; opacity: .85; }
th, td { border: 1px solid var(--line); padding: .25rem .5rem; }
th, td { text-align: left; vertical-align: top; }
thead th { background: var(--soft); }
td.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.holds { color: var(--good); font-weight: 600; }
.contradicted, .differs { color: var(--bad); font-weight: 600; }
.undecided, .stale, .missing, .too, .not { color: var(--open); }
img { max-width: 100%; height: auto; background: #fff; }
.facts { font-size: 14px; opacity: .85; } code { font-size: 90%; overflow-wrap: anywhere; }
summary { cursor: pointer; padding: .2rem 0; } summary:focus-visible { outline: 2px solid; }
@media print {
  details > * { display: block; } .scroll { overflow: visible; }
  body { max-width: none; font-size: 11px; } table { font-size: 9px; }
}
"""
TITLE = "offline-marl-zoo: reproduced beside published"
NUMBER = re.compile(r"[-+]?[\d.]+(e-?\d+)?( \+- [\d.]+)?( \[.*\])?( \(\d+ diverged\))?|\[.*\]")
WORDS = {*claims.VERDICTS, "differs", "too few runs", "not significant after correction"}
UNDONE = ("stale", "missing")  # first words of states
SHOWN_PRESETS = PRESETS[:0:-1]  # the largest budget first; smoke says nothing
CLAIM_HEADER = [
    "where",
    "claim",
    "holds if",
    "preset",
    "verdict",
    "mean [95 % interval]",
    "n",
    "p (Holm)",
    "made by",
    "why",
]
INTRODUCTION = (
    "Every number below was computed from files that runs wrote; nothing is typed in. Preset quick "
    "is a small budget (minutes on two CPU cores), preset paper the papers' own. Numbers of this "
    "machine whose code, data or settings have changed since are stale and left out; those of the "
    "committed reference say which commit made them, and whether its code is older. A verdict on a "
    "claim comes from a t test at 5 % for all claims of a paper and preset together (Holm); the "
    "intervals are 95 % each (Student's t). At quick most differences to published scores have the "
    "budget as their reason, orderings are what carries."
)
IMPROVEMENT = ["over", "probability", "95 % interval", "tasks"]


class Page:
    """HTML and Markdown, written side by side."""

    def __init__(self) -> None:
        self.html: list[str] = []
        self.markdown: list[str] = []

    def heading(self, level: int, text: str, anchor: str = "") -> None:
        name = f' id="{anchor}"' if anchor else ""
        self.html.append(f"<h{level}{name}>{escape.escape(text)}</h{level}>")
        self.markdown.append(f"\n{'#' * level} {plain(text)}\n")

    def paragraph(self, text: str, kind: str = "") -> None:
        self.html.append(f"<p{f' class={kind}' if kind else ''}>{escape.escape(text)}</p>")
        self.markdown.append(f"{plain(text)}\n")

    def table(
        self,
        rows: Sequence[Sequence],
        header: list[str],
        caption: str,
        folded: bool = False,
        links: Sequence[str] = (),
    ) -> None:
        table = html_table(rows, header, caption, links)
        if folded:
            table = f"<details><summary>{escape.escape(caption)}</summary>{table}</details>"
        self.html.append(table)
        escaped = [[plain(cell) for cell in row] for row in rows]
        titles = [plain(title) for title in header]
        text = tabulate(escaped, titles, tablefmt="github", disable_numparse=True)
        self.markdown.append(f"{text}\n")

    def picture(self, path: Path, says: str) -> None:
        """A PNG inside the page; in HTML only."""
        data = base64.b64encode(path.read_bytes()).decode()
        name = escape.escape(says, quote=True)
        source = f"data:image/png;base64,{data}"
        self.html.append(f'<img alt="{name}" loading="lazy" src="{source}">')


def plain(value: object) -> str:
    """Text as Markdown that shows it as it is: no HTML, no column of its own."""
    return escape.escape(str(value), quote=False).replace("|", "\\|")


def html_cell(value: object, link: str = "") -> str:
    """A cell of a table; words of verdict and numbers get their class."""
    text = str(value)
    kind = "number" if NUMBER.fullmatch(text) else ""
    if text in WORDS or text.startswith(UNDONE):
        kind = text.split()[0].rstrip(":")
    content = escape.escape(text)
    if link:
        content = f'<a href="{quoted(link)}">{content}</a>'
    return f"<td{f' class={kind}' if kind else ''}>{content}</td>"


def html_table(
    rows: Sequence[Sequence], header: list[str], caption: str, links: Sequence[str] = ()
) -> str:
    """A table that scrolls by itself and that a screen reader can name.

    Args:
        links: of every row, the file that its number in column "ours" comes from.
    """

    def line(row: Sequence, link: str) -> str:
        columns = zip(header, row, strict=True)
        return "".join(html_cell(v, link if title == "ours" else "") for title, v in columns)

    name = escape.escape(caption, quote=True)
    titles = "".join(f'<th scope="col">{escape.escape(title)}</th>' for title in header)
    of_row = links or [""] * len(rows)
    body = "".join(f"<tr>{line(row, link)}</tr>" for row, link in zip(rows, of_row, strict=True))
    head = f"<caption>{name}</caption><thead><tr>{titles}</tr></thead>"
    table = f"<table>{head}<tbody>{body}</tbody></table>"
    return f'<div class="scroll" role="region" tabindex="0" aria-label="{name}">{table}</div>'


def facts_line(table: Table, there: Stored, preset: str) -> str:
    """One line of provenance."""
    facts = there.facts
    machine = facts.get("machine") or {}
    seconds = sum(entry.made.get("seconds", 0) for entry in there.entries)
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    kind = "runs" if there.source == HERE else "reference"
    made_by = f"made by {there.maker}; "
    if there.outdated:
        count = f"{len(there.outdated)} of {len(there.entries)} entries"
        reasons = ", ".join(dict.fromkeys(there.outdated.values()))
        made_by = f"made by {there.maker} ({count}: {reasons}); "
    return (
        f"preset {preset}, from {there.source} (results/{kind}/{preset}/{table.slot}.json); "
        f"{made_by}{facts['unit']}; {facts['score']}; {planning.duration(seconds)} of one core on "
        f"{machine.get('processor', '?')} ({machine.get('device', '?')}, kernels "
        f"{machine.get('kernels', '?')}); {versions}"
    )


def claim_rows(lines: list[claims.Line], paper: str) -> list[list]:
    """Rows of CLAIM_HEADER of a paper's part of the ledger."""
    return [
        [
            line.where,
            line.claim,
            line.test,
            line.preset,
            line.verdict,
            line.interval,
            line.n,
            line.p,
            line.maker,
            line.why,
        ]
        for line in lines
        if line.paper == paper
    ]


def write(chosen: list[Table]) -> Path:
    """Writes the HTML and Markdown report over all presets that have results; returns the HTML's
    path.
    """
    html, markdown = build(chosen)
    write_text(runs_folder() / "report.md", markdown)
    write_text(runs_folder() / "report.html", html)
    return runs_folder() / "report.html"


def build(chosen: list[Table]) -> tuple[str, str]:
    """The report as HTML and as Markdown."""
    page = Page()
    papers = list(dict.fromkeys(table.paper for table in chosen))
    lines = claims.ledger(papers)
    front(page, chosen, lines)
    for paper in papers:
        begin_paper(page, paper, lines)
        for table in chosen:
            if table.paper == paper:
                show_table(page, table)
    head = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{TITLE}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body><main>"
    )
    html = "\n".join(page.html)
    return f"{head}{html}</main></body></html>\n", "\n".join(page.markdown) + "\n"


def front(page: Page, chosen: list[Table], lines: list[claims.Line]) -> None:
    """State of every table, and how many claims hold."""
    papers = list(dict.fromkeys(table.paper for table in chosen))
    page.heading(1, TITLE)
    page.paragraph(INTRODUCTION)
    links = "".join(f'<li><a href="#{paper}">{catalogue.title(paper)}</a></li>' for paper in papers)
    page.html.append(f'<nav aria-label="papers"><ul>{links}</ul></nav>')
    page.heading(2, "Claims of the papers")
    page.table(claims.counts(lines), claims.COUNTS, "How many claims have which verdict")
    page.heading(2, "State of every table")
    presets = SHOWN_PRESETS[::-1]
    rows = [
        [table.slot, table.title, *(state(table, name) for name in presets)] for table in chosen
    ]
    title = "Results there are, from this machine or committed"
    page.table(rows, ["script", "shows", *presets], title)
    page.heading(2, "What preset paper takes")
    page.table(planning.sizing_rows(chosen), planning.SIZING, "Hours and gigabytes, estimated")
    page.paragraph(planning.SIZING_NOTE, "facts")


def state(table: Table, preset: str) -> str:
    """How much of a table there is at a preset, on this machine or committed."""
    there = stored(table, preset)
    words = state_of(table, there)
    if there is None or there.source == HERE:
        return words
    return f"{words}, by {there.maker}"


def begin_paper(page: Page, paper: str, lines: list[claims.Line]) -> None:
    """A paper's claims and departures."""
    name = catalogue.title(paper)
    page.heading(2, name, paper)
    title = f"Claims of {name}: {len(claims.of_paper(paper))}"
    page.table(claim_rows(lines, paper), CLAIM_HEADER, title, folded=True)
    header, rows = departures.table_of(paper, departures.ledger([paper]))
    if rows:
        measured = sum(departure.effect is not None for departure in departures.of_paper(paper))
        title = f"Differences between text, released code and this package: {len(rows)}"
        page.table(rows, header, f"{title}, {measured} of them run both ways", folded=True)


def show_table(page: Page, table: Table) -> None:
    """A table at all presets that have results."""
    page.heading(3, f"{table.slot}: {table.title}")
    page.html.append(f"<p class=facts><code>python papers/{table.slot}.py</code></p>")
    results = {preset: stored(table, preset) for preset in SHOWN_PRESETS}
    if not any(results.values()):
        page.paragraph(table.unavailable or "not run yet")
    for preset, there in results.items():
        if there:
            show_preset(page, table, preset, there)


def show_preset(page: Page, table: Table, preset: str, there: Stored) -> None:
    """A table at one preset."""
    page.paragraph(facts_line(table, there, preset), "facts")
    page.html.append(files_line(table, there))
    entries = there.entries
    links = [file_of(table, entry, there.folder) for entry in entries]
    title = f"{table.slot} at preset {preset}: {len(entries)} entries"
    rows = writer.rows_of(table, entries)
    page.table(rows, writer.HEADER, title, folded=len(rows) > 16, links=links)
    if table.ours:
        show_aggregates(page, table, there, preset)
    picture = there.folder / f"{table.name}.png"
    if there.undone("stale"):
        page.paragraph(f"No picture: {len(there.undone('stale'))} entries are stale.", "stale")
    elif picture.exists():
        page.picture(picture, f"{table.slot} at preset {preset}: {table.title}")


def quoted(path: str) -> str:
    """A relative path as an address."""
    return urllib.parse.quote(path)


def relative(path: Path) -> str:
    """A file's path from the report's folder."""
    return os.path.relpath(path, runs_folder())


def file_of(table: Table, entry: Shown, folder: Path) -> str:
    """The file an entry's number comes from: its cell's where it is made of one and was run here,
    else the table's seeds.
    """
    cells = [folder / "cells" / f"{slot.replace('/', '__')}.json" for slot in entry.cells]
    if len(cells) == 1 and cells[0].exists():
        return relative(cells[0])
    return relative(folder / f"{table.name}.seeds.csv")


def files_line(table: Table, there: Stored) -> str:
    """Links to a table's files, HTML."""
    folder = there.folder
    title = "files of the stale run" if there.undone("stale") else "files"
    names = [f"{table.name}.{kind}" for kind in writer.KINDS]
    links = [
        f'<a href="{quoted(relative(folder / name))}">{name}</a>'
        for name in names
        if (folder / name).exists()
    ]
    return f"<p class=facts>{title}: {', '.join(links)}</p>"


def show_aggregates(page: Page, table: Table, there: Stored, preset: str) -> None:
    """Over a table's tasks: the probability of improvement of the paper's method, and performance
    profiles.
    """
    runs = {
        name: np.array(list(sample.values()))
        for name, sample in claims.finite(there).items()
        if sample
    }
    title = f"Probability that a run of {table.ours} beats one of another method on the same task"
    page.table(improvement_rows(table, runs), IMPROVEMENT, title)
    tasks = [row for row, column in runs if column == table.ours]
    methods = [
        method
        for method in dict.fromkeys(column for _, column in runs)
        if all((row, method) in runs for row in tasks)
    ]
    # raw returns of different tasks do not compare
    if len(tasks) < 2 or len(methods) < 2 or "return" in table.unit:
        return
    by_method = {method: [runs[row, method] for row in tasks] for method in methods}
    says = f"Performance profiles of {', '.join(methods)} over {len(tasks)} tasks, preset {preset}"
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "profile.png"
        figures.profiles(table, by_method, picture, preset)
        page.picture(picture, says)


def improvement_rows(table: Table, runs: dict[scores.Name, np.ndarray]) -> list[list]:
    """The paper's method against every other one, over the tasks that both have."""
    assert table.ours
    rows = []
    for other in dict.fromkeys(column for _, column in runs if column != table.ours):
        tasks = [row for row, column in runs if column == other and (row, table.ours) in runs]
        if tasks:
            pairs = [(runs[row, table.ours], runs[row, other]) for row in tasks]
            mean, low, high = scores.probability_of_improvement(pairs)
            rows.append([other, f"{mean:.2f}", f"[{low:.2f}, {high:.2f}]", len(tasks)])
    return rows
