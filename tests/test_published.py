"""The published tables: complete, in range, and each with a script that produces its rows and
columns.
"""

import csv

import pytest

from common.reporting.tables import PUBLISHED
from common.suite import find

COUNTS = {
    "omar/table1": 3,
    "omar/table2": 3,
    "omar/table3": 48,
    "omar/table4": 12,
    "omar/table5": 16,
    "omar/table6": 16,
    "omar/runtime": 1,
    "omar/ablation_cloning": 24,
    "cast_bcq/table1": 16,
    "cast_bcq/table2": 45,
    "moma_ppo/table1": 9,
    "moma_ppo/table2": 24,
    "moma_ppo/table3": 12,
    "moma_ppo/table4a": 24,
    "moma_ppo/table4b": 64,
    "otc/table1": 54,
    "otc/table2": 3,
    "otc/table3": 45,
}
RANGES = {"omar": (-5, 300), "cast_bcq": (0, 12_000), "moma_ppo": (-400, 4000), "otc": (-40, 4000)}
DASHES = {
    "moma_ppo/table4a": 2,
    "moma_ppo/table4b": 4,
    "otc/table1": 3,
}  # cells the papers leave empty


def rows(name):
    with open(PUBLISHED / f"{name}.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_all_published_tables_are_there():
    found = {f"{path.parent.name}/{path.stem}" for path in PUBLISHED.glob("*/*.csv")}
    assert found == set(COUNTS)


@pytest.mark.parametrize("name", COUNTS)
def test_a_published_table_is_complete_and_in_range(name):
    table = rows(name)
    assert len(table) == COUNTS[name]
    assert len({(row["row"], row["column"]) for row in table}) == len(table)
    low, high = RANGES[name.split("/")[0]]
    values = [float(row["mean"]) for row in table if row["mean"]]
    assert len(table) - len(values) == DASHES.get(name, 0)
    assert all(low <= value <= high for value in values)
    assert all(float(row["std"]) >= 0 for row in table if row["std"])
    assert all(row["table"] == name.split("/")[1] for row in table)


@pytest.mark.parametrize("table", [t for t in find() if not t.unavailable], ids=lambda t: t.slot)
@pytest.mark.parametrize("preset", ["smoke", "quick", "standard", "paper"])
def test_every_published_entry_has_a_cell_and_the_same_order(table, preset):
    published = (
        [(row["row"], row["column"]) for row in rows(table.slot)] if table.published() else None
    )
    entries = [(entry.row, entry.column) for entry in table.entries(preset, table.defaults)]
    assert len(set(entries)) == len(entries)
    if published:  # rows that the paper does not have may stand between
        assert [entry for entry in entries if entry in published] == published


@pytest.mark.parametrize("table", [t for t in find() if not t.unavailable], ids=lambda t: t.slot)
def test_a_name_of_a_row_is_no_columns(table):
    entries = table.entries("quick", table.defaults)
    both = {entry.row for entry in entries} & {entry.column for entry in entries}
    assert both.isdisjoint(table.names), "give the row its name in row_names"


def test_random_shooting_is_no_name_of_random_data():
    (table,) = find("omar/table4")
    assert table.called("random") == "random"
    assert table.called_row("random").startswith("random shooting")
