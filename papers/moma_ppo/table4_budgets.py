"""What every method of Table 4 was given: gradient steps, rows of data or rollouts in one of them,
core-seconds, and whether its curves were flat.

A curve's gain is the mean of its last quarter minus that of the quarter before it, over the seeds
of a row. A method was cut short, whoever it is, if in some row it surely gained more than 0.05:
single checkpoints of one run may lie 0.2 apart, and the largest of a few rows would exceed the
bound by chance. "Surely" is one-sided at 5 % for all rows of the method together (Bonferroni), with
the spread between the seeds of a row, or that pooled over rows where it is larger: rows in which
nobody walks are quiet. The rule is to train such a method for twice as long before its scores are
read. Core-seconds are a seed's, evaluations included. World models are trained once for all seeds
and views that learn in them: theirs are of a whole ensemble. Why methods get what they get is in
config.py.
"""

import common.reporting  # noqa: F401  (finds the environment first)

# isort: split
import math

import numpy as np

from common.reporting import scores, script
from common.reporting.tables import Entry, Table
from papers.moma_ppo import table4a, table4b
from papers.moma_ppo.config import AntOptions, gradient_steps
from papers.moma_ppo.experiment import model_entries

LEAST_POINTS = 4  # of a curve that has quarters
CHANCE = 0.05


def steps(results: list[dict]) -> dict[int, float | None]:
    """Gradient steps of every result."""
    return {i: float(steps_of(result["config"])) for i, result in enumerate(results)}


def steps_of(config: dict) -> int:
    """Gradient steps of a method, or of a world model."""
    return config["model"]["updates"] if is_model(config) else gradient_steps(config)


def is_model(config: dict) -> bool:
    """Whether a cell is a world model."""
    return config["method"] == "world_model"


def rows(results: list[dict]) -> dict[int, float | None]:
    """Rows in a gradient step, of every result."""
    return {i: float(rows_of(result["config"])) for i, result in enumerate(results)}


def rows_of(config: dict) -> int:
    """Rows in a gradient step of a method, or of a world model."""
    if is_model(config):
        return config["model"]["batch_size"]
    if config["method"] == "moma_ppo":
        return min(config["hyper"]["minibatch"], config["transitions"])
    return config["batch_size"]


def seconds(results: list[dict]) -> dict[int, float | None]:
    """Core-seconds of a seed, of every result."""
    return {i: result["seconds"] / len(result["seeds"]) for i, result in enumerate(results)}


def gains(results: list[dict]) -> list[np.ndarray]:
    """What the last quarters of curves are above the ones before: of every result that has curves,
    seed by seed.
    """
    found = [[gain_of(seed["curve"]) for seed in result["seeds"]] for result in results]
    known = [[gain for gain in row if gain is not None] for row in found]
    return [np.array(row) for row in known if row]


def mean_gain(results: list[dict]) -> dict[int, float | None]:
    """Over all rows and seeds of a method, see `gains`; nothing without curves."""
    rows = gains(results)
    return {0: float(np.mean(np.concatenate(rows))) if rows else None}


def surely_gained(results: list[dict]) -> dict[int, float | None]:
    """What a method surely gained in the row where that is most, see above; nothing where no row
    has two curves.
    """
    rows = gains(results)
    freedom = sum(len(row) - 1 for row in rows)
    if not freedom:
        return {0: None}
    pooled = math.sqrt(sum(float(np.square(row - row.mean()).sum()) for row in rows) / freedom)
    level = 1 - 2 * CHANCE / len(rows)

    def low(row: np.ndarray) -> float:
        spread = max(pooled, float(row.std(ddof=1)) if len(row) > 1 else 0.0)
        return float(row.mean()) - scores.Student(spread / math.sqrt(len(row)), freedom).half(level)

    return {0: max(map(low, rows))}


def gain_of(curve: list[float | None]) -> float | None:
    """Mean of a curve's last quarter minus that of the quarter before it; None where it has too few
    points, or one that is not finite.
    """
    quarter = len(curve) // LEAST_POINTS
    last = [score for score in curve[len(curve) - 2 * quarter :] if score is not None]
    if not quarter or len(last) < 2 * quarter:
        return None
    return float(np.mean(last[quarter:]) - np.mean(last[:quarter]))


COLUMNS = {
    "gradient steps": steps,
    "rows a step": rows,
    "core-seconds a seed": seconds,
    "gain of the last quarter": mean_gain,
    "surely gained": surely_gained,
}
OF_CURVES = (mean_gain, surely_gained)


def entries(preset: str, options: dict) -> list[Entry]:
    by_method: dict[str, list] = {}
    for task, table in (("reacher", table4a), ("ant", table4b)):
        for entry in table.entries(preset, options):
            if entry.cells:
                by_method.setdefault(f"{task}, {entry.column}", []).extend(entry.cells)
    for row, model in model_entries(preset):
        by_method.setdefault(f"{row.partition('/')[0]}, world model", []).append(model)
    return [shown(row, column, cells) for row, cells in by_method.items() for column in COLUMNS]


def shown(row: str, column: str, cells: list) -> Entry:
    """A number of a method; curves of few points have no quarters, and world models no scores."""
    if COLUMNS[column] in OF_CURVES and is_model(cells[0].config):
        return Entry(row, column, (), missing="a world model has no score")
    if (
        COLUMNS[column] in OF_CURVES
        and min(one.config["evaluations"] for one in cells) < LEAST_POINTS
    ):
        return Entry(row, column, (), missing=f"fewer than {LEAST_POINTS} evaluations")
    return Entry(row, column, tuple(cells), COLUMNS[column])


TABLE = Table(
    "moma_ppo",
    "table4_budgets",
    "what the methods of Table 4 were given",
    entries,
    unit="as the column says",
    decimals=2,
    options=AntOptions(),
)

if __name__ == "__main__":
    script.main(TABLE)
