"""Transitions of the whole team, and minibatches of them: all agents of a member learn from the
same rows (Algorithm 1).

Axes: M members, N agents, B batch, R rows, D state, O observation, A an agent's action.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from common.learning.philox import Streams
from common.learning.replay import Batch
from envs.lockstep import View

FIELDS = ("obs", "action", "reward", "next_obs", "terminal", "next_action")


@dataclass(frozen=True)
class JointBatch:
    """A minibatch of joint transitions.

    Attributes:
        state, next_state: [M, B, D].
        obs, next_obs: [M, N, B, O]; action, next_action: [M, N, B, A].
        reward, terminal: [M, B].
    """

    state: Tensor
    obs: Tensor
    action: Tensor
    reward: Tensor
    next_state: Tensor
    next_obs: Tensor
    terminal: Tensor
    next_action: Tensor

    def separate(self) -> Batch:
        """What independent learners see: every agent's own observation and action."""
        shape = self.action.shape[:3]
        reward = self.reward.unsqueeze(1).expand(shape).contiguous()
        terminal = self.terminal.unsqueeze(1).expand(shape).contiguous()
        return Batch(self.obs, self.action, reward, self.next_obs, terminal)


class JointRows:
    """Data sets of a population.

    Args:
        datasets: one per distinct data set, joint transitions as `envs.joint.transitions` gives
            them for a view in which a single agent sees and does everything: obs [R, 1, D], action
            [R, 1, N A], ...
        which: [M] index of each member's data set.
        streams: of minibatches.
        of: what agents observe and do.
        successors: keep only rows whose next action is known.
    """

    def __init__(
        self,
        datasets: list[dict[str, Tensor]],
        which: list[int],
        streams: Streams,
        of: View,
        successors: bool,
        device: str = "cpu",
    ):
        blocks = []
        for data in datasets:
            rows = torch.cat([data[name].flatten(1) for name in FIELDS], -1)
            blocks.append(rows[data["has_next_action"]] if successors else rows)
        # Of every data set, which rows are there
        self.kept = [data["has_next_action"] for data in datasets] if successors else None
        self.which = which
        first = datasets[0]
        self.widths = [first[name].flatten(1).shape[1] for name in FIELDS]
        self.rows = torch.cat(blocks).to(device)
        starts = torch.tensor([0, *[len(block) for block in blocks]]).cumsum(0)
        self.starts = starts[which].unsqueeze(1).to(device)
        self.sizes = [len(blocks[d]) for d in which]
        self.streams = streams
        self.view = of

    def draw(self, batch_size: int) -> JointBatch:
        """A fresh minibatch for every member, uniform with replacement as in BCQ's code."""
        return self.gather(self.starts + self.streams.integers(self.sizes, (batch_size,)))

    def at(self, numbers: list[np.ndarray]) -> JointBatch:
        """For every member rows of its data set, by their numbers [B] there, one array a data set;
        of rows that are left out the last one before.
        """
        if self.kept is not None:
            numbers = [
                (kept.cumsum(0) - 1)[own].clamp_min(0).numpy()
                for kept, own in zip(self.kept, numbers, strict=True)
            ]
        index = np.stack([numbers[d] for d in self.which])
        return self.gather(self.starts + torch.from_numpy(index).to(self.starts.device))

    def gather(self, index: Tensor) -> JointBatch:
        """Rows with these numbers [M, B]."""
        state, action, reward, next_state, terminal, next_action = self.rows[index].split(
            self.widths, dim=-1
        )
        return JointBatch(
            state.contiguous(),
            self.by_agent(self.view.observe(state)),
            self.by_agent(self.view.split(action)),
            reward[..., 0],
            next_state.contiguous(),
            self.by_agent(self.view.observe(next_state)),
            terminal[..., 0],
            self.by_agent(self.view.split(next_action)),
        )

    @staticmethod
    def by_agent(rows: Tensor) -> Tensor:
        """[M, N, B, ...] of [M, B, N, ...]."""
        return rows.transpose(1, 2).contiguous()
