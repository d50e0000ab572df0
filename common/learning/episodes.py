"""Whole episodes of many lengths in minibatches of one shape, for recurrent learners.

A minibatch has L lanes of P positions. Episodes are drawn one after the other and laid into lanes
end to end, each with a place for what is seen after its last step, until the next one fits nowhere;
that one begins the next minibatch. Nothing is padded to the longest episode of a minibatch, whose
shape would depend on what other members drew.

Axes: M members, P positions, L lanes, N agents, O observation, D state, U actions.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from common.learning.population import generators


@dataclass(frozen=True)
class Lanes:
    """A minibatch.

    Attributes:
        obs: [M, P, L, N, O]; state: [M, P, L, D]; available: [M, P, L, N, U], 1 where an action may
            be taken.
        action: [M, P, L, N], any available one where no step was taken; reward, terminal: [M, P,
            L].
        last: [M, P, L, N], the step before's action, -1 where there is none.
        filled: [M, P, L], 1 where a step was taken; 0 after an episode's end and where nothing is.
        fresh: [M, P, L], 1 where an episode begins, and where nothing is.

    What follows a filled place is always the next one of its lane.
    """

    obs: Tensor
    state: Tensor
    available: Tensor
    action: Tensor
    reward: Tensor
    terminal: Tensor
    last: Tensor
    filled: Tensor
    fresh: Tensor


def lay(
    lengths: np.ndarray,
    lanes: int,
    positions: int,
    stream: torch.Generator,
    waiting: int | None = None,
) -> tuple[np.ndarray, np.ndarray, int]:
    """Lays random episodes into lanes.

    Args:
        lengths: [E] steps of every episode; each takes one place more.
        positions: of a lane, more than the longest episode.
        waiting: the episode to begin with, drawn before.

    Returns:
        Episode and step [positions, lanes], -1 where nothing is, and the episode that fitted
        nowhere.

    Raises:
        ValueError: an episode does not fit a lane.
    """
    if lengths.max() >= positions:
        raise ValueError(
            f"an episode of {lengths.max()} steps does not fit a lane of {positions} places, one of them for its end"
        )
    episode, step = np.full((positions, lanes), -1), np.full((positions, lanes), -1)
    used = np.zeros(lanes, int)
    while True:
        drawn = (
            int(torch.randint(len(lengths), (), generator=stream)) if waiting is None else waiting
        )
        waiting, places = None, lengths[drawn] + 1
        free = np.flatnonzero(used + places <= positions)
        if not len(free):
            return episode, step, drawn
        lane = free[0]
        span = slice(used[lane], used[lane] + places)
        episode[span, lane], step[span, lane] = drawn, np.arange(places)
        used[lane] += places


class EpisodeStore:
    """Episodes of one data set, without padding, and minibatches of them for every member.

    Args:
        arrays: as envs.smac.data describes: obs [E, T + 1, N, O], state, available, actions [E, T,
            N], rewards, terminated, filled [E, T].
        seeds: one per member.
        positions: P; the longest episode and one if None.
    """

    def __init__(
        self,
        arrays: dict[str, Tensor],
        seeds: list[int],
        lanes: int,
        positions: int | None = None,
        device="cpu",
    ):
        self.lengths = arrays["filled"].sum(1).long().numpy()
        self.lanes, self.positions, self.device = (
            lanes,
            positions or int(self.lengths.max()) + 1,
            device,
        )
        self.starts = np.concatenate([[0], np.cumsum(self.lengths + 1)[:-1]])
        inside = (
            torch.arange(arrays["obs"].shape[1]) <= torch.from_numpy(self.lengths)[:, None]
        )  # the end included

        def ragged(name: str, kind: torch.dtype) -> Tensor:
            values = arrays[name]
            if values.shape[1] < inside.shape[1]:
                values = torch.cat([values, torch.zeros_like(values[:, :1])], 1)
            return values[inside].to(device, kind)

        kinds = {
            "obs": torch.float32,
            "state": torch.float32,
            "available": torch.bool,
            "actions": torch.long,
            "rewards": torch.float32,
            "terminated": torch.float32,
            "filled": torch.float32,
        }
        self.data = {name: ragged(name, kind) for name, kind in kinds.items()}
        self.streams = generators(seeds, "minibatches")
        self.waiting: list[int | None] = [None] * len(seeds)

    def draw(self) -> Lanes:
        """A fresh minibatch for every member."""
        size = self.lanes, self.positions
        laid = [
            lay(self.lengths, *size, stream, waiting)
            for stream, waiting in zip(self.streams, self.waiting, strict=True)
        ]
        episodes, steps, self.waiting = (list(part) for part in zip(*laid, strict=True))
        episode, step = (
            torch.from_numpy(np.stack(part)).to(self.device) for part in (episodes, steps)
        )
        there = episode >= 0
        index = torch.where(
            there, torch.from_numpy(self.starts).to(self.device)[episode.clamp_min(0)] + step, 0
        )
        taken = {name: values[index] for name, values in self.data.items()}
        filled = taken["filled"] * there
        free = taken["available"] | ~there[..., None, None]
        action = torch.where(filled[..., None] > 0, taken["actions"], free.long().argmax(-1))
        before = torch.where(
            (step > 0)[..., None], self.data["actions"][(index - 1).clamp_min(0)], -1
        )
        return Lanes(
            taken["obs"],
            taken["state"],
            free.float(),
            action,
            taken["rewards"],
            taken["terminated"],
            before,
            filled,
            (step <= 0).float(),
        )

    def state_dict(self) -> dict:
        return {"waiting": self.waiting, "streams": [stream.get_state() for stream in self.streams]}

    def load_state_dict(self, state: dict) -> None:
        self.waiting = state["waiting"]
        for stream, saved in zip(self.streams, state["streams"], strict=True):
            stream.set_state(saved)


def traced_targets(
    reward: Tensor, terminal: Tensor, filled: Tensor, following: Tensor, gamma: float, trace: float
) -> Tensor:
    """y_t = r_t + gamma (1 - d_t) [(1 - trace) V_t+1 + trace y_t+1], without a trace over an
    episode's last step.

    Args:
        reward, terminal, filled: [B, T, ...], time on the second axis; filled is 1 where a step was
            taken.
        following: [B, T, ...] V of every place, the one after an episode's last step included;
            V_t+1 is its next place.
    """
    target, found = torch.zeros_like(reward[:, 0]), []
    positions = reward.shape[1]
    for t in reversed(range(positions)):
        ahead = following[:, min(t + 1, positions - 1)]
        goes_on = filled[:, t + 1] if t + 1 < positions else torch.zeros_like(target)
        ahead = torch.where(goes_on > 0, (1 - trace) * ahead + trace * target, ahead)
        target = reward[:, t] + gamma * (1 - terminal[:, t]) * ahead
        found.append(target)
    return torch.stack(found[::-1], 1)
