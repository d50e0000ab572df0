"""Many particle worlds stepped as arrays: the physics of the multi-agent particle environments.

Two dialects of the same world are in use, and their scores are not interchangeable (`rules`):

- "omar": the OpenAI code as forked by maddpg-pytorch and OMAR. Velocity is integrated first, the
  position then moves with the *new* velocity, and an agent's acceleration enters its force twice (a
  gain of 9 for predators and 16 for prey).
- "mpe2": Farama's mpe2. The position moves with the *old* velocity, and acceleration enters once.

Axes: W worlds, N agents, L landmarks, C colliders, d space dimensions (1 or 2).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

DT = 0.1  # seconds per step
DAMPING = 0.25  # share of the velocity lost per step
CONTACT_FORCE = 100.0
CONTACT_MARGIN = 1e-3  # k of the softened contact, metres
CONTACT_RANGE = 0.05  # beyond this gap the contact force is below 1e-22 and is skipped
DEFAULT_GAIN = 5.0  # force at full action of an agent without its own acceleration


@dataclass(frozen=True)
class Body:
    """One agent or landmark. Lengths in metres, speeds in metres per second; every mass is 1."""

    name: str
    radius: float
    collides: bool = True
    accel: float | None = None  # None: gain 5
    max_speed: float | None = None  # None: unbounded


def lengths(vectors: Tensor) -> Tensor:
    """[...] Euclidean lengths of vectors [..., d]; for so few coordinates far faster than a sum
    over the last axis.
    """
    first, *others = vectors.unbind(-1)
    total = first * first
    for coordinate in others:
        total = total + coordinate * coordinate
    return total.sqrt_()


def distances(a: Tensor, b: Tensor) -> Tensor:
    """[W, A, B] Euclidean distances between points a [W, A, d] and b [W, B, d], coordinate by
    coordinate.
    """
    total = torch.zeros(())
    for x, y in zip(a.unbind(-1), b.unbind(-1), strict=True):
        apart = x[:, :, None] - y[:, None]
        total = total + apart * apart
    return total.sqrt()


def gain(body: Body, rules: str) -> float:
    """Force at an action of 1."""
    if body.accel is None:
        return DEFAULT_GAIN
    return body.accel**2 if rules == "omar" else body.accel


class Physics:
    """Steps positions and velocities of W worlds with the same bodies.

    Args:
        agents, landmarks: bodies; landmarks never move.
        rules: "omar" or "mpe2", see the module's text.
        device: where the state lives.
    """

    def __init__(self, agents: list[Body], landmarks: list[Body], rules: str, device="cpu"):
        if rules not in ("omar", "mpe2"):
            raise ValueError(f"rules is {rules!r}, expected 'omar' or 'mpe2'")
        self.rules = rules
        like = dict(device=device, dtype=torch.float64)
        self.gains = torch.tensor([gain(body, rules) for body in agents], **like)
        speeds = [float("inf") if body.max_speed is None else body.max_speed for body in agents]
        self.bounded = any(body.max_speed is not None for body in agents)
        self.max_speeds = torch.tensor(speeds, **like)
        bodies = agents + landmarks
        self.colliders = torch.tensor(
            [i for i, body in enumerate(bodies) if body.collides], device=device
        )
        touching = torch.full((len(agents), len(self.colliders)), float("-inf"), **like)
        for i, agent in enumerate(agents):
            for c, j in enumerate(self.colliders.tolist()):
                if agent.collides and i != j:
                    touching[i, c] = agent.radius + bodies[j].radius
        self.touching = (
            touching  # [N, C] distance at which a pair touches, -inf for pairs that never do
        )

    def contact_forces(self, positions: Tensor) -> Tensor:
        """Sum of the softened contact forces on every agent.

        100 * (x_a - x_b) / dist * k * log(1 + exp(-(dist - dist_min) / k)), over all colliding b.

        Args:
            positions: [W, N + L, d].

        Returns:
            [W, N, d].
        """
        num_agents = len(self.gains)
        others = positions[:, self.colliders]
        distance = distances(positions[:, :num_agents], others)  # [W, N, C]
        gap = distance - self.touching
        forces = positions.new_zeros(positions.shape[0], num_agents, positions.shape[-1])
        world, agent, collider = (gap < CONTACT_RANGE).nonzero(as_tuple=True)
        near = (world, agent, collider)
        zero = gap.new_zeros(())
        overlap = CONTACT_MARGIN * torch.logaddexp(zero, -gap[near] / CONTACT_MARGIN)
        push = (CONTACT_FORCE * overlap / distance[near])[:, None] * (
            positions[world, agent] - others[world, collider]
        )
        return forces.index_put_((world, agent), push, accumulate=True)

    def step(self, positions: Tensor, velocities: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Next positions [W, N + L, d], velocities [W, N, d] for actions [W, N, d] in [-1, 1]."""
        num_agents = len(self.gains)
        force = actions * self.gains[:, None] + self.contact_forces(positions)
        velocity = velocities * (1 - DAMPING) + force * DT
        if self.bounded:
            speed = lengths(velocity)
            fast = speed > self.max_speeds
            velocity = torch.where(
                fast[..., None], velocity / speed[..., None] * self.max_speeds[:, None], velocity
            )
        moved = positions.clone()
        moved[:, :num_agents] += DT * (velocity if self.rules == "omar" else velocities)
        return moved, velocity
