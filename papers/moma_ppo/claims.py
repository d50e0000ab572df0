"""The paper's claims: paired differences of scores between methods on the same data set and seed,
and the ledger.

Everything comes from the cells of Tables 3 and 4, Figure 6 and the ablations; nothing is trained
for this alone. On the ant "walked" is the difference of forward distances in metres, as scores
alone reward standing still.
"""

from common.reporting import figures, script
from common.reporting.claims import Claim, over
from common.reporting.tables import Entry, Table, paired
from common.running.cells import Cell
from envs.coordination.game import SETTINGS
from papers.moma_ppo.ablation_parts import VARIANTS
from papers.moma_ppo.config import ANT, GAME, REACHER, VIEWS, AntOptions, qualities
from papers.moma_ppo.experiment import cell, distance, game_cell
from papers.moma_ppo.figure6 import SHOWN


def alternating(first: list[Cell], second: list[Cell]) -> tuple[Cell, ...]:
    """First and second of every pair, one after the other."""
    return tuple(cell for pair in zip(first, second, strict=True) for cell in pair)


INDEPENDENT = ("ibc", "itd3bc", "icql", "iomar")
NAMES = {
    "iql": "IQL",
    "maiql": "MAIQL",
    "maiql_ft": "MAIQL-ft",
    "matd3bc": "MATD3+BC",
    "ibc": "IBC",
    "itd3bc": "ITD3+BC",
    "icql": "ICQL",
    "iomar": "IOMAR",
    "moma_ppo": "MOMA-PPO",
}
MODEL_FREE = (  # whose differences on the ant are claimed
    ("iql", "maiql"),
    *((method, "maiql") for method in INDEPENDENT),
    ("maiql", "ibc"),
    ("maiql_ft", "maiql"),
)


def ours(method: str) -> str:
    """The column of a difference to another method."""
    return f"MOMA-PPO - {method}"


def gap(first: str, second: str) -> str:
    """The column of a difference between two methods."""
    return ours(second) if first == "moma_ppo" else f"{first} - {second}"


def entries(preset: str, options: dict) -> list[Entry]:
    ants = [
        entry
        for name, view in (("fo", "full"), ("po", "po"))
        for entry in (
            *on_ant(preset, options, name, view),
            *ablated_ant(preset, options, name, view),
        )
    ]
    costs = of_observation(preset, options)
    return [*in_game(preset, options), *on_reacher(preset, options), *ants, *costs]


def in_game(preset: str, options: dict) -> list[Entry]:
    """MOMA-PPO against every other method of Table 3."""
    return [
        Entry(
            f"game, {setting}",
            ours(method),
            tuple(game_cell(preset, setting, name, options) for name in ("moma_ppo", method)),
            paired("last_score"),
        )
        for setting in SETTINGS
        for method in GAME[:-1]
    ]


def on_reacher(preset: str, options: dict) -> list[Entry]:
    """MOMA-PPO against every other method of Table 4a; IQL is centralised."""
    return [
        Entry(
            f"reacher, {row}",
            ours(method),
            tuple(
                cell(preset, "reacher", view, "expert-mix", name, options)
                for name in ("moma_ppo", method)
            ),
            paired("last_score"),
        )
        for row, view in VIEWS.items()
        for method in REACHER[:-1]
        if method != "iql" or view == "full"
    ]


def on_ant(preset: str, options: dict, name: str, view: str) -> list[Entry]:
    """MOMA-PPO against every other method of Table 4b, in score and in distance; these against each
    other; how far each walks. All data sets of the preset together.
    """

    def cells(method: str) -> list[Cell]:
        return on_sets(preset, options, view, method)

    def against(first: str, second: str, value: str = "last_score") -> Entry:
        pairs = alternating(cells(first), cells(second))
        row = f"ant, {name}" if value == "last_score" else f"ant, {name}, walked"
        return Entry(row, gap(first, second), pairs, paired(value))

    shown = [method for method in ANT if method != "iql" or view == "full"]
    listed = []
    for method in shown[:-1]:
        listed.append(against("moma_ppo", method))
        listed.append(against("moma_ppo", method, "distance"))
    others = [pair for pair in MODEL_FREE if pair[0] in shown]
    listed += [against(*pair) for pair in others]
    listed += [
        Entry(f"ant, {name}, distance", NAMES[method], tuple(cells(method)), distance)
        for method in shown
    ]
    return listed


def of_observation(preset: str, options: dict) -> list[Entry]:
    """What every method without a model scores more where its ants observe everything."""
    return [
        Entry(
            "ant, fo - po",
            NAMES[method],
            alternating(*(on_sets(preset, options, view, method) for view in ("full", "po"))),
            paired("last_score"),
        )
        for method in ("maiql", *INDEPENDENT)
    ]


def on_sets(preset: str, options: dict, view: str, method: str) -> list[Cell]:
    """A method on the ant's data sets."""
    return [cell(preset, "ant", view, quality, method, options) for quality in qualities(preset)]


def ablated_ant(preset: str, options: dict, name: str, view: str) -> list[Entry]:
    """What the parts of MOMA-PPO are worth: Figure 6's and section 6.3's ablations."""

    def ablated(**change) -> Cell:
        place = (preset, "ant", view, "full-replay", "moma_ppo", options)
        return cell(*place, **change, ablation=True)

    pairs = {}
    for variant in SHOWN[2:]:
        like = "epistemic, adaptive" if "adaptive" in variant else "epistemic"
        pairs[f"{like} - {variant}"] = (ablated(variant=like), ablated(variant=variant))
    for label, change in VARIANTS.items():
        if change:
            pairs[ours(label)] = (ablated(), ablated(**change))
    pairs["MOMA-IQL - MAIQL"] = (
        cell(preset, "ant", view, "full-replay", "moma_iql", options),
        cell(preset, "ant", view, "full-replay", "maiql", options),
    )
    row = f"ant full-replay, {name}"
    return [Entry(row, column, pair, paired("last_score")) for column, pair in pairs.items()]


TABLE = Table(
    "moma_ppo",
    "claims",
    "claims as paired differences",
    entries,
    unit="normalized score, or metres",
    decimals=2,
    options=AntOptions(),
    draw=figures.forest,
)


def ours_over(row: str, method: str) -> tuple:
    """An entry of the table above."""
    return (((row, ours(method)), None),)


def on_ants(views, *pairs: tuple[str, str]) -> tuple:
    """Entries of differences on the ant, all data sets of the preset together."""
    return tuple(((f"ant, {view}", gap(*pair)), None) for view in views for pair in pairs)


def scores_of(method: str, settings) -> tuple:
    """Entries of Table 3 by themselves."""
    return tuple(((setting, method), None) for setting in settings)


def walks(method: str, view: str) -> Claim:
    """Premise of claims on the ant: one that stands still scores 0.31, more than one that tries and
    falls.
    """
    who = NAMES[method]
    return Claim(
        "",
        f"{who}'s ant walks (1 m or more, {view.upper()}, mean of all data sets)",
        "claims",
        (((f"ant, {view}, distance", who), None),),
        above=1,
    )


WALKS = {view: walks("moma_ppo", view) for view in ("fo", "po")}
CLAIMS = [
    Claim(
        "6.1, Table 3",
        "MOMA-PPO solves the game in all settings",
        "table3",
        scores_of("moma_ppo", SETTINGS),
        above=0.9,
        each=True,
    ),
    Claim(
        "6.1, Table 3",
        "IQL, which is centralised, solves the game in all settings",
        "table3",
        scores_of("iql", SETTINGS),
        above=0.9,
        each=True,
    ),
    Claim(
        "6.1, Table 3",
        "MAIQL and IBC solve the game in the favorable setting",
        "table3",
        scores_of("maiql", ["favorable"]) + scores_of("ibc", ["favorable"]),
        above=0.9,
        each=True,
    ),
    Claim(
        "6.1, Table 3",
        "MAIQL solves the game in the neutral setting (above 0.8)",
        "table3",
        scores_of("maiql", ["neutral"]),
        above=0.8,
    ),
    Claim(
        "6.1, Table 3",
        "IBC does not solve the game in the neutral setting",
        "table3",
        scores_of("ibc", ["neutral"]),
        below=0.9,
    ),
    Claim(
        "6.1, Table 3",
        "IBC fails the game in the unfavorable setting",
        "table3",
        scores_of("ibc", ["unfavorable"]),
        below=0.5,
    ),
    Claim(
        "6.1, Table 3",
        "MAIQL fails the game in the unfavorable setting",
        "table3",
        scores_of("maiql", ["unfavorable"]),
        below=0.5,
    ),
    Claim(
        "6.1, Table 4a",
        "MOMA-PPO is on par with IQL where all observe everything (within 0.1)",
        "claims",
        ours_over("reacher, all-observant", "iql"),
        within=0.1,
    ),
    *(
        Claim(
            "6.1, Table 4a",
            f"on Reacher, {row}, MOMA-PPO beats {NAMES[method]}",
            "claims",
            ours_over(f"reacher, {row}", method),
            above=0,
        )
        for row in VIEWS
        for method in ("maiql", "matd3bc", *INDEPENDENT)
    ),
    Claim(
        "6.1, Table 4a",
        "partial observation, leader-only, hurts methods without a model more than MOMA-PPO",
        "claims",
        tuple(
            (
                ("reacher, leader-only", ours(method)),
                ("reacher, all-observant", ours(method)),
            )
            for method in REACHER[:-1]
            if method != "iql"
        ),
        above=0,
    ),
    Claim(
        "6.1, Table 4a",
        "MAIQL beats the independent learners",
        "table4a",
        **over("maiql", INDEPENDENT, tuple(VIEWS)),
    ),
    Claim(
        "6.1, Table 4a",
        "MATD3+BC beats the independent learners",
        "table4a",
        **over("matd3bc", INDEPENDENT, tuple(VIEWS)),
    ),
    Claim(
        "6.1, Table 4a",
        "IBC is the best of the independent learners",
        "table4a",
        **over("ibc", INDEPENDENT[1:], tuple(VIEWS)),
    ),
    *(
        Claim(
            "6.2, Table 4b",
            f"on the ant, {name.upper()}, MOMA-PPO beats {NAMES[method]}",
            "claims",
            ours_over(f"ant, {name}", method),
            above=0,
            premise=WALKS[name],
        )
        for name in ("fo", "po")
        for method in ("iql", "maiql", "maiql_ft", *INDEPENDENT)
        if method != "iql" or name == "fo"
    ),
    Claim(
        "6.2, Table 4b",
        "IQL is on par with MAIQL on fully observed ants (within 0.1)",
        "claims",
        on_ants(["fo"], ("iql", "maiql")),
        within=0.1,
        premise=walks("iql", "fo"),
    ),
    Claim(
        "6.2, Table 4b",
        "independent learners beat MAIQL on the ant",
        "claims",
        on_ants(("fo", "po"), *((method, "maiql") for method in INDEPENDENT)),
        above=0,
        premise=walks("maiql", "fo"),
    ),
    Claim(
        "6.2, Table 4b",
        "partial observation costs model-free methods score",
        "claims",
        tuple((("ant, fo - po", NAMES[method]), None) for method in ("maiql", *INDEPENDENT)),
        above=0,
        premise=walks("maiql", "fo"),
    ),
    Claim(
        "6.2, Table 4b",
        "partly observing, methods fare better on random data than on expert data",
        "table4b",
        tuple(
            (("po/ant-random", method), ("po/ant-expert", method))
            for method in ("maiql", *INDEPENDENT, "moma_ppo")
        ),
        above=0,
        premise=WALKS["po"],
    ),
    Claim(
        "6.2, Table 4b",
        "partly observing, MOMA-PPO does better on full-replay data than on expert data",
        "table4b",
        ((("po/ant-full-replay", "moma_ppo"), ("po/ant-expert", "moma_ppo")),),
        above=0,
        premise=WALKS["po"],
    ),
    Claim(
        "6.2, Table 4b",
        "partly observing, model-free methods are below the medium data's mean (0.8)",
        "table4b",
        tuple((("po/ant-medium", method), None) for method in ("maiql", *INDEPENDENT)),
        below=0.8,
        each=True,
        premise=walks("maiql", "fo"),
    ),
    Claim(
        "6.2, Table 4b",
        "MAIQL is below cloning on the ant",
        "claims",
        on_ants(("fo", "po"), ("maiql", "ibc")),
        below=0,
        premise=walks("ibc", "fo"),
    ),
    Claim(
        "6.2, Table 4b",
        "fine-tuning MAIQL in the simulator does not help",
        "claims",
        on_ants(("fo", "po"), ("maiql_ft", "maiql")),
        below=0,
        premise=walks("maiql", "fo"),
    ),
    Claim(
        "6.3, Figure 6",
        "epistemic penalties beat aleatoric ones without adaptive length",
        "claims",
        tuple(
            ((f"ant full-replay, {name}", f"epistemic - aleatoric {weight}"), None)
            for name in ("fo", "po")
            for weight in (1, 5)
        ),
        above=0,
        each=True,
        premise=WALKS["po"],
    ),
    Claim(
        "6.3, Figure 6",
        "with adaptive length epistemic penalties beat aleatoric ones on the partly observed ant",
        "claims",
        tuple(
            (("ant full-replay, po", f"epistemic, adaptive - aleatoric {weight}, adaptive"), None)
            for weight in (1, 5)
        ),
        above=0,
        each=True,
        premise=WALKS["po"],
    ),
    Claim(
        "6.3, Figure 6",
        "with adaptive length the two penalties are alike on the fully observed ant (within 0.1)",
        "claims",
        tuple(
            (("ant full-replay, fo", f"epistemic, adaptive - aleatoric {weight}, adaptive"), None)
            for weight in (1, 5)
        ),
        within=0.1,
        premise=WALKS["fo"],
    ),
    Claim(
        "6.3, Appendix B.2",
        "without clipping to the data's box states grow ten times as large or more",
        "ablation_parts",
        tuple(
            ((f"{name}, size", "no clipping"), (f"{name}, size", "MOMA-PPO"))
            for name in ("fo", "po")
        ),
        above=1,
    ),
    Claim(
        "6.3, Appendix B.2",
        "without clipping to the data's box rollouts of ten steps are not made",
        "ablation_parts",
        tuple(
            ((f"{name}, length", "no clipping"), (f"{name}, length", "MOMA-PPO"))
            for name in ("fo", "po")
        ),
        below=0,
    ),
    Claim(
        "6.2",
        "MAIQL in the world model (MOMA-IQL) falls below MAIQL",
        "claims",
        tuple((("ant full-replay, " + name, "MOMA-IQL - MAIQL"), None) for name in ("fo", "po")),
        below=0,
        premise=walks("maiql", "fo"),
    ),
    *(
        Claim(
            "6.3, Appendix B.2",
            says,
            "claims",
            tuple(
                (("ant full-replay, " + name, f"MOMA-PPO - {label}"), None) for name in ("fo", "po")
            ),
            premise=WALKS["po"],
            **test,
        )
        for says, label, test in (
            (
                "the ground-truth simulator gives more than the world model",
                "ground-truth simulator",
                {"below": 0},
            ),
            ("the uncertainty penalty is necessary", "no penalty", {"above": 0}),
            ("adaptive rollout length is necessary", "not adaptive", {"above": 0}),
            (
                "rollouts of 5 steps do as well as those of 10 (within 0.1)",
                "length 5",
                {"within": 0.1},
            ),
            (
                "rollouts of 50 steps do as well as those of 10 (within 0.1)",
                "length 50",
                {"within": 0.1},
            ),
        )
    ),
]

if __name__ == "__main__":
    script.main(TABLE)
