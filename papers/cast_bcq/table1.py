"""Table 1: test win rates on four StarCraft maps. Waits for the battle environment."""

from common import tables
from common.tables import Table

TABLE = Table(
    "cast_bcq",
    "table1",
    "test win rates on four StarCraft maps",
    lambda preset, options: [],
    "win rate in %",
    unavailable="needs recurrent learners and data of MMM and 10m_vs_11m; the environment (envs/smac) is there",
)

if __name__ == "__main__":
    tables.main(TABLE)
