"""Figure 7: the number of agents: Cooperative Navigation with N agents, TD3+BC with OTC (d_q) and
without.

On uniform random actions TD3+BC stays near their mean, which is standing still: at its weight of
2.5 policies moved at 2 to 3 % of the top speed after 500 to 10,000 updates, whatever the budget.
"""

from common.reporting import figures, script
from common.reporting.tables import Entry, Table
from envs.kinematic.worlds import NAVIGATION_AGENTS
from papers.otc.config import Options
from papers.otc.experiment import NAMES, cell, last_return


def entries(preset: str, options: dict) -> list[Entry]:
    return [
        Entry(
            f"{n} agents",
            column,
            (cell(preset, f"kinematic_navigation_{n}", "random", "td3bc", method, options),),
            last_return,
        )
        for n in NAVIGATION_AGENTS
        for column, method in {"otc": "d_q", "td3bc": "uniform"}.items()
    ]


TABLE = Table(
    "otc",
    "figure7",
    "number of agents (offline policies hardly move)",
    entries,
    "return",
    draw=figures.curves,
    x="deployment",
    options=Options(),
    names=NAMES,
)

if __name__ == "__main__":
    script.main(TABLE)
