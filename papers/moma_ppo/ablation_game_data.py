"""Why IBC's neutral cell of Table 3 is what the data are: the same ten seeds on other draws of the
neutral data.

Independent cloning learns each agent's more frequent action in every situation; in neutral data
that is chance, and the same for all seeds that share a data set.
"""

from common.reporting import script
from common.reporting.tables import Entry, Table
from papers.moma_ppo.config import Options
from papers.moma_ppo.experiment import game_cell

DATA_SEEDS = range(6)


def entries(preset: str, options: dict) -> list[Entry]:
    return [
        Entry("neutral", f"data {seed}", (game_cell(preset, "neutral", "ibc", options, seed),))
        for seed in DATA_SEEDS
    ]


TABLE = Table(
    "moma_ppo",
    "ablation_game_data",
    "IBC on other draws of the neutral data",
    entries,
    unit="fraction of matching steps",
    decimals=2,
    options=Options(),
)

if __name__ == "__main__":
    script.main(TABLE)
