"""Ablation: MA-TD3+BC's weight on Q, cooperative navigation.

OMAR says "fine-tuned" and no value; TD3+BC's own is 2.5. A later paper (B3C, AAMAS 2026) reports
several times OMAR's number for its own MA-TD3+BC on random data. A weight of 0 is behaviour
cloning.
"""

from common.reporting import figures, script
from common.reporting.tables import Entry, Table
from papers.omar.config import QUALITIES
from papers.omar.experiment import cell

WEIGHTS = (0.0, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 100.0)


def entries(preset: str, options: dict) -> list[Entry]:
    def one(quality: str, weight: float) -> Entry:
        hyper = {"bc_weight": weight}
        task = "cooperative_navigation"
        chosen = cell(preset, task, quality, "ma_td3bc", options, hyper=hyper, sweep=True)
        return Entry(quality, f"bc_weight={weight}", (chosen,))

    return [one(quality, weight) for quality in QUALITIES for weight in WEIGHTS]


TABLE = Table(
    "omar",
    "ablation_weights",
    "MA-TD3+BC, independent critics: its weight on Q",
    entries,
    draw=figures.lines,
)

if __name__ == "__main__":
    script.main(TABLE)
