"""Table 3: the coordination game, four methods on three data sets, ten seeds."""

from common.reporting import script
from common.reporting.tables import Entry, Table
from envs.coordination.game import SETTINGS
from papers.moma_ppo.config import GAME, Options
from papers.moma_ppo.experiment import NAMES, game_cell


def entries(preset: str, options: dict) -> list[Entry]:
    return [
        Entry(setting, method, (game_cell(preset, setting, method, options),))
        for setting in SETTINGS
        for method in GAME
    ]


TABLE = Table(
    "moma_ppo",
    "table3",
    "coordination game",
    entries,
    unit="fraction of matching steps",
    decimals=2,
    options=Options(),
    published_runs=10,
    ours="moma_ppo",
    published_sem=True,
    names=NAMES,
)

if __name__ == "__main__":
    script.main(TABLE)
