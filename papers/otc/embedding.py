"""The embedding behind d_e: a conditional VAE of (s, a_i, s') per agent, trained on the offline
data and then frozen.

Encoder E(mu, sigma | s, a_i, s'), decoder D(a_i | s, s', z); mu is the embedding (Section 3.5).

Axes: M members, N agents, B batch, Z embedding.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from common.learning.learner import Learner
from common.learning.philox import Streams
from common.learning.population import generators
from common.learning.ranges import Count, NotNegative, Positive
from common.learning.replay import Batch
from common.learning.vae import ConditionalVAE
from papers.otc.experience import MergedData

ACTIVE = 0.01  # variance over the data above which a dimension of the embedding counts as used
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
        dims = [2 * obs_dim] * experience.agents
        self.vae = ConditionalVAE(
            generators(seeds, "embedding"),
            dims,
            action_dim,
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
        rows = experience.offline + experience.capacity
        self.table = torch.zeros(len(seeds), rows, experience.agents, config.dim, device=device)

    @property
    def facts(self) -> dict[str, list]:
        """Per member, once trained: used dimensions, divergence and reconstruction error [N]."""
        return self.notes

    def condition(self, batch: Batch) -> Tensor:
        """[M, N, B, 2 O] standardised states and next states."""
        pair = [(obs - self.mean) / self.scale for obs in (batch.obs, batch.next_obs)]
        return torch.cat(pair, dim=-1)

    def draw(self) -> Batch:
        """Offline rows of every member."""
        experience = self.experience
        size = self.config.batch_size
        index = experience.draw(size, self.minibatches, 0, experience.offline)
        return experience.gather(index, self.members)

    def update(self, batch: Batch) -> None:
        """One update of encoder and decoder."""
        noise = self.normal(*batch.action.shape[1:-1], self.config.dim)
        condition = self.condition(batch)
        self.last = self.vae.update(condition, batch.action, noise, self.config.kl_weight)

    def finish(self) -> None:
        """Embeds the offline rows, and notes whether the latent collapsed."""
        self.extend(0, self.experience.offline)
        used = self.table[:, : self.experience.offline].var(1) > ACTIVE  # [M, N, Z]
        rebuilt, divergence = self.last
        self.notes.update(
            active_dims=used.sum(-1).tolist(),
            kl_per_dim=divergence.tolist(),
            reconstruction=rebuilt.tolist(),
        )

    @torch.no_grad()
    def extend(self, start: int, stop: int) -> None:
        """Embeds the rows with indices in [start, stop)."""
        shape = (len(self.table), self.experience.agents, -1)
        for low in range(start, stop, CHUNK):
            index = torch.arange(low, min(low + CHUNK, stop), device=self.device)
            batch = self.experience.gather(index.expand(shape), self.members)
            mean, _ = self.vae.encode(self.condition(batch), batch.action)
            self.table[:, low : low + mean.shape[2]] = mean.transpose(1, 2)

    def rows(self, index: Tensor) -> Tensor:
        """[M, N, B, Z] embeddings of the rows with these indices [M, N, B]."""
        members, agents = index.shape[:2]
        member = torch.arange(members, device=index.device).view(-1, 1, 1)
        agent = torch.arange(agents, device=index.device).view(1, -1, 1)
        return self.table[member, index, agent]
