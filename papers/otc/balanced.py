"""Balanced Replay (Lee et al., CoRL 2021) without its ensemble: prioritised sampling by estimated
online density.

A network per agent estimates the density ratio w(s, a_i) of online to offline rows. Offline rows
get the priority w^(1/5), relative to its mean over offline rows; new online rows get the priority
with which a share `online_share` of the first minibatches is online. Priorities of drawn rows are
refreshed.

Axes: M members, N agents, R rows, B rows of a minibatch.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from common.learning.learner import Learner
from common.learning.networks import apply_mlp, mlp_parameters
from common.learning.philox import Streams
from common.learning.population import generators, mean_over_batch
from common.learning.ranges import Count, Positive, Share
from papers.otc.experience import MergedData

BLOCK = 512  # rows whose priorities are summed, so that a draw looks at a block and not at all rows


@dataclass(frozen=True)
class BalancedConfig:
    """Values of the authors' code."""

    hidden: Count = 256
    lr: Positive = 3e-4
    batch_size: Count = 256  # offline, and as many online
    temperature: Positive = 5.0
    online_share: Share = 0.5  # rho
    priority_range: tuple[Positive, Positive] = (1e-3, 1e3)  # a guard of ours


def density_ratio_loss(offline: Tensor, online: Tensor) -> Tensor:
    """Negative Jensen-Shannon bound [M, N] of the ratio's network: w >= 0 at offline and online
    rows, [M, N, B].
    """
    return mean_over_batch(-torch.log(2 / (offline + 1))) + mean_over_batch(
        -torch.log(2 * online / (online + 1) + 1e-10)
    )


class BalancedReplay(Learner):
    """Priorities of all rows of some members of a population, and the network "ratio" behind them.

    Args:
        members: of the population, a slice; seeds are theirs.
    """

    def __init__(
        self,
        seeds: list[int],
        experience: MergedData,
        members: slice,
        config: BalancedConfig,
        device="cpu",
    ):
        super().__init__([], device)
        self.experience = experience
        self.members = members
        self.config = config
        inputs = sum(experience.widths[:2])
        sizes = [inputs] * experience.agents
        tensors = mlp_parameters(
            generators(seeds, "ratio"), sizes, inputs, config.hidden, 1, input_norm=False
        )
        self.hold("ratio", tensors, config.lr)
        purposes = ("offline", "online", "rows")
        self.draws = {name: Streams(seeds, f"balanced/{name}", device) for name in purposes}
        self.others.update(self.draws)
        blocks = -(-(experience.offline + experience.capacity) // BLOCK)
        shape = (len(seeds), experience.agents, blocks * BLOCK)
        priorities = torch.zeros(shape, dtype=torch.float64, device=device)
        priorities[..., : experience.offline] = 1.0
        self.notes.update(priorities=priorities, sums=in_blocks(priorities).sum(-1))

    @property
    def priorities(self) -> Tensor:
        """[M, N, R] of all rows there are or will be, padded to whole blocks."""
        return self.notes["priorities"]

    @property
    def sums(self) -> Tensor:
        """[M, N, R / BLOCK] of the priorities in every block."""
        return self.notes["sums"]

    def add_latest(self) -> None:
        """Gives the rows of the last deployment their priority."""
        experience, share = self.experience, self.config.online_share
        first = experience.size - experience.steps
        old = self.priorities[..., :first].sum(-1, keepdim=True)
        self.priorities[..., first : experience.size] = old * share / (1 - share) / experience.steps
        self.sums.copy_(in_blocks(self.priorities).sum(-1))

    def weights(self, index: Tensor) -> Tensor:
        """[M, N, B] density ratio of rows."""
        batch = self.experience.gather(index, self.members)
        rows = torch.cat([batch.obs, batch.action], -1)
        return apply_mlp(self.networks["ratio"], rows, None).squeeze(-1).relu()

    def draw(self, count: int) -> Tensor:
        """[M, N, count] rows in proportion to their priorities, after one step of the ratio's
        network; refreshes theirs.
        """
        experience, size = self.experience, self.config.batch_size
        old = experience.draw(size, self.draws["offline"], 0, experience.offline)
        new = experience.draw(size, self.draws["online"], experience.offline, experience.size)
        self.descend(density_ratio_loss(self.weights(old), self.weights(new)), "ratio")

        # 24 random bits for a block of thousands, and as many for a place in it
        uniform = self.draws["rows"].uniform((experience.agents, count, 2)).double()
        block, offset = self.place(uniform)
        rows = block * BLOCK + offset
        self.priorities.scatter_(-1, rows, self.fresh_priorities(rows, old))
        touched = self.block_lists(block).sum(-1)
        self.sums.scatter_(-1, block, touched)
        return rows

    def place(self, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """Blocks [M, N, B], and places in them, in proportion to priorities.

        Args:
            uniform: [M, N, B, 2], in [0, 1).
        """
        cumulative = self.sums.cumsum(-1)
        block = torch.searchsorted(cumulative, uniform[..., 0] * cumulative[..., -1:])
        block = block.clamp_max(self.sums.shape[-1] - 1)
        within = self.block_lists(block).cumsum(-1)
        offset = torch.searchsorted(within, uniform[..., 1:] * within[..., -1:])
        return block, offset.squeeze(-1).clamp_max(BLOCK - 1)

    def block_lists(self, block: Tensor) -> Tensor:
        """[M, N, B, BLOCK] priorities of the rows in blocks [M, N, B]."""
        index = block.unsqueeze(-1).expand(*block.shape, BLOCK)
        return in_blocks(self.priorities).gather(2, index)

    @torch.no_grad()
    def fresh_priorities(self, rows: Tensor, offline: Tensor) -> Tensor:
        """[M, N, B] priorities of rows, relative to their mean over some offline ones."""
        power = 1 / self.config.temperature
        scale = self.weights(offline).pow(power).mean(-1, keepdim=True).clamp_min(1e-8)
        low, high = self.config.priority_range
        return (self.weights(rows).pow(power) / scale).clamp(low, high).double()


def in_blocks(priorities: Tensor) -> Tensor:
    """[M, N, R] as [M, N, R / BLOCK, BLOCK]."""
    return priorities.unflatten(-1, (-1, BLOCK))
