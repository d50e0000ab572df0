"""What is trained for cells on the battles: members are the seeds of a method on a map's data."""

import copy

import numpy as np
import torch

from common.learning.episodes import EpisodeStore, Lanes, mean_filled, traced_targets
from common.learning.philox import Streams
from common.running import program
from common.running.program import Course, Members, Training
from common.running.sources import resolve
from envs import datasets
from envs.smac.core import Battles
from envs.smac.team import advance
from envs.smac.units import FAMILY, VERSION
from papers.cast_bcq.data import BATTLE_LEARNERS, DATA
from papers.cast_bcq.recurrent import Choice, MapSizes, RecurrentConfig

JUDGE = 30_000  # battles of evaluation are numbered apart from those of training


ENVIRONMENT = {
    "family": FAMILY,
    "dynamics": "sc2",
    "version": VERSION,
}


@torch.no_grad()
def play(learner, battles: list[Battles], number: int, device: str) -> dict[str, list]:
    """Win rate in % and mean return [M] over greedy episodes; of a learner that says so, what it
    chooses from (`Habits`).

    Args:
        battles: each member's own.
        number: of the evaluation, from 1; each has battles of its own, the same for every method.
    """
    for one in battles:
        one.episodes[:] = number - 2
        one.reset()
    count = battles[0].battles
    memory = learner.memory(count)
    returns = torch.zeros(len(battles), count)
    last = torch.full((len(battles), count, battles[0].agents), -1, device=device)
    habits = Habits(len(battles), device)

    def seen(columns) -> torch.Tensor:
        return torch.stack([torch.from_numpy(column) for column in columns]).to(device).float()

    while not all(one.over.all() for one in battles):
        obs = seen(one.obs() for one in battles)
        available = seen(one.available() for one in battles)
        if hasattr(learner, "choose"):
            choice = learner.choose(obs, available, last, memory)
            habits.note(choice, available, seen(~one.over for one in battles))
            last = choice.action
        else:
            last = learner.act(obs, available, last, memory)
        returns += advance(battles, last.cpu())[0]
    return {
        "win_rate": [100 * float(one.won.mean()) for one in battles],
        "return": returns.mean(1).tolist(),
        **habits.means(),
    }


class Habits:
    """What living agents choose from: means over decisions, of every member.

    How many actions are available, how many allowed, and in how many % of decisions they do what
    cloning would.
    """

    NAMES = ("available", "allowed", "as_cloned")

    def __init__(self, members: int, device: str):
        self.sums = torch.zeros(len(self.NAMES), members, device=device)
        self.decisions = torch.zeros(members, device=device)

    def note(self, choice: Choice, available: torch.Tensor, going_on: torch.Tensor) -> None:
        """Adds one step of battles; available is [M, E, N, U], going_on [M, E]."""
        living = (available[..., 0] < 0.5) * going_on.unsqueeze(-1)  # no-op is for the dead
        same = 100.0 * (choice.action == choice.cloned)
        counts = (available.sum(-1), choice.allowed.sum(-1), same)
        self.sums += torch.stack([(living * one).sum((1, 2)) for one in counts])
        self.decisions += living.sum((1, 2))

    def means(self) -> dict[str, list[float]]:
        """[M] by name; nothing where nothing was noted."""
        if not self.decisions.any():
            return {}
        return dict(zip(self.NAMES, (self.sums / self.decisions).tolist(), strict=True))


def looked_at(store: EpisodeStore, seeds: list[int]) -> Lanes:
    """Places of the data that critics are judged on; training's own draws stay as they are."""
    another = copy.copy(store)
    another.streams = Streams(seeds, "yardstick", store.device)
    another.waiting = [None] * len(seeds)
    return another.draw()


def returns_to_go(lanes: Lanes, gamma: float) -> torch.Tensor:
    """[M] mean discounted return of the data from their places on; battles end for good, at the
    limit too.
    """
    nothing = torch.zeros_like(lanes.reward)
    to_go = traced_targets(lanes.reward, lanes.terminal, lanes.filled, nothing, gamma, 1.0)
    return mean_filled(to_go, lanes.filled)


def best_team(arrays: dict[str, np.ndarray]) -> int:
    """Of the teams that a map's data are from the one that won the largest share of its battles."""
    won = arrays["won"] > 0
    teams = np.unique(arrays["source"])
    return int(teams[np.argmax([won[arrays["source"] == team].mean() for team in teams])])


def about_data(arrays: dict[str, np.ndarray]) -> dict[str, float]:
    """Win rate of a map's data, the best of the teams they are from, and its share of the battles;
    all in %.
    """
    won = arrays["won"] > 0
    of_best = arrays["source"] == best_team(arrays)
    return {
        "data_win_rate": 100 * float(won.mean()),
        "best_team_win_rate": 100 * float(won[of_best].mean()),
        "best_team_share": 100 * float(of_best.mean()),
    }


def without_best(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The battles of all teams but the best."""
    kept = arrays["source"] != best_team(arrays)
    return {name: array[kept] for name, array in arrays.items()}


def build(members: Members, device: str) -> Training:
    """What is trained for the members of some cells."""
    config = members.config
    seeds = members.seeds
    (loaded,), _, checksums = DATA.load(members.cells)
    if config["teams"] == "without_best":
        loaded = loaded | {"arrays": without_best(loaded["arrays"])}
    store = EpisodeStore(datasets.transitions(loaded), seeds, config["lanes"], device=device)
    battles = [Battles(config["task"], config["episodes"], JUDGE + seed) for seed in seeds]
    one = battles[0]
    sizes = MapSizes(one.obs_dim, one.state_dim, one.agents, one.n_actions)
    hyper = RecurrentConfig(**config["hyper"])
    learner = resolve(BATTLE_LEARNERS[config["method"]])(seeds, sizes, hyper, device)
    known = looked_at(store, seeds)
    to_go = returns_to_go(known, hyper.gamma).tolist()
    of_data = about_data(loaded["arrays"])
    of_data["data_return"] = float(datasets.episode_returns(loaded).mean())

    def evaluate(done: int) -> dict[str, list]:
        number = program.evaluation_number(done, config["updates"], config["evaluations"])
        measured = play(learner, battles, number, device)
        if hasattr(learner, "value_on_data"):
            measured["value"] = learner.value_on_data(known).tolist()
        return measured

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
            "return_to_go": to_go[course.place],
            **{
                name: program.finite(course.curves[name][-1])
                for name in ("value", *Habits.NAMES)
                if name in course.curves
            },
            **of_data,
        }

    return Training(
        learner=learner,
        draw=lambda done: store.draw(),
        evaluate=evaluate,
        evaluate_at=program.evenly(config["updates"], config["evaluations"]),
        facts=facts,
        total=config["updates"],
        data=checksums,
        summary=lambda courses: {"environment": ENVIRONMENT, "extra": of_data},
        others={"store": store},
    )
