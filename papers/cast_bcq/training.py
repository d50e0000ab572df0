"""Trains cells on the robots: the members of a program are the seeds, and for CAST the variants, of
one data set.

One loop for all methods: they differ in what agents observe and in their learner.
"""

import math
from pathlib import Path

from common.learning.bcq import BCQ, BCQConfig
from common.learning.population import generators
from common.running.cells import Cell, made_with
from common.running.checkpoint import train_to_end
from common.running.provenance import code_hashes
from envs import datasets, joint
from envs.lockstep import View
from envs.mujoco.team import RobotTeam
from envs.mujoco.views import view
from papers.cast_bcq.baselines import ICQ, MABCQ, ICQConfig, MABCQConfig
from papers.cast_bcq.cast import CAST, CASTConfig, Variant
from papers.cast_bcq.rows import Rows

SOURCES = [
    *(
        f"papers/cast_bcq/{name}.py"
        for name in ("baselines", "cast", "contributions", "rows", "training")
    ),
    *(
        f"common/learning/{name}"
        for name in (
            "bcq.py",
            "learner.py",
            "kernels.py",
            "kernels.c",
            "losses.py",
            "networks.py",
            "population.py",
            "vae.py",
        )
    ),
    "envs/joint.py",
    "envs/lockstep.py",
    "envs/mujoco/batch.py",
    "envs/mujoco/robots.py",
    "envs/mujoco/team.py",
    "envs/mujoco/views.py",
]
OWN = ("variant", "seeds")  # of a cell; the rest of its configuration is its program's
DATA_SEED = 0  # robots have one data set of each quality


def sources(cell: Cell) -> list[str]:
    """Files whose code decides the cell's numbers."""
    return SOURCES


def program_key(cell: Cell) -> tuple:
    """Cells with equal keys can be trained together."""
    return tuple(sorted((key, repr(value)) for key, value in cell.config.items() if key not in OWN))


def data_path(cell: Cell) -> Path:
    """The cell's data set."""
    return datasets.data_path(
        cell.config["task"], cell.config["quality"], DATA_SEED, cell.config["data_size"]
    )


def data_recipes(cell: Cell) -> dict[str, str]:
    """Recipe of the cell's data set; {} where it is not known."""
    try:
        return {
            "0": datasets.recipe(
                cell.config["task"], cell.config["quality"], DATA_SEED, cell.config["data_size"]
            )
        }
    except (datasets.DataError, FileNotFoundError):
        return {}


def single(robot: str) -> View:
    """The robot as one agent that sees and drives everything."""
    full = view(robot, "full")
    return View(robot, "single", full.indices[:1], full.num_agents * full.action_dim)


class Program:
    """A population in training.

    Attributes:
        done: updates so far.
        curve: per evaluation [M] mean return.
    """

    def __init__(self, cells: list[Cell], device: str):
        config = self.config = cells[0].config
        self.cells, self.device, self.done, self.curve = cells, device, 0, []
        self.seeds = [seed for cell in cells for seed in cell.config["seeds"]]
        variants = [
            Variant(**cell.config["variant"]) for cell in cells for _ in cell.config["seeds"]
        ]
        robot, method = config["task"], config["method"]
        self.view = single(robot) if method == "bcq" else view(robot, config["observation"])
        self.team = RobotTeam(robot, self.view, device=device)
        loaded = datasets.load(data_path(cells[0]))
        self.checksum = loaded["sha256"]
        streams = generators(self.seeds, "minibatches")
        data = joint.transitions(loaded["arrays"], single(robot))
        self.rows = Rows(
            [data], [0] * len(self.seeds), streams, self.view, method == "icq_ma", device
        )

        dims, action_dim, state_dim = (
            self.view.obs_dims,
            self.view.action_dim,
            data["obs"].shape[-1],
        )
        hyper = config["hyper"]
        if method == "ours":
            self.learner = CAST(
                self.seeds, dims, state_dim, action_dim, CASTConfig(**hyper), variants, device
            )
        elif method == "icq_ma":
            self.learner = ICQ(self.seeds, dims, state_dim, action_dim, ICQConfig(**hyper), device)
        elif method == "mabcq":
            self.learner = MABCQ(self.seeds, dims, action_dim, MABCQConfig(**hyper), device)
        else:
            self.learner = BCQ(self.seeds, dims, action_dim, BCQConfig(**hyper), device)
        self.joint = method in ("ours", "icq_ma")

    def updates(self):
        """Trains to the end; yields the number of updates done after every one."""
        total, every = (
            self.config["updates"],
            max(1, self.config["updates"] // self.config["evaluations"]),
        )
        while self.done < total:
            batch = self.rows.draw(self.config["batch_size"])
            self.learner.update(batch if self.joint else batch.separate())
            self.done += 1
            if self.done % every == 0:
                self.evaluate()
            yield self.done

    def evaluate(self) -> None:
        """Notes the mean return of the present policies; start states are the same at every
        evaluation.
        """
        acting = generators(self.seeds, f"acting/{self.done}", self.device)
        streams = generators(self.seeds, "evaluation")
        found = self.team.returns(
            lambda obs: self.learner.act(obs, acting), streams, self.config["episodes"]
        )
        self.curve.append(found.double().mean(1).tolist())

    def state_dict(self) -> dict:
        return {
            "done": self.done,
            "curve": self.curve,
            "learner": self.learner.state_dict(),
            "minibatches": [stream.get_state() for stream in self.rows.streams],
        }

    def load_state_dict(self, state: dict) -> None:
        self.done, self.curve = state["done"], state["curve"]
        self.learner.load_state_dict(state["learner"])
        for stream, saved in zip(self.rows.streams, state["minibatches"], strict=True):
            stream.set_state(saved)

    def results(self, seconds: float) -> list[dict]:
        """One result per cell: learning curves, average scores, provenance."""
        every, results, start = max(1, self.config["updates"] // self.config["evaluations"]), [], 0
        expert, random = datasets.constants(self.config["task"])
        for cell in self.cells:
            seeds = []
            for offset, seed in enumerate(cell.config["seeds"]):
                curve = [point[start + offset] for point in self.curve]
                fine = all(math.isfinite(value) for value in curve)
                last = curve[-self.config["last"] :]
                average = sum(last) / len(last)
                seeds.append(
                    {
                        "seed": seed,
                        "average_return": average if fine else None,
                        "average_score": 100 * (average - random) / (expert - random)
                        if fine
                        else None,
                        "last_return": curve[-1] if fine else None,
                        "best_return": max(curve) if fine else None,
                        "curve": [value if math.isfinite(value) else None for value in curve],
                    }
                )
            start += len(cell.config["seeds"])
            checksums = {"0": self.checksum}
            results.append(
                made_with(
                    cell,
                    checksums,
                    data_recipes(cell),
                    seconds / len(self.cells),
                    self.device,
                    SOURCES,
                )
                | {
                    "constants": {"expert": expert, "random": random},
                    "rounds": [every * (k + 1) for k in range(len(self.curve))],
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
        progress: called with (updates done, updates in all) after every update.

    Returns:
        One result per cell in the order of `cells`, see `Program.results`.
    """
    program = Program(cells, device)
    identity = {
        "cells": [cell.hash for cell in cells],
        "code": code_hashes(SOURCES),
        "data": program.checksum,
    }
    return program.results(
        train_to_end(program, identity, checkpoint, program.config["updates"], progress)
    )
