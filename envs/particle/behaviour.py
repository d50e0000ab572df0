"""The policies that collect data in the particle worlds: MATD3 teams trained online, and the prey
they chase.

The learner is in `envs.matd3`. Settings follow maddpg-pytorch, the framework OMAR extends: batches
of 1024, 64-64 networks with a BatchNorm input, Adam at 0.01, gamma 0.95, rewards standardised by
the buffer's moments, exploration noise from 0.3 to 0 over training. Ours collect 400 environment
steps per round and update twice, which learns faster per second than 100 and once.

Two stages where there is a prey: predators and prey are trained together, and the prey of that run
is frozen; then five teams of predators are trained against the frozen prey, from nothing. All five
are one population.
"""

import json
import math
import platform
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy
import torch
from safetensors.torch import save_file
from torch import Tensor

from common.learning.networks import Actors, apply_mlp
from common.learning.population import Generators, Parameters, generators, normal_, uniform_
from envs.matd3 import MATD3, MATD3Config
from envs.particle.batch import ParticleBatch, Team, by_member, by_world, episode_returns
from envs.particle.scenarios import EPISODE_STEPS, SCENARIOS
from envs.shipped import read_card, read_weights


@dataclass(frozen=True)
class BehaviourConfig(MATD3Config):
    """Online training of behaviour policies."""

    rounds: int = 1200  # collection rounds of worlds x 25 steps
    worlds: int = 16  # episodes stepped together between two updates, per member
    updates_per_round: int = 2
    exploration: float = 0.3  # standard deviation of the action noise at the start, 0 at the end
    noise_memory: float = (
        0.85  # correlation of the action noise from one step to the next, as in OU noise
    )


class Everybody:
    """All agents of a scenario as learners, the prey included: the first stage."""

    def __init__(self, task: str, device="cpu"):
        self.worlds = ParticleBatch(SCENARIOS[task], device)
        self.obs_dims = self.worlds.scenario.obs_dims
        self.num_agents = self.worlds.num_agents
        self.action_dim = self.worlds.dims
        self.reset = self.worlds.reset
        self.step = self.worlds.step


def replay_buffers(env, obs_dim: int, config: BehaviourConfig, rounds: list[int]) -> list[Tensor]:
    """Empty buffers [R, N, F] for the transitions of these many rounds: observation, action,
    reward, next observation.
    """
    width = 2 * obs_dim + env.action_dim + 1
    return [
        torch.empty(last * config.worlds * EPISODE_STEPS, env.num_agents, width) for last in rounds
    ]


def train(
    env,
    obs_dims,
    seeds: list[int],
    config: BehaviourConfig,
    purpose: str,
    rounds=None,
    buffers=None,
):
    """Trains a population online; yields (round, learner, transitions of the round) after every
    update round.

    Transitions are the `worlds x 25` new rows of each member: obs [M, N, R, O], action, reward,
    next_obs, with episodes as contiguous blocks of 25 rows.

    Args:
        env: `Team` or `Everybody`.
        rounds: [members] where each stops early, without changing the noise schedule. A member
            leaves the population after its last round: M is the number of those that go on.
        buffers: [members] tensors that are filled with each member's transitions, see
            `replay_buffers`; made if None.
    """
    rounds = rounds or [config.rounds] * len(seeds)
    learner = MATD3(seeds, obs_dims, env.action_dim, config, purpose)
    starts = generators(seeds, f"{purpose}/starts")
    explore = generators(seeds, f"{purpose}/exploration")
    minibatches = generators(seeds, f"{purpose}/minibatches")
    padded = max(obs_dims)
    sizes = [padded, env.action_dim, 1, padded]
    buffers = replay_buffers(env, padded, config, rounds) if buffers is None else buffers
    # and the sums of rewards: they are standardised over the whole buffer
    rows = 0
    total: Tensor | Any = 0.0  # then [M, N]
    squares: Tensor | Any = 0.0
    for round_index in range(1, max(rounds) + 1):
        stay = [m for m, last in enumerate(rounds) if last >= round_index]
        if len(stay) < len(rounds):
            learner = learner.keep(stay)
            total = total[stay]
            squares = squares[stay]
            rounds = [rounds[m] for m in stay]
            buffers = [buffers[m] for m in stay]
            starts, explore, minibatches = (
                Generators(streams[m] for m in stay) for streams in (starts, explore, minibatches)
            )
        members = len(rounds)
        obs = by_member(env.reset(starts, config.worlds), members)
        scale = config.exploration * (1 - round_index / config.rounds)
        steps = []
        noise: Tensor | Any = 0.0  # then [M, N, W, A]
        for step in range(EPISODE_STEPS):
            action = learner.actors.act(obs)
            fresh = normal_(torch.empty_like(action), explore)
            memory = config.noise_memory if step else 0.0
            noise = memory * noise + math.sqrt(1 - memory**2) * fresh
            action = (action + scale * noise).clamp_(-1, 1)
            next_obs, reward = env.step(by_world(action))
            next_obs = by_member(next_obs, members)
            reward = by_member(reward, members)
            steps.append(torch.cat([obs, action, reward.unsqueeze(-1), next_obs], dim=-1))
            obs = next_obs
        new = torch.stack(steps, dim=3).flatten(2, 3)  # [M, N, worlds * 25, F], episode by episode
        for buffer, member in zip(buffers, new, strict=True):
            buffer[rows : rows + new.shape[2]] = member.transpose(0, 1)
        rows += new.shape[2]
        rewards = new[..., -1 - padded].double()  # [M, N, R]
        total = total + rewards.sum(-1)
        squares = squares + rewards.square().sum(-1)
        mean = (total / rows).unsqueeze(-1)
        std = ((squares / rows).unsqueeze(-1) - mean.square()).sqrt()
        for _ in range(config.updates_per_round if rows >= config.batch_size else 0):
            index = torch.stack(
                [torch.randint(rows, (config.batch_size,), generator=g) for g in minibatches]
            )
            batch = torch.stack(
                [member[i] for member, i in zip(buffers, index, strict=True)]
            )  # [M, B, N, F]
            obs_b, action_b, reward_b, next_b = batch.transpose(1, 2).split(sizes, dim=-1)
            reward_b = ((reward_b.squeeze(-1) - mean) / std).float()
            learner.update(
                obs_b.contiguous(),
                action_b.contiguous(),
                reward_b.contiguous(),
                next_b.contiguous(),
            )
        yield round_index, learner, new


LEVELS = {
    "cooperative_navigation": 0.32,
    "predator_prey": 0.64,
    "world": 0.84,
}  # of the way from random to expert
DEFAULT_LEVEL = 0.32
ROUNDS = {
    "cooperative_navigation": 1200,
    "predator_prey": 1000,
    "world": 1000,
    "spread_1d_4": 1500,
    "spread_1d_5": 1500,
}
LINE_ROUNDS = 400  # of a smaller team on the line
PREY_ROUNDS = 200  # the prey stops early, or no team would ever touch it
SEEDS = [0, 1, 2, 3, 4]
DATA_NOISE = 0.1  # standard deviation of the action noise of medium and expert data
EVALUATE_EVERY = 25  # rounds
POLICIES = Path(__file__).parent / "policies"


def noisy(act, streams: list[torch.Generator], std: float = DATA_NOISE):
    """Policy act with Gaussian action noise, one stream per member; actions stay in [-1, 1]."""

    def noisy_act(obs: Tensor) -> Tensor:
        action = act(obs)
        return (action + std * normal_(torch.empty_like(action), streams)).clamp_(-1, 1)

    return noisy_act


def uniform_policy(streams: list[torch.Generator], action_dim: int):
    """Uniform random actions in [-1, 1]."""

    def act(obs: Tensor) -> Tensor:
        return uniform_(torch.empty(*obs.shape[:-1], action_dim), streams)

    return act


def policy_path(task: str, quality: str) -> Path:
    """Weights of `quality` ("medium", "expert", "prey") of a task."""
    return POLICIES / task / f"{quality}.safetensors"


def card(task: str) -> dict:
    """What is known about a task's behaviour policies, see `train_team`."""
    return read_card(POLICIES, task)


def save_policy(path: Path, actors: Actors, state: dict) -> None:
    """Writes the named tensors of one snapshot as safetensors."""
    actors.load_state_dict(state)
    tensors = {name: tensor.detach().contiguous() for name, tensor in actors.params.tensors.items()}
    running = actors.running
    if running is None:
        raise ValueError("these actors keep no running moments, which a policy ships with")
    tensors |= {"running_mean": running.mean, "running_variance": running.variance}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.clone() for name, tensor in tensors.items()}, path)


def load_policy(task: str, quality: str, device="cpu"):
    """The frozen policy of five seeds: obs [5, N, E, O] -> actions [5, N, E, A]; [1, 1, ...] for
    the prey.
    """
    tensors = read_weights(policy_path(task, quality), device)
    running = (tensors.pop("running_mean"), tensors.pop("running_variance"))
    params = Parameters(tensors, trainable=False)

    def act(obs: Tensor) -> Tensor:
        return apply_mlp(params, obs, running).tanh()

    return act


def load_team(task: str, device="cpu") -> Team:
    """The task with its frozen prey, if it has one."""
    scenario = SCENARIOS[task]
    prey = load_policy(task, "prey", device) if scenario.learners < scenario.num_agents else None
    return Team(task, prey, device)


def train_prey(task: str, config: BehaviourConfig, say=print) -> None:
    """First stage: predators and prey together, one seed; the prey of the last round is kept."""
    env = Everybody(task)
    for round_index, learner, _ in train(env, env.obs_dims, [0], config, f"{task}/prey"):
        if round_index % (4 * EVALUATE_EVERY) == 0:
            returns = episode_returns(
                Everybody(task), learner.actors.act, generators([0], f"{task}/prey/eval"), 200
            )
            shown = [round(one, 1) for one in returns.mean((0, 2)).tolist()]
            say(f"{task} prey: round {round_index}, returns {shown}")
    actors = learner.actors
    prey_dim = env.obs_dims[-1]
    tensors = {}
    for name, tensor in actors.params.tensors.items():
        last = tensor.detach()[:, -1:]
        first_axis = name in ("w1", "norm_weight", "norm_bias")
        tensors[name] = (last[:, :, :prey_dim] if first_axis else last).clone()
    tensors["running_mean"] = actors.running.mean[:, -1:, :prey_dim].clone()
    tensors["running_variance"] = actors.running.variance[:, -1:, :prey_dim].clone()
    path = policy_path(task, "prey")
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path)


def train_team(task: str, config: BehaviourConfig, say=print) -> dict:
    """Second stage: five teams; keeps the first snapshot at the medium level and the last one,
    writes the card.

    The medium level is a share of the way from uniform random actions to the last policy, both with
    the data's action noise; the shares are those of the released data (`LEVELS`).
    """
    env = load_team(task)
    obs_dims = [env.obs_dim] * env.num_agents
    snapshots = []
    scores = []
    rounds = []
    for round_index, learner, _ in train(env, obs_dims, SEEDS, config, task):
        if round_index % EVALUATE_EVERY == 0:
            act = noisy(learner.actors.act, generators(SEEDS, f"{task}/eval noise"))
            scores.append(
                load_team(task).returns(act, generators(SEEDS, f"{task}/eval"), 40).mean(1)
            )
            rounds.append(round_index)
            snapshots.append(
                {key: value.clone() for key, value in learner.actors.state_dict().items()}
            )
            if len(rounds) % 4 == 0:
                shown = [round(one, 1) for one in scores[-1].tolist()]
                say(f"{task}: round {round_index}/{config.rounds}, returns {shown}")
    curve = torch.stack(scores)  # [snapshots, M]
    random_act = uniform_policy(generators(SEEDS, f"{task}/random"), env.action_dim)
    random_return = env.returns(random_act, generators(SEEDS, f"{task}/random starts"), 2000).mean()
    expert_return = curve[-4:].mean(0)  # the last four snapshots: less noise than one
    level = random_return + LEVELS.get(task, DEFAULT_LEVEL) * (expert_return - random_return)
    reached = (curve >= level).float().argmax(0)  # [M] first snapshot at the level
    chosen = {"medium": reached, "expert": torch.full_like(reached, len(rounds) - 1)}
    facts: dict[str, Any] = {}
    for quality, index in chosen.items():
        picks = [snapshots[i] for i in index.tolist()]
        state = {
            key: torch.stack([pick[key][m] for m, pick in enumerate(picks)]) for key in snapshots[0]
        }
        save_policy(policy_path(task, quality), learner.actors, state)
        act = noisy(load_policy(task, quality), generators(SEEDS, f"{task}/card noise"))
        returns = env.returns(act, generators(SEEDS, f"{task}/card"), 1000)
        facts[quality] = {
            "rounds": [rounds[i] for i in index.tolist()],
            "return_mean": [round(x, 2) for x in returns.mean(1).tolist()],
            "return_sd": [round(x, 2) for x in returns.std(1).tolist()],
        }
    facts |= {
        "task": task,
        "algorithm": "MATD3",
        "config": asdict(config),
        "seeds": SEEDS,
        "data_noise": DATA_NOISE,
        "random_return": round(float(random_return), 2),
        "medium_level": [round(x, 2) for x in level.tolist()],
        "curve_rounds": rounds,
        "curve": [[round(x, 1) for x in row] for row in curve.tolist()],
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": numpy.__version__,
        },
    }
    (POLICIES / task / "card.json").write_text(json.dumps(facts, indent=1) + "\n")
    return facts


def train_behaviour(task: str, config: BehaviourConfig | None = None, say=print) -> dict:
    """Trains and ships everything a task needs, from nothing."""
    if config is None:
        config = BehaviourConfig(rounds=ROUNDS.get(task, LINE_ROUNDS))
    if SCENARIOS[task].learners < SCENARIOS[task].num_agents:
        train_prey(task, replace(config, rounds=PREY_ROUNDS), say)
    return train_team(task, config, say)
