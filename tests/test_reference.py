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


def means(name):
    table = rows(REFERENCE / "quick" / "omar" / f"{name}.csv")
    return {(row["row"], row["column"]): float(row["mean"]) for row in table}


def test_claims_that_reproduce_at_quick_still_do():
    """Orderings the paper states and our quick reference shows; what it does not show is in papers/omar/README.md."""
    table3 = means("table3")
    for quality in ("random", "medium-replay", "medium", "expert"):
        for task in ("predator_prey", "world"):
            row = f"{quality}/{task}"
            assert table3[row, "omar"] > table3[row, "ma_cql"], row
    for task in ("cooperative_navigation", "predator_prey", "world"):
        assert table3[f"expert/{task}", "ma_icq"] > 70 > 10 > table3[f"random/{task}", "ma_icq"], task
    table1 = means("table1")
    assert table1["ma_cql", "actor_lr=0.01"] > table1["ma_cql", "actor_lr=0.05"] + 50
    table2 = means("table2")
    assert max(table2.values()) - table2["ma_cql", "actor_updates=1"] < 20
    figure3 = {column: mean for (row, column), mean in means("figure3").items() if row == "medium"}
    assert max(figure3, key=figure3.get) in ("coefficient=0.3", "coefficient=0.5", "coefficient=0.7", "coefficient=0.9")


def test_committed_paper_cells_are_intact():
    for path in sorted((REFERENCE / "paper").glob("*/cells/*.json")):
        result = json.loads(path.read_text())
        assert result["preset"] == "paper" and result["config_hash"] == config_hash(result["config"]), path.name
        assert len(result["seeds"]) == len(result["data"]) == 5 and result["config"]["data_size"] == "paper"
