"""Figure 6d: CQL with OTC (d_q) and without on 5m_vs_6m, agents exploring in turn; SMAC-like
battles of the built-in simulator.
"""

from common.reporting import figures, script
from common.reporting.tables import Entry, Table
from envs.smac.units import simulator
from papers.otc.config import Options
from papers.otc.experiment import MAP, NAMES, cell, last_return


def entries(preset: str, options: dict) -> list[Entry]:
    return [
        Entry(MAP, column, (cell(preset, MAP, "medium", "cql", method, options),), last_return)
        for column, method in {"otc": "d_q", "cql": "uniform"}.items()
    ]


TABLE = Table(
    "otc",
    "figure6d",
    f"{MAP} ({simulator()})",
    entries,
    "return, 20 for a plain win",
    draw=figures.curves,
    x="deployment",
    options=Options(),
    names=NAMES,
)

if __name__ == "__main__":
    script.main(TABLE)
