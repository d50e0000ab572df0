"""The three tasks as what training asks of one: data, agents' views, and how greedy policies are
scored.
"""

from dataclasses import dataclass

import numpy as np
import torch

from common.learning.population import generators
from common.learning.rollouts import Recalling
from common.running.cells import Cell
from common.running.sources import resolve
from envs import datasets
from envs.lockstep import View, play
from papers.moma_ppo.config import HISTORY

DATA_SEED = 0  # there is one data set of each quality
CENTRALISED = ("iql",)


@dataclass(frozen=True)
class Score:
    """What a population's greedy policies reached, one value per member: score (normalised), raw,
    distance or None.
    """

    score: list[float]
    raw: list[float]
    distance: list[float] | None = None


def game():
    """The coordination game's module; robots' cells do not depend on it, nor the game's on theirs."""
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
    """Arrays of a cell's data set with the keys of `envs.joint`, and its checksum."""
    if is_game(config):
        arrays = game().data(config["quality"], config["data_seed"], config["rows"], centralised)
        return arrays, f"generated, seed {config['data_seed']}"
    path = datasets.data_path(config["task"], config["quality"], DATA_SEED, config["data_size"])
    loaded = datasets.load(path)
    return loaded["arrays"], loaded["sha256"]


def agents(config: dict) -> View:
    """What agents observe and do: the cell's view, or everything as one agent for centralised IQL."""
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


def reward_scale(config: dict, arrays: dict[str, np.ndarray]) -> float:
    """Of the ant's rewards for IQL and its relatives: 1000 / (largest - smallest return of the
    data).
    """
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


class Judge:
    """Scores greedy policies in the real environment.

    Args:
        config: of a cell.
        seeds: of members; a member's start states are its own, and the same at every evaluation.
    """

    def __init__(self, config: dict, seeds: list[int], device="cpu"):
        self.config, self.seeds, self.device, self.view = config, seeds, device, agents(config)
        self.team = None
        if not is_game(config):
            team = resolve("envs.mujoco.team:RobotTeam")
            self.team = team(config["task"], self.view, device=device)

    def __call__(self, act) -> Score:
        """Scores of policies (obs [M, N, E, O], history [M, N, E, L, I]) -> actions [M, N, E, A]."""
        members, config = len(self.seeds), self.config
        if is_game(config):
            raw = game().play(lambda state: self._game_actions(act, state), members).tolist()
            return Score(raw, raw)
        policy, episodes = (
            Recalling(act, HISTORY[config["task"]], self.view.action_dim),
            config["episodes"],
        )
        batch = self.team.batch(members * episodes)
        returns, _ = play(
            batch, self.team.joint(policy, members), generators(self.seeds, "evaluation")
        )
        raw = returns.reshape(members, episodes).mean(1)
        expert, random = constants(config)
        distance = None
        if config["task"] == "ant":
            distance = batch.qpos[:, 0].reshape(members, episodes).mean(1).tolist()
        return Score(((raw - random) / (expert - random)).tolist(), raw.tolist(), distance)

    def _game_actions(self, act, state: np.ndarray) -> np.ndarray:
        """[M, 2] actions of one-hot policies in states [M, 5]."""
        obs = self.view.observe(torch.from_numpy(state).to(self.device)[:, None]).transpose(
            1, 2
        )  # [M, N, 1, 5]
        chosen = act(obs.contiguous(), None)[:, :, 0].argmax(-1).cpu().numpy()  # [M, N]
        if self.view.num_agents == 1:
            return np.stack(np.divmod(chosen[:, 0], game().ACTIONS), 1)
        return chosen
