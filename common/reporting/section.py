"""A table's section of the results page: its numbers in the paper's rows and columns, ours above
published, its picture, and how it was made.
"""

import functools
import hashlib
import inspect
import io
import re
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from common.reporting import claims, figures, planning, scores, writer
from common.reporting.edition import Edition
from common.reporting.findings import FEWEST
from common.reporting.markup import Page, captioned, framed, inline, link, text
from common.reporting.shown import Shown
from common.reporting.stored import HERE, SHOWN_PRESETS, Stored, state_of
from common.reporting.tables import PUBLISHED, Table
from common.running.cells import file_name
from common.running.provenance import ROOT

MANY = 5  # columns of a grid, that are set smaller
FULL = 0.6  # of a grid's places have a number; else the table is shown as a list
CURVE = 3  # points of a learning curve that is drawn
COLORS = 256  # of a picture, its commonest, which makes it half as large
IMPROVEMENT = ["over", "probability", "95 % interval", "tasks"]
SPREAD = (
    "± the standard deviation over runs, or over data sets where several runs share one (dividing "
    "by n, as the papers' codes do)"
)
LEGEND = (
    f"Ours above published, {SPREAD}. Green and ≈: consistent with the published number; "
    "red and ≠: differs beyond chance; yellow and ?: too few runs or too wide an interval to tell."
)


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


def best_first(results: dict[str, Stored]) -> list[str]:
    """Presets, the complete ones first, then those that were begun; the largest first of each."""
    return sorted(results, key=lambda preset: not results[preset].whole)


def show_table(page: Page, table: Table, edition: Edition) -> None:
    """A table at all presets that have results, the best one unfolded."""
    page.heading(3, f"{label(table)}: {table.title}", anchor(table))
    there_are = {preset: edition.source(table, preset) for preset in reversed(SHOWN_PRESETS)}
    results = {preset: full(table, there) for preset, there in there_are.items() if there}
    if not results:
        script = edition.relative(ROOT / "papers" / f"{table.slot}.py")
        page.raw(f"<p class=facts>{link(script, f'python papers/{table.slot}.py')}</p>")
        page.paragraph(table.unavailable or "not run yet")
        return
    first, *rest = best_first(results)
    for preset in rest:
        if SHOWN_PRESETS.index(preset) > SHOWN_PRESETS.index(first):
            begun = f"{preset}: {state_of(table, results[preset])}, below"
            page.paragraph(f"{begun}. Claims whose numbers it has are judged there.", "facts")
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
    curves = writer.read_curves(there.folder / f"{table.name}.curves.csv")
    entries = []
    for entry in there.entries:
        mean, std = published.get(entry.name, (None, None))
        by_seed = curves.get(entry.name, {})
        rounds = dict.fromkeys(at for points in by_seed.values() for at, _ in points)
        entries.append(
            replace(
                entry,
                published_mean=mean,
                published_std=std,
                curves={seed: [score for _, score in points] for seed, points in by_seed.items()},
                rounds=[*rounds],
            )
        )
    return replace(there, entries=entries)


def show_preset(page: Page, table: Table, preset: str, there: Stored, edition: Edition) -> None:
    """A table at one preset."""
    page.raw(made_line(table, there, preset, edition))
    page.markdown.append(f"{facts_line(table, there, preset)}\n")
    entries = there.entries
    links = [file_of(table, entry, there.folder, edition) for entry in entries]
    title = f"{table.slot} at preset {preset}: {len(entries)} entries"
    header, rows = filled(writer.HEADER, writer.rows_of(table, entries))
    grid = grid_of(table, there, f"{label(table)}, {table.unit}, preset {preset}")
    if grid:
        page.raw(grid)
    lacking = no_picture(table, there)
    if lacking:
        page.paragraph(f"No picture: {lacking}.", "facts")
    else:
        show_picture(page, table, there, preset, edition)
    pictured = not lacking and writer.has_picture(table, entries)
    page.table(rows, header, title, folded=bool(grid) or pictured, links=links)
    if table.ours:
        show_aggregates(page, table, there, preset, edition)


def filled(header: list[str], rows: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    """A table without columns in which no row has anything, as people write numbers."""
    kept = [i for i in range(len(header)) if any(row[i] not in ("", "-") for row in rows)]
    shown = [[row[i].replace("+-", "±") for i in kept] for row in rows]
    return [header[i] for i in kept], shown


def no_picture(table: Table, there: Stored) -> str:
    """Why there is no picture of what might be drawn, in words; "" where there may be one."""
    undone = there.undone("stale")
    if undone:
        return f"{len(undone)} entries are stale"
    points = max((len(entry.rounds) for entry in there.entries if entry.curves), default=CURVE)
    if table.x and points < CURVE:
        return f"the curves have {'one point' if points == 1 else f'{points} points'} each"
    return ""


def made_line(table: Table, there: Stored, preset: str, edition: Edition) -> str:
    """Command, commit, minutes, gigabytes and files of a table, HTML."""
    command = f"python papers/{table.slot}.py with {preset}"
    script = edition.relative(ROOT / "papers" / f"{table.slot}.py")
    size = planning.gigabytes(planning.data_bytes(table.cells(preset)))
    takes = "nothing is trained for it"
    if there.seconds:
        estimate = f"<span class=estimate>, {text(size)} of data</span>"
        takes = f"{text(planning.duration(there.seconds))} of one core{estimate}"
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
            f"{planning.duration(there.seconds)} of one core on {machine['processor']} "
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

    column_name, row_name = table.called, table.called_row
    if turned:
        column_name, row_name = row_name, column_name
    head = "".join(f"<th scope=col>{text(column_name(column))}</th>" for column in columns)
    body = "".join(
        f"<tr><th scope=row>{text(row_name(row)).replace('/', '/<wbr>')}</th>"
        + "".join(place(row, column) for column in columns)
        + "</tr>"
        for row in rows
    )
    legend = f". {LEGEND}" if table.published() else f". Ours, {SPREAD}."
    if table.times:
        legend = f". Ours above those of the authors' machine, {SPREAD}."
    content = f"<thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody>"
    frame = framed(content, caption, "grid" if len(columns) < MANY else "grid many")
    return captioned(caption + legend, frame)


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
    cells = [folder / "cells" / f"{file_name(slot)}.json" for slot in entry.cells]
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


def show_picture(page: Page, table: Table, there: Stored, preset: str, edition: Edition) -> None:
    """The table's picture in the paper's layout: the file beside the results, else drawn from the
    stored numbers and curves.
    """
    says = f"{table.slot} at preset {preset}: {table.title}"
    if not writer.has_picture(table, there.entries):
        return
    path = there.folder / f"{table.name}.png"
    if path.exists() and (there.source != HERE or newest(table, preset, path)):
        page.picture(inline(small(path.read_bytes())), says)
        return
    if not edition.draw:
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


def newest(table: Table, preset: str, path: Path) -> bool:
    """Whether a file of a table is no older than any of its cells' results here."""
    results = [cell.path for cell in table.cells(preset)]
    written = path.stat().st_mtime_ns
    return all(one.exists() and one.stat().st_mtime_ns <= written for one in results)


def key_of(table: Table, there: Stored) -> str:
    """Changes with the files that a picture of a table is drawn from, and with what draws it."""
    paths = [there.folder / f"{table.name}.{kind}" for kind in writer.KINDS]
    paths += [PUBLISHED / table.paper / f"{table.name}.csv", *drawing_code(table)]
    content = b"".join(path.read_bytes() for path in paths if path.exists())
    content += COLORS.to_bytes(2)
    return hashlib.sha256(content).hexdigest()[:12]


def drawing_code(table: Table) -> list[Path]:
    """Files that decide what a table's picture looks like."""
    own = [ROOT / "papers" / f"{table.slot}.py"]
    if table.draw and not isinstance(table.draw, functools.partial):
        own.append(Path(inspect.getfile(table.draw)))
    return [*dict.fromkeys(own), Path(figures.__file__), Path(scores.__file__)]


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
    profiles; where these would say more than the claims on the table may, why there are none.
    """
    runs = {
        name: np.array(list(sample.values()))
        for name, sample in claims.finite(there).items()
        if sample
    }
    doubts = claims.unmet_premises(table.paper, table.name, preset, edition.source)
    if any(len(sample) < FEWEST for sample in runs.values()):
        doubts = [f"fewer than {FEWEST} runs of a method on a task", *doubts]
    if doubts:
        page.paragraph(f"Nothing is said of all tasks together: {'; '.join(doubts)}.", "facts")
        return
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
    names = ", ".join(table.called(method) for method in methods)
    says = f"Performance profiles of {names} over {len(tasks)} tasks, preset {preset}"
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
