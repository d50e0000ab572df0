"""The teams that collect the battles' data: QMIX trained online on each map, a spread of its
snapshots shipped in half precision with a card.

A released set of og-marl is the battles of four teams of one level, 5 % of the actions at random.
Ours is the battles, explored as much, of the few shipped snapshots that together come nearest to
its mean return, its spread and its length (`deviation`). Where nothing was released, medium is the
snapshot that wins nearest to 45 %, and expert the best.

Cards hold what every snapshot, and every data set, is like under the present dynamics:
`measure_again` after a change of them.
"""

import math
import platform
from collections.abc import Sequence
from dataclasses import asdict
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from common.running.checkpoint import load_checkpoint, save_checkpoint
from common.running.files import write_json
from envs.released import beside, table
from envs.shipped import read_card, read_weights
from envs.smac.core import Battles
from envs.smac.qmix import Agent, QMIXConfig, play, train
from envs.smac.units import VERSION
from envs.storage import data_folder

POLICIES = Path(__file__).parent / "policies"
RELEASED = beside(__file__)
DYNAMICS = "sc2"
EXPLORE = 0.05  # share of random actions, as in og-marl's data
CARD_EPISODES = 600
SPREAD = 6  # snapshots shipped for multi-source data, the best among them
STALLING = 1 / 3  # share of battles that reach the limit: survivors hide, such teams do not ship
MEDIUM_WINS = 0.45  # of a medium team where nothing was released
MOST_MIXED = 4  # snapshots in medium or expert data: og-marl's sets are of four teams each
NEAR_ENOUGH = 0.5  # of the tolerances: with this, fewer snapshots are better than nearer ones
LEVEL = 2.0  # tolerances of what is called near: 10 points of a win's 20,
SPREADS = 2.0  # a factor of the standard deviation,
LENGTHS = 1.5  # and one of the mean length
TRAININGS = {
    "3m": QMIXConfig(steps=400_000, updates=8, batch=32),
    "8m": QMIXConfig(steps=800_000, updates=8, batch=32),
    "5m_vs_6m": QMIXConfig(steps=1_000_000, updates=8, batch=32),
    "10m_vs_11m": QMIXConfig(steps=1_000_000, updates=8, batch=32),
    "MMM": QMIXConfig(steps=800_000, updates=8, batch=32),
    "2s3z": QMIXConfig(steps=600_000, updates=8, batch=32),
    "3s_vs_3z": QMIXConfig(steps=600_000, updates=8, batch=32),
}
STRONG = 0.98  # win rate of two evaluations in a row at which training ends early
Tensors = dict[str, torch.Tensor]


def released(map_name: str, quality: str) -> dict | None:
    """Figures of a released data set, see `envs.released`; None where there is none. og-marl's
    Medium and Good are our medium and expert; the others in the file are for comparison.
    """
    return table(RELEASED).get((map_name, quality))


def new_agent(map_name: str, hidden: int) -> Agent:
    """An agent network of a map's sizes."""
    battles = Battles(map_name, 1)
    return Agent(battles.obs_dim, battles.agents, battles.n_actions, hidden)


def agent_of(map_name: str, tensors: Tensors) -> Agent:
    """The agent network that holds these tensors."""
    agent = new_agent(map_name, tensors["memory.weight_hh"].shape[1])
    agent.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    return agent


def train_team(map_name: str, config: QMIXConfig, say=print) -> tuple[list, dict[str, Tensors]]:
    """Trains a map's team; returns the curve [[steps, win rate, return]] and the agent's tensors at
    each point of it, by the steps trained so far.
    """
    path = data_folder().parent / "behaviour" / f"smac-{map_name}.pt"
    identity = {"config": asdict(config), "version": VERSION}
    if saved := load_checkpoint(path, identity):
        say(f"{map_name}: trained before, {saved['curve'][-1]}")
        return saved["curve"], saved["snapshots"]
    before = load_agents(map_name)[config.start] if config.start else None
    curve: list[list] = []
    snapshots = {}
    for steps, wins, returns, agent in train(map_name, config, say, before=before):
        curve.append([steps, round(wins, 3), round(returns, 2)])
        snapshots[str(int(config.start or 0) + steps)] = {
            name: tensor.detach().clone() for name, tensor in agent.state_dict().items()
        }
        if len(curve) > 1 and min(curve[-1][1], curve[-2][1]) >= STRONG:
            break
    save_checkpoint(path, identity, {"curve": curve, "snapshots": snapshots})
    return curve, snapshots


def measured(map_name: str, tensors: Tensors) -> dict[str, float]:
    """What a snapshot's battles are like, explored as data are: returns, steps, and the shares that
    were won and that reached the limit.
    """
    battles = Battles(map_name, CARD_EPISODES, seed=20_000, dynamics=DYNAMICS)
    stream = torch.Generator().manual_seed(0)
    returns, won, _ = play(agent_of(map_name, tensors), battles, EXPLORE, stream)
    limited = (battles.steps >= battles.limit) & ~won
    return {
        "return_mean": round(float(returns.mean()), 3),
        "return_sd": round(float(returns.std()), 3),
        "length": round(float(battles.steps.mean()), 2),
        "win_rate": round(float(won.mean()), 3),
        "time_outs": round(float(limited.mean()), 3),
    }


def mixed(parts: Sequence[dict]) -> dict[str, float]:
    """What equal shares of several snapshots' battles are like, see `measured`."""
    mix = {name: float(np.mean([part[name] for part in parts])) for name in parts[0]}
    squares = [part["return_sd"] ** 2 + part["return_mean"] ** 2 for part in parts]
    mix["return_sd"] = math.sqrt(np.mean(squares) - mix["return_mean"] ** 2)
    return {name: round(value, 3) for name, value in mix.items()}


def deviation(ours: dict, theirs: dict) -> float:
    """How far battles are from a released set's: the largest of three deviations, each as a share
    of its tolerance; at most 1 is near.
    """
    return max(
        abs(ours["return_mean"] - theirs["return_mean"]) / LEVEL,
        abs(math.log(ours["return_sd"] / theirs["return_sd"], SPREADS)),
        abs(math.log(ours["length"] / theirs["length"], LENGTHS)),
    )


def nearest_mix(found: dict[str, dict], theirs: dict) -> list[str]:
    """The snapshots whose equal shares are like a released set: the fewest that are near enough, or
    else the nearest.
    """
    nearest: list[tuple[float, list[str]]] = []
    for count in range(1, min(MOST_MIXED, len(found)) + 1):
        mixes = [list(names) for names in combinations(found, count)]
        far = [deviation(mixed([found[name] for name in names]), theirs) for names in mixes]
        best = int(np.argmin(far))
        nearest.append((far[best], mixes[best]))
        if far[best] <= NEAR_ENOUGH:
            return mixes[best]
    return min(nearest)[1]


def chosen(map_name: str, found: dict[str, dict]) -> tuple[list[str], dict[str, list[str]]]:
    """Which snapshots ship, and which of them collect medium and expert data.

    Args:
        found: what the battles of every snapshot are like, by its steps.
    """
    steady = {name: facts for name, facts in found.items() if facts["time_outs"] <= STALLING}

    def nearest(distances) -> str:
        return list(steady)[int(np.argmin(distances))]

    means = np.array([facts["return_mean"] for facts in steady.values()])
    wins = np.array([facts["win_rate"] for facts in steady.values()])
    best = nearest(-means)
    medium = nearest(abs(wins - MEDIUM_WINS))
    levels = np.linspace(means.min(), means.max(), SPREAD)
    names = {best, medium, *(nearest(abs(means - level)) for level in levels)}
    twins = {quality: released(map_name, quality) for quality in ("medium", "expert")}
    for twin in filter(None, twins.values()):
        names.add(nearest([deviation(facts, twin) for facts in steady.values()]))
    shipped = sorted(names, key=int)
    sources = {"medium": [medium], "expert": [best]}
    for quality, theirs in twins.items():
        if theirs:
            sources[quality] = nearest_mix({name: steady[name] for name in shipped}, theirs)
    return shipped, sources


def ship(map_name: str, snapshots: dict[str, Tensors], trainings: list[dict]) -> dict:
    """Writes the chosen snapshots and their card to `policies/<map>`.

    Args:
        trainings: what each training was: version of the simulator, configuration, curve.
    """
    halves = {
        steps: {name: tensor.half().contiguous() for name, tensor in tensors.items()}
        for steps, tensors in snapshots.items()
    }
    found = {steps: measured(map_name, tensors) for steps, tensors in halves.items()}
    shipped, sources = chosen(map_name, found)
    sources = {"multi-source": shipped} | sources
    folder = POLICIES / map_name
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        f"{steps}/{name}": tensor for steps in shipped for name, tensor in halves[steps].items()
    }
    save_file(tensors, folder / "snapshots.safetensors")
    facts = {
        "task": map_name,
        "algorithm": "QMIX",
        "version": VERSION,
        "dynamics": DYNAMICS,
        "exploration": EXPLORE,
        "episodes": CARD_EPISODES,
        "snapshots": {steps: found[steps] for steps in shipped},
        "sources": sources,
        "data": {
            quality: mixed([found[steps] for steps in names]) for quality, names in sources.items()
        },
        "trainings": trainings,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
    }
    write_json(folder / "card.json", facts)
    return facts


def train_and_ship(map_name: str, config: QMIXConfig) -> dict:
    """Trains a map's team and ships it; a training that goes on from a shipped snapshot
    (`config.start`) adds its own to what is shipped.
    """
    curve, snapshots = train_team(map_name, config)
    trainings = [{"version": VERSION, "config": asdict(config), "curve": curve}]
    if config.start:
        snapshots = load_tensors(map_name) | snapshots
        trainings = card(map_name)["trainings"] + trainings
    return ship(map_name, snapshots, trainings)


def measure_again(map_name: str) -> dict:
    """Ships what is shipped once more, measured under the present dynamics."""
    return ship(map_name, load_tensors(map_name), card(map_name)["trainings"])


def card(map_name: str) -> dict:
    """What is known about a map's team, see `ship`."""
    return read_card(POLICIES, map_name)


def load_tensors(map_name: str) -> dict[str, Tensors]:
    """The tensors of the shipped snapshots, by the training steps on the card."""
    card(map_name)
    grouped: dict[str, Tensors] = {}
    for key, tensor in read_weights(POLICIES / map_name / "snapshots.safetensors").items():
        steps, name = key.split("/", 1)
        grouped.setdefault(steps, {})[name] = tensor
    return grouped


def load_agents(map_name: str) -> dict[str, Agent]:
    """The shipped snapshots, by the training steps on the card."""
    tensors = load_tensors(map_name)
    return {steps: agent_of(map_name, tensors[steps]) for steps in tensors}
