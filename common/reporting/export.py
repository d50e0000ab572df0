"""Learning curves for other programs: TensorBoard's event files, and the JSON that marl-eval reads.

    ./run_all.sh export --to marl-eval
    ./run_all.sh export --to tensorboard

Rows of a table are tasks, its columns algorithms. Both come from this machine's cells where a table
has been run here, else from the committed reference's curves and seeds CSV; entries without a
learning curve have their last score only. Entries that are stale or missing have no runs; `notes`
says which.
"""

import importlib.util
import shutil
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from common.reporting import stored
from common.reporting.scores import Name
from common.reporting.shown import data_sets_of
from common.reporting.stored import Stored
from common.reporting.tables import Table
from common.reporting.writer import read_curves
from common.running.cells import runs_folder
from common.running.files import write_json
from common.running.options import BadInput

FORMATS = ("marl-eval", "tensorboard")
METRIC = "score"
Run = tuple[str, str, int]  # row, column and seed
Points = list[tuple[int, float]]  # (round, score) in order


class Curve(NamedTuple):
    """Points (round, score) of a run, and its last score; None where it diverged."""

    points: Points
    last: float | None


def runs_of(table: Table, preset: str) -> dict[Run, Curve]:
    """Every run of a table; {} if it has not been run. Where the table's scores are means of runs
    on one data set, such a mean is a run, and its curve theirs.
    """
    there = stored.stored(table, preset)
    if not there:
        return {}
    by_entry = points_of(there) if there.source == stored.HERE else points_in(table, there)
    present = {(entry.row, entry.column): entry for entry in table.entries_at(preset)}
    runs: dict[Run, Curve] = {}
    for entry in there.entries:
        curves = by_entry.get(entry.name, {})
        sets = data_sets_of(present[entry.name]) if entry.name in present else {}
        if sets and curves.keys() <= sets.keys() and entry.seeds.keys() <= {*sets.values()}:
            curves = means_by_set(curves, sets)
        runs |= {
            (*entry.name, seed): Curve(curves.get(seed, []), last)
            for seed, last in entry.seeds.items()
        }
    return runs


def means_by_set(curves: dict[int, Points], sets: dict[int, int]) -> dict[int, Points]:
    """Mean curves of the runs on each data set, at the rounds that all of them have."""
    by_set: dict[int, list[dict[int, float]]] = {}
    for run, curve in curves.items():
        by_set.setdefault(sets[run], []).append(dict(curve))
    return {
        data: [
            (count, fmean(curve[count] for curve in of_set))
            for count in of_set[0]
            if all(count in curve for curve in of_set)
        ]
        for data, of_set in by_set.items()
    }


def points_of(there: Stored) -> dict[Name, dict[int, Points]]:
    """Learning curves of this machine's entries, by seed."""
    return {
        entry.name: {
            seed: [
                (int(count), value)
                for count, value in zip(entry.rounds, curve, strict=True)
                if value is not None
            ]
            for seed, curve in entry.curves.items()
        }
        for entry in there.entries
    }


def points_in(table: Table, there: Stored) -> dict[Name, dict[int, Points]]:
    """The same of the reference's CSV."""
    return {
        name: {
            seed: [(count, score) for count, score in points if score is not None]
            for seed, points in by_seed.items()
        }
        for name, by_seed in read_curves(there.folder / f"{table.name}.curves.csv").items()
    }


def notes(chosen: list[Table], preset: str) -> list[str]:
    """A line for every table whose runs are not all exported, or are not of the present code."""
    lines = []
    for table in chosen:
        there = stored.stored(table, preset)
        if there is None:
            continue
        undone = [*there.undone("stale"), *there.undone("missing")]
        if undone:
            count = f"{len(undone)} of {len(there.entries)} entries"
            lines.append(f"{table.slot}: {count} left out, as {undone[0].state}")
        if there.source == stored.COMMITTED:
            lines.append(f"{table.slot}: not run here; from {there.source}, {there.maker}")
    return lines


def marl_eval(table: Table, preset: str) -> dict:
    """{environment: {task: {algorithm: {run: {step: ..., "absolute_metrics": ...}}}}}, as
    marl-eval's README describes.
    """
    tasks: dict = {}
    for (row, column, seed), curve in runs_of(table, preset).items():
        points = curve.points
        if not points and curve.last is not None:
            points = [(0, curve.last)]
        steps = {
            f"step_{index}": {"step_count": count, METRIC: [value]}
            for index, (count, value) in enumerate(points)
        }
        final = {"absolute_metrics": {METRIC: [curve.last]}} if curve.last is not None else {}
        tasks.setdefault(row, {}).setdefault(column, {})[f"seed_{seed}"] = {**steps, **final}
    return {table.slot: tasks} if tasks else {}


def tensorboard(table: Table, preset: str, folder: Path) -> int:
    """Writes one event file per row, column and seed; returns their number."""
    from torch.utils.tensorboard import SummaryWriter

    shutil.rmtree(folder, ignore_errors=True)
    runs = runs_of(table, preset)
    for (row, column, seed), curve in runs.items():
        name = f"{row}/{column}".replace(" ", "_")
        with SummaryWriter(str(folder / name / f"seed_{seed}")) as events:
            for count, value in curve.points:
                events.add_scalar(METRIC, value, count)
            if curve.last is not None:
                events.add_scalar(f"last_{METRIC}", curve.last, 0)
    return len(runs)


def run(chosen: list[Table], preset: str, to: str) -> list[Path]:
    """Exports all tables that have results; returns what was written.

    Raises:
        ValueError: an unknown format, or its package is missing.
    """
    if to not in FORMATS:
        raise BadInput(f"--to is {to!r}, expected one of: {', '.join(FORMATS)}")
    if to == "tensorboard" and importlib.util.find_spec("tensorboard") is None:
        raise BadInput("--to tensorboard needs the package tensorboard: pip install tensorboard")
    written = []
    top = runs_folder() / preset / "export" / to
    for table in chosen:
        if to == "tensorboard":
            folder = top / table.paper / table.name
            written += [folder] if tensorboard(table, preset, folder) else []
            continue
        content = marl_eval(table, preset)
        if content:
            path = top / f"{table.paper}_{table.name}.json"
            write_json(path, content)
            written.append(path)
    return written
