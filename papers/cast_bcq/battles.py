"""Trains cells on the battles: the members of a program are the seeds of one method on one map's
data.
"""

import torch

from common.learning.episodes import EpisodeStore
from common.running.cells import Cell, made_with
from common.running.checkpoint import train_to_end
from common.running.provenance import code_hashes
from envs import datasets
from envs.smac.core import VERSION, Battles
from envs.smac.team import advance
from papers.cast_bcq.recurrent import METHODS, RecurrentConfig, Sizes
from papers.cast_bcq.training import data_path, data_recipes

SOURCES = [
    *(
        f"papers/cast_bcq/{name}.py"
        for name in (
            "baselines",
            "battles",
            "cast",
            "contributions",
            "discrete",
            "recurrent",
        )
    ),
    *(
        f"common/learning/{name}"
        for name in (
            "episodes.py",
            "learner.py",
            "kernels.py",
            "kernels.c",
            "networks.py",
            "population.py",
            "recurrent.py",
            "recurrent.c",
        )
    ),
    *(f"envs/smac/{name}.py" for name in ("arrays", "core", "scalar", "tables", "team", "units")),
]
JUDGE = 30_000  # battles of evaluation are numbered apart from those of training


class Program:
    """A population in training.

    Attributes:
        done: updates so far.
        curve: per evaluation [M] win rate in %, and [M] mean return.
    """

    def __init__(self, cells: list[Cell], device: str):
        config = self.config = cells[0].config
        self.cells, self.device, self.done, self.curve = cells, device, 0, []
        self.seeds = [seed for cell in cells for seed in cell.config["seeds"]]
        loaded = datasets.load(data_path(cells[0]))
        self.checksum, arrays = loaded["sha256"], loaded["arrays"]
        returns = datasets.episode_returns(loaded)
        self.facts = {
            "data_win_rate": 100 * float(arrays["won"].mean()),
            "data_return": float(returns.mean()),
        }
        self.store = EpisodeStore(
            datasets.transitions(loaded), self.seeds, config["lanes"], device=device
        )
        self.battles = [
            Battles(config["task"], config["episodes"], JUDGE + seed) for seed in self.seeds
        ]
        one = self.battles[0]
        sizes = Sizes(one.obs_dim, one.state_dim, one.agents, one.n_actions)
        self.learner = METHODS[config["method"]](
            self.seeds, sizes, RecurrentConfig(**config["hyper"]), device
        )

    def updates(self):
        """Trains to the end; yields the number of updates done after every one."""
        total, every = (
            self.config["updates"],
            max(1, self.config["updates"] // self.config["evaluations"]),
        )
        while self.done < total:
            self.learner.update(self.store.draw())
            self.done += 1
            if self.done % every == 0:
                self.curve.append(self.evaluate())
            yield self.done

    @torch.no_grad()
    def evaluate(self) -> tuple[list[float], list[float]]:
        """Win rate in % and mean return of every member over greedy episodes; battles are the same
        at every evaluation.
        """
        for battles in self.battles:
            battles.episodes[:] = -1
            battles.reset()
        members, count, agents = len(self.battles), self.battles[0].battles, self.battles[0].agents
        memory, returns = self.learner.memory(count), torch.zeros(members, count)
        last = torch.full((members, count, agents), -1, device=self.device)
        while not all(battles.over.all() for battles in self.battles):
            obs = torch.stack([torch.from_numpy(battles.obs()) for battles in self.battles]).to(
                self.device
            )
            free = torch.stack(
                [torch.from_numpy(battles.available()) for battles in self.battles]
            ).to(self.device)
            last = self.learner.act(obs.float(), free.float(), last, memory)
            returns += advance(self.battles, last.cpu())[0]
        return [100 * float(battles.won.mean()) for battles in self.battles], returns.mean(
            1
        ).tolist()

    def state_dict(self) -> dict:
        return {
            "done": self.done,
            "curve": self.curve,
            "learner": self.learner.state_dict(),
            "store": self.store.state_dict(),
        }

    def load_state_dict(self, state: dict) -> None:
        self.done, self.curve = state["done"], state["curve"]
        self.learner.load_state_dict(state["learner"])
        self.store.load_state_dict(state["store"])

    def results(self, seconds: float) -> list[dict]:
        """One result per cell: win rates along training, provenance."""
        every, results, start = max(1, self.config["updates"] // self.config["evaluations"]), [], 0
        last = self.config["last"]
        for cell in self.cells:
            seeds = []
            for m, seed in enumerate(cell.config["seeds"], start):
                wins, returns = ([point[k][m] for point in self.curve] for k in (0, 1))
                fine = all(
                    bool(part.flat[m].isfinite().all()) for part in self.learner.networks.values()
                )
                seeds.append(
                    {
                        "seed": seed,
                        "win_rate": sum(wins[-last:]) / last if fine else None,
                        "average_return": sum(returns[-last:]) / last if fine else None,
                        "curve": wins,
                        "returns": returns,
                    }
                )
            start += len(cell.config["seeds"])
            results.append(
                made_with(
                    cell,
                    {"0": self.checksum},
                    data_recipes(cell),
                    seconds / len(self.cells),
                    self.device,
                    SOURCES,
                )
                | {
                    "environment": {
                        "family": "SMAC-like, built-in simulator",
                        "dynamics": "sc2",
                        "version": VERSION,
                    },
                    "rounds": [every * (k + 1) for k in range(len(self.curve))],
                    "seeds": seeds,
                    "extra": self.facts,
                    "trained_with": len(self.cells),
                }
            )
        return results


def train(
    cells: list[Cell], device: str, checkpoint, progress=lambda done, total: None
) -> list[dict]:
    """Trains cells of one program, continuing from `checkpoint` if it belongs to them; one result
    per cell, in their order.
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
