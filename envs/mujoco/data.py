"""Data sets of the robots, as D4RL's: single-agent rows of the whole robot, which views turn into
multi-agent data.

Collected by the shipped SAC policies, with stochastic actions:

    random          uniform actions
    medium, expert  the policies of that name
    medium-expert   medium, then expert
    medium-replay   the training's replay buffer until about the medium snapshot
    full-replay     the replay buffer until the expert snapshot
    uncoordinated   every agent on medium or expert, all combinations in equal parts of rows
                    (CAST-BCQ), agent i by run i of the trainings (run 0 again after the last)
    uncoordinated-snapshots  the same, all agents by one training

Replay data are rebuilt by default from training snapshots that ship with the repository: each plays
for as many steps as the training spent around it, after a start of uniform actions.
`replay="exact"` runs the training again. Which part of the training it is stands on the card
(`envs.mujoco.shipping.nearest_part`).

D4RL's replay data have the form of rlkit's collector: 1,000 steps before the first update, then
1,000 an epoch, and what is running when an epoch ends is cut there. That is why HalfCheetah's have
202,000 rows, and why hopper-medium-replay-v1 counts 302 timeouts (D4RL's issue 86) where hardly an
episode reaches 1,000 steps (issue 162). Ours are cut alike.

Two-agent HalfCheetah (OMAR) has random, medium-replay, medium and expert data of five MATD3 teams
instead, see `envs.mujoco.team_behaviour`.

Keys are D4RL's: observations, actions, rewards, next_observations, terminals, timeouts, infos/qpos,
infos/qvel, infos/action_log_probs, metadata/policy/... The data are cut to their size, so the last
episode may lack its end.
"""

import itertools
import platform
from pathlib import Path

import mujoco
import numpy as np
import torch
from torch import Tensor

from common.learning.policies import distribution, squash
from common.learning.population import Parameters, generator, generators
from common.running.files import sha256
from common.running.sources import resolve
from envs import joint
from envs.joint import FLAGS, FLOATS
from envs.mujoco import behaviour
from envs.mujoco import team_behaviour as teams
from envs.mujoco.batch import RobotBatch
from envs.mujoco.robots import robot, xml_path
from envs.mujoco.team import RobotTeam
from envs.mujoco.views import ACTION_DIMS, STATE_DIMS, TASK_VIEWS, task_view, view
from envs.released import beside, table
from envs.released import constants as released_constants
from envs.storage import FORMAT, DataError

GENERATOR = 1  # raise it when a change alters all data; of some, a fact of theirs says it
TASKS = (*behaviour.TRAININGS, *TASK_VIEWS)
QUALITIES = (
    "random",
    "medium",
    "expert",
    "medium-expert",
    "medium-replay",
    "full-replay",
    "uncoordinated",
    "uncoordinated-snapshots",
)
SIZES = {
    "smoke": 4_000,
    "quick": 100_000,
    "standard": 200_000,
    "paper": 1_000_000,
}  # steps of random, medium and expert data
COLLECTOR_START = 1_000  # steps before the first update, by rlkit's launchers
COLLECTOR_EPOCH = 1_000  # steps after which rlkit's collector cuts the episode that is running
INFOS = ("infos/qpos", "infos/qvel", "infos/action_log_probs")
KEYS = FLOATS + FLAGS + INFOS
COLLECT_WORLDS = 50  # simulations collected from together
REPLAYS = ("snapshots", "exact")
REPLAY_QUALITIES = ("medium-replay", "full-replay")
UNCOORDINATED = {"uncoordinated": "runs", "uncoordinated-snapshots": "snapshots"}  # by quality

RELEASED = beside(__file__)
# Returns that D4RL normalises with: expert and random policies of its authors
D4RL_CONSTANTS = {name: released_constants(RELEASED, name) for name in behaviour.TRAININGS}


def robot_of(task: str) -> str:
    """The robot a task is built on."""
    return task_view(task).system


def ships(task: str) -> bool:
    """Whether the behaviour policies of a task are there."""
    return (behaviour.POLICIES / task / "card.json").exists()


def effort(task: str, quality: str) -> int:
    """How long a data set takes to build, for putting the longest first; all about as long."""
    return 1


def qualities(task: str) -> tuple[str, ...]:
    """Data qualities of a task; uncoordinated data need a second training."""
    if task in TASK_VIEWS:
        return teams.QUALITIES
    several = behaviour.runs(task) > 1
    return tuple(quality for quality in QUALITIES if several or quality != "uncoordinated")


def constants(task: str, source: str = "ours") -> tuple[float, float]:
    """Expert and random return that normalised scores are relative to.

    Args:
        source: "ours", from the policies' card (expert with stochastic actions, as in the data), or
            "d4rl".
    """
    if source == "d4rl":
        return D4RL_CONSTANTS[robot_of(task)]
    if task in TASK_VIEWS:
        card = teams.card(task)
        return float(np.mean(card["expert"]["return_mean"])), card["random_return"]
    card = behaviour.card(task)
    return card["expert"]["stochastic"]["return_mean"], card["random"]["return_mean"]


def train_behaviour(task: str) -> None:
    """Trains and ships the policies of one task, from nothing."""
    if task in TASK_VIEWS:
        teams.ship(*teams.train(task))
    else:
        resolve("envs.mujoco.shipping:train_all")(task)  # by name: it decides no data itself


def generate(
    task: str, quality: str, seeds: list[int], size: str, replay: str = "snapshots"
) -> list[tuple[dict, dict]]:
    """Arrays by name in the file, and provenance, of the data set of each seed."""
    if task in TASK_VIEWS:
        data = team_rows(task, quality, seeds, size_of(task, quality, size))
    else:
        data = [rows(task, quality, seed, size, replay) for seed in seeds]
    return [
        (arrays, provenance(task, quality, seed, size, replay))
        for seed, arrays in zip(seeds, data, strict=True)
    ]


def team_rows(task: str, quality: str, seeds: list[int], steps: int) -> list[dict[str, np.ndarray]]:
    """The data sets of some of the five teams: whole episodes, one after the other.

    random: uniform actions. medium, expert: the teams with N(0, 0.1) action noise. medium-replay: a
    start of uniform actions, then the training's snapshots with the training's noise, each for its
    share of the training until medium.
    """
    card = teams.card(task)
    team = RobotTeam(task)
    if quality != "medium-replay":
        policy = None if quality == "random" else teams.load_policy(task, quality)
        return play_team(team, policy, teams.DATA_NOISE, seeds, f"data/{task}/{quality}", steps)
    warmup = card["config"]["warmup"]
    noise = card["config"]["exploration"]
    snapshots = teams.load_snapshots(task)
    per_seed = []
    for seed in seeds:
        end = card["medium"]["updates"][teams.SEEDS.index(seed)]
        policies = [None, *(policy for count, policy in sorted(snapshots.items()) if count <= end)]
        until = shares(
            warmup, [warmup + count for count in sorted(snapshots) if count <= end], warmup + end
        )

        def play(i: int, wanted: int, seed=seed, policies=policies) -> dict[str, np.ndarray]:
            return play_team(
                team, policies[i], noise, [seed], f"data/{task}/{quality}/{i}", wanted
            )[0]

        per_seed.append(join(in_proportion(until, steps, play)))
    return per_seed


def replay_rows(task: str, quality: str, size: str) -> int:
    """Rows of replay data: the released number at every size but smoke, which has its share.

    A replay is short of itself, and less of one is another data set: a training cut into a tenth
    of its rows leaves every policy a handful of episodes.
    """
    released_rows = int(table(RELEASED)[task, quality]["transitions"])
    return released_rows * SIZES[size] // SIZES["paper"] if size == "smoke" else released_rows


def size_of(task: str, quality: str, size: str) -> int:
    """Steps of a data set."""
    return replay_rows(task, quality, size) if quality == "medium-replay" else SIZES[size]


def shares(warmup: int, snapshots: list[int], end: int) -> list[float]:
    """The step of training up to which each policy stands for it: uniform actions first, then every
    snapshot.

    Args:
        snapshots: steps they were taken at, in order, none after `end`.
    """
    return [warmup, *((a + b) / 2 for a, b in itertools.pairwise(snapshots)), end]


def in_proportion(until: list[float], steps: int, play) -> list[dict[str, np.ndarray]]:
    """Pieces of whole episodes, play(i, rows) of each policy, so that rows follow `until` (see
    `shares`).
    """
    pieces = []
    done = 0
    for i, last in enumerate(until):
        wanted = round(steps * last / until[-1]) - done
        if wanted > 0:
            pieces.append(play(i, wanted))
            done += len(pieces[-1]["rewards"])
    return pieces


def play_team(
    team: RobotTeam,
    policy: Parameters | None,
    noise: float,
    seeds: list[int],
    purpose: str,
    steps: int,
) -> list[dict[str, np.ndarray]]:
    """Whole episodes of some of the five teams, at least `steps` steps of each; uniform actions
    without a policy.
    """
    horizon = robot(team.view.system).horizon
    members = len(seeds)
    episodes = -(-steps // horizon)
    batch = RobotBatch(team.view.system, members * episodes)
    streams = generators(seeds, f"{purpose}/noise")
    if policy is None:
        act = teams.uniform(team, streams)
    else:
        mine = [teams.SEEDS.index(seed) for seed in seeds]
        own = Parameters(
            {name: tensor[mine] for name, tensor in policy.tensors.items()}, trainable=False
        )
        act = teams.noisy(own, streams, noise)
    state = batch.reset(generators(seeds, f"{purpose}/starts"))
    columns = []
    for _ in range(horizon):
        obs = team.view.observe(torch.from_numpy(state).float())
        action = act(obs.unflatten(0, (members, episodes)).transpose(1, 2).contiguous())
        joint = team.view.join(action.transpose(1, 2).flatten(0, 1)).numpy()
        before = batch.qpos.astype(np.float32), batch.qvel.astype(np.float32)
        following, reward, terminated, truncated = batch.step(joint)
        columns.append(
            (
                state.astype(np.float32),
                joint,
                reward.astype(np.float32),
                following.astype(np.float32),
                terminated,
                truncated,
                *before,
            )
        )
        state = following
    keys = (*FLOATS, *FLAGS, "infos/qpos", "infos/qvel")
    stacked = {
        key: np.stack(column, axis=1)
        for key, column in zip(keys, zip(*columns, strict=True), strict=True)
    }
    shaped = {
        key: values.reshape(members, episodes * horizon, *values.shape[2:])
        for key, values in stacked.items()
    }
    return [{key: values[m] for key, values in shaped.items()} for m in range(members)]


def rows(task: str, quality: str, seed: int, size: str, replay: str) -> dict[str, np.ndarray]:
    """The arrays of one data set, by name in the file."""
    steps = size_of(task, quality, size)
    purpose = f"data/{task}/{quality}"
    if quality == "medium-expert":
        medium, expert = (rows(task, part, seed, size, replay) for part in ("medium", "expert"))
        last = (
            np.flatnonzero(medium["terminals"] | medium["timeouts"])[-1] + 1
        )  # of medium's last whole episode
        return join([join([medium], last), expert])
    if quality in REPLAY_QUALITIES:
        if replay == "exact":
            return exact_replay(task, quality)
        return snapshot_replay(task, quality, seed, steps)
    if quality in UNCOORDINATED:
        teams_of = uncoordinated_teams(task, UNCOORDINATED[quality])
        share = -(-steps // len(teams_of))
        pieces = [
            cut(collect(task, team, seed, f"{purpose}/{name}", share), share)
            for name, team in teams_of.items()
        ]
        return join(pieces, steps)
    policy = None if quality == "random" else behaviour.load_policy(task, quality)
    team = [policy] if policy else None
    return join([collect(task, team, seed, purpose, steps)], steps) | (
        metadata(policy) if policy else {}
    )


def uncoordinated_teams(task: str, kind: str) -> dict[str, list[Parameters]]:
    """Every combination of medium and expert, one policy an agent, by the qualities' initials:
    "MM", "ME", "EM", "EE".

    The paper has every combination in equal parts, of a medium and an expert policy of one
    training. Ours of one hardly miscoordinate: the early gait goes with the late one. Policies of
    different trainings do.

    Args:
        kind: "runs", agent i plays policies of run i, and of run 0 again after the last; or
            "snapshots", all agents play those of run 0.

    Raises:
        DataError: runs are asked for, and there is one.
    """
    runs = behaviour.runs(task) if kind == "runs" else 1
    if kind == "runs" and runs < 2:
        raise DataError(
            f"uncoordinated data of {task} are of several trainings, and {runs} ships; "
            "use uncoordinated-snapshots"
        )
    mixtures = itertools.product(("medium", "expert"), repeat=robot(task).agents)
    return {
        "".join(name[0].upper() for name in names): [
            behaviour.load_policy(task, name, agent % runs) for agent, name in enumerate(names)
        ]
        for names in mixtures
    }


def collect(
    task: str,
    team: list[Parameters] | None,
    seed: int,
    purpose: str,
    steps: int,
    epoch: int | None = None,
) -> dict[str, np.ndarray]:
    """Rolls out policies with sampled actions for at least `steps` steps, whole episodes one after
    the other.

    Every simulation plays its share of the steps and then ends its episode, so that long and short
    episodes come in the proportion in which the policy plays them.

    Args:
        team: one policy for the whole robot, or one per agent, of which each agent's slice is
            taken; None for uniform actions.
        epoch: steps after which every simulation's episode is cut by the clock.
    """
    worlds = min(COLLECT_WORLDS, max(1, steps // robot(task).horizon))
    batch = RobotBatch(task, worlds)
    share = -(-steps // worlds)
    starts = generator(seed, f"{purpose}/starts")
    noise = generator(seed, f"{purpose}/noise")
    state = batch.reset([starts])
    pieces = []
    played = np.zeros(worlds, np.int64)
    running = np.arange(worlds)
    while len(running):
        action, log_prob = (values[running] for values in act(team, batch, state, noise))
        before = state[running], action, batch.qpos[running], batch.qvel[running], log_prob
        following, reward, terminated, truncated = batch.step(action, running)
        played[running] += 1
        if epoch is not None:
            truncated = truncated | (played[running] % epoch == 0) & ~terminated
        pieces.append((running, before, reward, following, terminated, truncated))
        state[running] = following
        over = terminated | truncated
        again = over & (played[running] < share)
        if again.any():
            state = batch.restart(running[again], [starts])
        running = running[~over | again]
    world = np.concatenate([piece[0] for piece in pieces])
    order = np.argsort(world, kind="stable")  # simulation by simulation, each in order of time
    states, actions, qpos, qvel, log_probs = (
        np.concatenate(part)[order] for part in zip(*(p[1] for p in pieces), strict=True)
    )
    rewards, following, terminals, timeouts = (
        np.concatenate(part)[order] for part in list(zip(*pieces, strict=True))[2:]
    )
    values = (states, actions, rewards, following, terminals, timeouts, qpos, qvel, log_probs)
    return {
        key: part.astype(bool if key in FLAGS else np.float32)
        for key, part in zip(KEYS, values, strict=True)
    }


def act(
    team, batch: RobotBatch, state: np.ndarray, noise: torch.Generator
) -> tuple[np.ndarray, np.ndarray]:
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
    """Pieces that end with an episode one after the other, cut to `steps` rows, so that the last
    episode may lack its end.
    """
    return {
        key: np.concatenate([piece[key] for piece in pieces])[:steps]
        for key in pieces[0]
        if key in KEYS
    }


def cut(piece: dict[str, np.ndarray], steps: int) -> dict[str, np.ndarray]:
    """The first `steps` rows of a piece of whole episodes; where that cuts one, its last row is a
    timeout.
    """
    first = {key: values[:steps] for key, values in piece.items()}
    first["timeouts"][-1] |= ~first["terminals"][-1]
    return first


def replayed(task: str, quality: str) -> tuple[int, int]:
    """The part of the training that a replay data set is the buffer of: steps from and to."""
    begin, end = behaviour.card(task)["replays"][quality]
    return begin, end


def snapshot_replay(task: str, quality: str, seed: int, steps: int) -> dict[str, np.ndarray]:
    """Rolls out the training's snapshots, each for its share of the part of the training that the
    data are of.
    """
    policies = behaviour.load_snapshots(task)
    counts = sorted(policies)
    players = [None, *([policies[count]] for count in counts)]
    parts = shares_between(counts, *replayed(task, quality))

    def play(i: int, wanted: int) -> dict[str, np.ndarray]:
        purpose = f"data/{task}/{quality}/{i}"
        return collect(task, players[i], seed, purpose, wanted, COLLECTOR_EPOCH)

    return join(in_proportion(list(itertools.accumulate(parts)), steps, play), steps)


def shares_between(snapshots: list[int], begin: int, end: int) -> list[float]:
    """Steps between `begin` and `end` of a training that uniform actions and every snapshot stand
    for: the first COLLECTOR_START steps, then those that are nearest to the snapshot.

    Args:
        snapshots: steps they were taken at, in order.
    """
    bounds = [0.0, COLLECTOR_START, *((a + b) / 2 for a, b in itertools.pairwise(snapshots))]
    bounds = [min(max(bound, begin), end) for bound in [*bounds, end]]
    return [after - before for before, after in itertools.pairwise(bounds)]


def exact_replay(task: str, quality: str) -> dict[str, np.ndarray]:
    """The replay buffer of a part of the training itself, run again.

    Simulation by simulation, each in order of time; where a simulation's last episode had not
    ended, its last row is flagged as a timeout. Episodes are whole but for those ends.
    """
    training = behaviour.Training(**behaviour.card(task)["training"])
    run = behaviour.OnlineTraining(task, training)
    begin, end = replayed(task, quality)
    for done in run.run():
        if done >= end:
            break
    rows = run.buffer.rows[begin - begin % training.worlds : run.buffer.size]
    rows = rows.unflatten(0, (-1, training.worlds)).transpose(0, 1)  # [worlds, T, F]
    parts = [part.squeeze(-1).numpy() for part in rows.split(run.buffer.widths, dim=-1)]
    arrays = dict(
        zip(("observations", "actions", "rewards", "next_observations", *FLAGS), parts, strict=True)
    )
    arrays |= {flag: arrays[flag].astype(bool) for flag in FLAGS}
    arrays["timeouts"][:, -1] |= ~arrays["terminals"][:, -1]
    return {key: values.reshape(-1, *values.shape[2:]) for key, values in arrays.items()}


def metadata(policy: Parameters) -> dict[str, np.ndarray]:
    """The policy in D4RL's layout: fc0, fc1, last_fc (mean), last_fc_log_std, weights [out, in]."""
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
        named[f"metadata/policy/{name}/weight"] = weight.T
        named[f"metadata/policy/{name}/bias"] = bias
    return named


def provenance(task: str, quality: str, seed: int, size: str, replay: str = "snapshots") -> dict:
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
            "model": sha256(xml_path(robot(robot_of(task)).xml)),
        },
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "mujoco": mujoco.__version__,
        },
    }
    if quality in REPLAY_QUALITIES:
        names = ["replay"]
        facts["replay"] = replay
        if task not in TASK_VIEWS:
            facts["part"] = replayed(task, quality)
    elif quality == "random":
        names = []
    elif quality in ("medium", "expert"):
        names = [quality]
    else:
        names = ["medium", "expert"]
    if quality in UNCOORDINATED:
        facts["uncoordinated"] = UNCOORDINATED[quality]
        facts["parts"] = "equal rows"
        runs = behaviour.runs(task) if UNCOORDINATED[quality] == "runs" else 1
        names = [behaviour.named(name, run) for run in range(runs) for name in names]
    facts["policies"] = {
        name: sha256(behaviour.POLICIES / task / f"{name}.safetensors") for name in names
    }
    facts["constants"] = {source: constants(task, source) for source in ("ours", "d4rl")}
    return facts


def extract(file, facts: dict) -> dict[str, np.ndarray]:
    """Arrays [R, ...] of an open file."""
    return joint.extract(file, INFOS)


def validate(path: Path, arrays: dict[str, np.ndarray], facts: dict) -> None:
    """Raises DataError unless the rows are what this robot can have done, see `joint.validate`."""
    name = robot_of(facts["task"])
    joint.validate(
        path, arrays, STATE_DIMS[name], robot(name).agents * ACTION_DIMS[name], robot(name).horizon
    )


def transitions(
    data: dict, of: str | None = None, terminal_timeouts: bool = False
) -> dict[str, Tensor]:
    """What learners need of a loaded data set, seen by the agents of a view, see
    `joint.transitions`.

    Args:
        of: name of the view; by default the task's own.
        terminal_timeouts: as OMAR's released HalfCheetah data do.
    """
    task = data["provenance"]["task"]
    return joint.transitions(
        data["arrays"], view(robot_of(task), of) if of else task_view(task), terminal_timeouts
    )


def episode_returns(data: dict) -> np.ndarray:
    """[episodes] undiscounted returns of finished episodes."""
    return joint.episode_returns(data["arrays"])


def released(task: str, quality: str) -> dict | None:
    """Figures of D4RL's v2 file or of OMAR's data, see `envs.released`: the yardstick for ours."""
    return table(RELEASED).get((task, quality))


def expected_return(facts: dict) -> tuple[float, float | None, int] | None:
    """Mean and standard deviation of the behaviour's return, and episodes they are over; None for
    mixtures, and for replays that are exact or too small to have every snapshot.
    """
    if "source" in facts:
        return None
    if facts["quality"] in REPLAY_QUALITIES and facts["task"] not in TASK_VIEWS:
        if facts.get("replay") == "exact" or facts.get("size") == "smoke":
            return None
        return behaviour.card(facts["task"])["replay_means"][facts["quality"]]["return"], None, 100
    if facts["quality"] not in ("random", "medium", "expert"):
        return None
    if facts["task"] in TASK_VIEWS:
        card = teams.card(facts["task"])
        if facts["quality"] == "random":
            return card["random_return"], None, 20
        stats = card[facts["quality"]]
        index = teams.SEEDS.index(facts["seed"])
        return stats["return_mean"][index], stats["return_sd"][index], stats["episodes"]
    card = behaviour.card(facts["task"])
    stats = card["random"] if facts["quality"] == "random" else card[facts["quality"]]["stochastic"]
    return stats["return_mean"], stats["return_sd"], stats["episodes"]
