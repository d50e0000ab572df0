"""Figure 6: epistemic against aleatoric uncertainty, with and without adaptive rollouts, on Ant
full-replay.
"""

from common.reporting import figures, script
from common.reporting.tables import Entry, Table
from papers.moma_ppo.config import AntOptions, ablated_views
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
            if view in ablated_views(preset):
                listed.append(Entry(name, variant, (cell(*place, variant),)))
            else:
                listed.append(Entry(name, variant, (), missing=f"left out of preset {preset}"))
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
