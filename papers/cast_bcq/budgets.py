"""What the methods of Tables 1 and 2 were given on every kind of data: updates, core-seconds, and
whether their curves were flat.

Not in the paper. Over robots, or maps: how much the last quarter of the curves is above the one
before, on average, and what it surely is where that is most (common/reporting/budget.py); in points
of normalised score, or of win rate. The rule for robots: data on which the curves of all methods
gained more than two points, on average, are trained on for twice as long, by all methods and arms
(config.py, LONGER). Core-seconds are a seed's, evaluations included.
"""

import functools

from common.reporting import budget, script
from common.reporting.tables import Entry, Table
from common.running.cells import Cell
from papers.cast_bcq.config import BATTLE_METHODS, DATA, MAPS, METHODS, PERTURBED, ROBOTS, Options
from papers.cast_bcq.experiment import TITLES, battle_cell, cell


def updates(results: list[dict]) -> dict[int, float | None]:
    """Of every result."""
    return {i: float(result["config"]["updates"]) for i, result in enumerate(results)}


def points(result: dict) -> float:
    """What a unit of return is worth; curves of battles are win rates in %."""
    if "constants" not in result:
        return 1.0
    return 100 / (result["constants"]["expert"] - result["constants"]["random"])


OF_CURVES = {
    "gain of the last quarter": functools.partial(budget.mean_gain, scale=points),
    "surely gained": functools.partial(budget.surely_gained, scale=points),
}
COLUMNS = {"updates": updates, "core-seconds a seed": budget.core_seconds} | OF_CURVES


def trained(preset: str, options: dict) -> dict[str, list[Cell]]:
    """The cells of every row, over robots or maps."""
    rows = {}
    for name, (quality, change) in DATA.items():
        read = options | change
        arms = {method: (method, read) for method in METHODS}
        for method in PERTURBED:
            arms[f"{method}, no perturbation"] = (method, read | {"perturbation": 0.0})
        for arm, (method, own) in arms.items():
            rows[f"{name}/{arm}"] = [cell(preset, task, quality, method, own) for task in ROBOTS]
    for method in BATTLE_METHODS:
        rows[f"battles/{method}"] = [battle_cell(preset, name, method, {}) for name in MAPS]
    return rows


def entries(preset: str, options: dict) -> list[Entry]:
    return [
        shown(row, column, cells)
        for row, cells in trained(preset, options).items()
        for column in COLUMNS
    ]


def shown(row: str, column: str, cells: list[Cell]) -> Entry:
    """A number of a row."""
    if column in OF_CURVES:
        return budget.of_curves(row, column, tuple(cells), OF_CURVES[column])
    return Entry(row, column, tuple(cells), COLUMNS[column])


TABLE = Table(
    "cast_bcq",
    "budgets",
    "what the methods of Tables 1 and 2 were given, and whether their curves were flat",
    entries,
    unit="as the column says",
    decimals=1,
    options=Options(),
    decided=("perturbation", "uncoordinated"),
    names=TITLES,
)

if __name__ == "__main__":
    script.main(TABLE)
