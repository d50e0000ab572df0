"""Figure 6a: BREMEN with OTC (d_e) and without, Predator-Prey (kinematic_predator_prey)."""

from common import tables
from common.tables import Table

TABLE = Table(
    "otc", "figure6a", "BREMEN on Predator-Prey", lambda preset, options: [], "return", unavailable="BREMEN has no learner here yet"
)

if __name__ == "__main__":
    tables.main(TABLE)
