"""The paper's claims as numbers: paired differences between methods on the same data set and seed.

In % of the way from the random to the expert return of the robot, so that robots can be averaged. Everything comes from
the cells of Tables 1 and 2, Figures 1, 5 and 6 and `ablation_observation.py`; nothing is trained for this alone. In battles
differences are of win rates, in points of per cent.
"""

from common import tables
from common.cells import Cell
from common.tables import Entry, Table, paired
from papers.cast_bcq.experiment import BATTLE_OPTIONS, GRID_OPTIONS, OPTIONS, battle_cell, cell, grid_cell
from papers.cast_bcq.settings import MAPS, MORE_TRAJECTORIES, QUALITIES, ROBOTS, VARIANTS

DECENTRALISED = ("i_bcq", "icq_ma")
CENTRALISED = ("bcq", "mabcq")


def entries(preset: str, options: dict) -> list[Entry]:
    def pairs(quality: str, first: tuple, second: tuple, **change) -> tuple[Cell, ...]:
        """Both (method, variant) on all robots, alternating; `change` of options."""
        read = options | change
        return tuple(cell(preset, task, quality, spec[0], read, spec[1]) for task in ROBOTS for spec in (first, second))

    found = []
    for quality in QUALITIES:
        for method in (*DECENTRALISED, *CENTRALISED):
            cells = pairs(quality, ("ours", "ours"), (method, "ours"))
            found.append(Entry(f"ours - {method}", quality, cells, paired("average_score")))
    for method in (*DECENTRALISED, *CENTRALISED):
        cells = pairs("uncoordinated", ("ours", "ours"), (method, "ours"), observation="full")
        found.append(Entry(f"ours - {method}", "uncoordinated, full observation", cells, paired("average_score")))
    for variant in VARIANTS:
        if variant != "ours":
            cells = pairs("uncoordinated", ("ours", "ours"), ("ours", variant))
            found.append(Entry(f"ours - {variant}", "uncoordinated", cells, paired("average_score")))
    for method in ("i_bcq", "i_icq"):
        both = tuple(grid_cell(preset, name, GRID_OPTIONS, MORE_TRAJECTORIES) for name in ("ours", method))
        found.append(Entry(f"ours - {method}", "grid, 1000 trajectories", both, paired("success")))
    for method in ("bc", "i_bcq", "mabcq", "icq_ma"):
        cells = tuple(battle_cell(preset, name, spec, BATTLE_OPTIONS) for name in MAPS for spec in ("ours", method))
        found.append(Entry(f"ours - {method}", "battles", cells, paired("win_rate")))
    for method in ("bc", "i_bcq"):
        cells = tuple(battle_cell(preset, name, spec, BATTLE_OPTIONS) for name in MAPS for spec in ("icq_ma", method))
        found.append(Entry(f"icq_ma - {method}", "battles", cells, paired("win_rate")))
    return found


TABLE = Table("cast_bcq", "claims", "claims as paired differences", entries, unit="points of normalised score", options=OPTIONS)

if __name__ == "__main__":
    tables.main(TABLE)
