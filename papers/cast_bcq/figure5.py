"""Figure 5: learning curves of Table 1's methods, SMAC-like battles of the built-in simulator."""

from common import figures, tables
from common.tables import Table
from papers.cast_bcq.experiment import BATTLE_OPTIONS, SIMULATOR
from papers.cast_bcq.table1 import entries

TABLE = Table(
    "cast_bcq", "figure5", f"learning curves ({SIMULATOR})", entries, unit="win rate in %", options=BATTLE_OPTIONS,
    draw=figures.curves, x="updates",
)  # fmt: skip

if __name__ == "__main__":
    tables.main(TABLE)
