"""One update of online tuning: which 128 rows every member and agent learns from (Algorithm 1,
lines 10 to 14).

Members of one program are variants of the same agents: they share the offline phase, seeds and
random numbers, and differ in how rows are chosen. Members of one strategy stand side by side.

Axes: M members, N agents, B rows to choose from, D pool of online rows.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from common.learning.population import generators
from papers.otc import otc
from papers.otc.balanced import BalancedReplay
from papers.otc.embedding import Embedding
from papers.otc.experience import Experience

STRATEGIES = (
    "embedding",
    "value",
    "uniform",
    "online",
    "balanced",
)  # the first two are OTC's d_e and d_q


@dataclass(frozen=True)
class TuningConfig:
    """Sizes of Table 3, and readings where the paper is open (README)."""

    candidates: int = 512  # |B|
    pool: int = 2000  # |D|
    batch_size: int = 128
    value_samples: int = 10  # actions in V(s') = E Q(s', a)
    normaliser: str = (
        "minibatch"  # of d_q: "minibatch" means, or "conditional" on (s, a_i) as in MABCQ
    )
    replacement: bool = False  # of the prioritised draw
    distance_draws: int = 40  # minibatches behind D_i^k of Eq. 4


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
        experience: Experience,
        learner,
        strategies: list[str],
        seeds: list[int],
        alpha: list[float],
        adaptive: list[bool],
        embedding: Embedding | None,
        balanced: BalancedReplay | None,
        config: TuningConfig,
    ):
        self.experience, self.learner, self.config = experience, learner, config
        self.embedding, self.balanced = embedding, balanced
        self.groups = {name: span(strategies, name) for name in STRATEGIES if name in strategies}
        self.valued = learner.part(self.groups["value"]) if "value" in self.groups else None
        purposes = ("candidates", "pool", "gumbel", "ties", "values", "distance")
        self.streams = {name: generators(seeds, f"tuning/{name}") for name in purposes}
        prioritised = torch.tensor([name in ("embedding", "value") for name in strategies])
        start = torch.tensor(alpha) * prioritised  # 0 draws uniformly
        self.alpha = start[:, None].repeat(1, experience.agents)
        self.adaptive = torch.tensor(adaptive) & prioritised
        self.last_distance: Tensor | None = None
        self.guard_hits = torch.zeros_like(self.alpha)

    def distances(self, candidates: Tensor, pool: Tensor, streams: dict) -> Tensor:
        """[M, N, B] next-state distance of every candidate to its best match; 0 where a strategy
        has none.
        """
        found = torch.zeros(candidates.shape, device=candidates.device)
        if "embedding" in self.groups:
            mine = self.groups["embedding"]
            rows = self.embedding.rows
            found[mine] = otc.embedding_distance(rows(candidates[mine]), rows(pool[mine]))
        if "value" in self.groups:
            mine = self.groups["value"]
            found[mine] = self.value_distances(candidates[mine], pool[mine], streams, mine)
        return found

    def value_distances(
        self, candidates: Tensor, pool: Tensor, streams: dict, members: slice
    ) -> Tensor:
        """d_q(s', s'*) of every candidate, [M, N, B], by the present values."""
        gather, samples = self.experience.gather, self.config.value_samples
        rows, online = gather(candidates, members), gather(pool, members)
        q, pool_q = self.valued.q(rows.obs, rows.action), self.valued.q(online.obs, online.action)
        ties = torch.stack(
            [
                torch.rand(candidates.shape[1:], generator=stream)
                for stream in streams["ties"][members]
            ]
        )
        match = otc.best_match(q, pool_q, ties.to(q.device))
        matched = gather(pool.gather(-1, match), members)
        next_obs = torch.cat([rows.next_obs, matched.next_obs], dim=2)
        value, matched_value = self.valued.value(
            next_obs, streams["values"][members], samples
        ).chunk(2, dim=-1)
        if self.config.normaliser == "minibatch":
            return otc.value_distance(value, matched_value)
        gamma = self.learner.config.gamma
        expected, matched_expected = (
            (q - rows.reward) / gamma,
            (pool_q.gather(-1, match) - matched.reward) / gamma,
        )
        return otc.conditional_value_distance(value, matched_value, expected, matched_expected)

    def choose(self) -> Tensor:
        """[M, N, batch_size] indices of the rows to learn from."""
        config, experience = self.config, self.experience
        candidates = experience.draw(config.candidates, self.streams["candidates"])
        pool = experience.draw_latest(config.pool, self.streams["pool"])
        priorities = otc.log_priority(self.distances(candidates, pool, self.streams))
        alpha = self.alpha.to(priorities.device)
        if config.replacement:
            shape = (experience.agents, config.batch_size)
            uniform = torch.stack(
                [torch.rand(shape, generator=stream) for stream in self.streams["gumbel"]]
            )
            picked = otc.draw_with_replacement(priorities, alpha, uniform.to(priorities.device))
        else:
            noise = otc.gumbel(tuple(priorities.shape[1:]), self.streams["gumbel"]).to(
                priorities.device
            )
            picked = otc.draw(priorities, alpha, noise, config.batch_size)
        chosen = candidates.gather(-1, picked)
        if "online" in self.groups:
            chosen[self.groups["online"]] = pool[self.groups["online"], :, : config.batch_size]
        if "balanced" in self.groups:
            chosen[self.groups["balanced"]] = self.balanced.draw(config.batch_size)
        return chosen

    def adapt(self, deployment: int) -> None:
        """Line 7: alpha after deployment k by Eq. 4; D_i^k is the mean over minibatches of B
        without the newest rows.

        The newest rows would match themselves. At k = 1 the distance is only noted.
        """
        config, experience = self.config, self.experience
        if not self.adaptive.any():
            return
        streams, total = dict.fromkeys(("ties", "values"), self.streams["distance"]), 0.0
        for _ in range(config.distance_draws):
            candidates = experience.draw(
                config.candidates, self.streams["distance"], 0, experience.size - experience.steps
            )
            pool = experience.draw_latest(config.pool, self.streams["distance"])
            total = total + self.distances(candidates, pool, streams).mean(-1).cpu()
        distance = total / config.distance_draws
        if deployment > 1:
            changed = otc.next_alpha(self.alpha, distance, self.last_distance)
            low, high = otc.ALPHA_RANGE
            self.guard_hits += ((changed == low) | (changed == high)) & self.adaptive[:, None]
            self.alpha = torch.where(self.adaptive[:, None], changed, self.alpha)
        self.last_distance = distance

    def state_dict(self) -> dict:
        return {
            "streams": {
                name: [stream.get_state() for stream in streams]
                for name, streams in self.streams.items()
            },
            "alpha": self.alpha,
            "guard_hits": self.guard_hits,
            "last_distance": self.last_distance,
            "balanced": self.balanced and self.balanced.state_dict(),
        }

    def load_state_dict(self, state: dict) -> None:
        for name, streams in self.streams.items():
            for stream, saved in zip(streams, state["streams"][name], strict=True):
                stream.set_state(saved)
        self.alpha, self.guard_hits, self.last_distance = (
            state["alpha"],
            state["guard_hits"],
            state["last_distance"],
        )
        if self.balanced:
            self.balanced.load_state_dict(state["balanced"])


def span(names: list[str], name: str) -> slice:
    """Where equal adjacent names stand."""
    first = names.index(name)
    last = first + names.count(name)
    assert names[first:last] == [name] * (last - first)
    return slice(first, last)
