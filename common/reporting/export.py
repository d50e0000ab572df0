"""Learning curves for other programs: TensorBoard's event files, and the JSON that marl-eval reads.

    ./run_all.sh export --to marl-eval
    ./run_all.sh export --to tensorboard

Rows of a table are tasks, its columns algorithms. Both come from a table's curves and seeds CSV, of
this machine where it has been run here, else of the committed reference; entries without a learning
curve have their last score only.
"""

import importlib.util
import shutil
from pathlib import Path

from common.reporting import report, tables
from common.reporting.tables import Table
from common.running.cells import runs_folder
from common.running.files import read_csv, write_json

FORMATS = ("marl-eval", "tensorboard")
METRIC = "score"


def runs_of(
    table: Table, preset: str
) -> dict[tuple[str, str, int], tuple[list[tuple[int, float]], float | None]]:
    """Of every row, column and seed of a table the points (round, score) of its curve, and its last
    score; {} if not run.
    """
    found = report.stored(table, preset)
    if not found:
        return {}
    folder = found[2]
    seeds, curves = folder / f"{table.name}.seeds.csv", folder / f"{table.name}.curves.csv"
    points: dict[tuple, list] = {}
    for row in read_csv(curves) if curves.exists() else []:
        if row["score"]:
            key = row["row"], row["column"], int(row["seed"])
            points.setdefault(key, []).append((int(float(row["round"])), float(row["score"])))
    last = {
        (*name, seed): value
        for name, values in tables.read_seeds(seeds).items()
        for seed, value in values.items()
    }
    return {
        key: (points.get(key, []), None if value != value else value) for key, value in last.items()
    }


def marl_eval(table: Table, preset: str) -> dict:
    """{environment: {task: {algorithm: {run: {step: ..., "absolute_metrics": ...}}}}}, as
    marl-eval's README describes.
    """
    tasks: dict = {}
    for (row, column, seed), (points, last) in runs_of(table, preset).items():
        steps = {
            f"step_{index}": {"step_count": count, METRIC: [value]}
            for index, (count, value) in enumerate(points or [(0, last)])
            if value is not None
        }
        final = {"absolute_metrics": {METRIC: [last]}} if last is not None else {}
        tasks.setdefault(row, {}).setdefault(column, {})[f"seed_{seed}"] = steps | final
    return {table.slot: tasks} if tasks else {}


def tensorboard(table: Table, preset: str, folder: Path) -> int:
    """Writes one event file per row, column and seed; returns their number."""
    from torch.utils.tensorboard import SummaryWriter

    shutil.rmtree(folder, ignore_errors=True)
    found = runs_of(table, preset)
    for (row, column, seed), (points, last) in found.items():
        name = f"{row}/{column}".replace(" ", "_")
        with SummaryWriter(str(folder / name / f"seed_{seed}")) as writer:
            for count, value in points:
                writer.add_scalar(METRIC, value, count)
            if last is not None:
                writer.add_scalar(f"last_{METRIC}", last, 0)
    return len(found)


def run(chosen: list[Table], preset: str, to: str) -> list[Path]:
    """Exports all tables that have results; returns what was written.

    Raises:
        ValueError: an unknown format, or its package is missing.
    """
    if to not in FORMATS:
        raise ValueError(f"--to is {to!r}, expected one of: {', '.join(FORMATS)}")
    if to == "tensorboard" and importlib.util.find_spec("tensorboard") is None:
        raise ValueError("--to tensorboard needs the package tensorboard: pip install tensorboard")
    written, top = [], runs_folder() / preset / "export"
    for table in chosen:
        if to == "tensorboard":
            folder = top / "tensorboard" / table.paper / table.name
            written += [folder] if tensorboard(table, preset, folder) else []
            continue
        content = marl_eval(table, preset)
        if content:
            write_json(top / "marl-eval" / f"{table.paper}_{table.name}.json", content)
            written.append(top / "marl-eval" / f"{table.paper}_{table.name}.json")
    return written
