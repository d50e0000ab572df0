"""What OTC's notes say about Table 1's four pairs and about every figure, computed from results.

The four comparisons of Table 1 (two base learners, two distances) are a family of their own here:
mean over data sets as strata, Holm over those that a preset has, and beside it on how many data
sets the mean is positive. "On every data set" cannot be decided: not even the authors' numbers, of
five seeds, do it in 22 of 34 pairs.
"""

from common.reporting import catalogue, claims, scores
from common.reporting.readme import markdown
from common.reporting.scores import CONFIDENCE
from common.reporting.stored import SHOWN_PRESETS, best_whole, committed
from papers.otc.claims import BASES, DISTANCES, places
from papers.otc.config import STANDING

# Of every figure: the column of the paper's method; all others are compared with it
FIGURES = {
    "figure3": ("d_e+bcq", "d_q+bcq"),
    "figure4": ("adaptive",),
    "figure5": ("otc",),
    "figure6a": ("otc",),
    "figure6b": ("otc",),
    "figure6c": ("otc",),
    "figure6d": ("otc",),
    "figure7": ("otc",),
    "figure8": ("adaptive", "otc"),
}


def interval(estimate: claims.Estimate) -> str:
    """mean [low, high]."""
    low, high = estimate.interval()
    return f"{estimate.mean:+.1f} [{low:+.1f}, {high:+.1f}]"


def pairs_block(_: str) -> str:
    """Table 1's four pairs, each at the largest preset at which all its data sets are committed."""
    names = [(base, distance) for base in BASES for distance in DISTANCES]
    lines: dict[tuple[str, str], list[str]] = {}
    for preset in reversed(SHOWN_PRESETS):
        lines = pairs_of(preset, names) | lines  # what a larger preset has stays
    if len(lines) < len(names):
        return "Table 1's pairs have not been run data set by data set."
    header = [
        "pair",
        "preset",
        "points, mean over data sets [95 %]",
        "p (Holm, the preset's pairs)",
        "data sets won",
        f"%, data sets with R_0 from {STANDING:g} points",
    ]
    return markdown([lines[name] for name in names], header)


def pairs_of(preset: str, names: list[tuple[str, str]]) -> dict[tuple[str, str], list[str]]:
    """The lines of the pairs, (base learner, distance), that are whole at a preset."""
    there = committed(catalogue.table("otc/claims"), preset)
    per_cent = committed(catalogue.table("otc/table1"), preset)
    if not there or not per_cent or there.undone("stale"):
        return {}
    seeds = claims.finite(there)
    samples = {name: sets for name in names if (sets := strata(seeds, *name))}
    estimates = {name: claims.estimate(sets) for name, sets in samples.items()}
    corrected = scores.holm([one.student.p(one.mean) for one in estimates.values()])
    lines = {}
    for (name, one), p in zip(estimates.items(), corrected, strict=True):
        base, distance = name
        won = sum(sample.mean() > 0 for sample in samples[name])
        lines[name] = [
            f"{distance} - uniform, {base.upper()}",
            preset,
            interval(one),
            f"{p:.2g}" + "*" * (p < 1 - CONFIDENCE),
            f"{won} of {len(samples[name])}",
            improvement(claims.finite(per_cent), seeds, base, distance),
        ]
    return lines


def strata(seeds: claims.SeedsByEntry, base: str, distance: str) -> list | None:
    """Differences to uniform sampling, seed by seed, of every data set; None without the table."""
    row = f"{base}: {distance} - uniform"
    return claims.differences(tuple(((row, place), None) for place in places(base)), seeds)


def improvement(
    percent: claims.SeedsByEntry, seeds: claims.SeedsByEntry, base: str, distance: str
) -> str:
    """Mean difference of the improvement in per cent, over data sets that move."""
    row = f"{base}: score of the offline policies"
    levels = {place: list(seeds[row, place].values()) for place in places(base)}
    moving = [place for place, level in levels.items() if sum(level) / len(level) >= STANDING]
    pairs = tuple(((place, f"{distance}+{base}"), (place, base)) for place in moving)
    found = claims.differences(pairs, percent) if pairs else None
    return f"{interval(claims.estimate(found))}, {len(moving)} sets" if found else "none moves"


def findings_block(_: str) -> str:
    """Every figure's finding, a line each."""
    return markdown(
        [[name, *finding(name)] for name in FIGURES],
        ["figure", "preset", "finding: ahead (beyond chance), behind (beyond chance)"],
    )


def finding(name: str) -> list[str]:
    """How often the paper's methods are ahead of each other column, panel by panel; beyond chance
    at 5 % each.
    """
    preset, tables = best_whole(f"otc/{name}")
    if not tables:
        return ["-", "not run"]
    (there,) = tables
    seeds = claims.finite(there)
    rows = list(dict.fromkeys(row for row, _ in seeds))
    said = []
    for ours in FIGURES[name]:
        for other in dict.fromkeys(column for _, column in seeds if column not in FIGURES[name]):
            compared = [
                sample
                for row in rows
                for sample in claims.differences((((row, ours), (row, other)),), seeds) or []
            ]
            if compared:
                said.append(f"{ours} - {other}: {counted(compared)}")
    levels = [sum(values.values()) / len(values) for values in seeds.values() if values]
    still = "" if max(levels) - min(levels) > 0 else "; all returns are equal: it says nothing"
    return [preset, "; ".join(said) + still]


def counted(samples: list) -> str:
    """ahead (beyond chance), behind (beyond chance)."""
    words = []
    for word, sign in (("ahead", 1), ("behind", -1)):
        there = [claims.estimate([sample]) for sample in samples if sign * sample.mean() > 0]
        sure = sum(one.student.p(one.mean) < 1 - CONFIDENCE for one in there if one.student.error)
        words.append(f"{word} in {len(there)} of {len(samples)} ({sure})")
    return ", ".join(words)


BLOCKS = {"pairs": pairs_block, "findings": findings_block}
