"""How many seeds tell CAST-BCQ from a method in battles, by the first results of preset quick,
which had three seeds.

    python benchmarks/battle_power.py

Paired t tests with 80 % power, spread of differences as there, so roughly. At 5 %, as a claim by
itself is tested; and at 5 % over the number of the paper's claims, as the first of them is (Holm).
"""

from itertools import count
from pathlib import Path

import numpy as np
from scipy import stats

from common.reporting import catalogue
from common.running.files import read_csv
from papers.cast_bcq.claims import CLAIMS
from papers.cast_bcq.config import BATTLES, MAPS

RESULTS = Path(__file__).with_suffix(".csv")  # quick's of commit 16980cf
METHODS = ("i_bcq", "mabcq", "icq_ma")
GAPS = (5, 10, 20)  # points of win rate
LEVEL = 0.05
POWER = 0.8


def power(gap: float, spread: float, seeds: int, level: float) -> float:
    """The chance that a true difference is seen."""
    beyond = stats.t.ppf(1 - level / 2, seeds - 1)
    return float(stats.nct.sf(beyond, seeds - 1, gap / spread * np.sqrt(seeds)))


def seeds_for(gap: float, spread: float) -> int:
    """Fewest seeds at which a true difference is seen."""
    return next(seeds for seeds in count(2) if power(gap, spread, seeds, LEVEL) > POWER)


def gap_seen(spread: float, seeds: int, level: float) -> float:
    """The smallest true difference that is seen, in points."""
    gaps = np.arange(0.5, 100, 0.5)
    return next(gap for gap in gaps if power(gap, spread, seeds, level) > POWER)


def main() -> None:
    wins: dict[tuple[str, str], list[float]] = {}
    for row in read_csv(RESULTS):
        wins.setdefault((row["row"], row["column"]), []).append(float(row["last"]))
    published = catalogue.table("cast_bcq/table1").published()
    planned = len(BATTLES["standard"]["seeds"])
    family = sum(not claim.addition for claim in CLAIMS)
    for method in METHODS:
        variances = []
        for name in MAPS:
            gaps = np.array(wins[name, "ours"]) - np.array(wins[name, method])
            variances.append(gaps.var(ddof=1))
            claimed = published[name, "ours"][0] - published[name, method][0]
            spread = gaps.std(ddof=1)
            print(
                f"{name}, {method}: ours - it {gaps.mean():.0f}, sd {spread:.0f}; published "
                f"{claimed:.0f}, seen with {seeds_for(abs(claimed), spread)} seeds"
            )
        within = float(np.sqrt(np.mean(variances)))
        over_maps = within / np.sqrt(len(MAPS))
        for gap in GAPS:
            print(
                f"{method}: {gap} points are seen with {seeds_for(gap, over_maps)} seeds over the "
                f"maps, with {seeds_for(gap, within)} on one"
            )
        for says, level in (("by itself", LEVEL), (f"first of {family}", LEVEL / family)):
            print(
                f"{method}: {planned} seeds see {gap_seen(over_maps, planned, level):g} points "
                f"over the maps and {gap_seen(within, planned, level):g} on one ({says})"
            )


if __name__ == "__main__":
    main()
