"""Which of the README's differences were run in both readings, for the departures ledger
(common.reporting.departures).
"""

from common.reporting.departures import Effect
from papers.omar.ablation_options import SHOWN
from papers.omar.settings import METHODS, QUALITIES

ROWS = {
    "OMAR's coefficient (tau of Eq. 2)": "coefficient",
    "discount": "gamma",
    "BatchNorm on the raw input, batch statistics in training": "input_norm",
    "gradient clipping at 0.5": "grad_clip",
    "action penalty 1e-3 mean(pi^2)": "action_penalty",
    "smoothing noise of target policies": "target_noise",
    "sigma of Eq. 3": "sigma",
    "squared distance to a_hat": "squared_norm",
    "actions of the CQL penalty": "cql_policy_actions",
    "minibatch generator reset at every evaluation": "repeat_minibatches",
}
EVERYTHING = tuple(
    ((f"{quality}/text", method), (f"{quality}/released", method))
    for quality in QUALITIES
    for method in METHODS
)
EFFECTS = [
    *(
        Effect(
            what,
            "ablation_options",
            tuple(((quality, option), (quality, "released")) for quality in SHOWN),
        )
        for what, option in ROWS.items()
    ),
    Effect("all of the text's readings at once", "ablation_readings", EVERYTHING),
]
