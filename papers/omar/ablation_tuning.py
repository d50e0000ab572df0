"""Ablation: score against the number of settings tried, cooperative navigation, mean over the four
data qualities.

Every method has one hyperparameter that is tried: so many settings are drawn at random, the one is
taken that scores best over the other seeds, and it counts with the score of this one. The mean over
all draws is exact, and all settings are members of one population. MA-CQL's values are the paper's
(appendix), OMAR's those of Figure 3, whose cells they are.
"""

import math
from functools import partial

from common.reporting import figures, script
from common.reporting.tables import Entry, Table
from papers.omar import ablation_weights, figure3
from papers.omar.config import QUALITIES, names
from papers.omar.experiment import cell

SETTINGS: dict[str, tuple[str, tuple[float, ...]]] = {
    "ma_icq": ("policy_temperature", (0.1, 1.0, 10.0, 100.0)),
    "ma_td3bc": ("bc_weight", ablation_weights.WEIGHTS),
    "ma_cql": ("alpha", (0.1, 0.5, 1.0, 5.0)),
    "omar": ("coefficient", figure3.COEFFICIENTS[1:]),
}
Scores = list[dict[int, float | None]]  # of every setting, by seed; None where it diverged


def chance(place: int, settings: int, tried: int) -> float:
    """Of being the best of so many tried, all subsets being equally likely, for the setting that
    `place` others are better than.
    """
    return math.comb(settings - 1 - place, tried - 1) / math.comb(settings, tried)


def standing(scores: dict[int, float | None], seed: int) -> float:
    """Mean score over the other seeds, by which a setting is taken; of a single seed its own. Where
    one diverged, the worst there is.
    """
    others = [score for other, score in scores.items() if other != seed] or [scores[seed]]
    finite = [score for score in others if score is not None]
    return sum(finite) / len(finite) if len(finite) == len(others) else -math.inf


def expected(settings: Scores, seed: int, tried: int) -> float | None:
    """Mean score of a seed over all choices of so many settings; None where one that may be taken
    diverged.
    """
    order = sorted(settings, key=lambda scores: standing(scores, seed), reverse=True)
    total = 0.0
    for place, scores in enumerate(order[: len(order) - tried + 1]):
        score = scores[seed]
        if score is None:
            return None
        total += chance(place, len(order), tried) * score
    return total


def after_trying(results: list[dict], tried: int) -> dict[int, float | None]:
    """Per seed the mean over data qualities of `expected`: results of each quality's settings, one
    quality after the other.
    """
    count = len(results) // len(QUALITIES)
    scores = [{seed["seed"]: seed["last_score"] for seed in one["seeds"]} for one in results]
    means: dict[int, float | None] = {}
    for seed in scores[0]:
        sample = [
            expected(scores[start : start + count], seed, tried)
            for start in range(0, len(scores), count)
        ]
        finite = [value for value in sample if value is not None]
        means[seed] = sum(finite) / len(finite) if len(finite) == len(sample) else None
    return means


def entries(preset: str, options: dict) -> list[Entry]:
    def cells(method: str):
        name, values = SETTINGS[method]
        task = "cooperative_navigation"
        return tuple(
            cell(preset, task, quality, method, options, hyper={name: value}, sweep=True)
            for quality in QUALITIES
            for value in values
        )

    return [
        Entry(method, f"settings={tried}", cells(method), partial(after_trying, tried=tried))
        for method, (_, values) in SETTINGS.items()
        for tried in range(1, len(values) + 1)
    ]


TABLE = Table(
    "omar",
    "ablation_tuning",
    "score against the number of settings tried",
    entries,
    draw=figures.lines,
    names=names(),
)

if __name__ == "__main__":
    script.main(TABLE)
