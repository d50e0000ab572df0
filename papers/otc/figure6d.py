"""Figure 6d: discrete CQL with OTC (d_q) and without on SMAC's 5m_vs_6m, agents exploring in turn."""

from common import tables
from common.tables import Table

TABLE = Table(
    "otc",
    "figure6d",
    "StarCraft 5m_vs_6m",
    lambda preset, options: [],
    "win rate",
    unavailable="needs behaviour and data of map 5m_vs_6m, and a recurrent CQL; the environment (envs/smac) is there",
)

if __name__ == "__main__":
    tables.main(TABLE)
