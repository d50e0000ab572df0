"""Ablation: MA-ICQ on cooperative navigation with other weights.

ICQ weighs target values and log likelihoods by a softmax over the minibatch with a constant
temperature. Of the constants, the weights' form and what they are relative to, the paper says
nothing; its authors' releases for one and for several agents differ. Learning curves show which of
them lose later what they have learned.
"""

from typing import Any

from common.reporting import figures, script
from common.reporting.tables import Entry, Table
from papers.omar.config import QUALITIES
from papers.omar.experiment import cell

WEIGHTS: dict[str, dict[str, Any]] = {
    "constant": {},
    "spread": {
        "temperature": "spread",
        "policy_temperature": 1.0,
        "target_temperature": 100.0,
    },
    "clipped": {"target_weights": "clipped"},
    "multi_agent_release": {"policy_temperature": 0.1},
    "single_agent_release": {
        "target_weights": "clipped",
        "policy_temperature": 600.0,
        "target_temperature": 600.0,
    },
}
NAMES = {
    "constant": "constant temperatures 1000 and 10 (Table 3)",
    "spread": "temperatures 100 and 1 spreads of what is weighed",
    "clipped": "1000 and 10, target weights at most 1",
    "multi_agent_release": "1000 and 0.1",
    "single_agent_release": "600 and 600, target weights at most 1",
}


def entries(preset: str, options: dict) -> list[Entry]:
    def one(quality: str, weights: str) -> Entry:
        hyper = WEIGHTS[weights]
        chosen = cell(preset, "cooperative_navigation", quality, "ma_icq", options, hyper=hyper)
        return Entry(quality, weights, (chosen,))

    return [one(quality, weights) for quality in QUALITIES for weights in WEIGHTS]


TABLE = Table(
    "omar",
    "ablation_icq",
    "MA-ICQ's weights and temperatures",
    entries,
    draw=figures.curves,
    x="update rounds",
    names=NAMES,
)

if __name__ == "__main__":
    script.main(TABLE)
