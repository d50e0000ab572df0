"""Makes what ships of a robot's trainings: policies, snapshots for the replay data, and the card.

python -m envs.mujoco.shipping train ROBOT [--run K]   # until it is finished, and ships it
python -m envs.mujoco.shipping ship ROBOT [--run K]    # from the checkpoint, as far as it goes
python -m envs.mujoco.shipping choose ROBOT            # the expert anew, of shipped snapshots
python -m envs.mujoco.shipping measure ROBOT           # replays and teams of what ships

A training that ships need not be finished: the card says how many steps were trained.

What ships is chosen by how near its returns are to the released data's, never by how a learner does
on them. `distance` is the rule: 1 is the border of "near", in mean, spread and length.
"""

import argparse
import platform
from dataclasses import asdict
from typing import Any

import mujoco
import numpy as np
import torch
from safetensors.torch import save_file

from common.learning.population import Parameters, generator
from common.running.files import write_json
from envs.lockstep import play
from envs.mujoco import behaviour, data
from envs.mujoco.batch import RobotBatch

# The border of "near": a tenth of the way from D4RL's random to its expert constant; factors of
# spread and length
NEAR_LEVEL = 0.1
NEAR_SPREAD = 2.0
NEAR_LENGTH = 1.5
CHOICE_EPISODES = 50  # of every candidate
CANDIDATES = 10
CARD_EPISODES = 100
TEAM_EPISODES = 20
EPOCHS = 20  # of the collector, to measure a snapshot of the replay
KEPT = 6  # snapshots up to medium, and from medium to expert
LAST = 1 / 3  # of a training, in which the expert is looked for
STEP = 10_000  # of training, between parts that are tried for the replay data


def distance(task: str, quality: str, mean: float, sd: float | None, length: float) -> float:
    """How far returns are from the released data's: the largest of the distances of mean, standard
    deviation and length of episodes, each in units of the border of "near"; 0 where nothing is
    published.

    Args:
        sd: None where it is not to count.
    """
    known = data.released(task, quality)
    if not known or known.get("return_mean") is None:
        return 0.0
    expert, random = data.D4RL_CONSTANTS[task]
    parts = [abs(mean - known["return_mean"]) / (expert - random) / NEAR_LEVEL]
    if sd and known.get("return_sd"):
        parts.append(abs(np.log(sd / known["return_sd"])) / np.log(NEAR_SPREAD))
    if known.get("length"):
        parts.append(abs(np.log(length / known["length"])) / np.log(NEAR_LENGTH))
    return float(max(parts))


def played(task: str, team: list[Parameters] | None, episodes: int, seed: int = 0) -> dict:
    """Returns of whole episodes by sampled actions, of a policy or of one an agent; see
    `data.collect`.
    """
    batch = RobotBatch(task, episodes)
    noise = generator(seed, "card noise")
    return summary(
        *play(
            batch,
            lambda states: data.act(team, batch, states, noise)[0],
            [generator(seed, "card starts")],
        )
    )


def summary(returns: np.ndarray, lengths: np.ndarray) -> dict:
    """What a card says about episodes."""
    return {
        "return_mean": round(float(returns.mean()), 2),
        "return_sd": round(float(returns.std()), 2),
        "return_min": round(float(returns.min()), 2),
        "length_mean": round(float(lengths.mean()), 1),
        "episodes": len(returns),
    }


def rounded(tensors: dict[str, torch.Tensor]) -> Parameters:
    """A policy as it ships, in half precision."""
    return Parameters({name: each.half().float() for name, each in tensors.items()}, False)


def nearest(
    run: behaviour.OnlineTraining, quality: str, indices: list[int], say=print
) -> tuple[int, dict]:
    """Of these snapshots the one that is nearest to the released data, by sampled actions; and
    [mean, standard deviation, distance] of every candidate by its steps.

    Candidates are the snapshots whose evaluation while they trained is nearest to the released
    mean; without one, the best of them.
    """
    task = run.robot
    known = data.released(task, quality)
    wanted = known["return_mean"] if known and known["return_mean"] is not None else np.inf
    by_evaluation = sorted(indices, key=lambda i: (abs(run.curve[i][1] - wanted), -run.curve[i][1]))
    found: dict[int, list[float]] = {}
    for i in sorted(by_evaluation[:CANDIDATES]):
        stats = played(task, [rounded(run.snapshots[i])], CHOICE_EPISODES)
        mean, sd = stats["return_mean"], stats["return_sd"]
        found[i] = row(stats, distance(task, quality, mean, sd, stats["length_mean"]))
        say(f"{task} {quality}: {run.curve[i][0]} steps, {mean} +- {sd}, off by {found[i][2]:.2f}")
    best = min(found, key=lambda i: (found[i][2], -found[i][0]))
    return best, {str(run.curve[i][0]): of for i, of in found.items()}


def ship(run: behaviour.OnlineTraining, number: int = 0, say=print) -> dict:
    """Writes medium and expert of a training to `policies/`, with their card, and of the first one
    the replay's snapshots, too.

    expert: the nearest to the released expert in the last third of what was trained. medium: the
    nearest to the released medium before it.

    Args:
        run: as far as it was trained.
        number: which of the robot's trainings it is.
    """
    task = run.robot
    count = len(run.curve)
    expert, experts = nearest(run, "expert", [*range(int(count * (1 - LAST)), count)], say)
    before = [*range(expert)] or [expert]
    medium, mediums = nearest(run, "medium", before, say)
    folder = behaviour.POLICIES / task
    folder.mkdir(parents=True, exist_ok=True)
    facts: dict[str, Any] = {
        "robot": task,
        "algorithm": "SAC",
        "training": asdict(run.training),
        "trained": run.buffer.size,
        "config": asdict(run.config),
        "contact_margins": run.batch.contact_margins,
        "random": played(task, None, 2 * CARD_EPISODES),
    }
    for quality, index, candidates in (("medium", medium, mediums), ("expert", expert, experts)):
        name = behaviour.named(quality, number)
        halves = {part: tensor.half() for part, tensor in run.snapshots[index].items()}
        save_file(halves, folder / f"{name}.safetensors")
        facts[quality] = of_policy(task, rounded(run.snapshots[index]))
        facts[quality] |= {"steps": run.curve[index][0], "candidates": candidates}
    if number == 0:
        spaced = [*np.linspace(0, medium, KEPT), *np.linspace(medium, expert, KEPT)]
        kept = sorted({int(i) for i in spaced})
        halves = {f"{i}/{n}": tensor.half() for i in kept for n, tensor in run.snapshots[i].items()}
        save_file(halves, folder / "replay.safetensors")
        facts["replay_snapshots"] = {str(i): run.curve[i][0] for i in kept}
    facts["curve"] = [[steps, round(value, 1)] for steps, value in run.curve]
    facts["versions"] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "mujoco": mujoco.__version__,
    }
    write_json(folder / f"{behaviour.named('card', number)}.json", facts)
    measure(task)
    return behaviour.card(task, number)


def choose(task: str, say=print) -> None:
    """Ships as expert that of a first training's shipped snapshots, in its last third, which is
    nearest to the released expert; for a training that is gone.
    """
    card = behaviour.card(task)
    snapshots = behaviour.load_snapshots(task)
    last = max(snapshots)
    found: dict[int, list[float]] = {}
    for steps, policy in sorted(snapshots.items()):
        if steps > last * (1 - LAST):
            stats = played(task, [policy], CHOICE_EPISODES)
            mean, sd = stats["return_mean"], stats["return_sd"]
            found[steps] = row(stats, distance(task, "expert", mean, sd, stats["length_mean"]))
            say(f"{task} expert: {steps} steps, {mean} +- {sd}, off by {found[steps][2]:.2f}")
    best = min(found, key=lambda steps: found[steps][2])
    halves = {name: tensor.half() for name, tensor in snapshots[best].tensors.items()}
    save_file(halves, behaviour.POLICIES / task / "expert.safetensors")
    card["expert"] = of_policy(task, snapshots[best])
    card["expert"] |= {"steps": best, "candidates": {str(i): of for i, of in found.items()}}
    write_json(behaviour.POLICIES / task / "card.json", card)
    measure(task)


def row(stats: dict, off: float) -> list[float]:
    """What a card says about a candidate: mean, standard deviation, distance."""
    return [stats["return_mean"], stats["return_sd"], round(off, 2)]


def of_policy(task: str, policy: Parameters) -> dict:
    """What a card says about a policy: returns by its mean actions and by sampled ones."""
    means = play(
        RobotBatch(task, CARD_EPISODES),
        behaviour.deterministic(policy),
        [generator(0, "card starts")],
    )
    return {"deterministic": summary(*means), "stochastic": played(task, [policy], CARD_EPISODES)}


def measure(task: str) -> None:
    """Writes to the first training's card which parts of it the replay data are, and, where a
    second training ships, the returns of uncoordinated teams.
    """
    card = behaviour.card(task)
    if "replay_snapshots" not in card:
        raise FileNotFoundError(f"no snapshots of {task} for its replay data; ship run 0 first")
    collected = {0: collector(task, None)} | {
        steps: collector(task, [policy])
        for steps, policy in sorted(behaviour.load_snapshots(task).items())
    }
    card["collector"] = {
        str(steps): [round(float(number), 2) for number in numbers]
        for steps, numbers in collected.items()
    }
    card["replays"], card["replay_means"] = {}, {}
    for quality in ("medium-replay", "full-replay"):
        part, mean, length = nearest_part(task, quality, collected, card)
        card["replays"][quality] = part
        card["replay_means"][quality] = {"return": round(mean, 1), "length": round(length, 1)}
    if behaviour.runs(task) > 1:
        card["uncoordinated"] = {
            kind: {
                name: played(task, team, TEAM_EPISODES)
                for name, team in data.uncoordinated_teams(task, kind).items()
            }
            for kind in data.UNCOORDINATED.values()
        }
    write_json(behaviour.POLICIES / task / "card.json", card)


def collector(task: str, team: list[Parameters] | None) -> tuple[float, float]:
    """A policy as the replay's collector plays it: mean return and mean length of an episode, as
    cut at the end of an epoch.
    """
    steps = EPOCHS * data.COLLECTOR_EPOCH
    arrays = data.collect(task, team, 0, "card/collector", steps, data.COLLECTOR_EPOCH)
    ends = np.flatnonzero(arrays["terminals"] | arrays["timeouts"])
    rows = ends[-1] + 1
    return arrays["rewards"][:rows].sum() / len(ends), rows / len(ends)


def nearest_part(
    task: str, quality: str, collected: dict[int, tuple], card: dict
) -> tuple[list[int], float, float]:
    """The part of the training whose replay buffer is nearest to the released data: steps [from,
    to], mean return, mean length.

    medium-replay: from the start to any step. full-replay: from any step to the last snapshot, as
    D4RL's buffer of a million steps need not hold the start of a longer training. Without released
    returns, from the start to the medium or to the last snapshot.

    Args:
        collected: of uniform actions, at key 0, and of every snapshot, see `collector`.
    """
    counts = sorted(set(collected) - {0})
    end = counts[-1]
    parts = [(0, stop) for stop in range(STEP, end + 1, STEP)]
    usual = (0, card["medium"]["steps"])
    if quality == "full-replay":
        parts = [(begin, end) for begin in range(0, end, STEP)]
        usual = (0, end)

    def means(begin: int, stop: int) -> tuple[float, float]:
        shares = data.shares_between(counts, begin, stop)
        rows = list(zip(shares, (collected[count] for count in (0, *counts)), strict=True))
        episodes = sum(steps / length for steps, (_, length) in rows)
        returns = sum(steps / length * mean for steps, (mean, length) in rows)
        return returns / episodes, sum(shares) / episodes

    def order(part: tuple[int, int]) -> tuple[float, int]:
        mean, length = means(*part)
        away = abs(part[0] - usual[0]) + abs(part[1] - usual[1])
        return distance(task, quality, mean, None, length), away

    best = min([usual, *parts], key=order)
    return [*best], *means(*best)


def train_and_ship(task: str, number: int = 0) -> None:
    """Trains one policy of a robot and ships it."""
    ship(behaviour.train_robot(task, behaviour.TRAININGS[task][number]), number)


def train_all(task: str) -> None:
    """Trains all policies of a robot and ships them."""
    for number in range(len(behaviour.TRAININGS[task])):
        train_and_ship(task, number)


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m envs.mujoco.shipping",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=("train", "ship", "choose", "measure"))
    parser.add_argument("robot", choices=tuple(behaviour.TRAININGS))
    parser.add_argument("--run", type=int, default=0, help="which of the robot's trainings")
    args = parser.parse_args(arguments)
    if args.what == "ship":
        training = behaviour.TRAININGS[args.robot][args.run]
        ship(behaviour.interrupted(args.robot, training), args.run)
    elif args.what == "train":
        train_and_ship(args.robot, args.run)
    else:
        {"choose": choose, "measure": measure}[args.what](args.robot)


if __name__ == "__main__":
    main()
