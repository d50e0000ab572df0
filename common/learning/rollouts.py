"""Rollouts of a population's policies with memory, in a learned world model or in a simulator, as
MAPPO's experience.

A world has `reset(state)` and `step(state, action, streams)`: a learned one, or a simulator.

Axes: M members, N agents, B rollouts side by side, T steps, L history, D state, O observation, A
action, U = N A.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from common.learning.mappo import MAPPO, Experience, returns_and_advantages
from common.learning.population import normal_, uniform_

ACTION_BOUND = 1 - 1e-5  # of what worlds and memories see


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


@torch.no_grad()
def roll(
    learner: MAPPO, world, view, state: Tensor, history: Tensor, steps: int, streams, world_streams
) -> Rollouts:
    """Follows the policies for at most `steps` steps from every start.

    Args:
        view: what agents observe of the state (`observe`) and how their actions join (`join`).
        state: starts [M, B, D]; history: what came before them, [M, N, B, L, I].
        streams, world_streams: of actions and of the world, one per member.
    """
    length, action_dim = history.shape[3], learner.action_dim
    pairs = [history]
    states, columns, facts = [state], [], []
    over = torch.zeros(state.shape[:2], dtype=torch.bool, device=state.device)
    world.reset(state)
    for _ in range(steps):
        obs = observed(view, state)
        window = history_window(pairs, length)
        shape = (*obs.shape[:3], action_dim)
        draw = (
            uniform_(obs.new_empty(shape), streams, 1e-7, 1.0)
            if learner.discrete
            else normal_(obs.new_empty(shape), streams)
        )
        action, log_prob, features = learner.sample(obs, window, draw)
        value = learner.values(features, state)
        bounded = (
            one_hot(action, action_dim)
            if learner.discrete
            else action.clamp(-ACTION_BOUND, ACTION_BOUND)
        )
        outcome = world.step(state, view.join(bounded.transpose(1, 2)), world_streams)
        columns.append(
            (action, log_prob, value, outcome.reward, outcome.alive, outcome.running, ~over)
        )
        facts.append(outcome.facts)
        over = over | (outcome.alive == 0) | (outcome.running == 0)
        pairs.append(torch.cat([obs, bounded], -1).unsqueeze(3))
        state = outcome.state
        states.append(state)
        if bool(over.all()):
            break
    action, log_prob, value, reward, alive, running, valid = (
        torch.stack(column, 1) for column in zip(*columns, strict=True)
    )
    last = learner.values(
        learner.features(observed(view, state), history_window(pairs, length)), state
    )
    next_value = torch.cat([value[:, 1:], last.unsqueeze(1)], 1)
    running[:, -1] = 0
    return Rollouts(
        torch.stack(states, 1),
        torch.cat(pairs, 3),
        action,
        log_prob,
        value,
        next_value,
        reward,
        alive,
        running,
        valid,
        {name: torch.stack([fact[name] for fact in facts], 1) for name in facts[0]},
    )


def observed(view, state: Tensor) -> Tensor:
    """[M, N, B, O] what agents see of states [M, B, D]."""
    return view.observe(state).transpose(1, 2).contiguous()


def history_window(pairs: list[Tensor], length: int) -> Tensor:
    """The last `length` steps [M, N, B, L, I] of a list of pieces along that axis."""
    if not length:
        return pairs[0]
    recent, have = [], 0
    for piece in reversed(pairs):
        recent.append(piece)
        have += piece.shape[3]
        if have >= length:
            break
    return torch.cat(recent[::-1], 3)[:, :, :, -length:]


def one_hot(index: Tensor, count: int) -> Tensor:
    """[..., count] of indices [..., 1]."""
    return torch.nn.functional.one_hot(index.squeeze(-1).long(), count).to(index.dtype)


def experience(
    view, rounds: list[Rollouts], count: int, length: int, gamma: float, gae_lambda: float
) -> Experience:
    """The first `count` steps of each member's rollouts, rollout by rollout, with returns and
    advantages.

    Raises:
        ValueError: a member has fewer steps.
    """
    pieces = []
    for rollouts in rounds:
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
        windows = torch.stack(
            [rollouts.pairs[:, :, :, t : t + length] for t in range(steps)], 2
        )  # [M, N, T, B, L, I]
        pieces.append(
            {
                "obs": obs.permute(0, 3, 2, 1, 4).flatten(2, 3),
                "history": windows.transpose(2, 3).flatten(2, 3),
                "state": state.transpose(1, 2).flatten(1, 2),
                "action": rollouts.action.permute(0, 2, 3, 1, 4).flatten(2, 3),
                "log_prob": rollouts.log_prob.permute(0, 2, 3, 1).flatten(2, 3),
                "value": rollouts.value.transpose(1, 2).flatten(1),
                "advantage": advantage.transpose(1, 2).flatten(1),
                "target": target.transpose(1, 2).flatten(1),
                "valid": rollouts.valid.transpose(1, 2).flatten(1),
            }
        )
    axes = {
        name: 1 if name in ("state", "value", "advantage", "target", "valid") else 2
        for name in pieces[0]
    }
    joined = {
        name: torch.cat([piece[name] for piece in pieces], axis) for name, axis in axes.items()
    }
    valid = joined.pop("valid")
    if int(valid.sum(1).min()) < count:
        raise ValueError(f"a member has {int(valid.sum(1).min())} steps, expected {count}")
    index = torch.stack([torch.nonzero(row)[:count, 0] for row in valid])
    return Experience(**joined).take(index)


class Recalling:
    """A policy with memory as a function of observations alone: it keeps what it saw and did since
    it was made.

    Args:
        act: (obs [M, N, E, O], history [M, N, E, L, I]) -> actions [M, N, E, A].
        length: L; action_dim: A.
    """

    def __init__(self, act, length: int, action_dim: int):
        self.act, self.length, self.action_dim, self.pairs = act, length, action_dim, None

    def __call__(self, obs: Tensor) -> Tensor:
        """Actions [M, N, E, A] in [-1, 1]; every call is the next step of all episodes."""
        if self.pairs is None:
            self.pairs = obs.new_zeros(*obs.shape[:3], self.length, obs.shape[-1] + self.action_dim)
        action = self.act(obs, self.pairs).clamp(-ACTION_BOUND, ACTION_BOUND)
        if self.length:
            step = torch.cat([obs, action], -1).unsqueeze(3)
            self.pairs = torch.cat([self.pairs[:, :, :, 1:], step], 3)
        return action
