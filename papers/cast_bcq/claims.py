"""The paper's claims: paired differences between methods on the same data set and seed, and the
ledger built on them.

In % of the way from the random to the expert return of the robot, so that robots can be averaged.
Everything comes from the cells of Tables 1 and 2, Figures 1, 5 and 6 and `ablation_observation.py`;
nothing is trained for this alone. In battles differences are of win rates, in points of per cent.
"""

from common.reporting import script
from common.reporting.claims import Claim, over
from common.reporting.tables import Entry, Table, paired
from common.running.cells import Cell
from papers.cast_bcq.config import (
    MAPS,
    MORE_TRAJECTORIES,
    QUALITIES,
    ROBOTS,
    VARIANTS,
    Options,
)
from papers.cast_bcq.experiment import battle_cell, cell, grid_cell

DECENTRALISED = ("i_bcq", "icq_ma")
CENTRALISED = ("bcq", "mabcq")


def entries(preset: str, options: dict) -> list[Entry]:
    def pairs(quality: str, first: tuple, second: tuple, **change) -> tuple[Cell, ...]:
        """Both (method, variant) on all robots, alternating; `change` of options."""
        read = options | change
        return tuple(
            cell(preset, task, quality, spec[0], read, spec[1])
            for task in ROBOTS
            for spec in (first, second)
        )

    shown = []
    for quality in QUALITIES:
        for method in (*DECENTRALISED, *CENTRALISED):
            cells = pairs(quality, ("ours", "ours"), (method, "ours"))
            shown.append(Entry(f"ours - {method}", quality, cells, paired("average_score")))
    for method in (*DECENTRALISED, *CENTRALISED):
        cells = pairs("uncoordinated", ("ours", "ours"), (method, "ours"), observation="full")
        shown.append(
            Entry(
                f"ours - {method}",
                "uncoordinated, full observation",
                cells,
                paired("average_score"),
            )
        )
    for variant in VARIANTS:
        if variant != "ours":
            cells = pairs("uncoordinated", ("ours", "ours"), ("ours", variant))
            shown.append(
                Entry(f"ours - {variant}", "uncoordinated", cells, paired("average_score"))
            )
    for method in ("i_bcq", "i_icq"):
        both = tuple(grid_cell(preset, name, {}, MORE_TRAJECTORIES) for name in ("ours", method))
        shown.append(Entry(f"ours - {method}", "grid, 1000 trajectories", both, paired("success")))
    for method in ("bc", "i_bcq", "mabcq", "icq_ma"):
        cells = tuple(
            battle_cell(preset, name, spec, {}) for name in MAPS for spec in ("ours", method)
        )
        shown.append(Entry(f"ours - {method}", "battles", cells, paired("win_rate")))
    for method in ("bc", "i_bcq"):
        cells = tuple(
            battle_cell(preset, name, spec, {}) for name in MAPS for spec in ("icq_ma", method)
        )
        shown.append(Entry(f"icq_ma - {method}", "battles", cells, paired("win_rate")))
    return shown


TABLE = Table(
    "cast_bcq",
    "claims",
    "claims as paired differences",
    entries,
    unit="points of normalised score",
    options=Options(),
)


def difference(method: str, column: str) -> tuple:
    """An entry of the table above."""
    return (((f"ours - {method}", column), None),)


ROBOT_ROWS = tuple(f"medium-expert/{robot}" for robot in ROBOTS.values())
CLAIMS = [
    Claim(
        "2.3, Figure 1",
        "ours solves the grid world",
        "figure1",
        ((("success", "ours"), None),),
        above=90,
    ),
    Claim(
        "2.3, Figure 1",
        "independent BCQ does not",
        "figure1",
        ((("success", "i_bcq"), None),),
        below=50,
    ),
    Claim(
        "2.3, Figure 1",
        "independent ICQ does not",
        "figure1",
        ((("success", "i_icq"), None),),
        below=50,
    ),
    Claim(
        "2.3, Figure 1",
        "ours beats independent BCQ where data suffice",
        "claims",
        difference("i_bcq", "grid, 1000 trajectories"),
        above=0,
    ),
    Claim(
        "2.3, Figure 1",
        "ours beats independent ICQ where data suffice",
        "claims",
        difference("i_icq", "grid, 1000 trajectories"),
        above=0,
    ),
    *(
        Claim(
            "4.1, Table 2, Figure 4",
            f"on uncoordinated data ours beats {name}",
            "claims",
            difference(key, "uncoordinated"),
            above=0,
        )
        for key, name in (
            ("bcq", "joint BCQ"),
            ("i_bcq", "I-BCQ"),
            ("mabcq", "MABCQ"),
            ("icq_ma", "ICQ-MA"),
        )
    ),
    Claim(
        "4.1, Table 2",
        "on uncoordinated data ours is best on every robot",
        "table2",
        **over("ours", ("bcq", "i_bcq", "mabcq", "icq_ma"), ROBOT_ROWS),
        each=True,
    ),
    *(
        Claim(
            "4.3.3, Table 2",
            f"on coordinated {quality} data ours beats {name}",
            "claims",
            difference(key, quality),
            above=0,
        )
        for quality in ("medium", "expert")
        for key, name in (("i_bcq", "I-BCQ"), ("icq_ma", "ICQ-MA"))
    ),
    Claim(
        "4.3.1, Figure 6",
        "without counterfactuals and subteams it is worse",
        "claims",
        difference("w/o CSAA", "uncoordinated"),
        above=0,
    ),
    Claim(
        "4.3.1, Figure 6",
        "without subteams it works well, too (within 10 points)",
        "claims",
        difference("w/o ST", "uncoordinated"),
        within=10,
    ),
    Claim(
        "4.3.1, Figure 6",
        "subteams help on Walker2d",
        "figure6",
        **over("ours", ["w/o ST"], ["walker2d_2x3"]),
    ),
    Claim(
        "4.3.2, Figure 6",
        "without clipped double Q-learning it drops",
        "claims",
        difference("w/o CD", "uncoordinated"),
        above=0,
    ),
    Claim(
        "4.3.2, Figure 6",
        "and on Walker2d above all",
        "figure6",
        **over("ours", ["w/o CD"], ["walker2d_2x3"]),
    ),
    *(
        Claim(
            "4.2, Table 1, Figure 5",
            f"in battles ours beats {name}",
            "claims",
            difference(key, "battles"),
            above=0,
        )
        for key, name in (("i_bcq", "I-BCQ"), ("mabcq", "MABCQ"), ("icq_ma", "ICQ-MA"))
    ),
    Claim(
        "4.2, Table 1",
        "ours is best on MMM, 2s3z and 10m_vs_11m",
        "table1",
        **over("ours", ("i_bcq", "mabcq", "icq_ma"), ("MMM", "2s3z", "10m_vs_11m")),
        each=True,
    ),
    Claim(
        "4.2, Table 1",
        "I-BCQ fails on MMM, 2s3z and 10m_vs_11m (below 20 %)",
        "table1",
        tuple(((name, "i_bcq"), None) for name in ("MMM", "2s3z", "10m_vs_11m")),
        below=20,
        each=True,
    ),
    Claim(
        "4.2, Table 1",
        "MABCQ fails on all maps (below 20 %)",
        "table1",
        tuple(((name, "mabcq"), None) for name in MAPS),
        below=20,
        each=True,
    ),
    Claim(
        "4.2, Table 1",
        "ICQ-MA beats I-BCQ on every map",
        "table1",
        **over("icq_ma", ["i_bcq"], MAPS),
        each=True,
    ),
]

if __name__ == "__main__":
    script.main(TABLE)
