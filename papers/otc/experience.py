"""What every agent may learn from: its offline data set, and what each deployment added.

Rows are stored per agent with its own action only; the others' actions are not there to be looked
at.

Axes: M members, N agents, R rows, B rows of a minibatch, F numbers of a row.
"""

import torch
from torch import Tensor

from common.learning.replay import Batch

FIELDS = ("obs", "action", "reward", "next_obs", "terminal")


class Experience:
    """The merged data B_i^k of a population.

    A row of a member has an index: below `offline` it is a row of its data set, then come the
    deployments' rows in order.

    Args:
        datasets: one per distinct data set, of equal length: tensors [R, N, ...] by the names of
            FIELDS.
        which: [M] index of each member's data set.
        deployments, steps: how many there will be, and rows of each.

    Attributes:
        online: rows that deployments have added so far.
    """

    def __init__(
        self,
        datasets: list[dict[str, Tensor]],
        which: list[int],
        deployments: int,
        steps: int,
        device="cpu",
    ):
        first = datasets[0]
        self.offline, self.agents = first["obs"].shape[:2]
        if any(len(data["obs"]) != self.offline for data in datasets):
            raise ValueError(
                f"data sets have {[len(data['obs']) for data in datasets]} rows, expected equally many"
            )
        self.widths = [
            first["obs"].shape[-1],
            first["action"].shape[-1],
            1,
            first["obs"].shape[-1],
            1,
        ]
        self.which, self.steps, self.online, self.device = torch.tensor(which), steps, 0, device
        self.capacity = deployments * steps
        blocks = [table(data).to(device) for data in datasets]
        self.rows = torch.cat(
            [*blocks, torch.zeros(len(which) * self.capacity, *blocks[0].shape[1:], device=device)]
        )
        self.first = (self.which * self.offline).to(
            device
        )  # of every member's data set and of its online rows
        online = len(datasets) * self.offline + torch.arange(len(which)) * self.capacity
        self.first_online = online.to(device)

    @property
    def size(self) -> int:
        """Rows of a member so far."""
        return self.offline + self.online

    def add(self, data: dict[str, Tensor]) -> None:
        """Appends a deployment's rows, tensors [M, steps, N, ...]."""
        new = table(data).to(self.device)
        for member, start in enumerate(self.first_online.tolist()):
            self.rows[start + self.online : start + self.online + self.steps] = new[member]
        self.online += self.steps

    def draw(
        self, count: int, streams: list[torch.Generator], low: int = 0, high: int | None = None
    ) -> Tensor:
        """[M, N, count] indices, uniform in [low, high), each member's from its own stream."""
        shape, high = (self.agents, count), self.size if high is None else high
        return torch.stack(
            [torch.randint(low, high, shape, generator=stream) for stream in streams]
        ).to(self.device)

    def draw_latest(self, count: int, streams: list[torch.Generator]) -> Tensor:
        """[M, N, count] indices of rows of the last deployment, D_i^k."""
        return self.draw(count, streams, self.size - self.steps, self.size)

    def gather(self, index: Tensor, members: slice = slice(None)) -> Batch:
        """The transitions with these indices [M, N, B] of `members`."""
        first, online = (start[members].view(-1, 1, 1) for start in (self.first, self.first_online))
        place = torch.where(index < self.offline, first + index, online + index - self.offline)
        flat = place * self.agents + torch.arange(self.agents, device=self.device).view(1, -1, 1)
        rows = self.rows.view(-1, self.rows.shape[-1])[flat]  # [M, N, B, F]
        obs, action, reward, next_obs, terminal = (
            part.contiguous() for part in rows.split(self.widths, dim=-1)
        )
        return Batch(obs, action, reward.squeeze(-1), next_obs, terminal.squeeze(-1))

    def moments(self, name: str) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation [M, N, F] of a field over every member's offline data."""
        start = sum(self.widths[: FIELDS.index(name)])
        values = self.rows[
            : self.offline * (int(self.which.max()) + 1),
            :,
            start : start + self.widths[FIELDS.index(name)],
        ]
        per_set = values.unflatten(0, (-1, self.offline))  # [sets, R, N, F]
        which = self.which.to(self.device)
        return per_set.mean(1)[which], per_set.std(1)[which]

    def state_dict(self) -> dict:
        """The online rows; the offline ones are read from their files."""
        return {"online": self.online, "rows": self.rows[int(self.first_online[0]) :].clone()}

    def load_state_dict(self, state: dict) -> None:
        self.online = state["online"]
        self.rows[int(self.first_online[0]) :] = state["rows"]


def table(data: dict[str, Tensor]) -> Tensor:
    """Fields side by side: [..., N, F]."""
    parts = [
        data[name] if data[name].ndim == data["obs"].ndim else data[name].unsqueeze(-1)
        for name in FIELDS
    ]
    return torch.cat(parts, dim=-1)
