"""What OMAR's notes say about Table 3 row by row, and about its data: every number and reason is
read from results.

Reasons are facts that stand beside a difference, not proofs: how good the data are, here and
released, what methods lose after their best evaluation, how far single runs lie apart, and what the
ablations say of the same data.
"""

from collections.abc import Callable
from dataclasses import dataclass

from common.reporting import catalogue, claims, scores
from common.reporting.readme import markdown
from common.reporting.stored import Stored, best_whole
from common.reporting.writer import read_curves
from envs.datasets import comparison
from papers.omar.config import COLUMNS, QUALITIES, TASKS, TITLES

NEAR = 10.0  # points: differences that are named


@dataclass(frozen=True)
class Row:
    """A data set of Table 3.

    Attributes:
        means, sds, published, published_sds: of every method.
        gaps: ours minus published, of the methods that differ.
        alone: the same of those that would differ if the table had no other numbers.
        data: score of the data.
        curves: of every method its learning curve, mean over runs, by round.
    """

    task: str
    quality: str
    means: dict[str, float]
    sds: dict[str, float]
    published: dict[str, float]
    published_sds: dict[str, float]
    gaps: dict[str, float]
    alone: dict[str, float]
    data: float | None
    curves: dict[str, dict[int, float]]

    @property
    def name(self) -> str:
        return f"{self.quality}/{self.task}"

    @property
    def concerned(self) -> list[str]:
        """Methods whose scores ask for a reason."""
        return [*self.gaps, *self.alone]


def rows_of(there: Stored) -> list[Row]:
    """The rows of a committed Table 3."""
    table = catalogue.table("omar/table3")
    entries = {entry.name: entry for entry in there.entries}
    published = table.published()
    words = scores.comparisons(there.entries, published, table.published_runs)
    curves = curves_of(there)
    rows = []
    for quality in QUALITIES:
        for task in TASKS:
            name = f"{quality}/{task}"
            shown = {method: entries[name, method] for method in COLUMNS}
            means = {method: entry.mean or 0.0 for method, entry in shown.items()}
            printed = {method: published[name, method] for method in COLUMNS}
            data = entries.get((name, "data"))
            gaps: dict[str, dict[str, float]] = {}
            for method in COLUMNS:
                gap = means[method] - printed[method][0]
                gaps.setdefault(words[name, method].word, {})[method] = gap
            rows.append(
                Row(
                    task,
                    quality,
                    means,
                    {method: entry.std or 0.0 for method, entry in shown.items()},
                    {method: mean for method, (mean, _) in printed.items()},
                    {method: sd or 0.0 for method, (_, sd) in printed.items()},
                    gaps.get("differs", {}),
                    gaps.get("not significant after correction", {}),
                    data.mean if data else None,
                    {method: curves.get((name, method), {}) for method in COLUMNS},
                )
            )
    return rows


def curves_of(there: Stored) -> dict[scores.Name, dict[int, float]]:
    """Mean learning curves of a committed Table 3, by round."""
    means = {}
    for name, by_seed in read_curves(there.folder / "table3.curves.csv").items():
        points: dict[int, list[float]] = {}
        for at, score in (point for curve in by_seed.values() for point in curve):
            if score is not None:
                points.setdefault(at, []).append(score)
        means[name] = {at: sum(scores) / len(scores) for at, scores in points.items()}
    return means


def rows_block(_: str) -> str:
    """Of every row of Table 3 our and the published numbers, and what is known of what differs."""
    preset, tables = best_whole("omar/table3")
    if not tables:
        return "Table 3 has not been run."
    (there,) = tables
    lines = []
    for row in rows_of(there):
        numbers = [
            f"{row.means[method]:.0f} ({row.published[method]:.0f}){'*' * (method in row.gaps)}"
            for method in COLUMNS
        ]
        lines.append([row.name, *numbers, sentence(row)])
    header = ["data", *(TITLES[name] for name in COLUMNS), f"at {preset}: what differs, and why"]
    return markdown(lines, header)


def sentence(row: Row) -> str:
    """What is known of a row."""
    gaps = "" if row.gaps else "no difference is significant"
    if row.alone:
        gaps += f"{'; ' * bool(gaps)}by itself {named(row.alone)} would be"
    return "; ".join(filter(None, [gaps, order(row), *(rule(row) for rule in RULES)]))


def named(changes: dict[str, float]) -> str:
    """Methods with signed numbers."""
    return ", ".join(f"{TITLES[method]} {change:+.0f}" for method, change in changes.items())


def order(row: Row) -> str:
    """Whether the same method is the best one."""
    ours = max(COLUMNS, key=row.means.__getitem__)
    theirs = max(COLUMNS, key=row.published.__getitem__)
    if ours == theirs:
        return f"{TITLES[ours]} is best here and there"
    return f"{TITLES[ours]} is best here, {TITLES[theirs]} there"


def of_all(row: Row) -> str:
    """Whether all methods differ one way: what they share is the task and its data."""
    if len(row.gaps) < len(COLUMNS) or len({gap > 0 for gap in row.gaps.values()}) > 1:
        return ""
    prey = "" if row.task == "cooperative_navigation" else " and the prey"
    return f"all four differ one way: they share the data{prey}"


def of_data(row: Row) -> str:
    """How good the data are."""
    theirs = comparison.released(row.task, row.quality).get("return_mean")
    if row.data is None or theirs is None:
        return ""
    return f"the data score {row.data:.0f} (released {comparison.level(row.task, theirs):.0f})"


def of_runs(row: Row) -> str:
    """Methods whose runs lie far apart, where the published ones do not."""
    wide = [
        f"{TITLES[method]} {row.sds[method]:.0f} ({row.published_sds[method]:.0f})"
        for method in row.concerned
        if row.sds[method] > max(NEAR, 2 * row.published_sds[method])
    ]
    return f"sd over runs {', '.join(wide)}" if wide else ""


def of_decay(row: Row) -> str:
    """Methods that lose what they had."""
    lost = []
    for method in row.concerned:
        curve = row.curves[method]
        peak = max(curve, key=curve.__getitem__, default=None)
        if peak is not None and curve[peak] - curve[max(curve)] > NEAR:
            lost.append(f"{TITLES[method]} from {curve[peak]:.0f} at round {peak}")
    return f"falls: {', '.join(lost)}" if lost else ""


def of_noise(row: Row) -> str:
    """What noisier actions in the data do to the methods that differ."""
    concerned = row.task == "cooperative_navigation"
    _, tables = best_whole("omar/ablation_data") if concerned else ("", [])
    means = {entry.name: entry.mean for there in tables for entry in there.entries}
    changes = {}
    for method in row.concerned:
        before, after = (
            means.get((f"{row.quality}/smooth, noise {noise}", method)) for noise in (0.1, 0.3)
        )
        if before is not None and after is not None and abs(after - before) > NEAR:
            changes[method] = after - before
    return f"noise 0.3 in the data changes {named(changes)}" if changes else ""


def of_weights(row: Row) -> str:
    """What MA-ICQ's other weights would do."""
    concerned = row.task == "cooperative_navigation" and "ma_icq" in row.concerned
    _, tables = best_whole("omar/ablation_icq") if concerned else ("", [])
    means = {
        entry.column: entry.mean
        for there in tables
        for entry in there.entries
        if entry.row == row.quality and entry.mean is not None
    }
    usual = means.pop("constant", None)
    if usual is None or not means:
        return ""
    name = max(means, key=lambda other: abs(means[other] - usual))
    change = means[name] - usual
    called = catalogue.table("omar/ablation_icq").called(name)
    return f"with weights of {called} MA-ICQ {change:+.0f}" if abs(change) > NEAR else ""


RULES: tuple[Callable[[Row], str], ...] = (of_all, of_data, of_runs, of_decay, of_noise, of_weights)


def actions_block(_: str) -> str:
    """What the data's distribution of actions does to the methods, on navigation."""
    preset, tables = best_whole("omar/ablation_data")
    if not tables:
        return "Not run yet."
    (there,) = tables
    seeds = claims.finite(there)
    rows = [row for row in dict.fromkeys(entry.row for entry in there.entries) if row != usual(row)]
    lines = [
        [row, *(change(seeds, (row, method), (usual(row), method)) for method in COLUMNS)]
        for row in rows
    ]
    return markdown(lines, [f"data (at {preset})", *(TITLES[method] for method in COLUMNS)])


def usual(row: str) -> str:
    """The data of that quality as Table 3 has them."""
    return f"{row.partition('/')[0]}/smooth, noise 0.1"


def change(seeds: claims.SeedsByEntry, name: scores.Name, base: scores.Name) -> str:
    """Of a mean against another, data set by data set, with its 95 % interval."""
    samples = claims.differences(((name, base),), seeds)
    if samples is None:
        return "-"
    mean, low, high = claims.interval(samples)
    return f"{mean:+.0f} [{low:+.0f}, {high:+.0f}]"


BLOCKS = {"rows": rows_block, "actions": actions_block}
