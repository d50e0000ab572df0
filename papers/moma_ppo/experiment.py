"""The cells of MOMA-PPO's tables: a cell is a method on a data set with its settings; see
table4a.py for how they are used.
"""

import functools
import math
from pathlib import Path
from typing import Any

import numpy as np

from common.reporting import tables
from common.running import experiment, program, work
from common.running.cells import Cell, Layer, defaults, read
from papers.moma_ppo import audit, models, tasks, training
from papers.moma_ppo.config import (
    DEFAULT_VARIANT,
    FOLLOWED,
    GAME_PRESETS,
    LENGTH,
    USUALLY_FOLLOWED,
    ModelRollouts,
    Options,
    OwnRollouts,
    Sizes,
    gradient_steps,
    hyper_layers,
    model_layers,
    qualities,
    seeds_of,
    sizes_of,
    sizes_of_method,
)

PRECISION = Layer("MOMA-PPO", {"inference": Options().inference})
READINGS = (  # options of MOMA-PPO on robots, by their place in the configuration
    *("inference", "combine", "uncertainty", "l_eps", "cut", "value_units"),
    "hyper.ratio",
)
MIXED = ("moma_ppo", "maiql", "maiql_ft", "moma_iql", "matd3bc")  # whose values are decomposed

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
}  # methods, for people


def game_cell(
    preset: str, setting: str, method: str, options: dict, data_seed: int = tasks.DATA_SEED
) -> Cell:
    """A method on the coordination game; all seeds share one data set."""
    sizes = GAME_PRESETS[preset]
    what = {"task": "coordination", "quality": setting, "view": "full", "method": method}
    names = ("rows", "seeds", "evaluations")
    fixed = {"data_seed": tasks.DATA_SEED, "batch_size": 64, "averaged": 1}
    layers = [
        Layer("this script", what | fixed),
        Layer(f"preset {preset}", {name: sizes[name] for name in names}, {"": Sizes}),
        *hyper_layers(preset, "coordination", method),
    ]
    changes = {"data_seed": data_seed}
    if method == "moma_ppo":
        layers += rollout_layers(preset, "coordination", length=1)
        layers.append(PRECISION)
        layers += model_layers(preset, "coordination")
        changes |= readings(options, "combine", "hyper.ratio", "hyper.mixer")
    else:
        layers.append(Layer(f"preset {preset}", {"updates": sizes["updates"]}))
    words = ["coordination", setting, method]
    return Cell.of("moma_ppo", preset, words, layers, changes, options.get("seeds"))


def cell(
    preset: str,
    task: str,
    view: str,
    quality: str,
    method: str,
    options: dict,
    variant: str = DEFAULT_VARIANT,
    length: int = LENGTH,
    world: str = "model",
    scaled_rewards: bool = True,
    seeds: list[int] | None = None,
) -> Cell:
    """A method on a robot's data set.

    Args:
        view: of the agents; "po" of the ant stands for the option `mapping`.
        variant: key of limits.VARIANTS; length, world ("model" or "simulator"): of MOMA-PPO's
            rollouts.
        scaled_rewards: of MOMA-IQL, whether the model's rewards are scaled as the data's.
        seeds: other than the preset's.
    """
    sizes = sizes_of_method(preset, task, method)
    mapped = f"po_{options['mapping']}" if view == "po" else view
    what = {"task": task, "quality": quality, "view": mapped, "method": method}
    played = ("evaluations", "averaged", "episodes", "curve_episodes")
    names = ("updates", "data_size", "batch_size", *played)
    usual = {"seeds": seeds or seeds_of(preset, task, view, quality, method)} | {
        name: sizes[name] for name in names
    }
    layers = [
        Layer("this script", what),
        Layer(f"preset {preset}", usual, {"": sizes_of(task)}),
        *hyper_layers(preset, task, method),
    ]
    words = [task, mapped, quality, method]
    changes: dict[str, Any] = {}
    if method in training.MODEL_BASED:
        layers += model_layers(preset, task)
    if method == "moma_ppo":
        layers += rollout_layers(preset, task, LENGTH)
        layers += [PRECISION, Layer("this script", {"variant": variant, "world": world})]
        words += [] if variant == DEFAULT_VARIANT else [variant.replace(",", "").replace(" ", "_")]
        words += [] if world == "model" else [world]
        changes |= {"length": length} | readings(options, *READINGS)
    if method == "maiql_ft":
        layers += fine_tuning_layers(preset, sizes)
    if method == "moma_iql":
        layers.append(defaults("rollouts", ModelRollouts()))
        layers.append(Layer("this script", {"scaled_model_rewards": scaled_rewards}))
        words += [] if scaled_rewards else ["raw_rewards"]
    if method in MIXED:
        changes |= readings(options, "hyper.mixer")
    return Cell.of("moma_ppo", preset, words, layers, changes, options.get("seeds"))


def fine_tuning_layers(preset: str, sizes: dict) -> list[Layer]:
    """MAIQL-ft's updates in the simulator, after as many as MAIQL has."""
    more = sizes["ft_updates"]
    both = {"ft_updates": more, "updates": sizes["updates"] + more}
    return [Layer(f"preset {preset}, fine-tuning", both), defaults("rollouts", OwnRollouts())]


def rollout_layers(preset: str, task: str, length: int) -> list[Layer]:
    """MOMA-PPO's epochs and rollouts."""
    sizes = sizes_of_method(preset, task, "moma_ppo")
    usual = {"length": length, "world": "model", "variant": DEFAULT_VARIANT}
    own = Options()
    names = ("combine", "uncertainty", "l_eps", "cut", "value_units")
    read = {name: getattr(own, name) for name in names}
    if task == "coordination":  # nothing is cut, and returns are 0 or 1
        read |= {"value_units": "raw"}
    epochs = {"epochs": sizes["epochs"], "updates": 0, "transitions": sizes["transitions"]}
    if task != "coordination":
        epochs["followed"] = FOLLOWED.get(preset, USUALLY_FOLLOWED)
    return [Layer(f"preset {preset}", epochs), Layer("MOMA-PPO", usual | read)]


def readings(options: dict, *places: str) -> dict:
    """Options by their place in the configuration."""
    return {place: options[place.rpartition(".")[2]] for place in places}


def distance(results: list[dict]) -> dict[int, float | None]:
    """Per seed how far the ant walks in an episode, in metres."""
    return tables.mean_of(results, "distance")


def program_key(cell: Cell) -> tuple:
    """Cells with equal keys can be trained together; world models train alone, as their members are
    an ensemble.
    """
    return training.program_key(cell) + (
        (cell.slot,) if cell.config["method"] == "world_model" else ()
    )


def networks(cell: Cell) -> list[Path]:
    """Where a world model's cell keeps its networks."""
    return [models.file_of(cell)] if cell.config["method"] == "world_model" else []


def needs(cell: Cell) -> list[Cell]:
    """The world model that a cell learns in."""
    config = cell.config
    in_model = config["method"] in training.MODEL_BASED and config.get("world") != "simulator"
    return [models.model_of(cell)] if in_model else []


def outdated(cell: Cell, result: dict) -> str:
    """Whether the world model of a cell is another one than that it learned in."""
    (model,) = needs(cell)
    made = read(model) if PAPER.state(model) == "done" else None
    same = made is None or made["model_sha256"] == result["data"].get("world_model")
    return "" if same else "it learned in another world model"


# Seconds per update and member of four agents on one core of a machine whose other cores are busy,
# at widths of 64, 128 and 256 with memories of 16, 32 and 128 and minibatches of 64, 128 and 256;
# see benchmarks/moma_ppo_costs.py
WIDTHS = (64, 128, 256)
UNIT_COST = {
    "iql": (8.5e-3, 31e-3, 370e-3),  # of one agent, see `share_of`
    "maiql": (8.5e-3, 19.2e-3, 230e-3),
    "ibc": (1.8e-3, 4.7e-3, 50e-3),
    "itd3bc": (3.5e-3, 11e-3, 146e-3),
    "matd3bc": (5e-3, 12e-3, 152e-3),
    "icql": (9.6e-3, 42e-3, 385e-3),
    "iomar": (10.5e-3, 45e-3, 415e-3),
    "moma_ppo": (6.5e-3, 12.9e-3, 86e-3),  # of 250 rows
}
ROLLED = 1.3  # steps that are rolled out for one that is learned from
LIKE = {"maiql_ft": ("maiql", 1.15), "moma_iql": ("maiql", 1.5)}  # with rollouts of their own
FLOPS = 1e11  # of a world model, a second on one core
USUAL_WIDTH = 64  # of a method that says nothing of its own
# Seconds of a step of a robot with its policies, at a width of 128
STEP_COST = {"ant": 3e-4, "reacher": 5e-5}
TOGETHER_COST = 6e-4  # beside that, of a step of all episodes that are played side by side
STARTING = 0.5  # seconds of a program before its first update
# Seconds of a gradient step on the game: ten members, networks of 64
GAME_COST = {"iql": 4.4e-3, "maiql": 9.6e-3, "ibc": 1.9e-3, "moma_ppo": 6e-3}
MODEL_STARTING = 5  # seconds of a world model's first and last look at its data


def cost(cell: Cell) -> float:
    """Estimated seconds on one core."""
    config = cell.config
    method = config["method"]
    if method == "world_model":
        return model_cost(config["model"])
    members = len(config["seeds"])
    width = config["hyper"].get("hidden", USUAL_WIDTH)
    if tasks.is_game(config):
        share = 0.6 + 0.4 * members / 10 * width / USUAL_WIDTH
        return STARTING + gradient_steps(config) * GAME_COST[method] * share
    if method == "moma_ppo":
        learning = config["epochs"] * epoch_cost(config)
    else:
        learning = config["updates"] * update_cost(config, method, config["batch_size"])
    return STARTING + members * (learning + playing_cost(config))


def playing_cost(config: dict) -> float:
    """Estimated seconds of a member's evaluations and audits on a robot."""
    width = config["hyper"].get("hidden", USUAL_WIDTH)
    step = STEP_COST[config["task"]] * max(1.0, width / 128)
    steps = 50 if config["task"] == "reacher" else 1000  # of an episode
    early = config["evaluations"] - config["averaged"]
    episodes = config["averaged"] * config["episodes"] + early * config["curve_episodes"]
    together = config["evaluations"] * TOGETHER_COST / len(config["seeds"])
    audited = config["evaluations"] * config.get("followed", 0) * 2 * max(audit.STEPS) * step
    return steps * (episodes * step + together) + audited


def update_cost(config: dict, method: str, rows: int) -> float:
    """Estimated seconds of a member's update on so many rows: on a line between measured widths, in
    logarithms.
    """
    like, factor = LIKE.get(method, (method, 1.0))
    units = np.log(UNIT_COST.get(like, UNIT_COST["maiql"]))
    width = min(max(config["hyper"].get("hidden", USUAL_WIDTH), WIDTHS[0] / 4), WIDTHS[-1])
    unit = float(np.exp(np.interp(math.log(width), np.log(WIDTHS), units)))
    usual = 250 if method == "moma_ppo" else max(width, WIDTHS[0])
    return factor * unit * rows / usual * share_of(tasks.agents(config).num_agents, width)


def share_of(agents: int, width: float) -> float:
    """Of the time of four agents: in proportion, but for narrow networks, which wait."""
    share = agents / 4
    return 0.25 + 0.75 * share if width <= WIDTHS[0] else share


def model_cost(model: dict) -> float:
    """Estimated seconds of a world model's training."""
    rows = model["members"] * model["batch_size"]
    return MODEL_STARTING + model["updates"] * (6e-3 + 6 * rows * weights_of(model) / FLOPS)


def weights_of(model: dict) -> int:
    """Of a member, nearly."""
    return model["hidden"] ** 2 * (2 * model["layers"] + model["end_layers"])


def epoch_cost(config: dict) -> float:
    """Estimated seconds of a member's epoch of MOMA-PPO: rollouts in the model, then updates."""
    hyper = config["hyper"]
    model = config["model"]
    rolled = ROLLED * config["transitions"]
    rolling = 2 * rolled * model["kept"] * weights_of(model) / FLOPS
    rows = config["transitions"] * hyper["passes"]
    update = update_cost(config, "moma_ppo", rows)
    return 0.03 + rolling + update


# Of a GPU, by arithmetic: small networks wait for kernel launches, large ones for products, which
# it does as fast as so many cores. Simulators stay on the cores beside it.
LAUNCH = 8e-6  # seconds
LAUNCHES = 800  # of an update without a model, however many members
LAUNCHES_OF_PPO = 250  # of a minibatch, an epoch's rollouts included
LAUNCHES_OF_MODELS = 500
CORES_OF_GPU = 150
CORES_BESIDE = 16


def gpu_cost(cell: Cell) -> float:
    """Projected seconds on one GPU."""
    config = cell.config
    if config["method"] == "world_model":
        waiting = config["model"]["updates"] * LAUNCHES_OF_MODELS * LAUNCH
        return max(waiting, model_cost(config["model"]) / CORES_OF_GPU)
    members = len(config["seeds"])
    if config["method"] == "moma_ppo":
        learning = config["epochs"] * (0 if tasks.is_game(config) else epoch_cost(config))
        waiting = gradient_steps(config) * LAUNCHES_OF_PPO * LAUNCH
    else:
        learning = config["updates"] * update_cost(config, config["method"], config["batch_size"])
        waiting = config["updates"] * LAUNCHES * LAUNCH
    playing = 0 if tasks.is_game(config) else members * playing_cost(config)
    return max(waiting, members * learning / CORES_OF_GPU) + playing / CORES_BESIDE


PAPER = work.Paper(
    name="moma_ppo",
    roots=training.roots,
    data=tasks.DATA,
    program_key=program_key,
    train=functools.partial(program.train, training.build),
    record=experiment.Recording,
    cost=cost,
    gpu_cost=gpu_cost,
    needs=needs,
    beside=networks,
    outdated=outdated,
    # Two teams of three seeds at standard, or one of five: what is longer than an hour or two is
    # lost with a machine that is lent for three
    max_members={"smoke": 1000, "quick": 30, "standard": 6, "paper": 3},
)


def model_entries(preset: str) -> list[tuple[str, Cell]]:
    """All robots' world models by the row they are shown in."""
    places = [
        ("reacher", "expert-mix"),
        *(("ant", quality) for quality in qualities(preset)),
    ]
    return [
        (f"{task}/{quality}", models.model_cell(preset, task, quality)) for task, quality in places
    ]
