"""The policies that collect data in the particle worlds: MATD3 teams trained online, and the prey
they chase.

The learner is in `envs.matd3`. Settings follow maddpg-pytorch, the framework OMAR extends: batches
of 1024, 64-64 networks with a BatchNorm input, Adam at 0.01, gamma 0.95, rewards standardised by
the buffer's moments, exploration noise from 0.3 to 0 over 25,000 episodes. It updates once after
every 100 environment steps; ours collect 400 together and update four times.

Two stages where there is a prey: predators and prey are trained together, and the prey of that run
is frozen; then five teams of predators are trained against the frozen prey, from nothing. All five
are one population.
"""

import math
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
from safetensors.torch import save_file
from torch import Tensor

from common.learning.networks import Actors, apply_mlp
from common.learning.population import Generators, Parameters, generators, normal_, uniform_
from common.running.files import write_json
from envs.matd3 import MATD3, MATD3Config
from envs.particle.batch import ParticleBatch, Team, by_member, by_world
from envs.particle.scenarios import EPISODE_STEPS, SCENARIOS
from envs.released import beside, table
from envs.shipped import read_card, read_weights


@dataclass(frozen=True)
class BehaviourConfig(MATD3Config):
    """Online training of behaviour policies."""

    rounds: int = 1560  # of worlds x 25 steps: 624,000 steps, as the template's 25,000 episodes
    worlds: int = 16  # episodes stepped together between two updates, per member
    updates_per_round: int = 4
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


SEEDS = [0, 1, 2, 3, 4]
DATA_NOISE = 0.1  # standard deviation of the action noise of medium and expert data
OTHER_NOISE = (0.3,)
MEDIUM_LEVEL = 0.32  # of the line, of which nothing is released: navigation's, by OMAR's constants
EARLY_LEVEL = 0.7  # of "early" on navigation, a weaker expert to compare with
EARLY_TASK = "cooperative_navigation"
# Up to three agents on the line learn faster: after a third of the template's rounds their curves
# (on the cards) are flat, and medium is passed within a few rounds
FEW = ("spread_1d_1", "spread_1d_2", "spread_1d_3")
FEW_ROUNDS = 520
EVALUATE_EVERY = 2  # rounds between snapshots
FEW_EVALUATE_EVERY = 1
EVALUATION_EPISODES = 40
SAY_EVERY = 50  # snapshots
CURVE_POINTS = 100  # at most, on the card
NEIGHBOURS = 10  # snapshots on either side, among which one is chosen by more episodes
CHOICE_EPISODES = 400
CARD_EPISODES = 1000
# Of the joint training, at which uniform predators and predators trained against that prey both
# return about what the released ones do. Later prey run from everybody: against the prey of round
# 600 of predator-prey, teams stand at 101 to 113 after 960 rounds, where those against the prey of
# round 210 stand at 122 and 186 (released expert 208); against round 1560 of world they stand at 42
# to 59 after 720, against round 600 at 79 and 81 (released expert 85).
PREY_ROUNDS = {"predator_prey": 210, "world": 600}
PREY_EVERY = 30  # rounds
PREY_EPISODES = 3000
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


def save_policy(path: Path, state: dict[str, Tensor]) -> None:
    """Writes a team's tensors as safetensors in half precision; data are played by what is read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.half().contiguous() for name, tensor in state.items()}, path)


def tensors_of(actors: Actors) -> dict[str, Tensor]:
    """Copies of the tensors that a policy ships with, by name, [M, N, ...]."""
    if actors.running is None:
        raise ValueError("these actors keep no running moments, which a policy ships with")
    moments = {"running_mean": actors.running.mean, "running_variance": actors.running.variance}
    return {
        name: tensor.detach().clone() for name, tensor in (actors.params.tensors | moments).items()
    }


def playing(tensors: dict[str, Tensor]):
    """The policy of some tensors: obs [M, N, E, O] -> actions [M, N, E, A]."""
    rest = dict(tensors)
    running = (rest.pop("running_mean"), rest.pop("running_variance"))
    params = Parameters(rest, trainable=False)

    def act(obs: Tensor) -> Tensor:
        return apply_mlp(params, obs, running).tanh()

    return act


def load_policy(task: str, quality: str, device="cpu", sharpness: float = 1.0):
    """The frozen policy of five seeds: obs [5, N, E, O] -> actions [5, N, E, A]; [1, 1, ...] for
    the prey.

    Args:
        sharpness: factor on the outputs before their tanh; 4 makes most actions -1 or 1.
    """
    tensors = {
        name: tensor.float()
        for name, tensor in read_weights(policy_path(task, quality), device).items()
    }
    for name in ("w3", "b3"):
        tensors[name] = sharpness * tensors[name]
    return playing(tensors)


def load_team(task: str, device="cpu") -> Team:
    """The task with its frozen prey, if it has one."""
    scenario = SCENARIOS[task]
    prey = load_policy(task, "prey", device) if scenario.learners < scenario.num_agents else None
    return Team(task, prey, device)


def train_prey(task: str, config: BehaviourConfig, say=print) -> dict:
    """First stage: predators and prey together, one seed; the prey is taken at `PREY_ROUNDS`.

    Returns what the card says about it.
    """
    env = Everybody(task)
    curve = []
    last = min(PREY_ROUNDS[task], config.rounds)
    for round_index, learner, _ in train(env, env.obs_dims, [0], config, f"{task}/prey", [last]):
        if round_index % PREY_EVERY and round_index != last:
            continue
        prey = prey_of(tensors_of(learner.actors), env.obs_dims[-1])
        returns = random_returns(Team(task, playing(prey)), [0], PREY_EPISODES)
        mean, sd = float(returns.mean()), float(returns.std())
        curve.append([round_index, round(mean, 2), round(sd, 2)])
        say(f"{task} prey: round {round_index}, uniform predators return {mean:.2f} +- {sd:.2f}")
    save_policy(policy_path(task, "prey"), prey)
    return {"round": last, "random_return_mean_sd": curve}


def prey_of(tensors: dict[str, Tensor], obs_dim: int) -> dict[str, Tensor]:
    """The last agent's part of a team's tensors, whose observation has `obs_dim` numbers."""
    padded = ("w1", "norm_weight", "norm_bias", "running_mean", "running_variance")
    rows = {name: 2 if name == "w1" else -1 for name in padded}
    last = {name: tensor[:, -1:] for name, tensor in tensors.items()}
    return {
        name: tensor.narrow(rows[name], 0, obs_dim) if name in rows else tensor
        for name, tensor in last.items()
    }


def random_returns(team: Team, seeds: list[int], episodes: int) -> Tensor:
    """[M, episodes] returns of uniform random actions."""
    act = uniform_policy(generators(seeds, "uniform"), team.action_dim)
    return team.returns(act, generators(seeds, "uniform starts"), episodes)


def train_team(task: str, config: BehaviourConfig, say=print) -> dict:
    """Second stage: five teams, of which `pick` chooses medium and early; expert is the last.

    Returns what the card says, and writes the policies.
    """
    env = load_team(task)
    obs_dims = [env.obs_dim] * env.num_agents
    snapshots: list[dict[str, Tensor]] = []
    rounds: list[int] = []
    scores: list[Tensor] = []
    every = FEW_EVALUATE_EVERY if task in FEW else EVALUATE_EVERY
    for round_index, learner, _ in train(env, obs_dims, SEEDS, config, task):
        if round_index % every:
            continue
        snapshots.append(tensors_of(learner.actors))
        rounds.append(round_index)
        scores.append(evaluate(task, snapshots[-1], EVALUATION_EPISODES, "eval").mean(1))
        if len(rounds) % SAY_EVERY == 0:
            shown = [round(one, 1) for one in scores[-1].tolist()]
            say(f"{task}: round {round_index}/{config.rounds}, returns {shown}")
    curve = torch.stack(scores)  # [snapshots, M]
    random_return = float(random_returns(env, SEEDS, 2 * CARD_EPISODES).mean())
    expert_return = curve[-20:].mean(0)  # [M], less noise than one snapshot's
    chosen = {"expert": [len(rounds) - 1] * len(SEEDS)}
    facts: dict[str, Any] = {}
    for name in ("medium", "early") if task == EARLY_TASK else ("medium",):
        target = random_return + level(task, name) * (expert_return - random_return)
        chosen[name] = pick(task, snapshots, curve, target)
        facts[f"{name}_target"] = [round(x, 2) for x in target.tolist()]
    for quality, index in chosen.items():
        team = {
            name: torch.stack([snapshots[i][name][m] for m, i in enumerate(index)])
            for name in snapshots[0]
        }
        save_policy(policy_path(task, quality), team)
        by_noise = {str(std): measured(task, quality, std) for std in (DATA_NOISE, *OTHER_NOISE)}
        facts[quality] = {
            "rounds": [rounds[i] for i in index],
            **by_noise[str(DATA_NOISE)],
            "noise": by_noise,
        }
    points = range(0, len(rounds), -(-len(rounds) // CURVE_POINTS))
    return facts | {
        "random_return": round(random_return, 2),
        "curve_rounds": [rounds[i] for i in points],
        "curve": [[round(x, 1) for x in curve[i].tolist()] for i in points],
    }


def measured(task: str, quality: str, std: float) -> dict[str, list[float]]:
    """Returns of the shipped teams with some noise, and the share of their actions' coordinates
    beyond 0.95, one number per seed.
    """
    team = load_team(task)
    shares: list[Tensor] = []

    def act(obs: Tensor) -> Tensor:
        action = play(obs)
        shares.append((action.abs() > 0.95).float().mean((1, 2, 3)))
        return action

    play = noisy(load_policy(task, quality), generators(SEEDS, f"{task}/card noise"), std)
    returns = team.returns(act, generators(SEEDS, f"{task}/card"), CARD_EPISODES)
    saturated = torch.stack(shares).mean(0)
    return {
        "return_mean": [round(x, 2) for x in returns.mean(1).tolist()],
        "return_sd": [round(x, 2) for x in returns.std(1).tolist()],
        "saturated": [round(x, 3) for x in saturated.tolist()],
    }


def evaluate(task: str, team: dict[str, Tensor], episodes: int, purpose: str) -> Tensor:
    """[M, episodes] returns of a team's tensors with the noise of the data."""
    act = noisy(playing(team), generators(SEEDS, f"{task}/{purpose} noise"))
    return load_team(task).returns(act, generators(SEEDS, f"{task}/{purpose}"), episodes)


def level(task: str, quality: str) -> float:
    """Share of the way from random to a team's own expert at which a snapshot is taken: that of the
    released data's means.
    """
    if quality == "early":
        return EARLY_LEVEL
    random, medium, expert = (released(task, name) for name in ("random", "medium", "expert"))
    if not (random and medium and expert):
        return MEDIUM_LEVEL
    lowest = random["return_mean"]
    return (medium["return_mean"] - lowest) / (expert["return_mean"] - lowest)


def pick(task: str, snapshots: list[dict], curve: Tensor, target: Tensor) -> list[int]:
    """Index of each member's snapshot at a return.

    The training reaches it where three evaluations in a row have it as their mean; of the snapshots
    around the first such place, the one whose return over more episodes is nearest.

    Args:
        curve: [snapshots, M] returns.
        target: [M].
    """
    smooth = curve.unfold(0, 3, 1).mean(-1)  # of snapshots i, i + 1, i + 2
    best = []
    for member in range(curve.shape[1]):
        reached = (smooth[:, member] >= target[member]).nonzero()
        middle = int(reached[0]) + 1 if len(reached) else len(curve) - 1
        near = range(max(0, middle - NEIGHBOURS), min(len(curve), middle + NEIGHBOURS + 1))
        returns = [
            evaluate(task, snapshots[i], CHOICE_EPISODES, "choice")[member].mean() for i in near
        ]
        best.append(near[int((torch.stack(returns) - target[member]).abs().argmin())])
    return best


def released(task: str, quality: str) -> dict | None:
    """Returns of OMAR's released data set, as og-marl's cards have them: the yardstick for ours."""
    return table(beside(__file__)).get((task, quality))


def default_config(task: str) -> BehaviourConfig:
    """How a task's behaviour policies are trained."""
    if task == "spread_1d_1":  # one update a round, or its snapshots would jump over medium
        return BehaviourConfig(rounds=4 * FEW_ROUNDS, worlds=4, updates_per_round=1)
    return BehaviourConfig(rounds=FEW_ROUNDS) if task in FEW else BehaviourConfig()


def train_behaviour(task: str, config: BehaviourConfig | None = None, say=print) -> dict:
    """Trains and ships everything a task needs, from nothing, with its card."""
    config = config or default_config(task)
    facts: dict[str, Any] = {}
    if SCENARIOS[task].learners < SCENARIOS[task].num_agents:
        facts["prey"] = train_prey(task, config, say)
    facts |= train_team(task, config, say)
    facts |= {
        "task": task,
        "algorithm": "MATD3",
        "config": asdict(config),
        "seeds": SEEDS,
        "data_noise": DATA_NOISE,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": numpy.__version__,
        },
    }
    write_json(POLICIES / task / "card.json", facts)
    return facts
