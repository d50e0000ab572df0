"""Figure 7: the number of agents: Cooperative Navigation with N agents, TD3+BC with OTC (d_q) and
without.

TD3+BC's weight is that of its code for actions in the world's units, [-0.1, 0.1]: 250 of ours. At
2.5 of ours it stays near the mean of uniform random actions, which is standing still, whatever the
budget (2 to 3 % of the top speed after 500 to 10,000 updates).
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
    "number of agents",
    entries,
    "return",
    draw=figures.curves,
    x="deployment",
    options=Options(),
    names=NAMES,
)

if __name__ == "__main__":
    script.main(TABLE)
