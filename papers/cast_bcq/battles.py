"""What is trained for cells on the battles: members are the seeds of a method on a map's data."""

import torch

from common.learning.episodes import EpisodeStore
from common.running import program
from common.running.program import Course, Members, Training
from common.running.sources import resolve
from envs import datasets
from envs.smac.core import Battles
from envs.smac.team import advance
from envs.smac.units import FAMILY, VERSION
from papers.cast_bcq.data import BATTLE_LEARNERS, DATA
from papers.cast_bcq.recurrent import MapSizes, RecurrentConfig

JUDGE = 30_000  # battles of evaluation are numbered apart from those of training


ENVIRONMENT = {
    "family": FAMILY,
    "dynamics": "sc2",
    "version": VERSION,
}


@torch.no_grad()
def play(learner, battles: list[Battles], device: str) -> dict[str, list]:
    """Win rate in % and mean return [M] over greedy episodes, the same battles every time.

    Args:
        battles: each member's own.
    """
    for one in battles:
        one.episodes[:] = -1
        one.reset()
    count = battles[0].battles
    memory = learner.memory(count)
    returns = torch.zeros(len(battles), count)
    last = torch.full((len(battles), count, battles[0].agents), -1, device=device)

    def seen(columns) -> torch.Tensor:
        return torch.stack([torch.from_numpy(column) for column in columns]).to(device).float()

    while not all(one.over.all() for one in battles):
        obs = seen(one.obs() for one in battles)
        available = seen(one.available() for one in battles)
        last = learner.act(obs, available, last, memory)
        returns += advance(battles, last.cpu())[0]
    return {
        "win_rate": [100 * float(one.won.mean()) for one in battles],
        "return": returns.mean(1).tolist(),
    }


def build(members: Members, device: str) -> Training:
    """What is trained for the members of some cells."""
    config = members.config
    seeds = members.seeds
    (loaded,), _, checksums = DATA.load(members.cells)
    store = EpisodeStore(datasets.transitions(loaded), seeds, config["lanes"], device=device)
    battles = [Battles(config["task"], config["episodes"], JUDGE + seed) for seed in seeds]
    one = battles[0]
    sizes = MapSizes(one.obs_dim, one.state_dim, one.agents, one.n_actions)
    hyper = RecurrentConfig(**config["hyper"])
    learner = resolve(BATTLE_LEARNERS[config["method"]])(seeds, sizes, hyper, device)
    of_data = {
        "data_win_rate": 100 * float(loaded["arrays"]["won"].mean()),
        "data_return": float(datasets.episode_returns(loaded).mean()),
    }

    def facts(course: Course) -> dict:
        wins = course.curves["win_rate"]
        returns = course.curves["return"]
        networks = learner.networks.values()
        fine = all(bool(network.flat[course.place].isfinite().all()) for network in networks)
        return {
            "win_rate": program.last_mean(wins, config["last"]) if fine else None,
            "average_return": program.last_mean(returns, config["last"]) if fine else None,
            "curve": wins,
            "returns": returns,
        }

    return Training(
        learner=learner,
        draw=lambda done: store.draw(),
        evaluate=lambda done: play(learner, battles, device),
        evaluate_at=program.evenly(config["updates"], config["evaluations"]),
        facts=facts,
        total=config["updates"],
        data=checksums,
        summary=lambda courses: {"environment": ENVIRONMENT, "extra": of_data},
        others={"store": store},
    )
