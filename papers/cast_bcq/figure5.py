"""Figure 5: learning curves on four StarCraft maps. Waits for the battle environment."""

from common import tables
from common.tables import Table

TABLE = Table(
    "cast_bcq",
    "figure5",
    "learning curves on four StarCraft maps",
    lambda preset, options: [],
    "win rate in %",
    unavailable="needs the battle environment envs/smac (maps 3s_vs_3z, MMM, 2s3z, 10m_vs_11m), which is not there yet",
)

if __name__ == "__main__":
    tables.main(TABLE)
