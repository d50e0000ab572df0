"""What CAST-BCQ is compared with in battles (Table 1): behaviour cloning, I-BCQ, MABCQ and ICQ-MA
with recurrent agents.

Axes: M members, P positions in time and L lanes (see common.learning.episodes), N agents, E
battles, D state, O observation, U actions.
"""

import torch
from torch import Tensor

from common.learning.episodes import (
    Lanes,
    later,
    mean_filled,
    softmax_over_filled,
    traced_targets,
)
from common.learning.learner import Learner
from common.learning.networks import apply_mlp, mlp_parameters
from common.learning.population import Parameters, generators
from papers.cast_bcq.baselines import linear_mixture, value_deviation, within
from papers.cast_bcq.generators import (
    RecurrentGenerator,
    allowed,
    available_only,
    chosen,
)
from papers.cast_bcq.recurrent import (
    Choice,
    HistoryNetwork,
    MapSizes,
    Memory,
    RecurrentConfig,
    copy_targets,
    seen,
)


class RecurrentCloning(Learner):
    """Behaviour cloning.

    Args:
        seeds: one per member.
    """

    def __init__(
        self, seeds: list[int], sizes: MapSizes, config: RecurrentConfig, device: str = "cpu"
    ):
        super().__init__(seeds, device, config.max_norm)
        self.generator = RecurrentGenerator(self, sizes, config)

    def update(self, lanes: Lanes) -> None:
        """One step on a minibatch."""
        self.generator.clone(lanes)

    def memory(self, battles: int) -> Memory:
        """Empty memories to begin episodes with."""
        return self.generator.network.memory(battles)

    @torch.no_grad()
    def act(self, obs: Tensor, available: Tensor, last: Tensor, memory: Memory) -> Tensor:
        """[M, E, N] the most probable available action, see `HistoryNetwork.step`; available is
        [M, E, N, U].
        """
        return available_only(self.generator.network.step(obs, last, memory), available).argmax(-1)


class RecurrentBCQ(Learner):
    """I-BCQ: every agent by itself, two values on one memory, BCQ's weighted clipped target over
    allowed actions.

    Args:
        seeds: one per member.
    """

    def __init__(
        self, seeds: list[int], sizes: MapSizes, config: RecurrentConfig, device: str = "cpu"
    ):
        super().__init__(seeds, device, config.max_norm)
        self.sizes = sizes
        self.config = config
        self.generator = RecurrentGenerator(self, sizes, config)
        self.critic = HistoryNetwork(self, "critic", sizes, config, 2 * sizes.actions, target=True)

    def update(self, lanes: Lanes) -> None:
        """One step of the generator and the critics."""
        config = self.config
        logits = self.generator.clone(lanes)
        everywhere = seen(lanes)
        with torch.no_grad():
            mask = allowed(logits, lanes.available, config.threshold)
            next_q = self.critic.along(lanes, everywhere, self.targets["critic"])
            next_q = next_q.unflatten(-1, (2, -1))
            mixed = config.weight * next_q.amin(-2) + (1 - config.weight) * next_q.amax(-2)
            following = later(mixed.masked_fill(~mask, -torch.inf).amax(-1))  # [M, P, L, N]
            goes_on = (1 - lanes.terminal).unsqueeze(-1)
            target = lanes.reward.unsqueeze(-1) + config.gamma * goes_on * following
        twin_q = self.critic.along(lanes, everywhere).unflatten(-1, (2, -1))
        q = chosen(twin_q, lanes.action.unsqueeze(-1).expand(*target.shape, 2))
        errors = (q - target.unsqueeze(-1)).square().sum(-1)
        weights = self.weights(lanes, logits, following, q.detach()[..., 0])
        self.descend(mean_filled(errors * weights, lanes.filled), "critic")
        copy_targets(self, config.copy_every)

    def weights(self, lanes: Lanes, logits: Tensor, following: Tensor, q: Tensor) -> Tensor | float:
        """Of every transition, all the same; see `RecurrentMABCQ`.

        Args:
            logits: [M, P, L, N, U] of the generator; following, q: [M, P, L, N], values of next
                places and of the data's actions.
        """
        return 1.0

    def memory(self, battles: int) -> Memory:
        """Empty memories to begin episodes with."""
        return self.generator.network.memory(battles) | self.critic.memory(battles)

    @torch.no_grad()
    def choose(self, obs: Tensor, available: Tensor, last: Tensor, memory: Memory) -> Choice:
        """The best allowed action by the first value, see `HistoryNetwork.step`; available is [M,
        E, N, U].
        """
        logits = self.generator.network.step(obs, last, memory)
        twin_q = self.critic.step(obs, last, memory)
        return self.generator.choice(twin_q[..., : self.sizes.actions], logits, available)

    def act(self, obs: Tensor, available: Tensor, last: Tensor, memory: Memory) -> Tensor:
        """[M, E, N] what agents choose."""
        return self.choose(obs, available, last, memory).action

    @torch.no_grad()
    def value_on_data(self, lanes: Lanes) -> Tensor:
        """[M] mean value of the data's actions, by the first value."""
        values = self.critic.along(lanes, seen(lanes))[..., : self.sizes.actions]
        q = chosen(values, lanes.action)
        return mean_filled(q, lanes.filled)


class RecurrentMABCQ(RecurrentBCQ):
    """I-BCQ with MABCQ's weights: value deviation, and p(a | history) / p(a | history, next
    observation).
    """

    def __init__(
        self, seeds: list[int], sizes: MapSizes, config: RecurrentConfig, device: str = "cpu"
    ):
        super().__init__(seeds, sizes, config, device)
        self.inverse = HistoryNetwork(
            self, "inverse", sizes, config, sizes.actions, further=sizes.obs
        )

    def weights(self, lanes: Lanes, logits: Tensor, following: Tensor, q: Tensor) -> Tensor:
        """[M, P, L, N] of every transition, with mean 1; the inverse model learns on the way."""
        config = self.config
        reward, terminal = lanes.reward.unsqueeze(-1), lanes.terminal.unsqueeze(-1)
        weights = value_deviation(following, q, reward, terminal, config.gamma, config.epsilon)
        if config.transitions:
            log_prob = chosen(logits.log_softmax(-1), lanes.action)
            log_ratio = log_prob - self.clone_inverse(lanes)
            weights = weights * within(log_ratio.clamp(-20, 20).exp(), config.epsilon)
        return weights / mean_filled(weights, lanes.filled).view(-1, 1, 1, 1)

    def clone_inverse(self, lanes: Lanes) -> Tensor:
        """One step of the inverse model's cross entropy; its log p(a | history, next observation)
        [M, P, L, N] from before.
        """
        outputs = self.inverse.along(lanes, seen(lanes, True, later(lanes.obs)))
        logits = available_only(outputs, lanes.available)
        log_prob = chosen(logits.log_softmax(-1), lanes.action)
        self.descend(-mean_filled(log_prob, lanes.filled), "inverse")
        return log_prob.detach()


class RecurrentICQMA(Learner):
    """ICQ-MA: recurrent policies, a critic of state and own observation, a linear mixer, TD(lambda)
    on the data's actions.

    Q_tot = sum_i k_i(s) Q_i(s, o_i, a_i), k_i >= 0 with sum 1.

    Args:
        seeds: one per member.
    """

    def __init__(
        self, seeds: list[int], sizes: MapSizes, config: RecurrentConfig, device: str = "cpu"
    ):
        super().__init__(seeds, device, config.max_norm)
        self.config = config
        self.numbers = torch.eye(sizes.agents, device=device)
        self.actor = HistoryNetwork(self, "actor", sizes, config, sizes.actions)
        seen = sizes.state + sizes.obs + sizes.agents
        self.add("critic", seen, sizes.actions, config.critic_hidden)
        self.add("mixer", sizes.state, sizes.agents, config.mixer_hidden)

    def add(self, name: str, inputs: int, outputs: int, hidden: int) -> None:
        """A network without memory, and its target."""
        streams = generators(self.seeds, name)
        tensors = mlp_parameters(streams, [inputs], inputs, hidden, outputs, input_norm=False)
        self.hold(name, tensors, self.config.critic_lr, target=True)

    def values(self, lanes: Lanes, critic: Parameters) -> Tensor:
        """[M, P, L, N, U] every agent's values of all actions."""
        shape = lanes.obs.shape[:-1]
        state = lanes.state.unsqueeze(-2).expand(*shape, -1)
        seen = torch.cat([state, lanes.obs, self.numbers.expand(*shape, -1)], -1)
        return apply_mlp(critic, seen.flatten(1, 3).unsqueeze(1), None).view(*shape, -1)

    def coefficients(self, lanes: Lanes, mixer: Parameters) -> Tensor:
        """[M, P, L, N] k_i(s), which sum to 1 over agents."""
        outputs = apply_mlp(mixer, lanes.state.flatten(1, 2).unsqueeze(1), None)
        return linear_mixture(outputs.view(*lanes.action.shape), -1)

    def target(self, lanes: Lanes, logits: Tensor) -> Tensor:
        """[M, P, L] TD(lambda) targets of Q_tot, bootstrapped from its batch-softmax weighted
        values at the data's actions; where an episode was cut there is none, and the policy's mean
        value takes its place.
        """
        config = self.config
        values = self.values(lanes, self.targets["critic"])
        k = self.coefficients(lanes, self.targets["mixer"])
        total = (k * chosen(values, lanes.action)).sum(-1)
        trusted = softmax_over_filled(total, lanes.filled, config.target_temperature) * total
        expected = (k * (logits.softmax(-1) * values).sum(-1)).sum(-1)
        following = torch.where(lanes.filled > 0, trusted, expected)
        return traced_targets(
            lanes.reward, lanes.terminal, lanes.filled, following, config.gamma, config.icq_trace
        )

    def update(self, lanes: Lanes) -> None:
        """One step of critic and mixer, and of the policy."""
        config = self.config
        filled = lanes.filled
        outputs = self.actor.along(lanes, seen(lanes, deciding=True))
        logits = available_only(outputs, lanes.available)
        with torch.no_grad():
            target = self.target(lanes, logits)
        values = self.values(lanes, self.networks["critic"])
        taken = chosen(values, lanes.action)
        total = (self.coefficients(lanes, self.networks["mixer"]) * taken).sum(-1)
        self.descend(mean_filled((total - target).square(), filled), "critic", "mixer")

        with torch.no_grad():
            advantage = taken - (logits.softmax(-1) * values).sum(-1)
            weights = softmax_over_filled(advantage, filled, config.policy_temperature)
            weights = weights * self.coefficients(lanes, self.networks["mixer"])
        log_prob = chosen(logits.log_softmax(-1), lanes.action)
        self.descend(-mean_filled(weights * log_prob, filled), "actor")
        copy_targets(self, config.copy_every)

    def memory(self, battles: int) -> Memory:
        """Empty memories to begin episodes with."""
        return self.actor.memory(battles)

    @torch.no_grad()
    def act(self, obs: Tensor, available: Tensor, last: Tensor, memory: Memory) -> Tensor:
        """[M, E, N] the policy's most probable available action."""
        return available_only(self.actor.step(obs, last, memory), available).argmax(-1)

    @torch.no_grad()
    def value_on_data(self, lanes: Lanes) -> Tensor:
        """[M] mean Q_tot of the data's actions."""
        taken = chosen(self.values(lanes, self.networks["critic"]), lanes.action)
        total = (self.coefficients(lanes, self.networks["mixer"]) * taken).sum(-1)
        return mean_filled(total, lanes.filled)
