"""Kinematic point worlds: OTC's Predator-Prey, Cooperative Navigation and non-stationary
navigation, as batches.

An action is a displacement: agents have neither mass nor size and do not collide. The paper gives
the rewards and that actions are speeds in [-0.1, 0.1]; arena, starts, horizon, observations and the
prey's rule are decisions of ours (see papers/otc/notes.md). Everything happens in the square [-1,
1]^2, starts are uniform in it.

    kinematic_predator_prey    three predators (speed 0.1) and a prey (0.13) that runs straight away
                               from the nearest one and slides along walls; all get +1 for every
                               predator within 0.1 of it
    kinematic_navigation_N     N agents cover N landmarks: minus the sum of each landmark's distance
                               to the closest agent
    shifting_navigation        one agent, 10 for coming within 0.1 of the landmark, which ends the
                               episode; it moves by beta * action, with beta uniform in [-0.2, 0.2]
                               at every step, or set from outside

Actions are in [-1, 1] here and in data sets, in units of the top speed; the PettingZoo environment
takes speeds. The state of a world is the position of every agent, then of the prey or the
landmarks.

Axes: W worlds, N agents, D = 2 (N + others) numbers of the state, U = 2 N of the joint action.
"""

from dataclasses import dataclass

import numpy as np
import torch

from envs.lockstep import Team, View

PREY_SPEED = 0.13  # MPE's ratio of 1.3 to the predators
CONTACT = 0.1  # distance that counts as a contact, or as having reached the landmark
GOAL_REWARD = 10.0
BETA_RANGE = 0.2
ACTION_DIM = 2


@dataclass(frozen=True)
class Scenario:
    """What a task consists of.

    Attributes:
        kind: "chase", "cover" or "reach".
        num_agents: N, all learn; a prey is part of the world.
        others: points that are not agents: the prey, or the landmarks.
        horizon: steps after which the clock ends an episode.
        speed: displacement of an agent at action 1.
    """

    kind: str
    num_agents: int
    others: int
    horizon: int = 25
    speed: float = 0.1


NAVIGATION_AGENTS = (2, 4, 6, 8)
SCENARIOS = {
    "kinematic_predator_prey": Scenario("chase", 3, 1),
    **{f"kinematic_navigation_{n}": Scenario("cover", n, n) for n in NAVIGATION_AGENTS},
    "shifting_navigation": Scenario("reach", 1, 1, horizon=50, speed=1.0),
}


class KinematicBatch:
    """W worlds of one task, each with its own clock. All arrays are float64.

    Args:
        task: name in `SCENARIOS`.
        beta: of shifting navigation: the same at all steps; None for a draw at each step, from the
            first stream.

    Raises:
        ValueError: unknown task.
    """

    def __init__(self, task: str, worlds: int, beta: float | None = None):
        if task not in SCENARIOS:
            raise ValueError(f"unknown task {task!r}, expected one of: {', '.join(SCENARIOS)}")
        self.scenario = SCENARIOS[task]
        self.worlds = worlds
        self.beta = beta
        points = self.scenario.num_agents + self.scenario.others
        self.points = np.zeros((worlds, points, 2))  # agents first
        self.steps = np.zeros(worlds, np.int64)
        self.state_dim = 2 * points
        self.action_dim = ACTION_DIM * self.scenario.num_agents

    def reset(self, streams: list[torch.Generator]) -> np.ndarray:
        """Starts W / len(streams) episodes per stream, in order; returns states [W, D]."""
        self.beta_stream = streams[0]
        return self.restart(np.arange(self.worlds), streams)

    def restart(self, which: np.ndarray, streams: list[torch.Generator]) -> np.ndarray:
        """Starts new episodes in worlds `which`, equally many per stream; returns all states."""
        shape = (len(which) // len(streams), *self.points.shape[1:])
        draws = [
            torch.rand(shape, generator=stream, dtype=torch.float64).numpy() for stream in streams
        ]
        self.points[which] = np.concatenate(draws) * 2 - 1
        self.steps[which] = 0
        return self.observe()

    def observe(self) -> np.ndarray:
        """[W, D] states."""
        return self.points.reshape(self.worlds, -1).copy()

    def step(self, actions: np.ndarray, which: np.ndarray | None = None):
        """One step of all worlds, or of `which`.

        Args:
            actions: [W, U] (or one row for each of `which`), clipped to [-1, 1].

        Returns:
            states [W, D], rewards [W], terminated [W], truncated [W]; rows of the stepped worlds
            only.

        Raises:
            ValueError: actions of another shape, or not finite.
        """
        rows = slice(None) if which is None else which
        scenario = self.scenario
        count = self.scenario.num_agents
        actions = np.asarray(actions, np.float64)
        before = self.points[rows]
        if actions.shape != (len(before), self.action_dim):
            raise ValueError(
                f"actions have shape {actions.shape}, expected {(len(before), self.action_dim)}"
            )
        if not np.isfinite(actions).all():
            raise ValueError("actions hold NaN or infinity, expected numbers in [-1, 1]")
        moves = np.zeros_like(before)
        moves[:, :count] = np.clip(actions, -1, 1).reshape(len(before), count, 2) * scenario.speed
        if scenario.kind == "reach":
            moves *= self._betas(len(before))[:, None, None]
        if scenario.kind == "chase":
            moves[:, count:] = flight(before[:, :count], before[:, count:])
        points = self.points[rows] = np.clip(before + moves, -1, 1)
        self.steps[rows] += 1
        gaps = points[:, :count, None] - points[:, None, count:]  # [W, N, others, 2]
        apart = np.sqrt(np.square(gaps).sum(-1))
        terminated = np.zeros(len(points), bool)
        if scenario.kind == "chase":
            rewards = (apart < CONTACT).sum((1, 2)).astype(float)
        elif scenario.kind == "cover":
            rewards = -apart.min(1).sum(-1)
        else:
            terminated = apart[:, 0, 0] < CONTACT
            rewards = GOAL_REWARD * terminated
        return (
            points.reshape(len(points), -1),
            rewards,
            terminated,
            (self.steps[rows] >= scenario.horizon) & ~terminated,
        )

    def _betas(self, count: int) -> np.ndarray:
        """[count] the random variable that turns actions into displacements."""
        if self.beta is not None:
            return np.full(count, self.beta)
        return (
            torch.rand(count, generator=self.beta_stream, dtype=torch.float64).numpy() * 2 - 1
        ) * BETA_RANGE


def flight(predators: np.ndarray, prey: np.ndarray) -> np.ndarray:
    """[W, 1, 2] the prey's move: straight away from the nearest predator. Clipping to the square
    makes it slide along walls.

    Args:
        predators: [W, N, 2]; prey: [W, 1, 2].
    """
    away = prey - predators
    apart = np.sqrt(np.square(away).sum(-1, keepdims=True))  # [W, N, 1]
    nearest = apart.argmin(1)[..., None]  # [W, 1, 1]
    direction = np.take_along_axis(away, nearest, 1) / np.maximum(
        np.take_along_axis(apart, nearest, 1), 1e-9
    )
    return PREY_SPEED * direction


def task_view(task: str) -> View:
    """Every agent sees all positions: its own first, then the other agents' in a fixed order, then
    the rest.
    """
    scenario = SCENARIOS[task]
    count = scenario.num_agents
    points = scenario.num_agents + scenario.others
    orders = ([*range(i, count), *range(i), *range(count, points)] for i in range(count))
    indices = tuple(
        tuple(axis for point in order for axis in (2 * point, 2 * point + 1)) for order in orders
    )
    return View(task, "full", indices, ACTION_DIM)


class KinematicTeam(Team):
    """The learning agents of a task.

    Args:
        beta: of shifting navigation, see `KinematicBatch`; it may be set anew between deployments.
        device: where policies live.
    """

    def __init__(self, task: str, beta: float | None = None, device="cpu"):
        self.beta = beta
        super().__init__(
            task_view(task), lambda worlds: KinematicBatch(task, worlds, self.beta), device
        )

    def batch(self, worlds: int) -> KinematicBatch:
        """A batch of this size with the present beta."""
        batch = super().batch(worlds)
        batch.beta = self.beta
        return batch
