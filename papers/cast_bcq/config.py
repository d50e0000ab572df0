"""Methods, tasks and presets of CAST-BCQ: which settings go with which experiment."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from common.learning.bcq import BCQConfig
from common.learning.ranges import Count, NotNegative, Positive, Share
from common.running.cells import Layer, defaults
from papers.cast_bcq.baselines import ICQMAConfig, MABCQConfig, TargetWeights
from papers.cast_bcq.cast import CASTConfig, Others, Variant
from papers.cast_bcq.discrete import DiscreteConfig
from papers.cast_bcq.discrete_baselines import DiscreteICQConfig
from papers.cast_bcq.discrete_baselines import TargetWeights as DiscreteWeights
from papers.cast_bcq.recurrent import Default, RecurrentConfig

ROBOTS = {
    "halfcheetah": "halfcheetah_2x3",
    "hopper": "hopper_3x1",
    "walker2d": "walker2d_2x3",
}  # ours, and the table's
QUALITIES = {"uncoordinated": "medium-expert", "medium": "medium-medium", "expert": "expert-expert"}
COORDINATED = ("medium", "expert")
ONE_RUN = {"uncoordinated": "snapshots"}  # uncoordinated data of one training
DATA: dict[str, tuple[str, dict]] = {  # quality, and what is read otherwise
    "uncoordinated": ("uncoordinated", {}),
    "uncoordinated, one run": ("uncoordinated", ONE_RUN),
    **{quality: (quality, {}) for quality in COORDINATED},
}
METHODS: dict[str, tuple[str, type]] = {  # on the robots
    "bcq": ("papers.cast_bcq.proposing:ProposingBCQ", BCQConfig),
    "i_bcq": ("papers.cast_bcq.proposing:ProposingBCQ", BCQConfig),
    "mabcq": ("papers.cast_bcq.baselines:MABCQ", MABCQConfig),
    "icq_ma": ("papers.cast_bcq.baselines:ICQMA", ICQMAConfig),
    "ours": ("papers.cast_bcq.agents:ContinuousCAST", CASTConfig),
}
ALWAYS_FULL = ("bcq", "mabcq")  # they need the joint observation, also in execution
DECENTRALISED = ("i_bcq", "icq_ma")
PERTURBED = ("bcq", "i_bcq", "mabcq")
CHOOSING = (*PERTURBED, "ours")  # among proposals of a generator
ARCHIVE_FULL = (*ALWAYS_FULL, "ours")  # saw everything where the authors' archive ran
VARIANTS = {
    "ours": Variant(),
    "w/o CSAA": Variant(masking=False, baseline=False),
    "w/o CSAA, masked": Variant(baseline=False),
    "w/o ST": Variant(masking=False),
    "w/o CD": Variant(double=False),
}
MAPS = ("3s_vs_3z", "MMM", "2s3z", "10m_vs_11m")  # the first has three agents, two have ten
SMALL_MAPS = ("3s_vs_3z", "2s3z")  # a cell takes two fifths of the others' time
Teams = Literal["all", "without_best"]  # of those that a map's data are from
BATTLE_METHODS = ("i_bcq", "mabcq", "icq_ma", "ours")


@dataclass(frozen=True)
class Options:
    """What the robots' scripts can be run with; `others` and what follows are CAST-BCQ's own."""

    # "archive": CAST-BCQ sees everything, the other decentralised methods own joints and torso
    observation: Literal["own_joints", "own_joints_torso", "archive", "full"] = "full"
    # Uncoordinated agents play policies of different trainings, or different snapshots of one
    uncoordinated: Literal["runs", "snapshots"] = "runs"
    perturbation: NotNegative = BCQConfig.perturbation  # of BCQ, I-BCQ and MABCQ
    target_weights: TargetWeights = ICQMAConfig.target_weights
    vae_hidden: Count | None = None  # of all generators; None for the preset's
    batch_size: Count | None = None  # of all methods; None for the preset's
    others: Others = CASTConfig.others
    latent_clip: Positive = CASTConfig.latent_clip
    weight: Share = Variant.weight
    exp_weight: bool = CASTConfig.exp_weight


# Options that read one method otherwise, and have a preset's fewer seeds
READINGS = ("target_weights", "others", "latent_clip", "weight", "exp_weight")


@dataclass(frozen=True)
class BattleOptions:
    """What the battles' scripts can be run with."""

    teams: Teams = "all"  # whose battles are learned from
    default: Default = RecurrentConfig.default
    others: Others = RecurrentConfig.others
    shared: bool = RecurrentConfig.shared
    trace: Share = RecurrentConfig.trace
    threshold: Share = RecurrentConfig.threshold
    weight: Share = Variant.weight  # of CAST-BCQ; RecurrentConfig's is the baselines'
    transitions: bool = RecurrentConfig.transitions
    policy_temperature: Positive | None = None  # of ICQ-MA; None for the preset's


# Which of them a method in battles knows
BATTLE_OPTIONS_OF = {
    "bc": (),
    "icq_ma": ("policy_temperature",),
    "i_bcq": ("threshold",),
    "mabcq": ("threshold", "transitions"),
    "ours": ("default", "others", "shared", "trace", "threshold", "weight"),
}


@dataclass(frozen=True)
class GridOptions:
    """What the grid world's script can be run with."""

    behaviour: Literal["uniform", "dirichlet"] = "uniform"
    encoding: Literal["onehot", "position"] = "onehot"
    default: Default = "first"  # with DiscreteConfig's own, "zero", an agent is absent
    target_weights: DiscreteWeights = DiscreteICQConfig.target_weights  # of I-ICQ


@dataclass(frozen=True)
class GridSizes:
    """How long a cell of the grid world trains, and on which data."""

    seeds: list[int]
    trajectories: Count
    updates: Count
    batch_size: Count
    evaluations: Count


@dataclass(frozen=True)
class PlayedSizes:
    """How long other cells train, and how they are evaluated."""

    seeds: list[int]
    updates: Count
    evaluations: Count
    episodes: Count
    last: Count

    def __post_init__(self):
        if self.last > self.evaluations:
            raise ValueError(
                f"last is {self.last}, but evaluations is {self.evaluations}; "
                "scores are means of the last evaluations"
            )


@dataclass(frozen=True)
class BattleSizes(PlayedSizes):
    """The same of battles."""

    data_size: Literal["smoke", "quick", "paper"]
    lanes: Count


@dataclass(frozen=True)
class RobotSizes(PlayedSizes):
    """The same of robots, for which data of one's own can be imported."""

    data_size: Literal["smoke", "quick", "standard", "paper", "d4rl", "minari"]
    batch_size: Count


# "fewer_seeds": of coordinated data, and of readings of one method; "lr": of everything, None for
# each learner's own; "last": evaluations that the "average score" is the mean of
PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {
        "seeds": [0, 1], "fewer_seeds": [0, 1], "data_size": "smoke", "updates": 4,
        "evaluations": 2, "episodes": 1, "last": 1, "batch_size": 8,
        "hidden": 16, "vae_hidden": 16, "act_samples": 3, "candidates": 3, "lr": 1e-3,
    },
    # To see everything run: of its numbers none decides anything, so it is as short as that allows.
    # 700 updates, because the whole suite is to fit forty minutes on two cores; a third seed of the
    # main comparison stays, without which `diff` would see changes of code four times worse
    "quick": {
        "seeds": [0, 1, 2], "fewer_seeds": [0, 1], "data_size": "quick", "updates": 700,
        "evaluations": 2, "episodes": 2, "last": 1, "batch_size": 64,
        "hidden": 64, "vae_hidden": 64, "act_samples": 20, "candidates": 5, "lr": 2e-3,
    },
    # The smallest budget at which critics have the horizon and clones have settled (notes.md,
    # "Budget"); 5 and 20 proposals, because they differ by less than a fifth of what actions do.
    # Ten seeds where a claim rests on the uncoordinated data of three robots; five on coordinated
    # data, which are six data sets and thirty pairs, and for readings of one method
    "standard": {
        "seeds": list(range(10)), "fewer_seeds": list(range(5)), "data_size": "standard",
        "updates": 8000, "evaluations": 10, "episodes": 10, "last": 5, "batch_size": 128,
        "hidden": 64, "vae_hidden": 64, "act_samples": 20, "candidates": 5, "lr": 2e-3,
    },
    "paper": {
        "seeds": [0, 1, 2], "fewer_seeds": [0, 1, 2], "data_size": "paper", "updates": 20_000,
        "evaluations": 20, "episodes": 10, "last": 5, "batch_size": 1024,
        "hidden": 400, "vae_hidden": 752, "act_samples": 100, "candidates": 10, "lr": None,
    },
}  # fmt: skip

# Six data sets at quick: the fewest of which none solved is below a half beyond chance
GRID: dict[str, dict[str, Any]] = {
    "smoke": {"seeds": [0, 1], "updates": 4, "evaluations": 2},
    "quick": {"seeds": list(range(6)), "updates": 1500, "evaluations": 15},
    "standard": {"seeds": list(range(40)), "updates": 5000, "evaluations": 50},
    "paper": {"seeds": list(range(40)), "updates": 5000, "evaluations": 50},
}
TRAJECTORIES = 100  # of the grid's data
MORE_TRAJECTORIES = 1000  # enough to see most joint actions in most cells

# Data of robots on which curves still gained (budgets.py): all methods, and all arms, are trained
# for twice as long on them. Set by the curves after 8,000 updates: from the third quarter to the
# last they gained 18 points on experts' data, 4 on one training's, at most 2 elsewhere
LONGER: dict[str, tuple[str, ...]] = {"standard": ("expert", "one run")}

# Of the battles; "learner" changes RecurrentConfig, "fewer_seeds" are of the readings. Below paper
# ICQ-MA's policy weights have temperature 10 instead of 0.1: its critics are still off by return
# points for rare actions, and policies weighted at 0.1 leave the data (notes.md, "Battles")
BATTLES: dict[str, dict[str, Any]] = {
    "smoke": {
        "seeds": [0, 1], "fewer_seeds": [0, 1], "data_size": "smoke", "updates": 4,
        "evaluations": 2, "episodes": 2, "last": 1, "lanes": 2,
        "learner": {
            "hidden": 16, "critic_hidden": 16, "lr": 1e-3, "critic_lr": 1e-3,
            "candidates": 3, "subteams": 2,
        },
    },
    # 450 updates and two seeds are what curves that leave zero and an interval need. Four
    # evaluations draw such a curve; each more is 3 % of a cell
    "quick": {
        "seeds": [0, 1], "fewer_seeds": [0, 1], "data_size": "quick", "updates": 450,
        "evaluations": 4, "episodes": 32, "last": 2, "lanes": 2,
        "learner": {
            "hidden": 32, "critic_hidden": 32, "lr": 2e-3, "critic_lr": 2e-3,
            "candidates": 5, "subteams": 4,
            "policy_temperature": 10.0,
        },
    },
    # Eight seeds see 10 points over the four maps and 20 on one as a claim by itself, 20 and 39 as
    # the first to pass the correction of all claims; five see 20 over the maps
    # (benchmarks/battle_power.txt). Published gaps to I-BCQ and MABCQ are 23 to 93. Five times the
    # updates of the quick that was looked at, because everything still rose at its end; critics as
    # wide as agents, because at 128 half of the time on the maps of ten agents goes into CAST-BCQ's
    "standard": {
        "seeds": list(range(8)), "fewer_seeds": list(range(5)), "data_size": "paper",
        "updates": 4000, "evaluations": 10, "episodes": 64, "last": 5, "lanes": 4,
        "learner": {
            "hidden": 64, "critic_hidden": 64, "lr": 1e-3, "critic_lr": 1e-3,
            "candidates": 5, "subteams": 4,
            "policy_temperature": 10.0,
        },
    },
    "paper": {
        "seeds": [0, 1, 2], "fewer_seeds": [0, 1, 2], "data_size": "paper", "updates": 40_000,
        "evaluations": 40, "episodes": 32, "last": 5, "lanes": 16,
        "learner": {},
    },
}  # fmt: skip


# Updates times tau, on robots and on the grid. After it a critic knows 1 - exp(-product (1 -
# gamma)) of a discounted return: 86 %. Between 160 and 300 it is 80 to 95 %. In battles targets are
# copied so often, and each copy looks a step further
TIME_CONSTANTS = 200


def following_rate(updates: int) -> float:
    """tau of target networks, so that critics of all presets look as far ahead."""
    return min(1.0, TIME_CONSTANTS / updates)


def sizes_on(preset: str, data: str) -> dict[str, Any]:
    """A preset's sizes on a robot's data: a quality, or "one run" (see LONGER)."""
    sizes = PRESETS[preset]
    longer = data in LONGER.get(preset, ())
    return sizes | {"updates": 2 * sizes["updates"]} if longer else sizes


def hyper_layers(preset: str, method: str, sizes: dict[str, Any]) -> list[Layer]:
    """A method's learner on the robots."""
    own = METHODS[method][1]()
    known = asdict(own)
    names = ("hidden", "vae_hidden", "act_samples", "candidates")
    changed = {name: sizes[name] for name in names if name in known}
    if "tau" in known:
        changed["tau"] = following_rate(sizes["updates"])
    if sizes["lr"]:
        changed |= {name: sizes["lr"] for name in known if name.endswith("lr")}
    if "target_samples" in known:
        changed["target_samples"] = sizes["candidates"]
    return [defaults("hyper", own), Layer(f"preset {preset}", {"hyper": changed})]


def seeds_of(sizes: dict[str, Any], beside: bool) -> list[int]:
    """A preset's seeds; fewer beside the main comparison."""
    return sizes["fewer_seeds" if beside else "seeds"]


def robot_layers(preset: str, method: str, variant: str, data: str, beside: bool) -> list[Layer]:
    """A method on the robots; `beside` the main comparison it has fewer seeds.

    Args:
        data: a quality, or "one run".
    """
    names = ("data_size", "updates", "evaluations", "episodes", "last", "batch_size")
    known = sizes_on(preset, data)
    sizes = {"seeds": seeds_of(known, beside)} | {name: known[name] for name in names}
    return [
        Layer(f"preset {preset}", sizes, {"": RobotSizes}),
        *hyper_layers(preset, method, known),
        defaults("variant", VARIANTS[variant]),
    ]


def grid_layers(preset: str, method: str) -> list[Layer]:
    """A method on the grid world."""
    hyper = DiscreteICQConfig() if method == "i_icq" else DiscreteConfig()
    return [
        Layer("not in the paper (notes.md)", {"batch_size": 64, "trajectories": TRAJECTORIES}),
        Layer(f"preset {preset}", GRID[preset], {"": GridSizes}),
        defaults("hyper", hyper),
        Layer(f"preset {preset}", {"hyper": {"tau": following_rate(GRID[preset]["updates"])}}),
        defaults("variant", VARIANTS["ours"]),
    ]


def reading_maps(preset: str) -> tuple[str, ...]:
    """Maps on which readings are run: at quick the smallest, a tenth of the time of all; what a
    reading does on the others is a question for standard.
    """
    return MAPS[:1] if preset == "quick" else MAPS


def small_maps(preset: str) -> tuple[str, ...]:
    """Of `reading_maps` those on which a question costs least."""
    return tuple(name for name in reading_maps(preset) if name in SMALL_MAPS)


def battle_layers(preset: str, beside: bool) -> list[Layer]:
    """A method in battles; all have one configuration, readings `beside` it fewer seeds."""
    sizes = BATTLES[preset] | {"seeds": seeds_of(BATTLES[preset], beside)}
    learner = sizes.pop("learner") | {"copy_every": max(1, sizes["updates"] // TIME_CONSTANTS)}
    del sizes["fewer_seeds"]
    return [
        defaults("hyper", RecurrentConfig()),
        Layer(f"preset {preset}", sizes | {"hyper": learner}, {"": BattleSizes}),
    ]
