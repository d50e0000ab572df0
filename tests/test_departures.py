"""The departures ledger: complete rows, every measured effect can be computed, options exist."""

import csv
import re

import numpy as np
import pytest

from common.reporting import catalogue, departures, scores, stored
from common.reporting.departures import Effect
from common.reporting.shown import Shown
from common.reporting.stored import Stored
from common.reporting.tables import REFERENCE
from common.running.cells import PRESETS
from common.running.provenance import ROOT

PAPERS = catalogue.papers()
EFFECTS = [
    (paper, departure.what, departure.effect)
    for paper in PAPERS
    for departure in departures.of_paper(paper)
    if departure.effect
]


@pytest.mark.parametrize("paper", PAPERS)
def test_every_departure_says_what_it_is_about_and_what_is_done_here(paper):
    listed = departures.of_paper(paper)
    assert len(listed) > 15
    assert all(departure.what and departure.here for departure in listed)
    assert len({departure.what for departure in listed}) == len(listed)


@pytest.mark.parametrize("paper", PAPERS)
def test_options_that_a_departure_names_are_in_the_code(paper):
    files = [
        path for top in (f"papers/{paper}", "common", "envs") for path in (ROOT / top).rglob("*.py")
    ]
    code = "\n".join(path.read_text() for path in files if path.stem != "departures")
    for departure in departures.of_paper(paper):
        for word in re.findall(r"[A-Za-z_]\w+(?==|\b)", departure.option.split(" of ")[0]):
            known = (
                re.search(rf"\b{word}\b", code)
                or word in ("both", "in", "py")
                or (ROOT / "envs" / word).exists()
            )
            assert known, (departure.what, word)


@pytest.mark.parametrize(
    ("paper", "what", "effect"), EFFECTS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_effect_names_entries_of_its_table(paper, what, effect):
    table = catalogue.table(f"{paper}/{effect.table}")
    names = {name for pair in effect.pairs for name in pair}
    computable = []
    for preset in PRESETS:
        entries = {(entry.row, entry.column): entry for entry in table.entries_at(preset)}
        assert names <= {*entries}
        computable.append(not any(entries[name].missing for name in names))
    assert any(computable)
    assert all(other != default for other, default in effect.pairs)


def in_reference(paper, effect) -> bool:
    """Whether the committed reference has an effect's entries at quick."""
    there = stored.committed(catalogue.table(f"{paper}/{effect.table}"), "quick")
    known = {entry.name for entry in there.entries if entry.seeds} if there else set()
    return {name for pair in effect.pairs for name in pair} <= known


def source_of(samples, state="done"):
    """A source of one table at quick: {(row, column): values}."""
    entries = [
        Shown(*name, ("x",), state, scores.summary(list(sample)), seeds=dict(enumerate(sample)))
        for name, sample in samples.items()
    ]
    there = Stored(stored.HERE, REFERENCE, {}, entries)
    return lambda table, preset: there if preset == "quick" else None


def test_an_effect_is_the_mean_paired_difference():
    effect = Effect(
        "ablation_options",
        ((("a", "other"), ("a", "default")), (("b", "other"), ("b", "default"))),
    )
    samples = {
        ("a", "other"): (3.0, 5.0),
        ("a", "default"): (1.0, 2.0),
        ("b", "other"): (0.0, 1.0),
        ("b", "default"): (1.0, 1.0),
    }
    measured = departures.measure("omar", effect, "quick", (source_of(samples),))
    assert float(measured.mean) == np.mean([2.5, -0.5])
    assert float(measured.low) < 1 < float(measured.high)
    assert (measured.n, measured.unit) == (4, "normalized score")
    assert (measured.table, measured.maker) == ("ablation_options", "this machine")
    assert departures.measure("omar", effect, "paper", (source_of(samples),)) is None
    stale = source_of(dict.fromkeys(samples, ()), "stale: code changed")
    assert str(departures.measure("omar", effect, "quick", (stale,))).startswith("stale (")


def test_the_committed_ledger_follows_from_the_committed_seeds():
    with open(REFERENCE / "departures.csv", newline="") as file:
        committed = list(csv.reader(file))
    fresh = departures.csv_rows(departures.ledger(sources=(stored.committed,)))
    assert committed == [departures.HEADER, *([str(value) for value in row] for row in fresh)]
    measured = sum(in_reference(paper, effect) for paper, _, effect in EFFECTS)
    assert sum(row[6] == "quick" for row in committed) >= measured


def test_columns_that_no_departure_fills_are_left_out(monkeypatch):
    silent = departures.Departure("what", "text", "", "here")
    monkeypatch.setattr(departures, "of_paper", lambda paper: [silent])
    header, rows = departures.table_of("omar", [departures.Line("omar", silent)])
    assert header == ["what", "paper", "here"] and rows == [["what", "text", "here"]]
