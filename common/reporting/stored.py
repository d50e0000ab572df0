"""Tables as they are stored, and what of them still holds: this machine's runs and the committed
reference.

Nothing is read without its state. Of this machine's runs every cell is asked: an entry whose code,
data or settings have changed since is stale, and has no numbers. Of the reference only some cells
are committed; its numbers stay, and where the present code is no longer the one that made them,
that is said with the commit that did.
"""

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from common.reporting import catalogue, scores, writer
from common.reporting.scores import Name
from common.reporting.shown import Shown, of_json, show
from common.reporting.tables import REFERENCE, Entry, Table
from common.running import work
from common.running.cells import PRESETS, Cell, runs_folder
from common.running.options import BadInput
from common.running.provenance import (
    carried_recipes,
    changed_packages,
    is_configuration,
    is_present,
)
from common.running.sources import code_hashes

SHOWN_PRESETS = PRESETS[1:]  # by budget, the largest last; smoke says nothing
HERE = "this machine"
COMMITTED = "committed reference"


@dataclass(frozen=True)
class Stored:
    """A table at a preset.

    Attributes:
        source: HERE or COMMITTED.
        folder: of its files.
        facts: of its JSON, without the entries.
        entries: with what every seed did.
        outdated: why the present code would not make an entry's numbers, by name; of the
            reference, and only if it was asked for.
    """

    source: str
    folder: Path
    facts: dict
    entries: list[Shown]
    outdated: dict[Name, str] = field(default_factory=dict)

    @property
    def maker(self) -> str:
        """Who made the numbers: this machine, or a commit."""
        return self.maker_if(bool(self.outdated))

    def maker_if(self, older: bool) -> str:
        """Who made the numbers, if it was older code, or if it was not."""
        if self.source == HERE:
            return HERE
        commit = short(self.facts.get("commit") or "unknown")
        return f"commit {commit}, older code" if older else f"commit {commit}"

    @property
    def seconds(self) -> float:
        """Of one core, every cell counted once."""
        of_cells: dict[str, float] = {}
        for entry in self.entries:
            of_cells |= entry.made.get("seconds", {})
        return sum(of_cells.values())

    @property
    def whole(self) -> bool:
        """Whether no entry is missing or stale."""
        return not (self.undone("missing") or self.undone("stale"))

    def entry(self, name: Name) -> Shown | None:
        """One entry; None where the table has none of that name."""
        return next((entry for entry in self.entries if entry.name == name), None)

    def undone(self, word: str) -> list[Shown]:
        """Entries whose state begins with a word: stale or missing."""
        return [entry for entry in self.entries if entry.state.startswith(word)]


Source = Callable[[Table, str], Stored | None]  # a table at a preset, None if it is not there


def short(commits: str) -> str:
    """Commits as people write them, also of a tree that differed from its commit."""
    return ", ".join(
        commit[:7] + ("-dirty" if commit.endswith("-dirty") else "")
        for commit in commits.split(", ")
    )


def facts_at(path: Path) -> dict | None:
    """A table's JSON; None if there is none.

    Raises:
        BadInput: the file is not such a JSON.
    """
    if not path.exists():
        return None
    try:
        facts = json.loads(path.read_text())
    except ValueError as error:
        hint = "delete it and run its script again"
        raise BadInput(f"{path} is not a table's JSON: {error}; {hint}") from None
    if not isinstance(facts, dict) or "entries" not in facts:
        raise BadInput(f"{path} is not a table's JSON; delete it and run its script again")
    return facts


def here(table: Table, preset: str) -> Stored | None:
    """What this machine's script left, every entry with its present state."""
    path = runs_folder() / preset / table.paper / f"{table.name}.json"
    facts = facts_at(path)
    if facts is None:
        return None
    del facts["entries"]
    return Stored(HERE, path.parent, facts, show(table, preset, {}))


def committed(table: Table, preset: str) -> Stored | None:
    """What the reference has of a table, whatever the present code is; entries that the script has
    got since are missing.
    """
    path = REFERENCE / preset / table.paper / f"{table.name}.json"
    seeds = path.with_name(f"{table.name}.seeds.csv")
    changed = [file.stat().st_mtime_ns for file in (path, seeds) if file.exists()]
    if not path.exists():
        return None
    there = _committed(path, seeds, *changed)
    known = {entry.name for entry in there.entries}
    added = [entry for entry in _entries(table.slot, preset) if entry.name not in known]
    return replace(there, entries=[*there.entries, *added]) if added else there


@functools.cache
def _entries(slot: str, preset: str) -> list[Shown]:
    """Of a script, nothing of which has been run."""
    return [
        Shown(entry.row, entry.column, (), entry.missing or "missing", scores.summary([]))
        for entry in catalogue.table(slot).entries_at(preset)
    ]


@functools.cache
def _committed(path: Path, seeds_path: Path, *changed: int) -> Stored:
    """Read once for many claims, and again when a file has changed."""
    facts = facts_at(path)
    assert facts is not None
    seeds = writer.read_seeds(seeds_path)
    try:
        entries = [
            of_json(entry, seeds.get((entry["row"], entry["column"]), {}))
            for entry in facts.pop("entries")
        ]
    except (KeyError, TypeError, AttributeError) as error:
        hint = "take it from git again"
        raise BadInput(f"{path} is not a table's JSON: {error!r}; {hint}") from None
    return Stored(COMMITTED, path.parent, facts, entries)


def best_whole(*slots: str) -> tuple[str, list[Stored]]:
    """Some tables at the largest preset at which all of them are committed whole, and that preset;
    ("", []) where there is none.
    """
    for preset in reversed(SHOWN_PRESETS):
        tables = (committed(catalogue.table(slot), preset) for slot in slots)
        there = [one for one in tables if one and one.whole]
        if len(there) == len(slots):
            return preset, there
    return "", []


def judged(table: Table, preset: str) -> Stored | None:
    """As `committed`, and which of its entries the present code would not make."""
    there = committed(table, preset)
    if there is None:
        return None
    present = {(entry.row, entry.column): entry for entry in table.entries_at(preset)}
    reasons = {
        entry.name: changed_since(entry, present.get(entry.name), there.facts)
        for entry in there.entries
        if entry.seeds
    }
    outdated = {name: reason for name, reason in reasons.items() if reason}
    return Stored(there.source, there.folder, there.facts, there.entries, outdated)


def stored(table: Table, preset: str) -> Stored | None:
    """What a run on this machine left, else the reference."""
    return here(table, preset) or judged(table, preset)


def once(source: Source) -> Source:
    """A source that looks at each table once."""
    known: dict[tuple[str, str], Stored | None] = {}

    def read(table: Table, preset: str) -> Stored | None:
        key = (table.slot, preset)
        if key not in known:
            known[key] = source(table, preset)
        return known[key]

    return read


def changed_since(entry: Shown, present: Entry | None, facts: dict) -> str:
    """Why the present code would not make a reference's entry; "" where it would.

    Args:
        present: the entry as the table has it now.
        facts: of the table's JSON.
    """
    if present is None:
        return "no longer in the table"
    if not present.cells:
        return ""  # a number of the configuration: nothing is trained
    if {cell.slot for cell in present.cells} != {*entry.cells}:
        return "made of other cells"
    reasons = dict.fromkeys(cell_changed(entry, cell, facts) for cell in present.cells)
    return "; ".join(reason for reason in reasons if reason)


def cell_changed(entry: Shown, cell: Cell, facts: dict) -> str:
    """What has changed of one cell of a reference's entry, "" for nothing."""
    paper = work.paper(cell.paper)
    roots = paper.roots(cell)
    code, now = facts.get("code") or {}, code_hashes(roots)
    if not is_present(code, roots):
        return "code changed"
    hashed = entry.made.get("config", {}).get(cell.slot, "")
    if not is_configuration(hashed, cell.config, code, now):
        return "configuration changed"
    recipes = paper.data.recipes(cell)
    known = entry.made.get("recipe", {}).get(cell.slot) or {}
    if recipes not in ({}, known, carried_recipes(known, cell.config.get("task", ""))):
        return "data changed"
    packages = changed_packages(facts.get("versions", {}), now)
    return f"packages changed ({', '.join(packages)})" if packages else ""


def state_of(table: Table, there: Stored | None) -> str:
    """How much of a table there is, in words."""
    if table.unavailable:
        return "cannot run"
    if there is None:
        return "not run"
    entries = there.entries
    done = sum(entry.mean is not None for entry in entries)
    if done == len(entries):
        return "complete"
    counts = [(len(there.undone(word)), word) for word in ("stale", "missing")]
    undone = ", ".join(f"{count} {word}" for count, word in counts if count)
    if undone:
        return f"{done} of {len(entries)} entries, {undone}"
    diverged = sum(entry.state == "done" and entry.mean is None for entry in entries)
    without = len(entries) - done - diverged
    said = [f"{diverged} diverged"] if diverged else []
    said += [f"{without} without a number by design"] if without else []
    return f"complete, {', '.join(said)}"
