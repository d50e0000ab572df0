"""The paper's claims as numbers: paired differences between ways of choosing rows, over all data sets and seeds.

A pair is the same seed on the same data set: both started from the same offline policies, with the same random numbers. The
number is how much more normalised score (points) the first gained by online tuning than the second. Everything comes
from the cells of Tables 1 and 2 and Figures 4 and 5; nothing is trained for this alone.
"""

from common import tables
from common.cells import Cell
from common.tables import Entry, Table, paired
from papers.otc.experiment import OPTIONS, cell, timing_cell
from papers.otc.settings import QUALITIES, ROBOTS

FIGURE_5 = (("halfcheetah", "random"), ("halfcheetah", "medium-replay"), ("walker2d", "medium"), ("hopper", "medium"))


def overhead(method: str):
    """Time of matching in % of BCQ's own update, of every turn of Table 2."""

    def percent(results: list[dict]) -> dict[int, float]:
        spent = {seed["seed"]: seed["milliseconds"] for result in results for seed in result["seeds"]}
        return {turn: 100 * (times[method] / times["uniform"] - 1) for turn, times in spent.items()}

    return percent


def entries(preset: str, options: dict) -> list[Entry]:
    everywhere = [(task, quality) for quality in QUALITIES.values() for task in ROBOTS]

    def pairs(places, base: str, first: tuple, second: tuple) -> tuple[Cell, ...]:
        """Both methods' cells, (method, fixed alpha) each, at all places, alternating."""
        return tuple(
            cell(preset, task, quality, base, method, options, **({"fixed_alpha": alpha} if alpha else {}))
            for task, quality in places
            for method, alpha in (first, second)
        )

    found = []
    for base in ("bcq", "awac"):
        for first, second in (("d_e", "uniform"), ("d_q", "uniform"), ("d_e", "d_q")):
            cells = pairs(everywhere, base, (first, None), (second, None))
            found.append(Entry(f"{first} - {second}", base, cells, paired("score_gain")))
    two = [("halfcheetah", "random"), ("halfcheetah", "medium-replay")]
    found.append(Entry("adaptive - fixed alpha", "bcq", pairs(two, "bcq", ("d_e", None), ("d_e", 1.0)), paired("score_gain")))
    for other in ("balanced", "online"):
        found.append(Entry(f"d_e - {other}", "bcq", pairs(FIGURE_5, "bcq", ("d_e", None), (other, None)), paired("score_gain")))
    for method in ("d_e", "d_q"):
        found.append(Entry(f"overhead of {method}, %", "bcq", (timing_cell(preset, options),), overhead(method)))
    return found


TABLE = Table("otc", "claims", "claims as paired differences", entries, unit="points of normalised score", options=OPTIONS)

if __name__ == "__main__":
    tables.main(TABLE)
