"""Programs on a tiny learner: who its members are, what results say, going on after a stop."""

import contextlib
import math
import sys
import types
from dataclasses import replace

import pytest
import torch

from common.learning.philox import Streams
from common.running import checkpoint, program, work
from common.running.cells import Cell
from common.running.program import Members, Program, Training, train

TOTAL = 10


class Walk:
    """A learner whose members add what they are given; seed 2 diverges at its sixth update."""

    def __init__(self, seeds):
        self.seeds = seeds
        self.place = torch.zeros(len(seeds))
        self.updates = 0

    def update(self, batch):
        self.place += batch
        self.updates += 1
        self.place[[seed == 2 and self.updates >= 6 for seed in self.seeds]] = math.nan
        return {"step": batch}

    def state_dict(self):
        return {"place": self.place, "updates": self.updates}

    def load_state_dict(self, state):
        self.place = state["place"]
        self.updates = state["updates"]


def build(members: Members, device: str) -> Training:
    streams = Streams(members.seeds, "steps")
    learner = Walk(members.seeds)

    def draw(done):
        return streams.uniform(()) * torch.tensor([config["scale"] for config in members.configs])

    def evaluate(done):
        measured = {"return": learner.place.tolist()}
        return measured | ({"last": learner.place.tolist()} if done == TOTAL else {})

    def facts(course):
        return {
            "curve": [program.finite(value) for value in course.curves["return"]],
            "last": program.finite(course.curves["last"][0]),
            "reports": course.reports,
            "place": course.place,
        }

    return Training(
        learner=learner,
        draw=draw,
        evaluate=evaluate,
        evaluate_at=program.evenly(TOTAL, 3),
        facts=facts,
        total=TOTAL,
        data=[{"0": cell.slot} for cell in members.cells],
        summary=lambda courses: {"constants": {"places": [course.place for course in courses]}},
        others={"streams": streams},
    )


@pytest.fixture(autouse=True)
def paper(monkeypatch):
    """A paper of one module, so that results can say what they were made with."""
    module = types.ModuleType("papers.walks.experiment")
    module.PAPER = work.Paper(
        name="walks",
        roots=lambda cell: ["common.learning.population"],
        data=types.SimpleNamespace(recipes=lambda cell: {"0": "a walk"}),
        program_key=lambda cell: (),
        train=None,
        record=contextlib.nullcontext,
        cost=lambda cell: 1.0,
    )
    monkeypatch.setitem(sys.modules, "papers.walks.experiment", module)


def cell(seeds, scale=1.0):
    config = {"seeds": seeds, "scale": scale}
    return Cell("walks", "smoke", f"walk/{scale}/{'-'.join(map(str, seeds))}", config)


CELLS = [cell([0, 1]), cell([1, 2, 3], 2.0)]


def test_members_are_the_seeds_of_all_cells_in_order():
    members = Members(CELLS)
    assert members.seeds == [0, 1, 1, 2, 3]
    assert members.places() == [range(0, 2), range(2, 5)]
    assert [config["scale"] for config in members.configs] == [1, 1, 2, 2, 2]


def test_a_result_holds_its_own_members_and_is_what_its_cell_alone_gives(tmp_path):
    together = train(build, CELLS, "cpu", tmp_path / "a.pt")
    for one, result in zip(CELLS, together, strict=True):
        assert [seed["seed"] for seed in result["seeds"]] == one.config["seeds"]
        alone = train(build, [one], "cpu", tmp_path / "b.pt")[0]
        assert result["trained_with"] == 2 and alone["trained_with"] == 1
        for ours, theirs in zip(result["seeds"], alone["seeds"], strict=True):
            assert ours | {"place": 0} == theirs | {"place": 0}
        assert result["data"] == {"0": one.slot} and result["recipe"] == {"0": "a walk"}
        assert result["config_hash"] == one.hash and result["code"]
    assert together[1]["constants"] == {"places": [2, 3, 4]}


def test_evaluations_are_at_their_updates_and_reports_are_means_in_between(tmp_path):
    program_ = Program(CELLS[:1], "cpu", build)
    steps = [None] * TOTAL
    for done in program_.updates():
        steps[done - 1] = program_.training.learner.place.tolist()
    result = program_.results(seconds=4.0)[0]
    assert result["rounds"] == [4, 7, 10] and result["seconds"] == 4.0
    assert result["seeds"][1]["curve"] == [steps[done - 1][1] for done in (4, 7, 10)]
    between = (steps[6][1] - steps[3][1]) / 3
    assert result["seeds"][1]["reports"][1]["step"] == pytest.approx(between, rel=1e-5)


def test_a_diverged_member_stays_and_harms_nobody(tmp_path):
    with_it = train(build, [cell([1, 2, 3])], "cpu", tmp_path / "a.pt")[0]["seeds"]
    without = train(build, [cell([1, 3])], "cpu", tmp_path / "b.pt")[0]["seeds"]
    assert with_it[1]["curve"][0] is not None and with_it[1]["curve"][1:] == [None, None]
    assert with_it[1]["last"] is None
    assert [seed["curve"] for seed in with_it[::2]] == [seed["curve"] for seed in without]


class Stop(Exception):
    """Somebody stopped the training."""


@pytest.mark.parametrize("stop", range(1, TOTAL + 1))
def test_resumed_equals_uninterrupted_wherever_it_stopped(stop, tmp_path, monkeypatch):
    whole = train(build, CELLS, "cpu", tmp_path / "a.pt")
    monkeypatch.setattr(checkpoint, "CHECKPOINT_SECONDS", -1)

    def stopping(done, total):
        if done == stop:  # the checkpoint of the update before is on disk
            raise Stop

    with pytest.raises(Stop):
        train(build, CELLS, "cpu", tmp_path / "b.pt", stopping)
    updates = []
    again = train(build, CELLS, "cpu", tmp_path / "b.pt", lambda done, total: updates.append(done))
    assert updates == list(range(stop, TOTAL + 1))
    assert [result["seeds"] for result in again] == [result["seeds"] for result in whole]
    assert again[0]["rounds"] == whole[0]["rounds"]


def test_a_checkpoint_of_other_cells_code_data_or_versions_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "CHECKPOINT_SECONDS", -1)
    train(build, CELLS, "cpu", tmp_path / "a.pt")
    state = Program(CELLS, "cpu", build)
    assert checkpoint.load_checkpoint(tmp_path / "a.pt", state.identity())
    other = Program(CELLS[:1], "cpu", build).identity()
    assert not checkpoint.load_checkpoint(tmp_path / "a.pt", other)
    older = dict.fromkeys(program.versions(), "0")
    with monkeypatch.context() as patch:
        patch.setattr(program, "versions", lambda: older)
        assert not checkpoint.load_checkpoint(tmp_path / "a.pt", state.identity())
    with monkeypatch.context() as patch:
        patch.setattr(program.kernels, "backend", lambda: "others")
        assert not checkpoint.load_checkpoint(tmp_path / "a.pt", state.identity())
    state.training = replace(state.training, data=[{"0": "other"}, {"0": "data"}])
    assert not checkpoint.load_checkpoint(tmp_path / "a.pt", state.identity())


def test_numbers_that_are_not_finite_become_none():
    assert program.finite(1.5) == 1.5 and program.finite(math.inf) is None
    assert program.score(15.0, 20.0, 10.0) == 50 and program.score(math.nan, 20.0, 10.0) is None
    assert program.last_mean([1.0, 2.0, 4.0], 2) == 3 and program.last_mean([4.0], 3) == 4
    assert program.all_finite([1.0, 2.0]) and not program.all_finite([1.0, math.nan])


@pytest.mark.parametrize(
    ("total", "count", "expected"),
    [(6, 3, [2, 4, 6]), (7, 3, [3, 5, 7]), (3, 5, [1, 2, 3]), (5, 1, [5])],
)
def test_evaluations_are_evenly_spaced_and_the_last_is_at_the_end(total, count, expected):
    at = program.evenly(total, count)
    assert [done for done in range(1, total + 1) if at(done)] == expected
