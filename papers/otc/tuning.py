"""One update of online tuning: which 128 rows every member and agent learns from (Algorithm 1,
lines 10 to 14).

Members of one program are variants of the same agents: they share the offline phase, seeds and
random numbers, and differ in how rows are chosen. Members of one strategy stand side by side.

Axes: M members, N agents, B rows to choose from, D pool of online rows.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from common.learning.philox import Streams
from common.learning.ranges import Count, Positive
from papers.otc import otc, ranking
from papers.otc.balanced import BalancedReplay
from papers.otc.embedding import Embedding
from papers.otc.experience import MergedData

# Of d_q: expectations given (s, a_i), as the authors' MABCQ writes E V(s'), or means over the
# minibatch. Matches have about equal values, so means over the minibatch divide both sides by about
# the same number, which no rank sees; "the deviation from the expected value, which can mitigate
# the influence of absolute value" can only be the first.
Normaliser = Literal["minibatch", "conditional"]


@dataclass(frozen=True)
class TuningConfig:
    """Sizes of Table 3, and readings where the paper is open (notes.md)."""

    candidates: Count = 512  # |B|
    pool: Count = 2000  # |D|
    batch_size: Count = 128
    value_samples: Count = 10  # actions in V(s') = E Q(s', a)
    normaliser: Normaliser = "conditional"
    replacement: bool = False  # of the prioritised draw
    distance_draws: Count = 40  # minibatches behind D_i^k of Eq. 4
    alpha_range: tuple[Positive, Positive] = (0.1, 5.0)  # a guard of ours, hits are counted

    def __post_init__(self):
        for name in ("candidates", "pool"):
            most = getattr(self, name)
            if self.batch_size > most:
                raise ValueError(
                    f"batch_size is {self.batch_size}, but {name} is {most}; "
                    "the rows to learn from are chosen among these"
                )
        low, high = self.alpha_range
        if low > high:
            raise ValueError(f"alpha_range is {[low, high]}, expected the smaller number first")


def by_embedding(
    sampler: "Sampler", members: slice, candidates: Tensor, pool: Tensor, streams: Streams
) -> Tensor:
    """d_e(s', s'*), see `Distance`."""
    embedding = sampler.embedding
    assert embedding is not None  # there are members with this strategy
    return otc.embedding_distance(embedding.rows(candidates), embedding.rows(pool))


def by_value(
    sampler: "Sampler", members: slice, candidates: Tensor, pool: Tensor, streams: Streams
) -> Tensor:
    """d_q(s', s'*) by the present values, see `Distance`."""
    experience = sampler.experience
    learner = sampler.valued
    rows = experience.gather(candidates, members)
    q = learner.q(rows.obs, rows.action)
    pool_q = pool_values(experience, learner, members, pool)
    match = otc.best_match(q, pool_q, streams.uniform(candidates.shape[1:]))
    matched = experience.gather(pool.gather(-1, match), members)
    next_obs = torch.cat([rows.next_obs, matched.next_obs], dim=2)
    next_values = learner.value(next_obs, streams, sampler.config.value_samples)
    # nothing follows a terminal state, as in the learners' own targets
    next_values = next_values * (1 - torch.cat([rows.terminal, matched.terminal], dim=2))
    value, matched_value = next_values.chunk(2, dim=-1)
    if sampler.config.normaliser == "minibatch":
        return otc.value_distance(value, matched_value)
    gamma = learner.config.gamma
    expected = (q - rows.reward) / gamma
    matched_expected = (pool_q.gather(-1, match) - matched.reward) / gamma
    return otc.conditional_value_distance(value, matched_value, expected, matched_expected)


def pool_values(experience: MergedData, learner: Any, members: slice, pool: Tensor) -> Tensor:
    """[M, N, D] values of pool rows; where a deployment has fewer rows than are drawn from it, each
    is evaluated once.
    """
    if experience.steps >= pool.shape[-1]:
        return learner.q(*experience.taken(pool, members))
    first = experience.size - experience.steps
    latest = torch.arange(first, experience.size, device=pool.device)
    latest = latest.expand(*pool.shape[:-1], -1)
    return learner.q(*experience.taken(latest, members)).gather(-1, pool - first)


# (sampler, where the strategy's members stand, their candidates [M, N, B] and pool [M, N, D],
# their random numbers) -> [M, N, B], next-state distance of every candidate to its best match
Distance = Callable[["Sampler", slice, Tensor, Tensor, Streams], Tensor]

# By what candidates are prioritised; None for strategies that prioritise nothing
STRATEGIES: dict[str, Distance | None] = {
    "embedding": by_embedding,  # OTC's d_e
    "value": by_value,  # OTC's d_q
    "uniform": None,
    "online": None,
    "balanced": None,
}


PURPOSES = ("values", "distance values", "ranking values")  # random numbers of a strategy


class Sampler:
    """Chooses rows for a population.

    Args:
        learner: whose values d_q compares.
        strategies: [M] names; equal ones adjacent.
        alpha: [M] initial exponents; adaptive: [M] whether Eq. 4 changes them.
        embedding: of the members with strategy "embedding", if there are any.
    """

    def __init__(
        self,
        experience: MergedData,
        learner: Any,
        strategies: list[str],
        seeds: list[int],
        alpha: list[float],
        adaptive: list[bool],
        embedding: Embedding | None,
        balanced: BalancedReplay | None,
        config: TuningConfig,
    ):
        self.experience = experience
        self.learner = learner
        self.config = config
        self.embedding = embedding
        self.balanced = balanced
        self.groups = {name: span(strategies, name) for name in STRATEGIES if name in strategies}
        # what is drawn for Eq. 4 changes nothing for members whose alpha stays: streams of its own
        device = experience.device
        self.streams = {
            purpose: Streams(seeds, f"tuning/{purpose}", device)
            for purpose in ("candidates", "pool", "gumbel", "distance", "ranking")
        }
        self.compared = [name for name in self.groups if STRATEGIES[name]]
        for name in self.compared:
            own = seeds[self.groups[name]]
            for purpose in PURPOSES:
                self.streams[f"{purpose}/{name}"] = Streams(own, f"tuning/{purpose}", device)
        prioritised = torch.tensor([name in self.compared for name in strategies])
        start = torch.tensor(alpha) * prioritised  # 0 draws uniformly
        self.alpha = start[:, None].repeat(1, experience.agents)
        self.adaptive = torch.tensor(adaptive) & prioritised
        self.last_distance: Tensor | None = None
        self.guard_hits = torch.zeros_like(self.alpha)

    @functools.cached_property
    def valued(self) -> Any:
        """The learner of the members with strategy "value"."""
        return self.learner.part(self.groups["value"])

    def distances(self, candidates: Tensor, pool: Tensor, purpose: str) -> Tensor:
        """[M, N, B] next-state distance of every candidate to its best match; 0 where a strategy
        has none.

        Args:
            purpose: of random numbers, one of PURPOSES.
        """
        distances = torch.zeros(candidates.shape, device=candidates.device)
        for name in self.compared:
            distance = STRATEGIES[name]
            assert distance is not None  # else it would not be compared
            members = self.groups[name]
            streams = self.streams[f"{purpose}/{name}"]
            distances[members] = distance(
                self, members, candidates[members], pool[members], streams
            )
        return distances

    def choose(self) -> Tensor:
        """[M, N, batch_size] indices of the rows to learn from."""
        config, experience = self.config, self.experience
        candidates = experience.draw(config.candidates, self.streams["candidates"])
        pool = experience.draw_latest(config.pool, self.streams["pool"])
        priorities = otc.log_priority(self.distances(candidates, pool, "values"))
        chosen = candidates.gather(-1, self.prioritised(priorities))
        if "online" in self.groups:
            members = self.groups["online"]
            chosen[members] = pool[members, :, : config.batch_size]
        if self.balanced:
            chosen[self.groups["balanced"]] = self.balanced.draw(config.batch_size)
        return chosen

    def prioritised(self, log_priorities: Tensor) -> Tensor:
        """[M, N, batch_size] of the candidates by Eq. 3."""
        config, streams = self.config, self.streams["gumbel"]
        alpha = self.alpha.to(log_priorities.device, non_blocking=True)
        if config.replacement:
            uniform = streams.uniform((self.experience.agents, config.batch_size))
            return otc.draw_with_replacement(log_priorities, alpha, uniform)
        noise = streams.gumbel(log_priorities.shape[1:])
        return otc.draw(log_priorities, alpha, noise, config.batch_size)

    def adapt(self, deployment: int) -> None:
        """Line 7: alpha after deployment k by Eq. 4; D_i^k is the mean over minibatches of B
        without the newest rows.

        The newest rows would match themselves. At k = 1 the distance is only noted.
        """
        if not self.adaptive.any():
            return
        distance = self.mean_distance()
        if deployment > 1:
            assert self.last_distance is not None  # of the deployment before
            low, high = self.config.alpha_range
            changed = otc.next_alpha(self.alpha, distance, self.last_distance, low, high)
            self.guard_hits += ((changed == low) | (changed == high)) & self.adaptive[:, None]
            self.alpha = torch.where(self.adaptive[:, None], changed, self.alpha)
        self.last_distance = distance

    def mean_distance(self) -> Tensor:
        """[M, N] D_i^k of Eq. 4."""
        config, experience = self.config, self.experience
        streams = self.streams["distance"]
        total = torch.zeros_like(self.alpha)
        for _ in range(config.distance_draws):
            older = experience.size - experience.steps
            candidates = experience.draw(config.candidates, streams, 0, older)
            pool = experience.draw_latest(config.pool, streams)
            distances = self.distances(candidates, pool, "distance values")
            total = total + distances.mean(-1).cpu()
        return total / config.distance_draws

    def ranking(self) -> dict[str, list]:
        """What the distances rank first now, [M][N] by name, see `ranking.facts`; it changes
        nothing.
        """
        config, experience = self.config, self.experience
        streams = self.streams["ranking"]
        older = experience.size - experience.steps
        candidates = experience.draw(config.candidates, streams, 0, older)
        pools = [experience.draw_latest(config.pool, streams) for _ in range(2)]
        distances = [self.distances(candidates, pool, "ranking values") for pool in pools]
        return ranking.facts(
            experience, self.learner, candidates, distances, streams, config.value_samples
        )

    def state_dict(self) -> dict:
        """Everything that choosing and adapting change."""
        return {
            "streams": {name: streams.state_dict() for name, streams in self.streams.items()},
            "alpha": self.alpha,
            "guard_hits": self.guard_hits,
            "last_distance": self.last_distance,
            "balanced": self.balanced and self.balanced.state_dict(),
        }

    def load_state_dict(self, state: dict) -> None:
        """Goes on from a `state_dict`."""
        for name, streams in self.streams.items():
            streams.load_state_dict(state["streams"][name])
        self.alpha = state["alpha"]
        self.guard_hits = state["guard_hits"]
        self.last_distance = state["last_distance"]
        if self.balanced:
            self.balanced.load_state_dict(state["balanced"])


def span(names: list[str], name: str) -> slice:
    """Where equal adjacent names stand."""
    first = names.index(name)
    last = first + names.count(name)
    assert names[first:last] == [name] * (last - first)
    return slice(first, last)
