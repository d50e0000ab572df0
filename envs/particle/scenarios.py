"""The particle scenarios of OMAR, and the two of mpe2 that check the shared physics.

Every scenario says which bodies there are, where an episode starts, what each agent observes and
what it is rewarded with. Rewards and observations are evaluated after the step. Episodes have 25
steps and are truncated, never terminated. Agents come first in every list of bodies, predators
before prey.

Axes: W worlds, N agents, L landmarks, d space dimensions, O observation (padded to the longest with
zeros). Source: the released environments of OMAR (ling-pan/OMAR), as recorded in
papers/omar/notes.md.
"""

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from envs.particle.world import Body, distances

EPISODE_STEPS = 25


def others(values: Tensor) -> Tensor:
    """[W, N, N - 1, d]: for each agent, the rows of values [W, N, d] that belong to the other
    agents, in order.
    """
    return values[:, _others(values.shape[1]).to(values.device)]


@functools.cache
def _others(num_agents: int) -> Tensor:
    index = [[j for j in range(num_agents) if j != i] for i in range(num_agents)]
    return torch.tensor(index, dtype=torch.long).reshape(num_agents, -1)


def relative(points: Tensor, origins: Tensor) -> Tensor:
    """[W, N, P * d]: positions of points [W, P, d] as seen from each origin [W, N, d]."""
    return (points[:, None] - origins[:, :, None]).flatten(2)


def relative_others(positions: Tensor) -> Tensor:
    """[W, N, (N - 1) * d]: positions of the other agents as seen from each agent."""
    return (others(positions) - positions[:, :, None]).flatten(2)


def prey_bound(positions: Tensor) -> Tensor:
    """[W, P] penalty for leaving the arena, summed over coordinates of positions [W, P, d].

    0 below 0.9, 10 (x - 0.9) below 1, min(exp(2 x - 2), 10) beyond, with x the absolute coordinate.
    """
    x = positions.abs()
    penalty = torch.where(x < 1.0, 10 * (x - 0.9).clamp_min(0), (2 * x - 2).exp().clamp_max(10))
    return penalty.sum(-1)


@dataclass(frozen=True)
class Spread:
    """Cooperative navigation: N agents cover N landmarks without touching each other.

    Agents: N of radius 0.15, force gain 5, no speed limit. Observation: own velocity d, own
    position d, landmarks d N, other agents d (N - 1), the others' silent channels 2 (N - 1); 18
    numbers for N = 3 in the plane and 4 N - 1 on the line. Reward of agent i: sum over landmarks of
    min(1 / distance of the closest agent, 10), less 5 for every other agent touching i.
    `rules="mpe2"`: half of -sum of closest distances, half of -1 per touch. Starts: uniform in [-1,
    1]^d, in [-2, 2]^d for more than three agents (always [-1, 1]^d in mpe2).
    """

    num_agents: int = 3
    dims: int = 2  # 1 for the motivating example of Section 3.1
    rules: str = "omar"

    @property
    def learners(self) -> int:
        """Agents that learn, the first ones."""
        return self.num_agents

    @property
    def agents(self) -> list[Body]:
        return [Body(f"agent_{i}", 0.15) for i in range(self.num_agents)]

    @property
    def landmarks(self) -> list[Body]:
        return [Body(f"landmark_{i}", 0.05, collides=False) for i in range(self.num_agents)]

    @property
    def obs_dims(self) -> list[int]:
        n = self.num_agents
        d = self.dims
        return [2 * d + d * n + d * (n - 1) + 2 * (n - 1)] * n

    def start_ranges(self) -> list[float]:
        """Half width of each body's uniform start box, agents first."""
        half = 2.0 if self.rules == "omar" and self.num_agents > 3 else 1.0
        return [half] * (2 * self.num_agents)

    def observe(self, positions: Tensor, velocities: Tensor) -> Tensor:
        n = self.num_agents
        agents = positions[:, :n]
        landmarks = positions[:, n:]
        silence = positions.new_zeros(len(positions), n, 2 * (n - 1))
        return torch.cat(
            [velocities, agents, relative(landmarks, agents), relative_others(agents), silence],
            dim=-1,
        )

    def rewards(self, positions: Tensor) -> Tensor:
        n = self.num_agents
        agents = positions[:, :n]
        landmarks = positions[:, n:]
        closest = distances(landmarks, agents).amin(-1)  # [W, L]
        apart = distances(agents, agents)
        touches = (apart < 0.30).sum(-1) - 1  # every agent is within reach of itself
        if self.rules == "omar":
            return (1 / closest).clamp_max(10).sum(-1, keepdim=True) - 5 * touches
        return 0.5 * -closest.sum(-1, keepdim=True) - 0.5 * touches


def predator_rewards(
    predators: Tensor, prey: Tensor, reach: float, catch: float, shaped: bool
) -> Tensor:
    """[W, 1] reward every predator receives: catch per touch, and -0.1 per metre from the prey when
    shaped.

    Args:
        predators, prey: [W, P, d] and [W, 1, d] positions.
        reach: distance below which a predator touches the prey.
    """
    apart = distances(predators, prey)
    reward = catch * (apart < reach).sum((1, 2))
    if shaped:
        reward = reward - 0.1 * apart.sum((1, 2))
    return reward[:, None]


@dataclass(frozen=True)
class Tag:
    """Predator-prey: three slow predators chase one fast prey between two obstacles.

    Predators: radius 0.075, accel 3, speed at most 1; prey: radius 0.05, accel 4, speed at most
    1.3; obstacles: radius 0.2. Observation: velocity 2, position 2, obstacles 4, other agents 6,
    velocity of the prey 2 (16 numbers; the prey has 14). Predators share 10 per touching predator
    and -0.1 per metre from the prey. Prey: +0.1 per metre from the predators, -10 per touch, and
    the arena's bound. Only predators learn from data; the prey is a frozen policy. `rules="mpe2"`
    switches the distance terms off. Starts: agents in [-1, 1]^2, obstacles in [-0.9, 0.9]^2.
    """

    rules: str = "omar"
    num_agents: int = 4
    learners: int = 3
    dims: int = 2

    @property
    def agents(self) -> list[Body]:
        predators = [Body(f"adversary_{i}", 0.075, accel=3.0, max_speed=1.0) for i in range(3)]
        return predators + [Body("agent_0", 0.05, accel=4.0, max_speed=1.3)]

    @property
    def landmarks(self) -> list[Body]:
        return [Body(f"landmark_{i}", 0.2) for i in range(2)]

    @property
    def obs_dims(self) -> list[int]:
        return [16, 16, 16, 14]

    def start_ranges(self) -> list[float]:
        return [1.0] * 4 + [0.9] * 2

    def observe(self, positions: Tensor, velocities: Tensor) -> Tensor:
        agents = positions[:, :4]
        landmarks = positions[:, 4:]
        prey_velocity = velocities[:, 3:].repeat(1, 4, 1)
        prey_velocity[:, 3] = 0  # padding: the prey does not observe itself twice
        return torch.cat(
            [
                velocities,
                agents,
                relative(landmarks, agents),
                relative_others(agents),
                prey_velocity,
            ],
            dim=-1,
        )

    def rewards(self, positions: Tensor) -> Tensor:
        predators = positions[:, :3]
        prey = positions[:, 3:4]
        shaped = self.rules == "omar"
        team = predator_rewards(predators, prey, reach=0.125, catch=10.0, shaped=shaped)
        apart = distances(predators, prey)[..., 0]  # [W, 3]
        prey_reward = -10.0 * (apart < 0.125).sum(1) - prey_bound(prey)[:, 0]
        if shaped:
            prey_reward = prey_reward + 0.1 * apart.sum(1)
        return torch.cat([team.expand(-1, 3), prey_reward[:, None]], dim=1)


@dataclass(frozen=True)
class World:
    """World: three predators chase one prey that looks for food, with an obstacle and two forests.

    As in the released code: three predators and one prey (the paper's text says four and two), no
    speech, and every agent counts as a leader, so forests hide nobody. Predators: radius 0.075,
    accel 3, speed at most 1; prey: radius 0.045, accel 4, speed at most 1.3; obstacle 0.2
    (collides), food 0.03, forests 0.3. Observation: velocity 2, position 2, landmarks 10, other
    agents 6, velocity of the prey 2, inside-forest flags 2 (24 numbers; the prey has 22). Predators
    share 5 per touching predator and -0.1 per metre from the prey. Prey: +0.1 per metre from the
    predators, -5 per touch, -2 times the arena's bound, +2 per touched food, +0.05 times the
    distance to the nearest food (the sign of the original). Starts: agents in [-1, 1]^2, everything
    else in [-0.9, 0.9]^2.
    """

    num_agents: int = 4
    learners: int = 3
    dims: int = 2
    rules: str = "omar"

    @property
    def agents(self) -> list[Body]:
        predators = [Body(f"adversary_{i}", 0.075, accel=3.0, max_speed=1.0) for i in range(3)]
        return predators + [Body("agent_0", 0.045, accel=4.0, max_speed=1.3)]

    @property
    def landmarks(self) -> list[Body]:
        food = [Body(f"food_{i}", 0.03, collides=False) for i in range(2)]
        forests = [Body(f"forest_{i}", 0.3, collides=False) for i in range(2)]
        return [Body("landmark_0", 0.2), *food, *forests]

    @property
    def obs_dims(self) -> list[int]:
        return [24, 24, 24, 22]

    def start_ranges(self) -> list[float]:
        return [1.0] * 4 + [0.9] * 5

    def observe(self, positions: Tensor, velocities: Tensor) -> Tensor:
        agents = positions[:, :4]
        landmarks = positions[:, 4:]
        forests = positions[:, 7:9]
        radii = positions.new_tensor([body.radius for body in self.agents])[:, None]
        inside = torch.where(distances(agents, forests) < radii + 0.3, 1.0, -1.0).to(
            positions
        )  # [W, N, 2]
        fixed = [velocities, agents, relative(landmarks, agents), relative_others(agents)]
        prey_velocity = velocities[:, 3:].expand(-1, 3, -1)
        predators = torch.cat(
            [*(part[:, :3] for part in fixed), prey_velocity, inside[:, :3]], dim=-1
        )
        prey = torch.cat(
            [*(part[:, 3:] for part in fixed), inside[:, 3:], torch.zeros_like(inside[:, 3:])],
            dim=-1,
        )
        return torch.cat([predators, prey], dim=1)

    def rewards(self, positions: Tensor) -> Tensor:
        predators = positions[:, :3]
        prey = positions[:, 3:4]
        food = positions[:, 5:7]
        team = predator_rewards(predators, prey, reach=0.12, catch=5.0, shaped=True)
        apart = distances(predators, prey)[..., 0]
        to_food = distances(prey, food)[:, 0]  # [W, 2]
        prey_reward = 0.1 * apart.sum(1) - 5.0 * (apart < 0.12).sum(1) - 2 * prey_bound(prey)[:, 0]
        prey_reward = prey_reward + 2.0 * (to_food < 0.075).sum(1) + 0.05 * to_food.amin(1)
        return torch.cat([team.expand(-1, 3), prey_reward[:, None]], dim=1)


SCENARIOS: dict[str, Spread | Tag | World] = {
    "cooperative_navigation": Spread(),
    "predator_prey": Tag(),
    "world": World(),
    **{f"spread_1d_{n}": Spread(num_agents=n, dims=1) for n in range(1, 6)},
}
