"""What Figure 1d shows: one agent's Q function over its action, and where single actor steps take
the policy.
"""

import copy
import functools
from dataclasses import replace

import torch
from torch import Tensor

from common.learning import kernels
from common.running.program import Course, Members, Training
from papers.omar import training
from papers.omar.baselines import MACQL
from papers.omar.config import default_hyper
from papers.omar.omar import OMAR, Backbone, OMARConfig, critic_samples

MARKERS = {  # as in the paper's figure
    "before": ("MA-CQL, before", "o", "#d55e00"),
    "cql": ("MA-CQL, after its step", "^", "#009e73"),
    "omar": ("OMAR, after its step", "s", "#0072b2"),
}
STEPS = 10  # actor steps on one minibatch: one moves too little to be seen
POINTS = 201
EVERY = 8  # rows of the minibatch looked at: each eighth


def landscape(backbone: Backbone, context: Tensor, row: int) -> Tensor:
    """[M, POINTS] first critic of agent 0 at observation `row` of the batch over a grid of actions
    in [-1, 1].
    """
    grid = torch.linspace(-1, 1, POINTS)
    members, agents, rows = context.shape[:3]
    actions = grid.reshape(1, 1, 1, POINTS, 1).expand(members, agents, rows, POINTS, 1)
    arguments = critic_samples(backbone, context, actions.contiguous(), head=0)
    return kernels.sample_values(*arguments)[:, 0, row]


def local_optima(values: torch.Tensor) -> int:
    """Number of interior maxima of values [POINTS]."""
    inner = values[1:-1]
    return int(((inner > values[:-2]) & (inner > values[2:])).sum())


def steps_from_here(
    population: training.Population, members: Members
) -> tuple[Tensor, dict[str, Tensor]]:
    """Landscapes at rows of a fresh minibatch, and agent 0's actions there.

    Returns:
        [M, rows, POINTS] values, and [M, rows] actions by the names of MARKERS.
    """
    backbone = population.backbone
    batch = population.draw()
    context = backbone.data_context(batch)
    rows = range(0, context.shape[2], EVERY)
    surfaces = torch.stack([landscape(backbone, context, row) for row in rows], dim=1)

    def actions() -> Tensor:
        return backbone.actors.act(batch.obs)[:, 0, ::EVERY, 0]

    config = members.config
    hyper = default_hyper("omar", config["task"], config["quality"], config["reading"])
    hyper |= config["hyper"]
    hyper |= {
        "coefficient": 0.5,
        "alpha": [config["hyper"]["alpha"] for config in members.configs],
    }
    learners: dict[str, MACQL | OMAR] = {
        "cql": MACQL(backbone, population.learner.config),
        "omar": OMAR(backbone, OMARConfig(**hyper)),
    }
    saved = copy.deepcopy(backbone.state_dict())
    reached = {"before": actions()}
    for name, learner in learners.items():
        backbone.load_state_dict(saved)
        for _ in range(STEPS):
            learner.update(batch)
        reached[name] = actions()
    backbone.load_state_dict(saved)
    return surfaces, reached


def build(members: Members, device: str) -> Training:
    """MA-CQL on the two-agent line; then MA-CQL's and OMAR's actor steps from the same state.

    The state shown is the one of a minibatch at which the landscape has most interior maxima: the
    figure illustrates that such states exist, and the choice looks at the critic only, not at
    either method.
    """
    population = training.populate(members, device)
    outcome = functools.cache(lambda: steps_from_here(population, members))
    grid = torch.linspace(-1, 1, POINTS)

    def picture(place: int) -> dict:
        """What is drawn of a member."""
        surfaces, reached = outcome()
        optima = [local_optima(surface) for surface in surfaces[place]]
        row = optima.index(max(optima))
        return {
            "actions": grid.tolist(),
            "landscape": surfaces[place, row].tolist(),
            "maxima": optima[row],
        } | {name: float(actions[place, row]) for name, actions in reached.items()}

    def facts(course: Course) -> dict:
        drawn = picture(course.place)
        surface = torch.tensor(drawn["landscape"])
        nearest = {name: float(surface[(grid - drawn[name]).abs().argmin()]) for name in MARKERS}
        return {"q": nearest | {"best": float(surface.max())}}

    def pictures(courses: list[Course]) -> dict:
        return {"extra": [{"seed": course.seed, **picture(course.place)} for course in courses]}

    return replace(
        training.training_of(population, members),
        evaluate_at=lambda done: False,
        facts=facts,
        summary=pictures,
    )
