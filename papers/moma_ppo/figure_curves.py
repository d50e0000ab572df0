"""Learning curves of MOMA-PPO and the baselines on Reacher, over each method's own updates (epochs
for MOMA-PPO).
"""

from common.reporting import figures, script
from common.reporting.tables import Table
from papers.moma_ppo import table4a
from papers.moma_ppo.config import Options

TABLE = Table(
    "moma_ppo",
    "figure_curves",
    "learning curves on Reacher",
    table4a.entries,
    decimals=2,
    options=Options(),
    draw=figures.curves,
    x="updates or epochs",
)

if __name__ == "__main__":
    script.main(TABLE)
