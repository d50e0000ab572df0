"""How many seeds tell CAST-BCQ from a method in battles, by the committed results of preset quick.

    python benchmarks/battle_power.py

Paired t tests at 5 %, 80 % power, spread of differences as at quick: three seeds a map, so roughly.
"""

from itertools import count

import numpy as np
from scipy import stats

from common.reporting import catalogue, stored
from papers.cast_bcq.config import MAPS

METHODS = ("i_bcq", "mabcq", "icq_ma")
GAPS = (5, 10, 20)  # points of win rate
POWER = 0.8


def seeds_for(gap: float, spread: float) -> int:
    """Fewest seeds at which a true difference is seen."""
    for seeds in count(2):
        beyond = stats.t.ppf(0.975, seeds - 1)
        if stats.nct.sf(beyond, seeds - 1, gap / spread * np.sqrt(seeds)) > POWER:
            return seeds
    raise AssertionError


def main() -> None:
    table = catalogue.table("cast_bcq/table1")
    there = stored.committed(table, "quick")
    assert there
    wins = {entry.name: entry.seeds for entry in there.entries}
    published = table.published()
    for method in METHODS:
        variances = []
        for name in MAPS:
            ours = wins[name, "ours"]
            theirs = wins[name, method]
            gaps = np.array([ours[seed] - theirs[seed] for seed in ours])
            variances.append(gaps.var(ddof=1))
            claimed = published[name, "ours"][0] - published[name, method][0]
            spread = gaps.std(ddof=1)
            print(
                f"{name}, {method}: ours - it {gaps.mean():.0f}, sd {spread:.0f}; published "
                f"{claimed:.0f}, seen with {seeds_for(abs(claimed), spread)} seeds"
            )
        within = float(np.sqrt(np.mean(variances)))
        for gap in GAPS:
            over_maps = seeds_for(gap, within / np.sqrt(len(MAPS)))
            print(
                f"{method}: {gap} points are seen with {over_maps} seeds over the maps, with "
                f"{seeds_for(gap, within)} on one"
            )


if __name__ == "__main__":
    main()
