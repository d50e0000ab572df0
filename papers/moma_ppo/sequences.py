"""Data sets with histories: every row knows the steps before it in its episode.

Axes: M members, N agents, B batch, R rows, L history, D state, U joint action, O observation, A
action, I = O + A.
"""

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from common.learning.heads import ACTION_BOUND
from common.learning.philox import Streams
from envs.lockstep import View


@dataclass(frozen=True)
class HistoryBatch:
    """A minibatch of joint transitions with what agents remember.

    Attributes:
        state, next_state: [M, B, D]; reward, terminal: [M, B].
        obs, next_obs: [M, N, B, O]; action: [M, N, B, A].
        history, next_history: [M, N, B, L, I].
    """

    state: Tensor
    obs: Tensor
    history: Tensor
    action: Tensor
    reward: Tensor
    terminal: Tensor
    next_state: Tensor
    next_obs: Tensor
    next_history: Tensor

    @property
    def joint_action(self) -> Tensor:
        """[M, B, U]."""
        return self.action.transpose(1, 2).flatten(2)


def agent_histories(of: View, pairs: Tensor) -> Tensor:
    """[M, N, B, L, I] what each agent remembers of states and joint actions [M, B, L, D + U]."""
    joint = of.num_agents * of.action_dim
    obs = of.observe(pairs[..., :-joint])  # [M, B, L, N, O]
    action = of.split(pairs[..., -joint:])  # [M, B, L, N, A]
    return torch.cat([obs, action], -1).permute(0, 3, 1, 2, 4).contiguous()


def episode_starts(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """[R] first row of each row's episode."""
    ends = arrays["terminals"] | arrays["timeouts"]
    first = np.concatenate([[True], ends[:-1]])
    return np.maximum.accumulate(np.where(first, np.arange(len(first)), 0))


class Sequences:
    """One data set, shared by all members; all agents of a member learn from the same rows.

    Args:
        arrays: of the data set file, see `envs.joint`; actions are kept within +-(1 - 1e-5).
        of: what agents observe and do.
        length: L, steps of history.
        reward_scale: of all rewards.
    """

    def __init__(
        self,
        arrays: dict[str, np.ndarray],
        of: View,
        length: int,
        reward_scale: float = 1.0,
        device="cpu",
    ):
        self.view = of
        self.length = length
        self.device = device
        states = torch.from_numpy(arrays["observations"])
        actions = torch.from_numpy(arrays["actions"]).clamp(-ACTION_BOUND, ACTION_BOUND)
        self.state_dim = states.shape[1]
        self.joint_dim = actions.shape[1]
        self.pairs = torch.cat([states, actions], -1).float().to(device)  # [R, D + U]
        self.starts = torch.from_numpy(episode_starts(arrays)).to(device)
        self.next_state = torch.from_numpy(arrays["next_observations"]).float().to(device)
        self.reward = (reward_scale * torch.from_numpy(arrays["rewards"])).float().to(device)
        self.terminal = torch.from_numpy(arrays["terminals"]).float().to(device)

    def __len__(self) -> int:
        return len(self.pairs)

    def window(self, index: Tensor, length: int) -> Tensor:
        """[M, B, length, D + U] the rows before rows `index` [M, B], oldest first, zero before the
        episode.
        """
        before = index.unsqueeze(-1) + torch.arange(-length, 0, device=index.device)
        inside = before >= self.starts[index].unsqueeze(-1)
        return self.pairs[before.clamp_min(0)] * inside.unsqueeze(-1)

    def draw_index(self, batch_size: int, streams: Streams) -> Tensor:
        """[M, B] rows, uniform with replacement."""
        return streams.integers(len(self), (batch_size,))

    def start(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """States [M, B, D] of rows and what came before them, [M, N, B, L, I]."""
        pairs = self.window(index, self.length)
        return self.pairs[index][..., : self.state_dim], agent_histories(self.view, pairs)

    def batch(self, index: Tensor) -> HistoryBatch:
        """The transitions of rows [M, B]."""
        here = self.pairs[index].unsqueeze(2)  # [M, B, 1, D + U]
        return history_batch(
            self.view,
            torch.cat([self.window(index, self.length), here], 2),
            self.reward[index],
            self.terminal[index],
            self.next_state[index],
        )


def history_batch(
    of: View, pairs: Tensor, reward: Tensor, terminal: Tensor, next_state: Tensor
) -> HistoryBatch:
    """Transitions seen by the agents of a view.

    Args:
        pairs: [M, B, L + 1, D + U], states and joint actions up to the present step.
        reward, terminal: [M, B]; next_state: [M, B, D].
    """
    state_dim = next_state.shape[-1]
    state = pairs[:, :, -1, :state_dim]
    remembered = agent_histories(of, pairs)
    return HistoryBatch(
        state=state.contiguous(),
        obs=of.observe(state).transpose(1, 2).contiguous(),
        history=remembered[:, :, :, :-1],
        action=of.split(pairs[:, :, -1, state_dim:]).transpose(1, 2).contiguous(),
        reward=reward,
        terminal=terminal,
        next_state=next_state,
        next_obs=of.observe(next_state).transpose(1, 2).contiguous(),
        next_history=remembered[:, :, :, 1:],
    )


def joined(first: HistoryBatch, second: HistoryBatch) -> HistoryBatch:
    """Two minibatches one after the other."""

    def column(name: str) -> Tensor:
        axis = 1 if name in ("state", "reward", "terminal", "next_state") else 2
        return torch.cat([getattr(first, name), getattr(second, name)], axis)

    return HistoryBatch(**{field.name: column(field.name) for field in fields(first)})


class GeneratedRows:
    """Transitions of rollouts that agents made while they learn, each member its own, the newest
    `capacity` rollouts.

    Args:
        steps: of a rollout.
    """

    def __init__(
        self,
        members: int,
        of: View,
        length: int,
        state_dim: int,
        steps: int,
        capacity: int,
        device="cpu",
    ):
        self.view = of
        self.length = length
        self.capacity = capacity
        width = state_dim + of.num_agents * of.action_dim
        rollouts = (members, capacity)
        self.pairs = torch.zeros(*rollouts, length + steps, width, device=device)
        # next state, reward, terminal
        self.outcome = torch.zeros(*rollouts, steps, state_dim + 2, device=device)
        self.lengths = torch.zeros(rollouts, dtype=torch.long, device=device)
        self.filled = 0

    def add(
        self,
        before: Tensor,
        states: Tensor,
        actions: Tensor,
        rewards: Tensor,
        terminals: Tensor,
        lengths: Tensor,
    ) -> None:
        """Some rollouts of every member.

        Args:
            before: [M, B, L, D + U]; states: [M, B, T + 1, D]; actions: [M, B, T, U]; rewards,
                terminals: [M, B, T].
            lengths: [M, B], steps of each rollout that happened.
        """
        count = states.shape[1]
        steps = actions.shape[2]
        where = (self.filled + torch.arange(count)) % self.capacity
        made = torch.cat([states[:, :, :-1], actions], -1)
        self.pairs[:, where, : self.length + steps] = torch.cat([before, made], 2)
        ends = torch.stack([rewards, terminals], -1)
        self.outcome[:, where, :steps] = torch.cat([states[:, :, 1:], ends], -1)
        self.lengths[:, where] = lengths
        self.filled += count

    def batch(self, size: int, streams: Streams) -> HistoryBatch:
        """A minibatch for every member: uniform over rollouts, then over their steps."""
        device = self.pairs.device
        draws = streams.uniform((2, size))
        rollout = (draws[:, 0] * min(self.filled, self.capacity)).long()  # [M, B]
        member = torch.arange(len(draws), device=device).unsqueeze(1)
        step = (draws[:, 1] * self.lengths[member, rollout]).long()
        window = step.unsqueeze(-1) + torch.arange(self.length + 1, device=device)
        pairs = self.pairs[member.unsqueeze(-1), rollout.unsqueeze(-1), window]
        outcome = self.outcome[member, rollout, step]
        next_state, reward, terminal = outcome.split([outcome.shape[-1] - 2, 1, 1], -1)
        return history_batch(self.view, pairs, reward.squeeze(-1), terminal.squeeze(-1), next_state)

    def state_dict(self) -> dict:
        return {
            "pairs": self.pairs,
            "outcome": self.outcome,
            "lengths": self.lengths,
            "filled": self.filled,
        }

    def load_state_dict(self, state: dict) -> None:
        for name in ("pairs", "outcome", "lengths"):
            getattr(self, name).copy_(state[name])
        self.filled = state["filled"]
