"""What is drawn while agents learn is counted: no torch generator is within reach of a training,
and one that goes on from a checkpoint draws, and learns, what it would have.
"""

import copy
import gc
from collections.abc import Iterator
from dataclasses import asdict
from types import FunctionType, ModuleType, SimpleNamespace

import pytest
import torch

from common.learning.philox import Streams
from common.running.program import Members, Training
from common.running.sources import resolve
from papers.cast_bcq import experiment as cast_bcq
from papers.moma_ppo import experiment as moma_ppo
from papers.moma_ppo import models
from papers.moma_ppo import training as moma_training
from papers.moma_ppo.config import AntOptions
from papers.omar import experiment as omar
from papers.omar import training as omar_training
from papers.otc import config as otc_config
from papers.otc import experiment as otc
from papers.otc import training as otc_training


def reachable(start: object) -> Iterator[object]:
    """Everything that an object holds, but for what simulators hold."""
    seen: set[int] = set()
    stack = [start]
    while stack:
        one = stack.pop()
        apart = isinstance(one, type | ModuleType) or type(one).__module__.startswith("envs.")
        if id(one) in seen or apart:
            continue
        seen.add(id(one))
        yield one
        if isinstance(one, FunctionType):  # its referents hold its module, and that everything
            stack += [*(one.__closure__ or ()), *(one.__defaults__ or ())]
        else:
            stack += gc.get_referents(one)


def generators_in(start: object) -> list[torch.Generator]:
    """Torch generators within reach."""
    return [one for one in reachable(start) if isinstance(one, torch.Generator)]


def trained(paper, build, cells: list, updates: int = 1) -> Training:
    """What cells train, after some updates."""
    for cell in cells:
        paper.data.prepare(cell)
    training = build(Members(cells), "cpu")
    for done in range(updates):
        training.learner.update(training.draw(done))
    return training


def state_of(training: Training) -> dict:
    """A copy of what a checkpoint would hold."""
    held = {"learner": training.learner, **training.others}
    return copy.deepcopy({name: one.state_dict() for name, one in held.items()})


def draws(training: Training) -> list[int]:
    """How often every stream within reach was drawn from."""
    streams = [one for one in reachable(training) if isinstance(one, Streams)]
    return sorted(one.drawn for one in streams)


def assert_same(ours: object, theirs: object, where: str = "") -> None:
    """The same numbers, to the bit."""
    if isinstance(ours, dict):
        assert isinstance(theirs, dict) and ours.keys() == theirs.keys(), where
        for name, value in ours.items():
            assert_same(value, theirs[name], f"{where}/{name}")
    elif isinstance(ours, torch.Tensor):
        assert isinstance(theirs, torch.Tensor), where
        assert torch.equal(ours.nan_to_num(), theirs.nan_to_num()), where
    elif isinstance(ours, list | tuple):
        assert len(ours) == len(theirs), where
        for place, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            assert_same(one, other, f"{where}/{place}")
    else:
        assert ours == theirs, where


def check(paper, build, cells: list, updates: int = 1) -> None:
    """What cells train counts its numbers, and goes on from its state after some updates."""
    whole = trained(paper, build, cells, updates)
    assert generators_in(whole) == []
    resumed = build(Members(cells), "cpu")
    for name, state in state_of(whole).items():
        one = resumed.learner if name == "learner" else resumed.others[name]
        one.load_state_dict(state)
    for training in (whole, resumed):
        training.learner.update(training.draw(updates))
    assert_same(state_of(whole), state_of(resumed))
    assert draws(whole) == draws(resumed)


def test_generators_within_reach_are_found():
    stream, other = torch.Generator(), torch.Generator()
    held = SimpleNamespace(closure=lambda: stream, default=lambda drawn=(other,): drawn)
    assert {id(one) for one in generators_in([held])} == {id(stream), id(other)}


@pytest.mark.parametrize("method", ["omar", "ma_cql", "ma_td3bc", "ma_icq"])
def test_omar_counts_and_goes_on(folders, method):
    cell = omar.make_cell("smoke", "cooperative_navigation", "medium", method)
    check(omar.PAPER, omar_training.build, [cell])


@pytest.mark.parametrize("base", ["bcq", "awac", "td3bc", "bremen"])
def test_otc_counts_in_all_stages_and_goes_on(folders, base):
    methods = [one for one in otc_config.METHODS if (base, one) != ("bremen", "d_q")]  # it has no q
    task = "kinematic_navigation_2"
    cells = [otc.make_cell("smoke", task, "random", base, one, seeds=[0, 1]) for one in methods]
    config = cells[0].config
    updates = config["offline_updates"] + config["embedding"]["updates"] + 1
    check(otc.PAPER, otc_training.build, cells, updates)


@pytest.mark.parametrize(
    "cell",
    [
        cast_bcq.cell("smoke", "hopper", "uncoordinated", "ours", {}),
        cast_bcq.cell("smoke", "hopper", "uncoordinated", "icq_ma", {}),
        cast_bcq.cell("smoke", "hopper", "uncoordinated", "mabcq", {}),
        cast_bcq.grid_cell("smoke", "ours", {}),
        cast_bcq.battle_cell("smoke", "3s_vs_3z", "ours", {}),
    ],
    ids=lambda cell: cell.slot,
)
def test_cast_bcq_counts_and_goes_on(folders, cell):
    build = resolve(f"papers.cast_bcq.{cast_bcq.trained_by(cell)}:build")
    check(cast_bcq.PAPER, build, [cell])


@pytest.mark.parametrize("method", ["maiql", "maiql_ft", "moma_iql", "iomar", "moma_ppo"])
def test_moma_ppo_counts_and_goes_on(folders, method):
    options = asdict(AntOptions())
    cell = moma_ppo.cell("smoke", "ant", "full", "full-replay", method, options)
    check(moma_ppo.PAPER, moma_training.build, [cell])


def test_world_models_count_and_go_on(folders):
    cell = models.model_cell("smoke", "coordination", "favorable")
    check(moma_ppo.PAPER, moma_training.build, [cell])
