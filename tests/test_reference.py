"""The committed reference: complete, computed from its own per-seed values, with provenance."""

import csv
import json

import pytest

from common import scores, suite
from common.provenance import config_hash
from common.tables import REFERENCE, number

TABLES = [table for table in suite.find("*") if not table.unavailable]


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("table", TABLES, ids=lambda t: t.slot)
def test_quick_reference_is_complete_and_follows_from_its_seeds(table):
    folder = REFERENCE / "quick" / table.paper
    shown = rows(folder / f"{table.name}.csv")
    entries = table.entries("quick", table.options | {"seeds": None})
    assert [(row["row"], row["column"]) for row in shown] == [(entry.row, entry.column) for entry in entries]
    by_entry = {}
    for line in rows(folder / f"{table.name}.seeds.csv"):
        by_entry.setdefault((line["row"], line["column"]), []).append(float(line["last"]))
    for row in shown:
        facts = scores.summary(by_entry[row["row"], row["column"]])
        assert row["mean"] == number(facts["mean"], table.decimals) and row["std"] == number(facts["std"], table.decimals)


@pytest.mark.parametrize("table", TABLES, ids=lambda t: t.slot)
def test_quick_reference_says_what_it_was_made_with(table):
    facts = json.loads((REFERENCE / "quick" / table.paper / f"{table.name}.json").read_text())
    assert facts["preset"] == "quick" and facts["code"] and facts["versions"]["torch"] and facts["machine"]["processor"]
    assert all(entry["state"] == "done" and entry["data"] and not entry["diverged"] for entry in facts["entries"])


def test_committed_paper_cells_are_intact():
    for path in sorted((REFERENCE / "paper").glob("*/cells/*.json")):
        result = json.loads(path.read_text())
        assert result["preset"] == "paper" and result["config_hash"] == config_hash(result["config"]), path.name
        assert len(result["seeds"]) == len(result["data"]) == 5 and result["config"]["data_size"] == "paper"
