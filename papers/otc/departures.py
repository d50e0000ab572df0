"""Which of the README's differences were run in both readings, for the departures ledger
(common.reporting.departures).
"""

from common.reporting.departures import Effect
from papers.otc.ablation_readings import SHOWN

PLACES = [f"{task}/{quality}" for task, quality in SHOWN]
EFFECTS = [
    Effect(
        "normaliser of d_q",
        "ablation_readings",
        tuple(
            ((f"{place}, d_q", "conditional normaliser"), (f"{place}, d_q", "default"))
            for place in PLACES
        ),
    ),
    Effect(
        "sampling of 128 from 512",
        "ablation_readings",
        tuple(
            ((f"{place}, {d}", "replacement"), (f"{place}, {d}", "default"))
            for place in PLACES
            for d in ("d_e", "d_q")
        ),
    ),
]
