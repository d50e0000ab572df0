"""The committed reference: complete, computed from its own per-seed values, with provenance."""

import csv
import json

import pytest

from common import suite
from common.reporting import scores
from common.reporting.tables import REFERENCE
from common.reporting.writer import number
from common.running.cells import fault_of
from common.running.files import sha256
from common.running.provenance import config_hash

TABLES = [table for table in suite.find("*") if not table.unavailable]


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def folder_of(table):
    """Where the quick reference has a table; skips a test of one that is not run yet."""
    folder = REFERENCE / "quick" / table.paper
    if not (folder / f"{table.name}.json").exists():
        pytest.skip(f"{table.slot} is newer than the quick reference: run it and accept it")
    return folder


@pytest.mark.parametrize("table", TABLES, ids=lambda t: t.slot)
def test_quick_reference_is_complete_and_follows_from_its_seeds(table):
    folder = folder_of(table)
    shown = rows(folder / f"{table.name}.csv")
    entries = table.entries("quick", table.defaults)
    by_entry, missing = {}, {(entry.row, entry.column) for entry in entries if entry.missing}
    for line in rows(folder / f"{table.name}.seeds.csv"):
        by_entry.setdefault((line["row"], line["column"]), []).append(float(line["last"]))
    said = {
        (entry["row"], entry["column"]): entry
        for entry in json.loads((folder / f"{table.name}.json").read_text())["entries"]
    }
    for row in shown:
        if (row["row"], row["column"]) in missing:
            assert row["mean"] == ""
            continue
        entry = said[row["row"], row["column"]]
        facts = scores.summary(by_entry[row["row"], row["column"]], entry.get("share", False))
        assert row["mean"] == number(facts.mean, table.decimals) and row["std"] == number(
            facts.std, table.decimals
        )
        assert [entry["low"], entry["high"]] == pytest.approx([facts.low, facts.high])
    there = [(row["row"], row["column"]) for row in shown]
    present = [(entry.row, entry.column) for entry in entries]
    newer = len({*present} - {*there})
    if newer:
        pytest.skip(f"{newer} entries of {table.slot} are newer than the quick reference")
    assert there == present


@pytest.mark.parametrize("table", TABLES, ids=lambda t: t.slot)
def test_quick_reference_says_what_it_was_made_with(table):
    facts = json.loads((folder_of(table) / f"{table.name}.json").read_text())
    assert facts["preset"] == "quick" and facts["versions"]["torch"]
    if not table.cells("quick"):
        return  # numbers of the code's configuration
    assert facts["code"] and facts["machine"]["processor"]
    reasons = {entry.missing for entry in table.entries("quick", table.defaults)} - {None}
    shown = [entry for entry in facts["entries"] if entry["state"] not in reasons]
    assert shown and all(
        entry["state"] == "done" and entry["data"] and not entry["diverged"] for entry in shown
    )
    for entry in facts["entries"]:
        assert ("extra" in entry) <= table.draws_extra


def means(name, preset="quick", paper="omar"):
    table = rows(REFERENCE / preset / paper / f"{name}.csv")
    return {(row["row"], row["column"]): float(row["mean"]) for row in table}


def test_claims_of_omar_that_hold_at_standard_still_do():
    """Table 3 with five data sets and two networks on each: the orderings that
    papers/omar/notes.md reports.
    """
    table3 = means("table3", "standard")
    methods = ("ma_icq", "ma_td3bc", "ma_cql", "omar")
    table = [
        f"{quality}/{task}"
        for quality in ("random", "medium-replay", "medium", "expert")
        for task in ("cooperative_navigation", "predator_prey", "world")
    ]
    above = [row for row in table if table3[row, "omar"] > table3[row, "ma_cql"]]
    assert set(table) - set(above) == {"expert/world"}
    assert table3["expert/cooperative_navigation", "ma_td3bc"] >= 90
    best = [max(methods, key=lambda method: table3[row, method]) for row in table]
    assert best.count("omar") == 6
    for task in ("cooperative_navigation", "predator_prey", "world"):
        cloned, data = (table3[f"expert/{task}", column] for column in ("bc", "data"))
        assert abs(cloned - data) < 5, task


@pytest.mark.parametrize("preset", ["standard", "paper"])
def test_committed_cells_are_intact(preset):
    for path in sorted((REFERENCE / preset).glob("*/cells/*.json")):
        result = json.loads(path.read_text())
        config = result["config"]
        assert result["preset"] == preset, path.name
        assert result["config_hash"] == config_hash(config) and not fault_of(result), path.name
        turns = len(result["seeds"])  # a timing is repeated, whatever the seeds
        assert config.get("timing") or turns == len(config["seeds"]), path.name
        assert turns > 1 or config["method"] == "world_model", path.name
        networks = path.parent.parent / "models" / f"{path.stem}.safetensors"
        if networks.exists():
            assert sha256(networks) == result["model_sha256"], path.name


@pytest.mark.parametrize("preset", ["standard", "paper"])
def test_committed_cells_learned_in_the_committed_models(preset):
    results = [
        json.loads(path.read_text())
        for path in sorted((REFERENCE / preset).glob("moma_ppo/cells/*.json"))
    ]
    models = {one["model_sha256"] for one in results if "model_sha256" in one}
    assert {one["data"].get("world_model") for one in results} <= {None, *models}


def test_the_coordination_game_reproduces_at_quick():
    """MOMA-PPO's Table 3; see papers/moma_ppo/README.md."""
    game = means("table3", paper="moma_ppo")
    for setting in ("favorable", "neutral", "unfavorable"):
        assert game[setting, "moma_ppo"] == game[setting, "iql"] == 1
    assert (
        game["neutral", "maiql"] > 0.8
        and game["unfavorable", "maiql"] < 0.2
        and game["unfavorable", "ibc"] == 0
    )
