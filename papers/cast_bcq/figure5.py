"""Figure 5: learning curves of Table 1's methods, and of behaviour cloning, which is our addition;
SMAC-like battles.
"""

from common.reporting import figures, script
from common.reporting.tables import Entry, Table
from papers.cast_bcq import table1
from papers.cast_bcq.config import BATTLE_METHODS, BattleOptions
from papers.cast_bcq.experiment import SIMULATOR, TITLES


def entries(preset: str, options: dict) -> list[Entry]:
    return table1.entries(preset, options, ("bc", *BATTLE_METHODS))


TABLE = Table(
    "cast_bcq",
    "figure5",
    f"learning curves ({SIMULATOR})",
    entries,
    unit="win rate in %",
    options=BattleOptions(),
    draw=figures.curves,
    x="updates",
    names=TITLES,
)

if __name__ == "__main__":
    script.main(TABLE)
