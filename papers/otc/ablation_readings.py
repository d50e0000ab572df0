"""Ablation: readings of what the paper leaves open, BCQ as base learner, on two data sets.

normaliser: the expectation in d_q over the minibatch, or given (s, a_i) as in the authors' MABCQ.
replacement: whether 128 of 512 candidates are drawn with replacement. The number is the gain of
normalised score from the offline policies to the last deployment.
"""

from typing import Any

from common.reporting import script
from common.reporting.tables import Entry, Table
from papers.otc.config import Options
from papers.otc.experiment import cell, score_gain

SHOWN = (("halfcheetah", "medium-replay"), ("hopper", "medium"))
READINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "conditional normaliser": {"normaliser": "conditional"},
    "replacement": {"replacement": True},
}


def entries(preset: str, options: dict) -> list[Entry]:
    return [
        Entry(
            f"{task}/{quality}, {method}",
            label,
            (cell(preset, task, quality, "bcq", method, options | change),),
            score_gain,
        )
        for task, quality in SHOWN
        for method in ("d_e", "d_q")
        for label, change in READINGS.items()
        if method == "d_q" or "normaliser" not in change  # d_e has none
    ]


TABLE = Table(
    "otc",
    "ablation_readings",
    "readings of what the paper leaves open",
    entries,
    unit="points of normalised score",
    options=Options(),
    decided=("normaliser", "replacement"),
)

if __name__ == "__main__":
    script.main(TABLE)
