"""Ablation: readings of what the paper leaves open, BCQ as base learner, on two data sets.

normaliser: the expectation in d_q given (s, a_i) as in the authors' MABCQ, or over the minibatch.
replacement: whether 128 of 512 candidates are drawn with replacement. embedding_target: what the
decoder behind d_e rebuilds. The number is the gain of normalised score from the offline policies to
the last deployment; what each reading ranks first is in ablation_ranking.py. Quick has halfcheetah
only; at standard readings have five of the default's ten seeds, and are compared on these, and
replacement is left out, which no claim is about.
"""

from typing import Any

from common.reporting import script
from common.reporting.tables import Entry, Table
from papers.otc.config import FIVE, Options
from papers.otc.experiment import cell, score_gain

SHOWN = (("halfcheetah", "medium-replay"), ("hopper", "medium"))
READINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "minibatch normaliser": {"normaliser": "minibatch"},
    "embedding of next states": {"embedding_target": "next_state"},
    "plain embedding": {"embedding_target": "transition"},
    "replacement": {"replacement": True},
}
# Robots that a preset has no time for: a program of each reading trains its own offline phase, and
# halfcheetah's steps are the cheapest
LEFT_OUT = {"quick": ("hopper",)}
# The readings' seeds where the defaults, which Table 1 has, have more: a program of each reading
# trains its own offline phase, and all ten would take two core-hours more
SEEDS = {"standard": FIVE}
UNASKED = {"standard": ("replacement",)}
ONLY_OF = {"normaliser": "d_q", "embedding_target": "d_e"}  # readings that one distance has


def entries(preset: str, options: dict, value=score_gain) -> list[Entry]:
    def one(task: str, quality: str, method: str, label: str, change: dict) -> Entry:
        row = f"{task}/{quality}, {method}"
        if task in LEFT_OUT.get(preset, ()) or label in UNASKED.get(preset, ()):
            return Entry(row, label, (), missing=f"left out at {preset}")
        seeds = options["seeds"] or (SEEDS.get(preset) if change else None)
        made = cell(preset, task, quality, "bcq", method, options | change | {"seeds": seeds})
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
