"""The cells of OMAR's tables: a cell is a method on a data set with its settings; see table3.py for
how they are used.
"""

from collections.abc import Iterable

from common.reporting import tables
from common.running import experiment, program, work
from common.running.cells import Cell, Layer, flat, merged_pairs
from envs.particle.behaviour import DATA_NOISE, card
from envs.tasks import TASKS, num_agents
from papers.omar import landscape, timing, training
from papers.omar.config import (
    QUALITIES,
    REPEATED_EVERY,
    ROBOT,
    SWEEP_PRESETS,
    backbone_layers,
    hyper_layers,
    size_layers,
)
from papers.omar.config import TASKS as PARTICLE_TASKS

AGENTS = (1, 2, 3, 4, 5)  # on the line
COLLECTED = ("medium", "expert")  # qualities with action noise of a level that is left open
LINE_QUALITY = "medium-replay"  # of every experiment of Section 3.1


def make_cell(
    preset: str,
    task: str,
    quality: str,
    method: str,
    reading: str = "released",
    seeds: list[int] | None = None,
    backbone: dict | None = None,
    hyper: dict | None = None,
    sweep: bool = False,
    repeat_minibatches: bool = False,
    variant: str = "",
) -> Cell:
    """A method on a data set.

    Args:
        backbone, hyper: what differs from the defaults of the reading (names of the dataclass
            fields).
        sweep: a cell of a large sweep, shorter and with fewer seeds where the preset says so.
        repeat_minibatches: after every evaluation the same minibatches again, as the released code.
        variant: what follows the quality in the name of the data set (envs.particle.data.SOURCES).
    """
    what = {"task": task, "quality": quality, "method": method, "reading": reading}
    if variant:
        what["variant"] = variant
    own = [*backbone_layers(task, reading), *hyper_layers(method, task, quality, reading)]
    changes = {"backbone": backbone or {}, "hyper": hyper or {}}
    usual = merged_pairs(own)
    changed = any(usual.get(key) != value for key, value in flat(changes).items())
    varied = changed or reading != "released" or bool(variant) or repeat_minibatches
    layers = [
        Layer("this script", what | {"repeat_minibatches": repeat_minibatches}),
        *own,
        *size_layers(preset, task, quality, varied, sweep),
    ]
    words = [task, quality, method]
    if reading != "released":
        words.append(reading)
    if variant:
        words.append(variant.strip("-"))
    if repeat_minibatches:
        words.append("repeat_minibatches")
        if preset != "smoke":
            layers.append(Layer("released code", {"eval_every": REPEATED_EVERY}))
    if task == ROBOT:  # the released data flag the clock's cut as an end
        layers.append(Layer("released data", {"data_reading": {"terminal_timeouts": True}}))
    marks = ("sweep",) if sweep and preset in SWEEP_PRESETS else ()
    return Cell.of("omar", preset, words, layers, changes, seeds, marks)


def cell(preset: str, task: str, quality: str, method: str, options: dict, **changes) -> Cell:
    """A cell of a table script: `options` are the script's (reading, noise, seeds), `changes` as in
    `make_cell`.
    """
    noise = options.get("noise", DATA_NOISE)
    if quality in COLLECTED and TASKS[task].name == "particle" and noise != DATA_NOISE:
        changes["variant"] = changes.get("variant", "") + f"-noise{noise}"
    return make_cell(
        preset,
        task,
        quality,
        method,
        options.get("reading", "released"),
        options.get("seeds"),
        **changes,
    )


def particle_entries(preset: str, methods: Iterable[str], options: dict) -> list[tables.Entry]:
    """Methods on all data sets of the particle worlds, a row for each quality and task."""
    return [
        tables.Entry(f"{quality}/{task}", method, (cell(preset, task, quality, method, options),))
        for quality in QUALITIES
        for task in PARTICLE_TASKS
        for method in methods
    ]


def line_cell(preset: str, agents: int, method: str, options: dict, **changes) -> Cell:
    """A cell on the line with 1 to 5 agents, medium-replay data (Section 3.1)."""
    return cell(preset, f"spread_1d_{agents}", LINE_QUALITY, method, options, **changes)


def landscape_cell(preset: str, options: dict) -> Cell:
    """The cell behind Figure 1d: MA-CQL on the two-agent line, and its Q function."""
    base = line_cell(preset, 2, "ma_cql", options)
    return base.under(["landscape"], Layer("this script", {"landscape": True}))


def runtime_cell(preset: str, options: dict, way: str) -> Cell:
    """A cell behind the runtime claim: updates at the paper's batch size, whatever the preset.

    Args:
        way: of running them, one of `timing.WAYS`.
    """
    base = cell(preset, "cooperative_navigation", "medium", "ma_cql", options)
    batch_size = 32 if preset == "smoke" else 1024
    values = {"timing": way, "backbone": {"batch_size": batch_size}, "rounds": 60}
    return base.under(["timing", way], Layer("this script", values))


def raw_return(results: list[dict]) -> dict[int, float | None]:
    """Per seed the raw return of the last evaluation."""
    return tables.mean_of(results, "last_return")


def return_curves(results: list[dict]) -> dict[int, list[float | None]]:
    """Per seed the learning curve in raw returns; cells store scores."""
    scale = results[0]["constants"]
    span = scale["expert"] - scale["random"]
    return {
        seed: [None if one is None else scale["random"] + span * one / 100 for one in curve]
        for seed, curve in tables.stored_curves(results).items()
    }


def training_return(results: list[dict]) -> dict[int, float | None]:
    """Per seed the mean raw return over all evaluations: high where little training is needed."""
    return {
        seed: None if None in curve else sum(one or 0.0 for one in curve) / len(curve)
        for seed, curve in return_curves(results).items()
    }


def data_score(results: list[dict]) -> dict[int, float | None]:
    """Per seed the normalised score of the data's mean return: how good the behaviour was."""
    scale = results[0]["constants"]
    return {
        seed: program.score(value, scale["expert"], scale["random"])
        for seed, value in tables.mean_of(results, "data_return").items()
        if value is not None
    }


def points_over_data(results: list[dict]) -> dict[int, float | None]:
    """Per seed the last return minus the mean return of the data, in points of the score."""
    scale = results[0]["constants"]
    behaviour = {seed["seed"]: seed["data_return"] for seed in results[0]["seeds"]}
    return {
        seed: None
        if value is None
        else program.score(value - behaviour[seed], scale["expert"] - scale["random"], 0.0)
        for seed, value in raw_return(results).items()
    }


def over_data(results: list[dict]) -> dict[int, float | None]:
    """Per seed the improvement (%) over the mean return of the data: the empirical behaviour."""
    behaviour = tables.mean_of(results, "data_return")
    return {seed: gain(value, behaviour[seed]) for seed, value in raw_return(results).items()}


def over_last_policy(results: list[dict]) -> dict[int, float | None]:
    """Per seed the improvement (%) over the policy at the end of its replay data, with noise."""
    behaviour = card(results[0]["config"]["task"])["medium"]["return_mean"]
    return {
        seed: gain(value, behaviour[seed % len(behaviour)])
        for seed, value in raw_return(results).items()
    }


def over_second(results: list[dict]) -> dict[int, float | None]:
    """Per seed the improvement (%) of the first cell's return over the second's."""
    first = raw_return(results[:1])
    second = raw_return(results[1:])
    return {seed: gain(first[seed], second[seed]) for seed in first if seed in second}


def gain(value: float | None, base: float | None) -> float | None:
    """Improvement (%) of a return over another; None where one diverged."""
    if value is None or base is None:
        return None
    return 100 * (value - base) / abs(base)


def train(cells: list[Cell], device: str, checkpoint, progress) -> list[dict]:
    """Trains a program of cells; see training.py, landscape.py and timing.py."""
    config = cells[0].config
    if config.get("timing"):
        return timing.train(cells, device, checkpoint, progress)
    build = landscape.build if config.get("landscape") else training.build
    return program.train(build, cells, device, checkpoint, progress)


# Seconds per agent-update and row of a minibatch, one core (Xeon at 2.8 GHz), for the cost
# estimates
UNIT_COST = {"omar": 16e-6, "ma_cql": 11e-6, "ma_td3bc": 4.5e-6, "ma_icq": 3.5e-6, "bc": 1.5e-6}


def cost(cell: Cell) -> float:
    """Estimated seconds on one core."""
    config = cell.config
    hyper = config["hyper"]
    backbone = config["backbone"]
    row = UNIT_COST.get(config["method"], UNIT_COST["omar"])
    if config["method"] == "omar":
        samples = hyper.get("iterations", 3) * hyper.get("samples", 10)
        row *= 1 + 0.4 * (samples / 30 - 1)
    if config["task"] == ROBOT:
        row *= (backbone["hidden"] / 64) ** 2
        row *= 3 if "cql_noisy_samples" in hyper else 1
    row *= 0.3 + 0.7 * backbone["actor_updates"]
    row *= 1.3 if backbone["centralised"] else 1
    update = row * backbone["batch_size"] + 1e-4
    members = num_agents(config["task"]) * len(config["seeds"])
    return 1 + config["rounds"] * members * update


PAPER = work.Paper(
    name="omar",
    roots=training.roots,
    data=training.DATA,
    program_key=training.program_key,
    train=train,
    record=experiment.Recording,
    cost=cost,
)
