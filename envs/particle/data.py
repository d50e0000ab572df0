"""Data sets of the particle worlds: collected by the shipped MATD3 teams, D4RL's keys per agent."""

import platform
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from common.learning.population import generators
from common.running.files import sha256
from envs.particle import behaviour
from envs.particle.batch import by_member, by_world
from envs.particle.scenarios import EPISODE_STEPS, SCENARIOS
from envs.storage import FORMAT, DataError, check_arrays, sums_between

GENERATOR = 2  # raise it when a change alters the data
TASKS = tuple(SCENARIOS)
QUALITIES = ("random", "medium-replay", "medium", "expert")
SIZES = {
    "smoke": 5_000,
    "quick": 100_000,
    "standard": 200_000,
    "paper": 1_000_000,
}  # steps of random, medium and expert data
SMOKE_ROUNDS = 10  # of online training in the smoke size's replay data
KEYS = ("observations", "actions", "rewards", "next_observations", "terminals", "timeouts")
COLLECT_WORLDS = 1000  # episodes collected together, per seed
train_behaviour = behaviour.train_behaviour
released = behaviour.released


@dataclass(frozen=True)
class Source:
    """Who collects a data set.

    Attributes:
        policy: name of the shipped weights.
        noise: standard deviation of the Gaussian noise on the actions.
        sharpness: factor on the policy's outputs before their tanh.
    """

    policy: str
    noise: float
    sharpness: float


SHARPNESS = {"": 1.0, "-saturated": 4.0}  # at 4 most actions are -1 or 1
NOISE = {"": behaviour.DATA_NOISE} | {f"-noise{std}": std for std in behaviour.OTHER_NOISE}
POLICY = {"medium": "medium", "expert": "expert", "expert-early": "early"}
# By quality: what is collected by a trained team. "medium" and "expert" are the paper's; "early" is
# a weaker expert, and the others are the same teams with other actions.
SOURCES = {
    quality + shape + noise: Source(policy, NOISE[noise], SHARPNESS[shape])
    for quality, policy in POLICY.items()
    for shape in SHARPNESS
    for noise in NOISE
}


def ships(task: str) -> bool:
    """Whether the behaviour policies of a task are there."""
    return (behaviour.POLICIES / task / "card.json").exists()


def effort(task: str, quality: str) -> int:
    """How long a data set takes to build, for putting the longest first: training rounds times
    agents, 0 for roll-outs.
    """
    if quality != "medium-replay":
        return 0
    return max(behaviour.card(task)["medium"]["rounds"]) * SCENARIOS[task].learners


def qualities(task: str) -> tuple[str, ...]:
    """Data qualities of a task that the paper has."""
    return QUALITIES


def variants(task: str) -> tuple[str, ...]:
    """Data qualities beside the paper's, which are built only when they are asked for."""
    shipped = ("medium", "expert", "early") if task == behaviour.EARLY_TASK else QUALITIES
    return tuple(
        quality
        for quality, source in SOURCES.items()
        if source.policy in shipped and quality not in QUALITIES
    )


def constants(task: str) -> tuple[float, float]:
    """Expert and random return that normalised scores of a task are relative to: ours, from the
    policies' card.

    Means over the five expert teams (with the data's action noise) and over uniform random actions.
    """
    card = behaviour.card(task)
    return float(np.mean(card["expert"]["return_mean"])), card["random_return"]


def generate(task: str, quality: str, seeds: list[int], size: str) -> list[tuple[dict, dict]]:
    """Arrays by name in the file, and provenance, of the data set of each seed."""
    if quality == "medium-replay":
        medium = behaviour.card(task)["medium"]["rounds"]
        rounds = [SMOKE_ROUNDS if size == "smoke" else medium[seed] for seed in seeds]
        data = replay(task, seeds, rounds)
    else:
        data = collect(task, quality, seeds, SIZES[size])
    agents = range(SCENARIOS[task].learners)
    return [
        (
            {
                f"agent_{agent}/{key}": arrays[key]
                if arrays[key].ndim == 1
                else arrays[key][:, agent]
                for agent in agents
                for key in KEYS
            },
            provenance(task, quality, seed, size),
        )
        for seed, arrays in zip(seeds, data, strict=True)
    ]


def collect(task: str, quality: str, seeds: list[int], steps: int) -> list[dict[str, np.ndarray]]:
    """Rolls out one policy per seed; per seed arrays [R, N, ...] with episodes as blocks of 25
    rows.

    random: uniform actions. Others: the shipped policies with Gaussian action noise (`SOURCES`).
    """
    team = behaviour.load_team(task)
    purpose = f"data/{task}/{quality}"
    noise = generators(seeds, f"{purpose}/noise")
    if quality == "random":
        act = behaviour.uniform_policy(noise, team.action_dim)
    else:
        source = SOURCES[quality]
        act = behaviour.noisy(member_policy(task, source, seeds), noise, source.noise)
    starts = generators(seeds, f"{purpose}/starts")
    pieces = []
    for done in range(0, steps, COLLECT_WORLDS * EPISODE_STEPS):
        worlds = min(COLLECT_WORLDS, -(-(steps - done) // EPISODE_STEPS))
        obs = by_member(team.reset(starts, worlds), len(seeds))
        rows = []
        for _ in range(EPISODE_STEPS):
            action = act(obs)
            next_obs, reward = team.step(by_world(action))
            next_obs = by_member(next_obs, len(seeds))
            reward = by_member(reward, len(seeds))
            rows.append(torch.cat([obs, action, reward.unsqueeze(-1), next_obs], dim=-1))
            obs = next_obs
        pieces.append(
            torch.stack(rows, dim=3).flatten(2, 3).transpose(1, 2)
        )  # [M, worlds * 25, N, F]
    return [split_rows(torch.cat([piece[m] for piece in pieces]), team) for m in range(len(seeds))]


def member_policy(task: str, source: Source, seeds: list[int]):
    """The shipped policies of some of the five seeds, as one population."""
    missing = [seed for seed in seeds if seed not in behaviour.SEEDS]
    if missing:
        raise DataError(
            f"no behaviour policy for data seed {missing[0]}, expected one of: {behaviour.SEEDS}"
        )
    policy = behaviour.load_policy(task, source.policy, sharpness=source.sharpness)

    def act(obs: Tensor) -> Tensor:
        everyone = obs.new_zeros(len(behaviour.SEEDS), *obs.shape[1:])
        everyone[seeds] = obs
        return policy(everyone)[seeds]

    return act


def split_rows(rows: Tensor, team) -> dict[str, np.ndarray]:
    """Rows [R, N, F] of observation, action, reward, next observation as named arrays."""
    obs, action, reward, next_obs = rows.split(
        [team.obs_dim, team.action_dim, 1, team.obs_dim], dim=-1
    )
    timeouts = np.zeros(len(rows), bool)
    timeouts[EPISODE_STEPS - 1 :: EPISODE_STEPS] = True
    return {
        "observations": obs.numpy(),
        "actions": action.numpy(),
        "rewards": reward.squeeze(-1).numpy(),
        "next_observations": next_obs.numpy(),
        "terminals": np.zeros(len(rows), bool),
        "timeouts": timeouts,
    }


def replay(task: str, seeds: list[int], rounds: list[int]) -> list[dict[str, np.ndarray]]:
    """The replay buffers of the behaviour training itself, up to each seed's round: the training is
    run again.

    Of a buffer longer than the released data set a stretch of its length is kept, see `stretch`.
    """
    card = behaviour.card(task)
    config = behaviour.BehaviourConfig(**card["config"])
    team = behaviour.load_team(task)
    buffers = behaviour.replay_buffers(team, team.obs_dim, config, rounds)
    for _ in behaviour.train(
        team, [team.obs_dim] * team.num_agents, seeds, config, task, rounds, buffers
    ):
        pass
    kept = [split_rows(rows, team) for rows in buffers]
    twin = released(task, "medium-replay")
    return [stretch(arrays, twin) for arrays in kept] if twin else kept


def stretch(arrays: dict[str, np.ndarray], twin: dict) -> dict[str, np.ndarray]:
    """The part of a replay buffer that has as many rows as the released replay data, in one piece,
    and the mean return nearest theirs.

    Args:
        arrays: [R, N, ...] in the order of the training.
        twin: the released figures, see `envs.released`.
    """
    returns = arrays["rewards"].astype(np.float64).mean(1).reshape(-1, EPISODE_STEPS).sum(1)
    episodes = int(twin["transitions"]) // EPISODE_STEPS
    if len(returns) <= episodes:
        return arrays
    sums = np.concatenate([[0.0], returns.cumsum()])
    means = (sums[episodes:] - sums[:-episodes]) / episodes
    first = int(np.abs(means - twin["return_mean"]).argmin())
    rows = slice(first * EPISODE_STEPS, (first + episodes) * EPISODE_STEPS)
    return {key: values[rows] for key, values in arrays.items()}


def provenance(task: str, quality: str, seed: int, size: str) -> dict:
    """What a data set's file says about itself."""
    scenario = SCENARIOS[task]
    facts = {
        "format": FORMAT,
        "generator": GENERATOR,
        "task": task,
        "quality": quality,
        "seed": seed,
        "size": size,
        "environment": {
            "family": "particle",
            "rules": scenario.rules,
            "episode_steps": EPISODE_STEPS,
        },
        "agents": scenario.learners,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
    }
    source = SOURCES.get(quality)
    weights = [source.policy] if source else []
    weights += ["prey"] if scenario.learners < scenario.num_agents else []
    facts["policies"] = {name: sha256(behaviour.policy_path(task, name)) for name in weights}
    if source:
        facts["collected_by"] = asdict(source)
    if quality == "medium-replay":
        facts["stretch_like"] = released(task, quality)
        facts["behaviour_config"] = behaviour.card(task)["config"]
    return facts


def extract(file, facts: dict) -> dict[str, np.ndarray]:
    """Arrays [R, N, ...] of an open file; terminals and timeouts too."""
    agents = [f"agent_{i}" for i in range(facts["agents"])]
    return {key: np.stack([file[agent][key][:] for agent in agents], axis=1) for key in KEYS}


def validate(path: Path, arrays: dict[str, np.ndarray], facts: dict) -> None:
    """Raises DataError unless shapes fit, numbers are finite, actions are in [-1, 1] and episodes
    end with a flag.

    Terminals and timeouts, the same for all agents, become [R].
    """
    rows, agents = arrays["rewards"].shape[:2]
    scenario = SCENARIOS[facts["task"]]
    widths = {
        "observations": scenario.obs_dims[0],
        "next_observations": scenario.obs_dims[0],
        "actions": scenario.dims,
    }
    shapes = {key: (rows, agents, widths[key]) if key in widths else (rows, agents) for key in KEYS}
    check_arrays(path, arrays, shapes)
    for key in ("terminals", "timeouts"):
        arrays[key] = arrays[key][:, 0]
    ends = arrays["terminals"] | arrays["timeouts"]
    if not ends[-1] or (np.flatnonzero(ends) % EPISODE_STEPS != EPISODE_STEPS - 1).any():
        raise DataError(f"data set {path}: episodes do not end every {EPISODE_STEPS} rows")


def transitions(data: dict) -> dict[str, Tensor]:
    """What learners need of a loaded data set: tensors [R, N, ...] for
    `common.learning.replay.Replay`.

    The next action is that of the following row; `has_next_action` [R] is false where the clock cut
    the episode.
    """
    arrays = data["arrays"]
    action = torch.from_numpy(arrays["actions"])
    rows, agents = action.shape[:2]
    terminal = torch.from_numpy(arrays["terminals"]).float()[:, None].expand(rows, agents)
    return {
        "obs": torch.from_numpy(arrays["observations"]),
        "action": action,
        "reward": torch.from_numpy(arrays["rewards"]),
        "next_obs": torch.from_numpy(arrays["next_observations"]),
        "terminal": terminal,
        "next_action": action.roll(-1, 0),
        "has_next_action": torch.from_numpy(~arrays["timeouts"] | arrays["terminals"]),
    }


def episode_returns(data: dict) -> np.ndarray:
    """[episodes] undiscounted returns, mean over agents."""
    arrays = data["arrays"]
    return sums_between(
        arrays["rewards"].astype(np.float64).mean(1), arrays["terminals"] | arrays["timeouts"]
    )


def expected_return(facts: dict) -> tuple[float, float | None, int] | None:
    """Mean and standard deviation of the behaviour's return, and episodes they are over; None where
    the card has none.
    """
    card = behaviour.card(facts["task"])
    if facts["quality"] == "random":
        return card["random_return"], None, 1000
    source = SOURCES.get(facts["quality"])
    if source is None or source.sharpness != 1.0:
        return None
    seen = card[source.policy]["noise"][str(source.noise)]
    mean, spread = (seen[key][facts["seed"]] for key in ("return_mean", "return_sd"))
    return mean, spread, behaviour.CARD_EPISODES
