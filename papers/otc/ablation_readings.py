"""Ablation: readings of what the paper leaves open, BCQ as base learner, on two data sets.

normaliser: the expectation in d_q given (s, a_i) as in the authors' MABCQ, or over the minibatch.
replacement: whether 128 of 512 candidates are drawn with replacement. embedding_target: what the
decoder behind d_e rebuilds. The number is the gain of normalised score from the offline policies to
the last deployment; what each reading ranks first is in ablation_ranking.py. Quick has hopper only,
whose episodes are short.
"""

from typing import Any

from common.reporting import script
from common.reporting.tables import Entry, Table
from papers.otc.config import Options
from papers.otc.experiment import cell, score_gain

SHOWN = (("halfcheetah", "medium-replay"), ("hopper", "medium"))
READINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "minibatch normaliser": {"normaliser": "minibatch"},
    "embedding of next states": {"embedding_target": "next_state"},
    "plain embedding": {"embedding_target": "transition"},
    "replacement": {"replacement": True},
}
LEFT_OUT = {"quick": ("halfcheetah",)}  # robots whose whole episodes take minutes
ONLY_OF = {"normaliser": "d_q", "embedding_target": "d_e"}  # readings that one distance has


def entries(preset: str, options: dict, value=score_gain) -> list[Entry]:
    def one(task: str, quality: str, method: str, label: str, change: dict) -> Entry:
        row = f"{task}/{quality}, {method}"
        if task in LEFT_OUT.get(preset, ()):
            return Entry(row, label, (), missing=f"left out at {preset}")
        made = cell(preset, task, quality, "bcq", method, options | change)
        return Entry(row, label, (made,), value)

    return [
        one(task, quality, method, label, change)
        for task, quality in SHOWN
        for method in ("d_e", "d_q")
        for label, change in READINGS.items()
        if all(ONLY_OF.get(key, method) == method for key in change)
    ]


TABLE = Table(
    "otc",
    "ablation_readings",
    "readings of what the paper leaves open",
    entries,
    unit="points of normalised score",
    options=Options(),
    decided=("normaliser", "replacement", "embedding_target"),
)

if __name__ == "__main__":
    script.main(TABLE)
