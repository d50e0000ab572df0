"""What CAST-BCQ's notes say of the robots' learners and of battles: every number is read from
results, from cards of policies, or from the simulator's calibration.
"""

from collections.abc import Callable
from statistics import fmean

from common.reporting import catalogue
from common.reporting.readme import markdown
from common.reporting.scores import Name
from common.reporting.stored import Stored, best_whole
from common.running.files import read_csv
from common.running.sources import ROOT
from envs.smac import behaviour
from papers.cast_bcq.config import (
    CHOOSING,
    COORDINATED,
    MAPS,
    METHODS,
    PERTURBED,
    QUALITIES,
    ROBOTS,
)
from papers.cast_bcq.controls import COLUMNS
from papers.cast_bcq.experiment import TITLES

Means = dict[Name, float]
PLAYED = ("plays", "random proposal", "worst", "cloning", "plays without perturbation")
CALIBRATION = ROOT / "results" / "smac_calibration.csv"


def means_of(there: Stored) -> Means:
    """Of a table's entries that have one."""
    return {entry.name: entry.mean for entry in there.entries if entry.mean is not None}


def points_of(method: str, row: str, bare: str, value: Callable[[str, str], float]) -> list[str]:
    """What a method that chooses plays, under `PLAYED`.

    Args:
        row, bare: of a table of controls, with the method's perturbation and without.
        value: of a row and a column.
    """
    plain = f"{value(bare, 'method'):.1f}" if method in PERTURBED else "-"
    return [*(f"{value(row, way):.1f}" for way in COLUMNS), plain]


def robots_block(_: str) -> str:
    """Of every robot and method what critics know, how far proposals differ, what choosing does."""
    preset, tables = best_whole("cast_bcq/diagnosis", "cast_bcq/controls")
    if not tables:
        return "Not run (`diagnosis.py`, `controls.py`)."
    known, played = map(means_of, tables)
    rows = []
    for robot in ROBOTS.values():
        for method in METHODS:
            row = f"{robot}/{method}"
            share = 100 * known[row, "value"] / known[row, "return-to-go"]
            cells = ["-"] * 6
            if method in CHOOSING:
                spread = known[row, "proposals"] / known[row, "actions"]
                bare = f"{row}, no perturbation"
                points = points_of(method, row, bare, lambda *name: played[name])
                cells = [f"{spread:.2f}", *points]
            rows.append([robot, TITLES[method], f"{share:.0f} %", *cells])
    header = [
        "robot",
        "method",
        "value of the data's return-to-go",
        "spread of proposals to actions'",
        *PLAYED,
    ]
    return f"Preset {preset}; points between a random and an expert's return.\n\n" + markdown(
        rows, header
    )


def elsewhere_block(_: str) -> str:
    """Of the other data and every method what choosing does, on the mean of the robots."""
    preset, tables = best_whole("cast_bcq/controls_elsewhere")
    if not tables:
        return "Not run (`controls_elsewhere.py`)."
    played = means_of(tables[0])

    def mean(row: str, way: str) -> float:
        return fmean(played[f"{robot}/{row}", way] for robot in ROBOTS.values())

    rows = []
    for name, data in {
        "one run": "uncoordinated, one training",
        **{QUALITIES[quality]: QUALITIES[quality] for quality in COORDINATED},
    }.items():
        for method in CHOOSING:
            bare = f"{name}, no perturbation/{method}"
            points = points_of(method, f"{name}/{method}", bare, mean)
            rows.append([data, TITLES[method], *points])
    header = ["data", "method", *PLAYED]
    said = "points between a random and an expert's return, mean of the robots"
    return f"Preset {preset}; {said}.\n\n" + markdown(rows, header)


def scripted(map_name: str) -> float:
    """Win rate in % of the best scripted team on a map."""
    wins = [
        float(row["win_percent"])
        for row in read_csv(CALIBRATION)
        if row["map"] == map_name and row["dynamics"] == "sc2"
    ]
    return max(wins)


def battles_block(_: str) -> str:
    """Of every map what the data are and what methods choose from, beside the published rates."""
    published = catalogue.table("cast_bcq/table1").published()
    names = ("table1", "diagnosis_battles", "ablation_battles")
    at, tables = best_whole(*(f"cast_bcq/{name}" for name in names))
    measured = dict(zip(names, map(means_of, tables), strict=True)) if tables else None
    rows = []
    for name in MAPS:
        card = behaviour.card(name)
        sources = card["sources"]["multi-source"]
        wins = [100 * card["snapshots"][str(step)]["win_rate"] for step in sources]
        of_data = [
            f"{sum(wins) / len(wins):.0f}",
            f"{max(wins):.0f} (of {len(wins)})",
            f"{scripted(name):.0f}",
        ]
        rows.append([name, *of_data, *chosen_from(name, measured, published)])
    header = [
        "map",
        "data won, %",
        "best team behind them, %",
        "best script, %",
        "I-BCQ: actions allowed of available",
        "does as cloning, %",
        "MABCQ: allowed of available",
        "does as cloning, %",
        "I-BCQ wins (published)",
        "without threshold",
        "MABCQ wins (published)",
        "without threshold",
    ]
    preset = f"Preset {at}. " if measured else "Methods: not run. "
    return preset + "Data and scripts: cards, calibration.\n\n" + markdown(rows, header)


def chosen_from(name: str, tables: dict[str, Means] | None, published: dict) -> list[str]:
    """The columns of methods on a map."""
    if not tables:
        return ["-"] * 8
    counted = tables["diagnosis_battles"]
    cells = []
    for method in ("i_bcq", "mabcq"):
        allowed, available, same = (
            counted[f"{name}/{method}", column] for column in ("allowed", "available", "as cloned")
        )
        cells += [f"{allowed:.1f} of {available:.1f}", f"{same:.0f}"]
    wins = {
        method: f"{tables['table1'][name, method]:.0f} ({published[name, method][0]:.0f})"
        for method in ("i_bcq", "mabcq")
    }
    readings = tables["ablation_battles"]  # not of every map at quick
    for method, title in (("i_bcq", "I-BCQ"), ("mabcq", "MABCQ")):
        free = readings.get((name, f"{title}, threshold 0"))
        cells += [wins[method], "-" if free is None else f"{free:.0f}"]
    return cells


def budgets_block(_: str) -> str:
    """Of every kind of data how long methods were trained, and whether curves were flat."""
    preset, tables = best_whole("cast_bcq/budgets")
    if not tables:
        return "Not run (`budgets.py`)."
    known = means_of(tables[0])
    rows = []
    for data in dict.fromkeys(row.partition("/")[0] for row, _ in known):
        arms = [row for row, column in known if column == "updates" and row.startswith(f"{data}/")]
        spans = ["-", "-", "-"]
        if (arms[0], "surely gained") in known:
            gains = [known[arm, "gain of the last quarter"] for arm in arms]
            sure = {arm: known[arm, "surely gained"] for arm in arms}
            most = max(arms, key=lambda arm: sure[arm])
            method, comma, change = most.partition("/")[2].partition(",")
            spans = [
                f"{fmean(gains):.1f}",
                f"{min(gains):.1f} to {max(gains):.1f}",
                f"{sure[most]:.1f} ({TITLES[method]}{comma}{change})",
            ]
        rows.append([data, f"{known[arms[0], 'updates']:.0f}", *spans])
    header = ["data", "updates", "gain of the last quarter", "of methods and arms", "most surely"]
    said = "points of normalised score, in battles of win rate"
    return f"Preset {preset}; {said}.\n\n" + markdown(rows, header)


BLOCKS = {
    "robots": robots_block,
    "elsewhere": elsewhere_block,
    "budgets": budgets_block,
    "battles": battles_block,
}
