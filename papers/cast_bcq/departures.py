"""Which of the README's differences were run in both readings, for the departures ledger
(common.reporting.departures).
"""

from common.reporting.departures import Effect
from papers.cast_bcq.ablation_battles import SHOWN

HOPPER = {
    "A1 what agents observe": "A1: full observation",
    "A2 what unmasked agents do in Eq. 8": "A2: others from the data",
    "A3 range of latents": "A3: latent clip 0.05",
}
BATTLES = {"battles: generator": "threshold 0.5", "battles: joint targets": "trace 0.75"}
EFFECTS = [
    *(
        Effect(what, "ablation_ambiguities", ((("hopper_3x1", name), ("hopper_3x1", "default")),))
        for what, name in HOPPER.items()
    ),
    *(
        Effect(
            what, "ablation_battles", tuple(((place, name), (place, "default")) for place in SHOWN)
        )
        for what, name in BATTLES.items()
    ),
]
