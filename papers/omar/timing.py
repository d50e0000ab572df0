"""Times updates of OMAR and MA-CQL in turns, in three ways of running them.

The published 4.7 % comes from one run on a GPU whose loop draws minibatches in numpy and trains one
agent after another: kernel launches and the draws take the time there, not arithmetic. On a CPU
arithmetic does. `of_rows` says which it is: how much longer an update of a whole minibatch takes
than one of 32 rows.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from common.learning import kernels, philox
from common.running import program
from common.running.cells import Cell
from common.running.program import Members
from common.running.sources import resolve
from papers.omar import training
from papers.omar.config import METHODS, default_hyper
from papers.omar.omar import BackboneConfig
from papers.omar.plain import PlainAgent, Rows, round_of

ROUNDS = {"smoke": 2, "quick": 10, "standard": 10, "paper": 30}  # updates per turn
TURNS = 3  # each turn is one measurement, reported as one "seed"
TIMED = ("ma_cql", "omar")
FEW_ROWS = 32
RELEASED_ROWS = 1_000_000  # of a released data set: a permutation of all is made for every draw

Rounds = dict[str, Callable[[], None]]  # by method, what one round does


def train(
    cells: list[Cell], device: str, checkpoint: Path, progress=lambda done, total: None
) -> list[dict]:
    """Seconds of OMAR's updates over MA-CQL's for each turn, both on the cell's data and batch
    size.
    """
    results = []
    for cell in cells:
        began = time.monotonic()
        population = training.populate(Members([cell]), device)
        with WAYS[cell.config["timing"]](cell, population, device) as rounds:
            turns = []
            for turn in range(TURNS):
                turns.append({"seed": turn, **measured(rounds, ROUNDS[cell.preset], device)})
                progress(turn + 1, TURNS)
        seconds = time.monotonic() - began
        results.append(program.made(cell, population.data[0], seconds, device) | {"seeds": turns})
    return results


def measured(rounds: Rounds, count: int, device: str) -> dict[str, float]:
    """OMAR's seconds over MA-CQL's in percent above, and MA-CQL's over those of `FEW_ROWS` rows."""
    spent = {name: seconds(one, count, device) for name, one in rounds.items()}
    return {
        "percent": 100 * (spent["omar"] / spent["ma_cql"] - 1),
        "of_rows": spent["ma_cql"] / spent["few_rows"],
    }


def seconds(one_round: Callable[[], None], count: int, device: str) -> float:
    """Of so many rounds, after one that does not count."""
    one_round()
    start = clock(device)
    for _ in range(count):
        one_round()
    return clock(device) - start


def clock(device: str) -> float:
    """As `program.clock`; on a GPU when all that was launched is done."""
    if device != "cpu":
        torch.cuda.synchronize()
    return program.clock(device)


@contextlib.contextmanager
def fused(cell: Cell, population: training.Population, device: str) -> Iterator[Rounds]:
    """The population as tables are trained: its CPU kernels where they serve."""
    yield of_population(cell, population)


@contextlib.contextmanager
def torch_only(cell: Cell, population: training.Population, device: str) -> Iterator[Rounds]:
    """The same population in plain torch."""

    def none(source: Path) -> None:
        return None

    with mock.patch.object(kernels, "compiled", none), mock.patch.object(philox, "compiled", none):
        yield of_population(cell, population)


@contextlib.contextmanager
def one_by_one(cell: Cell, population: training.Population, device: str) -> Iterator[Rounds]:
    """One seed, one agent after another, torch's own modules and optimiser."""
    yield of_agents(cell, population, device, shuffled=False)


@contextlib.contextmanager
def released_loop(cell: Cell, population: training.Population, device: str) -> Iterator[Rounds]:
    """The same, and minibatches drawn as in the released code."""
    yield of_agents(cell, population, device, shuffled=True)


WAYS = {
    "fused": fused,
    "torch": torch_only,
    "one_by_one": one_by_one,
    "released_loop": released_loop,
}


def of_population(cell: Cell, population: training.Population) -> Rounds:
    """Rounds of all seeds and agents at once."""
    learners = {method: learner_of(method, cell, population) for method in TIMED}

    def round_with(method: str, rows: int) -> Callable[[], None]:
        return lambda: learners[method].update(population.replay.draw(rows))

    size = population.backbone.config.batch_size
    whole = {method: round_with(method, size) for method in TIMED}
    return whole | {"few_rows": round_with("ma_cql", min(FEW_ROWS, size))}


def learner_of(method: str, cell: Cell, population: training.Population):
    """The method on the population's backbone, with its hyperparameters."""
    build, _ = METHODS[method]
    return resolve(build)(population.backbone, hyper_of(method, cell))


def hyper_of(method: str, cell: Cell):
    """A method's hyperparameters; the cell's own where it has them."""
    config = cell.config
    hyper = default_hyper(method, config["task"], config["quality"], config["reading"])
    return METHODS[method][1](**hyper | config["hyper"])


def of_agents(cell: Cell, population: training.Population, device: str, shuffled: bool) -> Rounds:
    """Rounds of the first seed's agents, one after another.

    Args:
        shuffled: a draw takes the first of a permutation of `RELEASED_ROWS` rows, and all agents'
            numbers of those; else it takes the agent's own, drawn by torch.
    """
    replay = population.replay
    backbone = BackboneConfig(**cell.config["backbone"])
    rows, agents = replay.sizes[0], replay.rows.shape[1]
    shuffle = np.random.RandomState(0)

    def drawn(index: int, count: int) -> Rows:
        if shuffled:
            numbers = shuffle.choice(RELEASED_ROWS, count, replace=False) % rows
            everybody = replay.rows[torch.from_numpy(numbers).to(device)]
            row = everybody[:, index]
        else:
            row = replay.rows[torch.randint(rows, (count,), device=device), index]
        obs, action, reward, next_obs, terminal, _ = row.split(replay.widths, dim=-1)
        return Rows(obs, action, reward.squeeze(-1), next_obs, terminal.squeeze(-1))

    def uniform(shape: tuple[int, ...]) -> torch.Tensor:
        return torch.empty(shape, device=device).uniform_(-1, 1)

    def normal(shape: tuple[int, ...]) -> torch.Tensor:
        return torch.randn(shape, device=device)

    def round_with(method: str, count: int) -> Callable[[], None]:
        team = [
            PlainAgent(
                replay.obs_dim,
                replay.action_dim,
                backbone,
                hyper_of(method, cell),
                uniform,
                normal,
                device,
            )
            for _ in range(agents)
        ]
        return lambda: round_of(team, lambda index: drawn(index, count))

    size = backbone.batch_size
    whole = {method: round_with(method, size) for method in TIMED}
    return whole | {"few_rows": round_with("ma_cql", min(FEW_ROWS, size))}
