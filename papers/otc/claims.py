"""The paper's claims: paired differences between ways of choosing rows, over all data sets and
seeds, and the ledger.

A pair is the same seed on the same data set: both started from the same offline policies, with the
same random numbers. The number is how much more normalised score (points) the first gained by
online tuning than the second. Everything comes from the cells of Tables 1 and 2 and Figures 4 and
5; nothing is trained for this alone.
"""

from common.reporting import script
from common.reporting.claims import Claim, over
from common.reporting.tables import Entry, Table, paired
from common.running.cells import Cell
from papers.otc.config import QUALITIES, ROBOTS, Options
from papers.otc.experiment import MAP, cell, timing_cell

FIGURE_5 = (
    ("halfcheetah", "random"),
    ("halfcheetah", "medium-replay"),
    ("walker2d", "medium"),
    ("hopper", "medium"),
)


def overhead(method: str):
    """Time of matching in % of BCQ's own update, of every turn of Table 2."""

    def percent(results: list[dict]) -> dict[int, float]:
        spent = {
            seed["seed"]: seed["milliseconds"] for result in results for seed in result["seeds"]
        }
        return {turn: 100 * (times[method] / times["uniform"] - 1) for turn, times in spent.items()}

    return percent


def entries(preset: str, options: dict) -> list[Entry]:
    everywhere = [(task, quality) for quality in QUALITIES.values() for task in ROBOTS]

    def pairs(places, base: str, first: tuple, second: tuple) -> tuple[Cell, ...]:
        """Both methods' cells, (method, fixed alpha) each, at all places, alternating."""
        return tuple(
            cell(
                preset,
                task,
                quality,
                base,
                method,
                options,
                **({"fixed_alpha": alpha} if alpha else {}),
            )
            for task, quality in places
            for method, alpha in (first, second)
        )

    shown = []
    for base in ("bcq", "awac"):
        for first, second in (("d_e", "uniform"), ("d_q", "uniform"), ("d_e", "d_q")):
            cells = pairs(everywhere, base, (first, None), (second, None))
            shown.append(Entry(f"{first} - {second}", base, cells, paired("score_gain")))
    two = [("halfcheetah", "random"), ("halfcheetah", "medium-replay")]
    shown.append(
        Entry(
            "adaptive - fixed alpha",
            "bcq",
            pairs(two, "bcq", ("d_e", None), ("d_e", 1.0)),
            paired("score_gain"),
        )
    )
    for other in ("balanced", "online"):
        shown.append(
            Entry(
                f"d_e - {other}",
                "bcq",
                pairs(FIGURE_5, "bcq", ("d_e", None), (other, None)),
                paired("score_gain"),
            )
        )
    for method in ("d_e", "d_q"):
        shown.append(
            Entry(
                f"overhead of {method}, %", "bcq", (timing_cell(preset, options),), overhead(method)
            )
        )
    return shown


TABLE = Table(
    "otc",
    "claims",
    "claims as paired differences",
    entries,
    unit="points of normalised score",
    options=Options(),
)


def entry(row: str, base: str = "bcq") -> tuple:
    """An entry of the table above."""
    return (((row, base), None),)


PLACES = tuple(f"{quality}/{task}" for quality in QUALITIES for task in ROBOTS)
COUNTS = ("2 agents", "4 agents", "6 agents", "8 agents")
CLAIMS = [
    *(
        Claim(
            "4.1, Table 1",
            f"with {base.upper()} {distance} beats uniform sampling",
            "claims",
            entry(f"{distance} - uniform", base),
            above=0,
        )
        for base in ("bcq", "awac")
        for distance in ("d_e", "d_q")
    ),
    Claim(
        "4.1, Table 1, Figure 3",
        "OTC (d_e, BCQ) improves on the offline policies on every data set",
        "table1_scores",
        tuple(((place, "d_e+bcq"), None) for place in PLACES),
        above=0,
        each=True,
    ),
    Claim(
        "4.1, Table 1, Figure 3",
        "so does OTC (d_q, BCQ)",
        "table1_scores",
        tuple(((place, "d_q+bcq"), None) for place in PLACES),
        above=0,
        each=True,
    ),
    *(
        Claim(
            "4.1, Table 1",
            f"with {base.upper()} d_q is not better than d_e in general",
            "claims",
            entry("d_e - d_q", base),
            above=-2,
        )
        for base in ("bcq", "awac")
    ),
    Claim(
        "4.1, Table 2",
        "matching by d_e costs less than 25 % of BCQ's update",
        "claims",
        entry("overhead of d_e, %"),
        below=25,
    ),
    Claim(
        "4.1, Table 2",
        "matching by d_q costs less than 25 %",
        "claims",
        entry("overhead of d_q, %"),
        below=25,
    ),
    Claim(
        "4.2, Figure 4",
        "adaptive alpha beats a fixed one",
        "claims",
        entry("adaptive - fixed alpha"),
        above=0,
    ),
    Claim("4.3, Figure 5", "OTC beats Balanced Replay", "claims", entry("d_e - balanced"), above=0),
    Claim(
        "4.3, Figure 5",
        "OTC beats learning from online data only",
        "claims",
        entry("d_e - online"),
        above=0,
    ),
    Claim(
        "4.3, Figure 5",
        "OTC beats uniform sampling on those four data sets",
        "figure5",
        **over(
            "otc",
            ["uniform"],
            ["random/halfcheetah", "replay/halfcheetah", "medium/walker2d", "medium/hopper"],
        ),
    ),
    Claim(
        "4.4, Figure 6a",
        "OTC helps BREMEN in predator-prey",
        "figure6a",
        **over("otc", ["bremen"], ["kinematic_predator_prey"]),
        premise=Claim(
            "",
            "somebody catches the prey",
            "figure6a",
            ((("kinematic_predator_prey", "otc"), None),),
            above=0,
        ),
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
    ),
    Claim("4.6, Figure 6d", "OTC helps CQL on 5m_vs_6m", "figure6d", **over("otc", ["cql"], [MAP])),
    *(
        Claim(
            "4.7, Figure 7",
            f"OTC helps TD3+BC with {count}",
            "figure7",
            **over("otc", ["td3bc"], [count]),
        )
        for count in COUNTS
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
    Claim(
        "4.7, Figure 8",
        "OTC beats every other way of choosing rows in navigation",
        "figure8",
        **over(
            "otc",
            ("balanced_replay", "uniform", "online_only"),
            ("choice/4 agents", "choice/6 agents"),
        ),
        each=True,
    ),
]

if __name__ == "__main__":
    script.main(TABLE)
