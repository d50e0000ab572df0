"""What CAST-BCQ's notes say of the robots' learners and of battles: every number is read from
results, from cards of policies, or from the simulator's calibration.
"""

from statistics import fmean

from common.reporting import catalogue, claims, planning, scores
from common.reporting.readme import markdown
from common.reporting.scores import Name
from common.reporting.stored import Stored, best_whole, committed
from common.running.files import read_csv
from common.running.sources import ROOT
from envs.smac import behaviour
from papers.cast_bcq import ablation_teams
from papers.cast_bcq.config import (
    CHOOSING,
    COORDINATED,
    MAPS,
    METHODS,
    PERTURBED,
    QUALITIES,
    ROBOTS,
    SMALL_MAPS,
)
from papers.cast_bcq.controls import COLUMNS
from papers.cast_bcq.experiment import TITLES

Means = dict[Name, float]
KNOWN = ("value of the data's return-to-go", "spread of proposals to actions'")
PLAYED = ("plays", "random proposal", "worst", "cloning", "plays without perturbation")
ELSEWHERE = {  # data, as `diagnosis.py` calls them, and as `controls_elsewhere.py`
    "uncoordinated, one training": ("uncoordinated, one run", "one run"),
    **{QUALITIES[quality]: (quality, QUALITIES[quality]) for quality in COORDINATED},
}
CALIBRATION = ROOT / "results" / "smac_calibration.csv"


def means_of(there: Stored) -> Means:
    """Of a table's entries that have one."""
    return {entry.name: entry.mean for entry in there.entries if entry.mean is not None}


def known_of(known: Means, row: str, method: str) -> tuple[str, str]:
    """Under `KNOWN`, of a row of `diagnosis.py` or of several."""
    share = 100 * known[row, "value"] / known[row, "return-to-go"]
    if method not in CHOOSING:
        return f"{share:.0f} %", "-"
    return f"{share:.0f} %", f"{known[row, 'proposals'] / known[row, 'actions']:.2f}"


def played_of(played: Means, row: str, bare: str, method: str) -> list[str]:
    """Under `PLAYED`.

    Args:
        row, bare: of a table of controls, with the method's perturbation and without.
    """
    if method not in CHOOSING:
        return ["-"] * len(PLAYED)
    plain = f"{played[bare, 'method']:.1f}" if method in PERTURBED else "-"
    return [*(f"{played[row, way]:.1f}" for way in COLUMNS), plain]


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
            learned = known_of(known, f"uncoordinated/{row}", method)
            points = played_of(played, row, f"{row}, no perturbation", method)
            rows.append([robot, TITLES[method], *learned, *points])
    header = ["robot", "method", *KNOWN, *PLAYED]
    said = "points between a random and an expert's return"
    return f"Preset {preset}; {said}.\n\n" + markdown(rows, header)


def over_robots(means: Means) -> Means:
    """Means of the rows that differ in their robot alone, without its name."""
    found: dict[Name, list[float]] = {}
    for (row, column), value in means.items():
        rest = "/".join(part for part in row.split("/") if part not in ROBOTS.values())
        found.setdefault((rest, column), []).append(value)
    return {name: fmean(values) for name, values in found.items()}


def elsewhere_block(_: str) -> str:
    """Of the other data and every method the same, on the mean of the robots."""
    preset, tables = best_whole("cast_bcq/diagnosis", "cast_bcq/controls_elsewhere")
    if not tables:
        return "Not run (`diagnosis.py`, `controls_elsewhere.py`)."
    known, played = (over_robots(means_of(there)) for there in tables)
    rows = []
    for data, (diagnosed, name) in ELSEWHERE.items():
        for method in METHODS:
            learned = known_of(known, f"{diagnosed}/{method}", method)
            bare = f"{name}, no perturbation/{method}"
            points = played_of(played, f"{name}/{method}", bare, method)
            rows.append([data, TITLES[method], *learned, *points])
    header = ["data", "method", *KNOWN, *PLAYED]
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
    names = ("table1", "figure5", "diagnosis_battles")
    at, tables = best_whole(*(f"cast_bcq/{name}" for name in names))
    measured = dict(zip(names, map(means_of, tables), strict=True)) if tables else None
    if measured:  # of readings what there is: they come last
        read = committed(catalogue.table("cast_bcq/ablation_battles"), at)
        measured["ablation_battles"] = means_of(read) if read else {}
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
        "cloning wins, %",
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
        return ["-"] * 9
    counted = tables["diagnosis_battles"]
    cells = [f"{tables['figure5'][name, 'bc']:.0f}"]
    for method in ("i_bcq", "mabcq"):
        allowed, available, same = (
            counted[f"{name}/{method}", column] for column in ("allowed", "available", "as cloned")
        )
        cells += [f"{allowed:.1f} of {available:.1f}", f"{same:.0f}"]
    wins = {
        method: f"{tables['table1'][name, method]:.0f} ({published[name, method][0]:.0f})"
        for method in ("i_bcq", "mabcq")
    }
    readings = tables["ablation_battles"]  # at quick not of every map
    for method, title in (("i_bcq", "I-BCQ"), ("mabcq", "MABCQ")):
        free = readings.get((name, f"{title}, threshold 0"))
        cells += [wins[method], "-" if free is None else f"{free:.0f}"]
    return cells


def teams_block(_: str) -> str:
    """What is won with the data of all teams and without the best team's, and the difference, seed
    by seed.
    """
    preset, tables = best_whole("cast_bcq/ablation_teams")
    if not tables:
        return "Not run (`ablation_teams.py`)."
    seeds = claims.finite(tables[0])
    rows = []
    for name in SMALL_MAPS:
        for column in ablation_teams.COLUMNS:
            whole, rest = ((f"{name}/{reading}", column) for reading in ablation_teams.READINGS)
            independent = claims.strata(((rest, whole),), seeds)
            if independent is None:
                continue
            wins = [f"{fmean(seeds[entry].values()):.0f}" for entry in (whole, rest)]
            gap = scores.readable(*claims.interval(*independent), sign="+")
            said = "-" if column in ablation_teams.OF_DATA else gap
            rows.append([name, TITLES.get(column, column), *wins, said])
    header = ["map", "who", *ablation_teams.READINGS, "difference [95 %]"]
    return f"Preset {preset}; % won.\n\n" + markdown(rows, header)


def budgets_block(_: str) -> str:
    """Of every kind of data how long methods were trained, and whether curves were flat."""
    preset, tables = best_whole("cast_bcq/budgets")
    if not tables:
        return "Not run (`budgets.py`)."
    known = means_of(tables[0])
    rows = []
    for data in dict.fromkeys(row.partition("/")[0] for row, _ in known):
        arms = [row for row, column in known if column == "updates" and row.startswith(f"{data}/")]
        seconds = [known[arm, "core-seconds a seed"] for arm in arms]
        spans = ["-", "-", "-"]
        if (arms[0], "surely gained") in known:
            gains = [known[arm, "gain of the last quarter"] for arm in arms]
            sure = {arm: known[arm, "surely gained"] for arm in arms}
            most = max(arms, key=lambda arm: sure[arm])
            method, comma, change = most.partition("/")[2].partition(",")
            spans = [
                f"{fmean(gains):.1f}",
                span(gains),
                f"{sure[most]:.1f} ({TITLES[method]}{comma}{change})",
            ]
        rows.append([data, f"{known[arms[0], 'updates']:.0f}", span(seconds), *spans])
    header = [
        "data",
        "updates",
        "core-seconds a seed",
        "gain of the last quarter",
        "of methods and arms",
        "most surely",
    ]
    said = "points of normalised score, in battles of win rate"
    return f"Preset {preset}; {said}.\n\n" + markdown(rows, header)


def span(values: list[float]) -> str:
    """From the least to the largest."""
    return f"{min(values):.1f} to {max(values):.1f}"


def scale_block(_: str) -> str:
    """What Table 2 takes at preset paper, by what else was read."""
    table = catalogue.table("cast_bcq/table2")
    rows = []
    options: dict = {}
    for added in ({}, {"vae_hidden": 256}, {"batch_size": 100}, {"others": "data"}):
        options |= added
        said = " ".join(f"{name}={value}" for name, value in options.items())
        seconds = planning.seconds_of(planning.cells_of([table], "paper", options))
        rows.append([f"`with paper {said}`" if said else "`with paper`", f"{seconds / 86400:.1f}"])
    return markdown(rows, ["Table 2", "days of one core, by `--list`"])


BLOCKS = {
    "robots": robots_block,
    "elsewhere": elsewhere_block,
    "budgets": budgets_block,
    "scale": scale_block,
    "battles": battles_block,
    "teams": teams_block,
}
