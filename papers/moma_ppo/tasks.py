"""The three tasks as what training asks of one: data, agents' views, and how greedy policies are
scored.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from common.learning.philox import Streams
from common.learning.population import generators
from common.learning.rollouts import Outcome, Recalling
from common.running import program
from common.running.cells import Cell
from common.running.program import Course, Members, Training
from common.running.sources import resolve
from envs import datasets
from envs.lockstep import View, play
from papers.moma_ppo.limits import HISTORY
from papers.moma_ppo.sequences import HistoryBatch, Sequences

LEAST_SPREAD = 1e-3  # of returns, that rewards are divided by
DATA_SEED = 0  # there is one data set of each quality
CENTRALISED = ("iql",)
MODELS = "papers.moma_ppo.models"
SIMULATED = "envs.mujoco.simulated:SimulatedWorld"


@dataclass(frozen=True)
class Score:
    """What a population's greedy policies reached, one value per member: score (normalised), raw,
    distance or None.
    """

    score: list[float]
    raw: list[float]
    distance: list[float] | None = None


def game():
    """The coordination game's module; robots' cells do not depend on it, nor its on theirs."""
    return resolve("envs.coordination.game")


def is_game(config: dict) -> bool:
    """Whether the task is the coordination game."""
    return config["task"] == "coordination"


def data_sets(cell: Cell) -> datasets.DataSets | None:
    """The cell's data set; the game's is drawn when it is needed."""
    config = cell.config
    if is_game(config):
        return None
    return datasets.DataSets(config["task"], config["quality"], {0: DATA_SEED}, config["data_size"])


DATA = datasets.CellData(data_sets)


def load(config: dict, centralised: bool = False) -> tuple[dict[str, np.ndarray], str]:
    """Arrays [R, ...] of a cell's data set with the keys of `envs.joint`, and its checksum."""
    if is_game(config):
        arrays = game().data(config["quality"], config["data_seed"], config["rows"], centralised)
        return arrays, f"generated, seed {config['data_seed']}"
    path = datasets.data_path(config["task"], config["quality"], DATA_SEED, config["data_size"])
    loaded = datasets.load(path)
    return loaded["arrays"], loaded["sha256"]


def agents(config: dict) -> View:
    """What agents observe and do: the cell's view; for centralised IQL everything as one agent."""
    single = config["method"] in CENTRALISED
    if is_game(config):
        return game().single() if single else game().view()
    name, view = config["task"], resolve("envs.mujoco.views:view")
    of = view(name, config["view"])
    return (
        View(name, "single", view(name, "full").indices[:1], of.num_agents * of.action_dim)
        if single
        else of
    )


def constants(config: dict) -> tuple[float, float]:
    """Expert and random return that scores are fractions between: the paper's own (D4RL's for the
    ant).
    """
    if is_game(config):
        return 1.0, 0.0
    if config["task"] == "reacher":
        return resolve("envs.mujoco.reaching:PAPER_CONSTANTS")
    return resolve("envs.mujoco.data:D4RL_CONSTANTS")[config["task"]]


def discounted_returns(arrays: dict[str, np.ndarray], gamma: float) -> np.ndarray:
    """[R] discounted sums of rewards from each row to its episode's end."""
    ends = arrays["terminals"] | arrays["timeouts"]
    sums = np.zeros(len(ends))
    following = 0.0
    for row in reversed(range(len(ends))):
        following = arrays["rewards"][row] + gamma * following * (not ends[row])
        sums[row] = following
    return sums


def reward_scale(config: dict, arrays: dict[str, np.ndarray]) -> float:
    """Of rewards: for MOMA-PPO one over the standard deviation of the data's discounted returns,
    where values have that unit; of the ant's for IQL and its relatives 1000 / (largest - smallest
    return of the data); else 1. `arrays` are `load`'s.
    """
    if config.get("value_units") == "returns":
        spread = float(discounted_returns(arrays, config["hyper"]["gamma"]).std())
        return 1 / max(spread, LEAST_SPREAD)
    if config["task"] != "ant" or config["method"] not in (
        "iql",
        "maiql",
        "maiql_ft",
        "ibc",
        "moma_iql",
    ):
        return 1.0
    returns = datasets.family("ant").episode_returns({"arrays": arrays})
    return 1000 / float(returns.max() - returns.min())


class Simulator:
    """The robot's simulator as a world. Actions that are no numbers are zeros there: a member that
    has diverged must not stop the others of its program.
    """

    def __init__(self, task: str, device="cpu"):
        self.world = resolve(SIMULATED)(task, device=device)

    def reset(self, state: Tensor) -> None:
        """See `common.learning.rollouts`."""
        self.world.reset(state)

    def step(self, state: Tensor, action: Tensor, streams: Streams | None) -> Outcome:
        """See `common.learning.rollouts`."""
        return self.world.step(state, action.nan_to_num(0.0, 0.0, 0.0), streams)


class RobotJudge:
    """Scores greedy policies on the robot.

    Args:
        config: of a cell.
        seeds: of members; a member's start states are its own.
    """

    def __init__(self, config: dict, seeds: list[int], view: View, device="cpu"):
        self.config = config
        self.seeds = seeds
        self.view = view
        self.team = resolve("envs.mujoco.team:RobotTeam")(config["task"], view, device=device)

    def __call__(self, act, number: int) -> Score:
        """Scores of policies: obs [M, N, E, O], history [M, N, E, L, I] -> actions [M, N, E, A].

        Args:
            number: of the evaluation; each has start states of its own, the same for every method.
        """
        config = self.config
        members = len(self.seeds)
        averaged = number > config["evaluations"] - config["averaged"]
        episodes = config["episodes" if averaged else "curve_episodes"]
        policy = Recalling(act, HISTORY[config["task"]], self.view.action_dim)
        batch = self.team.batch(members * episodes)
        streams = generators(self.seeds, f"evaluation/{number}")
        returns, _ = play(batch, self.team.joint(policy, members), streams)
        raw = returns.reshape(members, episodes).mean(1)
        expert, random = constants(config)
        distance = None
        if config["task"] == "ant":
            walked = batch.qpos[:, 0].reshape(members, episodes).mean(1)
            distance = np.where(np.isnan(raw), np.nan, walked).tolist()
        return Score(((raw - random) / (expert - random)).tolist(), raw.tolist(), distance)


class GameJudge:
    """Scores greedy policies by one episode of the coordination game, which is deterministic."""

    def __init__(self, members: int, view: View, device="cpu"):
        self.members = members
        self.view = view
        self.device = device

    def __call__(self, act, number: int) -> Score:
        """Scores of policies: obs [M, N, 1, 5] -> one-hot actions [M, N, 1, A]; of one episode,
        whatever the evaluation's number.
        """
        raw = game().play(lambda state: self.actions(act, state), self.members).tolist()
        return Score(raw, raw)

    def actions(self, act, state: np.ndarray) -> np.ndarray:
        """[M, 2] actions in states [M, 5]."""
        seen = torch.from_numpy(state).to(self.device)[:, None]
        obs = self.view.observe(seen).transpose(1, 2)  # [M, N, 1, 5]
        chosen = act(obs.contiguous(), None)[:, :, 0].argmax(-1).cpu().numpy()  # [M, N]
        if self.view.num_agents == 1:
            return np.stack(np.divmod(chosen[:, 0], game().ACTIONS), 1)
        return chosen


class Setting:
    """What every method is trained on for the members of some cells.

    Attributes:
        view: what agents observe and do.
        data: with histories, rewards scaled by `reward_scale`.
    """

    def __init__(self, members: Members, device: str):
        self.members = members
        self.device = device
        self.config = members.config
        self.seeds = members.seeds
        self.view = agents(self.config)
        arrays, self.checksum = load(self.config, self.config["method"] in CENTRALISED)
        self.reward_scale = reward_scale(self.config, arrays)
        length = HISTORY[self.config["task"]]
        self.data = Sequences(arrays, self.view, length, self.reward_scale, device)

    def batch(self, size: int, streams: Streams) -> HistoryBatch:
        """Rows of the data for every member."""
        return self.data.batch(self.data.draw_index(size, streams))

    def judge(self) -> Callable[..., Score]:
        """Scores greedy policies in the real environment."""
        if is_game(self.config):
            return GameJudge(len(self.seeds), self.view, self.device)
        return RobotJudge(self.config, self.seeds, self.view, self.device)

    def training(
        self,
        learner,
        act,
        draw,
        total: int,
        others: dict,
        audit: Callable[[], dict[str, list]] = dict,
        **models: str,
    ) -> Training:
        """A training scored in the real environment.

        Args:
            act: the greedy population.
            audit: what else is measured at evaluations, lists [M] by name.
            models: checksums of world models it uses.
        """
        judge = self.judge()
        expert, random = constants(self.config)

        def evaluate(done: int) -> dict[str, list]:
            number = program.evaluation_number(done, total, self.config["evaluations"])
            measured = vars(judge(act, number))
            return {name: numbers for name, numbers in measured.items() if numbers} | audit()

        return Training(
            learner=learner,
            draw=draw,
            evaluate=evaluate,
            evaluate_at=program.evenly(total, self.config["evaluations"]),
            facts=functools.partial(facts, averaged=self.config["averaged"]),
            total=total,
            data=[{"0": self.checksum, **models} for _ in self.members.cells],
            summary=lambda courses: {"constants": {"expert": expert, "random": random}},
            others=others,
        )


def facts(course: Course, averaged: int) -> dict:
    """What a result says of a seed.

    Args:
        averaged: last evaluations whose means are its score, return and distance: a team that walks
            at one may fall at the next.
    """
    curve = [program.finite(score) for score in course.curves["score"]]

    def last(name: str) -> float | None:
        return program.finite(program.last_mean(course.curves[name], averaged))

    beside = {
        name: [program.finite(number) for number in numbers]
        for name, numbers in course.curves.items()
        if name not in ("score", "raw")
    }
    return {
        "last_score": last("score"),
        "last_return": last("raw"),
        "distance": last("distance") if "distance" in course.curves else None,
        "curve": curve,
        "curves": beside,
        "facts": course.reports,
    }
