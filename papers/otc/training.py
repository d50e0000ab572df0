"""Trains cells of online tuning: the members of a program are the seeds of several cells.

Offline phase, embedding, then K deployments (Algorithm 1). Cells of one program differ in how rows
are chosen only, so the members of a seed share their offline phase: it is trained once per seed and
copied.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch

from common.learning.philox import Streams
from common.learning.population import generators, members_of
from common.learning.replay import Batch
from common.learning.td3bc import Standardiser
from common.running import program
from common.running.cells import Cell
from common.running.program import Course, Members, Training
from common.running.sources import module_of, resolve
from envs import datasets, joint
from envs.tasks import TASKS, data_seed
from envs.teams import load_team
from papers.otc.balanced import BalancedConfig, BalancedReplay
from papers.otc.config import BASES
from papers.otc.embedding import Embedding, EmbeddingConfig
from papers.otc.experience import FIELDS, MergedData
from papers.otc.tuning import STRATEGIES, Sampler, TuningConfig, span

OWN = ("strategy", "alpha", "adaptive")  # of a cell; the rest of its configuration is its program's


def roots(cell: Cell) -> list[str]:
    """Modules whose imports decide the cell's numbers."""
    config = cell.config
    base, _ = BASES[config["base"]]
    special = ["papers.otc.timing", "papers.otc.config"] if config.get("timing") else []
    return ["papers.otc.training", module_of(base), *TASKS[config["task"]].modules, *special]


def program_key(cell: Cell) -> tuple:
    """Cells with equal keys differ in how they choose rows only."""
    return tuple(sorted((key, repr(value)) for key, value in cell.config.items() if key not in OWN))


def data_sets(cell: Cell) -> datasets.DataSets:
    """The cell's data sets."""
    task, quality, size = (cell.config[key] for key in ("task", "quality", "data_size"))
    seeds = {seed: data_seed(task, seed) for seed in cell.config["seeds"]}
    return datasets.DataSets(task, quality, seeds, size)


DATA = datasets.CellData(data_sets)


def in_battle(task: str) -> bool:
    """Whether the task is a StarCraft map."""
    return TASKS[task].name == "battles"


def horizon(task: str) -> int:
    """Steps of an episode of the task."""
    if TASKS[task].name == "kinematic":
        return resolve("envs.kinematic.worlds:SCENARIOS")[task].horizon
    return resolve("envs.mujoco.robots:robot")(task).horizon


def whole(steps: int, horizon: int) -> int:
    """So many steps, down to whole episodes of the horizon; less than one episode stays as it is.

    A part of an episode would be its start, which a deployment then has seen too often.
    """
    return max(1, steps - steps % horizon if steps > horizon else steps)


def transitions(task: str, data: dict) -> dict[str, torch.Tensor]:
    """Tensors [R, N, ...] of a loaded data set, of battles too."""
    if in_battle(task):
        return resolve("envs.smac.team:transitions")(data["arrays"])
    return datasets.transitions(data)


class Stage(NamedTuple):
    """Where in Algorithm 1 an update is.

    Attributes:
        name: "offline", "embedding" or "tuning".
        deployment: 1 to K while tuning, else 0.
        first, last: whether it is the stage's (or deployment's) first or last update.
    """

    name: str
    deployment: int
    first: bool
    last: bool


@dataclass(frozen=True)
class Schedule:
    """How many updates each stage has; tuning has its number after every deployment."""

    offline: int
    embedding: int
    tuning: int
    deployments: int

    @property
    def before(self) -> int:
        """Updates before the first deployment."""
        return self.offline + self.embedding

    @property
    def total(self) -> int:
        """Updates in all, of whatever stage."""
        return self.before + self.deployments * self.tuning

    def stage(self, done: int) -> Stage:
        """Where update number `done` is, counted from 0."""
        if done < self.offline:
            return Stage("offline", 0, done == 0, done == self.offline - 1)
        if done < self.before:
            return Stage("embedding", 0, done == self.offline, done == self.before - 1)
        deployment, step = divmod(done - self.before, self.tuning)
        return Stage("tuning", deployment + 1, step == 0, step == self.tuning - 1)

    def evaluate_at(self, done: int) -> bool:
        """Whether a deployment comes next, or has just been learned from."""
        return done >= self.before and (done - self.before) % self.tuning == 0


class OnlineTuning:
    """A population of variants of the same agents: its learner, its data, how rows are chosen.

    Attributes:
        learner: one member per seed while offline, one per member of the program afterwards.
        alphas: per deployment [M, N].
        rankings: what distances rank first after the first and the last deployment.
    """

    def __init__(self, members: Members, device: str):
        self.members = members
        self.device = device
        config = self.config = members.config
        self.seeds = members.seeds
        self.unique = list(dict.fromkeys(self.seeds))
        self.strategies = [one["strategy"] for one in members.configs]
        loaded = DATA.load(members.cells)
        self.data = loaded.checksums
        rows = [transitions(config["task"], one) for one in loaded.sets]
        sets = [{name: one[name] for name in FIELDS} for one in rows]
        share = int(config["deployment_share"] * len(sets[0]["obs"]))
        self.steps = share if in_battle(config["task"]) else whole(share, horizon(config["task"]))
        deployments = config["deployments"]
        self.experience = MergedData(sets, loaded.members, deployments, self.steps, device)
        self.team = load_team(config["task"], device)
        first = [self.seeds.index(seed) for seed in self.unique]
        assert first == list(range(len(first)))  # the first cell has every seed once
        self.learner = self.learner_of(self.unique, first, config["offline_rate"])
        self.minibatches = Streams(self.unique, "minibatches", device)
        self.embedding: Any = None  # of the members whose strategy needs one
        self.balanced: Any = None
        self.sampler: Any = None  # once offline training is over
        if "embedding" in self.strategies:
            where = span(self.strategies, "embedding")
            settings = EmbeddingConfig(**config["embedding"])
            self.embedding = Embedding(self.seeds[where], self.experience, where, settings, device)
        self.schedule = Schedule(
            config["offline_updates"],
            config["embedding"]["updates"] if self.embedding else 0,
            config["tuning_updates"],
            deployments,
        )
        self.alphas: list[list] = []
        self.rankings: list[dict[str, list]] = []

    def learner_of(self, seeds: list[int], members: list[int], rate: float):
        """An untrained learner for these seeds, whose data sets are those of these members; its
        learning rates are the configuration's times `rate`.
        """
        kind, config = BASES[self.config["base"]]
        dims = [self.team.obs_dim] * self.team.num_agents
        options: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in self.config["hyper"].items()
        }
        options |= {key: options[key] * rate for key in options if key.endswith("lr")}
        extra: tuple = ()
        if self.config["base"] in ("td3bc", "bremen"):
            moments = [moment[members] for moment in self.experience.moments("obs")]
            extra = (Standardiser(*moments) if self.config["base"] == "td3bc" else moments,)
        return resolve(kind)(
            seeds, dims, self.team.action_dim, config(**options), *extra, device=self.device
        )

    def expand(self) -> None:
        """From one learner per seed to one per member, all copies of their seed's."""
        copies = [self.unique.index(seed) for seed in self.seeds]
        state = members_of(self.learner.state_dict(), copies)
        everyone = list(range(len(self.seeds)))
        self.learner = self.learner_of(self.seeds, everyone, self.config["tuning_rate"])
        self.learner.load_state_dict(state)
        if "balanced" in self.strategies:
            where = span(self.strategies, "balanced")
            settings = BalancedConfig(**self.config["balanced"])
            self.balanced = BalancedReplay(
                self.seeds[where], self.experience, where, settings, self.device
            )
        self.sampler = Sampler(
            self.experience,
            self.learner,
            self.strategies,
            self.seeds,
            [one["alpha"] for one in self.members.configs],
            [one["adaptive"] for one in self.members.configs],
            self.embedding,
            self.balanced,
            TuningConfig(**self.config["tuning"]),
        )

    def draw(self, done: int) -> tuple[Stage, Batch]:
        """The minibatch of update number `done`, after a deployment where one begins."""
        stage = self.schedule.stage(done)
        if stage.name == "offline":
            size = self.minibatches_of_update * self.config["tuning"]["batch_size"]
            index = self.experience.draw(size, self.minibatches, 0, self.experience.offline)
            return stage, self.experience.gather(index, slice(0, len(self.unique)))
        if stage.name == "embedding":
            return stage, self.embedding.draw()
        if stage.first:
            self.deploy(stage.deployment)
        return stage, self.chosen()

    @property
    def minibatches_of_update(self) -> int:
        """How many the learner wants: one, or one for each of its models."""
        return getattr(self.learner, "minibatches", 1)

    def chosen(self) -> Batch:
        """The rows that every member's strategy chooses."""
        chosen = [self.sampler.choose() for _ in range(self.minibatches_of_update)]
        return self.experience.gather(torch.cat(chosen, -1))

    def update(self, drawn: tuple[Stage, Batch]) -> None:
        """Learns from a minibatch of a stage; its last one ends the stage."""
        stage, batch = drawn
        if stage.name == "embedding":
            self.embedding.update(batch)
            if stage.last:
                self.embedding.finish()
            return
        self.learner.update(batch)
        if stage.last and self.config["base"] == "bremen":
            self.learner.improve()  # now that its models are fitted
        if stage.last and stage.name == "offline":
            self.expand()

    def deploy(self, deployment: int) -> None:
        """Lines 4 to 8 of Algorithm 1: collect with the present policies, merge, adapt alpha."""
        self.shift(deployment)
        purpose = f"deployment {deployment}"
        start = self.experience.size
        self.experience.add(self.collect(self.policy(purpose), generators(self.seeds, purpose)))
        if self.embedding:
            self.embedding.extend(start, self.experience.size)
        if self.balanced:
            self.balanced.add_latest()
        self.sampler.adapt(deployment)
        self.alphas.append(self.sampler.alpha.tolist())
        if self.sampler.compared and deployment in (1, self.schedule.deployments):
            self.rankings.append(self.sampler.ranking())

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

    def shift(self, deployment: int) -> None:
        """Sets what changes between deployments of a non-stationary task."""
        if "shift" in self.config:
            first, last = self.config["shift"]
            steps = max(1, self.schedule.deployments - 1)
            self.team.beta = first + (last - first) * (deployment - 1) / steps

    def policy(self, purpose: str):
        """What is deployed, with its own random numbers where acting is random."""
        streams = Streams(self.seeds, f"acting/{purpose}", self.device)
        return lambda obs: self.learner.act(obs, streams)

    def evaluate(self, done: int) -> dict[str, list]:
        """Mean return of the present policies, over episodes that are not learnt from; more of them
        before the first and after the last deployment, which are compared.
        """
        deployment = (done - self.schedule.before) // self.schedule.tuning
        self.shift(max(1, deployment))
        ends = deployment in (0, self.schedule.deployments)
        episodes = self.config["final_episodes" if ends else "eval_episodes"]
        if deployment:
            return {"return": self.returns(self.seeds, episodes)}
        of_seed = dict(zip(self.unique, self.returns(self.unique, episodes), strict=True))
        return {"return": [of_seed[seed] for seed in self.seeds]}

    def finite(self, place: int) -> bool:
        """Whether a member has not diverged: the best of values that are no numbers is an action
        all the same.
        """
        networks = self.learner.networks.values()
        return all(bool(network.flat[place].isfinite().all()) for network in networks)

    def returns(self, seeds: list[int], episodes: int) -> list[float]:
        """Mean return of the first members, whose seeds are these, over so many episodes."""
        learner = self.learner.part(slice(0, len(seeds)))
        acting = Streams(seeds, "acting/evaluation", self.device)
        streams = generators(seeds, "evaluation")
        returns = self.team.returns(lambda obs: learner.act(obs, acting), streams, episodes)
        return returns.double().mean(1).tolist()

    def state_dict(self) -> dict:
        return {
            "alphas": self.alphas,
            "rankings": self.rankings,
            "learner": self.learner.state_dict(),
            "experience": self.experience.state_dict(),
            "minibatches": self.minibatches.state_dict(),
            "embedding": self.embedding and self.embedding.state_dict(),
            "sampler": self.sampler and self.sampler.state_dict(),
        }

    def load_state_dict(self, state: dict) -> None:
        self.alphas = state["alphas"]
        self.rankings = state["rankings"]
        self.experience.load_state_dict(state["experience"])
        self.minibatches.load_state_dict(state["minibatches"])
        if state["sampler"]:
            self.expand()
            self.sampler.load_state_dict(state["sampler"])
        self.learner.load_state_dict(state["learner"])
        if self.embedding:
            self.embedding.load_state_dict(state["embedding"])
            if self.embedding.facts:
                self.embedding.extend(0, self.experience.size)


def build(members: Members, device: str) -> Training:
    """What is trained for the members of some cells; equal strategies side by side."""
    tuning = OnlineTuning(members, device)
    constants = datasets.scale(members.config["task"], members.config["data_size"])
    expert = constants["expert"]
    random = constants["random"]

    def facts(course: Course) -> dict:
        curve = course.curves["return"]
        fine = program.all_finite(curve) and tuning.finite(course.place)
        first: Any = program.score(curve[0], expert, random)
        last: Any = program.score(curve[-1], expert, random)
        said: dict[str, Any] = {
            "last_return": curve[-1] if fine else None,
            "first_return": curve[0] if fine else None,
            "improvement": 100 * (curve[-1] - curve[0]) / abs(curve[0])
            if fine and curve[0]
            else None,
            "first_score": first if fine else None,
            "last_score": last if fine else None,
            "score_gain": last - first if fine and last is not None else None,
            "curve": [program.finite(level) for level in curve],
            "alpha": [alpha[course.place] for alpha in tuning.alphas],  # [K, N]
            "alpha_guard_hits": tuning.sampler.guard_hits[course.place].tolist(),
        }
        if tuning.strategies[course.place] in tuning.sampler.compared:
            said["ranking"] = {
                name: [
                    [program.finite(number) for number in numbers[name][course.place]]
                    for numbers in tuning.rankings
                ]  # [2, N]
                for name in tuning.rankings[0]
            }
        if tuning.strategies[course.place] == "embedding":
            row = course.place - span(tuning.strategies, "embedding").start
            said["embedding"] = {key: rows[row] for key, rows in tuning.embedding.facts.items()}
        return said

    def summary(courses: list[Course]) -> dict:
        places = [course.place for course in courses]
        alphas = [[alpha[place] for alpha in tuning.alphas] for place in places]
        return {
            "constants": None if math.isnan(expert) else constants,
            "rounds": list(range(tuning.schedule.deployments + 1)),
            "extra": {"alpha": alphas},  # [seeds, K, N]
        }

    return Training(
        learner=tuning,
        draw=tuning.draw,
        evaluate=tuning.evaluate,
        evaluate_at=tuning.schedule.evaluate_at,
        facts=facts,
        total=tuning.schedule.total,
        data=tuning.data,
        summary=summary,
    )


def train(
    cells: list[Cell], device: str, checkpoint: Path, progress=lambda done, total: None
) -> list[dict]:
    """Trains cells of one program, those of a strategy side by side; see `program.train`."""
    order = list(STRATEGIES)
    ordered = sorted(cells, key=lambda cell: order.index(cell.config["strategy"]))
    results = program.train(build, ordered, device, checkpoint, progress)
    by_slot = {cell.slot: result for cell, result in zip(ordered, results, strict=True)}
    return [by_slot[cell.slot] for cell in cells]


def uses_robot(cell: Cell) -> bool:
    """Whether the cell's task is a robot."""
    return TASKS[cell.config["task"]].name == "robots"
