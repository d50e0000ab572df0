"""Learning curves on the ant, over each method's own updates (epochs for MOMA-PPO)."""

from common.reporting import figures, script
from common.reporting.tables import Table
from papers.moma_ppo import table4b
from papers.moma_ppo.config import AntOptions

TABLE = Table(
    "moma_ppo",
    "figure_curves_ant",
    "learning curves on the ant",
    table4b.entries,
    decimals=2,
    options=AntOptions(),
    draw=figures.curves,
    x="updates or epochs",
)

if __name__ == "__main__":
    script.main(TABLE)
