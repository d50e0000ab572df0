"""The paper's claims: paired differences between ways of choosing rows, data set by data set, and
the ledger.

A pair is the same seed on the same data set: both started from the same offline policies, with the
same random numbers. The number is how much more normalised score (points) the first gained by
online tuning than the second. A claim about several data sets is about the mean of their means:
data sets are strata, not more seeds. Everything comes from the cells of Tables 1 and 2 and Figures
4 and 5; nothing is trained for this alone.
"""

import functools
import itertools
from collections.abc import Sequence
from typing import NamedTuple

from common.reporting import figures, script
from common.reporting.claims import Claim, over
from common.reporting.tables import Entry, Table, mean_of, paired
from common.running.cells import Cell
from papers.otc.config import QUALITIES, ROBOTS, STANDING, Options
from papers.otc.experiment import MAP, NAMES, cell, timing_cell
from papers.otc.figure5 import PANELS

PLACES = tuple(f"{name}/{task}" for name in QUALITIES for task in ROBOTS)
FIGURE_5 = tuple(f"{name}/{task}" for name, task in PANELS)
FIGURE_4 = ("replay/halfcheetah", "random/halfcheetah")
AWAC_FAILS = "random/halfcheetah"  # the paper prints dashes there
BASES = ("bcq", "awac")
DISTANCES = ("d_e", "d_q")
COUNTS = ("2 agents", "4 agents", "6 agents", "8 agents")
LATER = 3  # deployments whose changes of alpha are small when tuning has converged
ALL = "all data sets"
GAIN = paired("score_gain")
# Points: half of what the published per cent over uniform sampling would be of the offline
# policies' scores that quick had (BCQ with d_e), fixed before the cells of standard
MARGIN = 2


def places(base: str) -> tuple[str, ...]:
    """Data sets for which the paper prints numbers of a base learner."""
    return tuple(place for place in PLACES if (base, place) != ("awac", AWAC_FAILS))


def overhead(method: str):
    """Time of matching in % of BCQ's own update, of every turn of Table 2."""

    def percent(results: list[dict]) -> dict[int, float]:
        spent = {
            seed["seed"]: seed["milliseconds"] for result in results for seed in result["seeds"]
        }
        return {turn: 100 * (times[method] / times["uniform"] - 1) for turn, times in spent.items()}

    return percent


def won(results: list[dict]) -> dict[int, float | None]:
    """On how many data sets the first method's mean gain is the larger one: {0: number}."""
    gaps = [
        [gap for gap in GAIN(list(pair)).values() if gap is not None]
        for pair in zip(results[::2], results[1::2], strict=True)
    ]
    return {0: float(sum(sum(of_set) > 0 for of_set in gaps if of_set))}


def growth(agent: int, results: list[dict]) -> dict[int, float | None]:
    """By how much an agent's alpha has grown at the last deployment, per seed."""
    return {
        seed["seed"]: seed["alpha"][-1][agent] - seed["alpha"][0][agent]
        for result in results
        for seed in result["seeds"]
    }


def part_ways(results: list[dict]) -> dict[int, float | None]:
    """Per seed 100 where one agent's alpha has grown and the other's has fallen, else 0."""
    first, second = (growth(agent, results) for agent in range(2))
    return {seed: 100.0 * ((first[seed] or 0) * (second[seed] or 0) < 0) for seed in first}


def settling(agent: int, results: list[dict]) -> dict[int, float | None]:
    """By how many % an agent's alpha changes from one of the last deployments to the next, per
    seed; None with fewer deployments.
    """
    found: dict[int, float | None] = {}
    for seed in (seed for result in results for seed in result["seeds"]):
        alpha = [of_agents[agent] for of_agents in seed["alpha"]][-LATER - 1 :]
        steps = [100 * abs(b / a - 1) for a, b in itertools.pairwise(alpha)]
        found[seed["seed"]] = sum(steps) / LATER if len(steps) == LATER else None
    return found


class Runs(NamedTuple):
    """What is run at a preset, with some options of the scripts."""

    preset: str
    options: dict

    def of(self, place: str, base: str, method: str, **changes) -> Cell:
        """A base learner's tuning on a data set, rows chosen by a method."""
        name, task = place.split("/")
        return cell(self.preset, task, QUALITIES[name], base, method, self.options, **changes)

    def gain(self, place: str, base: str, first: str, second: str) -> Entry:
        """How much more one way of choosing rows gains than another on a data set."""
        cells = self.of(place, base, first), self.of(place, base, second)
        return Entry(f"{base}: {first} - {second}", place, cells, GAIN)


def entries(preset: str, options: dict) -> list[Entry]:
    runs = Runs(preset, options)
    in_panels = [
        runs.gain(place, "bcq", first, second)
        for first, second in (("d_e", "balanced"), ("d_e", "online"), ("online", "uniform"))
        for place in FIGURE_5
    ]
    timed = timing_cell(preset, options)
    return [
        *(entry for base in BASES for entry in of_base(runs, base)),
        of_seeds(runs, "awac: last score", AWAC_FAILS, "awac", "uniform", "last_score"),
        *(entry for place in FIGURE_4 for entry in of_alpha(runs, place)),
        *in_panels,
        *(
            of_seeds(runs, "bcq: gain by online rows only", place, "bcq", "online", "score_gain")
            for place in FIGURE_5
        ),
        *(
            Entry(f"overhead of {method}, %", "bcq", (timed,), overhead(method))
            for method in DISTANCES
        ),
    ]


def of_base(runs: Runs, base: str) -> list[Entry]:
    """Table 1 of a base learner: both distances against uniform sampling and each other."""
    shown = []
    for distance in DISTANCES:
        against = [runs.gain(place, base, distance, "uniform") for place in PLACES]
        printed = [entry for entry in against if entry.column in places(base)]
        label = f"{base}: {distance} - uniform, data sets won of {len(printed)}"
        everywhere = tuple(made for entry in printed for made in entry.cells)
        shown += [*against, Entry(label, ALL, everywhere, won)]
    shown += [runs.gain(place, base, "d_e", "d_q") for place in PLACES]
    row = f"{base}: score of the offline policies"
    return shown + [of_seeds(runs, row, place, base, "uniform", "first_score") for place in PLACES]


def of_seeds(runs: Runs, row: str, place: str, base: str, method: str, key: str) -> Entry:
    """A fact of every seed."""
    value = functools.partial(mean_of, key=key)
    return Entry(row, place, (runs.of(place, base, method),), value)


def of_alpha(runs: Runs, place: str) -> list[Entry]:
    """Figure 4 on a data set: adaptive alpha against a fixed one, and what both agents' does."""
    adaptive = runs.of(place, "bcq", "d_e")
    fixed = runs.of(place, "bcq", "d_e", fixed_alpha=1.0)
    shown = [Entry("bcq: adaptive - fixed alpha", place, (adaptive, fixed), GAIN)]
    for agent in range(2):
        value = functools.partial(growth, agent)
        shown.append(Entry(f"growth of agent {agent}'s alpha", place, (adaptive,), value))
    for agent in range(2):
        row = f"last changes of agent {agent}'s alpha, %"
        value = functools.partial(settling, agent)
        if adaptive.config["deployments"] > LATER:
            shown.append(Entry(row, place, (adaptive,), value))
        else:
            shown.append(Entry(row, place, (), missing=f"fewer than {LATER + 1} deployments"))
    return [
        *shown,
        Entry("alphas part ways, % of seeds", place, (adaptive,), part_ways, share=True),
    ]


TABLE = Table(
    "otc",
    "claims",
    "claims as paired differences",
    entries,
    unit="points of normalised score",
    options=Options(),
    draw=functools.partial(figures.forest, linear_below=10.0),
    names=NAMES,
)


def by_place(row: str, where: Sequence[str]) -> tuple:
    """Entries of a row of the table above, a stratum each."""
    return tuple(((row, place), None) for place in where)


CATCH = Claim(
    "",
    "somebody catches the prey",
    "figure6a",
    tuple((("kinematic_predator_prey", method), None) for method in ("otc", "bremen")),
    above=0.1,
    at_least=1,
)
ARRIVE = Claim(
    "",
    "the landmark is reached in one of five episodes at least",
    "figure6c",
    tuple((("shifting_navigation", method), None) for method in ("otc", "bcq")),
    above=2,
    at_least=1,
)
TERMS = "d_e and d_q, its distances between transitions, by a learned embedding and by value."
CLAIMS = [
    *(
        Claim(
            "4.2, Table 1",
            f"with {base.upper()} {distance} beats uniform sampling, mean over data sets",
            "claims",
            by_place(f"{base}: {distance} - uniform", places(base)),
            above=0,
            main=True,
        )
        for base in BASES
        for distance in DISTANCES
    ),
    *(
        Claim(
            "4.2, Table 1",
            f"with {base.upper()} {distance} beats uniform sampling on every data set",
            "claims",
            by_place(f"{base}: {distance} - uniform", places(base)),
            above=0,
            each=True,
        )
        for base in BASES
        for distance in DISTANCES
    ),
    Claim(
        "4.2, Table 1",
        "AWAC, which the paper leaves out on halfcheetah random as it does not work there, scores "
        "no more than standing still does",
        "claims",
        by_place("awac: last score", [AWAC_FAILS]),
        below=STANDING,
        addition=True,
    ),
    Claim(
        "4.2, Table 1, Figure 3",
        "OTC (d_e, BCQ) improves on the offline policies on every data set",
        "table1_scores",
        tuple(((place, "d_e+bcq"), None) for place in PLACES),
        above=0,
        each=True,
    ),
    Claim(
        "4.2, Table 1, Figure 3",
        "OTC (d_q, BCQ) improves on the offline policies on every data set",
        "table1_scores",
        tuple(((place, "d_q+bcq"), None) for place in PLACES),
        above=0,
        each=True,
    ),
    *(
        Claim(
            "4.2, Table 1",
            f"with {base.upper()} d_q outperforms d_e by less than {MARGIN} points, mean over data "
            "sets",
            "claims",
            by_place(f"{base}: d_e - d_q", places(base)),
            above=-MARGIN,
        )
        for base in BASES
    ),
    *(
        Claim(
            "4.2, Table 2",
            f"on one CPU core (the paper: a GPU) matching by {method} costs less than 25 % of "
            "BCQ's update",
            "claims",
            by_place(f"overhead of {method}, %", ["bcq"]),
            below=25,
            unit="%",
            addition=True,
        )
        for method in DISTANCES
    ),
    Claim(
        "4.3, Figure 4",
        "adaptive alpha beats a fixed one",
        "claims",
        by_place("bcq: adaptive - fixed alpha", FIGURE_4),
        above=0,
    ),
    Claim(
        "4.3, Figure 4",
        "alpha of both agents grows on halfcheetah replay",
        "claims",
        tuple(((f"growth of agent {agent}'s alpha", FIGURE_4[0]), None) for agent in range(2)),
        above=0,
        each=True,
        unit="of alpha",
    ),
    Claim(
        "4.3, Figure 4",
        "on halfcheetah replay alpha becomes stable: it changes by less than 5 % a deployment in "
        f"the last {LATER}",
        "claims",
        tuple(
            ((f"last changes of agent {agent}'s alpha, %", FIGURE_4[0]), None) for agent in range(2)
        ),
        below=5,
        each=True,
        unit="%",
    ),
    Claim(
        "4.3, Figure 4",
        "on halfcheetah random the agents' alphas have different trends: one grows and the other "
        "falls, in most runs",
        "claims",
        by_place("alphas part ways, % of seeds", FIGURE_4[1:]),
        above=50,
        share=True,
        unit="% of seeds",
    ),
    Claim(
        "4.3, Figure 5",
        "OTC beats Balanced Replay",
        "claims",
        by_place("bcq: d_e - balanced", FIGURE_5),
        above=0,
    ),
    Claim(
        "4.3, Figure 5",
        "OTC beats learning from online data only",
        "claims",
        by_place("bcq: d_e - online", FIGURE_5),
        above=0,
    ),
    Claim(
        "4.3, Figure 5",
        "OTC beats uniform sampling on those four data sets",
        "claims",
        by_place("bcq: d_e - uniform", FIGURE_5),
        above=0,
    ),
    Claim(
        "4.3, Figure 5d",
        "online data only over-fits: on hopper medium policies end below where they began",
        "claims",
        by_place("bcq: gain by online rows only", ["medium/hopper"]),
        below=0,
    ),
    Claim(
        "4.3, Figure 5d",
        "online data only over-fits: on hopper medium it ends below uniform sampling",
        "claims",
        by_place("bcq: online - uniform", ["medium/hopper"]),
        below=0,
    ),
    Claim(
        "4.4, Figure 6a",
        "OTC helps BREMEN in predator-prey",
        "figure6a",
        **over("otc", ["bremen"], ["kinematic_predator_prey"]),
        premise=CATCH,
    ),
    Claim(
        "4.4, Figure 6b",
        "OTC helps BREMEN in navigation",
        "figure6b",
        **over("otc", ["bremen"], ["kinematic_navigation_4"]),
    ),
    Claim(
        "4.5, Figure 6c",
        "OTC helps a single agent in a changing world",
        "figure6c",
        **over("otc", ["bcq"], ["shifting_navigation"]),
        premise=ARRIVE,
    ),
    Claim("4.6, Figure 6d", "OTC helps CQL on 5m_vs_6m", "figure6d", **over("otc", ["cql"], [MAP])),
    Claim(
        "4.7, Figure 7",
        "OTC helps TD3+BC with 2 to 8 agents, mean over their numbers",
        "figure7",
        **over("otc", ["td3bc"], COUNTS),
    ),
    Claim(
        "4.7, Figure 8",
        "adaptive alpha beats every fixed one in navigation",
        "figure8",
        **over(
            "adaptive",
            ("fixed 0.5", "fixed 1.0", "fixed 2.0"),
            ("alpha/4 agents", "alpha/6 agents"),
        ),
        each=True,
    ),
    *(
        Claim(
            "4.7, Figure 8",
            f"OTC beats {name} in navigation",
            "figure8",
            **over("otc", [column], ("choice/4 agents", "choice/6 agents")),
        )
        for column, name in {
            "balanced_replay": "Balanced Replay",
            "uniform": "uniform sampling",
            "online_only": "learning from online data only",
        }.items()
    ),
]

if __name__ == "__main__":
    script.main(TABLE)
