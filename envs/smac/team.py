"""A population's policies in battles, and battles' data as single transitions, for learners without
memory.

An agent's row is what it observes followed by the mask of its available actions; an action is its
index.

Axes: M members, N agents, E battles, O observation, U actions, R rows.
"""

import numpy as np
import torch
from torch import Tensor

from envs.smac.core import Battles

EXPLORE = 0.1  # share of random actions of the agent whose turn it is to explore
STEPS_AN_EPISODE = 25  # a guess of how many battles bring so many rows; more follow if it was wrong


def transitions(arrays: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """Tensors [R, N, ...] of the steps of whole episodes, see envs.smac.data; everybody shares
    reward and terminal flag.
    """
    filled = torch.from_numpy(arrays["filled"] > 0)
    agents = arrays["obs"].shape[2]
    rows = torch.cat(
        [torch.from_numpy(arrays["obs"]), torch.from_numpy(arrays["available"]).float()], -1
    )

    def shared(name: str) -> Tensor:
        return torch.from_numpy(arrays[name])[filled].float()[:, None].expand(-1, agents)

    return {
        "obs": rows[:, :-1][filled],
        "action": torch.from_numpy(arrays["actions"])[filled].float().unsqueeze(-1),
        "reward": shared("rewards"),
        "next_obs": rows[:, 1:][filled],
        "terminal": shared("terminated"),
    }


def advance(population: list[Battles], action: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """One step of every member's battles that are not over.

    Args:
        action: [M, E, N], on the CPU.

    Returns:
        rewards, terminal flags (also at the limit, as in SMAC) and which battles went on, all
        [M, E].
    """
    reward, terminal, live = torch.zeros(3, *action.shape[:2])
    for m, battles in enumerate(population):
        which = np.flatnonzero(~battles.over)
        if len(which):
            earned, *_ = battles.step(action[m].numpy()[which], which)
            reward[m, which] = torch.from_numpy(earned).float()
            terminal[m, which] = torch.from_numpy(battles.over[which]).float()
            live[m, which] = 1
    return reward, terminal, live


class BattleTeam:
    """As `envs.lockstep.Team`, for battles.

    Args:
        device: where policies live; battles run on the CPU.
    """

    def __init__(self, map_name: str, device="cpu"):
        one = Battles(map_name, 1)
        self.map_name = map_name
        self.device = device
        self.num_agents = one.agents
        self.action_dim = one.n_actions
        self.obs_dim = one.obs_dim + one.n_actions

    def seen(self, population: list[Battles]) -> Tensor:
        """[M, N, E, O + U] rows of all agents."""
        rows = [np.concatenate([battles.obs(), battles.available()], -1) for battles in population]
        return torch.from_numpy(np.stack(rows)).float().transpose(1, 2).contiguous()

    def play(self, act, streams: list[torch.Generator], episodes: int, explorer: int | None = None):
        """Whole episodes of every member.

        Args:
            act: policy of the population, rows [M, N, E, O + U] -> actions [M, N, E, 1].
            streams: of which battles are played and how is explored, one per member.
            explorer: the agent that explores; None for nobody.

        Returns:
            returns [M, E], and of the explorer's steps rows, actions, rewards, terminal flags, next
            rows and which happened, all [M, E, T, ...].
        """
        seeds = [int(torch.randint(2**31, (), generator=stream)) for stream in streams]
        # streams of its own: who has ended draws on until everybody has
        chances = [torch.Generator().manual_seed(seed) for seed in seeds]
        population = [Battles(self.map_name, episodes, seed) for seed in seeds]
        for battles in population:
            battles.reset()
        returns = torch.zeros(len(streams), episodes)
        columns = []
        rows = self.seen(population)
        while not all(battles.over.all() for battles in population):
            action = act(rows.to(self.device)).cpu().squeeze(-1)  # [M, N, E]
            if explorer is not None:
                action[:, explorer] = self.explored(action[:, explorer], rows[:, explorer], chances)
            reward, terminal, live = advance(population, action.transpose(1, 2))
            returns += reward
            following = self.seen(population)
            if explorer is not None:
                columns.append(
                    (
                        rows[:, explorer],
                        action[:, explorer],
                        reward,
                        terminal,
                        following[:, explorer],
                        live,
                    )
                )
            rows = following
        return returns, [torch.stack(column, 2) for column in zip(*columns, strict=True)]

    def explored(self, action: Tensor, rows: Tensor, streams: list[torch.Generator]) -> Tensor:
        """Actions [M, E] of which a share EXPLORE is replaced by uniform available ones."""
        free = rows[..., -self.action_dim :] > 0.5
        noise = torch.stack([torch.rand(free.shape[1:], generator=stream) for stream in streams])
        change = (
            torch.stack([torch.rand(action.shape[1:], generator=stream) for stream in streams])
            < EXPLORE
        )
        return torch.where(change, noise.masked_fill(~free, -1.0).argmax(-1), action)

    def returns(self, act, streams: list[torch.Generator], episodes: int) -> Tensor:
        """[M, episodes] undiscounted returns of whole episodes without exploration."""
        return self.play(act, streams, episodes)[0]

    def collect(self, act, streams: list[torch.Generator], steps: int) -> dict[str, Tensor]:
        """`steps` rows [M, steps, N, ...] of every agent, each from battles in which it alone
        explores, in turn.
        """
        agents = []
        for agent in range(self.num_agents):
            # streams of its own: how often a turn goes on depends on who else has too few rows yet
            turns = [
                torch.Generator().manual_seed(int(torch.randint(2**62, (), generator=stream)))
                for stream in streams
            ]
            collected: list[list] = [[] for _ in streams]
            while min(sum(len(piece[0]) for piece in pieces) for pieces in collected) < steps:
                _, (*columns, live) = self.play(act, turns, -(-steps // STEPS_AN_EPISODE), agent)
                for m in range(len(streams)):
                    collected[m].append([column[m][live[m] > 0] for column in columns])
            whole = [
                [torch.cat(column)[:steps] for column in zip(*pieces, strict=True)]
                for pieces in collected
            ]
            agents.append([torch.stack(column) for column in zip(*whole, strict=True)])
        obs, action, reward, terminal, following = (
            torch.stack(column, 2) for column in zip(*agents, strict=True)
        )
        return {
            "obs": obs,
            "action": action.float().unsqueeze(-1),
            "reward": reward,
            "next_obs": following,
            "terminal": terminal,
        }
