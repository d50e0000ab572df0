"""Which settings go with which experiment: the paper's Table 3, the constants of the base learners,
tasks, presets.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from common.learning.bcq import BCQ, BCQConfig
from common.learning.ranges import Count, NotNegative, Share
from common.learning.td3bc import TD3BC, TD3BCConfig
from common.running.cells import Layer, defaults
from papers.otc.balanced import BalancedConfig
from papers.otc.baselines import AWAC, AWACConfig
from papers.otc.bremen import BREMEN, BREMENConfig
from papers.otc.cql import DiscreteCQL, DiscreteCQLConfig
from papers.otc.embedding import EmbeddingConfig
from papers.otc.tuning import Normaliser, TuningConfig

BASES = {
    "bcq": (BCQ, BCQConfig),
    "awac": (AWAC, AWACConfig),
    "bremen": (BREMEN, BREMENConfig),
    "cql": (DiscreteCQL, DiscreteCQLConfig),
    "td3bc": (TD3BC, TD3BCConfig),
}
ROBOTS = ("halfcheetah", "walker2d", "hopper")
SHIFTING = "shifting_navigation"
QUALITIES = {
    "random": "random",
    "replay": "medium-replay",
    "medium": "medium",
}  # the paper's names and ours

# Table 3. What it does not give is from the base learner's own code.
HYPER = {
    "bcq": {"hidden": 64, "actor_lr": 1e-4, "critic_lr": 1e-4, "vae_lr": 1e-4},
    "awac": {"hidden": 64, "actor_lr": 1e-4, "critic_lr": 5e-4},
    "td3bc": {"hidden": 256, "lr": 3e-4},
    "bremen": {"hidden": 256, "actor_lr": 1e-4, "critic_lr": 5e-4},
    "cql": {"hidden": 256, "critic_lr": 1e-4},
}
TUNING_UPDATES = {
    "bcq": 4000,
    "awac": 4000,
    "td3bc": 2000,
    "bremen": 2000,
    "cql": 2000,
}  # L, per deployment
OFFLINE_UPDATES = {
    "bcq": 200_000,
    "awac": 200_000,
    "td3bc": 100_000,
    "bremen": 100_000,
    "cql": 100_000,
}  # not given in the paper


@dataclass(frozen=True)
class Options:
    """Readings of what the paper leaves open, which scripts can be run with."""

    normaliser: Normaliser = TuningConfig.normaliser
    replacement: bool = TuningConfig.replacement


@dataclass(frozen=True)
class Sizes:
    """How long a cell trains, on which data, and how it is evaluated."""

    seeds: list[int]
    data_size: Literal["smoke", "quick", "paper"]
    deployments: Count
    offline_updates: Count
    tuning_updates: Count
    eval_episodes: Count
    alpha: NotNegative  # the exponent that Eq. 4 starts from
    adaptive: bool  # whether Eq. 4 changes it
    deployment_share: Share  # rows that a deployment brings, in offline rows


@dataclass(frozen=True)
class ShiftingSizes(Sizes):
    """The same of shifting navigation."""

    shift: tuple[NotNegative, NotNegative]  # beta at the first and the last deployment


@dataclass(frozen=True)
class RobotSizes(Sizes):
    """The same of robots, for which data of one's own can be imported."""

    data_size: Literal["smoke", "quick", "paper", "d4rl", "minari"]  # type: ignore[assignment]


# A method is how rows are chosen: strategy, initial exponent, whether Eq. 4 adapts it
METHODS = {
    "d_e": ("embedding", 1.0, True),
    "d_q": ("value", 1.0, True),
    "uniform": ("uniform", 0.0, False),
    "online": ("online", 0.0, False),
    "balanced": ("balanced", 0.0, False),
}

PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {
        "seeds": [0, 1], "data_size": "smoke", "deployments": 2, "offline_updates": 3,
        "tuning_updates": 2,
        "eval_episodes": {"robots": 1, "points": 1}, "lr": None, "hidden": 16,
        "bcq": {"act_samples": 3}, "bremen": {"rollouts": 4, "iterations": 2},
        "tuning": {
            "candidates": 16, "pool": 24, "batch_size": 8, "value_samples": 2, "distance_draws": 2,
        },
        "embedding": {"updates": 3, "batch_size": 16}, "balanced": {"batch_size": 16, "hidden": 32},
    },
    "quick": {
        "seeds": [0, 1, 2], "data_size": "quick", "deployments": 5, "tuning_updates": 100,
        "offline_updates": {"bcq": 5000, "awac": 5000, "td3bc": 1500, "bremen": 1500, "cql": 1500},
        "eval_episodes": {"robots": 3, "points": 40}, "lr": 2e-3, "hidden": 64,
        "bcq": {"act_samples": 10, "target_samples": 4}, "bremen": {"rollouts": 40},
        "tuning": {
            "candidates": 256, "pool": 1000, "batch_size": 64, "value_samples": 2,
            "distance_draws": 10,
        },
        "embedding": {"updates": 1000, "batch_size": 64},
        "balanced": {"batch_size": 64, "hidden": 64},
    },
    "paper": {
        "seeds": [0, 1, 2, 3, 4], "data_size": "paper", "deployments": 10, "offline_updates": None,
        "tuning_updates": None,
        "eval_episodes": {"robots": 20, "points": 100}, "lr": None, "hidden": None, "tuning": {},
        "embedding": {}, "balanced": {},
    },
}  # fmt: skip
# A placeholder, until the protocol that decides the paper's claims is known
PRESETS["standard"] = PRESETS["quick"]


def updates_of(numbers: dict[str, int], base: str) -> int:
    """A number of updates by base learner; BCQ's for one that the paper does not have."""
    return numbers.get(base, numbers["bcq"])


def size_layer(preset: str, base: str, task: str) -> Layer:
    """How long a base learner trains at a preset, and how it is evaluated on a task."""
    sizes = PRESETS[preset]
    offline = sizes["offline_updates"]
    if isinstance(offline, dict):
        offline = updates_of(offline, base)
    lengths = {
        "seeds": sizes["seeds"],
        "data_size": sizes["data_size"],
        "deployments": sizes["deployments"],
        "offline_updates": offline or updates_of(OFFLINE_UPDATES, base),
        "tuning_updates": sizes["tuning_updates"] or updates_of(TUNING_UPDATES, base),
        "eval_episodes": sizes["eval_episodes"]["robots" if task in ROBOTS else "points"],
    }
    kind = ShiftingSizes if task == SHIFTING else RobotSizes if task in ROBOTS else Sizes
    return Layer(f"preset {preset}", lengths, {"": kind})


def deployment_layer(task: str) -> Layer:
    """What a deployment brings, at every preset."""
    given: dict[str, Any] = {"deployment_share": 0.01}
    if task == SHIFTING:
        given["shift"] = [0.1, 0.2]
    return Layer("the paper's experiments", given)


def hyper_layers(preset: str, base: str) -> list[Layer]:
    """The base learner: its own code's constants, the paper's Table 3, the preset."""
    sizes = PRESETS[preset]
    own = BASES[base][1]()
    known = asdict(own)
    changed: dict[str, Any] = {}
    if sizes["lr"]:  # a hundred times fewer updates than the paper's take larger steps
        changed |= {key: sizes["lr"] for key in known if key.endswith("lr")}
    if sizes["hidden"] and "hidden" in known:
        changed["hidden"] = sizes["hidden"]
    return [
        defaults("hyper", own),
        Layer("Table 3", {"hyper": HYPER.get(base, {})}),
        Layer(f"preset {preset}", {"hyper": changed | sizes.get(base, {})}),
    ]


def tuning_layers(preset: str, base: str) -> list[Layer]:
    """What chooses rows: matching, the embedding behind d_e, and Balanced Replay."""
    sizes = PRESETS[preset]
    hidden = sizes["hidden"] or HYPER.get(base, HYPER["bcq"])["hidden"]
    groups = ("tuning", "embedding", "balanced")
    return [
        defaults("tuning", TuningConfig()),
        defaults("embedding", EmbeddingConfig()),
        defaults("balanced", BalancedConfig()),
        Layer("as wide as the learner", {"embedding": {"hidden": hidden}}),
        Layer(f"preset {preset}", {group: sizes[group] for group in groups}),
    ]


def layers(preset: str, base: str, task: str = ROBOTS[0]) -> list[Layer]:
    """Everything a preset decides for a base learner on a task."""
    sizes = size_layer(preset, base, task)
    rest = [*hyper_layers(preset, base), *tuning_layers(preset, base)]
    return [sizes, deployment_layer(task), *rest]
