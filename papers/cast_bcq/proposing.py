"""BCQ as it is compared here: with what its generator proposes, beside what it chooses.

Axes: M members, N agents, B batch, K proposals, O observation, A an agent's action.
"""

import torch
from torch import Tensor

from common.learning.bcq import BCQ
from common.learning.philox import Streams
from papers.cast_bcq.rows import JointBatch
from papers.cast_bcq.yardsticks import best_proposals, spread


class ProposingBCQ(BCQ):
    """BCQ, and the controls of its choice."""

    @torch.no_grad()
    def control(self, way: str, obs: Tensor, streams: Streams) -> Tensor:
        """[M, N, B, A] for observations [M, N, B, O] a random proposal, the worst by the first
        critic, or what the generator decodes from zero ("cloning"). Proposals are perturbed, as in
        the method.
        """
        if way == "cloning":
            return self.vae.decode(obs, self.noise(obs, streams).zero_())
        proposals = self.proposals(obs, 1 if way == "random" else self.config.act_samples, streams)
        if way == "random":
            return proposals.squeeze(3)
        repeated = obs.repeat_interleave(proposals.shape[3], dim=2)
        values = self.q(repeated, proposals.flatten(2, 3)).unflatten(2, (-1, proposals.shape[3]))
        return best_proposals(proposals, values, worst=True)

    def proposals(self, obs: Tensor, count: int, streams: Streams) -> Tensor:
        """[M, N, B, K, A] perturbed proposals."""
        repeated = obs.repeat_interleave(count, dim=2)
        noise = self.noise(repeated, streams)
        return self.propose(repeated, noise, self.networks["actor"]).unflatten(2, (-1, count))

    @torch.no_grad()
    def value_on_data(self, batch: JointBatch) -> Tensor:
        """[M] mean value of the data's actions over agents and rows, by the first critic."""
        return self.q(batch.obs, batch.action).mean((1, 2))

    @torch.no_grad()
    def spread(self, obs: Tensor, streams: Streams) -> Tensor:
        """[M] standard deviation of what the generator proposes for an observation."""
        repeated = obs.repeat_interleave(self.config.act_samples, dim=2)
        decoded = self.decode(repeated, self.noise(repeated, streams))
        return spread(decoded.unflatten(2, (-1, self.config.act_samples)))

    @torch.no_grad()
    def correction(self, obs: Tensor, streams: Streams) -> Tensor:
        """[M] mean size of the perturbation."""
        decoded = self.decode(obs, self.noise(obs, streams))
        return (self.perturb(obs, decoded, self.networks["actor"]) - decoded).abs().mean((1, 2, 3))
