"""The departures ledger: the READMEs' tables are its rows, every measured effect can be computed,
options exist.
"""

import csv
import importlib
import re

import numpy as np
import pytest

from common.reporting import claims, departures
from common.reporting.departures import Effect
from common.reporting.tables import REFERENCE
from common.running.files import write_csv
from common.running.provenance import ROOT

EFFECTS = [(paper, effect) for paper in claims.PAPERS for effect in departures.effects_of(paper)]


@pytest.mark.parametrize("paper", claims.PAPERS)
def test_a_readmes_table_is_read_whole(paper):
    header, rows, _ = departures.readme_table(paper)
    assert header[-1] == "option" and len(rows) > 15
    assert all(len(row) == len(header) and row[0] and row[-2] for row in rows)
    assert len({row[0] for row in rows}) == len(rows)


@pytest.mark.parametrize("paper", claims.PAPERS)
def test_options_that_a_readme_names_are_in_the_code(paper):
    files = [
        path for top in (f"papers/{paper}", "common", "envs") for path in (ROOT / top).rglob("*.py")
    ]
    code = "\n".join(path.read_text() for path in files if path.stem != "departures")
    for row in departures.readme_table(paper)[1]:
        for word in re.findall(r"[A-Za-z_]\w+(?==|\b)", row[-1].split(" of ")[0]):
            known = (
                re.search(rf"\b{word}\b", code)
                or word in ("both", "in", "py")
                or (ROOT / "envs" / word).exists()
            )
            assert known, (row[0], word)


@pytest.mark.parametrize(
    ("paper", "effect"), EFFECTS, ids=lambda value: getattr(value, "what", value)
)
def test_every_effect_names_a_row_and_entries(paper, effect):
    assert sum(row[0] == effect.what for row in departures.readme_table(paper)[1]) == 1
    table = importlib.import_module(f"papers.{paper}.{effect.table}").TABLE
    for preset in ("smoke", "quick", "paper"):
        entries = {(entry.row, entry.column) for entry in table.entries_at(preset)}
        assert {name for pair in effect.pairs for name in pair} <= entries
    assert all(other != default for other, default in effect.pairs)


def test_an_effect_is_the_mean_paired_difference(tmp_path):
    effect = Effect(
        "x",
        "ablation_options",
        ((("a", "other"), ("a", "default")), (("b", "other"), ("b", "default"))),
    )
    rows = [
        ["t", row, column, seed, value, ""]
        for row, column, values in (
            ("a", "other", (3.0, 5.0)),
            ("a", "default", (1.0, 2.0)),
            ("b", "other", (0.0, 1.0)),
            ("b", "default", (1.0, 1.0)),
        )
        for seed, value in enumerate(values)
    ]
    write_csv(
        tmp_path / "quick/omar/ablation_options.seeds.csv",
        ["table", "row", "column", "seed", "last", "best"],
        rows,
    )
    mean, low, high, count, unit, script = departures.measured("omar", effect, "quick", (tmp_path,))
    assert float(mean) == np.mean([2.5, -0.5]) and float(low) < 1 < float(high)
    assert (count, unit, script) == (4, "normalized score", "ablation_options")
    assert departures.measured("omar", effect, "paper", (tmp_path,)) is None


def test_the_committed_ledger_follows_from_the_committed_seeds():
    with open(REFERENCE / "departures.csv", newline="") as file:
        committed = list(csv.reader(file))
    fresh = departures.ledger(sources=(REFERENCE,))
    assert committed == [departures.HEADER, *([str(value) for value in row] for row in fresh)]
    assert sum(row[5] == "quick" for row in committed) >= len(EFFECTS)
