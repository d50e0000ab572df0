"""Which of the README's differences were run in both readings, for the departures ledger
(common.reporting.departures).
"""

from common.reporting.departures import Effect
from envs.coordination.game import SETTINGS

GAME = {"ratio of PPO": "ratio of each agent", "value decomposition": "monotone mixer"}
EFFECTS = [
    *(
        Effect(
            what,
            "ablation_game_readings",
            tuple(((setting, name), (setting, "default")) for setting in SETTINGS),
        )
        for what, name in GAME.items()
    ),
    Effect(
        "MOMA-IQL",
        "ablation_parts",
        tuple(
            ((view, "MOMA-IQL, rewards as released"), (view, "MOMA-IQL")) for view in ("fo", "po")
        ),
    ),
]
