"""What Figure 1d shows: one agent's Q function over its action, and where a step of the actor takes
the policy.

At some points of MA-CQL's training the critic is held fixed, so there is one landscape for every
state and agent, and both methods start from the same policy, on the same minibatch. A policy sits
in a poor local maximum where it is next to one that is clearly below the landscape's highest point.
Every such state is counted, and one is drawn, chosen before any step is taken.

The landscape is the one that the actor climbs: the critics' input norm has the statistics of the
policy's actions. With those of other actions, a policy that has converged is next to no maximum.
"""

import copy
import functools
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from common.learning import kernels
from common.learning.networks import first_layer, layers, moments
from common.learning.philox import Streams
from common.learning.replay import Batch
from common.running import program
from common.running.program import Course, Members, Training
from papers.omar import training
from papers.omar.baselines import MACQL
from papers.omar.config import default_hyper
from papers.omar.omar import OMAR, Backbone, OMARConfig

MARKERS = {  # as in the paper's figure
    "before": ("MA-CQL, before", "o", "#d55e00"),
    "cql": ("MA-CQL, after its step", "^", "#009e73"),
    "omar": ("OMAR, after its step", "s", "#0072b2"),
}
STEPS = (1, 10, 100)  # of the actor; the figure draws the first, the rest go on in its direction
LOOKS = 10  # at the landscapes, evenly over the training
POINTS = 201
NEAR = 0.1  # a policy sits in a maximum that is no further away; actions are in [-1, 1]
POOR = 0.1  # of the landscape's range: a maximum that is further below the highest one is poor


@dataclass(frozen=True)
class Landscapes:
    """Values over a grid of actions, one curve for every state and agent of a minibatch.

    Attributes:
        values: [M, N, B, POINTS] of actions evenly spaced in [-1, 1].
    """

    values: Tensor

    @functools.cached_property
    def summits(self) -> Tensor:
        """[M, N, B, POINTS] for every point the local maximum that the way up from it ends in."""
        last = self.values.shape[-1] - 1
        here = torch.arange(last + 1, device=self.values.device)
        left = (here - 1).clamp_min(0)
        right = (here + 1).clamp_max(last)
        ways = torch.stack([here, left, right])  # [3, POINTS]
        heights = torch.stack([self.values[..., way] for way in ways])
        up = ways[heights.argmax(0), here]
        for _ in range(last.bit_length()):  # twice as far each time
            up = up.gather(-1, up)
        return up

    def points(self, action: Tensor) -> Tensor:
        """[M, N, B] nearest points of the grid: action [M, N, B] in [-1, 1]."""
        last = self.values.shape[-1] - 1
        return ((action + 1) / 2 * last).round().long()

    def at(self, points: Tensor) -> Tensor:
        """[M, N, B] values at points of the grid [M, N, B]."""
        return self.values.gather(-1, points.unsqueeze(-1)).squeeze(-1)

    def tops(self, action: Tensor) -> Tensor:
        """[M, N, B] height of the local maximum above an action [M, N, B]."""
        summit = self.summits.gather(-1, self.points(action).unsqueeze(-1)).squeeze(-1)
        return self.at(summit)

    def gaps(self, action: Tensor) -> Tensor:
        """[M, N, B] how far that maximum is below the highest one, of the landscape's range."""
        highest = self.values.amax(-1)
        span = (highest - self.values.amin(-1)).clamp_min(1e-12)
        return (highest - self.tops(action)) / span

    def poor(self, action: Tensor) -> Tensor:
        """[M, N, B] whether an action sits in a poor local maximum."""
        point = self.points(action)
        summit = self.summits.gather(-1, point.unsqueeze(-1)).squeeze(-1)
        distance = 2 / (self.values.shape[-1] - 1) * (summit - point).abs()
        return (distance <= NEAR) & (self.gaps(action) > POOR)

    def left(self, before: Tensor, after: Tensor) -> Tensor:
        """[M, N, B] whether a step left a poor local maximum for the slope of a higher one."""
        return self.poor(before) & (self.tops(after) > self.tops(before))


def landscapes(backbone: Backbone, context: Tensor, action: Tensor) -> Landscapes:
    """First critics at every state of a minibatch over a grid of actions.

    Args:
        context: of the critics, [M, N, B, C].
        action: [M, N, B], whose statistics the critics' input norm has.
    """
    inputs = torch.cat([context, action.unsqueeze(-1)], dim=-1)
    statistics = moments(inputs) if backbone.config.input_norm else None
    params = backbone.critics.params
    weights = layers(params, first_layer(params, statistics), head=0)
    grid = torch.linspace(-1, 1, POINTS, device=context.device)
    actions = grid.reshape(1, 1, 1, POINTS, 1).expand(*context.shape[:3], POINTS, 1)
    return Landscapes(kernels.sample_values(context, actions.contiguous(), *weights))


def actions_after(
    backbone: Backbone, learners: dict[str, MACQL | OMAR], batch: Batch, context: Tensor
) -> dict[str, dict[int, Tensor]]:
    """[M, N, B] actions after each of STEPS of the actor alone, by method; the backbone is as it
    was before.
    """
    saved = copy.deepcopy(backbone.state_dict())
    reached: dict[str, dict[int, Tensor]] = {}
    for name, learner in learners.items():
        backbone.load_state_dict(saved)
        reached[name] = {}
        for step in range(1, max(STEPS) + 1):
            learner.improve(batch, context)
            if step in STEPS:
                reached[name][step] = actions_of(backbone, batch)
    backbone.load_state_dict(saved)
    return reached


def actions_of(backbone: Backbone, batch: Batch) -> Tensor:
    """[M, N, B] the policies' actions on the line, as the actor's loss has them."""
    return backbone.actors.train_actions(batch.obs).detach()[..., 0]


@dataclass(frozen=True)
class Outcome:
    """Actions [M, N, B] on the landscapes of a minibatch before, and after each method's steps."""

    surfaces: Landscapes
    before: Tensor
    after: dict[str, dict[int, Tensor]]

    def shares(self, place: int) -> dict[str, dict[str, float]]:
        """Of a member, in percent of all agents' states: how many are poor, and how many of them
        each method leaves in how many steps.
        """
        shares = {"poor": {"states": percent(self.surfaces.poor(self.before)[place])}}
        for step in STEPS:
            shares[f"left after {step}"] = {
                name: percent(self.surfaces.left(self.before, after[step])[place])
                for name, after in self.after.items()
            }
        return shares

    def drawn(self, place: int) -> tuple[int, int]:
        """Agent and row of the state that is drawn of a member: the widest gap of a poor state, or
        of any where no state is poor.
        """
        gaps = self.surfaces.gaps(self.before)[place]
        poor = self.surfaces.poor(self.before)[place]
        rows = gaps.shape[1]
        best = int((gaps + poor).argmax())  # a gap is at most 1
        return best // rows, best % rows

    def picture(self, place: int) -> dict:
        """The landscape that is drawn of a member, the actions on it, and their values."""
        agent, row = self.drawn(place)
        actions = {"before": self.before} | {name: at[1] for name, at in self.after.items()}
        values = {
            name: self.surfaces.at(self.surfaces.points(action)) for name, action in actions.items()
        }
        surface = self.surfaces.values[place, agent, row]
        heights = {name: float(value[place, agent, row]) for name, value in values.items()}
        return {
            "agent": agent,
            "gap": float(self.surfaces.gaps(self.before)[place, agent, row]),
            "poor": bool(self.surfaces.poor(self.before)[place, agent, row]),
            "actions": torch.linspace(-1, 1, POINTS).tolist(),
            "landscape": surface.tolist(),
            "q": heights | {"best": float(surface.max())},
        } | {name: float(action[place, agent, row]) for name, action in actions.items()}


def percent(flags: Tensor) -> float:
    """Share of flags that are true."""
    return 100 * float(flags.double().mean())


def outcome_of(population: training.Population, members: Members, done: int) -> Outcome:
    """Both methods' steps after `done` updates, on a minibatch of their own: the training goes on
    as if nobody had looked.
    """
    backbone = population.backbone
    replay = copy.copy(population.replay)
    replay.streams = Streams(population.seeds, f"landscape/{done}", replay.device)
    batch = replay.draw(backbone.config.batch_size)
    context = backbone.data_context(batch)
    config = members.config
    hyper = default_hyper("omar", config["task"], config["quality"], config["reading"])
    learners: dict[str, MACQL | OMAR] = {
        "cql": MACQL(backbone, population.learner.config),
        "omar": OMAR(backbone, OMARConfig(**hyper)),
    }
    before = actions_of(backbone, batch)
    with torch.no_grad():
        surfaces = landscapes(backbone, context, before)
    return Outcome(surfaces, before, actions_after(backbone, learners, batch, context))


def mean_shares(shares: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Means over all looks of `Outcome.shares`."""
    return {
        row: {column: sum(one[row][column] for one in shares) / len(shares) for column in columns}
        for row, columns in shares[0].items()
    }


def widest(pictures: list[dict]) -> dict:
    """The picture of the widest gap of a poor state, or of any where none is poor."""
    return max(pictures, key=lambda picture: (picture["poor"], picture["gap"]))


def build(members: Members, device: str) -> Training:
    """MA-CQL on the two-agent line; at LOOKS points both methods' actor steps from its state."""
    population = training.populate(members, device)
    base = training.training_of(population, members)

    def evaluate(done: int) -> dict[str, list]:
        outcome = outcome_of(population, members, done)
        places = range(len(population.seeds))
        return {
            "shares": [outcome.shares(place) for place in places],
            "pictures": [outcome.picture(place) | {"updates": done} for place in places],
        }

    def facts(course: Course) -> dict:
        drawn = widest(course.curves["pictures"])
        return {"shares": mean_shares(course.curves["shares"]), "q": drawn["q"]}

    def pictures(courses: list[Course]) -> dict:
        drawn = [{"seed": one.seed, **widest(one.curves["pictures"])} for one in courses]
        return {"extra": drawn}

    return replace(
        base,
        evaluate=evaluate,
        evaluate_at=program.evenly(base.total, LOOKS),
        facts=facts,
        summary=pictures,
    )
