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

from common.learning.networks import apply_mlp, mlp_parameters
from common.learning.population import Adam, Parameters, generators, mean_over_batch, per_member
from papers.otc.experience import Experience

BLOCK = 512  # rows whose priorities are summed, so that a draw looks at a block and not at all rows
PRIORITY_RANGE = (1e-3, 1e3)


@dataclass(frozen=True)
class BalancedConfig:
    """Values of the authors' code."""

    hidden: int = 256
    lr: float = 3e-4
    batch_size: int = 256  # offline, and as many online
    temperature: float = 5.0
    online_share: float = 0.5  # rho


def density_ratio_loss(offline: Tensor, online: Tensor) -> Tensor:
    """Negative Jensen-Shannon bound [M, N] of the ratio's network: w >= 0 at offline and online
    rows, [M, N, B].
    """
    return mean_over_batch(-torch.log(2 / (offline + 1))) + mean_over_batch(
        -torch.log(2 * online / (online + 1) + 1e-10)
    )


class BalancedReplay:
    """Priorities of all rows of some members of a population.

    Args:
        members: of the population, a slice; seeds are theirs.
    """

    def __init__(
        self,
        seeds: list[int],
        experience: Experience,
        members: slice,
        config: BalancedConfig,
        device="cpu",
    ):
        self.experience, self.members, self.config, self.device = (
            experience,
            members,
            config,
            device,
        )
        inputs = sum(experience.widths[:2])
        sizes = [inputs] * experience.agents
        tensors = mlp_parameters(
            generators(seeds, "ratio"), sizes, inputs, config.hidden, 1, input_norm=False
        )
        self.ratio = Parameters({name: tensor.to(device) for name, tensor in tensors.items()})
        self.adam = Adam(self.ratio, per_member(config.lr, len(seeds), device))
        self.streams = {
            name: generators(seeds, f"balanced/{name}") for name in ("offline", "online", "rows")
        }
        blocks = -(-(experience.offline + experience.capacity) // BLOCK)
        self.priorities = torch.zeros(
            len(seeds), experience.agents, blocks * BLOCK, dtype=torch.float64, device=device
        )
        self.priorities[..., : experience.offline] = 1.0
        self.sums = self.priorities.unflatten(-1, (-1, BLOCK)).sum(-1)

    def add_latest(self) -> None:
        """Gives the rows of the last deployment their priority."""
        experience, share = self.experience, self.config.online_share
        first = experience.size - experience.steps
        old = self.priorities[..., :first].sum(-1, keepdim=True)
        self.priorities[..., first : experience.size] = old * share / (1 - share) / experience.steps
        self.sums = self.priorities.unflatten(-1, (-1, BLOCK)).sum(-1)

    def weights(self, index: Tensor) -> Tensor:
        """[M, N, B] density ratio of rows."""
        batch = self.experience.gather(index, self.members)
        return (
            apply_mlp(self.ratio, torch.cat([batch.obs, batch.action], -1), None).squeeze(-1).relu()
        )

    def draw(self, count: int) -> Tensor:
        """[M, N, count] rows in proportion to their priorities, after one step of the ratio's
        network; refreshes theirs.
        """
        experience, config = self.experience, self.config
        old = experience.draw(config.batch_size, self.streams["offline"], 0, experience.offline)
        new = experience.draw(
            config.batch_size, self.streams["online"], experience.offline, experience.size
        )
        self.ratio.zero_grad()
        density_ratio_loss(self.weights(old), self.weights(new)).sum().backward(
            inputs=list(self.ratio.tensors.values())
        )
        self.adam.step()

        shape = (experience.agents, count, 2)
        uniform = torch.stack(
            [torch.rand(shape, generator=s, dtype=torch.float64) for s in self.streams["rows"]]
        )
        uniform = uniform.to(self.device)
        cumulative = self.sums.cumsum(-1)
        block = torch.searchsorted(cumulative, uniform[..., 0] * cumulative[..., -1:]).clamp_max(
            self.sums.shape[-1] - 1
        )
        lists = self.priorities.unflatten(-1, (-1, BLOCK))
        within = lists.gather(2, block.unsqueeze(-1).expand(*block.shape, BLOCK)).cumsum(
            -1
        )  # [M, N, B, BLOCK]
        offset = (
            torch.searchsorted(within, uniform[..., 1:] * within[..., -1:])
            .squeeze(-1)
            .clamp_max(BLOCK - 1)
        )
        rows = block * BLOCK + offset
        with torch.no_grad():
            scale = (
                self.weights(old).pow(1 / config.temperature).mean(-1, keepdim=True).clamp_min(1e-8)
            )
            fresh = (
                (self.weights(rows).pow(1 / config.temperature) / scale)
                .clamp(*PRIORITY_RANGE)
                .double()
            )
        self.priorities.scatter_(-1, rows, fresh)
        touched = lists.gather(2, block.unsqueeze(-1).expand(*block.shape, BLOCK)).sum(-1)
        self.sums.scatter_(-1, block, touched)
        return rows

    def state_dict(self) -> dict:
        return {
            "ratio": self.ratio.flat,
            "adam": self.adam.state_dict(),
            "priorities": self.priorities,
            "streams": {
                name: [stream.get_state() for stream in streams]
                for name, streams in self.streams.items()
            },
        }

    @torch.no_grad()
    def load_state_dict(self, state: dict) -> None:
        self.ratio.flat.copy_(state["ratio"])
        self.adam.load_state_dict(state["adam"])
        self.priorities.copy_(state["priorities"])
        self.sums = self.priorities.unflatten(-1, (-1, BLOCK)).sum(-1)
        for name, streams in self.streams.items():
            for stream, saved in zip(streams, state["streams"][name], strict=True):
                stream.set_state(saved)
