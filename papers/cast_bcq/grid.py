"""Trains cells on the grid world: members are data seeds times methods of one kind; every seed has
its own data set.
"""

import hashlib
import time

import numpy as np
import torch
from torch import Tensor

from common.learning.networks import apply_mlp
from common.learning.population import generator, generators
from common.running.cells import Cell, made_with
from envs.grid import world
from papers.cast_bcq.cast import Variant
from papers.cast_bcq.discrete import (
    DiscreteBatch,
    DiscreteBCQ,
    DiscreteCAST,
    DiscreteConfig,
    DiscreteICQ,
)

SOURCES = [
    *(f"papers/cast_bcq/{name}.py" for name in ("cast", "contributions", "discrete", "grid")),
    *(
        f"common/learning/{name}"
        for name in (
            "learner.py",
            "kernels.py",
            "kernels.c",
            "losses.py",
            "networks.py",
            "population.py",
        )
    ),
    "envs/grid/world.py",
]
METHODS = {"i_bcq": DiscreteBCQ, "i_icq": DiscreteICQ, "ours": DiscreteCAST}
AGENTS, ACTIONS = 2, len(world.ACTIONS)
EXAMPLE = world.state_of(4, 4)  # Section 2.3 explains the baselines' failure here


def data_set(cell_config: dict, seed: int) -> tuple[dict[str, np.ndarray], str, int]:
    """The random trajectories of a seed, their checksum, and how many of them reached the goal."""
    data = world.collect(
        cell_config["trajectories"], cell_config["behaviour"], generator(seed, "grid data")
    )
    digest = hashlib.sha256(
        b"".join(np.ascontiguousarray(data[key]).tobytes() for key in sorted(data))
    ).hexdigest()
    return data, digest, int((data["next_state"] == world.GOAL).sum())


def encode(encoding: str) -> Tensor:
    """[cells + 1, O] what agents see in every cell; the cliff's row, never bootstrapped from, is
    zeros.

    Args:
        encoding: "position", (x, y) in [-1, 1], or "onehot".

    Raises:
        ValueError: another encoding.
    """
    if encoding == "onehot":
        return torch.eye(world.CELLS + 1)[:, : world.CELLS]
    if encoding != "position":
        raise ValueError(f"encoding is {encoding!r}, expected 'position' or 'onehot'")
    x, y = torch.meshgrid(
        torch.linspace(-1, 1, world.WIDTH), torch.linspace(-1, 1, world.HEIGHT), indexing="ij"
    )
    return torch.cat([torch.stack([x, y], -1).flatten(0, 1), torch.zeros(1, 2)])


class Grid:
    """A population in training on the grid."""

    def __init__(self, cells: list[Cell], device: str):
        config = self.config = cells[0].config
        self.cells, self.device = cells, device
        self.seeds = [seed for cell in cells for seed in cell.config["seeds"]]
        found = [data_set(config, seed) for seed in self.seeds]
        self.data, self.checksums, self.goals = (
            list(column) for column in zip(*found, strict=True)
        )
        self.streams = generators(self.seeds, "minibatches")
        self.seen = encode(config["encoding"]).to(device)
        size = self.seen.shape[1]
        dims, hyper = [size] * AGENTS, DiscreteConfig(**config["hyper"])
        kind = METHODS[config["method"]]
        if kind is DiscreteCAST:
            variants = [
                Variant(**cell.config["variant"]) for cell in cells for _ in cell.config["seeds"]
            ]
            self.learner = kind(self.seeds, dims, size, ACTIONS, hyper, variants, device)
        else:
            self.learner = kind(self.seeds, dims, ACTIONS, hyper, device)

    def draw(self) -> DiscreteBatch:
        """A fresh minibatch for every member, from its own data."""
        columns = {
            key: []
            for key in ("state", "action", "reward", "next_state", "terminal", "next_action")
        }
        for data, stream in zip(self.data, self.streams, strict=True):
            size = len(data["state"])
            index = torch.randint(size, (self.config["batch_size"],), generator=stream).numpy()
            for key in columns:
                rows = (
                    data["action"][np.minimum(index + 1, size - 1)]
                    if key == "next_action"
                    else data[key][index]
                )
                columns[key].append(torch.from_numpy(rows))
        part = {key: torch.stack(values).to(self.device) for key, values in columns.items()}
        state, next_state = self.seen[part["state"]], self.seen[part["next_state"]]
        obs, next_obs = (
            seen.unsqueeze(1).expand(-1, AGENTS, -1, -1).contiguous()
            for seen in (state, next_state)
        )
        every = torch.ones(*obs.shape[:3], ACTIONS, device=self.device)
        reward, terminal = part["reward"].float(), part["terminal"].float()
        action, next_action = part["action"].transpose(1, 2), part["next_action"].transpose(1, 2)
        return DiscreteBatch(
            state, obs, every, action, reward, next_state, next_obs, every, terminal, next_action
        )

    def policy(self) -> np.ndarray:
        """[M, N, cells] every agent's action in every cell."""
        obs = self.seen[: world.CELLS].expand(len(self.seeds), AGENTS, -1, -1).contiguous()
        return (
            self.learner.act(obs, torch.ones(*obs.shape[:3], ACTIONS, device=self.device))
            .cpu()
            .numpy()
        )

    def evaluate(self) -> tuple[list[float], list[bool]]:
        """Return of each member, and whether it reached the goal; the world and greedy policies are
        deterministic.
        """
        greedy = self.policy()
        members = np.arange(len(self.seeds))
        returns, reached = world.play(lambda states: greedy[members, :, states], len(members))
        return returns.tolist(), reached.tolist()

    @torch.no_grad()
    def example(self) -> list | None:
        """[M, 3, 3] joint values at (4, 4), rows agent x's action, columns agent y's; None without
        a joint critic.
        """
        if not isinstance(self.learner, DiscreteCAST):
            return None
        actions = torch.cartesian_prod(torch.arange(ACTIONS), torch.arange(ACTIONS)).to(self.device)
        onehot = self.learner.onehot(actions).expand(len(self.seeds), -1, -1, -1)
        state = self.seen[EXAMPLE].expand(len(self.seeds), len(actions), -1)
        values = self.learner.joint_values(state, onehot, self.learner.networks["critic"])
        return values.unflatten(1, (ACTIONS, ACTIONS)).tolist()

    @torch.no_grad()
    def own_values(self) -> list | None:
        """[M, 2, 3] every agent's own values of its actions at (4, 4); None without any (I-ICQ's
        are its policy's logits).
        """
        obs = self.seen[EXAMPLE].expand(len(self.seeds), AGENTS, 1, -1).contiguous()
        name = {DiscreteBCQ: "critic", DiscreteICQ: "actor", DiscreteCAST: "value"}[
            type(self.learner)
        ]
        head = 0 if name == "critic" else None
        return apply_mlp(self.learner.networks[name], obs, None, head).squeeze(2).tolist()


def train(
    cells: list[Cell], device: str, checkpoint, progress=lambda done, total: None
) -> list[dict]:
    """Trains cells of one program; seconds at most, so nothing is checkpointed. One result per
    cell.
    """
    began, program, curve, config = time.monotonic(), Grid(cells, device), [], cells[0].config
    total, every = config["updates"], max(1, config["updates"] // config["evaluations"])
    for done in range(1, total + 1):
        program.learner.update(program.draw())
        if done % every == 0:
            curve.append(program.evaluate())
        progress(done, total)
    results, start, seconds = [], 0, time.monotonic() - began
    joint, own = program.example(), program.own_values()
    for cell in cells:
        seeds = []
        for offset, seed in enumerate(cell.config["seeds"]):
            m = start + offset
            seeds.append(
                {
                    "seed": seed,
                    "last_return": curve[-1][0][m],
                    "success": 100.0 * curve[-1][1][m],
                    "curve": [point[0][m] for point in curve],
                    "goals_in_data": program.goals[m],
                    "transitions": len(program.data[m]["state"]),
                    "joint_values_at_4_4": joint and joint[m],
                    "own_values_at_4_4": own[m],
                }
            )
        checksums = {
            str(seed): program.checksums[start + i] for i, seed in enumerate(cell.config["seeds"])
        }
        start += len(cell.config["seeds"])
        made = made_with(cell, checksums, {}, seconds / len(cells), device, SOURCES)
        results.append(
            made
            | {
                "rounds": [every * (k + 1) for k in range(len(curve))],
                "seeds": seeds,
                "extra": {"goals_in_data": [one["goals_in_data"] for one in seeds]},
                "trained_with": len(cells),
            }
        )
    return results
