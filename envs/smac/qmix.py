"""The policies that collect the battles' data: QMIX (Rashid et al., 2018), trained online on the
batched core.

Agents share one recurrent network (GRU) of their observation, last action and number; a monotone
mixer of the state makes the team's value. Targets are Peng's Q(lambda) of a slowly copied network
with double Q-learning, as fine-tuned SMAC baselines use.

    python -m envs.datasets train-behaviour 3m

Axes: B episodes, T steps, A agents, O observation, D state, U actions, H hidden.
"""

import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from common.learning.episodes import traced_targets
from envs.smac.core import Battles


@dataclass(frozen=True)
class QMIXConfig:
    """Training of one map's team."""

    steps: int = 1_000_000  # battle steps in all
    battles: int = 32
    hidden: int = 64
    mixing: int = 32
    lr: float = 1e-3
    lr_last: float | None = None  # reached in a straight line at the end; None: lr does not change
    gamma: float = 0.99
    trace: float = 0.6
    buffer: int = 2000  # episodes
    batch: int = 64
    updates: int = 2  # after every round of battles
    copy_every: int = 100  # updates between copies to the target
    explore: float = 1.0
    explore_least: float = 0.05
    explore_steps: int = 60_000  # battle steps over which exploration falls
    max_norm: float = 10.0
    judge_explore: float = 0.0  # share of random actions in evaluations
    start: str = ""  # shipped snapshot from which training goes on; else from nothing
    start_rounds: int = 10  # rounds of its battles collected first,
    start_updates: int = 400  # and updates of the mixer alone on them
    seed: int = 0


class Agent(nn.Module):
    """Values of every action of an agent from what it saw so far."""

    def __init__(self, obs_dim: int, agents: int, actions: int, hidden: int):
        super().__init__()
        self.agents = agents
        self.actions = actions
        self.first = nn.Linear(obs_dim + actions + agents, hidden)
        self.memory = nn.GRUCell(hidden, hidden)
        self.last = nn.Linear(hidden, actions)

    def inputs(self, obs: Tensor, last: Tensor) -> Tensor:
        """[..., A, O + U + A] of obs [..., A, O], last actions [..., A] (-1 before the first)."""
        acted = torch.nn.functional.one_hot(last + 1, self.actions + 1)[..., 1:].to(obs.dtype)
        number = torch.eye(self.agents, device=obs.device).expand(*obs.shape[:-1], self.agents)
        return torch.cat([obs, acted, number], -1)

    def forward(self, inputs: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Values [R, U] and the next memory [R, H] of inputs [R, ...]."""
        hidden = self.memory(self.first(inputs).relu(), hidden)
        return self.last(hidden), hidden

    def unroll(self, obs: Tensor, last: Tensor) -> Tensor:
        """[B, T, A, U] values along episodes: obs [B, T, A, O], last actions [B, T, A]."""
        count, steps, agents, _ = obs.shape
        x = self.first(self.inputs(obs, last)).relu()
        hidden = x.new_zeros(count * agents, x.shape[-1])
        memories = []
        for t in range(steps):
            hidden = self.memory(x[:, t].reshape(count * agents, -1), hidden)
            memories.append(hidden)
        return self.last(torch.stack(memories, 1)).view(count, agents, steps, -1).transpose(1, 2)


class MonotoneMixer(nn.Module):
    """The team's value, growing with every agent's: weights are absolute values of functions of the
    state.
    """

    def __init__(self, state_dim: int, agents: int, mixing: int, hidden: int):
        super().__init__()
        self.agents = agents
        self.mixing = mixing
        self.weights = nn.Sequential(
            nn.Linear(state_dim, hidden), nn.ReLU(), nn.Linear(hidden, agents * mixing)
        )
        self.bias = nn.Linear(state_dim, mixing)
        self.weights_2 = nn.Sequential(
            nn.Linear(state_dim, hidden), nn.ReLU(), nn.Linear(hidden, mixing)
        )
        self.bias_2 = nn.Sequential(nn.Linear(state_dim, mixing), nn.ReLU(), nn.Linear(mixing, 1))

    def forward(self, values: Tensor, state: Tensor) -> Tensor:
        """[B, T] of values [B, T, A] and states [B, T, D]."""
        weights = self.weights(state).abs().unflatten(-1, (self.agents, self.mixing))
        hidden = torch.nn.functional.elu(
            (values.unsqueeze(-2) @ weights).squeeze(-2) + self.bias(state)
        )
        return (hidden * self.weights_2(state).abs()).sum(-1) + self.bias_2(state).squeeze(-1)


def lambda_targets(
    reward: Tensor,
    terminated: Tensor,
    filled: Tensor,
    bootstrap: Tensor,
    gamma: float,
    trace: float,
) -> Tensor:
    """[B, T] Peng's Q(lambda) targets.

    Args:
        bootstrap: [B, T + 1] the target network's greedy values; reward, terminated, filled: [B,
            T], filled is 1 where the step happened.
    """
    reward, terminated, filled = (
        torch.nn.functional.pad(column, (0, 1)) for column in (reward, terminated, filled)
    )
    return traced_targets(reward, terminated, filled, bootstrap, gamma, trace)[:, :-1]


class Episodes:
    """Whole episodes, padded to the map's limit; the newest `capacity`."""

    def __init__(self, battles: Battles, capacity: int):
        limit = battles.limit
        agents = battles.agents
        self.capacity = capacity
        self.count = 0
        self.data = {
            "obs": torch.zeros(capacity, limit + 1, agents, battles.obs_dim),
            "state": torch.zeros(capacity, limit + 1, battles.state_dim),
            "available": torch.zeros(
                capacity, limit + 1, agents, battles.n_actions, dtype=torch.bool
            ),
            "action": torch.zeros(capacity, limit, agents, dtype=torch.long),
            "reward": torch.zeros(capacity, limit),
            "terminated": torch.zeros(capacity, limit),
            "filled": torch.zeros(capacity, limit),
        }

    def add(self, episodes: dict[str, Tensor]) -> None:
        """Some episodes, in the layout of `data`."""
        rows = (self.count + torch.arange(len(episodes["reward"]))) % self.capacity
        for name, values in episodes.items():
            self.data[name][rows] = values
        self.count += len(rows)

    def draw(self, size: int, stream: torch.Generator) -> dict[str, Tensor]:
        """A minibatch, cut to its longest episode."""
        rows = torch.randint(min(self.count, self.capacity), (size,), generator=stream)
        longest = int(self.data["filled"][rows].sum(1).max())
        return {
            name: values[rows, : longest + (name in ("obs", "state", "available"))]
            for name, values in self.data.items()
        }


class QMIX:
    """The learner.

    Args:
        battles: of the map, for sizes.
    """

    def __init__(self, battles: Battles, config: QMIXConfig):
        torch.manual_seed(config.seed)
        self.config = config
        self.updates = 0
        sizes = battles.obs_dim, battles.agents, battles.n_actions, config.hidden
        mixer = battles.state_dim, battles.agents, config.mixing, config.hidden
        self.agent = Agent(*sizes)
        self.target_agent = Agent(*sizes)
        self.mixer = MonotoneMixer(*mixer)
        self.target_mixer = MonotoneMixer(*mixer)
        self.copy()
        self.parameters = [*self.agent.parameters(), *self.mixer.parameters()]
        self.adam = torch.optim.Adam(self.parameters, lr=config.lr)

    def copy(self) -> None:
        """Copies the networks to their targets."""
        self.target_agent.load_state_dict(self.agent.state_dict())
        self.target_mixer.load_state_dict(self.mixer.state_dict())

    def update(self, batch: dict[str, Tensor]) -> float:
        """One step on a minibatch of episodes; returns the loss."""
        config = self.config
        action = batch["action"]
        none = torch.full_like(action[:, :1], -1)
        last = torch.cat([none, action], 1)
        filled = batch["filled"]
        free = batch["available"]
        q = self.agent.unroll(batch["obs"], last)  # [B, T + 1, A, U]
        chosen = q[:, :-1].gather(-1, action.unsqueeze(-1)).squeeze(-1)
        with torch.no_grad():
            best = q.masked_fill(~free, -1e9).argmax(-1, keepdim=True)
            greedy = self.target_agent.unroll(batch["obs"], last).gather(-1, best).squeeze(-1)
            bootstrap = self.target_mixer(greedy, batch["state"])
            target = lambda_targets(
                batch["reward"], batch["terminated"], filled, bootstrap, config.gamma, config.trace
            )
        error = (self.mixer(chosen, batch["state"][:, :-1]) - target) * filled
        loss = error.square().sum() / filled.sum()
        self.adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, config.max_norm)
        self.adam.step()
        self.updates += 1
        if self.updates % config.copy_every == 0:
            self.copy()
        return float(loss.detach())


@torch.no_grad()
def play(
    agent: Agent, battles: Battles, explore: float, stream: torch.Generator, record: bool = False
):
    """One episode of every battle.

    Args:
        explore: probability of an agent's uniformly random action.
        record: return the episodes, too.

    Returns:
        returns [B], won [B], and the episodes in the layout of `Episodes.data` (empty without
        `record`).
    """
    battles.reset()
    count = battles.battles
    agents = battles.agents
    hidden = torch.zeros(count * agents, agent.memory.hidden_size)
    last = torch.full((count, agents), -1)
    returns = np.zeros(count)
    episodes = Episodes(battles, count).data if record else {}
    step = 0
    while not battles.over.all():
        obs = torch.from_numpy(battles.obs())
        free = torch.from_numpy(battles.available())
        live = np.flatnonzero(~battles.over)
        values, hidden = agent(agent.inputs(obs, last).flatten(0, 1), hidden)
        values = values.view(count, agents, -1).masked_fill(~free, -torch.inf)
        noise = torch.rand(free.shape, generator=stream).masked_fill(~free, -1.0)
        randomly = torch.rand(count, agents, generator=stream) < explore
        action = torch.where(randomly, noise.argmax(-1), values.argmax(-1))
        if record:
            episodes["obs"][live, step] = obs[live]
            episodes["available"][live, step] = free[live]
            episodes["state"][live, step] = torch.from_numpy(battles.state()[live])
        reward, *_ = battles.step(action.numpy()[live], live)
        returns[live] += reward
        if record:
            episodes["action"][live, step] = action[live]
            episodes["filled"][live, step] = 1.0
            episodes["reward"][live, step] = torch.from_numpy(reward).float()
            # the limit ends a battle like any other end, as in SMAC (continuing_episode off)
            episodes["terminated"][live, step] = torch.from_numpy(battles.over[live]).float()
            episodes["obs"][live, step + 1] = torch.from_numpy(battles.obs()[live])
            episodes["available"][live, step + 1] = torch.from_numpy(battles.available()[live])
            episodes["state"][live, step + 1] = torch.from_numpy(battles.state()[live])
        last = torch.where(torch.from_numpy(battles.over)[:, None], last, action)
        step += 1
    return returns, battles.won.copy(), episodes


def train(
    map_name: str,
    config: QMIXConfig | None = None,
    say=print,
    every: float = 20.0,
    before: Agent | None = None,
):
    """Trains a team online.

    Args:
        before: the agent from which training goes on: the mixer learns alone first, so that its
            random start does not spoil what the agent knows.

    Yields:
        (battle steps so far, win rate over 128 episodes, mean return, the agent) every `every`
        rounds of battles.
    """
    config = config or QMIXConfig()
    battles = Battles(map_name, config.battles, config.seed)
    judge = Battles(map_name, 128, config.seed + 10_000)
    learner = QMIX(battles, config)
    episodes = Episodes(battles, config.buffer)
    stream = torch.Generator().manual_seed(config.seed)
    if before is not None:
        learner.agent.load_state_dict(before.state_dict())
        learner.copy()
    steps = 0
    rounds = 0
    began = time.monotonic()
    while steps < config.steps:
        explore = max(
            config.explore_least,
            config.explore - (config.explore - config.explore_least) * steps / config.explore_steps,
        )
        _, _, played = play(learner.agent, battles, explore, stream, record=True)
        episodes.add(played)
        steps += int(played["filled"].sum())
        rounds += 1
        if before is not None and rounds == config.start_rounds:
            learner.agent.requires_grad_(False)
            for _ in range(config.start_updates):
                learner.update(episodes.draw(config.batch, stream))
            learner.agent.requires_grad_(True)
        warm = before is None or rounds >= config.start_rounds
        if warm and episodes.count >= config.batch:
            if config.lr_last is not None:
                done = min(1.0, steps / config.steps)
                learner.adam.param_groups[0]["lr"] = config.lr + done * (config.lr_last - config.lr)
            for _ in range(config.updates):
                learner.update(episodes.draw(config.batch, stream))
        if rounds % every == 0:
            returns, won, _ = play(learner.agent, judge, config.judge_explore, stream)
            say(
                f"{map_name}: {steps} steps, {learner.updates} updates, "
                f"wins {100 * won.mean():.0f} %, return {returns.mean():.2f}, "
                f"exploration {explore:.2f}, {time.monotonic() - began:.0f} s"
            )
            yield steps, float(won.mean()), float(returns.mean()), learner.agent
