"""The teams that collect the battles' data: QMIX trained online on each map, snapshots kept, a
spread of them shipped.

The best snapshot, one of medium strength and several between random and best ship in half precision
with a card.
"""

import platform
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from common.running.checkpoint import load_checkpoint, save_checkpoint
from common.running.files import write_json
from envs.shipped import read_card, read_weights
from envs.smac.core import Battles
from envs.smac.qmix import Agent, QMIXConfig, play, train
from envs.smac.units import VERSION
from envs.storage import data_folder

POLICIES = Path(__file__).parent / "policies"
CARD_EPISODES = 200
SPREAD = 6  # snapshots shipped for multi-source data, the best among them
MEDIUM = (0.3, 0.6)  # win rate of a medium snapshot
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


def new_agent(map_name: str, hidden: int) -> Agent:
    """An agent network of a map's sizes."""
    battles = Battles(map_name, 1)
    return Agent(battles.obs_dim, battles.agents, battles.n_actions, hidden)


def train_team(map_name: str, config: QMIXConfig | None = None, say=print) -> tuple[list, list]:
    """Trains a map's team; returns the curve [[steps, win rate, return]] and the agent's tensors at
    each point of it.
    """
    config = config or TRAININGS[map_name]
    path = data_folder().parent / "behaviour" / f"smac-{map_name}.pt"
    identity = {"config": asdict(config), "version": VERSION}
    if saved := load_checkpoint(path, identity):
        say(f"{map_name}: trained before, {saved['curve'][-1]}")
        return saved["curve"], saved["snapshots"]
    curve: list[list] = []
    snapshots = []
    for steps, wins, returns, agent in train(map_name, config, say):
        curve.append([steps, wins, returns])
        snapshots.append(
            {name: tensor.detach().clone() for name, tensor in agent.state_dict().items()}
        )
        if len(curve) > 1 and min(curve[-1][1], curve[-2][1]) >= STRONG:
            break
    save_checkpoint(path, identity, {"curve": curve, "snapshots": snapshots})
    return curve, snapshots


def measured(map_name: str, tensors: dict, hidden: int, battles: Battles) -> dict:
    """Win rate and return of a snapshot over greedy episodes."""
    agent = new_agent(map_name, hidden)
    agent.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    returns, won, _ = play(agent, battles, 0.0, torch.Generator().manual_seed(0))
    return {
        "win_rate": round(float(won.mean()), 3),
        "return_mean": round(float(returns.mean()), 3),
        "episodes": len(won),
    }


def ship(map_name: str, config: QMIXConfig, curve: list, snapshots: list) -> dict:
    """Writes the chosen snapshots and their card to `policies/<map>`."""
    judge = Battles(map_name, CARD_EPISODES, config.seed + 20_000)
    wins = np.array([point[1] for point in curve])
    returns = np.array([point[2] for point in curve])
    rank = wins + 1e-3 * returns
    best = int(
        max(
            np.flatnonzero(rank >= np.sort(rank)[-min(3, len(rank))]),
            key=lambda i: measured(map_name, snapshots[i], config.hidden, judge)["return_mean"],
        )
    )
    middle = sum(MEDIUM) / 2
    medium = int(np.abs(wins - middle).argmin())
    levels = np.linspace(returns[: best + 1].min(), returns[best], SPREAD)[:-1]
    chosen = sorted(
        {best, medium, *(int(np.abs(returns[: best + 1] - level).argmin()) for level in levels)}
    )
    folder = POLICIES / map_name
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        f"{curve[i][0]}/{name}": t.half().contiguous()
        for i in chosen
        for name, t in snapshots[i].items()
    }
    save_file(tensors, folder / "snapshots.safetensors")
    facts = {
        "task": map_name,
        "algorithm": "QMIX",
        "config": asdict(config),
        "version": VERSION,
        "dynamics": "sc2",
        "best": str(curve[best][0]),
        "medium": str(curve[medium][0]),
        "replay_snapshots": {
            str(curve[i][0]): measured(
                map_name, {n: t.half() for n, t in snapshots[i].items()}, config.hidden, judge
            )
            for i in chosen
        },
        "curve": [[steps, round(win, 3), round(value, 2)] for steps, win, value in curve],
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
    }
    write_json(folder / "card.json", facts)
    return facts


def card(map_name: str) -> dict:
    """What is known about a map's team, see `ship`."""
    return read_card(POLICIES, map_name)


def load_agents(map_name: str) -> dict[str, Agent]:
    """The shipped snapshots, by the training step on the card."""
    facts = card(map_name)
    grouped: dict[str, dict] = {}
    for key, tensor in read_weights(POLICIES / map_name / "snapshots.safetensors").items():
        step, name = key.split("/", 1)
        grouped.setdefault(step, {})[name] = tensor.float()
    agents = {}
    for step, tensors in grouped.items():
        agents[step] = new_agent(map_name, facts["config"]["hidden"])
        agents[step].load_state_dict(tensors)
    return agents
