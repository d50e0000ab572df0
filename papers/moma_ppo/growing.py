"""MAIQL with rollouts of its own: in the simulator after the offline phase (MAIQL-ft), or in a
world model (MOMA-IQL).

Axes: M members, N agents, B rollouts side by side, T steps, L history, D state, U joint action.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from common.learning.heads import ACTION_BOUND
from common.learning.philox import Streams
from common.learning.rollouts import observed
from common.running.program import Members, Training
from common.running.sources import resolve
from papers.moma_ppo.sequences import GeneratedRows, HistoryBatch, joined
from papers.moma_ppo.tasks import MODELS, Setting, Simulator
from papers.moma_ppo.training import learner_of


def build(members: Members, device: str) -> Training:
    """The learner on minibatches of the data and of its own rollouts."""
    setting = Setting(members, device)
    learner = learner_of(setting)
    source = METHODS[setting.config["method"]](setting)
    rows = GrowingRows(setting, learner, source)
    return setting.training(
        learner,
        act=learner.act,
        draw=rows.draw,
        total=setting.config["updates"],
        others={"generated": rows.generated, **rows.streams},
        **source.models,
    )


@dataclass(frozen=True)
class Source:
    """Where a learner's own rollouts come from.

    Attributes:
        world: as `common.learning.rollouts` describes.
        scale: of the world's rewards.
        starts: rollouts in a batch.
        first: update before which there are none.
        capacity: rollouts kept.
        real: share of the data's rows in a minibatch, after so many steps in the world.
        models: checksums of world models.
    """

    world: Any
    scale: float
    starts: int
    first: int
    capacity: int
    real: Callable[[int], float]
    models: dict[str, Any] = field(default_factory=dict)


def fine_tuned(setting: Setting) -> Source:
    """MAIQL-ft: one rollout at a time in the simulator; rows are drawn as they come."""
    config = setting.config
    fine_tuning = config["ft_updates"]
    rollouts = -(-fine_tuning // config["rollouts"]["every"])
    steps_in_all = rollouts * config["rollouts"]["length"]
    return Source(
        world=Simulator(config["task"], setting.device),
        scale=setting.reward_scale,
        starts=1,
        first=config["updates"] - fine_tuning,
        capacity=rollouts,
        real=lambda steps: offline_share(steps, steps_in_all),
    )


def offline_share(steps: int, total: int) -> float:
    """Of a minibatch's rows: 1 / (1 + progress), from all to one half at the end of fine-tuning.

    The authors' code has offline rows / (all rows), which is the same where fine-tuning makes as
    many steps as there are offline rows, as in the paper; with fewer steps it would end with hardly
    any online rows, and the paper says that there are as many.
    """
    return 1 / (1 + min(steps / total, 1.0))


def imagined(setting: Setting) -> Source:
    """MOMA-IQL: many rollouts in the world model, penalised as MOReL does."""
    config = setting.config
    own = config["rollouts"]
    models = resolve(MODELS)
    cell = models.model_of(setting.members.cells[0])
    result = models.ensure(cell, setting.device)
    members = len(setting.seeds)
    limit = {"penalty": 0.0, "aleatoric": 0.0, "adaptive": False, "box": False}
    world = models.load_world(cell, result, [limit] * members, setting.device, "least", None)
    weight = torch.full((members,), own["penalty"], device=setting.device)
    world.limits = replace(world.limits, lambda_r=weight, lambda_a=weight)
    return Source(
        world=world,
        scale=setting.reward_scale if config["scaled_model_rewards"] else 1.0,
        starts=own["starts"],
        first=0,
        capacity=own["capacity"],
        real=lambda steps: own["real"],
        models={"world_model": result["model_sha256"]},
    )


METHODS = {"maiql_ft": fine_tuned, "moma_iql": imagined}


class GrowingRows:
    """Minibatches of the data and of rollouts that the learner makes while it learns."""

    def __init__(self, setting: Setting, learner, source: Source):
        self.setting = setting
        self.learner = learner
        self.source = source
        self.every: int = setting.config["rollouts"]["every"]
        self.length: int = setting.config["rollouts"]["length"]
        purposes = ("minibatches", "generated rows", "starts", "actions", "world")
        self.streams = {name: Streams(setting.seeds, name, setting.device) for name in purposes}
        data = setting.data
        self.generated = GeneratedRows(
            len(setting.seeds),
            setting.view,
            data.length,
            data.state_dim,
            self.length,
            source.capacity,
            setting.device,
        )

    def draw(self, done: int) -> HistoryBatch:
        """The minibatch of update number `done`, after a rollout where it is time for one."""
        size = self.setting.config["batch_size"]
        since = done - self.source.first
        if since < 0:
            return self.setting.batch(size, self.streams["minibatches"])
        if since % self.every == 0:
            self.explore()
        steps = (since // self.every + 1) * self.length
        real = min(size - 1, max(1, round(size * self.source.real(steps))))
        return joined(
            self.setting.batch(real, self.streams["minibatches"]),
            self.generated.batch(size - real, self.streams["generated rows"]),
        )

    @torch.no_grad()
    def explore(self) -> None:
        """Rollouts of the sampled policies from states of the data, to be learned from."""
        view = self.setting.view
        data = self.setting.data
        world = self.source.world
        index = data.draw_index(self.source.starts, self.streams["starts"])
        state, history = data.start(index)
        world.reset(state)
        states = [state]
        actions, rewards, ends = [], [], []
        going = torch.ones(state.shape[:2], device=state.device)
        lengths = torch.zeros_like(going)
        for _ in range(self.length):
            obs = observed(view, state)
            noise = self.streams["actions"].normal((*obs.shape[1:3], view.action_dim))
            action = self.learner.act(obs, history, noise).clamp(-ACTION_BOUND, ACTION_BOUND)
            joint = view.join(action.transpose(1, 2))
            outcome = world.step(state, joint, self.streams["world"])
            lengths += going
            going = going * outcome.alive
            actions.append(joint)
            rewards.append(self.source.scale * outcome.reward)
            ends.append(1 - outcome.alive)
            latest = torch.cat([obs, action], -1).unsqueeze(3)
            history = torch.cat([history[:, :, :, 1:], latest], 3)
            state = outcome.state
            states.append(state)
        self.generated.add(
            data.window(index, data.length),
            torch.stack(states, 2),
            torch.stack(actions, 2),
            torch.stack(rewards, 2),
            torch.stack(ends, 2),
            lengths.long(),
        )
