"""The embedding behind d_e: a conditional VAE of (s, a_i, s') per agent, trained on the offline
data and then frozen.

Encoder E(mu, sigma | s, a_i, s'), decoder D(a_i | s, s', z); mu is the embedding (Section 3.5).
Given (s, s') a robot's a_i is all but known, so z is useful in at most as many directions as a_i
has: the embedding collapses by construction, whatever the weight of the divergence. Two other
readings do not:

    action      D(a_i | s, s', z), as Section 3.5 says
    next_state  D(s' | s, a_i, z): what (s, a_i) leaves open is what the other agents do
    transition  D(s, a_i, s' | z), a plain VAE, as Section 3.3 says ("VAE to encode")

Axes: M members, N agents, B batch, Z embedding.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from common.learning.learner import Learner
from common.learning.networks import apply_mlp
from common.learning.philox import Streams
from common.learning.population import generators
from common.learning.ranges import Count, NotNegative, Positive
from common.learning.replay import Batch
from common.learning.vae import ConditionalVAE
from papers.otc.experience import MergedData

# What the decoder rebuilds
Target = Literal["action", "next_state", "transition"]
CHUNK = 8192  # rows embedded together


@dataclass(frozen=True)
class EmbeddingConfig:
    """Ours but for the dimension: the paper gives no more."""

    dim: Count = 10
    hidden: Count = 64
    lr: Positive = 1e-3
    kl_weight: NotNegative = 0.1
    updates: Count = 50_000
    batch_size: Count = 128
    target: Target = "action"


class UnboundedVAE(ConditionalVAE):
    """A conditional VAE of standardised numbers."""

    def decode(self, condition: Tensor, z: Tensor) -> Tensor:
        """Numbers [M, N, B, A], not bounded."""
        return apply_mlp(self.networks["decoder"], torch.cat([z, condition], -1), None)


def effective_dims(embedded: Tensor) -> Tensor:
    """[N] participation ratio of embeddings [R, N, Z]: (sum of the covariance's eigenvalues)^2 over
    the sum of their squares.

    1 where all numbers are copies of one, Z where they are independent and vary alike; scale-free.
    """
    rows = embedded.double().transpose(0, 1)  # [N, R, Z]
    centred = rows - rows.mean(1, keepdim=True)
    covariance = centred.mT @ centred / rows.shape[1]
    trace = covariance.diagonal(dim1=-2, dim2=-1).sum(-1)
    return trace.square() / covariance.square().sum((-2, -1)).clamp_min(1e-30)


class Embedding(Learner):
    """Embeddings of every row of a population's experience.

    Args:
        seeds: of the members that have one.
        members: of the population, a slice; all others have none.
    """

    def __init__(
        self,
        seeds: list[int],
        experience: MergedData,
        members: slice,
        config: EmbeddingConfig,
        device="cpu",
    ):
        super().__init__(seeds, device, noise="embedding/noise")
        self.config = config
        self.experience = experience
        self.members = members
        obs_dim, action_dim = experience.widths[:2]
        kind, condition, rebuilt = {
            "action": (ConditionalVAE, 2 * obs_dim, action_dim),
            "next_state": (UnboundedVAE, obs_dim + action_dim, obs_dim),
            "transition": (UnboundedVAE, 0, 2 * obs_dim + action_dim),
        }[config.target]
        self.vae = kind(
            generators(seeds, "embedding"),
            [condition] * experience.agents,
            rebuilt,
            config.dim,
            config.hidden,
            config.lr,
            device,
        )
        self.minibatches = Streams(seeds, "embedding/minibatches", device)
        self.others.update(vae=self.vae, minibatches=self.minibatches)
        mean, std = experience.moments("obs")
        self.mean = mean[members].unsqueeze(2)
        self.scale = std[members].unsqueeze(2) + 1e-3
        self.change_scale = experience.spread_of_change()[members].unsqueeze(2) + 1e-3
        rows = experience.offline + experience.capacity
        self.table = torch.zeros(len(seeds), rows, experience.agents, config.dim, device=device)

    @property
    def facts(self) -> dict[str, list]:
        """Per member, once trained, over all its offline rows, [N]: effective dimensions,
        divergence of the whole latent in nats, and the mean squared error of what is rebuilt from
        the embedding and from nothing (z = 0).
        """
        return self.notes

    def parts(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """What the decoder is given beside z, and what it rebuilds: [M, N, B, C], [M, N, B, A]."""
        obs = (batch.obs - self.mean) / self.scale
        if self.config.target == "action":
            next_obs = (batch.next_obs - self.mean) / self.scale
            return torch.cat([obs, next_obs], -1), batch.action
        change = (batch.next_obs - batch.obs) / self.change_scale
        if self.config.target == "next_state":
            return torch.cat([obs, batch.action], -1), change
        return obs[..., :0], torch.cat([obs, batch.action, change], -1)

    def draw(self) -> Batch:
        """Offline rows of every member."""
        experience = self.experience
        size = self.config.batch_size
        index = experience.draw(size, self.minibatches, 0, experience.offline)
        return experience.gather(index, self.members)

    def update(self, batch: Batch) -> None:
        """One update of encoder and decoder."""
        noise = self.normal(*batch.action.shape[1:-1], self.config.dim)
        self.vae.update(*self.parts(batch), noise, self.config.kl_weight)

    def finish(self) -> None:
        """Embeds the offline rows, and notes how much of the latent is used."""
        self.extend(0, self.experience.offline)
        offline = self.table[:, : self.experience.offline]
        self.notes.update(
            effective_dims=[effective_dims(member).tolist() for member in offline],
            **{name: values.tolist() for name, values in self.losses().items()},
        )

    @torch.no_grad()
    def losses(self) -> dict[str, Tensor]:
        """[M, N] means over the offline rows, see `facts`."""
        totals: dict[str, Tensor] = {}
        for _, batch in self.chunks(0, self.experience.offline):
            condition, target = self.parts(batch)
            mean, log_std = self.vae.encode(condition, target)
            divergence = -0.5 * (1 + 2 * log_std - mean.square() - (2 * log_std).exp())
            sums = {
                "divergence": divergence.sum((-2, -1)),
                "error": (self.vae.decode(condition, mean) - target).square().mean(-1).sum(-1),
                "error_without": (self.vae.decode(condition, 0 * mean) - target)
                .square()
                .mean(-1)
                .sum(-1),
            }
            for name, values in sums.items():
                totals[name] = totals.get(name, 0) + values / self.experience.offline
        return totals

    def chunks(self, start: int, stop: int) -> Iterator[tuple[slice, Batch]]:
        """Rows with indices in [start, stop), so many at a time that they fit into memory."""
        shape = (len(self.table), self.experience.agents, -1)
        for low in range(start, stop, CHUNK):
            high = min(low + CHUNK, stop)
            index = torch.arange(low, high, device=self.device)
            yield slice(low, high), self.experience.gather(index.expand(shape), self.members)

    @torch.no_grad()
    def extend(self, start: int, stop: int) -> None:
        """Embeds the rows with indices in [start, stop)."""
        for where, batch in self.chunks(start, stop):
            mean, _ = self.vae.encode(*self.parts(batch))
            self.table[:, where] = mean.transpose(1, 2)

    def rows(self, index: Tensor) -> Tensor:
        """[M, N, B, Z] embeddings of the rows with these indices [M, N, B]."""
        members, agents = index.shape[:2]
        rows = self.table.shape[1]
        member = torch.arange(members, device=index.device).view(-1, 1, 1)
        agent = torch.arange(agents, device=index.device).view(1, -1, 1)
        flat = (member * rows + index) * agents + agent
        found = self.table.view(-1, self.config.dim).index_select(0, flat.flatten())
        return found.view(*index.shape, -1)
