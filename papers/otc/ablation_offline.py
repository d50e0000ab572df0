"""How long the offline phase has to be: score of the offline policies after half the preset's
updates, all of them, and twice as many, on two data sets, two seeds.

Table 1 is relative to the offline policies, and the paper does not say how long they train. A
length is enough where doubling it adds less than 5 points on either data set: on one of them
policies are good early, on the other late. Quick has the latter only.
"""

import itertools

from common.reporting import script
from common.reporting.tables import Entry, Table, mean_of
from common.running.cells import Layer
from papers.otc.config import Options
from papers.otc.experiment import NAMES, cell

PLACES = (("hopper", "medium"), ("halfcheetah", "medium-replay"))
TIMES = {"a half": 0.5, "all": 1, "twice": 2}
SEEDS = [0, 1]
LEFT_OUT = {"quick": ("hopper",)}  # as in ablation_readings.py: its steps cost more


def first_score(results: list[dict]) -> dict[int, float | None]:
    """Score of the offline policies."""
    return mean_of(results, "first_score")


def entries(preset: str, options: dict) -> list[Entry]:
    shown = []
    seeds = options["seeds"] or SEEDS
    for place, base in itertools.product(PLACES, ("bcq", "awac")):
        whole = cell(preset, *place, base, "uniform", options | {"seeds": seeds})
        for column, times in TIMES.items():
            row = f"{'/'.join(place)}, {base}"
            if place[0] in LEFT_OUT.get(preset, ()):
                shown.append(Entry(row, column, (), missing=f"left out at {preset}"))
                continue
            updates = max(1, round(times * whole.config["offline_updates"]))
            # deployments are of no interest here
            short = {"offline_updates": updates, "deployments": 1, "tuning_updates": 1}
            changed = whole.under([f"offline={times:g}"], Layer("this script", short))
            shown.append(Entry(row, column, (changed,), first_score))
    return shown


TABLE = Table(
    "otc",
    "ablation_offline",
    "length of the offline phase",
    entries,
    unit="normalised score of the offline policies",
    options=Options(),
    names=NAMES,
)

if __name__ == "__main__":
    script.main(TABLE)
