"""The paper's claims as numbers: paired differences of scores between methods on the same data set and seed.

Everything comes from the cells of Tables 3 and 4, Figure 6 and the ablations; nothing is trained for this alone. On the
ant "walked" is the difference of forward distances in metres, as scores alone reward standing still.
"""

from common import tables
from common.cells import Cell
from common.tables import Entry, Table, paired
from envs.coordination.game import SETTINGS
from papers.moma_ppo.ablation_parts import VARIANTS
from papers.moma_ppo.experiment import ANT_OPTIONS, cell, game_cell
from papers.moma_ppo.figure6 import SHOWN
from papers.moma_ppo.settings import ANT, GAME, QUALITIES, REACHER, VIEWS


def alternating(first: list[Cell], second: list[Cell]) -> tuple[Cell, ...]:
    """First and second of every pair, one after the other."""
    return tuple(cell for pair in zip(first, second, strict=True) for cell in pair)


def entries(preset: str, options: dict) -> list[Entry]:
    found = []

    def ours(method: str) -> str:
        return f"MOMA-PPO - {method}"

    for setting in SETTINGS:
        for method in GAME[:-1]:
            cells = tuple(game_cell(preset, setting, name, options) for name in ("moma_ppo", method))
            found.append(Entry(f"game, {setting}", ours(method), cells, paired("last_score")))
    for row, view in VIEWS.items():
        for method in REACHER[:-1]:
            if method != "iql" or view == "full":
                cells = tuple(cell(preset, "reacher", view, "expert-mix", name, options) for name in ("moma_ppo", method))
                found.append(Entry(f"reacher, {row}", ours(method), cells, paired("last_score")))
    for name, view in (("fo", "full"), ("po", "po")):
        def on_ant(method: str, view=view) -> list[Cell]:
            return [cell(preset, "ant", view, quality, method, options) for quality in QUALITIES]

        for method in ANT[:-1]:
            if method != "iql" or name == "fo":
                pairs = alternating(on_ant("moma_ppo"), on_ant(method))
                found.append(Entry(f"ant, {name}", ours(method), pairs, paired("last_score")))
                found.append(Entry(f"ant, {name}, walked", ours(method), pairs, paired("distance")))

        def ablated(view=view, **change) -> Cell:
            return cell(preset, "ant", view, "full-replay", "moma_ppo", options, **change)

        for variant in SHOWN[2:]:
            like = "epistemic, adaptive" if "adaptive" in variant else "epistemic"
            pair = (ablated(variant=like), ablated(variant=variant))
            found.append(Entry(f"ant full-replay, {name}", f"{like} - {variant}", pair, paired("last_score")))
        for label, change in VARIANTS.items():
            if change:
                found.append(Entry(f"ant full-replay, {name}", ours(label), (ablated(), ablated(**change)), paired("last_score")))
    return found


TABLE = Table(
    "moma_ppo", "claims", "claims as paired differences", entries, unit="normalized score, or metres", decimals=2,
    options=ANT_OPTIONS,
)  # fmt: skip

if __name__ == "__main__":
    tables.main(TABLE)
