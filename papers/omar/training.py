"""What is trained for the cells of OMAR's tables: many cells and seeds as members of one program.

The loop, checkpoints and results are in common/running/program.py; what runs when, and how results
are shown, in experiment.py and common/reporting/tables.py.
"""

import math
from dataclasses import dataclass, fields
from typing import Any

from common.learning.philox import Streams
from common.learning.population import generators
from common.learning.replay import Replay
from common.running import program
from common.running.cells import Cell
from common.running.program import Course, Members, Training
from common.running.sources import module_of, resolve
from envs import datasets
from envs.tasks import TASKS, data_seed
from envs.teams import load_team
from papers.omar.config import METHODS, PER_MEMBER, structure
from papers.omar.omar import Backbone, BackboneConfig


def data_of(cell: Cell) -> datasets.DataSets:
    """The cell's data sets."""
    config = cell.config
    return datasets.DataSets(
        config["task"],
        config["quality"] + config.get("variant", ""),
        {run: data_seed(config["task"], run) for run in config["seeds"]},
        config["data_size"],
    )


DATA = datasets.CellData(data_of)
# How policies trained on the authors' own data are evaluated, beside what their scores are
# relative to: their prey ships as a pickle, which is not read, and their robots ran on MuJoCo 2.0
OURS = {
    "predator_prey": "against our prey",
    "world": "against our prey",
    "two_agent_halfcheetah": "on MuJoCo 3.17, not on 2.0",
}


def roots(cell: Cell) -> list[str]:
    """Modules whose imports decide the cell's numbers."""
    config = cell.config
    method, _ = METHODS[config["method"]]
    special = [f"papers.omar.{kind}" for kind in ("landscape", "timing") if config.get(kind)]
    if special:  # they take the hyperparameters of other methods from there
        special.append("papers.omar.config")
    return ["papers.omar.training", module_of(method), *TASKS[config["task"]].modules, *special]


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


def gather(members: Members, group: str, kind) -> dict:
    """One configuration for all members: shared values as they are, per-member values as lists."""
    merged: dict[str, Any] = {}
    for name in (field.name for field in fields(kind)):
        if name in PER_MEMBER:
            merged[name] = [config[group][name] for config in members.configs]
        else:
            value = members.config[group][name]
            merged[name] = tuple(value) if isinstance(value, list) else value
    return merged


@dataclass(frozen=True)
class Population:
    """Members with all they need: their data sets, the team they play in, networks and a method.

    Attributes:
        data: for each cell the checksums of its data sets.
        data_returns: [M] mean raw return of the episodes in each member's data.
    """

    seeds: list[int]
    data: list[dict[str, str]]
    data_returns: list[float]
    replay: Replay
    team: Any
    backbone: Backbone
    learner: Any

    def draw(self):
        """A minibatch for every member."""
        return self.replay.draw(self.backbone.config.batch_size)

    def returns(self, purpose: str, episodes: int) -> list[float]:
        """[M] mean raw return of the deterministic policies; the same start states each time."""
        streams = generators(self.seeds, purpose)
        returns = self.team.returns(self.backbone.act, streams, episodes)
        return returns.mean(1).double().tolist()


def populate(members: Members, device: str) -> Population:
    """The members of some cells, untrained."""
    config = members.config
    seeds = members.seeds
    loaded = DATA.load(members.cells)
    backbone_config = BackboneConfig(**gather(members, "backbone", BackboneConfig))
    reading = config.get("data_reading", {})
    replay = Replay(
        [datasets.transitions(data, **reading) for data in loaded.sets],
        loaded.members,
        Streams(seeds, "minibatches", device),
        backbone_config.centralised,
        config["method"] == "ma_icq",
        device,
    )
    team = load_team(config["task"], device)
    backbone = Backbone(
        seeds, team.obs_dim, team.action_dim, team.num_agents, backbone_config, device
    )
    build, kind = METHODS[config["method"]]
    learner = resolve(build)(backbone, kind(**gather(members, "hyper", kind)))
    means = [float(datasets.episode_returns(data).mean()) for data in loaded.sets]
    data_returns = [means[index] for index in loaded.members]
    return Population(seeds, loaded.checksums, data_returns, replay, team, backbone, learner)


def build(members: Members, device: str) -> Training:
    """What is trained for the members of some cells."""
    return training_of(populate(members, device), members)


def training_of(population: Population, members: Members) -> Training:
    """How a population is trained."""
    config = members.config
    task, size = config["task"], config["data_size"]
    scale = datasets.scale(task, size)
    expert, random = scale["expert"], scale["random"]
    if size == "omar" and task in OURS:
        scale["evaluated"] = OURS[task]
    rounds = config["rounds"]

    def evaluate(done: int) -> dict[str, list]:
        measured = {"return": population.returns("evaluation", config["eval_episodes"])}
        if done == rounds:
            measured["last"] = population.returns("final evaluation", config["final_episodes"])
        if config["repeat_minibatches"]:  # the released code's evaluation reset the sampler
            population.replay.streams.restart()
        return measured

    def facts(course: Course) -> dict:
        curve = course.curves["return"]
        last = course.curves["last"][0]
        scores = [program.score(value, expert, random) for value in curve]
        finite = [value for value in curve if math.isfinite(value)]
        diverged = [
            done
            for done, value in zip(course.rounds, curve, strict=True)
            if not math.isfinite(value)
        ]
        return {
            "last_return": program.finite(last),
            "last_score": program.score(last, expert, random),
            "last_point_score": scores[-1],  # the paper's protocol: 10 episodes
            "best_score": program.score(max(finite), expert, random) if finite else None,
            "data_return": population.data_returns[course.place],
            "diverged_at": diverged[0] if diverged else None,
            "curve": scores,
        }

    return Training(
        learner=population.learner,
        draw=lambda done: population.draw(),
        evaluate=evaluate,
        evaluate_at=lambda done: done % config["eval_every"] == 0 or done == rounds,
        facts=facts,
        total=rounds,
        data=population.data,
        summary=lambda courses: {"constants": scale},
        others={"minibatches": population.replay.streams},
    )
