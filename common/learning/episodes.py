"""Whole episodes of many lengths in minibatches of one shape, for recurrent learners.

A minibatch has L lanes of P positions. Episodes are drawn one after the other and laid into lanes
end to end, each with a place for what is seen after its last step, until the next one fits nowhere;
that one begins the next minibatch. Nothing is padded to the longest episode of a minibatch, whose
shape would depend on what other members drew.

Axes: M members, P positions, L lanes, N agents, O observation, D state, U actions.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from common.learning.philox import Streams


def agent_inputs(obs: Tensor, last: Tensor, actions: int) -> Tensor:
    """[..., N, O + U + N] what recurrent agents see: own observation, own last action, own number.

    Args:
        obs: [..., N, O]; last: [..., N], -1 where there is no action yet; actions: U.
    """
    acted = one_hot(last + 1, actions + 1)[..., 1:].float()
    number = torch.eye(obs.shape[-2], device=obs.device).expand(*obs.shape[:-1], -1)
    return torch.cat([obs, acted, number], -1)


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

    @cached_property
    def inputs(self) -> Tensor:
        """[M, P, L, N, O + U + N] of recurrent agents, see `agent_inputs`."""
        return agent_inputs(self.obs, self.last, self.available.shape[-1])


def lay(
    lengths: np.ndarray,
    lanes: int,
    positions: int,
    draws: Iterator[int],
    waiting: int | None = None,
) -> tuple[np.ndarray, np.ndarray, int]:
    """Lays random episodes into lanes.

    Args:
        lengths: [E] steps of every episode; each takes one place more.
        positions: of a lane, more than the longest episode.
        draws: random numbers of episodes, see `most_draws`.
        waiting: the episode to begin with, drawn before.

    Returns:
        Episode and step [positions, lanes], -1 where nothing is, and the episode that fitted
        nowhere.

    Raises:
        ValueError: an episode does not fit a lane.
    """
    if lengths.max() >= positions:
        raise ValueError(
            f"an episode of {lengths.max()} steps does not fit a lane of {positions} places, "
            "one of them for its end"
        )
    episode = np.full((positions, lanes), -1)
    step = np.full((positions, lanes), -1)
    used = np.zeros(lanes, int)
    while True:
        drawn = waiting
        if drawn is None:
            drawn = next(draws)
        waiting = None
        places = lengths[drawn] + 1
        free = np.flatnonzero(used + places <= positions)
        if not len(free):
            return episode, step, drawn
        lane = free[0]
        span = slice(used[lane], used[lane] + places)
        episode[span, lane] = drawn
        step[span, lane] = np.arange(places)
        used[lane] += places


def most_draws(lengths: np.ndarray, lanes: int, positions: int) -> int:
    """How many episodes `lay` draws at most: as many of the shortest as fit, and one that does
    not.
    """
    return lanes * (positions // int(lengths.min() + 1)) + 1


KINDS = {
    "obs": torch.float32,
    "state": torch.float32,
    "available": torch.bool,
    "actions": torch.long,
    "rewards": torch.float32,
    "terminated": torch.float32,
    "filled": torch.float32,
}  # arrays of a data set of episodes


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
        device: str = "cpu",
    ):
        self.lengths = arrays["filled"].sum(1).long().numpy()
        self.lanes, self.device = lanes, device
        self.positions = positions or int(self.lengths.max()) + 1
        starts = np.concatenate([[0], np.cumsum(self.lengths + 1)[:-1]])
        self.starts = torch.from_numpy(starts).to(device)
        # the place after an episode's last step included
        inside = torch.arange(arrays["obs"].shape[1]) <= torch.from_numpy(self.lengths)[:, None]

        def ragged(name: str) -> Tensor:
            array = arrays[name]
            if array.shape[1] < inside.shape[1]:
                array = torch.cat([array, torch.zeros_like(array[:, :1])], 1)
            return array[inside].to(device, KINDS[name])

        self.data = {name: ragged(name) for name in KINDS}
        self.streams = Streams(seeds, "minibatches")  # lanes are laid on the CPU
        self.waiting: list[int | None] = [None] * len(seeds)

    def draw(self) -> Lanes:
        """A fresh minibatch for every member.

        A member takes as many numbers of the draw as it needs; the rest is lost, so that how many
        its neighbours need is nothing to it.
        """
        episodes, steps = [], []
        most = most_draws(self.lengths, self.lanes, self.positions)
        drawn = self.streams.integers(len(self.lengths), (most,)).tolist()
        for m, row in enumerate(drawn):
            laid = lay(self.lengths, self.lanes, self.positions, iter(row), self.waiting[m])
            episodes.append(laid[0])
            steps.append(laid[1])
            self.waiting[m] = laid[2]
        episode = torch.from_numpy(np.stack(episodes)).to(self.device, non_blocking=True)
        step = torch.from_numpy(np.stack(steps)).to(self.device, non_blocking=True)
        there = episode >= 0
        index = torch.where(there, self.starts[episode.clamp_min(0)] + step, 0)
        taken = {name: array[index] for name, array in self.data.items()}
        filled = taken["filled"] * there
        free = taken["available"] | ~there[..., None, None]
        action = torch.where(filled[..., None] > 0, taken["actions"], free.long().argmax(-1))
        before = self.data["actions"][(index - 1).clamp_min(0)]
        last = torch.where((step > 0)[..., None], before, -1)
        return Lanes(
            taken["obs"],
            taken["state"],
            free.float(),
            action,
            taken["rewards"],
            taken["terminated"],
            last,
            filled,
            (step <= 0).float(),
        )

    def state_dict(self) -> dict:
        return {"waiting": list(self.waiting), "streams": self.streams.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        self.waiting = list(state["waiting"])
        self.streams.load_state_dict(state["streams"])


def mean_filled(errors: Tensor, filled: Tensor) -> Tensor:
    """[M] mean over the filled places [M, P, L] of errors [M, P, L] or [M, P, L, N]."""
    if errors.ndim == 4:
        filled = filled.unsqueeze(-1).expand_as(errors)
    return torch.where(filled > 0, errors, 0.0).flatten(1).sum(1) / filled.flatten(1).sum(1)


def softmax_over_filled(values: Tensor, filled: Tensor, temperature: float) -> Tensor:
    """Importance weights [M, P, L, ...] with mean 1 over the filled places, for every agent apart:
    softmax of values / temperature.
    """
    mask = (filled > 0).view(*filled.shape, *[1] * (values.ndim - 3)).expand_as(values)
    flat = (values / temperature).masked_fill(~mask, -torch.inf).flatten(1, 2)
    count = filled.flatten(1).sum(1).view(-1, *[1] * (flat.ndim - 1))
    return (flat.softmax(1) * count).view_as(values)


def later(places: Tensor) -> Tensor:
    """Of every place [M, P, ...] its lane's next one; a last place, never filled, gets itself."""
    return torch.cat([places[:, 1:], places[:, -1:]], 1)


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
    target = torch.zeros_like(reward[:, 0])
    targets = []
    positions = reward.shape[1]
    for t in reversed(range(positions)):
        ahead = following[:, min(t + 1, positions - 1)]
        goes_on = filled[:, t + 1] if t + 1 < positions else torch.zeros_like(target)
        ahead = torch.where(goes_on > 0, (1 - trace) * ahead + trace * target, ahead)
        target = reward[:, t] + gamma * (1 - terminal[:, t]) * ahead
        targets.append(target)
    return torch.stack(targets[::-1], 1)
