"""Offline data sets: what they are, where they lie, how they are built, checked and shown.

    python -m envs.datasets list
    python -m envs.datasets build [TASK ...] [--quality Q ...] [--seeds 0 1 2] [--size quick]
    python -m envs.datasets check [TASK ...]
    python -m envs.datasets show TASK QUALITY [--seed 0] [--size quick]
    python -m envs.datasets train-behaviour [TASK ...]

One HDF5 file per task, quality and seed in the cache folder (`OMZ_DATA`, by default ~/.cache/offline-marl-zoo/data),
with D4RL's keys per agent: `agent_0/observations, actions, rewards, next_observations, terminals, timeouts`.
Provenance is in the file, its SHA-256 beside it. Files are built from the policies that ship with the repository
(`envs/particle/policies`) and are the same bytes each time on one machine.
"""

import argparse
import json
import os
import platform
import sys
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from common.files import atomic, read_csv, sha256, write_text
from common.population import generators
from envs.particle import behaviour
from envs.particle.batch import by_member, by_world
from envs.particle.scenarios import EPISODE_STEPS, SCENARIOS

FORMAT = 1
GENERATOR = 1  # raise it when a change alters the data
QUALITIES = ("random", "medium-replay", "medium", "expert")
SIZES = {"smoke": 5_000, "quick": 100_000, "paper": 1_000_000}  # steps of random, medium and expert data
SMOKE_ROUNDS = 10  # of online training in the smoke size's replay data
KEYS = ("observations", "actions", "rewards", "next_observations", "terminals", "timeouts")
COLLECT_WORLDS = 1000  # episodes collected together, per seed


class DataError(ValueError):
    """A data set is missing, broken, or not what it says."""


def data_folder() -> Path:
    """Where data sets are kept."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "offline-marl-zoo" / "data"
    return Path(os.environ.get("OMZ_DATA") or default)


def data_path(task: str, quality: str, seed: int, size: str) -> Path:
    """File of one data set.

    Raises:
        DataError: an unknown task, quality or size.
    """
    for value, known, what in ((task, SCENARIOS, "task"), (quality, QUALITIES, "quality"), (size, SIZES, "size")):
        if value not in known:
            raise DataError(f"unknown {what} {value!r}, expected one of: {', '.join(known)}")
    return data_folder() / size / task / f"{quality}-{seed}.h5"


def checksum(path: Path) -> str:
    """The SHA-256 recorded beside a data set when it was written."""
    side = path.with_suffix(".h5.sha256")
    if not path.exists() or not side.exists():
        raise DataError(f"data set {path} is not there; build it with `python -m envs.datasets build`")
    return side.read_text().split()[0]


def constants(task: str) -> tuple[float, float]:
    """Expert and random return that normalised scores of a task are relative to: ours, from the policies' card.

    Means over the five expert teams (with the data's action noise) and over uniform random actions.
    """
    card = behaviour.card(task)
    return float(np.mean(card["expert"]["return_mean"])), card["random_return"]


# --- Collecting ---


def collect(task: str, quality: str, seeds: list[int], steps: int) -> list[dict[str, np.ndarray]]:
    """Rolls out one policy per seed; per seed arrays [R, N, ...] with episodes as blocks of 25 rows.

    random: uniform actions. medium, expert: the shipped policies with N(0, 0.1) action noise.
    """
    team = behaviour.load_team(task)
    purpose = f"data/{task}/{quality}"
    noise = generators(seeds, f"{purpose}/noise")
    if quality == "random":
        act = behaviour.uniform_policy(noise, team.action_dim)
    else:
        act = behaviour.noisy(member_policy(task, quality, seeds), noise)
    starts = generators(seeds, f"{purpose}/starts")
    pieces = []
    for done in range(0, steps, COLLECT_WORLDS * EPISODE_STEPS):
        worlds = min(COLLECT_WORLDS, -(-(steps - done) // EPISODE_STEPS))
        obs = by_member(team.reset(starts, worlds), len(seeds))
        rows = []
        for _ in range(EPISODE_STEPS):
            action = act(obs)
            next_obs, reward = team.step(by_world(action))
            next_obs, reward = by_member(next_obs, len(seeds)), by_member(reward, len(seeds))
            rows.append(torch.cat([obs, action, reward.unsqueeze(-1), next_obs], dim=-1))
            obs = next_obs
        pieces.append(torch.stack(rows, dim=3).flatten(2, 3).transpose(1, 2))  # [M, worlds * 25, N, F]
    return [split_rows(torch.cat([piece[m] for piece in pieces]), team) for m in range(len(seeds))]


def member_policy(task: str, quality: str, seeds: list[int]):
    """The shipped policies of some of the five seeds, as one population."""
    missing = [seed for seed in seeds if seed not in behaviour.SEEDS]
    if missing:
        raise DataError(f"no behaviour policy for data seed {missing[0]}, expected one of: {behaviour.SEEDS}")
    policy = behaviour.load_policy(task, quality)

    def act(obs: Tensor) -> Tensor:
        everyone = obs.new_zeros(len(behaviour.SEEDS), *obs.shape[1:])
        everyone[seeds] = obs
        return policy(everyone)[seeds]

    return act


def split_rows(rows: Tensor, team) -> dict[str, np.ndarray]:
    """Rows [R, N, F] of observation, action, reward, next observation as named arrays."""
    obs, action, reward, next_obs = rows.split([team.obs_dim, team.action_dim, 1, team.obs_dim], dim=-1)
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
    """The replay buffers of the behaviour training itself, up to each seed's round: the training is run again."""
    card = behaviour.card(task)
    config = behaviour.BehaviourConfig(**card["config"])
    team = behaviour.load_team(task)
    pieces = []
    obs_dims = [team.obs_dim] * team.num_agents
    for _, _, new in behaviour.train(team, obs_dims, seeds, config, task, max(rounds)):
        pieces.append(new.transpose(1, 2))  # [M, R, N, F]
    return [split_rows(torch.cat([piece[m] for piece in pieces[:last]]), team) for m, last in enumerate(rounds)]


def build(task: str, quality: str, seeds: list[int], size: str, say=print) -> list[Path]:
    """Builds the missing data sets of one task and quality; existing files are left alone. Returns all paths."""
    paths = {seed: data_path(task, quality, seed, size) for seed in seeds}
    wanted = [seed for seed, path in paths.items() if not path.with_suffix(".h5.sha256").exists()]
    if wanted:
        say(f"building {task} {quality} ({size}), seeds {wanted}")
        if quality == "medium-replay":
            medium = behaviour.card(task)["medium"]["rounds"]
            rounds = [SMOKE_ROUNDS if size == "smoke" else medium[seed] for seed in wanted]
            data = replay(task, wanted, rounds)
        else:
            data = collect(task, quality, wanted, SIZES[size])
        for seed, arrays in zip(wanted, data, strict=True):
            write(paths[seed], arrays, provenance(task, quality, seed, size))
    return list(paths.values())


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
        "environment": {"family": "particle", "rules": scenario.rules, "episode_steps": EPISODE_STEPS},
        "agents": scenario.learners,
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
    }
    weights = {"medium": ["medium"], "expert": ["expert"]}.get(quality, [])
    weights += ["prey"] if scenario.learners < scenario.num_agents else []
    facts["policies"] = {name: sha256(behaviour.policy_path(task, name)) for name in weights}
    if quality in ("medium", "expert"):
        facts["action_noise"] = behaviour.DATA_NOISE
    if quality == "medium-replay":
        facts["behaviour_config"] = behaviour.card(task)["config"]
    return facts


def write(path: Path, arrays: dict[str, np.ndarray], facts: dict) -> None:
    """Writes one data set and its checksum, each atomically, the checksum last."""
    path.with_suffix(".h5.sha256").unlink(missing_ok=True)
    with atomic(path) as part, h5py.File(part, "w", track_order=True) as file:
        file.attrs["provenance"] = json.dumps(facts, sort_keys=True)
        for agent in range(facts["agents"]):
            group = file.create_group(f"agent_{agent}")
            for key in KEYS:
                values = arrays[key] if arrays[key].ndim == 1 else arrays[key][:, agent]
                group.create_dataset(key, data=np.ascontiguousarray(values), fletcher32=True)
    write_text(path.with_suffix(".h5.sha256"), f"{sha256(path)}  {path.name}\n")


# --- Reading ---


def load(path: Path, verify: bool = True) -> dict:
    """One data set, validated.

    Returns:
        `arrays`: per key [R, N, ...] (terminals and timeouts [R]); `provenance`; `sha256`.

    Raises:
        DataError: the file is missing, changed since it was written, cut off, or its contents do not fit together.
    """
    recorded = checksum(path)
    if verify and sha256(path) != recorded:
        raise DataError(
            f"data set {path} does not match its checksum {recorded[:12]}: it was changed or damaged after it was "
            "written; delete it and build it again"
        )
    try:
        with h5py.File(path) as file:
            facts = json.loads(file.attrs["provenance"])
            agents = [f"agent_{i}" for i in range(facts["agents"])]
            arrays = {key: np.stack([file[agent][key][:] for agent in agents], axis=1) for key in KEYS}
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"data set {path} cannot be read as {'/'.join(KEYS)} per agent: {error}") from error
    validate(path, arrays, facts)
    arrays["terminals"], arrays["timeouts"] = arrays["terminals"][:, 0], arrays["timeouts"][:, 0]
    return {"arrays": arrays, "provenance": facts, "sha256": recorded}


def validate(path: Path, arrays: dict[str, np.ndarray], facts: dict) -> None:
    """Raises DataError unless shapes fit, numbers are finite, actions are in [-1, 1] and episodes end with a flag."""
    if facts.get("format") != FORMAT:
        raise DataError(f"data set {path} has format {facts.get('format')}, expected {FORMAT}; build it again")
    rows, agents = arrays["rewards"].shape[:2]
    scenario = SCENARIOS[facts["task"]]
    widths = {"observations": scenario.obs_dims[0], "next_observations": scenario.obs_dims[0], "actions": scenario.dims}
    for key, values in arrays.items():
        expected = (rows, agents, widths[key]) if key in widths else (rows, agents)
        if values.shape != expected:
            raise DataError(f"data set {path}: {key} has shape {values.shape}, expected {expected}")
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise DataError(f"data set {path}: {key} holds NaN or infinity; build it again")
    if np.abs(arrays["actions"]).max() > 1:
        raise DataError(f"data set {path}: actions reach {np.abs(arrays['actions']).max():.3f}, expected [-1, 1]")
    ends = arrays["terminals"][:, 0] | arrays["timeouts"][:, 0]
    if not ends[-1] or (np.flatnonzero(ends) % EPISODE_STEPS != EPISODE_STEPS - 1).any():
        raise DataError(f"data set {path}: episodes do not end every {EPISODE_STEPS} rows")


def transitions(data: dict) -> dict[str, Tensor]:
    """What learners need of a loaded data set: tensors [R, N, ...] for `common.replay.Replay`.

    The next action is that of the following row; `has_next_action` [R] is false where the clock cut the episode.
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
    rewards = data["arrays"]["rewards"].astype(np.float64).mean(1)
    ends = np.flatnonzero(data["arrays"]["terminals"] | data["arrays"]["timeouts"]) + 1
    return np.add.reduceat(rewards, np.concatenate([[0], ends[:-1]]))


# --- Commands ---


def released(task: str, quality: str) -> dict | None:
    """Returns of OMAR's released data set (as measured by og-marl's cards), the yardstick for ours."""
    rows = read_csv(Path(__file__).with_name("released_returns.csv"))
    return next((row for row in rows if (row["task"], row["quality"]) == (task, quality)), None)


def describe(path: Path) -> list:
    """One table row about a built data set: returns and normalised level, ours and released."""
    data = load(path)
    facts, returns = data["provenance"], episode_returns(data)
    task, quality = facts["task"], facts["quality"]
    expert, random = constants(task)
    level = 100 * (returns.mean() - random) / (expert - random)
    row = [task, quality, facts["seed"], facts["size"], len(returns) * EPISODE_STEPS]
    row += [f"{returns.mean():.2f}", f"{returns.std():.2f}", f"{level:.1f}"]
    ref = released(task, quality)
    if ref is None:
        return [*row, "", ""]
    top, bottom = released(task, "expert"), released(task, "random")
    span = float(top["return_mean"]) - float(bottom["return_mean"])
    ref_level = 100 * (float(ref["return_mean"]) - float(bottom["return_mean"])) / span
    return [*row, f"{ref['return_mean']} +- {ref['return_sd']}", f"{ref_level:.1f}"]


HEADER = ["task", "quality", "seed", "size", "steps", "return", "sd", "level", "released return", "released level"]


def check(path: Path) -> str | None:
    """What is wrong with a built data set, or None: it must load, and its mean return must be its policy's."""
    try:
        data = load(path)
    except DataError as error:
        return str(error)
    facts, returns = data["provenance"], episode_returns(data)
    card = behaviour.card(facts["task"])
    if facts["quality"] == "medium-replay":
        return None
    if facts["quality"] == "random":
        expected, spread = card["random_return"], returns.std()
    else:
        expected, spread = (card[facts["quality"]][key][facts["seed"]] for key in ("return_mean", "return_sd"))
    error = 5 * spread * (1 / len(returns) + 1 / 1000) ** 0.5
    if abs(returns.mean() - expected) > error:
        return f"data set {path}: mean return {returns.mean():.2f}, expected {expected} +- {error:.2f} as on the card"
    return None


def show(path: Path) -> None:
    """Prints statistics of one data set and draws a histogram of its returns beside the file."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    data = load(path)
    returns = episode_returns(data)
    print(json.dumps(data["provenance"], indent=1))
    quartiles = np.percentile(returns, [0, 25, 50, 75, 100]).round(2).tolist()
    rows, agents = data["arrays"]["rewards"].shape
    print(f"{rows} steps, {agents} agents, {len(returns)} episodes of {EPISODE_STEPS} steps")
    print(f"return mean {returns.mean():.2f}, sd {returns.std():.2f}; min, quartiles, max {quartiles}")
    figure, axes = pyplot.subplots(figsize=(6, 3.5), layout="constrained")
    axes.hist(returns, bins=60)
    facts = data["provenance"]
    axes.set(xlabel="episode return", ylabel="episodes", title=f"{facts['task']} {facts['quality']}, seed {facts['seed']}")
    picture = path.with_suffix(".png")
    with atomic(picture) as part:
        figure.savefig(part, format="png", dpi=120)
    print(f"histogram: {picture}")


def existing(tasks: list[str]) -> list[Path]:
    """Data sets in the cache folder, of these tasks or of all."""
    paths = sorted(data_folder().glob("*/*/*.h5"))
    return [path for path in paths if not tasks or path.parent.name in tasks]


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code: 0, 1 if a check failed, 2 on bad input."""
    from tabulate import tabulate

    parser = argparse.ArgumentParser(prog="python -m envs.datasets", description=__doc__.split("\n\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("list", "build", "check", "train-behaviour"):
        command = commands.add_parser(name)
        command.add_argument("tasks", nargs="*", metavar="TASK")
        if name == "build":
            command.add_argument("--quality", nargs="+", default=list(QUALITIES))
            command.add_argument("--seeds", nargs="+", type=int, default=behaviour.SEEDS)
            command.add_argument("--size", default="quick")
    command = commands.add_parser("show")
    command.add_argument("task"), command.add_argument("quality")
    command.add_argument("--seed", type=int, default=0), command.add_argument("--size", default="quick")
    args = parser.parse_args(arguments)
    try:
        for task in getattr(args, "tasks", []):
            data_path(task, "random", 0, "quick")
        if args.command == "list":
            print(tabulate([describe(path) for path in existing(args.tasks)], HEADER))
            print(f"in {data_folder()}; tasks: {', '.join(SCENARIOS)}")
        elif args.command == "build":
            for task in args.tasks or SCENARIOS:
                for quality in args.quality:
                    build(task, quality, args.seeds, args.size)
        elif args.command == "check":
            problems = [problem for path in existing(args.tasks) if (problem := check(path))]
            print("\n".join(problems) or f"{len(existing(args.tasks))} data sets are in order")
            return 1 if problems else 0
        elif args.command == "show":
            show(data_path(args.task, args.quality, args.seed, args.size))
        else:
            for task in args.tasks or SCENARIOS:
                behaviour.train_behaviour(task)
    except (DataError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
