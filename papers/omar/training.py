"""Trains the cells of OMAR's tables: many cells and seeds as the members of one program.

Everything here decides numbers; what runs when, and how results are shown, is in experiment.py and
common/reporting/tables.py.
"""

import math
from dataclasses import fields

import torch

from common.learning.population import generators
from common.learning.replay import Replay
from common.running.cells import Cell, made_with
from common.running.checkpoint import train_to_end
from common.running.provenance import code_hashes
from envs import datasets
from envs.mujoco.data import TASKS as ROBOT_TASKS
from envs.teams import load_team
from papers.omar.omar import Backbone, BackboneConfig
from papers.omar.settings import METHODS, PER_MEMBER, structure

LEARNER_SOURCES = [
    "papers/omar/omar.py",
    "papers/omar/baselines.py",
    "papers/omar/training.py",
    "common/learning/kernels.py",
    "common/learning/kernels.c",
    "common/learning/losses.py",
    "common/learning/networks.py",
    "common/learning/population.py",
    "common/learning/replay.py",
    "common/learning/zeroth_order.py",
]
ENVIRONMENT_SOURCES = {
    "particle": ["envs/particle/batch.py", "envs/particle/scenarios.py", "envs/particle/world.py"],
    "mujoco": [
        "envs/lockstep.py",
        "envs/mujoco/batch.py",
        "envs/mujoco/robots.py",
        "envs/mujoco/team.py",
        "envs/mujoco/views.py",
    ],
}


def sources(cell: Cell) -> list[str]:
    """Files whose code decides the cell's numbers."""
    special = [
        f"papers/omar/{kind}.py" for kind in ("landscape", "timing") if cell.config.get(kind)
    ]
    family = "mujoco" if cell.config["task"] in ROBOT_TASKS else "particle"
    return LEARNER_SOURCES + ENVIRONMENT_SOURCES[family] + special


def program_key(cell: Cell) -> tuple:
    """Cells with equal keys can be members of one program: same shapes, same algorithm, same
    length.
    """
    config = cell.config
    shared = {
        key: value for key, value in config.items() if key not in ("quality", "hyper", "backbone")
    }
    shared["hyper"], shared["backbone"] = structure(config["hyper"]), structure(config["backbone"])
    return tuple(sorted((key, repr(value)) for key, value in shared.items()))


def data_paths(cell: Cell) -> dict[int, object]:
    """Data set file of each seed: run seed k uses data set k."""
    config = cell.config
    return {
        seed: datasets.data_path(config["task"], config["quality"], seed, config["data_size"])
        for seed in config["seeds"]
    }


def data_recipes(cell: Cell) -> dict[str, str]:
    """Recipes of the cell's data sets, by seed; {} where they are not known."""
    config = cell.config
    try:
        return {
            str(seed): datasets.recipe(config["task"], config["quality"], seed, config["data_size"])
            for seed in config["seeds"]
        }
    except datasets.DataError:
        return {}


def provenance(cell: Cell, data: dict[str, str], seconds: float, device: str) -> dict:
    """What every result says about its making; `data` are the checksums of its data sets."""
    return made_with(cell, data, data_recipes(cell), seconds, device, sources(cell))


def gather(cells: list[Cell], group: str, kind) -> dict:
    """One configuration for all members: shared values as they are, per-member values as lists."""
    first = cells[0].config[group]
    merged = {}
    for field in fields(kind):
        if field.name in PER_MEMBER:
            merged[field.name] = [
                cell.config[group][field.name] for cell in cells for _ in cell.config["seeds"]
            ]
        else:
            value = first[field.name]
            merged[field.name] = tuple(value) if isinstance(value, list) else value
    return merged


class Program:
    """A population in training: the members of several cells with the same program key."""

    def __init__(self, cells: list[Cell], device: str):
        config = cells[0].config
        self.cells, self.config, self.device = cells, config, device
        self.seeds = [seed for cell in cells for seed in cell.config["seeds"]]
        build, kind = METHODS[config["method"]]
        paths = {path: None for cell in cells for path in data_paths(cell).values()}
        loaded = {path: datasets.load(path) for path in paths}
        which = [list(paths).index(path) for cell in cells for path in data_paths(cell).values()]
        self.minibatches = generators(self.seeds, "minibatches")
        self.data = [
            {str(seed): loaded[path]["sha256"] for seed, path in data_paths(cell).items()}
            for cell in cells
        ]
        backbone = BackboneConfig(**gather(cells, "backbone", BackboneConfig))
        self.replay = Replay(
            [
                datasets.transitions(data, **config.get("data_reading", {}))
                for data in loaded.values()
            ],
            which,
            self.minibatches,
            backbone.centralised,
            config["method"] == "ma_icq",
            device,
        )
        self.env = load_team(config["task"], device)
        self.team = Backbone(
            self.seeds, self.env.obs_dim, self.env.action_dim, self.env.num_agents, backbone, device
        )
        self.learner = build(self.team, kind(**gather(cells, "hyper", kind)))
        self.round, self.curve_rounds, self.curve = 0, [], []

    def evaluate(self, purpose: str, episodes: int) -> torch.Tensor:
        """[M] mean raw return of the deterministic policies; the same start states each time."""
        streams = generators(self.seeds, purpose)
        return self.env.returns(self.team.act, streams, episodes).mean(1).double().cpu()

    def updates(self):
        """Trains to the end; yields the round after every update, evaluated every `eval_every`
        rounds.
        """
        config = self.config
        batch_size = self.team.config.batch_size
        while self.round < config["rounds"]:
            self.learner.update(self.replay.draw(batch_size))
            self.round += 1
            if self.round % config["eval_every"] == 0 or self.round == config["rounds"]:
                self.curve_rounds.append(self.round)
                self.curve.append(self.evaluate("evaluation", config["eval_episodes"]).tolist())
                if config[
                    "repeat_minibatches"
                ]:  # the released code's evaluation reset the sampler's generator
                    for stream, fresh in zip(
                        self.minibatches, generators(self.seeds, "minibatches"), strict=True
                    ):
                        stream.set_state(fresh.get_state())
            yield self.round

    def state_dict(self) -> dict:
        state = {
            "round": self.round,
            "curve_rounds": self.curve_rounds,
            "curve": self.curve,
            "minibatches": [stream.get_state() for stream in self.minibatches],
            "team": self.team.state_dict(),
        }
        if hasattr(self.learner, "state_dict"):
            state["learner"] = self.learner.state_dict()
        return state

    def load_state_dict(self, state: dict) -> None:
        self.round, self.curve_rounds, self.curve = (
            state["round"],
            state["curve_rounds"],
            state["curve"],
        )
        for stream, saved in zip(self.minibatches, state["minibatches"], strict=True):
            stream.set_state(saved)
        self.team.load_state_dict(state["team"])
        if "learner" in state:
            self.learner.load_state_dict(state["learner"])

    def results(self, seconds: float) -> list[dict]:
        """One result per cell: scores per seed, learning curves, provenance."""
        expert, random = datasets.constants(self.config["task"])

        def score(value: float) -> float | None:
            return 100 * (value - random) / (expert - random) if math.isfinite(value) else None

        last = self.evaluate("final evaluation", self.config["final_episodes"]).tolist()
        results, start = [], 0
        for cell, data in zip(self.cells, self.data, strict=True):
            seeds = []
            for offset, seed in enumerate(cell.config["seeds"]):
                curve = [point[start + offset] for point in self.curve]
                finite = [value for value in curve if math.isfinite(value)]
                bad = [
                    r
                    for r, value in zip(self.curve_rounds, curve, strict=True)
                    if not math.isfinite(value)
                ]
                value = last[start + offset]
                seeds.append(
                    {
                        "seed": seed,
                        "last_return": value if math.isfinite(value) else None,
                        "last_score": score(value),
                        "last_point_score": score(curve[-1]),  # the paper's protocol: 10 episodes
                        "best_score": score(max(finite)) if finite else None,
                        "diverged_at": bad[0] if bad else None,
                        "curve": [score(value) for value in curve],
                    }
                )
            start += len(cell.config["seeds"])
            results.append(
                provenance(cell, data, seconds / len(self.cells), self.device)
                | {
                    "constants": {"expert": expert, "random": random},
                    "rounds": self.curve_rounds,
                    "seeds": seeds,
                    "trained_with": len(self.cells),
                }
            )
        return results


def train(
    cells: list[Cell], device: str, checkpoint, progress=lambda done, total: None
) -> list[dict]:
    """Trains cells of one program to the end, continuing from `checkpoint` if it belongs to them.

    Args:
        checkpoint: path; written every minute, deleted by the caller once results are stored.
        progress: called with (rounds done, rounds in all) after every update.

    Returns:
        One result per cell, see `Program.results`.
    """
    program = Program(cells, device)
    identity = {
        "cells": [cell.hash for cell in cells],
        "code": code_hashes(sources(cells[0])),
        "data": program.data,
    }
    return program.results(
        train_to_end(program, identity, checkpoint, program.config["rounds"], progress)
    )
