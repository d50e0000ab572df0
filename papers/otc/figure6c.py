"""Figure 6c: a single agent in a world that changes between deployments, BCQ with OTC (d_e) and
without.

Offline an action is as likely to move the agent forth as back, so values know nothing of actions
and no budget makes the offline policy go to the landmark: what it reaches, it reaches by chance.
"""

from common.reporting import figures, script
from common.reporting.tables import Entry, Table
from papers.otc.config import SHIFTING, Options
from papers.otc.experiment import NAMES, cell, last_return


def entries(preset: str, options: dict) -> list[Entry]:
    return [
        Entry(
            SHIFTING,
            column,
            (cell(preset, SHIFTING, "random", "bcq", method, options),),
            last_return,
        )
        for column, method in {"otc": "d_e", "bcq": "uniform"}.items()
    ]


TABLE = Table(
    "otc",
    "figure6c",
    "non-stationary navigation (offline, no action helps)",
    entries,
    "return",
    draw=figures.curves,
    x="deployment",
    options=Options(),
    names=NAMES,
)

if __name__ == "__main__":
    script.main(TABLE)
