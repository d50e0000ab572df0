"""Data sets of the robots, as D4RL's: single-agent rows of the whole robot, which views turn into multi-agent data.

Collected by the shipped SAC policies, with stochastic actions:

    random          uniform actions
    medium, expert  the policies of that name
    medium-expert   medium, then expert
    medium-replay   the training's replay buffer until the medium snapshot
    full-replay     the replay buffer until the expert snapshot
    uncoordinated   every agent on medium or expert, all combinations in equal parts (CAST-BCQ)

Replay data are rebuilt by default from training snapshots that ship with the repository: each plays for as many steps
as the training spent around it, after a start of uniform actions. `replay="exact"` runs the training again.

Keys are D4RL's: observations, actions, rewards, next_observations, terminals, timeouts, infos/qpos, infos/qvel,
infos/action_log_probs, metadata/policy/... The data are cut to their size, so the last episode may lack its end.
"""

import itertools
import platform
from pathlib import Path

import mujoco
import numpy as np
import torch
from torch import Tensor

from common.files import sha256
from common.policies import distribution, squash
from common.population import Parameters, generator
from envs.mujoco import behaviour
from envs.mujoco.batch import RobotBatch
from envs.mujoco.robots import robot, xml_path
from envs.mujoco.views import ACTION_DIMS, STATE_DIMS, View, view
from envs.storage import FORMAT, DataError, check_arrays, sums_between

GENERATOR = 1  # raise it when a change alters the data
TASKS = tuple(behaviour.TRAININGS)
QUALITIES = ("random", "medium", "expert", "medium-expert", "medium-replay", "full-replay", "uncoordinated")
SEEDS = [0]
SIZES = {"smoke": 4_000, "quick": 100_000, "paper": 1_000_000}  # steps of random, medium and expert data
MEDIUM_REPLAY = {"halfcheetah": 0.2, "hopper": 0.4, "walker2d": 0.3, "ant": 0.3}  # of that, as in D4RL v2
FLOATS = ("observations", "actions", "rewards", "next_observations")
FLAGS = ("terminals", "timeouts")
INFOS = ("infos/qpos", "infos/qvel", "infos/action_log_probs")
KEYS = FLOATS + FLAGS + INFOS
COLLECT_WORLDS = 50  # simulations collected from together
REPLAYS = ("snapshots", "exact")

# Returns that D4RL normalises with: random and expert policies of its authors
D4RL_CONSTANTS = {
    "halfcheetah": (12135.0, -280.178953),
    "hopper": (3234.3, -20.272305),
    "walker2d": (4592.3, 1.629008),
    "ant": (3879.7, -325.6),
}


def constants(task: str, source: str = "ours") -> tuple[float, float]:
    """Expert and random return that normalised scores are relative to.

    Args:
        source: "ours", from the policies' card (expert with stochastic actions, as in the data), or "d4rl".
    """
    if source == "d4rl":
        return D4RL_CONSTANTS[task]
    card = behaviour.card(task)
    return card["expert"]["stochastic"]["return_mean"], card["random"]["return_mean"]


def train_behaviour(task: str) -> None:
    """Trains and ships the policies of one robot, from nothing."""
    behaviour.ship(behaviour.train_robot(task))


def generate(task: str, quality: str, seeds: list[int], size: str, replay: str = "snapshots") -> list[tuple[dict, dict]]:
    """Arrays by name in the file, and provenance, of the data set of each seed."""
    return [(rows(task, quality, seed, size, replay), provenance(task, quality, seed, size, replay)) for seed in seeds]


def rows(task: str, quality: str, seed: int, size: str, replay: str) -> dict[str, np.ndarray]:
    """The arrays of one data set, by name in the file."""
    steps, purpose = SIZES[size], f"data/{task}/{quality}"
    if quality == "medium-expert":
        medium, expert = (rows(task, part, seed, size, replay) for part in ("medium", "expert"))
        last = np.flatnonzero(medium["terminals"] | medium["timeouts"])[-1] + 1  # of medium's last whole episode
        return join([join([medium], last), expert])
    if quality in ("medium-replay", "full-replay"):
        if quality == "medium-replay":
            steps = int(steps * MEDIUM_REPLAY[task])
        if replay == "exact":
            return exact_replay(task, quality)
        return snapshot_replay(task, quality, seed, steps)
    if quality == "uncoordinated":
        teams = itertools.product(("medium", "expert"), repeat=robot(task).agents)
        teams = [[behaviour.load_policy(task, name) for name in names] for names in teams]
        share = -(-steps // len(teams))
        return join([collect(task, team, seed, f"{purpose}/{i}", share) for i, team in enumerate(teams)], steps)
    policy = None if quality == "random" else behaviour.load_policy(task, quality)
    return join([collect(task, policy and [policy], seed, purpose, steps)], steps) | (metadata(policy) if policy else {})


def collect(task: str, team: list[Parameters] | None, seed: int, purpose: str, steps: int) -> dict[str, np.ndarray]:
    """Rolls out policies with sampled actions for at least `steps` steps, whole episodes one after the other.

    Every simulation plays its share of the steps and then ends its episode, so that long and short episodes come in
    the proportion in which the policy plays them.

    Args:
        team: one policy for the whole robot, or one per agent, of which each agent's slice is taken; None for uniform
            actions.
    """
    worlds = min(COLLECT_WORLDS, max(1, steps // robot(task).horizon))
    batch, share = RobotBatch(task, worlds), -(-steps // worlds)
    starts, noise = generator(seed, f"{purpose}/starts"), generator(seed, f"{purpose}/noise")
    state = batch.reset([starts])
    pieces, played, running = [], np.zeros(worlds, np.int64), np.arange(worlds)
    while len(running):
        action, log_prob = (values[running] for values in act(team, batch, state, noise))
        before = state[running], action, batch.qpos[running], batch.qvel[running], log_prob
        following, reward, terminated, truncated = batch.step(action, running)
        pieces.append((running, before, reward, following, terminated, truncated))
        state[running] = following
        played[running] += 1
        over = terminated | truncated
        again = over & (played[running] < share)
        if again.any():
            state = batch.restart(running[again], [starts])
        running = running[~over | again]
    world = np.concatenate([piece[0] for piece in pieces])
    order = np.argsort(world, kind="stable")  # simulation by simulation, each in order of time
    states, actions, qpos, qvel, log_probs = (np.concatenate(part)[order] for part in zip(*(p[1] for p in pieces), strict=True))
    rewards, following, terminals, timeouts = (np.concatenate(part)[order] for part in list(zip(*pieces, strict=True))[2:])
    values = (states, actions, rewards, following, terminals, timeouts, qpos, qvel, log_probs)
    return {key: part.astype(bool if key in FLAGS else np.float32) for key, part in zip(KEYS, values, strict=True)}


def act(team, batch: RobotBatch, state: np.ndarray, noise: torch.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sampled joint actions [W, U] and their log densities [W] under a team (see `collect`)."""
    shape = (batch.worlds, batch.action_dim)
    if team is None:
        action = torch.empty(shape).uniform_(-1, 1, generator=noise)
        return action.numpy(), np.full(batch.worlds, batch.action_dim * np.log(0.5))
    rows = torch.from_numpy(state.astype(np.float32))[None, None]
    draws = torch.empty(shape).normal_(generator=noise)
    size = batch.action_dim // len(team)
    mean, log_std = (
        torch.cat([part[..., i * size : (i + 1) * size] for i, part in enumerate(parts)], dim=-1)
        for parts in zip(*(distribution(policy, rows) for policy in team), strict=True)
    )
    action, log_prob = squash(mean, log_std, draws[None, None])
    return action[0, 0].numpy(), log_prob[0, 0].numpy()


def join(pieces: list[dict], steps: int | None = None) -> dict[str, np.ndarray]:
    """Pieces of whole episodes one after the other, cut to `steps` rows, so that the last episode may lack its end."""
    return {key: np.concatenate([piece[key] for piece in pieces])[:steps] for key in pieces[0] if key in KEYS}


def snapshot_replay(task: str, quality: str, seed: int, steps: int) -> dict[str, np.ndarray]:
    """Rolls out the training's snapshots, each for its share of the training up to the medium or expert snapshot."""
    card = behaviour.card(task)
    end, warmup = card[quality_end(quality)]["steps"], card["training"]["warmup"]
    snapshots = {count: policy for count, policy in sorted(behaviour.load_snapshots(task).items()) if count <= end}
    counts = list(snapshots)
    until = [warmup, *((a + b) / 2 for a, b in itertools.pairwise(counts)), end]  # training steps each piece stands for
    teams = [None, *([policy] for policy in snapshots.values())]
    pieces, done = [], 0
    for i, (team, last) in enumerate(zip(teams, until, strict=True)):
        wanted = round(steps * last / end) - done
        if wanted > 0:
            pieces.append(collect(task, team, seed, f"data/{task}/{quality}/{i}", wanted))
            done += len(pieces[-1]["rewards"])
    return join(pieces, steps)


def exact_replay(task: str, quality: str) -> dict[str, np.ndarray]:
    """The whole replay buffer of the training itself, run again up to the medium or expert snapshot.

    Simulation by simulation, each in order of time; where a simulation's last episode had not ended, its last row is
    flagged as a timeout.
    """
    card = behaviour.card(task)
    training = behaviour.Training(**card["training"])
    run = behaviour.OnlineTraining(task, training)
    for done in run.run():
        if done >= card[quality_end(quality)]["steps"]:
            break
    rows = run.buffer.rows[: run.buffer.size].unflatten(0, (-1, training.worlds)).transpose(0, 1)  # [worlds, T, F]
    parts = [part.squeeze(-1).numpy() for part in rows.split(run.buffer.widths, dim=-1)]
    arrays = dict(zip(("observations", "actions", "rewards", "next_observations", *FLAGS), parts, strict=True))
    arrays |= {flag: arrays[flag].astype(bool) for flag in FLAGS}
    arrays["timeouts"][:, -1] |= ~arrays["terminals"][:, -1]
    return {key: values.reshape(-1, *values.shape[2:]) for key, values in arrays.items()}


def quality_end(quality: str) -> str:
    """The snapshot a replay data set ends at."""
    return "medium" if quality == "medium-replay" else "expert"


def metadata(policy: Parameters) -> dict[str, np.ndarray]:
    """The policy in D4RL's layout: fc0, fc1, last_fc (mean) and last_fc_log_std, weights [out, in]."""
    tensors = {name: tensor[0, 0].numpy() for name, tensor in policy.tensors.items()}
    half = tensors["b3"].shape[-1] // 2
    layers = {
        "fc0": (tensors["w1"], tensors["b1"]),
        "fc1": (tensors["w2"], tensors["b2"]),
        "last_fc": (tensors["w3"][:, :half], tensors["b3"][:half]),
        "last_fc_log_std": (tensors["w3"][:, half:], tensors["b3"][half:]),
    }
    named = {}
    for name, (weight, bias) in layers.items():
        named[f"metadata/policy/{name}/weight"], named[f"metadata/policy/{name}/bias"] = weight.T, bias
    return named


def provenance(task: str, quality: str, seed: int, size: str, replay: str) -> dict:
    """What a data set's file says about itself."""
    facts = {
        "format": FORMAT,
        "generator": GENERATOR,
        "task": task,
        "quality": quality,
        "seed": seed,
        "size": size,
        "environment": {
            "family": "mujoco",
            "rules": "gymnasium v4",
            "contact_margins": "pre-3.5",
            "model": sha256(xml_path(robot(task).xml)),
        },
        "versions": {
            "python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__,
            "mujoco": mujoco.__version__,
        },
    }  # fmt: skip
    files = {"random": (), "medium-replay": ("replay",), "full-replay": ("replay",)}.get(quality)
    if files is None:
        files = (quality,) if quality in ("medium", "expert") else ("medium", "expert")
    facts["policies"] = {name: sha256(behaviour.POLICIES / task / f"{name}.safetensors") for name in files}
    if files == ("replay",):
        facts["replay"] = replay
    if task in TASKS:
        facts["constants"] = {source: constants(task, source) for source in ("ours", "d4rl")}
    return facts


def extract(file, facts: dict) -> dict[str, np.ndarray]:
    """Arrays [R, ...] of an open file."""
    return {key: file[key][:] for key in (*FLOATS, *FLAGS)} | {key: file[key][:] for key in INFOS if key in file}


def validate(path: Path, arrays: dict[str, np.ndarray], facts: dict) -> None:
    """Raises DataError unless shapes fit, numbers are finite, actions are in [-1, 1] and no episode is too long."""
    task, count = facts["task"], len(arrays["rewards"])
    state, actions = STATE_DIMS[task], robot(task).agents * ACTION_DIMS[task]
    widths = {"observations": state, "next_observations": state, "actions": actions}
    shapes = {key: (count, widths[key]) if key in widths else (count,) for key in (*FLOATS, *FLAGS)}
    check_arrays(path, arrays, shapes)
    both = arrays["terminals"] & arrays["timeouts"]
    if both.any():
        raise DataError(f"data set {path}: row {int(both.argmax())} is both terminal and timeout, expected one of them")
    ends = np.concatenate([[-1], np.flatnonzero(arrays["terminals"] | arrays["timeouts"]), [count - 1]])
    longest = int(np.diff(ends).max())
    if longest > robot(task).horizon:
        raise DataError(
            f"data set {path}: an episode has {longest} steps, expected at most {robot(task).horizon}; flags are missing"
        )


def transitions(data: dict, of: View | str = "full") -> dict[str, Tensor]:
    """What learners need of a loaded data set, seen by the agents of a view: tensors [R, N, ...].

    Everybody shares reward and terminal flag. The next action is that of the following row; `has_next_action` [R] is
    false where the episode was cut by the clock or by the end of the data.
    """
    arrays = data["arrays"]
    of = view(data["provenance"]["task"], of) if isinstance(of, str) else of
    action = of.split(torch.from_numpy(arrays["actions"]))
    count, agents = action.shape[:2]
    known = torch.from_numpy(~arrays["timeouts"] | arrays["terminals"])
    known[-1] = bool(arrays["terminals"][-1])
    return {
        "obs": of.observe(torch.from_numpy(arrays["observations"])),
        "action": action,
        "reward": torch.from_numpy(arrays["rewards"])[:, None].expand(count, agents),
        "next_obs": of.observe(torch.from_numpy(arrays["next_observations"])),
        "terminal": torch.from_numpy(arrays["terminals"]).float()[:, None].expand(count, agents),
        "next_action": action.roll(-1, 0),
        "has_next_action": known,
    }


def episode_returns(data: dict) -> np.ndarray:
    """[episodes] undiscounted returns of finished episodes."""
    arrays = data["arrays"]
    return sums_between(arrays["rewards"], arrays["terminals"] | arrays["timeouts"])


# Returns inside D4RL's v2 files, quoted in the public code of Decision Transformer
D4RL_RETURNS = {
    ("halfcheetah", "random"): (-288.8, 80.4), ("halfcheetah", "medium"): (4770.3, 355.8),
    ("halfcheetah", "expert"): (10656.4, 441.7),
    ("hopper", "random"): (18.4, 17.5), ("hopper", "medium"): (1422.1, 379.0), ("hopper", "expert"): (3511.4, 328.6),
    ("walker2d", "random"): (1.9, 5.8), ("walker2d", "medium"): (2852.1, 1095.4), ("walker2d", "expert"): (4920.5, 136.4),
}  # fmt: skip


def released(task: str, quality: str) -> dict | None:
    """Mean and standard deviation of the returns in D4RL's v2 file, the yardstick for ours."""
    if (task, quality) not in D4RL_RETURNS:
        return None
    mean, sd = D4RL_RETURNS[task, quality]
    return {"task": task, "quality": quality, "return_mean": mean, "return_sd": sd}


def expected_return(facts: dict) -> tuple[float, float, int] | None:
    """Mean and standard deviation of the behaviour's return, and episodes they are over; None for mixtures and replays."""
    if facts["quality"] not in ("random", "medium", "expert") or "source" in facts:
        return None
    card = behaviour.card(facts["task"])
    stats = card["random"] if facts["quality"] == "random" else card[facts["quality"]]["stochastic"]
    return stats["return_mean"], stats["return_sd"], stats["episodes"]
