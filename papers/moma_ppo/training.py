"""Trains cells: the members of a program are the seeds, and for MOMA-PPO the variants, of one
method on one data set.
"""

import math
from dataclasses import replace

import torch

from common.learning.heads import ACTION_BOUND, Categorical
from common.learning.population import generators, normal_
from common.learning.rollouts import experience, observed, roll
from common.running.cells import Cell, made_with
from common.running.checkpoint import train_to_end
from common.running.sources import code_hashes, module_of, resolve
from envs.tasks import TASKS
from papers.moma_ppo import tasks
from papers.moma_ppo.config import CONFIGS, GAME_LIMITS, HISTORY, LIMITS, VARIANTS
from papers.moma_ppo.sequences import GeneratedRows, HistoryBatch, Sequences, joined

OWN = ("variant", "seeds")  # of a cell; the rest of its configuration is its program's
MODEL_BASED = ("moma_ppo", "moma_iql")
MODELS = "papers.moma_ppo.models"
SIMULATED = "envs.mujoco.simulated:SimulatedWorld"
LEARNERS = {
    "moma_ppo": "common.learning.mappo:MAPPO",
    "iql": "papers.moma_ppo.iql:IQL",
    **dict.fromkeys(("maiql", "maiql_ft", "moma_iql"), "papers.moma_ppo.iql:MAIQL"),
    "ibc": "papers.moma_ppo.iql:IBC",
    "itd3bc": "papers.moma_ppo.td3:ITD3BC",
    "matd3bc": "papers.moma_ppo.td3:MATD3BC",
    "icql": "papers.moma_ppo.td3:ICQL",
    "iomar": "papers.moma_ppo.td3:IOMAR",
}
FT_EVERY, FT_STEPS = 10, 10  # MAIQL-ft: one rollout of so many steps every so many updates
IQL_STARTS, IQL_CAPACITY, IQL_REAL = (
    256,
    5000,
    0.05,
)  # MOMA-IQL: starts every FT_EVERY updates, rollouts kept, real share
IQL_PENALTY = 1.0


def program_key(cell: Cell) -> tuple:
    """Cells with equal keys can be trained together."""
    return tuple(sorted((key, repr(value)) for key, value in cell.config.items() if key not in OWN))


def roots(cell: Cell) -> list[str]:
    """Modules whose imports decide the cell's numbers."""
    config, method = cell.config, cell.config["method"]
    modules = ["papers.moma_ppo.training"]
    modules += (
        ["envs.coordination.game"] if tasks.is_game(config) else TASKS[config["task"]].modules
    )
    if method in (*MODEL_BASED, "world_model"):
        modules.append(MODELS)
    if method != "world_model":
        modules.append(module_of(LEARNERS[method]))
    if method == "maiql_ft" or config.get("world") == "simulator":
        modules.append(module_of(SIMULATED))
    return modules


class Program:
    """A population in training; subclasses say what an update is.

    Attributes:
        done: updates (or epochs) so far; total: in all.
        rounds: points of the curves; curve: a Score at each; facts: means of what the learner
            reports at each.
    """

    def __init__(self, cells: list[Cell], device: str):
        self.cells, self.device, self.done = cells, device, 0
        config = self.config = cells[0].config
        self.seeds = [seed for cell in cells for seed in cell.config["seeds"]]
        self.view, self.rounds, self.curve, self.facts, self.recent = (
            tasks.agents(config),
            [],
            [],
            [],
            {},
        )
        self.length = HISTORY[config["task"]]
        arrays, self.checksum = tasks.load(config, config["method"] in tasks.CENTRALISED)
        self.reward_scale = tasks.reward_scale(config, arrays)
        self.data = Sequences(arrays, self.view, self.length, self.reward_scale, device)
        self.model_sha256 = None  # of the world model, where one is used
        self.judge = tasks.Judge(config, self.seeds, device)
        self.total = config["updates"]

    def updates(self):
        """Trains to the end; yields the number of updates done after every one."""
        every = max(1, self.total // self.config["evaluations"])
        while self.done < self.total:
            for name, value in self.update().items():
                self.recent.setdefault(name, []).append(value.double())
            self.done += 1
            if self.done % every == 0:
                self.evaluate()
            yield self.done

    def update(self) -> dict[str, torch.Tensor]:
        """One update; what to report of it, [M] each."""
        raise NotImplementedError

    def act(self, obs, history):
        """The greedy population."""
        return self.learner.act(obs, history)

    def evaluate(self) -> None:
        """Notes the present scores, and the means of what was reported since the last time."""
        score = self.judge(self.act)
        self.rounds.append(self.done)
        self.curve.append({"score": score.score, "raw": score.raw, "distance": score.distance})
        self.facts.append(
            {name: torch.stack(values).mean(0).tolist() for name, values in self.recent.items()}
        )
        self.recent = {}

    def state_dict(self) -> dict:
        recent = {name: torch.stack(values) for name, values in self.recent.items()}
        return {
            "done": self.done,
            "rounds": self.rounds,
            "curve": self.curve,
            "facts": self.facts,
            "recent": recent,
            "learner": self.learner.state_dict(),
            "streams": {
                name: [stream.get_state() for stream in streams]
                for name, streams in self.streams().items()
            },
        }

    def load_state_dict(self, state: dict) -> None:
        for name in ("done", "rounds", "curve", "facts"):
            setattr(self, name, state[name])
        self.recent = {name: list(values) for name, values in state["recent"].items()}
        self.learner.load_state_dict(state["learner"])
        for name, streams in self.streams().items():
            for stream, saved in zip(streams, state["streams"][name], strict=True):
                stream.set_state(saved)

    def streams(self) -> dict[str, list[torch.Generator]]:
        """Generators that checkpoints must hold."""
        return {}

    def results(self) -> list[dict]:
        """One result per cell: scores, learning curves, what the learner reported."""
        found, start = [], 0
        for cell in self.cells:
            seeds = []
            for member, seed in enumerate(cell.config["seeds"], start):
                curve = [finite(point["score"][member]) for point in self.curve]
                known = [value for value in curve if value is not None]
                distance = self.curve[-1]["distance"]
                facts = [
                    {name: finite(values[member]) for name, values in point.items()}
                    for point in self.facts
                ]
                seeds.append(
                    {
                        "seed": seed,
                        "last_score": curve[-1],
                        "best_score": max(known) if known else None,
                        "last_return": finite(self.curve[-1]["raw"][member]),
                        "distance": distance and finite(distance[member]),
                        "curve": curve,
                        "facts": facts,
                    }
                )
            start += len(cell.config["seeds"])
            expert, random = tasks.constants(self.config)
            found.append(
                {
                    "rounds": self.rounds,
                    "seeds": seeds,
                    "constants": {"expert": expert, "random": random},
                }
            )
        return found


def finite(value: float) -> float | None:
    """The number, or None."""
    return value if math.isfinite(value) else None


class OfflineProgram(Program):
    """Model-free learners on minibatches of the data."""

    def __init__(self, cells: list[Cell], device: str):
        super().__init__(cells, device)
        self.learner = learner_of(self.config, self.seeds, self.view, self.data.state_dim, device)
        self.batches = generators(self.seeds, "minibatches")

    def batch(self, size: int) -> HistoryBatch:
        return self.data.batch(self.data.draw_index(size, self.batches))

    def update(self) -> dict[str, torch.Tensor]:
        return self.learner.update(self.batch(self.config["batch_size"]))

    def streams(self) -> dict[str, list[torch.Generator]]:
        return {"minibatches": self.batches}


class GrowingProgram(OfflineProgram):
    """MAIQL with rollouts of its own: in the simulator after the offline phase (MAIQL-ft), or in a
    world model (MOMA-IQL).
    """

    def __init__(self, cells: list[Cell], device: str):
        super().__init__(cells, device)
        config, method, agents = self.config, self.config["method"], self.view
        self.fine_tuning = method == "maiql_ft"
        self.draws = {
            name: generators(self.seeds, name)
            for name in ("starts", "actions", "world", "generated")
        }
        if self.fine_tuning:
            self.world = resolve(SIMULATED)(config["task"], device=device)
            self.scale = self.reward_scale
            self.starts, self.first = 1, config["updates"] - config["ft_updates"]
            capacity = -(-config["ft_updates"] // FT_EVERY)
        else:
            models = resolve(MODELS)
            cell = models.model_of(cells[0])
            result = models.ensure(cell, device)
            limit = {"penalty": 0.0, "aleatoric": 0.0, "adaptive": False, "box": False}
            self.world = models.load_world(
                cell, result, [limit] * len(self.seeds), device, "least", None
            )
            one = torch.full((len(self.seeds),), IQL_PENALTY, device=device)
            self.world.limits = replace(self.world.limits, lambda_r=one, lambda_a=one)
            self.scale = self.reward_scale if config["scaled_model_rewards"] else 1.0
            self.starts, self.first, capacity = IQL_STARTS, 0, IQL_CAPACITY
        self.generated = GeneratedRows(
            len(self.seeds), agents, self.length, self.data.state_dim, FT_STEPS, capacity, device
        )

    def update(self) -> dict[str, torch.Tensor]:
        size = self.config["batch_size"]
        if self.done < self.first:
            return super().update()
        if (self.done - self.first) % FT_EVERY == 0:
            self.explore()
        online = (self.done - self.first) // FT_EVERY * FT_STEPS + FT_STEPS
        real = len(self.data) / (len(self.data) + online) if self.fine_tuning else IQL_REAL
        kept = min(size - 1, max(1, round(size * real)))
        return self.learner.update(
            joined(self.batch(kept), self.generated.batch(size - kept, self.draws["generated"]))
        )

    @torch.no_grad()
    def explore(self) -> None:
        """Rollouts of the sampled policies from states of the data, added to what is learned from."""
        index = self.data.draw_index(self.starts, self.draws["starts"])
        before = self.data.window(index, self.length)
        state, history = self.data.start(index)
        self.world.reset(state)
        states, actions, rewards, ends = [state], [], [], []
        going = torch.ones(state.shape[:2], device=state.device)
        lengths = torch.zeros_like(going)
        for _ in range(FT_STEPS):
            obs = observed(self.view, state)
            noise = normal_(
                obs.new_empty(*obs.shape[:3], self.view.action_dim), self.draws["actions"]
            )
            action = self.learner.act(obs, history, noise).clamp(-ACTION_BOUND, ACTION_BOUND)
            outcome = self.world.step(
                state, self.view.join(action.transpose(1, 2)), self.draws["world"]
            )
            lengths += going
            going = going * outcome.alive
            actions.append(self.view.join(action.transpose(1, 2)))
            rewards.append(self.scale * outcome.reward)
            ends.append(1 - outcome.alive)
            history = torch.cat(
                [history[:, :, :, 1:], torch.cat([obs, action], -1).unsqueeze(3)], 3
            )
            state = outcome.state
            states.append(state)
        stacked = [torch.stack(parts, 2) for parts in (states, actions, rewards, ends)]
        self.generated.add(before, *stacked, lengths.long())

    def streams(self) -> dict[str, list[torch.Generator]]:
        return super().streams() | self.draws

    def state_dict(self) -> dict:
        return super().state_dict() | {"generated": self.generated.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        super().load_state_dict(state)
        self.generated.load_state_dict(state["generated"])


class ModelProgram(Program):
    """MOMA-PPO: epochs of rollouts in the world model from states of the data, and of MAPPO on them
    (Algorithm 1).

    Streams are keyed by epoch, so that rollouts made for a member whose others still lack steps
    change nothing for it.
    """

    def __init__(self, cells: list[Cell], device: str):
        super().__init__(cells, device)
        config, self.total = self.config, self.config["epochs"]
        self.learner = learner_of(config, self.seeds, self.view, self.data.state_dim, device)
        plain = GAME_LIMITS if tasks.is_game(config) else LIMITS
        limits = [
            plain | VARIANTS[cell.config["variant"]] for cell in cells for _ in cell.config["seeds"]
        ]
        if config["world"] == "simulator":
            self.world = resolve(SIMULATED)(config["task"], device=device)
        else:
            models = resolve(MODELS)
            cell = models.model_of(cells[0])
            result = models.ensure(cell, device)
            self.model_sha256 = result["model_sha256"]
            copies = (
                copies_of(self.view, self.data.state_dim).to(device)
                if config["uncertainty"] == "released"
                else None
            )
            self.world = models.load_world(cell, result, limits, device, config["combine"], copies)

    def update(self) -> dict[str, torch.Tensor]:
        """One epoch: `transitions` steps of every member, then MAPPO's passes over them."""
        config, steps = self.config, self.config["length"]
        starts = config["transitions"] // steps + 2
        streams = {
            name: generators(self.seeds, f"{name}/{self.done}") for name in ("starts", "order")
        }
        drawn = {
            name: generators(self.seeds, f"{name}/{self.done}", self.device)
            for name in ("actions",)
        }
        world = generators(self.seeds, f"world/{self.done}")
        rounds, have = [], torch.zeros(len(self.seeds), device=self.device)
        while have.min() < config["transitions"]:
            state, history = self.data.start(self.data.draw_index(starts, streams["starts"]))
            rounds.append(
                roll(
                    self.learner,
                    self.world,
                    self.view,
                    state,
                    history,
                    steps,
                    drawn["actions"],
                    world,
                )
            )
            have += rounds[-1].valid.flatten(1).sum(1)
        hyper = self.learner.config
        batch = experience(
            self.view, rounds, config["transitions"], self.length, hyper.gamma, hyper.gae_lambda
        )
        facts = self.learner.update(batch, streams["order"])
        first = rounds[0]
        valid = first.valid.float()
        facts["length"] = valid.sum((1, 2)) / starts
        for name in ("eps_g", "penalty", "size"):
            if name in first.facts:
                facts[name] = (first.facts[name].nan_to_num() * valid).sum((1, 2)) / valid.sum(
                    (1, 2)
                )
        facts["model_reward"] = (first.reward * valid).sum((1, 2)) / valid.sum((1, 2))
        return facts


def copies_of(view, state_dim: int) -> torch.Tensor:
    """[D + 1] how often agents together observe each number of the state, and the reward: the
    released code's eps_g.
    """
    counts = torch.zeros(state_dim + 1)
    for index in view.indices:
        counts[list(index)] += 1
    counts[-1] = view.num_agents
    return counts


def learner_of(config: dict, seeds: list[int], view, state_dim: int, device: str):
    """The learner of a method; choices of the game are categorical."""
    method = config["method"]
    head = {"head": Categorical(view.action_dim)} if tasks.is_game(config) else {}
    hyper = CONFIGS[method](**config["hyper"])
    sizes = (view.obs_dims, state_dim, view.action_dim)
    return resolve(LEARNERS[method])(seeds, *sizes, hyper, device, **head)


def program_of(cells: list[Cell], device: str):
    """The program that trains cells of one kind."""
    method = cells[0].config["method"]
    if method == "world_model":
        return resolve(MODELS).WorldModelProgram(cells, device)
    if method == "moma_ppo":
        return ModelProgram(cells, device)
    return (GrowingProgram if method in ("maiql_ft", "moma_iql") else OfflineProgram)(cells, device)


def train(
    cells: list[Cell], device: str, checkpoint, progress=lambda done, total: None
) -> list[dict]:
    """Trains cells of one program to the end, continuing from `checkpoint` if it belongs to them.

    Args:
        checkpoint: path; written every minute, deleted by the caller once results are stored.
        progress: called with (updates done, updates in all) after every update.

    Returns:
        One result per cell in the order of `cells`.
    """
    program = program_of(cells, device)
    identity = {
        "cells": [cell.hash for cell in cells],
        "code": code_hashes(roots(cells[0])),
        "data": program.checksum,
    }
    seconds = train_to_end(program, identity, checkpoint, program.total, progress)
    data = {"0": program.checksum} | (
        {"world_model": program.model_sha256} if program.model_sha256 else {}
    )
    return [
        made_with(cell, data, tasks.DATA.recipes(cell), seconds / len(cells), device, roots(cell))
        | {"trained_with": len(cells)}
        | found
        for cell, found in zip(cells, program.results(), strict=True)
    ]
