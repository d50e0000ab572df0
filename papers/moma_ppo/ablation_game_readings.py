"""Ablation: MOMA-PPO on the coordination game with a ratio for every agent, and with a monotone
mixer.

The released code has one ratio of the whole team and a mixer whose weights may have any sign; MAPPO
and QMIX have the others.
"""

from common.reporting import script
from common.reporting.tables import Entry, Table
from envs.coordination.game import SETTINGS
from papers.moma_ppo.config import Options
from papers.moma_ppo.experiment import game_cell

READINGS = {
    "default": {},
    "ratio of each agent": {"ratio": "agent"},
    "monotone mixer": {"mixer": "monotone"},
}


def entries(preset: str, options: dict) -> list[Entry]:
    return [
        Entry(setting, label, (game_cell(preset, setting, "moma_ppo", options | change),))
        for setting in SETTINGS
        for label, change in READINGS.items()
    ]


TABLE = Table(
    "moma_ppo",
    "ablation_game_readings",
    "readings, on the coordination game",
    entries,
    unit="fraction of matching steps",
    decimals=2,
    options=Options(),
    decided=("ratio", "mixer"),
)

if __name__ == "__main__":
    script.main(TABLE)
