"""The cells of CAST-BCQ's tables: a cell is a method on a data set with its settings; see table2.py
for how they are used.
"""

import functools
from dataclasses import asdict
from typing import Any

from common.reporting import tables
from common.running import experiment, program, work
from common.running.cells import Cell, Layer
from common.running.sources import resolve
from envs.smac.units import simulator
from envs.tasks import num_agents
from papers.cast_bcq import data
from papers.cast_bcq.config import (
    ALWAYS_FULL,
    ARCHIVE_FULL,
    BATTLE_OPTIONS_OF,
    CHOOSING,
    MAPS,
    PERTURBED,
    PRESETS,
    READINGS,
    TRAJECTORIES,
    BattleOptions,
    GridOptions,
    Options,
    battle_layers,
    grid_layers,
    robot_layers,
)
from papers.cast_bcq.yardsticks import WAYS

SIMULATOR = simulator()
# On robots the rest of a configuration is shared by a program
OF_EACH_MEMBER = ("variant", "seeds", "quality", "uncoordinated")

TITLES = {
    "bc": "BC",
    "bcq": "joint BCQ",
    "i_bcq": "I-BCQ",
    "mabcq": "MABCQ",
    "icq_ma": "ICQ-MA",
    "i_icq": "I-ICQ",
    "ours": "CAST-BCQ",
}  # methods, for people


def with_defaults(options: dict, known) -> dict:
    """The options of a dataclass of options, with its defaults for those that are not given."""
    return {key: options.get(key, default) for key, default in asdict(known).items()}


def observed(method: str, reading: str) -> str:
    """The view of a method's agents under a reading of `Options.observation`."""
    if reading == "archive":
        return "full" if method in ARCHIVE_FULL else "own_joints_torso"
    return "full" if method in ALWAYS_FULL else reading


def cell(
    preset: str, task: str, quality: str, method: str, options: dict, variant: str = "ours"
) -> Cell:
    """A method on a robot's data set.

    Args:
        options: of the script, see `Options`; a method takes those that it knows.
        variant: key of VARIANTS, of the method "ours".
    """
    read = with_defaults(options, Options())
    what = {"task": task, "quality": quality, "method": method, "observation": "full"}
    usual = asdict(Options())
    beside = quality != "uncoordinated" or any(read[name] != usual[name] for name in READINGS)
    # Two readings at once: of another data set, and without the perturbation
    beside |= read["uncoordinated"] != usual["uncoordinated"] and (
        method in PERTURBED and read["perturbation"] != usual["perturbation"]
    )
    of_one_run = quality == "uncoordinated" and read["uncoordinated"] == "snapshots"
    rows = "one run" if of_one_run else quality
    layers = [Layer("this script", what), *robot_layers(preset, method, variant, rows, beside)]
    changes: dict[str, Any] = {"observation": observed(method, read["observation"])}
    if quality == "uncoordinated":
        layers.append(Layer("Options", {"uncoordinated": Options().uncoordinated}))
        changes["uncoordinated"] = read["uncoordinated"]
    if read["batch_size"]:
        changes["batch_size"] = read["batch_size"]
    if method in CHOOSING and read["vae_hidden"]:
        changes["hyper.vae_hidden"] = read["vae_hidden"]
    if method in PERTURBED:
        changes["hyper.perturbation"] = float(read["perturbation"])
    if method == "icq_ma":
        changes["hyper.target_weights"] = read["target_weights"]
    if method == "ours":
        changes |= {
            "hyper.others": read["others"],
            "hyper.latent_clip": read["latent_clip"],
            "variant.weight": float(read["weight"]),
            "hyper.exp_weight": read["exp_weight"],
        }
    name = variant.replace("/", "").replace(" ", "_").replace(",", "")
    words = [task, quality, method if variant == "ours" else name]
    return Cell.of("cast_bcq", preset, words, layers, changes, options.get("seeds"))


def grid_cell(preset: str, method: str, options: dict, trajectories: int = TRAJECTORIES) -> Cell:
    """A method on the grid world, on data of so many trajectories; seeds are data seeds too."""
    usual = GridOptions()
    read = with_defaults(options, usual)
    places = {"behaviour": "behaviour", "encoding": "encoding", "default": "hyper.default"}
    if method == "i_icq":
        places["target_weights"] = "hyper.target_weights"
    layers = [
        Layer("this script", {"task": "grid", "method": method}),
        *grid_layers(preset, method),
        Layer("GridOptions", {place: getattr(usual, name) for name, place in places.items()}),
    ]
    changes = {"trajectories": trajectories} | {places[name]: read[name] for name in places}
    return Cell.of("cast_bcq", preset, ["grid", method], layers, changes, options.get("seeds"))


def battle_cell(preset: str, map_name: str, method: str, options: dict) -> Cell:
    """A recurrent method on a map's multi-source data, or part of them (`Teams`)."""
    read = with_defaults(options, BattleOptions())
    usual = asdict(BattleOptions())
    names = [name for name in BATTLE_OPTIONS_OF[method] if read[name] is not None]
    beside = any(read[name] != usual[name] for name in ("teams", *names))
    what = {"task": map_name, "quality": "multi-source", "method": method}
    layers = [
        Layer("this script", what),
        *battle_layers(preset, beside),
        Layer(
            "BattleOptions",
            {
                "teams": usual["teams"],
                "hyper": {name: usual[name] for name in names if usual[name] is not None},
            },
        ),
    ]
    changes = {"teams": read["teams"], "hyper": {name: read[name] for name in names}}
    return Cell.of("cast_bcq", preset, [map_name, method], layers, changes, options.get("seeds"))


def win_rate(results: list[dict]) -> dict[int, float | None]:
    """Per seed the mean win rate of the last evaluations, in %."""
    return tables.mean_of(results, "win_rate")


def average_return(results: list[dict]) -> dict[int, float | None]:
    """Per seed the mean return of the last evaluations, the paper's "average score"."""
    return tables.mean_of(results, "average_return")


def of_seed(key: str):
    """Per seed one of the facts of a result."""
    return functools.partial(tables.mean_of, key=key)


def success(results: list[dict]) -> dict[int, float | None]:
    """Per seed 100 if the greedy team reaches the grid's goal, else 0."""
    return tables.mean_of(results, "success")


def solvable_success(results: list[dict]) -> dict[int, float | None]:
    """As `success`, of the seeds whose data reach the goal at all."""
    return {
        seed["seed"]: seed["success"]
        for result in results
        for seed in result["seeds"]
        if seed["goals_in_data"]
    }


def on_grid(cell: Cell) -> bool:
    """Whether the cell's task is the grid world."""
    return cell.config["task"] == "grid"


def in_battle(cell: Cell) -> bool:
    """Whether the cell's task is a StarCraft map."""
    return cell.config["task"] in MAPS


def program_key(cell: Cell) -> tuple:
    """Cells with equal keys can be trained together."""
    return tuple(
        sorted(
            (key, repr(value)) for key, value in cell.config.items() if key not in OF_EACH_MEMBER
        )
    )


def trained_by(cell: Cell) -> str:
    """The module that trains the cell, see `data.roots`."""
    if on_grid(cell):
        return "grid"
    return "battles" if in_battle(cell) else "training"


def train(cells: list[Cell], device: str, checkpoint, progress) -> list[dict]:
    """Trains a program of cells; simulators are loaded now."""
    build = resolve(f"papers.cast_bcq.{trained_by(cells[0])}:build")
    return program.train(build, cells, device, checkpoint, progress)


# Seconds per update, member and row of a minibatch on one core of a busy machine, by width of the
# networks: 64, and preset paper's (benchmarks/cast_bcq.py)
UNIT_COST = {
    64: {"bcq": 3e-6, "i_bcq": 1.25e-5, "mabcq": 1.85e-5, "icq_ma": 3e-6, "ours": 9.5e-6},
    400: {"bcq": 2.4e-4, "i_bcq": 7.6e-4, "mabcq": 9.4e-4, "icq_ma": 1.3e-4, "ours": 8.9e-4},
}
UPDATE_COST = 1.2e-3  # of an update and member, however small
EPISODE_COST = {"halfcheetah": 0.045, "hopper": 0.025, "walker2d": 0.025}  # of physics; two fall
ACTING_COST = 0.007  # of an episode with 20 proposals of a generator of 64

# Milliseconds per update and member of battles at hidden 32 and two lanes, relative to the map
BATTLE_COST = {"bc": 1.0, "i_bcq": 2.7, "mabcq": 3.7, "icq_ma": 2.2, "ours": 4.0}
MAP_COST = {"3s_vs_3z": 0.95, "2s3z": 1.35, "MMM": 3.3, "10m_vs_11m": 3.2}
BATTLE_UPDATE_COST = 1.5  # of an update and member, however small


def battle_cost(config: dict) -> float:
    """Estimated seconds of a cell of battles."""
    size = MAP_COST[config["task"]] * config["lanes"] / 2 * config["hyper"]["hidden"] / 32
    update = 1e-3 * (BATTLE_UPDATE_COST + BATTLE_COST[config["method"]] * size)
    playing = config["evaluations"] * config["episodes"] * 1.5e-3 * num_agents(config["task"])
    return 3 + len(config["seeds"]) * (config["updates"] * update + playing)  # 3 to load the data


def grid_cost(config: dict) -> float:
    """Estimated seconds of a cell of the grid world."""
    update = {"i_bcq": 5.5e-4, "i_icq": 5.5e-4}.get(config["method"], 1.3e-3)
    return 2 + len(config["seeds"]) * update * config["updates"]


def cost(cell: Cell) -> float:
    """Estimated seconds on one core."""
    config = cell.config
    if on_grid(cell):
        return grid_cost(config)
    if in_battle(cell):
        return battle_cost(config)
    hyper = config["hyper"]
    hidden = hyper.get("hidden", 64)
    of_width = UNIT_COST[400 if hidden > 128 else 64]
    row = of_width.get(config["method"], of_width["ours"])
    generator = (hyper.get("vae_hidden") or hidden) / 64
    if hidden > 128 and config["method"] in CHOOSING:
        row *= 0.3 + 0.7 * (generator * 64 / PRESETS["paper"]["vae_hidden"]) ** 2
        row *= 0.65 if hyper.get("others") == "data" else 1.0
    learning = config["updates"] * (UPDATE_COST + config["batch_size"] * row)
    plays = config["evaluations"]
    if config["method"] in CHOOSING:
        plays += len(WAYS) * config["last"]
    acting = ACTING_COST * hyper.get("act_samples", 0) / 20 * generator**2
    playing = plays * config["episodes"] * (EPISODE_COST[config["task"]] + acting)
    return 1 + len(config["seeds"]) * (learning + playing)


PAPER = work.Paper(
    name="cast_bcq",
    roots=data.roots,
    data=data.DATA,
    program_key=program_key,
    train=train,
    record=experiment.Recording,
    cost=cost,
    max_members={"standard": 10, "paper": 20},
)
