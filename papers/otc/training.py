"""Trains cells of online tuning: the members of a program are the seeds of several cells.

Offline phase, embedding, then K deployments (Algorithm 1). Cells of one program differ in how rows
are chosen only, so the members of a seed share their offline phase: it is trained once per seed and
copied.
"""

import math

import torch

from common.learning.population import generators, members_of
from common.learning.td3bc import Standardiser
from common.running.cells import Cell, made_with
from common.running.checkpoint import train_to_end
from common.running.sources import code_hashes, module_of, resolve
from envs import datasets, joint
from envs.tasks import TASKS
from envs.teams import load_team
from papers.otc.balanced import BalancedConfig, BalancedReplay
from papers.otc.config import BASES
from papers.otc.embedding import Embedding, EmbeddingConfig
from papers.otc.experience import FIELDS, MergedData
from papers.otc.tuning import STRATEGIES, Sampler, TuningConfig, span

ONLINE_SHARE = 0.01  # of the offline rows, per deployment
OWN = ("strategy", "alpha", "adaptive")  # of a cell; the rest of its configuration is its program's
SHIFT = (0.1, 0.2)  # beta of shifting navigation at the first and the last deployment


def roots(cell: Cell) -> list[str]:
    """Modules whose imports decide the cell's numbers."""
    config = cell.config
    base, _ = BASES[config["base"]]
    special = ["papers.otc.timing", "papers.otc.config"] if config.get("timing") else []
    return ["papers.otc.training", module_of(base), *TASKS[config["task"]].modules, *special]


def program_key(cell: Cell) -> tuple:
    """Cells with equal keys differ in how they choose rows only."""
    return tuple(sorted((key, repr(value)) for key, value in cell.config.items() if key not in OWN))


def data_seed(task: str, seed: int) -> int:
    """Run seed k uses data set k, where a task has several."""
    known = datasets.family(task).seeds(task)
    return seed if seed in known else known[seed % len(known)]


def data_sets(cell: Cell) -> datasets.DataSets:
    """The cell's data sets."""
    task, quality, size = (cell.config[key] for key in ("task", "quality", "data_size"))
    seeds = {seed: data_seed(task, seed) for seed in cell.config["seeds"]}
    return datasets.DataSets(task, quality, seeds, size)


DATA = datasets.CellData(data_sets)


def provenance(cell: Cell, data: dict[str, str], seconds: float, device: str) -> dict:
    """What every result says about its making; `data` are the checksums of its data sets."""
    return made_with(cell, data, DATA.recipes(cell), seconds, device, roots(cell))


def in_battle(task: str) -> bool:
    """Whether the task is a StarCraft map."""
    return TASKS[task].name == "battles"


def horizon(task: str) -> int:
    """Steps of an episode of the task."""
    if TASKS[task].name == "kinematic":
        return resolve("envs.kinematic.worlds:SCENARIOS")[task].horizon
    return resolve("envs.mujoco.robots:robot")(task).horizon


def transitions(task: str, data: dict) -> dict[str, torch.Tensor]:
    """Tensors [R, N, ...] of a loaded data set, of battles too."""
    if in_battle(task):
        return resolve("envs.smac.team:transitions")(data["arrays"])
    return datasets.transitions(data)


class Program:
    """A population in training: variants of the same agents.

    Attributes:
        stage: "offline", "embedding", "tuning", and within it the deployment and the number of
            updates done.
        returns: per deployment [M] mean raw return, the offline policies' first.
        alphas: per deployment [M, N].
    """

    def __init__(self, cells: list[Cell], device: str):
        config = self.config = cells[0].config
        order = sorted(
            range(len(cells)), key=lambda i: STRATEGIES.index(cells[i].config["strategy"])
        )
        self.cells, self.device, self.deployments = (
            [cells[i] for i in order],
            device,
            config["deployments"],
        )
        self.seeds = [seed for cell in self.cells for seed in cell.config["seeds"]]
        self.unique = list(dict.fromkeys(self.seeds))
        self.copies = [self.unique.index(seed) for seed in self.seeds]

        loaded = DATA.load(self.cells)
        self.data = loaded.checksums
        found = [transitions(config["task"], one) for one in loaded.sets]
        sets = [{name: one[name] for name in FIELDS} for one in found]
        self.steps = max(1, int(ONLINE_SHARE * len(sets[0]["obs"])))
        self.experience = MergedData(sets, loaded.members, self.deployments, self.steps, device)
        self.team = load_team(config["task"], device)

        # One learner per seed until the offline phase is over; then one per member
        self.learner = self.build(self.unique, [self.seeds.index(seed) for seed in self.unique])
        self.minibatches = generators(self.unique, "minibatches")
        strategies = [cell.config["strategy"] for cell in self.cells for _ in cell.config["seeds"]]
        self.strategies = strategies
        self.embedding = self.balanced = self.sampler = None
        if "embedding" in strategies:
            mine = span(strategies, "embedding")
            settings = EmbeddingConfig(**config["embedding"])
            self.embedding = Embedding(self.seeds[mine], self.experience, mine, settings, device)
        self.stage, self.deployment, self.done = "offline", 0, 0
        self.returns, self.alphas = [], []

    def build(self, seeds: list[int], members: list[int]):
        """A learner for these seeds, whose data sets are those of these members."""
        kind, config = BASES[self.config["base"]]
        dims = [self.team.obs_dim] * self.team.num_agents
        options = {
            key: tuple(v) if isinstance(v, list) else v for key, v in self.config["hyper"].items()
        }
        extra = ()
        if self.config["base"] in ("td3bc", "bremen"):
            moments = [part[members] for part in self.experience.moments("obs")]
            extra = (Standardiser(*moments) if self.config["base"] == "td3bc" else moments,)
        return kind(
            seeds, dims, self.team.action_dim, config(**options), *extra, device=self.device
        )

    def expand(self) -> None:
        """From one learner per seed to one per member, all copies of their seed's."""
        state = members_of(self.learner.state_dict(), self.copies)
        self.learner = self.build(self.seeds, list(range(len(self.seeds))))
        self.learner.load_state_dict(state)
        config, seeds = self.config, self.seeds
        if "balanced" in self.strategies:
            mine = span(self.strategies, "balanced")
            settings = BalancedConfig(**config["balanced"])
            self.balanced = BalancedReplay(
                seeds[mine], self.experience, mine, settings, self.device
            )
        own = {
            key: [cell.config[key] for cell in self.cells for _ in cell.config["seeds"]]
            for key in ("alpha", "adaptive")
        }
        self.sampler = Sampler(
            self.experience,
            self.learner,
            self.strategies,
            seeds,
            own["alpha"],
            own["adaptive"],
            self.embedding,
            self.balanced,
            TuningConfig(**config["tuning"]),
        )

    @property
    def total(self) -> int:
        """Updates in all, of whatever stage."""
        embedding = self.config["embedding"]["updates"] if self.embedding else 0
        return (
            self.config["offline_updates"]
            + embedding
            + self.deployments * self.config["tuning_updates"]
        )

    def updates(self):
        """Trains to the end; yields the number of updates done after every one."""
        config, batch_size, count = self.config, self.config["tuning"]["batch_size"], 0
        if self.stage == "offline":
            rows = slice(0, len(self.unique))
            first = [self.seeds.index(seed) for seed in self.unique]
            assert first == sorted(first) and first == list(
                range(len(first))
            )  # the first cell has every seed once
            while self.done < config["offline_updates"]:
                index = self.experience.draw(
                    batch_size, self.minibatches, 0, self.experience.offline
                )
                self.learner.update(self.experience.gather(index, rows))
                self.done += 1
                yield self.done
            self.improve()
            self.expand()
            self.stage, self.done = "embedding", 0
        count = config["offline_updates"]
        if self.stage == "embedding":
            if self.embedding:
                for _ in self.embedding.train():
                    count += 1
                    yield count
            self.evaluate()
            self.stage = "tuning"
        count = (
            self.total
            - self.deployments * config["tuning_updates"]
            + self.deployment * config["tuning_updates"]
        )
        while self.deployment < self.deployments:
            if self.done == 0:
                self.deploy()
            while self.done < config["tuning_updates"]:
                self.learner.update(self.experience.gather(self.sampler.choose()))
                self.done += 1
                yield count + self.done
            self.improve()
            self.deployment, self.done, count = (
                self.deployment + 1,
                0,
                count + config["tuning_updates"],
            )
            self.evaluate()

    def deploy(self) -> None:
        """Lines 4 to 8 of Algorithm 1: collect with the present policies, merge, adapt alpha."""
        k = self.deployment + 1
        self.shift(k)
        streams = generators(self.seeds, f"deployment {k}")
        start = self.experience.size
        self.experience.add(self.collect(self.policy(f"deployment {k}"), streams))
        if self.embedding:
            self.embedding.extend(start, self.experience.size)
        if self.balanced:
            self.balanced.add_latest()
        self.sampler.adapt(k)
        self.alphas.append(self.sampler.alpha.tolist())

    def collect(self, policy, streams: list[torch.Generator]) -> dict[str, torch.Tensor]:
        """What a deployment brings: tensors [M, steps, N, ...]. In battles agents explore in turn,
        elsewhere nobody does.
        """
        task = self.config["task"]
        if in_battle(task):
            return self.team.collect(policy, streams, self.steps)
        worlds = max(1, self.steps // horizon(task))
        rows = self.team.deploy(policy, streams, self.steps, worlds)
        merged = {name: values.reshape(-1, *values.shape[2:]) for name, values in rows.items()}
        seen = joint.transitions(merged, self.team.view)
        return {name: seen[name].unflatten(0, (len(self.seeds), -1)) for name in FIELDS}

    def improve(self) -> None:
        """What a model-based learner does once its models are fitted."""
        if self.config["base"] == "bremen":
            self.learner.improve()

    def shift(self, deployment: int) -> None:
        """Sets what changes between deployments of a non-stationary task."""
        if hasattr(self.team, "beta"):
            first, last = SHIFT
            self.team.beta = first + (last - first) * (deployment - 1) / max(
                1, self.deployments - 1
            )

    def policy(self, purpose: str):
        """What is deployed, with its own random numbers where acting is random."""
        streams = generators(self.seeds, f"acting/{purpose}", self.device)
        return lambda obs: self.learner.act(obs, streams)

    def evaluate(self) -> None:
        """Notes the mean return of the present policies, over episodes that are not learnt from."""
        self.shift(max(1, self.deployment))
        streams = generators(self.seeds, "evaluation")
        found = self.team.returns(self.policy("evaluation"), streams, self.config["eval_episodes"])
        self.returns.append(found.double().mean(1).tolist())

    def state_dict(self) -> dict:
        state = {
            "stage": self.stage,
            "deployment": self.deployment,
            "done": self.done,
            "returns": self.returns,
            "alphas": self.alphas,
            "learner": self.learner.state_dict(),
            "experience": self.experience.state_dict(),
            "minibatches": self.minibatches.state_dict(),
        }
        if self.stage == "tuning":
            state["sampler"] = self.sampler.state_dict()
            state["embedding"] = self.embedding and self.embedding.state_dict()
        return state

    def load_state_dict(self, state: dict) -> None:
        self.stage, self.deployment, self.done = state["stage"], state["deployment"], state["done"]
        self.returns, self.alphas = state["returns"], state["alphas"]
        self.experience.load_state_dict(state["experience"])
        self.minibatches.load_state_dict(state["minibatches"])
        if self.stage != "offline":
            self.expand()
        self.learner.load_state_dict(state["learner"])
        if self.stage == "tuning":
            if self.embedding:
                self.embedding.load_state_dict(state["embedding"])
                self.embedding.extend(0, self.experience.size)
            self.sampler.load_state_dict(state["sampler"])

    def results(self, seconds: float) -> list[dict]:
        """One result per cell: returns after every deployment, improvement, alpha, provenance."""
        expert, random = datasets.constants(self.config["task"])

        def score(value: float) -> float | None:
            level = 100 * (value - random) / (expert - random)
            return level if math.isfinite(level) else None

        results, start = [], 0
        for cell, data in zip(self.cells, self.data, strict=True):
            seeds = []
            for offset, seed in enumerate(cell.config["seeds"]):
                member = start + offset
                curve = [point[member] for point in self.returns]
                fine = all(math.isfinite(value) for value in curve)
                first, last = score(curve[0]), score(curve[-1])
                facts = {
                    "seed": seed,
                    "last_return": curve[-1] if fine else None,
                    "first_return": curve[0] if fine else None,
                    "improvement": 100 * (curve[-1] - curve[0]) / abs(curve[0])
                    if fine and curve[0]
                    else None,
                    "last_score": last,
                    "score_gain": last - first if fine and last is not None else None,
                    "curve": [value if math.isfinite(value) else None for value in curve],
                    "alpha": [point[member] for point in self.alphas],  # [K, N]
                    "alpha_guard_hits": self.sampler.guard_hits[member].tolist(),
                }
                if cell.config["strategy"] == "embedding":
                    mine = member - span(self.strategies, "embedding").start
                    facts["embedding"] = {
                        key: values[mine] for key, values in self.embedding.facts.items()
                    }
                seeds.append(facts)
            start += len(cell.config["seeds"])
            results.append(
                provenance(cell, data, seconds / len(self.cells), self.device)
                | {
                    "constants": None
                    if math.isnan(expert)
                    else {"expert": expert, "random": random},
                    "rounds": list(range(self.deployments + 1)),
                    "seeds": seeds,
                    "extra": {"alpha": [one["alpha"] for one in seeds]},  # [seeds, K, N]
                    "trained_with": len(self.cells),
                }
            )
        return results


def train(
    cells: list[Cell], device: str, checkpoint, progress=lambda done, total: None
) -> list[dict]:
    """Trains cells of one program to the end, continuing from `checkpoint` if it belongs to them.

    Args:
        checkpoint: path; written every minute (not while the embedding trains), deleted by the
            caller once results are stored.
        progress: called with (updates done, updates in all) after every update.

    Returns:
        One result per cell in the order of `cells`, see `Program.results`.
    """
    program = Program(cells, device)
    identity = {
        "cells": [cell.hash for cell in cells],
        "code": code_hashes(roots(cells[0])),
        "data": program.data,
    }
    seconds = train_to_end(
        program,
        identity,
        checkpoint,
        program.total,
        progress,
        may_save=lambda: program.stage != "embedding",
    )
    by_slot = dict(
        zip((cell.slot for cell in program.cells), program.results(seconds), strict=True)
    )
    return [by_slot[cell.slot] for cell in cells]


def uses_robot(cell: Cell) -> bool:
    """Whether the cell's task is a robot."""
    return TASKS[cell.config["task"]].name == "robots"
