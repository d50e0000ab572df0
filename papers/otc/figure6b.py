"""Figure 6b: BREMEN with OTC (d_e) and without, Cooperative Navigation (kinematic_navigation_4)."""

from common import tables
from common.tables import Table

TABLE = Table(
    "otc",
    "figure6b",
    "BREMEN on Cooperative Navigation",
    lambda preset, options: [],
    "return",
    unavailable="BREMEN has no learner here yet",
)

if __name__ == "__main__":
    tables.main(TABLE)
