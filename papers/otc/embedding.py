"""The embedding behind d_e: a conditional VAE of (s, a_i, s') per agent, trained on the offline
data and then frozen.

Encoder E(mu, sigma | s, a_i, s'), decoder D(a_i | s, s', z); mu is the embedding (Section 3.5).

Axes: M members, N agents, B batch, Z embedding.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from common.learning.population import generators, normal_
from common.learning.replay import Batch
from common.learning.vae import ConditionalVAE
from papers.otc.experience import Experience

ACTIVE = 0.01  # variance over the data above which a dimension of the embedding counts as used
CHUNK = 8192  # rows embedded together


@dataclass(frozen=True)
class EmbeddingConfig:
    """Ours but for the dimension: the paper gives no more."""

    dim: int = 10
    hidden: int = 64
    lr: float = 1e-3
    kl_weight: float = 0.1
    updates: int = 50_000
    batch_size: int = 128


class Embedding:
    """Embeddings of every row of a population's experience.

    Args:
        members: of the population, a slice; all others have none.
    """

    def __init__(
        self,
        seeds: list[int],
        experience: Experience,
        members: slice,
        config: EmbeddingConfig,
        device="cpu",
    ):
        self.config, self.experience, self.members = config, experience, members
        obs_dim, action_dim = experience.widths[:2]
        dims = [2 * obs_dim] * experience.agents
        self.vae = ConditionalVAE(
            generators(seeds, "embedding"),
            dims,
            dims[0],
            action_dim,
            config.dim,
            config.hidden,
            config.lr,
            device,
        )
        self.minibatches, self.noise = (
            generators(seeds, "embedding/minibatches"),
            generators(seeds, "embedding/noise", device),
        )
        mean, std = (part[members].unsqueeze(2) for part in experience.moments("obs"))
        self.mean, self.scale = mean, std + 1e-3
        shape = (
            len(seeds),
            experience.offline + experience.capacity,
            experience.agents,
            config.dim,
        )
        self.table = torch.zeros(shape, device=device)
        self.facts: dict[str, list] = {}

    def condition(self, batch: Batch) -> Tensor:
        """[M, N, B, 2 O] standardised states and next states."""
        return torch.cat(
            [(batch.obs - self.mean) / self.scale, (batch.next_obs - self.mean) / self.scale],
            dim=-1,
        )

    def train(self):
        """Trains on the offline rows; yields after every update, then embeds them and notes whether
        the latent collapsed.
        """
        experience, config = self.experience, self.config
        for _ in range(config.updates):
            index = torch.stack(
                [
                    torch.randint(
                        experience.offline, (experience.agents, config.batch_size), generator=stream
                    )
                    for stream in self.minibatches
                ]
            ).to(experience.device)
            batch = experience.gather(index, self.members)
            noise = normal_(
                batch.action.new_empty(*batch.action.shape[:-1], config.dim), self.noise
            )
            rebuilt, divergence = self.vae.update(
                self.condition(batch), batch.action, noise, config.kl_weight
            )
            yield
        self.extend(0, experience.offline)
        used = self.table[:, : experience.offline].var(1) > ACTIVE  # [M, N, Z]
        self.facts = {
            "active_dims": used.sum(-1).tolist(),
            "kl_per_dim": divergence.tolist(),
            "reconstruction": rebuilt.tolist(),
        }

    @torch.no_grad()
    def extend(self, start: int, stop: int) -> None:
        """Embeds the rows with indices in [start, stop)."""
        shape = (len(self.table), self.experience.agents, -1)
        for low in range(start, stop, CHUNK):
            index = torch.arange(low, min(low + CHUNK, stop), device=self.experience.device).expand(
                shape
            )
            batch = self.experience.gather(index, self.members)
            mean, _ = self.vae.encode(self.condition(batch), batch.action)
            self.table[:, low : low + mean.shape[2]] = mean.transpose(1, 2)

    def rows(self, index: Tensor) -> Tensor:
        """[M, N, B, Z] embeddings of the rows with these indices [M, N, B]."""
        members, agents = index.shape[:2]
        member = torch.arange(members, device=index.device).view(-1, 1, 1)
        agent = torch.arange(agents, device=index.device).view(1, -1, 1)
        return self.table[member, index, agent]

    def state_dict(self) -> dict:
        return {
            "vae": self.vae.state_dict(),
            "minibatches": [stream.get_state() for stream in self.minibatches],
            "noise": [stream.get_state() for stream in self.noise],
            "facts": self.facts,
        }

    def load_state_dict(self, state: dict) -> None:
        self.vae.load_state_dict(state["vae"])
        for streams, name in ((self.minibatches, "minibatches"), (self.noise, "noise")):
            for stream, saved in zip(streams, state[name], strict=True):
                stream.set_state(saved)
        self.facts = state["facts"]
