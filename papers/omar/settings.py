"""Which settings go with which data set: the paper's maps, update counts and presets, as data.

`released` is the map in the authors' code, `appendix` the one in the paper's appendix (facts:
README). The paper never states alpha per data set, so both readings use the released one.
"""

from dataclasses import asdict

from papers.omar.baselines import CQL, ICQ, TD3BC, ICQConfig, TD3BCConfig
from papers.omar.omar import OMAR, BackboneConfig, CQLConfig, OMARConfig

METHODS = {
    "ma_icq": (ICQ, ICQConfig),
    "ma_td3bc": (TD3BC, TD3BCConfig),
    "ma_cql": (CQL, CQLConfig),
    "omar": (OMAR, OMARConfig),
}
TASKS = ("cooperative_navigation", "predator_prey", "world")
ROBOT = "two_agent_halfcheetah"  # of Table 6
QUALITIES = ("random", "medium-replay", "medium", "expert")

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


def default_hyper(method: str, task: str, quality: str, reading: str) -> dict:
    """Hyperparameters of a method on a data set: the dataclass defaults, then the map, then the
    reading.
    """
    hyper = asdict(METHODS[method][1]())
    coefficient, alpha = data_settings(task, quality, reading)
    if "alpha" in hyper:
        hyper["alpha"] = alpha
    if "coefficient" in hyper:
        hyper["coefficient"] = coefficient
    if reading == "text":
        hyper |= TEXT_HYPER.get(method, {})
    elif task == ROBOT:
        hyper |= ROBOT_HYPER.get(method, {})
    return hyper


def default_backbone(reading: str, task: str) -> dict:
    """Backbone hyperparameters of a reading on a task."""
    values = asdict(BackboneConfig()) | (ROBOT_BACKBONE if task == ROBOT else {})
    return values | (TEXT_BACKBONE if reading == "text" else {})


PER_MEMBER = (
    "alpha",
    "coefficient",
    "mean",
    "std",
    "actor_lr",
    "critic_lr",
    "bc_weight",
)  # may differ in a program


def structure(config: dict) -> dict:
    """The part of a method's or the backbone's configuration that all members of one program share."""
    return {key: value for key, value in config.items() if key not in PER_MEMBER}
