"""Which settings go with which data set: the paper's maps, update counts and presets, as data.

`released` is the map in the authors' code, `appendix` the one in the paper's appendix (facts:
notes.md). The paper never states alpha per data set, so both readings use the released one.
"""

from dataclasses import dataclass
from typing import Any, Literal

from common.learning.ranges import Count
from common.running.cells import Layer, defaults, merged
from envs.particle.behaviour import DATA_NOISE
from papers.omar.baselines import (
    BC,
    MACQL,
    MAICQ,
    MATD3BC,
    BCConfig,
    MAICQConfig,
    MATD3BCConfig,
)
from papers.omar.omar import OMAR, BackboneConfig, MACQLConfig, OMARConfig

METHODS = {
    "ma_icq": (MAICQ, MAICQConfig),
    "ma_td3bc": (MATD3BC, MATD3BCConfig),
    "ma_cql": (MACQL, MACQLConfig),
    "omar": (OMAR, OMARConfig),
    "bc": (BC, BCConfig),
}
COLUMNS = ("ma_icq", "ma_td3bc", "ma_cql", "omar")  # the methods of the paper's tables
# What methods are called for people, and the kind of their critics: one name stands for several
# algorithms in the literature
TITLES = {"ma_icq": "MA-ICQ", "ma_td3bc": "MA-TD3+BC", "ma_cql": "MA-CQL", "omar": "OMAR"}
CRITICS = {False: "independent critics", True: "centralised critics"}
TASKS = ("cooperative_navigation", "predator_prey", "world")
ROBOT = "two_agent_halfcheetah"  # of Table 6
QUALITIES = ("random", "medium-replay", "medium", "expert")


@dataclass(frozen=True)
class Options:
    """What OMAR's scripts can be run with."""

    reading: Literal["released", "text"] = "released"
    noise: Literal[0.1, 0.3] = DATA_NOISE  # type: ignore[valid-type]  # of medium and expert data


@dataclass(frozen=True)
class Sizes:
    """How long a cell trains, on which data, and how it is evaluated."""

    seeds: list[int]
    data_size: Literal[
        "smoke", "quick", "standard", "paper", "omar"
    ]  # "omar": the authors' own, imported
    rounds: Count
    eval_every: Count
    eval_episodes: Count
    final_episodes: Count
    repeat_minibatches: bool = False


PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {
        "seeds": [0, 1],
        "data_size": "smoke",
        "rounds": 4,
        "eval_every": 2,
        "eval_episodes": 2,
        "final_episodes": 2,
        "backbone": {"batch_size": 32},
    },
    "quick": {
        "seeds": [0, 1, 2],
        "data_size": "quick",
        "rounds": 400,
        "eval_every": 100,
        "eval_episodes": 10,
        "final_episodes": 50,
        "backbone": {"batch_size": 64},
    },
    # The paper's updates, minibatches and networks; two runs on each of the five data sets
    "standard": {
        "seeds": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
        "data_size": "standard",
        "eval_every": 100,
        "eval_episodes": 10,
        "final_episodes": 100,
        "backbone": {"batch_size": 1024},
    },
    "paper": {
        "seeds": [0, 1, 2, 3, 4],
        "data_size": "paper",
        "eval_every": 50,
        "eval_episodes": 10,
        "final_episodes": 100,
        "backbone": {"batch_size": 1024},
    },
}
# Whatever is not a method as Table 3 has it: other settings, critics, readings
VARIED_PRESETS: dict[str, dict[str, Any]] = {"standard": {"seeds": [0, 1, 2, 3, 4]}}
# The sweeps of Figures 3 and 4, whose cells are many
SWEEP_PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"rounds": 120, "seeds": [0, 1]},
    "standard": {"rounds": 801, "seeds": [0, 1, 2]},
}
# The experiments on the line. At the paper's 10,001 rounds OMAR's curve was flat from round 3,000
# on, MA-CQL's rose by 15 points more (reference of commit bb48d9e, other data)
LINE_PRESETS: dict[str, dict[str, Any]] = {"quick": {"rounds": 500}, "standard": {"rounds": 3001}}
# Two-agent HalfCheetah: episodes are forty times as long, networks larger. The paper evaluates
# every 500 rounds. A hundred times fewer updates than the paper's take larger steps.
ROBOT_PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {"eval_episodes": 1, "final_episodes": 1, "backbone": {"hidden": 32}},
    "quick": {
        "rounds": 500,
        "eval_every": 250,
        "eval_episodes": 5,
        "final_episodes": 10,
        "backbone": {"hidden": 64, "actor_lr": 1e-3, "critic_lr": 1e-3},
    },
    # A tenth of the paper's updates, with larger steps and networks of a quarter of their width: a
    # core-hour for each of the conservative methods
    "standard": {
        "seeds": [0, 1, 2, 3, 4],
        "rounds": 10_000,
        "eval_every": 1000,
        "eval_episodes": 5,
        "final_episodes": 50,
        "backbone": {"hidden": 64, "batch_size": 256, "actor_lr": 1e-3, "critic_lr": 1e-3},
    },
    "paper": {"eval_every": 5000, "backbone": {"batch_size": 256}},
}
# After so many rounds the released code evaluated, and so drew the same minibatches again
REPEATED_EVERY = 10

# (coefficient of the actor's regulariser, alpha of the conservative penalty), released code
RELEASED = {
    "cooperative_navigation": [(1.0, 0.5), (1.0, 1.0), (1.0, 5.0), (1.0, 5.0)],
    "predator_prey": [(0.9, 0.5), (0.9, 0.5), (0.7, 5.0), (0.9, 5.0)],
    "world": [(1.0, 0.5), (0.7, 1.0), (0.1, 0.5), (0.9, 5.0)],
    ROBOT: [(1.0, 1.0), (0.9, 5.0), (0.7, 1.0), (0.5, 5.0)],
}
APPENDIX_COEFFICIENTS = [0.5, 0.5, 0.7, 0.9]  # random, medium-replay, medium, expert, for all tasks

# What the paper's text says where the released code does otherwise (`reading=text`)
TEXT_BACKBONE = {
    "gamma": 0.99,
    "input_norm": False,
    "grad_clip": None,
    "action_penalty": 0.0,
    "target_noise": 0.2,
}
TEXT_HYPER = {"omar": {"sigma": "text", "squared_norm": "sum"}}
READINGS = ("released", "text")

# What the released code does otherwise on two-agent HalfCheetah. The text has one setting for all
# tasks.
ROBOT_BACKBONE = {
    "hidden": 256,
    "batch_size": 256,
    "actor_lr": 3e-4,
    "critic_lr": 3e-4,
    "tau": 0.005,
}
ROBOT_HYPER = {
    "ma_cql": {"cql_noisy_samples": 10},
    "omar": {
        "cql_noisy_samples": 10,
        "sampler": "elites",
        "iterations": 2,
        "samples": 20,
        "elites": 5,
    },
}


def names(centralised: bool = False) -> dict[str, str]:
    """Methods with the kind of their critics, for people."""
    critics = CRITICS[centralised]
    return {method: f"{title}, {critics}" for method, title in TITLES.items()} | {"bc": "BC"}


def update_rounds(task: str, quality: str) -> int:
    """Rounds (one update of every agent) behind the published numbers: environment-step counter /
    100, plus one.
    """
    if task.startswith("spread_1d"):
        return 10_001
    if task == "cooperative_navigation":
        return 6_001 if quality == "random" else 2_001
    if task == ROBOT:
        return 100_001
    if task == "predator_prey":
        return 1_001 if quality == "medium-replay" else 2_001
    return 1_001


def data_settings(task: str, quality: str, reading: str) -> tuple[float, float]:
    """(coefficient, alpha) of one data set under a reading. The line tasks use cooperative
    navigation's.
    """
    index = QUALITIES.index(quality)
    coefficient, alpha = RELEASED.get(task, RELEASED["cooperative_navigation"])[index]
    return (APPENDIX_COEFFICIENTS[index] if reading == "text" else coefficient), alpha


def hyper_layers(method: str, task: str, quality: str, reading: str) -> list[Layer]:
    """Hyperparameters of a method on a data set: the dataclass, the released map, the reading."""
    own = METHODS[method][1]()
    coefficient, alpha = data_settings(task, quality, reading)
    per_data = {"coefficient": coefficient, "alpha": alpha}
    layers = [
        defaults("hyper", own),
        Layer(
            "appendix, alpha released" if reading == "text" else "released map per data set",
            {"hyper": {key: value for key, value in per_data.items() if hasattr(own, key)}},
        ),
    ]
    if reading == "text":
        layers.append(Layer("reading text", {"hyper": TEXT_HYPER.get(method, {})}))
    elif task == ROBOT:
        layers.append(Layer("released code, HalfCheetah", {"hyper": ROBOT_HYPER.get(method, {})}))
    return layers


def backbone_layers(task: str, reading: str) -> list[Layer]:
    """The backbone on a task: the dataclass, the released values for the robot, the reading."""
    layers = [defaults("backbone", BackboneConfig())]
    if task == ROBOT:
        layers.append(Layer("released code, HalfCheetah", {"backbone": ROBOT_BACKBONE}))
    if reading == "text":
        layers.append(Layer("reading text", {"backbone": TEXT_BACKBONE}))
    return layers


def size_layers(
    preset: str, task: str, quality: str, varied: bool = False, sweep: bool = False
) -> list[Layer]:
    """What a preset decides for a task.

    Args:
        varied: of a cell that is not a method as Table 3 has it.
        sweep: of a cell of a sweep.
    """
    layers = [
        Layer("updates behind the paper's numbers", {"rounds": update_rounds(task, quality)}),
        Layer(f"preset {preset}", PRESETS[preset], {"": Sizes}),
    ]
    if varied:
        layers.append(Layer(f"preset {preset}, varied", VARIED_PRESETS.get(preset, {})))
    if sweep:
        layers.append(Layer(f"preset {preset}, sweeps", SWEEP_PRESETS.get(preset, {})))
    if task.startswith("spread_1d"):
        layers.append(Layer(f"preset {preset}, line", LINE_PRESETS.get(preset, {})))
    if task == ROBOT:
        layers.append(Layer(f"preset {preset}, HalfCheetah", ROBOT_PRESETS[preset]))
    return layers


def default_hyper(method: str, task: str, quality: str, reading: str) -> dict:
    """Hyperparameters of a method on a data set under a reading."""
    return merged(hyper_layers(method, task, quality, reading)).get("hyper", {})


PER_MEMBER = (
    "alpha",
    "coefficient",
    "mean",
    "std",
    "actor_lr",
    "critic_lr",
    "bc_weight",
    "policy_temperature",
)  # may differ in a program


def structure(config: dict) -> dict:
    """The values of a method or the backbone that all members of one program share."""
    return {key: value for key, value in config.items() if key not in PER_MEMBER}
