"""Figure 6: epistemic against aleatoric uncertainty, with and without adaptive rollouts, on Ant
full-replay.
"""

from common.reporting import figures, script
from common.reporting.tables import Entry, Table
from papers.moma_ppo.config import AntOptions
from papers.moma_ppo.experiment import cell

SHOWN = (
    "epistemic, adaptive",
    "epistemic",
    "aleatoric 1, adaptive",
    "aleatoric 5, adaptive",
    "aleatoric 1",
    "aleatoric 5",
)


def entries(preset: str, options: dict) -> list[Entry]:
    listed = []
    for name, view in (("fo", "full"), ("po", "po")):
        place = (preset, "ant", view, "full-replay", "moma_ppo", options)
        for variant in SHOWN:
            listed.append(Entry(name, variant, (cell(*place, variant, ablation=True),)))
    return listed


TABLE = Table(
    "moma_ppo",
    "figure6",
    "epistemic against aleatoric uncertainty",
    entries,
    decimals=2,
    options=AntOptions(),
    draw=figures.curves,
    x="epochs",
)

if __name__ == "__main__":
    script.main(TABLE)
