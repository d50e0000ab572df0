"""What greedy teams earn in the world model and, from the same states, in the simulator.

The paper's claim is that the model is good enough to learn in, and this is the quantity it is
about. It is for people: nothing is chosen by it.

Axes: M members, N agents, B rollouts side by side, T steps, L history.
"""

import copy
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from common.learning.heads import ACTION_BOUND
from common.learning.mappo import MAPPO
from common.learning.philox import Streams
from common.learning.rollouts import World, observed
from papers.moma_ppo import tasks
from papers.moma_ppo.tasks import Setting, Simulator
from papers.moma_ppo.world import LearnedWorld

STEPS = (10, 50)


class Audit:
    """Rewards a step that present teams earn in the model and in the simulator.

    Args:
        world: that they learn in.
    """

    def __init__(self, setting: Setting, world: World, mappo: MAPPO):
        self.setting = setting
        self.mappo = mappo
        self.worlds: dict[str, World] = {}
        if isinstance(world, LearnedWorld) and not tasks.is_game(setting.config):
            self.worlds["imagined"] = without_limits(world)
            self.worlds["true"] = Simulator(setting.config["task"], setting.device)

    def __call__(self) -> dict[str, list]:
        """Lists [M]: "imagined_10", "true_10", ..., means over the first 10, ... steps, where those
        after an end count as 0; "upright_10", ..., share of teams whose episode has not ended then.
        Nothing of the game, or where the simulator itself is learned in.
        """
        setting = self.setting
        if not self.worlds:
            return {}
        index = setting.data.draw_index(
            setting.config["followed"], Streams(setting.seeds, "audit", setting.device)
        )
        state, history = setting.data.start(index)
        measured = {}
        for name, world in self.worlds.items():
            streams = Streams(setting.seeds, "audit/world", setting.device)
            rewards, alive = followed(
                self.mappo.act, world, setting.view, state, history, max(STEPS), streams
            )
            for steps in STEPS:
                measured[f"{name}_{steps}"] = rewards[:steps].mean((0, 2)).tolist()
                if name == "true":
                    measured[f"upright_{steps}"] = alive[steps - 1].mean(1).tolist()
        return measured


def without_limits(world: LearnedWorld) -> LearnedWorld:
    """The same world without penalties and cuts."""
    free = copy.copy(world)
    none = torch.zeros_like(world.limits.lambda_r)
    free.limits = replace(
        world.limits, lambda_r=none, lambda_g=none, lambda_a=none, l_stop=none + torch.inf
    )
    return free


@torch.no_grad()
def followed(
    act: Callable[[Tensor, Tensor], Tensor],
    world: World,
    view,
    state: Tensor,
    history: Tensor,
    steps: int,
    streams: Streams,
) -> tuple[Tensor, Tensor]:
    """Rewards [T, M, B] of greedy teams, 0 after an episode's end, and whether it had not ended
    after each step, 1 or 0.

    Args:
        act: obs [M, N, B, O], history [M, N, B, L, I] -> actions [M, N, B, A].
        state: starts [M, B, D]; history: what came before them.
    """
    world.reset(state)
    going = torch.ones(state.shape[:2], device=state.device)
    rewards, alive = [], []
    for _ in range(steps):
        obs = observed(view, state)
        action = act(obs, history).clamp(-ACTION_BOUND, ACTION_BOUND)
        outcome = world.step(state, view.join(action.transpose(1, 2)), streams)
        rewards.append(outcome.reward * going)
        going = going * outcome.alive
        alive.append(going)
        latest = torch.cat([obs, action], -1).unsqueeze(3)
        history = torch.cat([history[:, :, :, 1:], latest], 3)
        state = outcome.state
    return torch.stack(rewards), torch.stack(alive)
