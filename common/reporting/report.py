"""One offline report: the state of everything, the claims ledger, every table beside the published
numbers, pictures.

One HTML file without scripts or anything from the network, and the same as Markdown. Every number
says which file it is from and which command made it.
"""

import base64
import html as escape
import json
import os
import re
import tempfile
import urllib.parse
from pathlib import Path

import numpy as np
from tabulate import tabulate

from common.reporting import claims, departures, figures, planning, scores, tables
from common.reporting.tables import REFERENCE, Table
from common.running.cells import runs_folder

STYLE = """
:root { color-scheme: light dark; --line: #8886; --soft: #8882; --good: #0a7a3d; --bad: #b3261e; --open: #7a5c00; }
@media (prefers-color-scheme: dark) { :root { --good: #5fd38d; --bad: #ff8a80; --open: #e0c060; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 0 auto; padding: 1rem; }
h1 { line-height: 1.2; } h2 { margin-top: 3rem; border-bottom: 2px solid var(--line); } h3 { margin-top: 2rem; }
nav ul { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; list-style: none; padding: 0; }
.scroll { overflow-x: auto; margin: .5rem 0 1rem; } .scroll:focus { outline: 2px solid; }
table { border-collapse: collapse; font-size: 14px; }
caption { text-align: left; padding: .3rem 0; opacity: .85; }
th, td { border: 1px solid var(--line); padding: .25rem .5rem; text-align: left; vertical-align: top; }
thead th { background: var(--soft); }
td.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.holds, .consistent { color: var(--good); font-weight: 600; } .contradicted, .differs { color: var(--bad); font-weight: 600; }
.undecided, .too { color: var(--open); }
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
NAMES = {"omar": "OMAR", "cast_bcq": "CAST-BCQ", "moma_ppo": "MOMA-PPO", "otc": "OTC"}
CLAIM_HEADER = [
    "where",
    "claim",
    "holds if",
    "preset",
    "verdict",
    "mean [95 % interval]",
    "n",
    "why",
]
INTRODUCTION = (
    "Every number below was computed from files that runs wrote; nothing is typed in. Preset quick is a small budget (minutes on "
    "two CPU cores), preset paper the papers' own. A verdict on a claim comes from a 95 % interval of the numbers it names; at "
    "quick most differences to published scores have the budget as their reason, orderings are what carries."
)


def stored(table: Table, preset: str) -> tuple[dict, str, object] | None:
    """JSON of a table at a preset, where it comes from, and its folder: a run on this machine, else
    the reference.
    """
    for source, folder in (("this machine", runs_folder()), ("committed reference", REFERENCE)):
        path = folder / preset / table.paper / f"{table.name}.json"
        if path.exists():
            return json.loads(path.read_text()), source, path.parent
    return None


def facts_line(table: Table, facts: dict, source: str, preset: str) -> str:
    """One line of provenance."""
    machine, seconds = (
        facts.get("machine") or {},
        sum(entry.get("seconds", 0) for entry in facts["entries"]),
    )
    versions = ", ".join(f"{k} {v}" for k, v in facts["versions"].items())
    kind = "runs" if source == "this machine" else "reference"
    return (
        f"preset {preset}, from {source} (results/{kind}/{preset}/{table.slot}.json); {facts['unit']}; {facts['score']}; "
        f"{planning.duration(seconds)} of one core on {machine.get('processor', '?')} ({machine.get('device', '?')}, kernels "
        f"{machine.get('kernels', '?')}); {versions}"
    )


def state_of(table: Table, preset: str) -> str:
    """How much of a table there is at a preset, in words."""
    if table.unavailable:
        return "cannot run"
    found = stored(table, preset)
    if not found:
        return "not run"
    entries = found[0]["entries"]
    there = sum(entry["mean"] is not None for entry in entries)
    if there == len(entries):
        return "complete"
    waiting = any(entry["state"].startswith(("missing", "stale")) for entry in entries)
    return (
        f"{there} of {len(entries)} entries"
        if waiting
        else f"complete, {len(entries) - there} without a number by design"
    )


def html_table(rows: list[list], header: list[str], caption: str, links: list[str] = ()) -> str:
    """A table that scrolls by itself and that a screen reader can name; words of verdict get their
    class.

    Args:
        links: of every row, the file that its number in column "ours" comes from.
    """
    words = {*claims.VERDICTS, "consistent", "differs", "too few runs"}

    def cell(value, link: str = "") -> str:
        text = str(value)
        kind = text.split()[0] if text in words else "number" if NUMBER.fullmatch(text) else ""
        shown = (
            f'<a href="{quoted(link)}">{escape.escape(text)}</a>' if link else escape.escape(text)
        )
        return f"<td{f' class={kind}' if kind else ''}>{shown}</td>"

    def line(row: list, link: str) -> str:
        return "".join(
            cell(value, link if title == "ours" else "")
            for title, value in zip(header, row, strict=True)
        )

    name = escape.escape(caption, quote=True)
    head = "".join(f'<th scope="col">{escape.escape(title)}</th>' for title in header)
    of_row = links or [""] * len(rows)
    body = "".join(f"<tr>{line(row, link)}</tr>" for row, link in zip(rows, of_row, strict=True))
    table = f"<table><caption>{name}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll" role="region" tabindex="0" aria-label="{name}">{table}</div>'


def claim_rows(ledger: list[list], paper: str) -> list[list]:
    """Rows of CLAIM_HEADER of a paper's part of the ledger."""
    rows = []
    for owner, where, says, test, preset, verdict, mean, low, high, count, why in ledger:
        interval = f"{mean} [{low or '-inf'}, {high or 'inf'}]" if mean != "" else ""
        rows += (
            [[where, says, test, preset, verdict, interval, count, why]] if owner == paper else []
        )
    return rows


class Page:
    """HTML and Markdown, written side by side."""

    def __init__(self):
        self.html: list[str] = []
        self.markdown: list[str] = []

    def heading(self, level: int, text: str, anchor: str = "") -> None:
        name = f' id="{anchor}"' if anchor else ""
        self.html.append(f"<h{level}{name}>{escape.escape(text)}</h{level}>")
        self.markdown.append(f"\n{'#' * level} {text}\n")

    def paragraph(self, text: str, kind: str = "") -> None:
        self.html.append(f"<p{f' class={kind}' if kind else ''}>{escape.escape(text)}</p>")
        self.markdown.append(f"{text}\n")

    def table(
        self,
        rows: list[list],
        header: list[str],
        caption: str,
        folded: bool = False,
        links: list[str] = (),
    ) -> None:
        table = html_table(rows, header, caption, links)
        if folded:
            table = f"<details><summary>{escape.escape(caption)}</summary>{table}</details>"
        self.html.append(table)
        self.markdown.append(
            f"{tabulate(rows, header, tablefmt='github', disable_numparse=True)}\n"
        )


def front(page: Page, chosen: list[Table], ledger: list[list]) -> None:
    """State of every table, and how many claims hold."""
    papers = list(dict.fromkeys(table.paper for table in chosen))
    page.heading(1, TITLE)
    page.paragraph(INTRODUCTION)
    links = "".join(f'<li><a href="#{paper}">{NAMES[paper]}</a></li>' for paper in papers)
    page.html.append(f'<nav aria-label="papers"><ul>{links}</ul></nav>')
    page.heading(2, "Claims of the papers")
    page.table(
        claims.counts(ledger),
        ["paper", "preset", *claims.VERDICTS],
        "How many claims have which verdict",
    )
    page.heading(2, "State of every table")
    rows = [
        [table.slot, table.title, state_of(table, "quick"), state_of(table, "paper")]
        for table in chosen
    ]
    page.table(
        rows,
        ["script", "shows", "quick", "paper"],
        "Results there are, from this machine or committed",
    )
    page.heading(2, "What preset paper takes")
    page.table(planning.sizing_rows(chosen), planning.SIZING, "Hours and gigabytes, estimated")
    page.paragraph(planning.SIZING_NOTE, "facts")


def build(chosen: list[Table]) -> tuple[str, str]:
    """The report as HTML and as Markdown, over all presets with results."""
    page, last = Page(), None
    papers = {table.paper for table in chosen}
    ledger = claims.ledger(papers=[paper for paper in claims.PAPERS if paper in papers])
    front(page, chosen, ledger)
    for table in chosen:
        if table.paper != last:
            last = table.paper
            begin_paper(page, last, ledger)
        show_table(page, table)
    head = f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{TITLE}</title>'
    head += f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head><body><main>'
    return head + "\n".join(page.html) + "</main></body></html>\n", "\n".join(page.markdown) + "\n"


def begin_paper(page: Page, paper: str, ledger: list[list]) -> None:
    """A paper's claims and departures."""
    page.heading(2, NAMES[paper], paper)
    page.table(
        claim_rows(ledger, paper),
        CLAIM_HEADER,
        f"Claims of {NAMES[paper]}: {len(claims.of_paper(paper))}",
        folded=True,
    )
    header, rows = departures.table_of(paper, departures.ledger([paper]))
    measured = sum(bool(row[-1]) for row in rows)
    title = f"Differences between text, released code and this package: {len(rows)}, {measured} of them measured"
    page.table(rows, header, title, folded=True)
    for paragraph in departures.readme_table(paper)[2]:
        page.paragraph(paragraph, "facts")


def show_table(page: Page, table: Table) -> None:
    """A table at all presets that have results."""
    page.heading(3, f"{table.slot}: {table.title}")
    page.html.append(f"<p class=facts><code>python papers/{table.slot}.py</code></p>")
    found = [(preset, stored(table, preset)) for preset in ("paper", "quick")]
    found = [(preset, item) for preset, item in found if item]
    if not found:
        page.paragraph(table.unavailable or "not run yet")
    for preset, (facts, source, folder) in found:
        page.paragraph(facts_line(table, facts, source, preset), "facts")
        page.html.append(files_line(table, folder))
        rows, title = (
            tables.rows_of(table, facts["entries"]),
            f"{table.slot} at preset {preset}: {len(facts['entries'])} entries",
        )
        links = [file_of(table, entry, folder) for entry in facts["entries"]]
        page.table(rows, tables.HEADER, title, folded=len(rows) > 16, links=links)
        if table.ours:
            show_aggregates(page, table, folder / f"{table.name}.seeds.csv", preset)
        picture = folder / f"{table.name}.png"
        if picture.exists():
            show_picture(page, picture, f"{table.slot} at preset {preset}: {table.title}")


def quoted(path: str) -> str:
    """A relative path as an address."""
    return urllib.parse.quote(path)


def relative(path: Path) -> str:
    """A file's path from the report's folder."""
    return os.path.relpath(path, runs_folder())


def file_of(table: Table, entry: dict, folder: Path) -> str:
    """The file an entry's number comes from: its cell's where it is made of one and was run here,
    else the table's seeds.
    """
    cells = [folder / "cells" / f"{slot.replace('/', '__')}.json" for slot in entry["cells"]]
    if len(cells) == 1 and cells[0].exists():
        return relative(cells[0])
    return relative(folder / f"{table.name}.seeds.csv")


def files_line(table: Table, folder: Path) -> str:
    """Links to a table's files, HTML."""
    names = [f"{table.name}.{kind}" for kind in ("csv", "seeds.csv", "curves.csv", "json")]
    links = [
        f'<a href="{quoted(relative(folder / name))}">{name}</a>'
        for name in names
        if (folder / name).exists()
    ]
    return f"<p class=facts>files: {', '.join(links)}</p>"


def show_picture(page: Page, path: Path, says: str) -> None:
    """A PNG inside the page."""
    data = base64.b64encode(path.read_bytes()).decode()
    page.html.append(
        f'<img alt="{escape.escape(says, quote=True)}" loading="lazy" src="data:image/png;base64,{data}">'
    )


def show_aggregates(page: Page, table: Table, path: Path, preset: str) -> None:
    """Over a table's tasks: the probability of improvement of the paper's method, and performance
    profiles.
    """
    values = {
        name: np.array(list(found.values()))
        for name, found in claims.seeds_of(path).items()
        if found
    }
    title = f"Probability that a run of {table.ours} beats one of another method on the same task"
    page.table(
        improvement_rows(table, values), ["over", "probability", "95 % interval", "tasks"], title
    )
    tasks = [row for row, column in values if column == table.ours]
    methods = [
        name
        for name in dict.fromkeys(column for _, column in values)
        if all((row, name) in values for row in tasks)
    ]
    if (
        len(tasks) < 2 or len(methods) < 2 or "return" in table.unit
    ):  # raw returns of different tasks do not compare
        return
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "profile.png"
        figures.profiles(
            table, {name: [values[row, name] for row in tasks] for name in methods}, picture, preset
        )
        show_picture(
            page,
            picture,
            f"Performance profiles of {', '.join(methods)} over {len(tasks)} tasks at preset {preset}",
        )


def improvement_rows(table: Table, values: dict[tuple[str, str], np.ndarray]) -> list[list[str]]:
    """The paper's method against every other one, over the tasks that both have."""
    rows = []
    for other in dict.fromkeys(column for _, column in values if column != table.ours):
        tasks = [row for row, column in values if column == other and (row, table.ours) in values]
        if not tasks:
            continue
        found = scores.probability_of_improvement(
            [(values[row, table.ours], values[row, other]) for row in tasks]
        )
        rows.append([other, f"{found[0]:.2f}", f"[{found[1]:.2f}, {found[2]:.2f}]", len(tasks)])
    return rows
