"""Ours beside the released data sets: which are near, and why the others are not.

Near is: level within 10 points, both by the released constants and by ours; standard deviation of
returns within a factor 2; mean steps of an episode within a factor 1.5; as many rows as the
released replay data at size `paper`, and not more at a smaller size. What was not published does
not count. Every deviation has its reason in deviations.csv, which `check` holds complete: a row is
missing where something is off, and one too many where it is near with a fifth to spare.
"""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from common.running.files import read_csv
from envs.datasets.keys import family
from envs.datasets.loading import constants, released_constants
from envs.tasks import TASKS, data_seeds

REASONS = Path(__file__).with_name("deviations.csv")
CARD = "card"  # in place of a size: not built, known from the card of the behaviour policies
JUDGED = (
    "quick",
    "standard",
    "paper",
    CARD,
)  # data of size smoke are only there to see that things run
LEVEL = 10.0  # points
SPREAD = 2.0  # factor
LENGTH = 1.5  # factor
ROWS = 1.01  # factor: files hold whole episodes, and rounds of training
SPARE = 0.8  # of a tolerance: what is nearer needs no reason any more


class Figures(NamedTuple):
    """Of all data seeds of a task and quality together; None where it is not known.

    Attributes:
        return_mean, return_sd: over episodes.
        length: mean steps of an episode.
        rows: mean steps of a data set.
        saturated: share of action components beyond 0.95.
        terminated: share of episodes that ended before the clock.
    """

    return_mean: float | None = None
    return_sd: float | None = None
    length: float | None = None
    rows: float | None = None
    saturated: float | None = None
    terminated: float | None = None


class Ours(NamedTuple):
    """Data sets of ours of one task, quality and size; `size` is `CARD` where none is built."""

    task: str
    quality: str
    size: str
    seeds: tuple[int, ...]
    figures: Figures


def built(task: str, quality: str, size: str, by_seed: dict[int, dict[str, float]]) -> Ours:
    """What the statistics of built data sets say together, episodes of all seeds alike."""
    stats = [*by_seed.values()]
    episodes = [one["episodes"] for one in stats]
    mean, sd = pooled([(one["return_mean"], one["return_sd"]) for one in stats], episodes)
    length, saturated, terminated = (
        known(np.average([one[name] for one in stats], weights=episodes)) if sum(episodes) else None
        for name in ("length", "saturated", "terminated")
    )
    rows = float(np.mean([one["steps"] for one in stats]))
    figures = Figures(mean, sd, length, rows, saturated, terminated)
    return Ours(task, quality, size, tuple(sorted(by_seed)), figures)


def on_card(task: str, quality: str) -> Ours | None:
    """What the card of the behaviour policies says of data that need not be built for it; None
    where it says nothing.
    """
    module = family(task)
    if not module.ships(task):
        return None
    seeds = data_seeds(task)
    facts = [{"task": task, "quality": quality, "seed": seed} for seed in seeds]
    expected = [module.expected_return(one) for one in facts]
    if not expected or None in expected:
        return None
    moments = [(mean, math.nan if sd is None else sd) for mean, sd, _ in expected]
    mean, sd = pooled(moments, [1.0] * len(moments))
    return Ours(task, quality, CARD, seeds, Figures(mean, sd))


def pooled(
    moments: list[tuple[float, float]], weights: list[float]
) -> tuple[float | None, float | None]:
    """Mean and standard deviation of several samples together, from their (mean, sd)."""
    if not sum(weights):
        return None, None
    means, sds = np.array(moments).T
    mean = np.average(means, weights=weights)
    return known(mean), known(np.sqrt(np.average(sds**2 + (means - mean) ** 2, weights=weights)))


def known(value: float) -> float | None:
    """A number, None for NaN."""
    return None if math.isnan(value) else float(value)


def released(task: str, quality: str) -> dict:
    """Figures of the released data set, {} where there is none."""
    return family(task).released(task, quality) or {}


def level(task: str, value: float | None) -> float | None:
    """A return where 0 is the released random constant and 100 the released expert's; by our
    constants where none were released.
    """
    expert, random = released_constants(task) or constants(task)
    return None if value is None else known(100 * (value - random) / (expert - random))


def judged(ours: Ours, share: float = 1.0) -> dict[str, bool]:
    """What can be compared of data of ours with the released ones, and whether it is near.

    Args:
        share: of the tolerances.
    """
    mine, theirs = ours.figures, released(ours.task, ours.quality)
    verdict: dict[str, bool] = {}
    if ours.size not in JUDGED:
        return verdict
    mean, rows = theirs.get("return_mean"), theirs.get("transitions")
    scales = [scale for scale in (released_constants(ours.task), constants(ours.task)) if scale]
    spans = [abs(expert - random) for expert, random in scales if not math.isnan(expert - random)]
    if mine.return_mean is not None and mean is not None and spans:
        verdict["level"] = 100 * abs(mine.return_mean - mean) / min(spans) <= share * LEVEL
    for word, own, other, factor in (
        ("spread", mine.return_sd, theirs.get("return_sd"), SPREAD),
        ("length", mine.length, theirs.get("length"), LENGTH),
    ):
        if own is not None and other is not None:
            verdict[word] = within(own / other, factor, share)
    if mine.rows is not None and rows is not None and ours.quality.endswith("replay"):
        ratio = mine.rows / rows
        verdict["rows"] = within(ratio, ROWS) or (ours.size != "paper" and ratio < 1)
    return verdict


def within(ratio: float, factor: float, share: float = 1.0) -> bool:
    """Whether a ratio is 1 up to a factor; `share` narrows it."""
    return ratio > 0 and abs(math.log(ratio)) <= share * math.log(factor)


def off(ours: Ours) -> list[str]:
    """Words for what of data of ours is not near."""
    return [word for word, near in judged(ours).items() if not near]


def chosen(sets: Iterable[Ours], tasks: list[str]) -> list[Ours]:
    """Data that are built, and of the others what the cards say, of some tasks or all: one for
    every task and quality that has a released twin or a card.
    """
    by_kind: dict[tuple[str, str], list[Ours]] = {}
    for one in sets:
        by_kind.setdefault((one.task, one.quality), []).append(one)
    result = []
    for task in tasks or TASKS:
        others = [quality for known_task, quality in by_kind if known_task == task]
        for quality in dict.fromkeys([*family(task).qualities(task), *others]):
            there = by_kind.get((task, quality), [])
            result += there
            if not any(one.size in JUDGED for one in there):
                card = on_card(task, quality)
                if card or released(task, quality):
                    result.append(card or Ours(task, quality, CARD, (), Figures()))
    return result


def reasons() -> dict[tuple[str, str, str], str]:
    """Why something is off: by task, quality and word."""
    return {(row["task"], row["quality"], row["off"]): row["reason"] for row in read_csv(REASONS)}


def unexplained(sets: list[Ours]) -> list[str]:
    """What is off without a reason, and reasons of what is near again, a sentence each.

    Args:
        sets: as `chosen` returns them.
    """
    written = reasons()
    problems = []
    near: dict[tuple[str, str, str], bool] = {}
    for ours in sets:
        for word in off(ours):
            key = (ours.task, ours.quality, word)
            if not written.get(key, "").strip():
                problems.append(
                    f"{ours.task} {ours.quality} ({ours.size}) is off in {word} without a reason; "
                    f"write `{','.join(key)},REASON` into {REASONS}"
                )
        for word, spare in judged(ours, SPARE).items():
            key = (ours.task, ours.quality, word)
            near[key] = near.get(key, True) and spare
    problems += [
        f"{task} {quality} is near in {word}; take its row out of {REASONS}"
        for task, quality, word in written
        if near.get((task, quality, word))
    ]
    return problems
