"""CAST-BCQ, independent BCQ and independent ICQ with discrete actions, on a population.

A behaviour-cloned categorical distribution per agent takes the VAE's place: an action may be chosen
if it is available and at least `threshold` times as probable as the most probable one (discrete
BCQ, Fujimoto et al., 2019).

Axes: M members, N agents, B batch, K candidates, D state, O observation, A actions.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from common.learning.learner import Learner
from common.learning.losses import softmax_weights
from common.learning.networks import apply_mlp, mlp_parameters
from common.learning.population import generators, mean_over_batch
from papers.cast_bcq.cast import EXACT_UP_TO, Variant
from papers.cast_bcq.contributions import all_subteams, combined, contributions, draw_subteams


@dataclass(frozen=True)
class DiscreteConfig:
    """Of all three learners; threshold of discrete BCQ, temperatures of ICQ's code."""

    hidden: int = 64
    lr: float = 1e-3
    gamma: float = 0.99
    tau: float = 0.005
    threshold: float = 0.3
    candidates: int = 10  # n, joint candidates
    subteams: int = 10  # M, drawn for more than EXACT_UP_TO agents
    weight: float = 0.75  # lambda of independent BCQ's twin target
    default: str = (
        "zero"  # a^d: the "zero" block (the agent is absent), or the "first" action (stay, no-op)
    )
    others: str = "policy"  # what unmasked agents do in Eq. 8: "policy", or the "data"'s actions
    target_temperature: float = 1.0  # alpha of ICQ
    policy_temperature: float = 0.1  # beta of ICQ


@dataclass(frozen=True)
class DiscreteBatch:
    """A minibatch of joint transitions.

    Attributes:
        state, next_state: [M, B, D]; obs, next_obs: [M, N, B, O].
        available, next_available: [M, N, B, A], 1 where an action may be taken.
        action, next_action: [M, N, B], indices; next_action of a terminal row is anything.
        reward, terminal: [M, B].
    """

    state: Tensor
    obs: Tensor
    available: Tensor
    action: Tensor
    reward: Tensor
    next_state: Tensor
    next_obs: Tensor
    next_available: Tensor
    terminal: Tensor
    next_action: Tensor


def allowed(logits: Tensor, available: Tensor, threshold: float) -> Tensor:
    """Which actions [..., A] may be chosen: available, and p >= threshold * max p among the
    available ones.
    """
    logits = logits.masked_fill(available < 0.5, -torch.inf)
    log_prob = logits.log_softmax(-1)
    return (log_prob - log_prob.amax(-1, keepdim=True)).exp() >= threshold


def sample_allowed(
    logits: Tensor, mask: Tensor, count: int, streams: list[torch.Generator]
) -> Tensor:
    """[M, N, B, K] draws from the softmax over allowed actions, by Gumbel maxima."""
    shape = (*logits.shape[1:-1], count, logits.shape[-1])
    noise = torch.stack(
        [
            torch.empty(shape, device=stream.device).exponential_(generator=stream)
            for stream in streams
        ]
    )
    kept = logits.masked_fill(~mask, -torch.inf).unsqueeze(-2)
    return (kept - noise.clamp_min(1e-30).log()).argmax(-1)


class DiscreteLearner(Learner):
    """What the three learners share: networks on own observations and behaviour cloning."""

    def __init__(
        self,
        seeds: list[int],
        obs_dims: list[int],
        actions: int,
        config: DiscreteConfig,
        device="cpu",
    ):
        super().__init__(seeds, device)
        self.obs_dims, self.actions, self.config = obs_dims, actions, config
        self.add("generator", obs_dims, actions)

    def add(
        self,
        name: str,
        sizes: list[int],
        outputs: int,
        heads: int | None = None,
        target: bool = False,
    ) -> None:
        """A network per member and entry of `sizes`, and its optimiser."""
        tensors = mlp_parameters(
            generators(self.seeds, name),
            sizes,
            max(sizes),
            self.config.hidden,
            outputs,
            heads=heads,
            input_norm=False,
        )
        self.hold(name, tensors, self.config.lr, target)

    def descend(self, loss: Tensor, *names: str) -> None:
        """One optimiser step; target networks follow."""
        super().descend(loss, *names)
        for name in names:
            if name in self.targets:
                self.targets[name].average_towards(self.networks[name], self.config.tau)

    def clone(self, batch: DiscreteBatch) -> None:
        """One step of the generator: cross entropy of the data's actions over available ones."""
        logits = apply_mlp(self.networks["generator"], batch.obs, None)
        log_prob = logits.masked_fill(batch.available < 0.5, -torch.inf).log_softmax(-1)
        self.descend(-mean_over_batch(log_prob.gather(-1, batch.action.unsqueeze(-1))), "generator")

    @torch.no_grad()
    def generator(self, obs: Tensor, available: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [M, N, B, A] of the behaviour, and which actions are allowed."""
        logits = apply_mlp(self.networks["generator"], obs, None)
        return logits, allowed(logits, available, self.config.threshold)


class DiscreteBCQ(DiscreteLearner):
    """I-BCQ: every agent by itself, twin critics with BCQ's weighted clipped target over allowed
    actions.
    """

    def __init__(self, seeds, obs_dims, actions, config: DiscreteConfig, device="cpu"):
        super().__init__(seeds, obs_dims, actions, config, device)
        self.add("critic", obs_dims, actions, heads=2, target=True)

    def update(self, batch: DiscreteBatch) -> None:
        config = self.config
        self.clone(batch)
        with torch.no_grad():
            _, mask = self.generator(batch.next_obs, batch.next_available)
            values = apply_mlp(self.targets["critic"], batch.next_obs, None)  # [M, N, 2, B, A]
            mixed = config.weight * values.amin(2) + (1 - config.weight) * values.amax(2)
            best = mixed.masked_fill(~mask, -torch.inf).amax(-1)
            target = (
                batch.reward.unsqueeze(1) + config.gamma * (1 - batch.terminal.unsqueeze(1)) * best
            )
        q = apply_mlp(self.networks["critic"], batch.obs, None)
        action = batch.action[:, :, None, :, None].expand(*q.shape[:-1], 1)
        errors = q.gather(-1, action).squeeze(-1) - target.unsqueeze(2)
        self.descend(mean_over_batch(errors.square().sum(2)), "critic")

    @torch.no_grad()
    def act(self, obs: Tensor, available: Tensor) -> Tensor:
        """[M, N, B] the best allowed action by the first critic."""
        _, mask = self.generator(obs, available)
        return (
            apply_mlp(self.networks["critic"], obs, None, head=0)
            .masked_fill(~mask, -torch.inf)
            .argmax(-1)
        )


class DiscreteICQ(DiscreteLearner):
    """I-ICQ: every agent by itself, SARSA targets with batch-softmax weights, advantage-weighted
    policies.
    """

    def __init__(self, seeds, obs_dims, actions, config: DiscreteConfig, device="cpu"):
        super().__init__(seeds, obs_dims, actions, config, device)
        self.add("critic", obs_dims, actions, target=True)
        self.add("actor", obs_dims, actions)

    def update(self, batch: DiscreteBatch) -> None:
        config = self.config
        with torch.no_grad():
            following = apply_mlp(self.targets["critic"], batch.next_obs, None)
            following = following.gather(-1, batch.next_action.unsqueeze(-1)).squeeze(-1)
            trusted = softmax_weights(following, config.target_temperature) * following
            target = (
                batch.reward.unsqueeze(1)
                + config.gamma * (1 - batch.terminal.unsqueeze(1)) * trusted
            )
        q = apply_mlp(self.networks["critic"], batch.obs, None)
        taken = q.gather(-1, batch.action.unsqueeze(-1)).squeeze(-1)
        self.descend(mean_over_batch((taken - target).square()), "critic")

        logits = apply_mlp(self.networks["actor"], batch.obs, None).masked_fill(
            batch.available < 0.5, -torch.inf
        )
        with torch.no_grad():
            q = apply_mlp(self.networks["critic"], batch.obs, None)
            advantage = q.gather(-1, batch.action.unsqueeze(-1)).squeeze(-1) - (
                logits.softmax(-1) * q
            ).sum(-1)
            weights = softmax_weights(advantage, config.policy_temperature)
        log_prob = logits.log_softmax(-1).gather(-1, batch.action.unsqueeze(-1)).squeeze(-1)
        self.descend(-mean_over_batch(weights * log_prob), "actor")

    @torch.no_grad()
    def act(self, obs: Tensor, available: Tensor) -> Tensor:
        """[M, N, B] the policy's most probable available action."""
        return (
            apply_mlp(self.networks["actor"], obs, None)
            .masked_fill(available < 0.5, -torch.inf)
            .argmax(-1)
        )


class DiscreteCAST(DiscreteLearner):
    """CAST-BCQ: joint critics of state and one-hot joint action, individual values of own
    observations.

    Args:
        state_dim: D.
        variants: one per member, see `papers.cast_bcq.cast.Variant`.
    """

    def __init__(
        self,
        seeds,
        obs_dims,
        state_dim: int,
        actions,
        config: DiscreteConfig,
        variants: list[Variant],
        device="cpu",
    ):
        super().__init__(seeds, obs_dims, actions, config, device)
        self.agents = len(obs_dims)
        self.add("critic", [state_dim + self.agents * actions], 1, heads=2, target=True)
        self.add("value", obs_dims, actions)
        self.weight = torch.tensor([variant.weight for variant in variants], device=device)
        self.single = torch.tensor([not variant.double for variant in variants], device=device)
        self.baseline = torch.tensor(
            [float(variant.baseline) for variant in variants], device=device
        )
        self.masking = torch.tensor([variant.masking for variant in variants], device=device)
        self.default = torch.zeros(self.agents, actions, device=device)
        if config.default == "first":
            self.default[:, 0] = 1
        elif config.default != "zero":
            raise ValueError(f"default is {config.default!r}, expected 'zero' or 'first'")
        self.subteam_streams = generators(seeds, "subteams")

    def onehot(self, action: Tensor) -> Tensor:
        """[..., A] of indices [...]."""
        return torch.nn.functional.one_hot(action, self.actions).float()

    def joint_values(self, state: Tensor, actions: Tensor, params) -> Tensor:
        """Eq. 10 [M, R] of states [M, R, D] with one-hot joint actions [M, R, N, A]."""
        x = torch.cat([state, actions.flatten(-2)], -1).unsqueeze(1)
        return combined(apply_mlp(params, x, None).squeeze(-1).squeeze(1), self.weight, self.single)

    def best_joint(self, state, obs, available, params) -> tuple[Tensor, Tensor]:
        """Best of n joint candidates by Eq. 10: one-hot actions [M, N, B, A] and their values [M,
        B].

        Candidate j pairs the j-th draw of every agent.
        """
        count = self.config.candidates
        logits, mask = self.generator(obs, available)
        drawn = self.onehot(sample_allowed(logits, mask, count, self.streams))  # [M, N, B, K, A]
        team = drawn.permute(0, 2, 3, 1, 4)
        values = self.joint_values(
            state.repeat_interleave(count, dim=1), team.flatten(1, 2), params
        )
        best, which = values.unflatten(1, (-1, count)).max(-1)
        pick = which[:, None, :, None, None].expand(-1, self.agents, -1, 1, self.actions)
        return drawn.gather(3, pick).squeeze(3), best

    def update(self, batch: DiscreteBatch) -> None:
        config = self.config
        self.clone(batch)
        with torch.no_grad():
            _, best = self.best_joint(
                batch.next_state, batch.next_obs, batch.next_available, self.targets["critic"]
            )
            target = batch.reward + config.gamma * (1 - batch.terminal) * best  # [M, B]
        action = self.onehot(batch.action)  # [M, N, B, A]
        x = torch.cat([batch.state, action.transpose(1, 2).flatten(-2)], -1).unsqueeze(1)
        q = apply_mlp(self.networks["critic"], x, None).squeeze(-1)  # [M, 1, 2, B]
        self.descend(mean_over_batch((q - target[:, None, None]).square().sum(2)), "critic")

        with torch.no_grad():
            delta = self.contributions(batch, action)
        value = (
            apply_mlp(self.networks["value"], batch.obs, None)
            .gather(-1, batch.action.unsqueeze(-1))
            .squeeze(-1)
        )
        self.descend(mean_over_batch((value - delta).square()), "value")

    def contributions(self, batch: DiscreteBatch, action: Tensor) -> Tensor:
        """Delta_i [M, N, B] of Eq. 8 for one-hot actions of the data."""
        if self.agents <= EXACT_UP_TO:
            kept = all_subteams(self.agents).to(self.device)
            kept = kept.expand(len(self.seeds), *kept.shape)
        else:
            kept = torch.stack(
                [
                    draw_subteams(self.agents, self.config.subteams, stream)
                    for stream in self.subteam_streams
                ]
            )
            kept = kept.to(self.device)
        kept = torch.where(self.masking.view(-1, 1, 1, 1), kept, 1.0)
        weights = kept.new_full((len(self.seeds), kept.shape[2]), 1 / kept.shape[2])
        others, constant = (
            action,
            {name: tensor.detach() for name, tensor in self.networks["critic"].tensors.items()},
        )
        if self.config.others == "policy":
            others, _ = self.best_joint(batch.state, batch.obs, batch.available, constant)

        def value(actions: Tensor) -> Tensor:
            rows = actions.shape[1]
            state = batch.state.unsqueeze(1).expand(-1, rows, -1, -1).flatten(1, 2)
            return self.joint_values(state, actions.flatten(1, 2), constant).unflatten(
                1, (rows, -1)
            )

        return contributions(value, action, others, self.default, kept, weights, self.baseline)

    @torch.no_grad()
    def act(self, obs: Tensor, available: Tensor) -> Tensor:
        """[M, N, B] every agent's best allowed action by its individual value."""
        _, mask = self.generator(obs, available)
        return (
            apply_mlp(self.networks["value"], obs, None).masked_fill(~mask, -torch.inf).argmax(-1)
        )
