"""Programs: cells trained together, from the first update to one result per cell.

A paper says what is trained (`Training`: learner, draw, evaluate, facts); everything else is here:
which members there are and whose they are, the loop, the curve, checkpoints, results.

Axes: M members, the seeds of all cells of a program in order.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from common.learning import kernels
from common.learning.learner import Stateful
from common.running import checkpoint, interrupt, sources, work
from common.running.cells import Cell, made_with
from common.running.provenance import versions
from common.running.sources import code_hashes


class Trainable(Stateful, Protocol):
    """What learns; `update` returns numbers to report by name, [M] each, or None."""

    def update(self, batch: Any) -> dict[str, Tensor] | None: ...


@dataclass(frozen=True)
class Members:
    """The members of a program: every seed of every cell, cell by cell."""

    cells: list[Cell]

    @property
    def config(self) -> dict:
        """Of the first cell: what all cells of a program share."""
        return self.cells[0].config

    @property
    def configs(self) -> list[dict]:
        """[M] of every member's cell."""
        return [cell.config for cell in self.cells for _ in cell.config["seeds"]]

    @property
    def seeds(self) -> list[int]:
        """[M] seeds."""
        return [seed for cell in self.cells for seed in cell.config["seeds"]]

    def places(self) -> list[range]:
        """For each cell where its seeds stand among the members."""
        places = []
        start = 0
        for cell in self.cells:
            stop = start + len(cell.config["seeds"])
            places.append(range(start, stop))
            start = stop
        return places


@dataclass(frozen=True)
class Course:
    """How the training of one member went.

    Attributes:
        place: among the members.
        rounds: updates done at each evaluation.
        curves: what evaluations measured, by name; a name has an entry for each evaluation that
            measured it.
        reports: at each evaluation the means, since the one before, of what the learner reported.
    """

    seed: int
    place: int
    rounds: list[int]
    curves: dict[str, list]
    reports: list[dict[str, float | None]]


@dataclass(frozen=True)
class Training:
    """What a paper trains for the cells of a program.

    Attributes:
        learner: learns from what `draw` gives; part of every checkpoint.
        draw: the minibatch, or whatever else the learner takes, of update number `done` (from 0).
        evaluate: what is measured after `done` updates: lists [M] of numbers by name.
        evaluate_at: whether to evaluate after `done` updates.
        facts: what a result says of one seed, beside the seed.
        total: updates in all.
        data: for each cell the checksums of its data sets.
        summary: what a result says of a cell beside its seeds, given how these went.
        others: what else a checkpoint holds, by name: streams, replay buffers.
    """

    learner: Trainable
    draw: Callable[[int], Any]
    evaluate: Callable[[int], dict[str, list]]
    evaluate_at: Callable[[int], bool]
    facts: Callable[[Course], dict]
    total: int
    data: list[dict[str, str]]
    summary: Callable[[list[Course]], dict] = lambda courses: {}
    others: dict[str, Stateful] = field(default_factory=dict)


Build = Callable[[Members, str], Training]


class Program:
    """The members of some cells in training.

    Attributes:
        done: updates so far.
        rounds, points: updates done at each evaluation and what was measured, [M] by name.
        reports: at each evaluation the means of what the learner reported since the last.
        recent: what it reported since then: lists of [M] by name.
    """

    def __init__(self, cells: list[Cell], device: str, build: Build):
        self.members = Members(cells)
        self.device = device
        self.training = build(self.members, device)
        self.done = 0
        self.rounds: list[int] = []
        self.points: list[dict[str, list]] = []
        self.reports: list[dict[str, list[float]]] = []
        self.recent: dict[str, list[Tensor]] = {}

    def updates(self) -> Iterator[int]:
        """Trains to the end; yields the number of updates done after every one."""
        training = self.training
        while self.done < training.total:
            report = training.learner.update(training.draw(self.done))
            for name, numbers in (report or {}).items():
                self.recent.setdefault(name, []).append(numbers.double())
            self.done += 1
            if training.evaluate_at(self.done):
                self.evaluate()
            yield self.done

    def evaluate(self) -> None:
        """Notes what is measured at present."""
        self.rounds.append(self.done)
        self.points.append(self.training.evaluate(self.done))
        self.reports.append(
            {name: torch.stack(numbers).mean(0).tolist() for name, numbers in self.recent.items()}
        )
        self.recent = {}

    def course(self, place: int) -> Course:
        """How the member at this place went."""
        curves: dict[str, list] = {}
        for point in self.points:
            for name, numbers in point.items():
                curves.setdefault(name, []).append(numbers[place])
        reports = [
            {name: finite(numbers[place]) for name, numbers in report.items()}
            for report in self.reports
        ]
        return Course(self.members.seeds[place], place, self.rounds, curves, reports)

    def results(self, seconds: float) -> list[dict]:
        """One result per cell: facts of its seeds and what it was made with.

        Args:
            seconds: spent on all cells, by `clock`.
        """
        cells = self.members.cells
        results = []
        for cell, places, data in zip(
            cells, self.members.places(), self.training.data, strict=True
        ):
            courses = [self.course(place) for place in places]
            rounds = {"rounds": self.rounds} if self.rounds else {}
            seeds = [{"seed": one.seed, **self.training.facts(one)} for one in courses]
            results.append(
                made(cell, data, seconds / len(cells), self.device)
                | rounds
                | {"seeds": seeds, "trained_with": len(cells)}
                | self.training.summary(courses)
            )
        return results

    def identity(self) -> dict:
        """What a checkpoint must be of to be continued by this program."""
        cells = self.members.cells
        return {
            "cells": [cell.hash for cell in cells],
            "code": code_hashes(work.paper(cells[0].paper).roots(cells[0])),
            "data": self.training.data,
            "made with": {name: versions()[name] for name in ("torch", "numpy", "mujoco")},
            "kernels": kernels.backend(),
        }

    def _stateful(self) -> dict[str, Stateful]:
        return {"learner": self.training.learner, **self.training.others}

    def state_dict(self) -> dict:
        """Everything that `load_state_dict` needs to go on to the bit."""
        return {
            "done": self.done,
            "rounds": self.rounds,
            "points": self.points,
            "reports": self.reports,
            "recent": {name: torch.stack(numbers) for name, numbers in self.recent.items()},
            "training": {name: one.state_dict() for name, one in self._stateful().items()},
        }

    def load_state_dict(self, state: dict) -> None:
        """Goes on from `state_dict`.

        Raises:
            ValueError: it is not one of this program.
        """
        if not 0 <= state["done"] <= self.training.total:
            raise ValueError(f"{state['done']} updates of {self.training.total}")
        self.done = state["done"]
        self.rounds = state["rounds"]
        self.points = state["points"]
        self.reports = state["reports"]
        self.recent = {name: list(numbers) for name, numbers in state["recent"].items()}
        for name, one in self._stateful().items():
            one.load_state_dict(state["training"][name])


def train(
    build: Build,
    cells: list[Cell],
    device: str,
    path: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[dict]:
    """Trains cells of one program to the end, continuing from its checkpoint if it is theirs.

    Args:
        build: what the paper trains for the members of these cells on this device.
        path: of the checkpoint; written every CHECKPOINT_SECONDS and when it is told to end,
            deleted by the caller once results are stored.
        progress: called with (updates done, updates in all) after every update.

    Returns:
        One result per cell in the order of `cells`.

    Raises:
        Interrupted: by a signal, after the checkpoint.
        RuntimeError: `build` is in a module that could be changed without making results stale.
    """
    check_counted(build, cells)
    program, before = continued(build, cells, device, path)
    identity = program.identity()
    began, written = clock(device), time.monotonic()
    with interrupt.training():
        for done in program.updates():
            progress(done, program.training.total)
            now = time.monotonic()
            signal = interrupt.requested()
            if signal or now - written > checkpoint.CHECKPOINT_SECONDS:
                content = {"state": program.state_dict(), "seconds": before + clock(device) - began}
                checkpoint.save_checkpoint(path, identity, content)
                written = now
            if signal:
                raise interrupt.Interrupted(signal)
    return program.results(before + clock(device) - began)


def check_counted(build: Build, cells: list[Cell]) -> None:
    """Raises RuntimeError unless a change of what builds the training makes results stale."""
    about = work.paper(cells[0].paper)
    if not sources.counts(build.__module__, about.roots(cells[0])):
        hint = f"name {build.__module__!r} among the roots of PAPER {about.name!r}"
        raise RuntimeError(f"{build.__module__} builds a training and counts for nothing; {hint}")


def continued(build: Build, cells: list[Cell], device: str, path: Path) -> tuple[Program, float]:
    """A program where its last checkpoint left it, and the seconds, by `clock`, of earlier runs.

    A checkpoint that does not fit it is set aside.
    """
    program = Program(cells, device, build)
    for file, saved in checkpoint.checkpoints(path, program.identity()):
        try:
            program.load_state_dict(saved["state"])
            return program, float(saved["seconds"])
        except Exception as error:  # wrong shapes, a missing state, or anything else
            why = f"{type(error).__name__}: {checkpoint.first_line(error)}"
            checkpoint.set_aside(file, why)
            program = Program(cells, device, build)
    return program, 0.0


def made(cell: Cell, data: dict[str, str], seconds: float, device: str) -> dict:
    """What every result says about its making; `data` are the checksums of its data sets."""
    paper = work.paper(cell.paper)
    return made_with(cell, data, paper.data.recipes(cell), seconds, device, paper.roots(cell))


def clock(device: str) -> float:
    """Seconds for timing work on a device: this process's own on the CPU, the wall's on a GPU."""
    return time.process_time() if device == "cpu" else time.monotonic()


def evenly(total: int, count: int) -> Callable[[int], bool]:
    """Whether to evaluate after so many of `total` updates: `count` times, as evenly spaced as
    whole numbers allow, the last time at the end; after every update if there are fewer.
    """
    return lambda done: done * count // total > (done - 1) * count // total


def evaluation_number(done: int, total: int, count: int) -> int:
    """Which of the evaluations that `evenly` schedules comes after `done` updates, from 1; it names
    what is played then. Fewer updates than evaluations leave numbers out.
    """
    return done * count // total


def finite(value: float) -> float | None:
    """The number, or None where it is not finite: JSON knows neither infinity nor NaN."""
    return value if math.isfinite(value) else None


def all_finite(curve: list[float]) -> bool:
    """Whether a member never diverged."""
    return all(math.isfinite(value) for value in curve)


def last_mean(curve: list[float], count: int) -> float:
    """Mean of the last `count` evaluations, or of all where there are fewer."""
    last = curve[-count:]
    return sum(last) / len(last)


def score(value: float, expert: float, random: float) -> float | None:
    """Normalised score of a return: 0 as a random policy, 100 as an expert's; or None."""
    return finite(100 * (value - random) / (expert - random))
