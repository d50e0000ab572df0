"""Whole episodes of a population on a robot, acting only for those that still run.

A fallen robot's episode is over long before a standing one's; `envs.lockstep.play` goes on asking
the policies about it. Here they are not asked, and everyone else acts as if they had been: random
numbers are drawn for all episodes.

Axes: M members, N agents, E episodes of a member, R of them those that are acted for, W = M E
simulations, D state.
"""

import numpy as np
import torch
from torch import Tensor

from common.learning.philox import Streams
from envs.lockstep import Team, playable


class EpisodeStreams(Streams):
    """Random numbers of policies in episodes.

    Attributes:
        running: [M, R] episodes that numbers are asked for; None for all.
    """

    def __init__(self, seeds: list[int], purpose: str, episodes: int, device="cpu"):
        super().__init__(seeds, purpose, device)
        self.episodes = episodes
        self.running: Tensor | None = None

    def normal(self, shape) -> Tensor:
        """[M, N, R K, Z] standard normal numbers, K rows of every episode that is asked for: those
        that it would have if all were.
        """
        if self.running is None:
            return super().normal(shape)
        agents, rows, size = shape
        each = rows // self.running.shape[1]
        everyone = super().normal((agents, self.episodes * each, size))
        by_episode = everyone.unflatten(2, (self.episodes, each))
        index = self.running[:, None, :, None, None]
        return by_episode.take_along_dim(index, dim=2).flatten(2, 3)


def returns(team: Team, act, drawn: EpisodeStreams, starts: list[torch.Generator]) -> Tensor:
    """[M, E] undiscounted returns of whole episodes, those of `Team.returns`; NaN is the return of
    a policy that has diverged.

    Args:
        act: policy of the population, obs [M, N, R, O] -> actions [M, N, R, A].
        drawn: what the policy draws from.
        starts: start states, one stream per member.
    """
    members = len(starts)
    batch = team.batch(members * drawn.episodes)
    policy = team.joint(act, members)
    states = batch.reset(starts)
    gained = np.zeros(batch.worlds)
    running = np.arange(batch.worlds)
    asked = running
    drawn.running = None
    actions = np.zeros((batch.worlds, batch.action_dim))
    while len(running):
        actions[asked] = policy(states[asked])
        chosen, broken = playable(actions[running])
        states[running], rewards, terminated, truncated = batch.step(chosen, running)
        gained[running] += np.where(broken, np.nan, rewards)
        over = terminated | truncated
        if over.any():
            running = running[~over]
            places = acted_for(running, members, drawn.episodes)
            asked = (places + drawn.episodes * np.arange(members)[:, None]).ravel()
            drawn.running = torch.from_numpy(places).to(drawn.device)
    return torch.from_numpy(gained).view(members, -1)


def acted_for(running: np.ndarray, members: int, episodes: int) -> np.ndarray:
    """[M, R] which episodes of every member are acted for: all that run, and so many others that
    every member has as many.

    Args:
        running: numbers among all W simulations.
    """
    still = np.zeros((members, episodes), bool)
    still.ravel()[running] = True
    most = int(still.sum(1).max())
    return np.argsort(~still, axis=1, kind="stable")[:, :most]
