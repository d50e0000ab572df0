"""What Figure 1d shows: one agent's Q function over its action, and where single actor steps take
the policy.
"""

import time

import torch

from common.learning import kernels
from common.running.cells import Cell
from papers.omar import training
from papers.omar.baselines import CQL
from papers.omar.omar import OMAR, OMARConfig, critic_samples
from papers.omar.settings import default_hyper

MARKERS = {  # as in the paper's figure
    "before": ("MA-CQL, before", "o", "#d55e00"),
    "cql": ("MA-CQL, after its step", "^", "#009e73"),
    "omar": ("OMAR, after its step", "s", "#0072b2"),
}
STEPS = 10  # actor steps on one minibatch: one moves too little to be seen
POINTS = 201


def landscape(team, context: torch.Tensor, row: int) -> torch.Tensor:
    """[M, POINTS] first critic of agent 0 at observation `row` of the batch over a grid of actions
    in [-1, 1].
    """
    grid = torch.linspace(-1, 1, POINTS)
    members, agents, rows = context.shape[:3]
    actions = grid.reshape(1, 1, 1, POINTS, 1).expand(members, agents, rows, POINTS, 1).contiguous()
    return kernels.sample_values(*critic_samples(team, context, actions, head=0))[:, 0, row]


def local_optima(values: torch.Tensor) -> int:
    """Number of interior maxima of values [POINTS]."""
    inner = values[1:-1]
    return int(((inner > values[:-2]) & (inner > values[2:])).sum())


def train(
    cells: list[Cell], device: str, checkpoint, progress=lambda done, total: None
) -> list[dict]:
    """Trains MA-CQL on the two-agent line, then takes MA-CQL's and OMAR's actor steps from the same
    state.

    The state shown is the one of a minibatch at which the landscape has most interior maxima: the
    figure illustrates that such states exist, and the choice looks at the critic only, not at
    either method.
    """
    results = []
    for cell in cells:
        began = time.monotonic()
        program = training.Program([cell], device)
        for done in program.updates():
            progress(done, program.config["rounds"])
        team, batch = program.team, program.replay.draw(program.team.config.batch_size)
        context = team.data_context(batch)
        saved = team.state_dict()
        saved = {key: _copy(value) for key, value in saved.items()}
        surfaces = torch.stack(
            [landscape(team, context, row) for row in range(0, context.shape[2], 8)], dim=1
        )
        before = team.actors.act(batch.obs)[:, 0, ::8, 0]  # [M, rows]
        after = {}
        hyper = default_hyper(
            "omar", cell.config["task"], cell.config["quality"], cell.config["reading"]
        )
        learners = {
            "cql": CQL(team, program.learner.config),
            "omar": OMAR(team, OMARConfig(**hyper | {"coefficient": 0.5})),
        }
        for name, learner in learners.items():
            team.load_state_dict(saved)
            for _ in range(STEPS):
                learner.update(batch)
            after[name] = team.actors.act(batch.obs)[:, 0, ::8, 0]
        team.load_state_dict(saved)
        seeds, extra = [], []
        for m, seed in enumerate(cell.config["seeds"]):
            row = max(range(surfaces.shape[1]), key=lambda r, m=m: local_optima(surfaces[m, r]))
            values, grid = surfaces[m, row], torch.linspace(-1, 1, POINTS)
            actions = {
                "before": float(before[m, row]),
                **{name: float(a[m, row]) for name, a in after.items()},
            }
            nearest = {
                name: float(values[(grid - action).abs().argmin()])
                for name, action in actions.items()
            }
            seeds.append({"seed": seed, "q": nearest | {"best": float(values.max())}})
            picture = {
                "actions": grid.tolist(),
                "landscape": values.tolist(),
                "maxima": local_optima(values),
            }
            extra.append({"seed": seed, **picture, **actions})
        results.append(
            training.provenance(cell, program.data[0], time.monotonic() - began, device)
            | {"seeds": seeds, "extra": extra}
        )
    return results


def _copy(value):
    """A deep copy of nested tensors."""
    if isinstance(value, dict):
        return {key: _copy(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_copy(entry) for entry in value]
    return value.clone() if isinstance(value, torch.Tensor) else value
