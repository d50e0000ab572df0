"""What teams of agents do in simulations stepped together, whatever simulates them.

A batch is W simulations of one system (`envs.mujoco.batch.RobotBatch`,
`envs.kinematic.worlds.KinematicBatch`): it has `worlds`, `steps` [W], `reset(streams)`,
`restart(which, streams)` and `step(actions, which)`, see there. A `View` says which numbers of the
system's state each agent observes and which part of the joint action it chooses.

Axes: W worlds, M members, N agents, D numbers of the state, U of the joint action, O observation, A
an agent's action.
"""

import functools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

ROWS = ("observations", "actions", "rewards", "next_observations", "terminals", "timeouts")


@dataclass(frozen=True)
class View:
    """One observation function of one system.

    Attributes:
        system: name of the robot or world.
        indices: per agent, the numbers of the state it observes, in order.
        action_dim: A.
    """

    system: str
    name: str
    indices: tuple[tuple[int, ...], ...]
    action_dim: int

    @functools.cache  # noqa: B019  views are few; sending it every time would stop a GPU
    def _gather(self, device: torch.device) -> Tensor:
        index = [[*index, *[-1] * (self.obs_dim - len(index))] for index in self.indices]
        return torch.tensor(index, device=device)

    @property
    def num_agents(self) -> int:
        return len(self.indices)

    @property
    def obs_dims(self) -> list[int]:
        """True observation size of each agent."""
        return [len(index) for index in self.indices]

    @property
    def obs_dim(self) -> int:
        """O, of the longest."""
        return max(self.obs_dims)

    def observe(self, state: Tensor) -> Tensor:
        """[..., N, O] every agent's observation of states [..., D]."""
        padded = torch.nn.functional.pad(state, (0, 1))  # index -1 is a zero
        return padded[..., self._gather(state.device)]

    def split(self, action: Tensor) -> Tensor:
        """[..., N, A] each agent's slice of joint actions [..., N A]."""
        return action.unflatten(-1, (self.num_agents, self.action_dim))

    def join(self, actions: Tensor) -> Tensor:
        """Inverse of `split`."""
        return actions.flatten(-2)


def observed(state: np.ndarray, agent: int, of: View) -> np.ndarray:
    """[..., O_i] the unpadded observation of one agent."""
    return state[..., list(of.indices[agent])]


def play(batch, act, streams: list[torch.Generator]) -> tuple[np.ndarray, np.ndarray]:
    """One episode in every simulation, from fresh starts: undiscounted returns [W] and lengths [W];
    NaN is the return of a policy that has diverged.

    Args:
        act: observed states [W, D] -> actions [W, U], for all simulations whether they have
            finished or not.
        streams: start states; W / len(streams) episodes each.
    """
    observed = batch.reset(streams)
    returns = np.zeros(batch.worlds)
    running = np.arange(batch.worlds)
    while len(running):
        actions, broken = playable(np.asarray(act(observed))[running])
        which = None if len(running) == batch.worlds else running
        observed[running], rewards, terminated, truncated = batch.step(actions, which)
        returns[running] += np.where(broken, np.nan, rewards)
        over = terminated | truncated
        if over.any():
            running = running[~over]
    return returns, batch.steps.copy()


def playable(actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Actions [W, U] with zeros in the place of those that are not finite, and which [W] these are:
    a member that has diverged must not end the others' program.
    """
    broken = ~np.isfinite(actions).all(1)
    return np.where(broken[:, None], 0, actions), broken


def deploy(batch, act, streams: list[torch.Generator], steps: int) -> dict[str, np.ndarray]:
    """What members experience in exactly `steps` steps each: arrays [M, steps, ...] with the names
    of `ROWS`.

    A member's simulations run side by side, each for an equal number of steps; episodes that end
    are started again. Rows come simulation by simulation, each in order of time; where a simulation
    is cut off its last row is a timeout.

    Args:
        act: observed states [W, D] -> actions [W, U].
        streams: start states, one stream per member; W / M simulations each.
    """
    members = len(streams)
    worlds = batch.worlds // len(streams)
    state = batch.reset(streams)
    columns = []
    for _ in range(-(-steps // worlds)):
        action = np.asarray(act(state))
        following, reward, terminated, truncated = batch.step(action)
        columns.append((state.copy(), action, reward, following.copy(), terminated, truncated))
        over = (terminated | truncated).reshape(members, worlds)
        state = following
        for member in np.flatnonzero(over.any(1)):
            state = batch.restart(np.flatnonzero(over[member]) + member * worlds, [streams[member]])
    stacked = [np.stack(column, axis=1) for column in zip(*columns, strict=True)]  # [W, T, ...]
    stacked[5][:, -1] |= ~stacked[4][:, -1]
    rows: dict[str, np.ndarray] = {}
    for name, values in zip(ROWS, stacked, strict=True):
        values = values.reshape(members, -1, *values.shape[2:])[:, :steps]
        rows[name] = values if values.dtype == bool else values.astype(np.float32)
    rows["timeouts"][:, -1] |= ~rows["terminals"][:, -1]
    return rows


class Team:
    """A population's policies in the simulations of a view's system.

    Args:
        view: what agents observe and do.
        simulate: number of simulations -> a batch.
        device: where policies live; simulations run on the CPU.
    """

    def __init__(self, view: View, simulate, device="cpu"):
        self.view = view
        self.simulate = simulate
        self.device = device
        self.num_agents = view.num_agents
        self.obs_dim = view.obs_dim
        self.action_dim = view.action_dim
        self.batches: dict[int, object] = {}

    def returns(self, act, streams: list[torch.Generator], episodes: int) -> Tensor:
        """[M, episodes] undiscounted returns of whole episodes.

        Args:
            act: policy of the population, obs [M, N, E, O] -> actions [M, N, E, A].
            streams: start states, one stream per member.
        """
        members = len(streams)
        returns, _ = play(self.batch(members * episodes), self.joint(act, members), streams)
        return torch.from_numpy(returns).view(members, episodes)

    def deploy(
        self, act, streams: list[torch.Generator], steps: int, worlds: int
    ) -> dict[str, np.ndarray]:
        """What each member experiences in `steps` steps, in `worlds` simulations side by side, see
        `deploy`; one that has diverged, what zeros do.
        """
        policy = self.joint(act, len(streams))
        batch = self.batch(len(streams) * worlds)
        return deploy(batch, lambda states: playable(policy(states))[0], streams, steps)

    def joint(self, act, members: int):
        """The population's policy as a function from observed states [W, D] to joint actions [W,
        U].
        """

        def joint(states: np.ndarray) -> np.ndarray:
            obs = self.view.observe(
                torch.from_numpy(states.astype(np.float32)).to(self.device)
            )  # [W, N, O]
            actions = act(obs.unflatten(0, (members, -1)).transpose(1, 2).contiguous())
            return self.view.join(actions.transpose(1, 2).flatten(0, 1)).cpu().numpy()

        return joint

    def batch(self, worlds: int):
        """A batch of this size; the last one is kept."""
        if worlds not in self.batches:
            self.batches = {worlds: self.simulate(worlds)}
        return self.batches[worlds]
