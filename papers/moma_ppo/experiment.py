"""The cells of MOMA-PPO's tables: a cell is a method on a data set with its settings; see
table4a.py for how they are used.
"""

from tqdm import tqdm

from common.reporting import tables
from common.running import experiment, work
from common.running.cells import Cell
from envs import datasets
from papers.moma_ppo import models, tasks, training
from papers.moma_ppo.settings import GAME_PRESETS, hyper, model_config, preset_of

OPTIONS = {"combine": "paper", "uncertainty": "state", "ratio": "joint", "mixer": "free"}
ANT_OPTIONS = OPTIONS | {"mapping": "aligned"}
LENGTH = 10  # steps of a rollout
DEFAULT_VARIANT = "epistemic, adaptive"


def game_cell(
    preset: str, setting: str, method: str, options: dict, data_seed: int = tasks.DATA_SEED
) -> Cell:
    """A method on the coordination game; all seeds share one data set."""
    values, seeds = GAME_PRESETS[preset], options.get("seeds")
    config = {
        "task": "coordination",
        "quality": setting,
        "view": "full",
        "method": method,
        "rows": values["rows"],
        "data_seed": data_seed,
        "hyper": hyper(
            "coordination",
            method,
            values["small"],
            {"minibatch": 64, "lr": 1e-3} if method == "moma_ppo" else {},
        ),
        "evaluations": values["evaluations"],
        "seeds": list(seeds or values["seeds"]),
        "batch_size": 64,
    }
    if method == "moma_ppo":
        config |= {
            "epochs": values["epochs"],
            "updates": 0,
            "transitions": values["transitions"],
            "length": 1,
            "world": "model",
            "variant": DEFAULT_VARIANT,
            "uncertainty": "state",
            "combine": options["combine"],
            "model": model_config("coordination", values),
        }
        config["hyper"] |= {key: options[key] for key in ("ratio", "mixer")}
    else:
        config["updates"] = values["updates"]
    other = [] if data_seed == tasks.DATA_SEED else [f"data_seed={data_seed}"]
    parts = [
        "coordination",
        setting,
        method,
        *other,
        *named(config, options, seeds, values["seeds"]),
    ]
    return Cell("moma_ppo", preset, "/".join(parts), config)


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
) -> Cell:
    """A method on a robot's data set.

    Args:
        view: of the agents; "po" of the ant stands for the option `mapping`.
        variant: key of settings.VARIANTS; length, world ("model" or "simulator"): of MOMA-PPO's
            rollouts.
        scaled_rewards: of MOMA-IQL, whether the model's rewards are scaled as the data's.
    """
    values, seeds = preset_of(preset, task), options.get("seeds")
    mapped = f"po_{options['mapping']}" if view == "po" else view
    config = {
        "task": task,
        "quality": quality,
        "view": mapped,
        "method": method,
        "hyper": hyper(task, method, values["small"], values["ppo"]),
        "seeds": list(seeds or values["seeds"]),
        "updates": values["updates"],
    } | {key: values[key] for key in ("data_size", "evaluations", "episodes", "batch_size")}
    parts = [task, mapped, quality, method]
    if method in training.MODEL_BASED:
        config["model"] = model_config(task, values)
    if method == "moma_ppo":
        config |= {
            "epochs": values["epochs"],
            "updates": 0,
            "transitions": values["transitions"],
            "length": length,
            "world": world,
            "variant": variant,
            "combine": options["combine"],
            "uncertainty": options["uncertainty"],
        }
        config["hyper"] |= {key: options[key] for key in ("ratio", "mixer")}
        parts += [] if variant == DEFAULT_VARIANT else [variant.replace(",", "").replace(" ", "_")]
        parts += [] if length == LENGTH else [f"length={length}"]
        parts += [] if world == "model" else [world]
    if method == "maiql_ft":
        config |= {
            "ft_updates": values["ft_updates"],
            "updates": values["updates"] + values["ft_updates"],
        }
    if method == "moma_iql":
        config["scaled_model_rewards"] = scaled_rewards
        parts += [] if scaled_rewards else ["raw_rewards"]
    if method in ("maiql", "maiql_ft", "moma_iql", "matd3bc"):
        config["hyper"]["mixer"] = options["mixer"]
    return Cell(
        "moma_ppo",
        preset,
        "/".join([*parts, *named(config, options, seeds, values["seeds"])]),
        config,
    )


def named(config: dict, options: dict, seeds, usual: list[int]) -> list[str]:
    """Parts of a slot for options that are not the defaults and that the cell knows."""
    known = {key for key in OPTIONS if key in config or key in config["hyper"]}
    parts = [
        f"{key}={options[key]}" for key in OPTIONS if key in known and options[key] != OPTIONS[key]
    ]
    if seeds and list(seeds) != usual:
        parts.append("seeds=" + "-".join(map(str, seeds)))
    return parts


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


def files(cell: Cell) -> dict:
    """The cell's data set, as `envs.datasets.files` says; the game's is drawn when it is needed."""
    config = cell.config
    if tasks.is_game(config):
        return {}
    return datasets.files(config["task"], config["quality"], [tasks.DATA_SEED], config["data_size"])


def prepare(cell: Cell) -> None:
    """Builds the cell's data set if it is missing."""
    tasks.prepare(cell, tqdm.write)


# Seconds per update and member on one core at hidden 64, memory 16, batch 128, and per agent; see
# benchmarks/moma_ppo.py
UNIT_COST = {
    "iql": 4e-3,
    "maiql": 4e-3,
    "maiql_ft": 5e-3,
    "ibc": 1.2e-3,
    "matd3bc": 2.5e-3,
    "itd3bc": 2e-3,
    "icql": 6e-3,
    "iomar": 7e-3,
    "moma_iql": 8e-3,
}


def cost(cell: Cell) -> float:
    """Estimated seconds on one core."""
    config, method = cell.config, cell.config["method"]
    if method == "world_model":
        model = config["model"]
        flops = (
            model["members"]
            * model["batch_size"]
            * model["hidden"] ** 2
            * (2 * model["layers"] + model["end_layers"])
            * 6
        )
        return 3 + model["updates"] * (2e-3 + flops / 4e10)
    members, view = len(config["seeds"]), tasks.agents(config)
    agents, wide = view.num_agents, config["hyper"]["hidden"] / 64
    if tasks.is_game(config):
        steps = config["epochs"] * 40 if method == "moma_ppo" else config["updates"]
        return 1 + steps * (1.5e-3 + members * 1e-4 * wide)
    evaluated = (
        members
        * config["evaluations"]
        * config["episodes"]
        * (50 if config["task"] == "reacher" else 1000)
        * 1e-4
        * agents
    )
    work_ = max(0.3, wide) ** 2 * (1 if wide <= 1 else 0.6)
    if method == "moma_ppo":
        count = config["transitions"] // config["hyper"]["minibatch"] * config["hyper"]["passes"]
        step = agents * config["hyper"]["minibatch"] / 250 * 3e-3 * work_
        model = config["model"]
        rolling = (
            config["transitions"]
            * model["kept"]
            * model["hidden"] ** 2
            * (2 * model["layers"] + 2)
            * 2
            / 4e10
        )
        return (
            2
            + evaluated
            + members * config["epochs"] * (count * step + 0.1 * agents * work_ + rolling)
        )
    return (
        2
        + evaluated
        + members
        * config["updates"]
        * UNIT_COST[method]
        / 2
        * agents
        * work_
        * config["batch_size"]
        / 128
    )


PAPER = work.Paper(
    name="moma_ppo",
    sources=lambda cell: training.SOURCES,
    program_key=program_key,
    recipes=tasks.recipes,
    prepare=prepare,
    train=training.train,
    record=experiment.record_cell,
    cost=cost,
    files=files,
    max_members={"smoke": 1000, "quick": 30, "paper": 3},
)


def model_entries(preset: str) -> list[tuple[str, Cell]]:
    """All robots' world models by the row they are shown in."""
    places = [
        ("reacher", "expert-mix"),
        *(("ant", quality) for quality in ("random", "medium", "full-replay", "expert")),
    ]
    return [
        (f"{task}/{quality}", models.model_cell(preset, task, quality)) for task, quality in places
    ]
