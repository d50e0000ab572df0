"""Rollouts of a population's policies with memory, in a learned world model or in a simulator, as
MAPPO's experience.

A world has `reset(state)` and `step(state, action, streams)`: a learned one, or a simulator.

Axes: M members, N agents, B rollouts side by side, T steps, L history, D state, O observation, A
action, U = N A.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from common.learning.heads import ACTION_BOUND
from common.learning.mappo import MAPPO, Experience, returns_and_advantages
from common.learning.philox import Streams


@dataclass(frozen=True)
class Outcome:
    """What a world answers to one step.

    Attributes:
        state: [M, B, D], next; reward: [M, B].
        alive: [M, B], 0 where the episode ended; running: [M, B], 0 where the rollout must be cut
            here.
        facts: numbers [M, B] for the record.
    """

    state: Tensor
    reward: Tensor
    alive: Tensor
    running: Tensor
    facts: dict[str, Tensor]


@dataclass(frozen=True)
class Rollouts:
    """Some rollouts of every member, [M, T, B, ...]; `states` has the T + 1 states, `pairs` [M, N,
    B, L + T, I].
    """

    states: Tensor
    pairs: Tensor
    action: Tensor  # [M, T, N, B, A]
    log_prob: Tensor  # [M, T, N, B]
    value: Tensor
    next_value: Tensor
    reward: Tensor
    alive: Tensor
    running: Tensor
    valid: Tensor  # bool: the step happened, the rollout was not over before
    facts: dict[str, Tensor]


class World(Protocol):
    """What rollouts step in: a learned one, or a simulator."""

    def reset(self, state: Tensor) -> None:
        """Starts from states [M, B, D]."""

    def step(self, state: Tensor, action: Tensor, streams: Streams | None) -> Outcome:
        """One step from states [M, B, D] with joint actions [M, B, U]; a simulator needs no random
        numbers.
        """


@torch.no_grad()
def roll(
    learner: MAPPO,
    world: World,
    view,
    state: Tensor,
    history: Tensor,
    steps: int,
    streams: Streams,
    world_streams: Streams | None,
) -> Rollouts:
    """Follows the policies for at most `steps` steps from every start.

    Args:
        view: what agents observe of the state (`observe`) and how their actions join (`join`).
        state: starts [M, B, D]; history: what came before them, [M, N, B, L, I].
        streams, world_streams: of actions and of the world.
    """
    head = learner.head
    length = history.shape[3]
    pairs = [history]
    states = [state]
    columns = []
    over = torch.zeros(state.shape[:2], dtype=torch.bool, device=state.device)
    world.reset(state)
    for _ in range(steps):
        obs = observed(view, state)
        window = history_window(pairs, length)
        action, log_prob, features = learner.sample(obs, window, head.noise(obs, streams))
        value = learner.values(features, state)
        played = head.played(action)
        outcome = world.step(state, view.join(played.transpose(1, 2)), world_streams)
        columns.append((action, log_prob, value, outcome, ~over))
        over = over | (outcome.alive == 0) | (outcome.running == 0)
        pairs.append(torch.cat([obs, played], -1).unsqueeze(3))
        state = outcome.state
        states.append(state)
        if bool(over.all()):
            break
    actions, log_probs, team_values, outcomes, valid = zip(*columns, strict=True)
    last_window = history_window(pairs, length)
    last = learner.values(learner.features(observed(view, state), last_window), state)
    value = torch.stack(team_values, 1)
    running = torch.stack([outcome.running for outcome in outcomes], 1)
    running[:, -1] = 0
    return Rollouts(
        states=torch.stack(states, 1),
        pairs=torch.cat(pairs, 3),
        action=torch.stack(actions, 1),
        log_prob=torch.stack(log_probs, 1),
        value=value,
        next_value=torch.cat([value[:, 1:], last.unsqueeze(1)], 1),
        reward=torch.stack([outcome.reward for outcome in outcomes], 1),
        alive=torch.stack([outcome.alive for outcome in outcomes], 1),
        running=running,
        valid=torch.stack(valid, 1),
        facts={
            name: torch.stack([outcome.facts[name] for outcome in outcomes], 1)
            for name in outcomes[0].facts
        },
    )


def observed(view, state: Tensor) -> Tensor:
    """[M, N, B, O] what agents see of states [M, B, D]."""
    return view.observe(state).transpose(1, 2).contiguous()


def history_window(pairs: list[Tensor], length: int) -> Tensor:
    """The last `length` steps [M, N, B, L, I] of a list of pieces along that axis."""
    if not length:
        return pairs[0]
    recent: list[Tensor] = []
    while sum(piece.shape[3] for piece in recent) < length:
        recent.insert(0, pairs[-1 - len(recent)])
    return torch.cat(recent, 3)[:, :, :, -length:]


def rows_of(
    view, rollouts: Rollouts, length: int, gamma: float, gae_lambda: float
) -> dict[str, Tensor]:
    """Attributes of `Experience` for all steps of some rollouts, one rollout after the other, and
    whether each step happened ("valid", [M, B]).
    """
    target, advantage = returns_and_advantages(
        rollouts.reward,
        rollouts.alive,
        rollouts.running,
        rollouts.value,
        rollouts.next_value,
        gamma,
        gae_lambda,
    )
    steps = rollouts.reward.shape[1]
    state = rollouts.states[:, :-1]
    obs = view.observe(state)  # [M, T, B, N, O]
    windows = [rollouts.pairs[:, :, :, t : t + length] for t in range(steps)]
    history = torch.stack(windows, 2)  # [M, N, T, B, L, I]
    return {
        "obs": obs.permute(0, 3, 2, 1, 4).flatten(2, 3),
        "history": history.transpose(2, 3).flatten(2, 3),
        "state": state.transpose(1, 2).flatten(1, 2),
        "action": rollouts.action.permute(0, 2, 3, 1, 4).flatten(2, 3),
        "log_prob": rollouts.log_prob.permute(0, 2, 3, 1).flatten(2, 3),
        "value": rollouts.value.transpose(1, 2).flatten(1),
        "advantage": advantage.transpose(1, 2).flatten(1),
        "target": target.transpose(1, 2).flatten(1),
        "valid": rollouts.valid.transpose(1, 2).flatten(1),
    }


def experience(
    view, rounds: list[Rollouts], count: int, length: int, gamma: float, gae_lambda: float
) -> Experience:
    """The first `count` steps of each member's rollouts, rollout by rollout, with returns and
    advantages.

    Raises:
        ValueError: a member has fewer steps.
    """
    pieces = [rows_of(view, rollouts, length, gamma, gae_lambda) for rollouts in rounds]
    valid = torch.cat([piece.pop("valid") for piece in pieces], 1)
    fewest = int(valid.sum(1).min())
    if fewest < count:
        raise ValueError(f"a member has {fewest} steps, expected {count}")
    joined = {
        name: torch.cat([piece[name] for piece in pieces], Experience.batch_axis(name))
        for name in pieces[0]
    }
    index = (~valid).long().argsort(dim=1, stable=True)[:, :count]
    return Experience(**joined).take(index)


class Recalling:
    """A policy with memory as a function of observations alone: it keeps what it saw and did since
    it was made.

    Args:
        act: (obs [M, N, E, O], history [M, N, E, L, I]) -> actions [M, N, E, A].
        length: L; action_dim: A.
    """

    def __init__(self, act, length: int, action_dim: int):
        self.act = act
        self.length = length
        self.action_dim = action_dim
        self.pairs: Tensor | None = None

    def __call__(self, obs: Tensor) -> Tensor:
        """Actions [M, N, E, A] in [-1, 1]; every call is the next step of all episodes."""
        if self.pairs is None:
            self.pairs = obs.new_zeros(*obs.shape[:3], self.length, obs.shape[-1] + self.action_dim)
        action = self.act(obs, self.pairs).clamp(-ACTION_BOUND, ACTION_BOUND)
        if self.length:
            step = torch.cat([obs, action], -1).unsqueeze(3)
            self.pairs = torch.cat([self.pairs[:, :, :, 1:], step], 3)
        return action
