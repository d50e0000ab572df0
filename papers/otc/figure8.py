"""Figure 8: ablations on Cooperative Navigation with 4 and 6 agents, TD3+BC and d_q: alpha, and
ways of choosing rows. TD3+BC's weight is as in figure7.py.
"""

from common.reporting import figures, script
from common.reporting.tables import Entry, Table
from papers.otc.config import Options
from papers.otc.experiment import NAMES, cell, last_return

ALPHAS = (0.5, 1.0, 2.0)
CHOICES = {
    "otc": "d_q",
    "balanced_replay": "balanced",
    "uniform": "uniform",
    "online_only": "online",
}


def entries(preset: str, options: dict) -> list[Entry]:
    found = []
    for n in (4, 6):

        def one(row: str, column: str, method: str, n=n, **changes) -> Entry:
            made = cell(
                preset, f"kinematic_navigation_{n}", "random", "td3bc", method, options, **changes
            )
            return Entry(f"{row}/{n} agents", column, (made,), last_return)

        found.append(one("alpha", "adaptive", "d_q"))
        found += [one("alpha", f"fixed {alpha}", "d_q", fixed_alpha=alpha) for alpha in ALPHAS]
        found += [one("choice", column, method) for column, method in CHOICES.items()]
    return found


TABLE = Table(
    "otc",
    "figure8",
    "ablations on navigation",
    entries,
    "return",
    draw=figures.curves,
    x="deployment",
    options=Options(),
    names=NAMES,
)

if __name__ == "__main__":
    script.main(TABLE)
