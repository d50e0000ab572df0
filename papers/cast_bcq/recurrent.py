"""The methods of Table 1 on battles: behaviour cloning, I-BCQ, MABCQ, ICQ-MA and CAST-BCQ with
recurrent agents.

The agents of a team share networks, told apart by a number in the input, as in the code base that
ICQ-MA's authors use; an agent remembers its own observations and actions. As in discrete.py a
cloned categorical distribution takes the VAE's place.

Axes: M members, P positions in time and L lanes (see common.learning.episodes), N agents, B = P L,
D state, O observation, U actions, K candidates, S subteams, H hidden.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from common.learning.episodes import Lanes, traced_targets
from common.learning.learner import Learner
from common.learning.networks import apply_mlp, mlp_parameters
from common.learning.population import Parameters, generators, uniform_
from common.learning.recurrent import linear, recurrent_parameters, step, unroll
from papers.cast_bcq.baselines import value_deviation
from papers.cast_bcq.cast import EXACT_UP_TO
from papers.cast_bcq.contributions import all_subteams, draw_subteams
from papers.cast_bcq.discrete import allowed


class Sizes(NamedTuple):
    """Of a map."""

    obs: int
    state: int
    agents: int
    actions: int


@dataclass(frozen=True)
class RecurrentConfig:
    """Of all five learners."""

    hidden: int = 64  # of agents
    critic_hidden: int = 256
    mixer_hidden: int = 32
    lr: float = 5e-4  # of agents
    critic_lr: float = 1e-4
    gamma: float = 0.99
    copy_every: int = 600  # updates between copies to target networks
    max_norm: float = 20.0  # of gradients
    threshold: float = 0.3  # of discrete BCQ
    candidates: int = 10  # n, joint candidates
    subteams: int = 10  # M, drawn for more than EXACT_UP_TO agents
    weight: float = 0.75  # lambda of the twin target; 0.9 for CAST-BCQ
    default: str = (
        "zero"  # a^d: the "zero" block (the agent is absent), or the "first" action (no-op)
    )
    others: str = "policy"  # what unmasked agents do in Eq. 8: "policy", or the "data"'s actions
    trace: float = 0.0  # CAST-BCQ's share of the data's return in Eq. 6; 0 as in the paper
    epsilon: float = 0.8  # how far from 1 MABCQ's weights may be
    transitions: bool = True  # MABCQ's transition normalisation, next to its value deviation
    icq_trace: float = 0.75  # lambda of ICQ-MA's targets
    target_temperature: float = 1000.0  # of ICQ-MA's targets
    policy_temperature: float = 0.1  # of ICQ-MA's policies


def mean_filled(values: Tensor, filled: Tensor) -> Tensor:
    """[M] mean over the filled places of values [M, P, L] or [M, P, L, N]."""
    if values.ndim == 4:
        filled = filled.unsqueeze(-1).expand_as(values)
    return torch.where(filled > 0, values, 0.0).flatten(1).sum(1) / filled.flatten(1).sum(1)


def softmax_over_filled(values: Tensor, filled: Tensor, temperature: float) -> Tensor:
    """Importance weights [M, P, L, ...] with mean 1 over filled places, for every agent apart:
    softmax of values / temperature.
    """
    mask = (filled > 0).view(*filled.shape, *[1] * (values.ndim - 3)).expand_as(values)
    flat = (values / temperature).masked_fill(~mask, -torch.inf).flatten(1, 2)
    return (flat.softmax(1) * filled.flatten(1).sum(1).view(-1, *[1] * (flat.ndim - 1))).view_as(
        values
    )


def chosen(values: Tensor, action: Tensor) -> Tensor:
    """Values [...] of actions [...] among values [..., U]."""
    return values.gather(-1, action.unsqueeze(-1)).squeeze(-1)


def sampled(logits: Tensor, mask: Tensor, count: int, streams: list[torch.Generator]) -> Tensor:
    """[M, ..., K] draws from the softmax of logits [M, ..., U] over allowed actions, by the inverse
    of its distribution.

    One random number for each, where discrete.sample_allowed takes U; joint candidates of long
    episodes need millions.
    """
    cumulative = logits.masked_fill(~mask, -torch.inf).softmax(-1).cumsum(-1)
    drawn = (
        uniform_(logits.new_empty(*logits.shape[:-1], count), streams, 0.0, 1.0)
        * cumulative[..., -1:]
    )
    last = (
        mask.long().cumsum(-1).argmax(-1, keepdim=True)
    )  # the last allowed action, where rounding would lead past it
    return torch.minimum(torch.searchsorted(cumulative, drawn, right=True), last)


def later(values: Tensor) -> Tensor:
    """Values of every place's next one; the last place of a lane, never filled, gets its own."""
    return torch.cat([values[:, 1:], values[:, -1:]], 1)


class Behaviour(Learner):
    """Behaviour cloning, and what all learners share: networks along time, the cloned behaviour,
    acting.

    Args:
        seeds: one per member.
    """

    acting: tuple[str, ...] = ("generator",)  # networks that acting needs

    def __init__(self, seeds: list[int], sizes: Sizes, config: RecurrentConfig, device="cpu"):
        super().__init__(seeds, device, config.max_norm)
        self.sizes, self.config, self.updates = sizes, config, 0
        self.numbers = torch.eye(sizes.agents, device=device)
        if "generator" in self.acting:
            self.add_agent("generator", sizes.actions)

    def add_agent(self, name: str, outputs: int, target: bool = False, further: int = 0) -> None:
        """A recurrent network that the team shares; `further` inputs next to those of `inputs`."""
        inputs = self.sizes.obs + self.sizes.actions + self.sizes.agents + further
        tensors = recurrent_parameters(
            generators(self.seeds, name), 1, inputs, self.config.hidden, outputs
        )
        self.hold(name, tensors, self.config.lr, target)

    def add_mlp(
        self,
        name: str,
        inputs: int,
        outputs: int,
        heads: int | None = None,
        target=False,
        hidden: int = 0,
    ) -> None:
        """A network without memory, of states mostly."""
        width = hidden or self.config.critic_hidden
        streams = generators(self.seeds, name)
        tensors = mlp_parameters(
            streams, [inputs], inputs, width, outputs, heads=heads, input_norm=False
        )
        self.hold(name, tensors, self.config.critic_lr, target)

    def inputs(self, obs: Tensor, last: Tensor) -> Tensor:
        """[..., N, O + U + N] of obs [..., N, O] and last actions [..., N], -1 where there is none."""
        acted = torch.nn.functional.one_hot(last + 1, self.sizes.actions + 1)[..., 1:].float()
        return torch.cat([obs, acted, self.numbers.expand(*obs.shape[:-1], -1)], -1)

    def along(self, name: str, x: Tensor, lanes: Lanes, params: Parameters | None = None) -> Tensor:
        """[M, P, L, N, out] of an agents' network along time, for x of `inputs`."""
        members, positions, count, agents, _ = x.shape
        fresh = lanes.fresh.unsqueeze(-1).expand(-1, -1, -1, agents).flatten(2).unsqueeze(1)
        found, _ = unroll(params or self.networks[name], x.flatten(2, 3).unsqueeze(1), fresh)
        return found.view(members, positions, count, agents, -1)

    def clone(self, x: Tensor, lanes: Lanes) -> Tensor:
        """One step of the behaviour's cross entropy over available actions; returns its logits from
        before.
        """
        logits = self.along("generator", x, lanes).masked_fill(lanes.available < 0.5, -torch.inf)
        self.descend(
            -mean_filled(chosen(logits.log_softmax(-1), lanes.action), lanes.filled), "generator"
        )
        return logits.detach()

    def update(self, lanes: Lanes) -> None:
        """One step on a minibatch."""
        self.learn(self.inputs(lanes.obs, lanes.last), lanes)
        self.updates += 1
        if self.updates % self.config.copy_every == 0:
            for name, part in self.targets.items():
                part.flat.copy_(self.networks[name].flat)

    def learn(self, x: Tensor, lanes: Lanes) -> None:
        """Steps of all networks; x is `inputs` of the minibatch."""
        self.clone(x, lanes)

    def memory(self, battles: int) -> dict[str, Tensor]:
        """Empty memories to begin episodes with."""
        shape = len(self.seeds), 1, battles * self.sizes.agents, self.config.hidden
        return {name: torch.zeros(shape, device=self.device) for name in self.acting}

    @torch.no_grad()
    def act(
        self, obs: Tensor, available: Tensor, last: Tensor, memory: dict[str, Tensor]
    ) -> Tensor:
        """[M, E, N] actions in E battles; follows `memory` in place.

        Args:
            obs: [M, E, N, O]; available: [M, E, N, U]; last: [M, E, N], -1 at the first step.
        """
        x, found = self.inputs(obs, last).flatten(1, 2).unsqueeze(1), {}
        for name in self.acting:
            out, memory[name] = step(self.networks[name], x, memory[name])
            found[name] = out.view(*obs.shape[:3], -1)
        return self.choose(found, available)

    def choose(self, found: dict[str, Tensor], available: Tensor) -> Tensor:
        """[M, E, N] actions by the networks' outputs [M, E, N, out]."""
        return found["generator"].masked_fill(available < 0.5, -torch.inf).argmax(-1)

    def state_dict(self) -> dict:
        return super().state_dict() | {"updates": self.updates}

    def load_state_dict(self, state: dict) -> None:
        self.updates = state["updates"]
        super().load_state_dict(state)


class BCQ(Behaviour):
    """I-BCQ: every agent by itself, two values on one memory, BCQ's weighted clipped target over
    allowed actions.
    """

    acting = ("generator", "critic")

    def __init__(self, seeds, sizes, config, device="cpu"):
        super().__init__(seeds, sizes, config, device)
        self.add_agent("critic", 2 * sizes.actions, target=True)

    def learn(self, x: Tensor, lanes: Lanes) -> None:
        config, logits = self.config, self.clone(x, lanes)
        with torch.no_grad():
            mask = allowed(logits, lanes.available, config.threshold)
            values = self.along("critic", x, lanes, self.targets["critic"]).unflatten(-1, (2, -1))
            mixed = config.weight * values.amin(-2) + (1 - config.weight) * values.amax(-2)
            following = later(mixed.masked_fill(~mask, -torch.inf).amax(-1))  # [M, P, L, N]
            target = (
                lanes.reward.unsqueeze(-1)
                + config.gamma * (1 - lanes.terminal).unsqueeze(-1) * following
            )
        q = chosen(
            self.along("critic", x, lanes).unflatten(-1, (2, -1)),
            lanes.action.unsqueeze(-1).expand(*target.shape, 2),
        )
        weights = self.weights(lanes, logits, following, q.detach()[..., 0])
        errors = (q - target.unsqueeze(-1)).square().sum(-1)
        self.descend(mean_filled(errors * weights, lanes.filled), "critic")

    def weights(self, lanes: Lanes, logits: Tensor, following: Tensor, q: Tensor) -> Tensor | float:
        """Of every transition."""
        return 1.0

    def choose(self, found, available):
        mask = allowed(found["generator"], available, self.config.threshold)
        return found["critic"][..., : self.sizes.actions].masked_fill(~mask, -torch.inf).argmax(-1)


class MABCQ(BCQ):
    """I-BCQ with MABCQ's weights: value deviation, and p(a | history) / p(a | history, next
    observation).
    """

    def __init__(self, seeds, sizes, config, device="cpu"):
        super().__init__(seeds, sizes, config, device)
        self.add_agent("inverse", sizes.actions, further=sizes.obs)

    def weights(self, lanes, logits, following, q):
        config = self.config
        found = value_deviation(
            following, q, lanes.reward.unsqueeze(-1), config.gamma, config.epsilon
        )
        if config.transitions:
            x = torch.cat([self.inputs(lanes.obs, lanes.last), later(lanes.obs)], -1)
            after = self.along("inverse", x, lanes).masked_fill(lanes.available < 0.5, -torch.inf)
            log_inverse = chosen(after.log_softmax(-1), lanes.action)
            self.descend(-mean_filled(log_inverse, lanes.filled), "inverse")
            log_prob = chosen(logits.log_softmax(-1), lanes.action)
            ratio = (log_prob - log_inverse.detach()).clamp(-20, 20).exp()
            found = found * ratio.clamp(1 - config.epsilon, 1 + config.epsilon)
        return found / mean_filled(found, lanes.filled).view(-1, 1, 1, 1)


class ICQ(Behaviour):
    """ICQ-MA: recurrent policies, a critic of state and own observation, a linear mixer, TD(lambda)
    on the data's actions.

    Q_tot = sum_i k_i(s) Q_i(s, o_i, a_i), k_i >= 0 with sum 1.
    """

    acting = ("actor",)

    def __init__(self, seeds, sizes, config, device="cpu"):
        super().__init__(seeds, sizes, config, device)
        self.add_agent("actor", sizes.actions)
        self.add_mlp("critic", sizes.state + sizes.obs + sizes.agents, sizes.actions, target=True)
        self.add_mlp("mixer", sizes.state, sizes.agents, target=True, hidden=config.mixer_hidden)

    def values(self, lanes: Lanes, critic: Parameters) -> Tensor:
        """[M, P, L, N, U] own values of all actions."""
        shape = lanes.obs.shape[:-1]
        seen = (
            lanes.state.unsqueeze(-2).expand(*shape, -1),
            lanes.obs,
            self.numbers.expand(*shape, -1),
        )
        return apply_mlp(critic, torch.cat(seen, -1).flatten(1, 3).unsqueeze(1), None).view(
            *shape, -1
        )

    def coefficients(self, lanes: Lanes, mixer: Parameters) -> Tensor:
        """[M, P, L, N] k_i(s), which sum to 1 over agents."""
        k = (
            apply_mlp(mixer, lanes.state.flatten(1, 2).unsqueeze(1), None)
            .view(*lanes.action.shape)
            .abs()
        )
        return k / (k.sum(-1, keepdim=True) + 1e-6)

    def learn(self, x: Tensor, lanes: Lanes) -> None:
        config, filled = self.config, lanes.filled
        logits = self.along("actor", x, lanes).masked_fill(lanes.available < 0.5, -torch.inf)
        with torch.no_grad():
            values, k = (
                self.values(lanes, self.targets["critic"]),
                self.coefficients(lanes, self.targets["mixer"]),
            )
            total = (k * chosen(values, lanes.action)).sum(-1)  # [M, P, L]
            trusted = softmax_over_filled(total, filled, config.target_temperature) * total
            expected = (k * (logits.softmax(-1) * values).sum(-1)).sum(
                -1
            )  # where an episode was cut there is no action
            following = torch.where(filled > 0, trusted, expected)
            target = traced_targets(
                lanes.reward, lanes.terminal, filled, following, config.gamma, config.icq_trace
            )
        own = self.values(lanes, self.networks["critic"])
        total = (self.coefficients(lanes, self.networks["mixer"]) * chosen(own, lanes.action)).sum(
            -1
        )
        self.descend(mean_filled((total - target).square(), filled), "critic", "mixer")

        with torch.no_grad():
            own = own.detach()
            advantage = chosen(own, lanes.action) - (logits.softmax(-1) * own).sum(-1)
            weights = softmax_over_filled(advantage, filled, config.policy_temperature)
            weights = weights * self.coefficients(lanes, self.networks["mixer"])
        self.descend(
            -mean_filled(weights * chosen(logits.log_softmax(-1), lanes.action), filled), "actor"
        )

    def choose(self, found, available):
        return found["actor"].masked_fill(available < 0.5, -torch.inf).argmax(-1)


class CAST(Behaviour):
    """CAST-BCQ: twin joint critics of state and joint action, contributions by Eq. 8, individual
    values of own histories.
    """

    acting = ("generator", "value")

    def __init__(self, seeds, sizes, config, device="cpu"):
        super().__init__(seeds, sizes, config, device)
        if config.default not in ("zero", "first") or config.others not in ("policy", "data"):
            raise ValueError(
                f"default is {config.default!r} and others {config.others!r}, expected 'zero' or 'first', and 'policy' or 'data'"
            )
        self.add_mlp("critic", sizes.state + sizes.agents * sizes.actions, 1, heads=2, target=True)
        self.add_agent("value", sizes.actions)
        self.subteam_streams = generators(seeds, "subteams")

    def first(self, state: Tensor, params: Parameters) -> Tensor:
        """[M, 2, B, H] what states [M, B, D] and the bias give the first layer of both critics."""
        weights, bias = (
            params["w1"].detach()[:, 0, :, : self.sizes.state],
            params["b1"].detach()[:, 0],
        )
        return linear(state.unsqueeze(1), weights, bias)

    def added(self, action: Tensor, params: Parameters) -> Tensor:
        """[M, 2, N, B, H] what agents' actions [M, N, B] add to it."""
        weights = (
            params["w1"]
            .detach()[:, 0, :, self.sizes.state :]
            .unflatten(2, (self.sizes.agents, self.sizes.actions))
        )
        nothing = weights.new_zeros(weights.shape[-1]).expand(*weights.shape[:3], -1)
        return linear(
            torch.nn.functional.one_hot(action, self.sizes.actions).float().unsqueeze(1),
            weights,
            nothing,
        )

    def top(self, first: Tensor, params: Parameters) -> Tensor:
        """Eq. 10 [M, ...] of first layers [M, 2, ..., H], which it overwrites."""
        w2, b2, w3, b3 = (params[name].detach()[:, 0] for name in ("w2", "b2", "w3", "b3"))
        values = linear(linear(first.relu_().flatten(2, -2), w2, b2, rectify=True), w3, b3).reshape(
            first.shape[:-1]
        )
        return self.config.weight * values.amin(1) + (1 - self.config.weight) * values.amax(1)

    def best_joint(
        self, state: Tensor, logits: Tensor, mask: Tensor, params: Parameters
    ) -> tuple[Tensor, Tensor]:
        """Best of n joint candidates by Eq. 10: actions [M, N, B] and their values [M, B].

        Candidate j pairs the j-th draw of every agent.

        Args:
            state: [M, B, D]; logits, mask: [M, B, N, U].
        """
        drawn = sampled(
            logits.transpose(1, 2), mask.transpose(1, 2), self.config.candidates, self.streams
        )  # [M, N, B, K]
        team = (
            torch.nn.functional.one_hot(drawn.permute(0, 2, 3, 1).flatten(1, 2), self.sizes.actions)
            .float()
            .flatten(2)
        )
        weights = params["w1"].detach()[:, 0, :, self.sizes.state :]
        added = linear(
            team.unsqueeze(1), weights, torch.zeros_like(weights[:, :, 0])
        )  # [M, 2, B K, H]
        first = self.first(state, params).unsqueeze(3) + added.unflatten(
            2, (-1, self.config.candidates)
        )
        best, which = self.top(first, params).max(-1)
        return drawn.gather(
            -1, which[:, None, :, None].expand(-1, self.sizes.agents, -1, 1)
        ).squeeze(-1), best

    def learn(self, x: Tensor, lanes: Lanes) -> None:
        config, sizes, filled = self.config, self.sizes, lanes.filled
        logits = self.clone(x, lanes)
        with torch.no_grad():
            mask = allowed(logits, lanes.available, config.threshold)
            state, logits, mask = (part.flatten(1, 2) for part in (lanes.state, logits, mask))
            _, best = self.best_joint(state, logits, mask, self.targets["critic"])
            following = best.view_as(filled)
            target = traced_targets(
                lanes.reward, lanes.terminal, filled, following, config.gamma, config.trace
            )
        team = torch.nn.functional.one_hot(lanes.action, sizes.actions).float().flatten(-2)
        rows = torch.cat([lanes.state, team], -1).flatten(1, 2).unsqueeze(1)
        q = (
            apply_mlp(self.networks["critic"], rows, None)
            .squeeze(-1)
            .squeeze(1)
            .view(len(self.seeds), 2, *filled.shape[1:])
        )
        self.descend(mean_filled((q - target.unsqueeze(1)).square().sum(1), filled), "critic")

        action = lanes.action.flatten(1, 2).transpose(1, 2)  # [M, N, B]
        with torch.no_grad():
            others = (
                action
                if config.others == "data"
                else self.best_joint(state, logits, mask, self.networks["critic"])[0]
            )
            delta = self.contributions(state, action, others).transpose(1, 2).view_as(lanes.action)
        value = chosen(self.along("value", x, lanes), lanes.action)
        self.descend(mean_filled((value - delta).square(), filled), "value")

    def subteams(self) -> Tensor:
        """[M, N, S, N] who is not masked: all subteams of a small team, drawn ones of a large one."""
        if self.sizes.agents <= EXACT_UP_TO:
            kept = all_subteams(self.sizes.agents)
            return kept.expand(len(self.seeds), *kept.shape).to(self.device)
        drawn = [
            draw_subteams(self.sizes.agents, self.config.subteams, stream)
            for stream in self.subteam_streams
        ]
        return torch.stack(drawn).to(self.device)

    def contributions(
        self, state: Tensor, action: Tensor, others: Tensor, kept: Tensor | None = None
    ) -> Tensor:
        """Delta_i of Eq. 8, [M, N, B]: the data's actions against the default, unmasked others take
        theirs of `others`.

        The same as papers.cast_bcq.contributions, with the first layer as a sum over agents: no
        joint action is ever written.

        Args:
            state: [M, B, D]; action, others: [M, N, B].
        """
        params = self.networks["critic"]
        kept = self.subteams() if kept is None else kept
        own, team = self.added(action, params), self.added(others, params)  # [M, 2, N, B, H]
        nobody = self.first(state, params).unsqueeze(2)  # [M, 2, 1, B, H]
        if self.config.default == "first":
            default = self.added(torch.zeros_like(action[..., :1]), params)
            own, team, nobody = own - default, team - default, nobody + default.sum(2, keepdim=True)
        alone = kept * (1 - torch.eye(self.sizes.agents, device=self.device)).unsqueeze(
            1
        )  # [M, N, S, N], without oneself
        total = torch.zeros_like(action, dtype=torch.float32)
        for s in range(kept.shape[2]):
            without = linear(alone[:, None, :, s], team.flatten(3), nobody.flatten(2)).view_as(team)
            total += self.top(without + own, params) - self.top(without, params)
        return total / kept.shape[2]

    def choose(self, found, available):
        mask = allowed(found["generator"], available, self.config.threshold)
        return found["value"].masked_fill(~mask, -torch.inf).argmax(-1)

    def state_dict(self) -> dict:
        return super().state_dict() | {
            "subteams": [stream.get_state() for stream in self.subteam_streams]
        }

    def load_state_dict(self, state: dict) -> None:
        super().load_state_dict(state)
        for stream, saved in zip(self.subteam_streams, state["subteams"], strict=True):
            stream.set_state(saved)


METHODS = {"bc": Behaviour, "i_bcq": BCQ, "mabcq": MABCQ, "icq_ma": ICQ, "ours": CAST}
