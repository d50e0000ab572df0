"""How far the ants of Table 4b walk in an episode: a motionless one scores 0.315 and must not look
good unnoticed.
"""

from common.reporting import script
from common.reporting.tables import Table
from papers.moma_ppo import table4b
from papers.moma_ppo.config import AntOptions
from papers.moma_ppo.experiment import NAMES, distance


def entries(preset: str, options: dict):
    return table4b.entries(preset, options, distance)


TABLE = Table(
    "moma_ppo",
    "table4b_distance",
    "forward distance of the ants",
    entries,
    unit="metres",
    decimals=1,
    options=AntOptions(),
    names=NAMES,
)

if __name__ == "__main__":
    script.main(TABLE)
