"""Transitions of a population on the device, and minibatches as index gathers.

Every data set is one table of rows [R, N, F]; a member draws rows of its own data set. Rows hold
each agent's observation, action, reward, next observation, terminal flag and next action side by
side, so that one gather fetches a transition.
"""

import itertools
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from common.learning.philox import Streams

FIELDS = ("obs", "action", "reward", "next_obs", "terminal", "next_action")


@dataclass(frozen=True)
class Batch:
    """A minibatch per member and agent.

    Attributes:
        obs, next_obs: [M, N, B, O], the agent's own; action, next_action: [M, N, B, A]; reward,
            terminal: [M, N, B]. next_action is None where it is not known.
        joint: the rows of a centralised draw, the same fields for all agents: [M, N, B, N, F];
            empty otherwise.
    """

    obs: Tensor
    action: Tensor
    reward: Tensor
    next_obs: Tensor
    terminal: Tensor
    next_action: Tensor | None = None
    joint: dict[str, Tensor] = field(default_factory=dict)


class Replay:
    """The data sets of a population.

    Args:
        datasets: one per distinct data set, fields as in `envs.datasets.Transitions`: tensors [R,
            N, ...].
        which: [M] index of each member's data set.
        streams: of minibatches.
        centralised: also hand out the joint rows.
        successors: draw only rows whose next action is known (SARSA targets).
    """

    def __init__(
        self,
        datasets: list[dict[str, Tensor]],
        which: list[int],
        streams: Streams,
        centralised: bool,
        successors: bool,
        device: str,
    ):
        first = datasets[0]
        self.obs_dim = first["obs"].shape[-1]
        self.action_dim = first["action"].shape[-1]
        self.widths = [self.obs_dim, self.action_dim, 1, self.obs_dim, 1, self.action_dim]
        sizes = [
            int(data["has_next_action"].sum()) if successors else len(data["obs"])
            for data in datasets
        ]
        agents = first["obs"].shape[1]
        self.rows = torch.empty(sum(sizes), agents, sum(self.widths), device=device)  # [R, N, F]
        starts = [0, *itertools.accumulate(sizes)]
        for start, size, data in zip(starts, sizes, datasets, strict=False):
            self.rows[start : start + size] = side_by_side(data, successors).to(device)
        self.starts = torch.tensor([starts[d] for d in which], device=device).view(-1, 1, 1)
        self.sizes = [sizes[d] for d in which]
        self.streams = streams
        self.centralised = centralised
        self.device = device

    def draw(self, batch_size: int) -> Batch:
        """A fresh minibatch for every member and agent, each without repetitions.

        Raises:
            ValueError: more rows are asked for than there are.
        """
        fewest = min(self.sizes)
        if batch_size > fewest:
            raise ValueError(
                f"a minibatch of {batch_size} rows does not fit a data set of {fewest} rows; "
                "lower batch_size"
            )
        agents, width = self.rows.shape[1:]
        index = self.starts + self.streams.distinct(self.sizes, agents, batch_size)  # [M, N, B]
        row = index * agents + torch.arange(agents, device=self.device)[:, None]
        fields: dict[str, Any] = self._split(self.rows.view(-1, width)[row])
        joint = self._split(self.rows[index]) if self.centralised else {}
        return Batch(**fields, joint=joint)

    def _split(self, rows: Tensor) -> dict[str, Tensor]:
        """Fields of rows [..., F]: [..., O] and [..., A], or [...] if they are single numbers."""
        columns = zip(FIELDS, rows.split(self.widths, dim=-1), strict=True)
        fields = {name: column.contiguous() for name, column in columns}
        for name in ("reward", "terminal"):
            fields[name] = fields[name].squeeze(-1)
        return fields


def side_by_side(data: dict[str, Tensor], successors: bool) -> Tensor:
    """[R, N, F] rows of a data set; with `successors` those whose next action is known."""
    rows = data["has_next_action"] if successors else slice(None)
    columns = [data[name][rows] for name in FIELDS]
    return torch.cat([one.unsqueeze(-1) if one.ndim == 2 else one for one in columns], dim=-1)
