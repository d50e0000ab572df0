"""The results page: what of every paper reproduced, its tables and figures beside the published
ones, claims, departures and cost, all from files that runs wrote.

One HTML file without scripts or anything from the network, and the same as Markdown. There are two
of it: of this machine's results (`./run_all.sh report`), and `results/report.html` of the committed
reference (`./run_all.sh readme`). Of every table the best preset comes first: the largest one that
is complete, else the largest that was begun.
"""

import hashlib
import io
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from common.reporting import catalogue, claims, departures, figures, planning, scores, writer
from common.reporting.markup import (
    Page,
    document,
    fold,
    framed,
    inline,
    link,
    shares,
    style_of,
    text,
)
from common.reporting.shown import Shown
from common.reporting.stored import (
    HERE,
    Source,
    Stored,
    committed,
    here,
    judged,
    state_of,
    stored,
)
from common.reporting.tables import PUBLISHED, Table
from common.running.cells import PRESETS, runs_folder
from common.running.files import read_csv, write_text
from common.running.provenance import ROOT

TITLE = "offline-marl-zoo: reproduced beside published"
WORDS = {*claims.VERDICTS, "differs", "too few runs", "not significant after correction"}
SHOWN_PRESETS = PRESETS[:0:-1]  # the largest budget first; smoke says nothing
# Claims from those that hold to those that are contradicted; `alone`: before Holm's correction.
SPECTRUM = ("holds", "holds alone", "undecided", "contradicted alone", "contradicted")
MANY = 5  # columns of a grid, that are set smaller
FULL = 0.6  # of a grid's places have a number; else the table is shown as a list
FEWEST = 3  # runs behind what the first screen shows
COLORS = 256  # of a picture, its commonest, which makes it half as large
REPORT = ROOT / "results" / "report.html"
KEPT = r'<img [^>]*data-of="(\w+)"[^>]*src="([^"]*)"'
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
    "Four papers on offline multi-agent reinforcement learning, run again from one checkout. Every "
    "number of ours was computed from files that runs wrote; the published ones are the papers'."
)
READING = (
    "Preset quick is a small budget (minutes on two CPU cores), standard the smallest protocol "
    "that can decide a paper's claims, paper the papers' own sizes. At quick most differences to "
    "published scores have the budget as their reason; orderings are what carries.",
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
IMPROVEMENT = ["over", "probability", "95 % interval", "tasks"]
SPREAD = "± the sd (over n, as in the papers' codes) of what n counts"
LEGEND = (
    f"Ours above published, {SPREAD}. Green and ≈: consistent with the published number; "
    "red and ≠: differs beyond chance; yellow and ?: too few runs or too wide an interval to tell."
)


@dataclass(frozen=True)
class Edition:
    """What a page is made from.

    Attributes:
        folder: of the page, which links start from.
        source: where tables are read.
        ledger: where claims are read, the first first.
        draw: whether pictures are drawn that no file has; takes a minute.
        kept: pictures of the page as it was, by the key of what they were drawn from.
    """

    folder: Path
    source: Source
    ledger: tuple[Source, ...]
    draw: bool = True
    kept: dict[str, str] = field(default_factory=dict)

    def relative(self, path: Path) -> str:
        """A file's path from the page's folder."""
        return os.path.relpath(path, self.folder)


def of_this_machine(draw: bool = True) -> Edition:
    """Results of this machine, where there are none of the reference."""
    return Edition(runs_folder(), stored, (here, judged), draw)


def of_the_reference(draw: bool = True) -> Edition:
    """The committed reference alone, whatever the present code is."""
    pictures = re.findall(KEPT, REPORT.read_text()) if draw and REPORT.exists() else []
    return Edition(REPORT.parent, committed, (committed,), draw, dict(pictures))


# --- The page ---


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
    bare = re.sub(r"(<img [^>]*>|<!-- no picture.*?-->)\n?", "", html)
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
    others(page, edition)
    states_of(page, chosen, edition)
    ending(page, chosen, edition)
    html = document(TITLE, contents(chosen), "\n".join(page.html))
    return html, "\n".join(page.markdown) + "\n"


def anchor(table: Table) -> str:
    """A table's name within the page."""
    return table.slot.replace("/", "-")


def label(table: Table) -> str:
    """What people call a script: Table 3, Figure 1b; else its name."""
    match = re.fullmatch(r"(table|figure|theorem)(\d\w?)(_.*)?", table.name)
    if match:
        what = (match[3] or "").replace("_", " ").strip()
        return f"{match[1].capitalize()} {match[2]}{f': {what}' if what else ''}"
    if table.name == "claims":
        return "Paired differences"
    name = table.name.replace("ablation_", "ablation: ").replace("_", " ")
    return name[0].upper() + name[1:]


def is_of_the_paper(table: Table) -> bool:
    """Whether the paper has it: else it is an addition of ours."""
    return bool(re.fullmatch(r"(table|figure|theorem)\d\w?|runtime", table.name))


def contents(chosen: list[Table]) -> str:
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
    headline(page, chosen, edition)
    items = [f'<li><a href="#{paper}">{text(catalogue.title(paper))}</a></li>' for paper in papers]
    items += ['<li><a href="#state">every table</a></li>', '<li><a href="#cost">cost</a></li>']
    page.raw(f'<nav class=index aria-label="sections"><ul>{"".join(items)}</ul></nav>')
    page.heading(2, "How to read this", "reading")
    for paragraph in READING:
        page.paragraph(paragraph, "lead")


def headline(page: Page, chosen: list[Table], edition: Edition) -> None:
    """One picture: of the papers' main tables the one that was run at the largest preset, the one
    of most numbers if there are several.
    """
    places = []
    for table in chosen:
        if table.ours and table.published():
            there_are = [(preset, edition.source(table, preset)) for preset in SHOWN_PRESETS]
            results = {preset: there for preset, there in there_are if there}
            for preset in best_first(results)[:1]:
                size = (-SHOWN_PRESETS.index(preset), len(results[preset].entries))
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
    presets = SHOWN_PRESETS[::-1]
    states = {
        table.slot: [state(table, name, edition.source) for name in presets] for table in chosen
    }
    rows = [[table.slot, table.title, *states[table.slot]] for table in chosen]
    page.only_markdown(rows, ["script", "shows", *presets])
    body = "".join(
        f'<tr><td><a href="#{anchor(table)}">{table.slot}</a></td><td>{text(table.title)}</td>'
        + "".join(page.cell(word) for word in states[table.slot])
        + "</tr>"
        for table in chosen
    )
    titles = "".join(f"<th scope=col>{name}</th>" for name in ("script", "shows", *presets))
    content = f"<thead><tr>{titles}</tr></thead><tbody>{body}</tbody>"
    page.raw(framed(content, "What has been run, here or committed"))


def state(table: Table, preset: str, source: Source = stored) -> str:
    """How much of a table there is at a preset, on this machine or committed."""
    there = source(table, preset)
    words = state_of(table, there)
    if there is None or there.source == HERE:
        return words
    return f"{words}, by {there.maker}"


# --- What reproduced ---


def best_lines(lines: Iterable[claims.Line]) -> list[claims.Line]:
    """Of every claim the line of its largest preset that says something."""
    order = {preset: place for place, preset in enumerate(SHOWN_PRESETS)}
    best: dict[tuple, claims.Line] = {}
    for line in lines:
        key = (line.paper, line.where, line.claim)
        known = best.get(key)
        if known is None or rank(line, order) < rank(known, order):
            best[key] = line
    return [*best.values()]


def rank(line: claims.Line, order: dict[str, int]) -> tuple[bool, int]:
    """Sorts lines of one claim: those that were run first, the largest preset first."""
    return line.verdict in ("not run", "stale"), order[line.preset]


def spectrum(lines: Sequence[claims.Line]) -> dict[str, int]:
    """How many claims there are of each kind of SPECTRUM, and of other verdicts."""
    words = [f"{line.alone} alone" if line.alone else line.verdict for line in lines]
    return {word: words.count(word) for word in dict.fromkeys((*SPECTRUM, *words))}


def tally(lines: Sequence[claims.Line]) -> dict[str, int]:
    """How many claims have which verdict."""
    return {
        word: sum(line.verdict == word for line in lines)
        for word in claims.VERDICTS
        if word in ("holds", "contradicted", "undecided") or any(x.verdict == word for x in lines)
    }


def sentence(lines: Sequence[claims.Line]) -> str:
    """What reproduced at each preset, in words; the best preset first."""
    parts: list[str] = []
    counted: set[tuple[str, str]] = set()
    for preset in SHOWN_PRESETS:
        tested = [
            line
            for line in lines
            if line.preset == preset and line.verdict in ("holds", "contradicted", "undecided")
        ]
        if not tested:
            continue
        counts = tally(tested)
        one = f"{counts['holds']} of {len(tested)} claims hold"
        said = {(line.where, line.claim) for line in tested}
        if parts:
            others = f"the {len(tested)} others" if said.isdisjoint(counted) else f"{len(tested)}"
            one = f"{counts['holds']} of {others}"
        counted |= said
        wrong = counts["contradicted"]
        open_ones = counts["undecided"]
        parts.append(
            f"At preset {preset} {one}, {wrong or 'none'} {'is' if wrong < 2 else 'are'} "
            f"contradicted, {open_ones or 'none'} undecided{leaning(tested)}."
        )
    return " ".join(parts) or "Nothing has been run yet."


def leaning(lines: Sequence[claims.Line]) -> str:
    """What undecided claims would be without the correction for the others, in words."""
    alone = [line.alone for line in lines]
    numbers = [
        f"{alone.count(word)} more would {verb}"
        for word, verb in (("holds", "hold"), ("contradicted", "be contradicted"))
        if word in alone
    ]
    return f" (tested alone, {' and '.join(numbers)})" if numbers else ""


def strongest(lines: Sequence[claims.Line], verdict: str) -> claims.Line | None:
    """The claim with this verdict that chance explains least, those of the best preset first;
    numbers without any spread, which have no chance to them, come last, and those of a run or two
    not at all.
    """
    decided = [line for line in lines if line.verdict == verdict and line.p and line.n >= FEWEST]
    if not decided:
        return None
    order = {preset: place for place, preset in enumerate(SHOWN_PRESETS)}
    return min(decided, key=lambda line: (not float(line.p), order[line.preset], float(line.p)))


def evidence(line: claims.Line) -> str:
    """A claim's numbers, in words."""
    numbers = f"{line.interval} {line.unit}, n = {line.n}, {line.chance}, preset {line.preset}"
    return f"{numbers}; {line.why}" if line.why else numbers


def card(page: Page, paper: str, lines: list[claims.Line]) -> None:
    """What reproduced of a paper, with the strongest evidence on either side."""
    best = best_lines(lines)
    says = sentence(best)
    parts = [f'<h3><a href="#{paper}">{text(catalogue.title(paper))}</a></h3>']
    parts += [shares(spectrum(best)), f"<p>{text(says)}</p>"]
    page.markdown.append(f"{catalogue.title(paper)}: {says}\n")
    for verdict, title in (("holds", "Clearest"), ("contradicted", "Against the paper")):
        line = strongest(best, verdict)
        if line:
            where = f"{text(line.claim)} <small>({text(line.where)})</small>"
            numbers = f"<small>{text(evidence(line))}</small>"
            parts.append(f"<p><b class={verdict}>{title}:</b> {where}<br>{numbers}</p>")
    page.raw(f"<article class=card>{''.join(parts)}</article>")


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
    page.raw(claims_table(best, f"{title}, each at the best preset that has been run"))
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
        f"{f'<small class=why>{text(line.why)}</small>' if line.why else ''}</td>"
        f"<td class=number>{text(line.mean)}"
        f"<small>{text(line.interval.partition(' ')[2])}</small></td>"
        f"<td class=number>{line.n or ''}</td>"
        f"<td class=number>{text(line.p if line.p != '0' else 'no spread')}</td>"
        f"<td>{text(line.preset)}<small>{text(line.maker)}</small></td></tr>"
        for line in lines
    )
    return framed(f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>", caption, "claims")


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


# --- A table ---


def best_first(results: dict[str, Stored]) -> list[str]:
    """Presets, the complete ones first, then those that were begun; the largest first of each."""

    def complete(there: Stored) -> bool:
        return not (there.undone("missing") or there.undone("stale"))

    return sorted(results, key=lambda preset: not complete(results[preset]))


def show_table(page: Page, table: Table, edition: Edition) -> None:
    """A table at all presets that have results, the best one unfolded."""
    page.heading(3, f"{label(table)}: {table.title}", anchor(table))
    there_are = {preset: edition.source(table, preset) for preset in SHOWN_PRESETS}
    results = {preset: full(table, there) for preset, there in there_are.items() if there}
    if not results:
        script = edition.relative(ROOT / "papers" / f"{table.slot}.py")
        page.raw(f"<p class=facts>{link(script, f'python papers/{table.slot}.py')}</p>")
        page.paragraph(table.unavailable or "not run yet")
        return
    first, *rest = best_first(results)
    show_preset(page, table, first, results[first], edition)
    for preset in rest:
        page.raw(f"<details><summary>The same at preset {preset}</summary>")
        show_preset(page, table, preset, results[preset], edition)
        page.raw("</details>")


def full(table: Table, there: Stored) -> Stored:
    """With the published numbers and learning curves that a reference's entries are stored
    without.
    """
    if there.source == HERE:
        return there
    published = table.published()
    path = there.folder / f"{table.name}.curves.csv"
    curves: dict[scores.Name, dict[int, list[float | None]]] = {}
    rounds: dict[scores.Name, dict[int, None]] = {}
    for row in read_csv(path) if path.exists() else []:
        name = (row["row"], row["column"])
        score = float(row["score"]) if row["score"] else None
        curves.setdefault(name, {}).setdefault(int(row["seed"]), []).append(score)
        rounds.setdefault(name, {})[int(row["round"])] = None
    entries = [
        replace(
            entry,
            published_mean=published.get(entry.name, (None, None))[0],
            published_std=published.get(entry.name, (None, None))[1],
            curves=curves.get(entry.name, {}),
            rounds=[*rounds.get(entry.name, {})],
        )
        for entry in there.entries
    ]
    return replace(there, entries=entries)


def show_preset(page: Page, table: Table, preset: str, there: Stored, edition: Edition) -> None:
    """A table at one preset."""
    page.raw(made_line(table, there, preset, edition))
    page.markdown.append(f"{facts_line(table, there, preset)}\n")
    entries = there.entries
    links = [file_of(table, entry, there.folder, edition) for entry in entries]
    title = f"{table.slot} at preset {preset}: {len(entries)} entries"
    rows = writer.rows_of(table, entries)
    grid = grid_of(table, there, f"{label(table)}, {table.unit}, preset {preset}")
    if grid:
        page.raw(grid)
    undone = there.undone("stale")
    if undone:
        page.paragraph(f"No picture: {len(undone)} entries are stale.", "stale")
    else:
        page.raw("<figure>")
        show_picture(page, table, there, preset, edition)
        page.raw("</figure>")
    page.table(rows, writer.HEADER, title, folded=bool(grid), links=links)
    if table.ours:
        show_aggregates(page, table, there, preset, edition)


def made_line(table: Table, there: Stored, preset: str, edition: Edition) -> str:
    """Command, commit, minutes, gigabytes and files of a table, HTML."""
    command = f"python papers/{table.slot}.py with {preset}"
    script = edition.relative(ROOT / "papers" / f"{table.slot}.py")
    seconds = sum(entry.made.get("seconds", 0) for entry in there.entries)
    size = planning.gigabytes(planning.data_bytes(table.cells(preset)))
    takes = "nothing is trained for it"
    if seconds:
        estimate = f"<span class=estimate>, {text(size)} of data</span>"
        takes = f"{text(planning.duration(seconds))} of one core{estimate}"
    published = PUBLISHED / table.paper / f"{table.name}.csv"
    theirs = f" Published: {link(edition.relative(published), published.name)}."
    return (
        f"<p class=facts><b>{preset}</b>, {text(state_of(table, there))}. "
        f"<code>{link(script, command)}</code>, {takes}. "
        f"{files_line(table, there, edition)}{theirs if published.exists() else ''}</p>"
        f"<details class=facts><summary>How it was made</summary>"
        f"{text(facts_line(table, there, preset))}</details>"
    )


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
    trained = "nothing was trained for it"
    if machine:
        trained = (
            f"{planning.duration(seconds)} of one core on {machine['processor']} "
            f"({machine['device']}, kernels {machine['kernels']})"
        )
    return (
        f"preset {preset}, from {there.source} (results/{kind}/{preset}/{table.slot}.json); "
        f"{made_by}{facts['unit']}; {facts['score']}; {trained}; {versions}"
    )


def grid_of(table: Table, there: Stored, caption: str) -> str:
    """The table in its paper's rows and columns, ours above published, HTML; "" where most places
    would be empty.
    """
    rows, columns = figures.labels(there.entries)
    if len(columns) < 2 or len(there.entries) < FULL * len(rows) * len(columns):
        return ""
    compared_to = writer.compared(table, there.entries)
    of_name = {entry.name: entry for entry in there.entries}

    turned = len(columns) > max(MANY + 2, len(rows)) and not table.published()
    if turned:  # an ablation of many variants: they stand below one another
        rows, columns = columns, rows

    def place(row: str, column: str) -> str:
        entry = of_name.get((column, row) if turned else (row, column))
        if entry is None:
            return "<td class=none></td>"
        return grid_cell(table, entry, compared_to.get(entry.name))

    head = "".join(f"<th scope=col>{text(table.called(column))}</th>" for column in columns)
    body = "".join(
        f"<tr><th scope=row>{text(table.called(row))}</th>"
        + "".join(place(row, column) for column in columns)
        + "</tr>"
        for row in rows
    )
    legend = f". {LEGEND}" if table.published() else f". Ours, {SPREAD}."
    if table.times:
        legend = f". Ours above those of the authors' machine, {SPREAD}."
    content = f"<thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody>"
    return framed(content, caption + legend, "grid" if len(columns) < MANY else "grid many")


def grid_cell(table: Table, entry: Shown, compared_to: scores.Comparison | None) -> str:
    """One number of a grid: ours above published, coloured by what is to be thought of it."""
    facts = entry.summary
    if facts.mean is None:
        return f"<td class=none>{text(entry.state.split(':')[0])}{theirs_of(table, entry)}</td>"
    std = facts.std if facts.n > 1 else None
    ours = writer.plus_minus(facts.mean, std, table.decimals).replace("+-", "±")
    word = compared_to.word if compared_to else ""
    kind = {"consistent": "same", "differs": "differs"}.get(word, "open" if word else "")
    says = [f"95 % interval {writer.interval(facts.low, facts.high, table.decimals)}"]
    says += [f"n = {facts.n}", f"{facts.diverged} diverged" if facts.diverged else "", word]
    title = text(", ".join(filter(None, says)))
    lost = f" <small>{facts.diverged} diverged</small>" if facts.diverged else ""
    return (
        f'<td{f" class={kind}" if kind else ""} title="{title}"><b>{ours}</b>'
        f"{theirs_of(table, entry)}{lost}</td>"
    )


def theirs_of(table: Table, entry: Shown) -> str:
    """The published number below ours, HTML; nothing where there is none."""
    mean, std = table.published().get(entry.name, (None, None))
    if mean is None:
        return ""
    return f"<small>{writer.plus_minus(mean, std, table.decimals).replace('+-', '±')}</small>"


def file_of(table: Table, entry: Shown, folder: Path, edition: Edition) -> str:
    """The file an entry's number comes from: its cell's where it is made of one and was run here,
    else the table's seeds.
    """
    cells = [folder / "cells" / f"{slot.replace('/', '__')}.json" for slot in entry.cells]
    if len(cells) == 1 and cells[0].exists():
        return edition.relative(cells[0])
    return edition.relative(folder / f"{table.name}.seeds.csv")


def files_line(table: Table, there: Stored, edition: Edition) -> str:
    """Links to a table's files, HTML."""
    folder = there.folder
    title = "Files of the stale run" if there.undone("stale") else "Files"
    names = [f"{table.name}.{kind}" for kind in writer.KINDS]
    links = [
        link(edition.relative(folder / name), name.removeprefix(f"{table.name}."))
        for name in names
        if (folder / name).exists()
    ]
    return f"{title}: {', '.join(links)}."


# --- Pictures ---


def show_picture(page: Page, table: Table, there: Stored, preset: str, edition: Edition) -> None:
    """The table's picture in the paper's layout: the file beside the results, else drawn from the
    stored numbers and curves.
    """
    says = f"{table.slot} at preset {preset}: {table.title}"
    path = there.folder / f"{table.name}.png"
    if path.exists():
        page.picture(inline(small(path.read_bytes())), says)
        return
    if not edition.draw or not writer.has_picture(there.entries):
        return
    draw = table.draw or figures.bars
    key = key_of(table, there)
    try:
        if key not in edition.kept:
            edition.kept[key] = inline(small(drawn(draw, table, there.entries, preset=preset)))
        page.picture(edition.kept[key], says, key)
    except Exception as error:  # of a table that older code stored
        reason = f"{type(error).__name__}: {error}"
        page.raw(f"<!-- no picture of {text(says)}: {text(reason).replace('--', '- -')} -->")


def key_of(table: Table, there: Stored) -> str:
    """Changes with the files that a picture of a table is drawn from, and with what draws it."""
    paths = [there.folder / f"{table.name}.{kind}" for kind in writer.KINDS]
    paths += [ROOT / "papers" / f"{table.slot}.py", Path(figures.__file__)]
    content = b"".join(path.read_bytes() for path in paths if path.exists())
    content += COLORS.to_bytes(2)
    return hashlib.sha256(content).hexdigest()[:12]


def drawn(draw: Callable, *what, preset: str) -> bytes:
    """What a function of `figures` writes to a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        draw(*what, path, preset)
        return path.read_bytes()


def small(png: bytes) -> bytes:
    """A picture in its commonest colours, so that a line keeps its own; the others become the
    nearest of them.
    """
    from PIL import Image

    full = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    codes, places, counts = np.unique(
        full @ [65536, 256, 1], return_inverse=True, return_counts=True
    )
    colors = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], 1)
    kept = colors[np.argsort(-counts, kind="stable")[:COLORS]]
    nearest = [np.abs(kept - color).sum(1).argmin() for color in colors]
    picture = Image.fromarray(np.array(nearest, np.uint8)[places].reshape(full.shape[:2]), "P")
    picture.putpalette(kept.ravel().tolist())
    content = io.BytesIO()
    picture.save(content, format="PNG", optimize=True)
    return content.getvalue()


def show_aggregates(page: Page, table: Table, there: Stored, preset: str, edition: Edition) -> None:
    """Over a table's tasks: the probability of improvement of the paper's method, and performance
    profiles.
    """
    runs = {
        name: np.array(list(sample.values()))
        for name, sample in claims.finite(there).items()
        if sample
    }
    rows = improvement_rows(table, runs)
    if rows:
        ours = table.called(table.ours or "")
        title = f"Probability that a run of {ours} beats one of another method on the same task"
        page.table(rows, IMPROVEMENT, title)
    tasks = [row for row, column in runs if column == table.ours]
    methods = [
        method
        for method in dict.fromkeys(column for _, column in runs)
        if all((row, method) in runs for row in tasks)
    ]
    # raw returns of different tasks do not compare
    if len(tasks) < 2 or len(methods) < 2 or "return" in table.unit or not edition.draw:
        return
    by_method = {method: [runs[row, method] for row in tasks] for method in methods}
    says = f"Performance profiles of {', '.join(methods)} over {len(tasks)} tasks, preset {preset}"
    key = f"{key_of(table, there)}profiles"
    if key not in edition.kept:
        picture = drawn(figures.profiles, table, by_method, preset=preset)
        edition.kept[key] = inline(small(picture))
    page.picture(edition.kept[key], says, key)


def improvement_rows(table: Table, runs: dict[scores.Name, np.ndarray]) -> list[list]:
    """The paper's method against every other one, over the tasks that both have."""
    assert table.ours
    rows = []
    for other in dict.fromkeys(column for _, column in runs if column != table.ours):
        tasks = [row for row, column in runs if column == other and (row, table.ours) in runs]
        if tasks:
            pairs = [(runs[row, table.ours], runs[row, other]) for row in tasks]
            mean, low, high = scores.probability_of_improvement(pairs)
            rows.append(
                [table.called(other), f"{mean:.2f}", f"[{low:.2f}, {high:.2f}]", len(tasks)]
            )
    return rows


# --- What is not one of the tables ---


def others(page: Page, edition: Edition) -> None:
    """Runs of this machine that are no evidence: preset smoke, and other seeds or settings."""
    page.heading(2, "Other runs", "others")
    rows = other_rows(edition) if edition.source is not committed else []
    what = "Runs at preset smoke, and with seeds or settings of their own (results/runs)"
    found = f"{len(rows)} entries, which decide nothing above" if rows else "none"
    page.paragraph(f"{what}: {found}.", "facts")
    header = ["table", "preset", "row", "column", "mean", "n"]
    if rows:
        page.table(rows, header, "Numbers of these runs, as their files have them", folded=True)


def other_rows(edition: Edition) -> list[list]:
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
