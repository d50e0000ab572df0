"""Learning curves on the ant, over the share of each method's own training (`table4_budgets.py`
says what that is); at quick they are single points at the end, where nobody walks yet.
"""

from common.reporting import script
from common.reporting.tables import Table
from papers.moma_ppo import learning, table4b
from papers.moma_ppo.config import AntOptions
from papers.moma_ppo.experiment import NAMES

TABLE = Table(
    "moma_ppo",
    "figure_curves_ant",
    "learning curves on the ant",
    table4b.entries,
    decimals=2,
    options=AntOptions(),
    draw=learning.draw,
    x=learning.AXIS,
    names=NAMES,
)

if __name__ == "__main__":
    script.main(TABLE)
