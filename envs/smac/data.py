"""Data sets of the battles: whole episodes, padded to the longest, with a mask of the steps that
happened.

    multi-source   equal shares from every shipped snapshot of the QMIX training, from nearly random
                   to the best (CAST-BCQ)
    medium         those that together are like og-marl's Medium (OTC)
    expert         those that together are like og-marl's Good

See `behaviour` for how they are chosen. Agents explore as at the end of training, and as og-marl's.
Keys: obs [E, T + 1, A, O], state [E, T + 1, D], available [E, T + 1, A, U] bool, actions [E, T, A],
rewards, terminated (also at the limit, as in SMAC), filled [E, T], source [E] (index into the
card's sources), won [E].
"""

import platform
from pathlib import Path

import numpy as np
import torch

from common.running.files import sha256
from envs.smac import behaviour
from envs.smac.core import Battles
from envs.smac.qmix import play
from envs.smac.units import MAPS, VERSION
from envs.storage import FORMAT, DataError, check_arrays

GENERATOR = 2  # raise it when a change alters the data
TASKS = tuple(MAPS)
QUALITIES = ("multi-source", "medium", "expert")
SIZES = {"smoke": 24, "quick": 1_000, "standard": 2_000, "paper": 3_000}  # episodes
MEDIUM_SIZES = SIZES | {"paper": 10_000}  # OTC's
COLLECT_BATTLES = 200


def ships(task: str) -> bool:
    """Whether the team of a map is there."""
    return (behaviour.POLICIES / task / "card.json").exists()


def effort(task: str, quality: str) -> int:
    """Seconds each."""
    return 5


def qualities(task: str) -> tuple[str, ...]:
    """Data qualities of a map."""
    return QUALITIES


def constants(task: str) -> tuple[float, float]:
    """A plain win's return, and nothing's."""
    return 20.0, 0.0


def train_behaviour(task: str) -> None:
    """Trains and ships the team of a map, from nothing."""
    behaviour.train_and_ship(task, behaviour.TRAININGS[task])


def size_of(quality: str, size: str) -> int:
    """Episodes of a data set."""
    return (MEDIUM_SIZES if quality == "medium" else SIZES)[size]


def sources(task: str, quality: str) -> list[str]:
    """The snapshots that play, by their step of training."""
    return behaviour.card(task)["sources"][quality]


def generate(task: str, quality: str, seeds: list[int], size: str) -> list[tuple[dict, dict]]:
    """Arrays by name in the file, and provenance, of the data set of each seed."""
    return [
        (
            collect(task, quality, seed, size_of(quality, size)),
            provenance(task, quality, seed, size),
        )
        for seed in seeds
    ]


def collect(task: str, quality: str, seed: int, episodes: int) -> dict[str, np.ndarray]:
    """Episodes of every source in equal numbers, one source after the other."""
    agents = behaviour.load_agents(task)
    pieces = []
    names = sources(task, quality)
    for index, name in enumerate(names):
        wanted = episodes * (index + 1) // len(names) - episodes * index // len(names)
        done = 0
        while done < wanted:
            count = min(COLLECT_BATTLES, wanted - done)
            first = 1_000_000 * (index + 1) + done
            battles = Battles(task, count, seed, behaviour.DYNAMICS, first=first)
            stream = torch.Generator().manual_seed(1_000_003 * seed + 1009 * index + done)
            _, won, played = play(agents[name], battles, behaviour.EXPLORE, stream, record=True)
            pieces.append(
                played | {"source": torch.full((count,), index), "won": torch.from_numpy(won)}
            )
            done += count
    joined = {name: torch.cat([piece[name] for piece in pieces]) for name in pieces[0]}
    longest = int(joined["filled"].sum(1).max())
    later = ("obs", "state", "available")  # with the state after the last step
    arrays = {
        name: (values[:, : longest + (name in later)] if values.ndim > 1 else values).numpy()
        for name, values in joined.items()
    }
    arrays["rewards"] = arrays.pop("reward")
    arrays["actions"] = arrays.pop("action").astype(np.int8)
    arrays["source"] = arrays["source"].astype(np.int8)
    return arrays


def provenance(task: str, quality: str, seed: int, size: str) -> dict:
    """What a data set's file says about itself."""
    facts = behaviour.card(task)
    return {
        "format": FORMAT,
        "generator": GENERATOR,
        "task": task,
        "quality": quality,
        "seed": seed,
        "size": size,
        "episodes": size_of(quality, size),
        "environment": {
            "family": "smac",
            "simulator": "built-in, SMAC-like",
            "dynamics": behaviour.DYNAMICS,
            "version": VERSION,
        },
        "policies": {"snapshots": sha256(behaviour.POLICIES / task / "snapshots.safetensors")},
        "sources": {name: facts["snapshots"][name] for name in sources(task, quality)},
        "exploration": behaviour.EXPLORE,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
    }


def extract(file, facts: dict) -> dict[str, np.ndarray]:
    """Arrays of an open file."""
    names = (
        "obs",
        "state",
        "available",
        "actions",
        "rewards",
        "terminated",
        "filled",
        "source",
        "won",
    )
    return {name: file[name][:] for name in names}


def validate(path: Path, arrays: dict[str, np.ndarray], facts: dict) -> None:
    """Raises DataError unless shapes fit, numbers are finite, and every action was available."""
    made = Battles(facts["task"], 1, dynamics=facts["environment"]["dynamics"])
    count, longest = arrays["rewards"].shape
    agents = made.agents
    actions = made.n_actions
    shapes = {
        "obs": (count, longest + 1, agents, made.obs_dim),
        "state": (count, longest + 1, made.state_dim),
        "available": (count, longest + 1, agents, actions),
        "rewards": (count, longest),
        "terminated": (count, longest),
        "filled": (count, longest),
        "source": (count,),
        "won": (count,),
    }
    check_arrays(path, arrays | {"actions": np.zeros(1)}, shapes)
    if arrays["actions"].shape != (count, longest, agents):
        raise DataError(
            f"data set {path}: actions has shape {arrays['actions'].shape}, "
            f"expected {(count, longest, agents)}"
        )
    if longest > made.limit:
        raise DataError(
            f"data set {path}: an episode has {longest} steps, expected at most {made.limit}"
        )
    chosen = np.take_along_axis(
        arrays["available"][:, :-1], arrays["actions"][..., None].astype(np.int64), -1
    )[..., 0]
    if not chosen[arrays["filled"] > 0].all():
        raise DataError(f"data set {path}: an action was not available when it was taken")


def transitions(data: dict) -> dict:
    """Episodes as they are: learners of battles are recurrent."""
    return {name: torch.from_numpy(values) for name, values in data["arrays"].items()}


def episode_returns(data: dict) -> np.ndarray:
    """[episodes] returns."""
    return (data["arrays"]["rewards"] * data["arrays"]["filled"]).sum(1).astype(np.float64)


def released(task: str, quality: str) -> dict | None:
    """Figures of og-marl's data set, the yardstick for ours; None where there is none."""
    return behaviour.released(task, quality)


def expected_return(facts: dict) -> tuple[float, float, int]:
    """Mean and standard deviation of the behaviour's return, and episodes they are over."""
    card = behaviour.card(facts["task"])
    quality = facts["quality"]
    episodes = card["episodes"] * len(card["sources"][quality])
    return card["data"][quality]["return_mean"], card["data"][quality]["return_sd"], episodes
