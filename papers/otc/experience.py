"""What every agent may learn from: its offline data set, and what each deployment added.

Rows are stored per agent with its own action only; the others' actions are not there to be looked
at.

Axes: M members, N agents, R rows, B rows of a minibatch, F numbers of a row.
"""

import torch
from torch import Tensor

from common.learning.philox import Streams
from common.learning.replay import Batch

FIELDS = ("obs", "action", "reward", "next_obs", "terminal")


class MergedData:
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
        sizes = [len(data["obs"]) for data in datasets]
        if any(size != self.offline for size in sizes):
            raise ValueError(f"data sets have {sizes} rows, expected equally many")
        obs_dim = first["obs"].shape[-1]
        self.widths = [obs_dim, first["action"].shape[-1], 1, obs_dim, 1]
        self.which = torch.tensor(which)
        self.steps = steps
        self.online = 0
        self.device = device
        self.capacity = deployments * steps
        blocks = [table(data).to(device) for data in datasets]
        empty = torch.zeros(len(which) * self.capacity, *blocks[0].shape[1:], device=device)
        self.rows = torch.cat([*blocks, empty])
        # where every member's data set begins, and its online rows
        self.first = (self.which * self.offline).to(device)
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

    def draw(self, count: int, streams: Streams, low: int = 0, high: int | None = None) -> Tensor:
        """[M, N, count] indices, uniform in [low, high)."""
        stop = self.size if high is None else high
        return low + streams.integers(stop - low, (self.agents, count))

    def draw_latest(self, count: int, streams: Streams) -> Tensor:
        """[M, N, count] indices of rows of the last deployment, D_i^k."""
        return self.draw(count, streams, self.size - self.steps, self.size)

    def gather(self, index: Tensor, members: slice = slice(None)) -> Batch:
        """The transitions with these indices [M, N, B] of `members`."""
        rows = self.table_rows(index, members)
        obs, action, reward, next_obs, terminal = (
            field.contiguous() for field in rows.split(self.widths, dim=-1)
        )
        return Batch(obs, action, reward.squeeze(-1), next_obs, terminal.squeeze(-1))

    def taken(self, index: Tensor, members: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Observations and actions of the rows with these indices, as in `gather`."""
        obs, action = self.table_rows(index, members).split(self.widths, dim=-1)[:2]
        return obs.contiguous(), action.contiguous()

    def table_rows(self, index: Tensor, members: slice) -> Tensor:
        """[M, N, B, F] all numbers of the rows with these indices [M, N, B] of `members`."""
        first, online = (start[members].view(-1, 1, 1) for start in (self.first, self.first_online))
        place = torch.where(index < self.offline, first + index, online + index - self.offline)
        flat = place * self.agents + torch.arange(self.agents, device=self.device).view(1, -1, 1)
        # four times as fast on the CPU as an index of three axes
        rows = self.rows.view(-1, self.rows.shape[-1]).index_select(0, flat.flatten())
        return rows.view(*flat.shape, -1)

    def moments(self, name: str) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation [M, N, F] of a field over every member's offline data."""
        column = FIELDS.index(name)
        start = sum(self.widths[:column])
        offline = self.offline * (int(self.which.max()) + 1)
        numbers = self.rows[:offline, :, start : start + self.widths[column]]
        per_set = numbers.unflatten(0, (-1, self.offline))  # [sets, R, N, F]
        which = self.which.to(self.device)
        return per_set.mean(1)[which], per_set.std(1)[which]

    def spread_of_change(self) -> Tensor:
        """Standard deviation [M, N, O] of next_obs - obs over every member's offline data."""
        width = self.widths[0]
        offline = self.offline * (int(self.which.max()) + 1)
        numbers = self.rows[:offline]
        change = numbers[:, :, -1 - width : -1] - numbers[:, :, :width]
        per_set = change.unflatten(0, (-1, self.offline))  # [sets, R, N, O]
        return per_set.std(1)[self.which.to(self.device)]

    def state_dict(self) -> dict:
        """The online rows; the offline ones are read from their files."""
        return {"online": self.online, "rows": self.rows[int(self.first_online[0]) :].clone()}

    def load_state_dict(self, state: dict) -> None:
        self.online = state["online"]
        self.rows[int(self.first_online[0]) :] = state["rows"]


def table(data: dict[str, Tensor]) -> Tensor:
    """Fields side by side: [..., N, F]."""
    matrix = data["obs"].ndim  # a field with one number per agent has an axis less
    columns = [data[name] for name in FIELDS]
    return torch.cat([one if one.ndim == matrix else one.unsqueeze(-1) for one in columns], dim=-1)
