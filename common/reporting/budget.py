"""What methods were given: core-seconds, and whether their curves were flat where training ended.

A curve's gain is the mean of its last quarter minus that of the quarter before it. What a method
surely gained is one-sided at 5 % for all its rows together (Bonferroni), with the spread between
the seeds of a row, or that pooled over rows where it is larger: rows in which nothing is learned
are quiet.
"""

import math
from collections.abc import Callable

import numpy as np

from common.reporting import scores
from common.reporting.tables import Entry
from common.running.cells import Cell

LEAST_POINTS = 4  # of a curve that has quarters
CHANCE = 0.05

Scale = Callable[[dict], float]  # of a result: what a unit of its curves is worth
Gain = Callable[[list[dict]], dict[int, float | None]]  # of results: a number, by its index


def core_seconds(results: list[dict]) -> dict[int, float | None]:
    """Of a seed, of every result; evaluations included."""
    return {i: result["seconds"] / len(result["seeds"]) for i, result in enumerate(results)}


def as_stored(result: dict) -> float:
    """Curves count in the unit that they are stored in."""
    return 1.0


def gains(results: list[dict], scale: Scale = as_stored) -> list[np.ndarray]:
    """What the last quarters of curves are above the ones before: of every result that has curves,
    seed by seed.
    """
    found = [
        [None if gain is None else gain * scale(result) for gain in gains_of(result)]
        for result in results
    ]
    known = [[gain for gain in row if gain is not None] for row in found]
    return [np.array(row) for row in known if row]


def gains_of(result: dict) -> list[float | None]:
    """Of every seed of a result."""
    return [gain_of(seed["curve"]) for seed in result["seeds"]]


def gain_of(curve: list[float | None]) -> float | None:
    """Mean of a curve's last quarter minus that of the quarter before it; None where it has too few
    points, or one that is not finite.
    """
    quarter = len(curve) // LEAST_POINTS
    last = [score for score in curve[len(curve) - 2 * quarter :] if score is not None]
    if not quarter or len(last) < 2 * quarter:
        return None
    return float(np.mean(last[quarter:]) - np.mean(last[:quarter]))


def of_curves(row: str, column: str, cells: tuple[Cell, ...], gain: Gain) -> Entry:
    """How far the curves of a row rose; those of few points have no quarters."""
    if min(cell.config["evaluations"] for cell in cells) < LEAST_POINTS:
        return Entry(row, column, (), missing=f"fewer than {LEAST_POINTS} evaluations")
    return Entry(row, column, cells, gain)


def mean_gain(results: list[dict], scale: Scale = as_stored) -> dict[int, float | None]:
    """Over all rows and seeds of a method; nothing without curves."""
    rows = gains(results, scale)
    return {0: float(np.mean(np.concatenate(rows))) if rows else None}


def surely_gained(results: list[dict], scale: Scale = as_stored) -> dict[int, float | None]:
    """What a method surely gained in the row where that is most, see above; nothing where no row
    has two curves.
    """
    rows = gains(results, scale)
    freedom = sum(len(row) - 1 for row in rows)
    if not freedom:
        return {0: None}
    pooled = math.sqrt(sum(float(np.square(row - row.mean()).sum()) for row in rows) / freedom)
    level = 1 - 2 * CHANCE / len(rows)

    def low(row: np.ndarray) -> float:
        spread = max(pooled, float(row.std(ddof=1)) if len(row) > 1 else 0.0)
        return float(row.mean()) - scores.Student(spread / math.sqrt(len(row)), freedom).half(level)

    return {0: max(map(low, rows))}
