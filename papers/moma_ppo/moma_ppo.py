"""MOMA-PPO (Barde et al., 2023): MAPPO on rollouts in a world model from states of the data
(Algorithm 1).

The world model is in ensemble.py and world.py, MAPPO in common/learning/mappo.py.

Axes: M members, N agents, B rollouts side by side, T steps, D state.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from common.learning.mappo import MAPPO
from common.learning.philox import Streams
from common.learning.rollouts import Rollouts, experience, roll
from common.running.program import Members, Training
from envs.lockstep import View
from papers.moma_ppo import models, tasks
from papers.moma_ppo.audit import Audit
from papers.moma_ppo.limits import GAME_LIMITS, LIMITS, VARIANTS, Cut
from papers.moma_ppo.tasks import Setting, Simulator
from papers.moma_ppo.training import learner_of

# Rounds of rollouts after an epoch's first are shorter by this: what rollouts that were cut lack is
# little
LATER = 4


def build(members: Members, device: str) -> Training:
    """MOMA-PPO: epochs of rollouts from states of the data, and of MAPPO on them (Algorithm 1)."""
    setting = Setting(members, device)
    world, checksums = world_of(setting)
    learner = MOMAPPO(setting, largest_value(setting))
    return setting.training(
        learner,
        act=learner.mappo.act,
        draw=lambda done: imagine(setting, learner.mappo, world, done),
        total=setting.config["epochs"],
        others={},
        audit=Audit(setting, world, learner.mappo),
        **checksums,
    )


def largest_value(setting: Setting) -> float:
    """Largest value that a state can have: the largest reward of the data for ever."""
    gamma = setting.config["hyper"]["gamma"]
    return float(setting.data.reward.max()) / (1 - gamma)


def world_of(setting: Setting) -> tuple[Any, dict[str, str]]:
    """Where MOMA-PPO's rollouts are made, and the checksums of what it was loaded from."""
    config = setting.config
    if config["world"] == "simulator":
        return Simulator(config["task"], setting.device), {}
    usual: dict = GAME_LIMITS if tasks.is_game(config) else LIMITS
    limits = [usual | VARIANTS[one["variant"]] for one in setting.members.configs]
    cell = models.model_of(setting.members.cells[0])
    result = models.ensure(cell, setting.device)
    copies = None
    if config["uncertainty"] == "released":
        copies = copies_of(setting.view, setting.data.state_dim).to(setting.device)
    read = (config["combine"], copies, config["inference"], config["l_eps"])
    world = models.load_world(cell, result, limits, setting.device, *read)
    return world, {"world_model": result["model_sha256"]}


@dataclass(frozen=True)
class Epoch:
    """Rollouts enough for an epoch of every member, and streams for its minibatches."""

    rounds: list[Rollouts]
    order: Streams


def imagine(setting: Setting, mappo: MAPPO, world, epoch: int) -> Epoch:
    """At least `transitions` steps of every member.

    Streams are keyed by epoch and round of rollouts, so that neither rollouts made for a member
    whose others still lack steps nor longer ones of its neighbours change anything for it.
    """
    config = setting.config
    steps = config["length"]
    count = config["transitions"] // steps + 2

    def streams(name: str) -> Streams:
        return Streams(setting.seeds, name, setting.device)

    rounds: list[Rollouts] = []
    have = torch.zeros(len(setting.seeds), device=setting.device)
    while have.min() < config["transitions"]:
        turn = f"{epoch}/{len(rounds)}"
        many = math.ceil(count / LATER) if rounds else count
        index = setting.data.draw_index(many, streams(f"starts/{turn}"))
        state, history = setting.data.start(index)
        actions = streams(f"actions/{turn}")
        of_world = streams(f"world/{turn}")
        rolled = roll(mappo, world, setting.view, state, history, steps, actions, of_world)
        scaled = replace(rolled, reward=setting.reward_scale * rolled.reward)
        rounds.append(cut_as(scaled, config["cut"]))
        have += rounds[-1].valid.flatten(1).sum(1)
    return Epoch(rounds, streams(f"order/{epoch}"))


def cut_as(rollouts: Rollouts, reading: Cut) -> Rollouts:
    """Rollouts with what is behind steps that uncertainty cut, see `limits.Cut`."""
    if reading == "next" or "cut" not in rollouts.facts:
        return rollouts
    cut = rollouts.facts["cut"].bool()
    if reading == "last":
        behind = torch.where(cut, rollouts.value, rollouts.next_value)
        return replace(rollouts, next_value=behind)
    return replace(rollouts, alive=rollouts.alive * ~cut)


class MOMAPPO:
    """MAPPO on rollouts in the world model; reports how these went.

    Args:
        largest: value that a state can have.
    """

    def __init__(self, setting: Setting, largest: float):
        self.setting = setting
        self.largest = largest
        self.mappo = learner_of(setting)

    def update(self, epoch: Epoch) -> dict[str, Tensor]:
        """MAPPO's passes over `transitions` steps of every member."""
        setting = self.setting
        hyper = self.mappo.config
        steps = experience(
            setting.view,
            epoch.rounds,
            setting.config["transitions"],
            setting.data.length,
            hyper.gamma,
            hyper.gae_lambda,
        )
        learned = self.mappo.update(steps, epoch.order)
        return learned | how_it_went(epoch.rounds[0], setting.reward_scale, self.largest)

    def state_dict(self) -> dict:
        return self.mappo.state_dict()

    def load_state_dict(self, state: dict) -> None:
        self.mappo.load_state_dict(state)


def how_it_went(rollouts: Rollouts, scale: float, largest: float) -> dict[str, Tensor]:
    """[M] mean length of rollouts and the share of them that uncertainty ended; means over their
    steps of uncertainty, penalty and reward; values, on average and at most, as shares of the
    largest that a state can have.

    Args:
        scale: of rewards in them.
    """
    valid = rollouts.valid.float()
    steps = valid.sum((1, 2))
    means: dict[str, Tensor] = {
        name: (rollouts.facts[name].nan_to_num() * valid).sum((1, 2)) / steps
        for name in ("eps_g", "penalty", "size", "cut")
        if name in rollouts.facts
    }
    reward = (rollouts.reward * valid).sum((1, 2)) / steps / scale
    value = (rollouts.value * valid).sum((1, 2)) / steps / largest
    top = rollouts.value.masked_fill(~rollouts.valid, -torch.inf).amax((1, 2)) / largest
    values = {"model_reward": reward, "value_share": value, "top_value_share": top}
    length = steps / valid.shape[2]
    if "cut" in means:
        means["cut_rollouts"] = means["cut"] * length  # a rollout is cut once at most
    return {"length": length} | means | values


def copies_of(view: View, state_dim: int) -> torch.Tensor:
    """[D + 1] how often agents together observe each number of the state, and the reward: the
    released code's eps_g.
    """
    counts = torch.zeros(state_dim + 1)
    for index in view.indices:
        counts[list(index)] += 1
    counts[-1] = view.num_agents
    return counts
