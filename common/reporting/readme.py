"""The generated tables of the READMEs and notes: no number and no verdict there is typed.

A page has pairs of lines

    <!-- generated: NAME -->
    <!-- end -->

or `NAME of PAPER` on a page outside that paper's folder, and what stands between them is a block
made from results/reference and from the papers' data. `./run_all.sh readme` fills them; a test
fails while a page is stale. They name the commit that made every number, and so stay true when the
code goes on; whether that code is still the present one is what `./run_all.sh report`, `claims` and
`diff` say.
"""

import json
import re
import statistics
import subprocess
import textwrap
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from common.reporting import (
    catalogue,
    claims,
    departures,
    findings,
    planning,
    regression,
    report,
)
from common.reporting.stored import SHOWN_PRESETS, Stored, committed, short, state_of
from common.reporting.tables import REFERENCE, Table
from common.running.cells import PRESETS
from common.running.files import write_json, write_text
from common.running.provenance import ROOT

BLOCK = re.compile(r"(<!-- generated: (\w+)(?: of (\w+))? -->\n).*?(<!-- end -->)", re.DOTALL)
NOTHING = "-"
ROOM = (0.1, 0.3, 1, 3, 10, 30, 100)  # gigabytes
COMMITS = 3  # so many are named in the state of a paper; its own page has them all


def pages() -> list[Path]:
    """Every page that may have generated blocks."""
    papers = [ROOT / "papers" / paper for paper in catalogue.papers()]
    pages = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "results/README.md")]
    pages += [folder / name for folder in papers for name in ("README.md", "notes.md")]
    return [page for page in pages if page.exists()]


def write() -> list[Path]:
    """Fills all pages, after stamping the reference; returns what has changed."""
    changed = stamp()
    for page in pages():
        content = filled(page)
        if content != page.read_text():
            write_text(page, content)
            changed.append(page)
    results = report.write_reference()
    return [*changed, results] if results else changed


def stale() -> list[Path]:
    """Pages whose blocks are not what the reference says now."""
    return [page for page in pages() if filled(page) != page.read_text()]


def filled(page: Path) -> str:
    """The page with its blocks made anew.

    Raises:
        ValueError: a block that nothing makes.
    """

    def block(match: re.Match) -> str:
        opening, name, other, closing = match.groups()
        paper = other or page.parent.name
        makers = BLOCKS | of_paper(paper)
        if name not in makers:
            raise ValueError(f"{page} has a block {name!r}, expected one of {', '.join(makers)}")
        return f"{opening}\n{makers[name](paper)}\n\n{closing}"

    return BLOCK.sub(block, page.read_text())


def of_paper(paper: str) -> dict[str, Callable[[str], str]]:
    """The blocks that a paper makes of its own results: `BLOCKS` of its pages.py."""
    own = catalogue.module(paper, "pages")
    return own.BLOCKS if own else {}


def stamp() -> list[Path]:
    """Writes into every JSON of the reference that does not say so which commit made it: the last
    one that changed it. Returns those written.
    """
    written = []
    for path in sorted(REFERENCE.glob("*/*/*.json")):
        facts = json.loads(path.read_text())
        commit = "" if facts.get("commit") else last_commit(path)
        if commit:
            entries = facts.pop("entries")
            write_json(path, {**facts, "commit": commit, "entries": entries})
            written.append(path)
    return written


def last_commit(path: Path) -> str:
    """The last commit that changed a file; "" where git does not know."""
    command = ["git", "log", "-1", "--format=%h", "--", str(path)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.strip()


def state_at(table: Table, preset: str) -> str:
    """How much of a table is committed, and the commit that made it."""
    there = committed(table, preset)
    state = state_of(table, there)
    commit = short(there.facts.get("commit") or "") if there else ""
    return f"{state} ({commit})" if commit else state


def markdown(rows: list[list], header: list[str]) -> str:
    """A table whose columns are as wide as they need be, so that one changed row is one changed
    line.
    """
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def tally(lines: list[claims.Line]) -> str:
    """How many claims have which verdict, in words."""
    words = [line.verdict for line in lines]
    says = {"holds": "hold"}
    counts = [(words.count(word), says.get(word, word)) for word in claims.VERDICTS]
    return ", ".join(f"{count} {word}" for count, word in counts if count) or NOTHING


def both_tallies(lines: list[claims.Line]) -> str:
    """The paper's claims, and in brackets what we ask beyond it."""
    ours = [line for line in lines if line.addition]
    papers = tally([line for line in lines if not line.addition])
    return f"{papers} ({tally(ours)})" if ours else papers


def ledger_of(paper: str) -> list[claims.Line]:
    """A paper's claims, decided by the reference alone."""
    return claims.ledger([paper], sources=(committed,))


def at(lines: list[claims.Line], preset: str) -> list[claims.Line]:
    """Those of a preset."""
    return [line for line in lines if line.preset == preset]


def presets_of(lines: list[claims.Line]) -> list[str]:
    """Presets at which something has been run."""
    return [preset for preset in SHOWN_PRESETS if at(lines, preset)]


def complete(tables: list[Table], preset: str) -> str:
    """How many of a paper's scripts are committed whole, how many in part, and the commits that
    made them. Which, the paper's own page says.
    """
    there = {table: committed(table, preset) for table in tables}
    states = [state_of(table, stored) for table, stored in there.items()]
    made_by = made_at([stored for stored in there.values() if stored])
    whole = sum(state.startswith("complete") for state in states)
    begun = sum(" of " in state for state in states)
    if whole == len(states):
        return f"all {whole} scripts{made_by}"
    if not whole and not begun:
        cells = kept_cells(tables[0].paper, preset)
        return f"begun: {len(cells)} cells, no table" if cells else "not run"
    in_part = f", {begun} in part" if begun else ""
    return f"{whole} of {len(states)} scripts{in_part}{made_by}"


def kept_cells(paper: str, preset: str) -> list[Path]:
    """Files of the cells that the reference has."""
    return [*(REFERENCE / preset / paper / "cells").glob("*.json")]


def made_at(tables: list[Stored]) -> str:
    """The commits of tables, the one of most first, in brackets."""
    words = [short(table.facts.get("commit") or "") for table in tables]
    commits = [commit for several in words for commit in several.split(", ")]
    often = [commit for commit, _ in Counter(filter(None, commits)).most_common()]
    if not often:
        return ""
    more = f" and {len(often) - COMMITS} more" if len(often) > COMMITS else ""
    return f" ({', '.join(often[:COMMITS])}{more})"


def state_block(_: str) -> str:
    """Of every paper, what is committed at each preset and what became of its claims, each at the
    largest preset at which it was run.
    """
    rows = []
    for paper in catalogue.papers():
        tables = catalogue.find(f"{paper}/*")
        link = f"[{catalogue.title(paper)}](papers/{paper}/README.md)"
        outcomes = both_tallies(findings.best_lines(ledger_of(paper)))
        rows.append([link, *(complete(tables, preset) for preset in SHOWN_PRESETS), outcomes])
    return markdown(rows, ["paper", *SHOWN_PRESETS, "claims of the paper (and our additions)"])


def reproduced_block(_: str) -> str:
    """The papers' main claims, each at the largest preset at which it was run, and their terms."""
    rows = []
    terms = [
        "n is runs, times data sets. A premise must be so for the numbers to say anything of the "
        "claim; a control is the same comparison without a cause that the paper does not give "
        "([more](results/README.md))."
    ]
    for paper in catalogue.papers():
        for line in findings.main_lines(ledger_of(paper)):
            numbers = f"{line.interval} {line.unit}, n = {line.n}" if line.interval else NOTHING
            verdict = f"{line.verdict} ({line.reasons})" if line.reasons else line.verdict
            rows.append([catalogue.title(paper), line.claim, verdict, line.preset, numbers])
        if said := claims.terms_of(paper):
            terms.append(f"{catalogue.title(paper)}: {said}")
    table = markdown(rows, ["paper", "main claim", "verdict", "preset", "mean [95 %]"])
    return f"{table}\n\n{textwrap.fill(' '.join(terms), 118, break_on_hyphens=False)}"


def totals_block(_: str) -> str:
    """What everything takes at each preset: time on one core, estimated, and room for data."""
    rows = []
    for preset in PRESETS:
        cells = planning.cells_of(catalogue.find("*/*"), preset)
        time = planning.duration(planning.seconds_of(cells))
        rows.append([f"`{preset}`", time, room(planning.data_bytes(cells))])
    return markdown(rows, ["everything at", "one core, about", "data"])


def scripts_block(paper: str) -> str:
    """Every script of a paper, and what is committed of it."""
    tables = catalogue.find(f"{paper}/*")
    rows = [
        [f"`{table.name}.py`", table.title, *(state_at(table, preset) for preset in SHOWN_PRESETS)]
        for table in tables
    ]
    return markdown(rows, ["script", "shows", *SHOWN_PRESETS])


def verdicts_block(paper: str) -> str:
    """Every claim of a paper that some preset decides; of the others, how many each section has."""
    lines = ledger_of(paper)
    presets = presets_of(lines)
    rows = []
    for where in dict.fromkeys(line.where for line in lines):
        here = [line for line in lines if line.where == where]
        by_claim = {line.claim: [other for other in here if same(line, other)] for line in here}
        decided = {claim for claim, known in by_claim.items() if any(map(is_decided, known))}
        for claim in by_claim:
            if claim in decided:
                words = [verdict_at(by_claim[claim], preset) for preset in presets]
                rows.append([where, f"**{claim}**", *words])
        first, *more = [claim for claim in by_claim if claim not in decided] or [""]
        if first:
            rest = [line for line in here if line.claim not in decided]
            says = first + (f" (and {len(more)} more)" if more else "")
            rows.append([where, says, *(tally(at(rest, preset)) for preset in presets)])
    return markdown(rows, ["where", "claim", *presets])


def is_decided(line: claims.Line) -> bool:
    """Whether the verdict is one of the two."""
    return line.verdict in ("holds", "contradicted")


def verdict_at(lines: list[claims.Line], preset: str) -> str:
    """The verdict on one claim at a preset, and whether its control holds, too."""
    for line in at(lines, preset):
        return f"{line.verdict}; {line.control}" if line.control else line.verdict
    return NOTHING


def claims_block(paper: str) -> str:
    """Every claim of a paper with its verdict and the numbers behind it."""
    lines = ledger_of(paper)
    presets = presets_of(lines)
    rows = []
    for line in at(lines, SHOWN_PRESETS[0]):
        outcomes = [
            next((outcome(other) for other in at(lines, preset) if same(line, other)), NOTHING)
            for preset in presets
        ]
        rows.append([line.where, line.claim, line.test, *outcomes])
    return markdown(rows, ["where", "claim", "holds if", *presets])


def same(one: claims.Line, other: claims.Line) -> bool:
    """Whether two lines are about the same claim."""
    return (one.where, one.claim) == (other.where, other.claim)


def outcome(line: claims.Line) -> str:
    """A verdict with its numbers."""
    chance = f", {line.chance}" if line.p else ""
    numbers = f": {line.interval}, n = {line.n}{chance}" if line.interval else ""
    reasons = "; ".join(filter(None, (line.reasons, line.maker)))
    return f"{line.verdict}{numbers} ({reasons})" if reasons else f"{line.verdict}{numbers}"


def review_block(paper: str) -> str:
    """What a reviewer of the artifact needs of every claim, at the best preset at which it was run:
    the command, what to expect, minutes of one core and gigabytes of data, and the verdict.
    """
    tables = {(claim.place, claim.says): claim.table for claim in claims.of_paper(paper)}
    rows = []
    for line in findings.best_lines(ledger_of(paper)):
        table = catalogue.table(f"{paper}/{tables[line.where, line.claim]}")
        there = committed(table, line.preset)
        seconds = there.seconds if there else 0
        rows.append(
            [
                f"{line.claim} ({line.where})",
                f"`./run_all.sh papers/{table.slot}.py with {line.preset}`",
                line.test,
                measured(line),
                planning.duration(seconds) if seconds else NOTHING,
                room(planning.data_bytes(table.cells(line.preset))),
                line.verdict,
            ]
        )
    header = [
        "claim",
        "command",
        "holds if",
        "measured: mean [95 %]",
        "one core",
        "data",
        "verdict",
    ]
    said = f"**Results.** {findings.sentence(ledger_of(paper))}{hours(paper)}"
    return f"{said}\n\n{markdown(rows, header)}"


def hours(paper: str) -> str:
    """What the committed cells of a paper took on one core, in words."""
    took = []
    for preset in SHOWN_PRESETS:
        cells = kept_cells(paper, preset)
        seconds = sum(json.loads(path.read_text())["seconds"] for path in cells)
        if seconds:
            took.append(f"{planning.duration(seconds)} at {preset}")
    return f" Committed cells took, on one core, {', '.join(took)}." if took else ""


def measured(line: claims.Line) -> str:
    """The numbers behind a verdict, and its reason where there is more to say."""
    if not line.interval:
        return NOTHING
    chance = f", {line.chance}" if line.p else ""
    reason = f"; {line.reasons}" if line.reasons else ""
    return f"{line.interval} {line.unit}, n = {line.n}{chance}{reason}"


def room(size: int) -> str:
    """Bytes of data as a bound, the same whether they were measured or estimated."""
    bound = next((bound for bound in ROOM if 1.1 * size / 1e9 < bound), None)
    return f"< {bound:g} GB" if bound else f"> {ROOM[-1]:g} GB"


def departures_block(paper: str) -> str:
    """A paper's departures with their measured effects."""
    header, rows = departures.table_of(paper, departures.ledger([paper], sources=(committed,)))
    return markdown(rows, header)


def power_block(_: str) -> str:
    """What `diff` sees in a paper's tables at quick, in standard deviations of a seed."""
    rows = []
    for paper in catalogue.papers():
        powers = []
        for table in catalogue.find(f"{paper}/*"):
            there = committed(table, SHOWN_PRESETS[0])
            seen = (
                regression.power(there, regression.timed(table, SHOWN_PRESETS[0]))
                if there
                else None
            )
            if seen and seen.spread:
                powers.append(seen)
        if powers:
            entry = statistics.median(seen.entry / seen.spread for seen in powers)
            whole = statistics.median(seen.whole / seen.spread for seen in powers)
            seeds = statistics.median(seen.seeds for seen in powers)
            title = catalogue.title(paper)
            rows.append([title, len(powers), f"{seeds:g}", f"{entry:.1f}", f"{whole:.1f}"])
    header = ["paper", "tables", "seeds", "shift of one entry, in sd", "of a whole table, in sd"]
    return markdown(rows, header)


BLOCKS: dict[str, Callable[[str], str]] = {
    "state": state_block,
    "reproduced": reproduced_block,
    "totals": totals_block,
    "scripts": scripts_block,
    "verdicts": verdicts_block,
    "claims": claims_block,
    "departures": departures_block,
    "review": review_block,
    "power": power_block,
}
