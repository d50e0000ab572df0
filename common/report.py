"""One offline report: every table beside the published numbers, pictures, departures, versions and times."""

import base64
import html as escape
import json
import re

from tabulate import tabulate

from common import tables
from common.cells import runs_folder
from common.provenance import ROOT
from common.tables import PRESETS, REFERENCE, Table

STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; font-size: 13px; margin: .5rem 0 1rem; display: block; overflow-x: auto; }
th, td { border: 1px solid #8886; padding: .2rem .5rem; text-align: left; white-space: nowrap; }
img { max-width: 100%; background: #fff; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #8886; }
.facts { font-size: 13px; opacity: .8; }
"""


def stored(table: Table, preset: str) -> tuple[dict, str, object] | None:
    """JSON of a table at a preset, where it comes from, and its folder: a run on this machine, else the reference."""
    for source, folder in (("this machine", runs_folder()), ("committed reference", REFERENCE)):
        path = folder / preset / table.paper / f"{table.name}.json"
        if path.exists():
            return json.loads(path.read_text()), source, path.parent
    return None


def rows_of(table: Table, facts: dict) -> list[list[str]]:
    """Published, ours and difference of every entry."""
    published, d, rows = table.published(), table.decimals, []
    for entry in facts["entries"]:
        mean, std = published.get((entry["row"], entry["column"]), (None, None))
        ours = entry["mean"]
        gap = "" if ours is None or mean is None else f"{ours - mean:+.{d}f}"
        count = f"{entry['n']}" + (f" ({entry['diverged']} diverged)" if entry["diverged"] else "")
        interval = "" if ours is None else f"[{entry['low']:.{d}f}, {entry['high']:.{d}f}]"
        value = entry["state"] if ours is None else tables.plus_minus(ours, entry["std"], d)
        theirs = tables.plus_minus(mean, std, d)
        rows.append([entry["row"], entry["column"], theirs, value, gap, count, tables.number(entry["iqm"], d), interval])
    return rows


HEADER = ["row", "column", "published", "ours", "difference", "n", "IQM", "95 % interval"]


def departures(paper: str) -> str:
    """The section "Differences from the published paper" of a paper's README, Markdown."""
    path = ROOT / "papers" / paper / "README.md"
    match = re.search(r"## Differences.*?(?=\n## |\Z)", path.read_text(), re.DOTALL) if path.exists() else None
    return match.group(0).split("\n", 1)[1].strip() if match else ""


def facts_line(facts: dict, source: str, preset: str) -> str:
    """One line of provenance."""
    machine, seconds = facts.get("machine") or {}, sum(entry.get("seconds", 0) for entry in facts["entries"])
    versions = ", ".join(f"{k} {v}" for k, v in facts["versions"].items())
    return (
        f"preset {preset}, from {source}; {facts['unit']}; {facts['score']}; {seconds / 60:.0f} core-minutes on "
        f"{machine.get('processor', '?')} ({machine.get('device', '?')}, kernels {machine.get('kernels', '?')}); {versions}"
    )


def build(chosen: list[Table]) -> tuple[str, str]:
    """The report as HTML and as Markdown, over all presets with results."""
    page, text = ["<h1>offline-marl-zoo: reproduced beside published</h1>"], ["# offline-marl-zoo: reproduced beside published"]
    last = None
    for table in chosen:
        if table.paper != last:
            page.append(f"<h2>{escape.escape(table.paper)}</h2>")
            text.append(f"\n## {table.paper}")
            notes = departures(table.paper)
            if notes:
                page.append(f"<details><summary>Differences from the published paper</summary>{markdown_table(notes)}</details>")
                text.append(f"\n### Differences from the published paper\n\n{notes}")
            last = table.paper
        page.append(f"<h3>{escape.escape(table.slot)}: {escape.escape(table.title)}</h3>")
        text.append(f"\n### {table.slot}: {table.title}\n")
        found = [(preset, stored(table, preset)) for preset in reversed(PRESETS) if preset != "smoke"]
        found = [(preset, item) for preset, item in found if item]
        if not found:
            reason = table.unavailable or "not run yet"
            page.append(f"<p>{escape.escape(reason)}</p>")
            text.append(reason)
        for preset, (facts, source, folder) in found:
            line, rows = facts_line(facts, source, preset), rows_of(table, facts)
            page.append(f'<h4>{preset}</h4><p class="facts">{escape.escape(line)}</p>')
            page.append(tabulate(rows, HEADER, tablefmt="html", disable_numparse=True))
            text.append(f"#### {preset}\n\n{line}\n\n{tabulate(rows, HEADER, tablefmt='github', disable_numparse=True)}\n")
            picture = folder / f"{table.name}.png"
            if picture.exists():
                data = base64.b64encode(picture.read_bytes()).decode()
                alt = escape.escape(f"{table.slot} at preset {preset}: {table.title}", quote=True)
                page.append(f'<img alt="{alt}" src="data:image/png;base64,{data}">')
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><title>offline-marl-zoo report</title>'
    head += f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style>'
    return head + "\n".join(page) + "</html>\n", "\n".join(text) + "\n"


def markdown_table(notes: str) -> str:
    """A Markdown text with one pipe table as HTML; other lines as paragraphs."""
    rows, other = [], []
    for line in notes.splitlines():
        if line.startswith("|"):
            rows.append([cell.strip().replace("`", "") for cell in line.strip("|").split("|")])
        elif line.strip():
            other.append(f"<p>{escape.escape(line)}</p>")
    body = [row for row in rows[1:] if not set("".join(row)) <= set("-: ")]
    table = tabulate(body, rows[0], tablefmt="html", disable_numparse=True) if rows else ""
    return "".join(other) + table
