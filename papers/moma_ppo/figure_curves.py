"""Learning curves of MOMA-PPO and the baselines on Reacher, over the share of each method's own
training (`table4_budgets.py` says what that is).
"""

from common.reporting import script
from common.reporting.tables import Table
from papers.moma_ppo import learning, table4a
from papers.moma_ppo.config import Options
from papers.moma_ppo.experiment import NAMES

TABLE = Table(
    "moma_ppo",
    "figure_curves",
    "learning curves on Reacher",
    table4a.entries,
    decimals=2,
    options=Options(),
    draw=learning.draw,
    x=learning.AXIS,
    names=NAMES,
)

if __name__ == "__main__":
    script.main(TABLE)
