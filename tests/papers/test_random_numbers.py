"""What is drawn while agents learn is counted: no torch generator is within reach of a training."""

import gc
from collections.abc import Iterator
from dataclasses import asdict
from types import FunctionType, ModuleType, SimpleNamespace

import pytest
import torch

from common.running.program import Members, Training
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


def test_generators_within_reach_are_found():
    stream, other = torch.Generator(), torch.Generator()
    held = SimpleNamespace(closure=lambda: stream, default=lambda drawn=(other,): drawn)
    assert {id(one) for one in generators_in([held])} == {id(stream), id(other)}


@pytest.mark.parametrize("method", ["omar", "ma_cql", "ma_td3bc", "ma_icq"])
def test_omar_counts(folders, method):
    cell = omar.make_cell("smoke", "cooperative_navigation", "medium", method)
    assert generators_in(trained(omar.PAPER, omar_training.build, [cell])) == []


@pytest.mark.parametrize("base", ["bcq", "awac", "td3bc", "bremen"])
def test_otc_counts_in_all_stages(folders, base):
    methods = [one for one in otc_config.METHODS if (base, one) != ("bremen", "d_q")]  # it has no q
    task = "kinematic_navigation_2"
    cells = [otc.make_cell("smoke", task, "random", base, one, seeds=[0, 1]) for one in methods]
    config = cells[0].config
    updates = config["offline_updates"] + config["embedding"]["updates"] + 1
    assert generators_in(trained(otc.PAPER, otc_training.build, cells, updates)) == []


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
def test_cast_bcq_counts(folders, cell):
    assert generators_in(trained(cast_bcq.PAPER, cast_bcq.kind(cell).build, [cell])) == []


@pytest.mark.parametrize("method", ["maiql", "maiql_ft", "moma_iql", "iomar", "moma_ppo"])
def test_moma_ppo_counts(folders, method):
    options = asdict(AntOptions())
    cell = moma_ppo.cell("smoke", "ant", "full", "full-replay", method, options)
    assert generators_in(trained(moma_ppo.PAPER, moma_training.build, [cell])) == []


def test_world_models_count(folders):
    cell = models.model_cell("smoke", "coordination", "favorable")
    assert generators_in(trained(moma_ppo.PAPER, moma_training.build, [cell])) == []
