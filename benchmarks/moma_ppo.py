"""Rollouts in a world model: all members and policies at once against a plain loop over both,
transitions per second.

    python benchmarks/moma_ppo.py

Both do the same work: five ensemble members predict state, reward and end for 202 rollouts of 10
steps of each of three teams' policies with memory; uncertainties, clipping and cutting included.
The loop is written as such code usually is: a torch.nn.Sequential for every network, one team and
one member at a time.
"""

import itertools
import time

import torch
from torch import nn

from common.learning.mappo import MAPPO, MAPPOConfig
from common.learning.memory import positions
from common.learning.philox import Streams
from common.learning.rollouts import roll
from common.running.provenance import machine
from envs.mujoco.views import view
from papers.moma_ppo.ensemble import Ensemble, WorldModelConfig
from papers.moma_ppo.world import LearnedWorld, Limits

TEAMS, STARTS, STEPS, REPEATS = 3, 202, 10, 3


def batched(of, config: WorldModelConfig, ppo: MAPPOConfig, state_dim: int):
    """A function that makes all rollouts at once."""
    seeds = list(range(TEAMS))
    joint = of.num_agents * of.action_dim
    ensemble = Ensemble(0, state_dim, joint, config)
    row = {
        "lambda_r": 1.0,
        "lambda_g": 1.0,
        "lambda_a": 0.0,
        "l_clip": 1e9,
        "l_stop": 1e9,
        "box": True,
    }
    high = torch.full((state_dim + 1,), 10.0)
    world = LearnedWorld(ensemble, torch.arange(config.kept), -high, high, Limits.of([row] * TEAMS))
    learner = MAPPO(seeds, of.obs_dims, state_dim, of.action_dim, ppo)
    state = torch.randn(TEAMS, STARTS, state_dim, generator=torch.Generator().manual_seed(0))
    history = torch.zeros(TEAMS, of.num_agents, STARTS, 10, of.obs_dim + of.action_dim)
    streams = Streams(seeds, "actions"), Streams(seeds, "world")
    return lambda: roll(learner, world, of, state, history, STEPS, *streams)


class Encoder(nn.Module):
    """The memory encoder of one agent, plainly."""

    def __init__(self, inputs: int, size: int):
        super().__init__()
        self.embed = nn.Linear(inputs, size)
        self.attention = nn.MultiheadAttention(size, 1, batch_first=True)
        self.norm = nn.LayerNorm(size)
        self.soft = nn.Linear(size, size, bias=False)
        self.query = nn.Parameter(torch.randn(size))

    def forward(self, history):
        x = self.embed(history) + positions(history.shape[1], self.query.shape[0])
        x = self.norm(x + self.attention(x, x, x, need_weights=False)[0])
        weights = torch.softmax(self.soft(x).tanh() @ self.query, dim=1)
        return (weights.unsqueeze(-1) * x).sum(1)


def mlp(*sizes: int) -> nn.Sequential:
    layers = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def looped(of, config: WorldModelConfig, ppo: MAPPOConfig, state_dim: int):
    """A function that makes the same rollouts one team, one agent and one ensemble member at a
    time.
    """
    joint, hidden = of.num_agents * of.action_dim, [config.hidden] * config.layers
    members = [
        (
            mlp(state_dim + joint, *hidden, 2 * state_dim),
            mlp(state_dim + joint, *hidden, 2),
            mlp(state_dim + joint, *[config.hidden] * config.end_layers, 1),
        )
        for _ in range(config.kept)
    ]
    teams = [
        [
            (
                Encoder(dim + of.action_dim, ppo.memory),
                mlp(ppo.memory + dim, ppo.hidden, ppo.hidden, 2 * of.action_dim),
                mlp(ppo.memory + dim, ppo.hidden, ppo.hidden, 1),
            )
            for dim in of.obs_dims
        ]
        for _ in range(TEAMS)
    ]
    start = torch.randn(TEAMS, STARTS, state_dim, generator=torch.Generator().manual_seed(0))

    @torch.no_grad()
    def run():
        for team in range(TEAMS):
            state = start[team]
            history = [torch.zeros(STARTS, 10, dim + of.action_dim) for dim in of.obs_dims]
            for _ in range(STEPS):
                actions = []
                for agent, (encoder, policy, value) in enumerate(teams[team]):
                    obs = state[:, list(of.indices[agent])]
                    features = torch.cat([encoder(history[agent]), obs], -1)
                    mean, log_std = policy(features).chunk(2, -1)
                    action = mean + log_std.clamp(-6, 0).exp() * torch.randn_like(mean)
                    torch.distributions.Normal(mean, log_std.clamp(-6, 0).exp()).log_prob(
                        action
                    ).sum(-1)
                    value(features)
                    actions.append(action.clamp(-1, 1))
                    history[agent] = torch.cat(
                        [history[agent][:, 1:], torch.cat([obs, actions[-1]], -1).unsqueeze(1)], 1
                    )
                x = torch.cat([state, *actions], -1)
                said = [
                    (t(x).chunk(2, -1)[0], r(x).chunk(2, -1)[0], e(x).sigmoid())
                    for t, r, e in members
                ]
                states = torch.stack([s for s, _, _ in said])
                rewards = torch.stack([r for _, r, _ in said])
                both = torch.cat([states, rewards], -1)
                centred = both - both.mean(0)
                (torch.einsum("ebi,ebj->bij", centred, centred) / 4).flatten(1).norm(dim=1)
                rewards.var(0)
                drawn = torch.randint(len(members), (STARTS,))
                state = states[drawn, torch.arange(STARTS)].clamp(-10, 10)

    return run


def rate(make) -> float:
    """Transitions per second, of the best of several turns."""
    make()
    seconds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        make()
        seconds.append(time.perf_counter() - began)
    return TEAMS * STARTS * STEPS / min(seconds)


def main() -> None:
    torch.set_num_threads(1)
    host = machine("cpu")
    print(f"{host['processor']}, {host['cores']} cores, one thread, kernels {host['kernels']}")
    small = WorldModelConfig(hidden=128, layers=2), MAPPOConfig(hidden=64, memory=16)
    full = WorldModelConfig(), MAPPOConfig()
    for name, (config, ppo) in {"quick's sizes": small, "the paper's sizes": full}.items():
        for robot, of in (
            ("reacher", view("reacher", "leader_only")),
            ("ant", view("ant", "po_aligned")),
        ):
            dims = 11 if robot == "reacher" else 27
            fast, slow = rate(batched(of, config, ppo, dims)), rate(looped(of, config, ppo, dims))
            print(f"{name}, {robot}: batched {fast:,.0f} transitions/s, loop {slow:,.0f},", end=" ")
            print(f"{fast / slow:.1f} times as many")


if __name__ == "__main__":
    main()
