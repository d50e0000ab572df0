"""Data sets with histories: every row knows the steps before it in its episode.

Axes: M members, N agents, B batch, R rows, L history, D state, U joint action, O observation, A
action, I = O + A.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from common.learning.rollouts import ACTION_BOUND
from envs.lockstep import View


@dataclass(frozen=True)
class TeamBatch:
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
    obs, action = of.observe(pairs[..., :-joint]), of.split(pairs[..., -joint:])  # [M, B, L, N, .]
    return torch.cat([obs, action], -1).permute(0, 3, 1, 2, 4).contiguous()


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
        self.view, self.length, self.device = of, length, device
        actions = torch.from_numpy(arrays["actions"]).clamp(-ACTION_BOUND, ACTION_BOUND)
        self.state_dim, self.joint_dim = arrays["observations"].shape[1], actions.shape[1]
        self.pairs = (
            torch.cat([torch.from_numpy(arrays["observations"]), actions], -1).float().to(device)
        )  # [R, D + U]
        ends = np.concatenate([[True], (arrays["terminals"] | arrays["timeouts"])[:-1]])
        starts = np.maximum.accumulate(np.where(ends, np.arange(len(ends)), 0))
        self.starts = torch.from_numpy(starts).to(device)  # [R] first row of each row's episode
        self.next_state = torch.from_numpy(arrays["next_observations"]).float().to(device)
        self.reward = (reward_scale * torch.from_numpy(arrays["rewards"])).float().to(device)
        self.terminal = torch.from_numpy(arrays["terminals"]).float().to(device)

    def __len__(self) -> int:
        return len(self.pairs)

    def window(self, index: Tensor, length: int) -> Tensor:
        """The `length` rows before rows `index` [M, B], oldest first, zero before the episode: [M,
        B, length, D + U].
        """
        before = index.unsqueeze(-1) + torch.arange(-length, 0, device=index.device)
        inside = before >= self.starts[index].unsqueeze(-1)
        return self.pairs[before.clamp_min(0)] * inside.unsqueeze(-1)

    def draw_index(self, batch_size: int, streams: list[torch.Generator]) -> Tensor:
        """[M, B] rows, uniform with replacement, each member from its own stream on the CPU."""
        draws = [torch.randint(len(self), (batch_size,), generator=stream) for stream in streams]
        return torch.stack(draws).to(self.device)

    def start(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """States [M, B, D] of rows and what came before them, [M, N, B, L, I]."""
        pairs = self.window(index, self.length)
        return self.pairs[index][..., : self.state_dim], agent_histories(self.view, pairs)

    def batch(self, index: Tensor) -> TeamBatch:
        """The transitions of rows [M, B]."""
        here = self.pairs[index]  # [M, B, D + U]
        pairs = torch.cat([self.window(index, self.length), here.unsqueeze(2)], 2)
        return joint_batch(
            self.view,
            pairs,
            here[..., : self.state_dim],
            here[..., self.state_dim :],
            self.reward[index],
            self.terminal[index],
            self.next_state[index],
        )


def joint_batch(of: View, pairs: Tensor, state, action, reward, terminal, next_state) -> TeamBatch:
    """Transitions seen by the agents of a view; pairs [M, B, L + 1, D + U] end with the present
    step.
    """
    remembered = agent_histories(of, pairs)
    return TeamBatch(
        state.contiguous(),
        of.observe(state).transpose(1, 2).contiguous(),
        remembered[:, :, :, :-1],
        of.split(action).transpose(1, 2).contiguous(),
        reward,
        terminal,
        next_state,
        of.observe(next_state).transpose(1, 2).contiguous(),
        remembered[:, :, :, 1:],
    )


def joined(first: TeamBatch, second: TeamBatch) -> TeamBatch:
    """Two minibatches one after the other."""
    axis = {
        name: 1 if name in ("state", "reward", "terminal", "next_state") else 2
        for name in vars(first)
    }
    return TeamBatch(
        **{
            name: torch.cat([getattr(first, name), getattr(second, name)], axis[name])
            for name in axis
        }
    )


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
        self.view, self.length, self.steps, self.capacity, self.state_dim = (
            of,
            length,
            steps,
            capacity,
            state_dim,
        )
        joint = of.num_agents * of.action_dim
        self.pairs = torch.zeros(
            members, capacity, length + steps, state_dim + joint, device=device
        )
        self.outcome = torch.zeros(
            members, capacity, steps, state_dim + 2, device=device
        )  # next state, reward, terminal
        self.lengths = torch.zeros(members, capacity, dtype=torch.long, device=device)
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
        count, steps = states.shape[1], actions.shape[2]
        where = (self.filled + torch.arange(count)) % self.capacity
        self.pairs[:, where, : self.length + steps] = torch.cat(
            [before, torch.cat([states[:, :, :-1], actions], -1)], 2
        )
        self.outcome[:, where, :steps] = torch.cat(
            [states[:, :, 1:], rewards.unsqueeze(-1), terminals.unsqueeze(-1)], -1
        )
        self.lengths[:, where] = lengths
        self.filled += count

    def batch(self, size: int, streams: list[torch.Generator]) -> TeamBatch:
        """A minibatch for every member: uniform over rollouts, then over their steps."""
        members, kept = len(self.pairs), min(self.filled, self.capacity)
        draws = torch.stack([torch.rand(2, size, generator=stream) for stream in streams]).to(
            self.pairs.device
        )
        which = (draws[:, 0] * kept).long()  # [M, B]
        row = torch.arange(members, device=which.device).unsqueeze(1)
        step = (draws[:, 1] * self.lengths[row, which]).long()
        window = step.unsqueeze(-1) + torch.arange(self.length + 1, device=which.device)
        pairs = self.pairs[row.unsqueeze(-1), which.unsqueeze(-1), window]
        here, outcome = pairs[:, :, -1], self.outcome[row, which, step]
        return joint_batch(
            self.view,
            pairs,
            here[..., : self.state_dim],
            here[..., self.state_dim :],
            outcome[..., -2],
            outcome[..., -1],
            outcome[..., :-2],
        )

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
