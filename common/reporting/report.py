"""The results page: what of every paper reproduced, its tables and figures beside the published
ones, claims, departures and cost, all from files that runs wrote.

One HTML file without scripts or anything from the network, and the same as Markdown. There are two
of it: of this machine's results (`./run_all.sh report`), and `results/report.html` of the committed
reference (`./run_all.sh readme`). Of every table the best preset comes first: the largest one that
is complete, else the largest that was begun.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from common.reporting import catalogue, claims, departures, planning
from common.reporting.edition import REPORT, Edition, of_the_reference, of_this_machine
from common.reporting.findings import (
    CLAIM_HEADER,
    SPECTRUM,
    best_lines,
    claim_rows,
    evidence,
    main_lines,
    sentence,
    spectrum,
    strongest,
)
from common.reporting.markup import (
    Page,
    captioned,
    document,
    fold,
    framed,
    link,
    shares,
    style_of,
    text,
)
from common.reporting.section import (
    anchor,
    best_first,
    full,
    is_of_the_paper,
    label,
    show_picture,
    show_table,
)
from common.reporting.stored import HERE, SHOWN_PRESETS, Source, committed, state_of, stored
from common.reporting.tables import Table
from common.reporting.writer import has_picture
from common.running.cells import PRESETS, runs_folder
from common.running.files import write_text
from common.running.provenance import ROOT

PICTURE = (
    r"(<(?P<tag>figure|details) class=picture>.*?</(?P=tag)>|<img [^>]*>|<!-- no picture.*?-->)\n?"
)
TITLE = "offline-marl-zoo: reproduced beside published"
WORDS = {*claims.VERDICTS, "differs", "too few runs", "not significant after correction"}
INTRODUCTION = (
    "Four papers on offline multi-agent reinforcement learning, run again from one checkout. Every "
    "number of ours was computed from files that runs wrote; the published ones are the papers'. "
    "Data, the policies behind them, prey and the battles' simulator are our own, at the papers' "
    "level where that is known. Numbers on data of another level differ for that alone, so what a "
    "paper claims is tested as differences between methods on the same data."
)
READING = (
    "Preset quick is a small budget (minutes on two CPU cores), standard the smallest protocol "
    "that is meant to decide a paper's main claims, paper the papers' own sizes. Quick shows that "
    "everything runs: where a larger preset has a verdict, read that one; it may be the opposite.",
    "A verdict on a claim comes from a t test at 5 % for all claims of a paper and preset together "
    "(Holm; what we ask beyond the paper is a family of its own): it holds, is contradicted, or is "
    "undecided where the numbers leave both open. Alone: what an undecided claim would be if it "
    "were the only one. Intervals are 95 % each (Student's "
    "t). n counts what is independent: runs, times data sets; differences that share a run are "
    "averaged first.",
    "Numbers of this machine whose code, data or settings have changed since are stale and left "
    "out. Those of the committed reference say which commit made them; where the present code "
    'would make others, ./run_all.sh claims says "older code".',
)


def write(chosen: list[Table], draw: bool = True) -> Path:
    """Writes the HTML and Markdown of this machine's results; returns the HTML's path."""
    html, markdown = build(chosen, of_this_machine(draw))
    write_text(runs_folder() / "report.md", markdown)
    write_text(runs_folder() / "report.html", html)
    return runs_folder() / "report.html"


def write_reference() -> Path | None:
    """Writes the page of the reference where it is stale; its path, None where it was not."""
    if not is_stale():
        return None
    write_text(REPORT, build(catalogue.find(), of_the_reference())[0])
    return REPORT


def is_stale() -> bool:
    """Whether the committed page is not what the reference says now; pictures and estimates aside,
    which differ between machines.
    """
    if not REPORT.exists():
        return True
    now = build(catalogue.find(), of_the_reference(draw=False))[0]
    return compared(now) != compared(REPORT.read_text())


def compared(html: str) -> str:
    """A page without pictures and without estimates."""
    bare = re.sub(PICTURE, "", html)
    return re.sub(r"<(span|section) class=estimate>.*?</\1>", "", bare, flags=re.DOTALL)


def build(chosen: list[Table], edition: Edition | None = None) -> tuple[str, str]:
    """The page as HTML and as Markdown."""
    edition = edition or of_this_machine()
    page = Page([*WORDS])
    papers = list(dict.fromkeys(table.paper for table in chosen))
    lines = claims.ledger(papers, sources=edition.ledger)
    front(page, chosen, lines, edition)
    for paper in papers:
        begin_paper(page, paper, lines, edition)
        for table in chosen:
            if table.paper == paper:
                show_table(page, table, edition)
    strays = other_rows() if edition.source is not committed else []
    if strays:
        others(page, strays)
    states_of(page, chosen, edition)
    ending(page, chosen, edition)
    html = document(TITLE, contents(chosen, bool(strays)), "\n".join(page.html))
    return html, "\n".join(page.markdown) + "\n"


def contents(chosen: list[Table], with_others: bool) -> str:
    """The list of everything on the page, HTML."""
    groups = ['<a href="#top"><b>Results</b></a><a href="#reading">How to read this</a>']
    for paper in dict.fromkeys(table.paper for table in chosen):
        links = [(f"{paper}-ledger", "Verdicts on claims"), (f"{paper}-departures", "Departures")]
        tables = [table for table in chosen if table.paper == paper]
        links += [(anchor(table), label(table)) for table in tables if is_of_the_paper(table)]
        more = [(anchor(table), label(table)) for table in tables if not is_of_the_paper(table)]
        title = text(catalogue.title(paper))
        groups.append(f'<a href="#{paper}"><b>{title}</b></a><ul>{listed(links)}</ul>')
        if more:
            groups.append(f"<i>our additions</i><ul>{listed(more)}</ul>")
    if with_others:
        groups.append('<a href="#others"><b>Other runs</b></a>')
    groups.append('<a href="#state"><b>State of every table</b></a><a href="#cost"><b>Cost</b></a>')
    return "".join(groups)


def listed(links: list[tuple[str, str]]) -> str:
    """Items that lead to places on the page, HTML."""
    return "".join(f'<li><a href="#{place}">{text(name)}</a></li>' for place, name in links)


def front(page: Page, chosen: list[Table], lines: list[claims.Line], edition: Edition) -> None:
    """What reproduced, a card for each paper; then how to read the page, and the states."""
    page.heading(1, TITLE)
    page.paragraph(INTRODUCTION, "lead")
    papers = list(dict.fromkeys(table.paper for table in chosen))
    page.raw("<div class=cards>")
    for paper in papers:
        card(page, paper, [line for line in lines if line.paper == paper])
    page.raw("</div>")
    words = (*SPECTRUM, "not run")
    marks = " ".join(
        f"<span><span class='dot {style_of(word)}'></span>{word}</span>" for word in words
    )
    page.raw(f"<p class=facts>Claims of a paper at its best preset: {marks}</p>")
    page.raw("<div class=cards>")
    for paper in papers:
        headline(page, [table for table in chosen if table.paper == paper], edition)
    page.raw("</div>")
    page.heading(2, "How to read this", "reading")
    for paragraph in READING:
        page.paragraph(paragraph, "lead")


def headline(page: Page, tables: list[Table], edition: Edition) -> None:
    """A paper's picture: of its tables with published numbers the one that was run at the largest
    preset, of several first one that compares methods on tasks, then that of most numbers.
    """
    places = []
    for table in tables:
        if table.published() and label(table).startswith("Table"):
            there_are = {name: edition.source(table, name) for name in reversed(SHOWN_PRESETS)}
            results = {preset: there for preset, there in there_are.items() if there}
            best = best_first(results)
            drawn = (one for one in best if has_picture(table, results[one].entries))
            if preset := next(drawn, None):
                numbers = len(results[preset].entries)
                size = (SHOWN_PRESETS.index(preset), table.ours is not None, numbers)
                places.append((size, table, preset, results[preset]))
    if places:
        _, table, preset, there = max(places, key=lambda place: place[0])
        name = f"{catalogue.title(table.paper)}, {label(table)}: {table.title}, preset {preset}"
        title = f'<a href="#{anchor(table)}">{text(name)}</a>; diamonds are published.'
        page.raw(f"<figure><figcaption>{title}</figcaption>")
        show_picture(page, table, full(table, there), preset, edition)
        page.raw("</figure>")


def states_of(page: Page, chosen: list[Table], edition: Edition) -> None:
    """How much there is of every table at each preset."""
    page.heading(2, "State of every table", "state")
    states = {
        table.slot: [state(table, name, edition.source) for name in SHOWN_PRESETS]
        for table in chosen
    }
    rows = [[table.slot, table.title, *states[table.slot]] for table in chosen]
    page.only_markdown(rows, ["script", "shows", *SHOWN_PRESETS])
    body = "".join(
        f'<tr><td><a href="#{anchor(table)}">{table.slot}</a></td><td>{text(table.title)}</td>'
        + "".join(page.cell(word) for word in states[table.slot])
        + "</tr>"
        for table in chosen
    )
    titles = "".join(f"<th scope=col>{name}</th>" for name in ("script", "shows", *SHOWN_PRESETS))
    content = f"<thead><tr>{titles}</tr></thead><tbody>{body}</tbody>"
    caption = "What has been run, here or committed"
    page.raw(captioned(caption, framed(content, caption)))


def state(table: Table, preset: str, source: Source = stored) -> str:
    """How much of a table there is at a preset, on this machine or committed."""
    there = source(table, preset)
    words = state_of(table, there)
    if there is None or there.source == HERE:
        return words
    return f"{words}, by {there.maker}"


def card(page: Page, paper: str, lines: list[claims.Line]) -> None:
    """What reproduced of a paper: its main claims, and the strongest evidence against it."""
    best = best_lines(lines)
    own = [line for line in best if not line.addition]
    says = sentence(best)
    parts = [f'<h3><a href="#{paper}">{text(catalogue.title(paper))}</a></h3>']
    parts += [shares(spectrum(own)), f"<p>{text(says)}</p>"]
    page.markdown.append(f"{catalogue.title(paper)}: {says}\n")
    main = main_lines(lines)
    parts += [told_of(line, line.verdict) for line in main]
    against = strongest(own, "contradicted")
    if against and against not in main:
        parts.append(told_of(against, "clearest against the paper"))
    page.raw(f"<article class=card>{''.join(parts)}</article>")


def told_of(line: claims.Line, title: str) -> str:
    """A claim with its evidence, HTML."""
    where = f"{text(line.claim)} <small>({text(line.where)})</small>"
    style = f'class="{style_of(line.verdict)}"'
    return f"<p><b {style}>{title}:</b> {where}<br><small>{text(evidence(line))}</small></p>"


def begin_paper(page: Page, paper: str, lines: list[claims.Line], edition: Edition) -> None:
    """A paper's claims and departures."""
    name = catalogue.title(paper)
    of_paper = [line for line in lines if line.paper == paper]
    page.heading(2, name, paper)
    page.paragraph(sentence(of_paper), "lead")
    readme = edition.relative(ROOT / "papers" / paper / "README.md")
    notes = edition.relative(ROOT / "papers" / paper / "notes.md")
    page.raw(f"<p class=facts>{link(readme, 'README')}, {link(notes, 'notes')}</p>")
    title = f"Claims of {name}: {len(claims.of_paper(paper))}"
    page.heading(3, title, f"{paper}-ledger")
    best = best_lines(of_paper)
    caption = "Each at the best preset that has been run"
    page.raw(captioned(caption, claims_table(best, caption)))
    rest = [line for line in of_paper if line not in best]
    if rest:
        caption = "The same claims at the other presets"
        page.raw(fold(caption, claims_table(rest, caption)))
    page.only_markdown(claim_rows(lines, paper), CLAIM_HEADER)
    header, rows = departures.table_of(paper, departures.ledger([paper], sources=edition.ledger))
    if rows:
        measured = sum(departure.effect is not None for departure in departures.of_paper(paper))
        title = f"Differences between text, released code and this package: {len(rows)}"
        page.heading(3, "Departures", f"{paper}-departures")
        page.table(rows, header, f"{title}, {measured} of them run both ways", folded=True)


def claims_table(lines: Sequence[claims.Line], caption: str) -> str:
    """Claims with verdict and numbers, HTML."""
    titles = ("verdict", "claim", "mean [95 % interval]", "n", "p (Holm)", "made by")
    head = "".join(f"<th scope=col>{title}</th>" for title in titles)
    body = "".join(
        f'<tr><td class="verdict {style_of(line.verdict)}">{text(line.verdict)}'
        f"{f'<small>alone: {line.alone}</small>' if line.alone else ''}</td>"
        f"<td>{text(line.claim)}<small>{text(line.where)}; holds if: {text(line.test)}</small>"
        f"{f'<small class=why>{text(line.reasons)}</small>' if line.reasons else ''}</td>"
        f"<td class=number>{text(line.interval.partition(' ')[0])}"
        f"<small>{text(line.interval.partition(' ')[2])}</small></td>"
        f"<td class=number>{line.n or ''}</td>"
        f"<td class=number>{text(line.p if line.p != '0' else 'no spread')}</td>"
        f"<td>{text(line.preset)}<small>{text(line.maker)}</small></td></tr>"
        for line in lines
    )
    return framed(f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>", caption, "claims")


def others(page: Page, rows: list[list]) -> None:
    """Runs of this machine that are no evidence: preset smoke, and other seeds or settings."""
    page.heading(2, "Other runs", "others")
    what = "Runs at preset smoke, and with seeds or settings of their own (results/runs)"
    page.paragraph(f"{what}: {len(rows)} entries, which decide nothing above.", "facts")
    header = ["table", "preset", "row", "column", "mean", "n"]
    page.table(rows, header, "Numbers of these runs, as their files have them", folded=True)


def other_rows() -> list[list]:
    """Entries of tables that no section above shows."""
    names = {*catalogue.scripts()}
    rows = []
    for path in sorted(runs_folder().glob("*/*/*.json")):
        preset, paper, name = *path.relative_to(runs_folder()).parts[:2], path.stem
        slot = f"{paper}/{name}"
        if preset not in PRESETS or (slot in names and preset in SHOWN_PRESETS):
            continue
        try:
            entries = json.loads(path.read_text())["entries"]
            rows += [
                [slot, preset, entry["row"], entry["column"], f"{entry['mean']:.4g}", entry["n"]]
                for entry in entries
                if entry.get("mean") is not None
            ]
        except (ValueError, KeyError, TypeError):
            continue  # no table's JSON
    return rows


def ending(page: Page, chosen: list[Table], edition: Edition) -> None:
    """What preset paper takes."""
    page.heading(2, "What preset paper takes", "cost")
    page.raw("<section class=estimate>")
    page.table(planning.sizing_rows(chosen), planning.SIZING, "Hours and gigabytes, estimated")
    page.raw("</section>")
    page.paragraph(planning.SIZING_NOTE, "facts")
