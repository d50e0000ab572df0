"""CAST-BCQ (Ma and Wu, AAMAS 2023) on a population: continuous actions. Its ablations are members
like any other.

Every agent has a conditional VAE (Eq. 3) and an individual value network (Eq. 9), the team has two
joint critics (Eqs. 6 and 10). An agent executes the best of its own VAE's proposals by its
individual value.

Axes: M members, N agents, B batch, K candidates, D state, O observation, A an agent's action.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from common.learning.losses import td_loss
from common.learning.networks import TwinCritics, apply_mlp, mlp_parameters
from common.learning.population import (
    Adam,
    Parameters,
    generators,
    mean_over_batch,
    normal_,
    per_member,
)
from common.learning.vae import ConditionalVAE
from papers.cast_bcq.contributions import all_subteams, combined, contributions, draw_subteams
from papers.cast_bcq.rows import TeamBatch

EXACT_UP_TO = 3  # agents: all subteams are enumerated
KL_WEIGHT = 0.5  # of BCQ's code
EXP_CLIP = 10.0


@dataclass(frozen=True)
class CASTConfig:
    """Sizes of BCQ's code; see the README for what the paper leaves open."""

    hidden: int = 400  # of joint critics and individual values
    vae_hidden: int = 752
    lr: float = 1e-3
    gamma: float = 0.99
    tau: float = 0.005
    candidates: int = 10  # n, joint candidates in the target and for the joint policy
    act_samples: int = 100  # an agent's proposals in execution
    latent_clip: float = 0.5  # of the latents that proposals are decoded from
    subteams: int = 8  # M, drawn for more than EXACT_UP_TO agents
    others: str = "policy"  # what unmasked agents do in Eq. 8: "policy", or the "data"'s actions
    exp_weight: bool = False  # of Eq. 9 by clip(exp(Delta), 0, 10)


@dataclass(frozen=True)
class Variant:
    """What ablations change.

    Attributes:
        masking: subteam masking; without it the others always follow the joint policy (w/o ST).
        baseline: subtract the value of the default action; without it and masking, w/o CSAA.
        double: two joint critics; else one (w/o CD).
        weight: lambda of Eq. 10.
    """

    masking: bool = True
    baseline: bool = True
    double: bool = True
    weight: float = 0.9


class CAST:
    """Generators, joint critics, their targets, and individual values of every member.

    Args:
        seeds: one per member.
        obs_dims: true observation size of each agent; state_dim: D.
        variants: one per member.
    """

    def __init__(
        self,
        seeds: list[int],
        obs_dims: list[int],
        state_dim: int,
        action_dim: int,
        config: CASTConfig,
        variants: list[Variant],
        device="cpu",
    ):
        if config.others not in ("policy", "data"):
            raise ValueError(f"others is {config.others!r}, expected 'policy' or 'data'")
        self.config, self.action_dim, self.latent = config, action_dim, 2 * action_dim
        members, self.agents, padded = len(seeds), len(obs_dims), max(obs_dims)
        self.vae = ConditionalVAE(
            generators(seeds, "vae"),
            obs_dims,
            padded,
            action_dim,
            self.latent,
            config.vae_hidden,
            config.lr,
            device,
        )
        joint = state_dim + self.agents * action_dim
        self.critics = TwinCritics(
            generators(seeds, "critic"), [joint], joint, config.hidden, False, device
        )
        self.target_critic = self.critics.params.frozen_copy()
        inputs = [dim + action_dim for dim in obs_dims]
        tensors = mlp_parameters(
            generators(seeds, "value"),
            inputs,
            padded + action_dim,
            config.hidden,
            1,
            input_norm=False,
        )
        self.individual = Parameters({name: tensor.to(device) for name, tensor in tensors.items()})
        rates = per_member(config.lr, members, device)
        self.critic_adam, self.value_adam = (
            Adam(self.critics.params, rates),
            Adam(self.individual, rates),
        )
        self.noise_streams, self.subteam_streams = (
            generators(seeds, "noise", device),
            generators(seeds, "subteams"),
        )

        self.weight = torch.tensor([variant.weight for variant in variants], device=device)
        self.single = torch.tensor([not variant.double for variant in variants], device=device)
        self.baseline = torch.tensor(
            [float(variant.baseline) for variant in variants], device=device
        )
        self.masking = torch.tensor([variant.masking for variant in variants], device=device)
        self.default = torch.zeros(self.agents, action_dim, device=device)
        if self.agents <= EXACT_UP_TO:
            exact = all_subteams(self.agents).to(device)
            self.kept = exact.expand(members, *exact.shape)

    def propose(self, obs: Tensor, samples: int, streams: list[torch.Generator]) -> Tensor:
        """[M, N, B, K, A] actions decoded from clipped latents for obs [M, N, B, O]."""
        repeated = obs.repeat_interleave(samples, dim=2)
        noise = normal_(obs.new_empty(*repeated.shape[:-1], self.latent), streams)
        clip = self.config.latent_clip
        return (
            self.vae.decode(repeated, noise.clamp(-clip, clip)).detach().unflatten(2, (-1, samples))
        )

    def joint_values(self, state: Tensor, actions: Tensor, params) -> Tensor:
        """Eq. 10 [M, R] of states [M, R, D] with joint actions [M, R, N, A]."""
        values = self.critics.values(
            state.unsqueeze(1), actions.flatten(-2).unsqueeze(1), params
        )  # [M, 1, 2, R]
        return combined(values.squeeze(1), self.weight, self.single)

    def best_joint(self, state: Tensor, obs: Tensor, params) -> tuple[Tensor, Tensor]:
        """Best of n joint candidates by Eq. 10: actions [M, N, B, A] and their values [M, B].

        Candidate j pairs the j-th proposal of every agent: n joint actions, not n^N.
        """
        count = self.config.candidates
        proposals = self.propose(obs, count, self.noise_streams)  # [M, N, B, K, A]
        team = proposals.permute(0, 2, 3, 1, 4)  # [M, B, K, N, A]
        values = self.joint_values(
            state.repeat_interleave(count, dim=1), team.flatten(1, 2), params
        )
        best, which = values.unflatten(1, (-1, count)).max(-1)  # [M, B]
        pick = which[:, None, :, None, None].expand(-1, self.agents, -1, 1, self.action_dim)
        return proposals.gather(3, pick).squeeze(3), best

    def contributions(self, batch: TeamBatch) -> Tensor:
        """Delta_i [M, N, B] of Eq. 8."""
        if self.agents > EXACT_UP_TO:
            drawn = [
                draw_subteams(self.agents, self.config.subteams, stream)
                for stream in self.subteam_streams
            ]
            kept = torch.stack(drawn).to(batch.state.device)
            kept = torch.where(self.masking.view(-1, 1, 1, 1), kept, 1.0)
            weights = kept.new_full(kept.shape[:1] + kept.shape[2:3], 1 / kept.shape[2])
        else:
            kept = self.kept
            empty = torch.zeros(kept.shape[2], device=kept.device)
            empty[0] = 1
            weights = torch.where(
                self.masking.unsqueeze(-1), torch.full_like(empty, 1 / len(empty)), empty
            )
        others = batch.action
        if self.config.others == "policy":
            others, _ = self.best_joint(batch.state, batch.obs, self.critics.constant)

        def value(actions: Tensor) -> Tensor:
            rows = actions.shape[1]
            state = batch.state.unsqueeze(1).expand(-1, rows, -1, -1).flatten(1, 2)
            return self.joint_values(state, actions.flatten(1, 2), self.critics.constant).unflatten(
                1, (rows, -1)
            )

        return contributions(
            value, batch.action, others, self.default, kept, weights, self.baseline
        )

    def update(self, batch: TeamBatch) -> None:
        """One iteration of Algorithm 1: generators, joint critics, individual values, targets."""
        config = self.config
        noise = normal_(batch.obs.new_empty(*batch.obs.shape[:-1], self.latent), self.noise_streams)
        self.vae.update(batch.obs, batch.action, noise, KL_WEIGHT)

        with torch.no_grad():
            _, best = self.best_joint(batch.next_state, batch.next_obs, self.target_critic)
            target = batch.reward + config.gamma * (1 - batch.terminal) * best  # [M, B]
        joint = batch.action.transpose(1, 2).flatten(-2).unsqueeze(1)  # [M, 1, B, N A]
        values = self.critics.values(batch.state.unsqueeze(1), joint)
        self._descend(td_loss(values, target.unsqueeze(1)), self.critics.params, self.critic_adam)

        with torch.no_grad():
            delta = self.contributions(batch)
        errors = (self.values(batch.obs, batch.action) - delta).square()
        if config.exp_weight:
            errors = errors * delta.exp().clamp_max(EXP_CLIP)
        self._descend(mean_over_batch(errors), self.individual, self.value_adam)
        self.target_critic.average_towards(self.critics.params, config.tau)

    @staticmethod
    def _descend(loss: Tensor, params: Parameters, adam: Adam) -> None:
        params.zero_grad()
        loss.sum().backward(inputs=list(params.tensors.values()))
        adam.step()

    def values(self, obs: Tensor, action: Tensor) -> Tensor:
        """Individual values [M, N, B] of own observations and actions (Eq. 9)."""
        return apply_mlp(self.individual, torch.cat([obs, action], -1), None).squeeze(-1)

    @torch.no_grad()
    def act(self, obs: Tensor, streams: list[torch.Generator]) -> Tensor:
        """[M, N, B, A]: every agent's best of `act_samples` proposals by its own individual value."""
        samples = self.config.act_samples
        proposals = self.propose(obs, samples, streams)
        values = self.values(
            obs.repeat_interleave(samples, dim=2), proposals.flatten(2, 3)
        ).unflatten(2, (-1, samples))
        pick = values.argmax(-1)[..., None, None].expand(-1, -1, -1, 1, self.action_dim)
        return proposals.gather(3, pick).squeeze(3)

    def state_dict(self) -> dict:
        return {
            "vae": self.vae.state_dict(),
            "critics": self.critics.params.flat,
            "target_critic": self.target_critic.flat,
            "individual": self.individual.flat,
            "critic_adam": self.critic_adam.state_dict(),
            "value_adam": self.value_adam.state_dict(),
            "noise": [stream.get_state() for stream in self.noise_streams],
            "subteams": [stream.get_state() for stream in self.subteam_streams],
        }

    @torch.no_grad()
    def load_state_dict(self, state: dict) -> None:
        self.vae.load_state_dict(state["vae"])
        self.critics.params.flat.copy_(state["critics"])
        self.target_critic.flat.copy_(state["target_critic"])
        self.individual.flat.copy_(state["individual"])
        self.critic_adam.load_state_dict(state["critic_adam"])
        self.value_adam.load_state_dict(state["value_adam"])
        for streams, saved in (
            (self.noise_streams, state["noise"]),
            (self.subteam_streams, state["subteams"]),
        ):
            for stream, one in zip(streams, saved, strict=True):
                stream.set_state(one)
