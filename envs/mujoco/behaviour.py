"""The policies that collect the robots' data: SAC trained online on the single-agent task, as
D4RL's were.

Training keeps a snapshot of the policy every 10,000 steps and evaluates it; medium and expert are
picked from the snapshots by the rule of `pick`, and ship as safetensors with a card. A few
snapshots in between ship too, in half precision, so that the training's replay can be rebuilt
without training again.
"""

import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import torch
from safetensors.torch import save_file

from common.learning.policies import act
from common.learning.population import Parameters, generator, normal_
from common.running.checkpoint import load_checkpoint, save_checkpoint
from common.running.files import write_json
from envs.lockstep import play
from envs.mujoco.batch import RobotBatch
from envs.mujoco.sac import SAC, SACConfig
from envs.shipped import read_card, read_snapshots, read_weights
from envs.storage import data_folder

POLICIES = Path(__file__).parent / "policies"
SEED = 0
EVALUATE_EVERY = 10_000  # steps
EVALUATION_EPISODES = 10
CARD_EPISODES = 20
CHECKPOINT_EVERY = 50_000  # steps; the replay buffer is in it
REPLAY_SNAPSHOTS = 10  # shipped for the replay data


@dataclass(frozen=True)
class Training:
    """Online training of one robot's behaviour policy."""

    steps: int  # environment steps in all
    # of the way from random to expert, so that medium is about where D4RL's medium data are
    medium_level: float
    worlds: int = 5  # simulations stepped together
    updates: int = 5  # after each step of all simulations
    warmup: int = 5_000  # first steps, uniform random and without updates
    seed: int = SEED


TRAININGS = {
    "halfcheetah": Training(750_000, 0.55),
    "hopper": Training(300_000, 0.40),
    "walker2d": Training(600_000, 0.58),
    "ant": Training(1_000_000, 0.55),
}


class Buffer:
    """Every transition of a training, in order: rows of state, action, reward, next state,
    terminal, timeout.
    """

    def __init__(self, capacity: int, state_dim: int, action_dim: int):
        self.widths = [state_dim, action_dim, 1, state_dim, 1, 1]
        self.rows = torch.empty(capacity, sum(self.widths))
        self.size = 0

    def add(self, *parts: np.ndarray) -> None:
        """Appends W rows."""
        columns = [np.asarray(part, np.float32).reshape(len(parts[0]), -1) for part in parts]
        new = torch.from_numpy(np.concatenate(columns, axis=1))
        self.rows[self.size : self.size + len(new)] = new
        self.size += len(new)

    def draw(self, batch_size: int, stream: torch.Generator) -> list[torch.Tensor]:
        """State, action, reward, next state, terminal of random rows, with axes [1, 1, B, ...]."""
        rows = self.rows[torch.randint(self.size, (batch_size,), generator=stream)]
        state, action, reward, following, terminal, _ = (
            part.contiguous()[None, None] for part in rows.split(self.widths, -1)
        )
        return [state, action, reward.squeeze(-1), following, terminal.squeeze(-1)]


class OnlineTraining:
    """SAC on one robot, resumable.

    Attributes:
        curve: per snapshot (steps, mean return of 10 deterministic episodes).
        snapshots: per snapshot the policy's tensors.
    """

    def __init__(self, robot: str, training: Training, config: SACConfig | None = None):
        self.robot = robot
        self.training = training
        self.config = config or SACConfig()
        self.batch = RobotBatch(robot, training.worlds, threads=1)
        self.evaluation = RobotBatch(robot, EVALUATION_EPISODES, threads=1)
        self.learner = SAC(
            [training.seed], self.batch.state_dim, self.batch.action_dim, self.config
        )
        self.buffer = Buffer(training.steps, self.batch.state_dim, self.batch.action_dim)
        purposes = ("starts", "exploration", "minibatches")
        self.streams = {name: generator(training.seed, f"{robot}/{name}") for name in purposes}
        self.curve: list[tuple[int, float]] = []
        self.snapshots: list[dict[str, torch.Tensor]] = []
        self.state = self.batch.reset([self.streams["starts"]])

    def run(self):
        """Trains to the end; yields the number of steps after every lockstep step."""
        worlds = self.training.worlds
        while self.buffer.size < self.training.steps:
            self.collect()
            if self.buffer.size > self.training.warmup:
                for _ in range(self.training.updates):
                    self.learner.update(
                        *self.buffer.draw(self.config.batch_size, self.streams["minibatches"])
                    )
            if self.buffer.size % EVALUATE_EVERY < worlds:
                self.snapshot()
            yield self.buffer.size

    def collect(self) -> None:
        """One step of every simulation by the stochastic policy, uniform during the warm-up."""
        shape = (self.training.worlds, self.batch.action_dim)
        stream = self.streams["exploration"]
        if self.buffer.size < self.training.warmup:
            action = torch.empty(shape).uniform_(-1, 1, generator=stream)
        else:
            noise = torch.empty(shape).normal_(generator=stream)
            state = torch.from_numpy(self.state).float()
            action = self.learner.policy.act(state[None, None], noise[None, None])[0, 0]
        following, reward, terminated, truncated = self.batch.step(action.numpy())
        self.buffer.add(self.state, action.numpy(), reward, following, terminated, truncated)
        self.state = following
        over = np.flatnonzero(terminated | truncated)
        if len(over):
            self.state = self.batch.restart(over, [self.streams["starts"]])

    def snapshot(self) -> None:
        """Evaluates and keeps the policy."""
        params = self.learner.policy.params.frozen_copy()
        returns, _ = play(
            self.evaluation, deterministic(params), [generator(self.training.seed, "evaluation")]
        )
        self.curve.append((self.buffer.size, float(returns.mean())))
        self.snapshots.append({name: tensor.clone() for name, tensor in params.tensors.items()})

    def state_dict(self) -> dict:
        return {
            "learner": self.learner.state_dict(),
            "rows": self.buffer.rows[: self.buffer.size].clone(),
            "streams": {name: stream.get_state() for name, stream in self.streams.items()},
            "curve": self.curve,
            "snapshots": self.snapshots,
            "simulations": {
                name: torch.from_numpy(values) for name, values in self.batch.snapshot().items()
            },
            "state": torch.from_numpy(self.state),
        }

    def load_state_dict(self, state: dict) -> None:
        self.learner.load_state_dict(state["learner"])
        self.buffer.size = len(state["rows"])
        self.buffer.rows[: self.buffer.size] = state["rows"]
        for name, saved in state["streams"].items():
            self.streams[name].set_state(saved)
        self.curve = list(map(tuple, state["curve"]))
        self.snapshots = state["snapshots"]
        self.batch.restore({name: values.numpy() for name, values in state["simulations"].items()})
        self.state = state["state"].numpy()


def train_robot(robot: str, training: Training | None = None, say=print) -> OnlineTraining:
    """Trains one robot's policy, continuing from its checkpoint if there is one, also from that of
    a shorter training.
    """
    training = training or TRAININGS[robot]
    run = OnlineTraining(robot, training)
    path = data_folder().parent / "behaviour" / f"{robot}-sac-{training.seed}.pt"
    same = {
        key: value
        for key, value in asdict(training).items()
        if key not in ("steps", "medium_level")
    }
    identity = {"training": same, "config": asdict(run.config), "mujoco": mujoco.__version__}
    if saved := load_checkpoint(path, identity):
        run.load_state_dict(saved)
        say(f"{robot}: continuing at {run.buffer.size} steps")
    began = time.monotonic()
    first = run.buffer.size
    for steps in run.run():
        if steps % EVALUATE_EVERY < training.worlds:
            rate = (steps - first) / (time.monotonic() - began)
            temperature = float(run.learner.temperature.flat.exp())
            say(
                f"{robot}: {steps}/{training.steps} steps, return {run.curve[-1][1]:.0f}, "
                f"{rate:.0f} steps/s, temperature {temperature:.3f}"
            )
        if steps % CHECKPOINT_EVERY < training.worlds:
            save_checkpoint(path, identity, run.state_dict())
    return run


def pick(curve: list[tuple[int, float]], random_return: float, level: float) -> tuple[int, int]:
    """Indices of the medium and the expert snapshot.

    expert: the best snapshot of the last tenth of training. medium: the first whose evaluation,
    averaged with the two before, reaches `level` of the way from random to expert.
    """
    returns = np.array([value for _, value in curve])
    tail = max(1, len(returns) // 10)
    expert = len(returns) - tail + int(returns[-tail:].argmax())
    target = random_return + level * (returns[expert] - random_return)
    smooth = np.convolve(returns, np.ones(3) / 3, mode="valid")  # of snapshots i, i + 1, i + 2
    reached = np.flatnonzero(smooth >= target)
    medium = int(reached[0]) + 2 if len(reached) else expert
    return min(medium, expert), expert


def ship(run: OnlineTraining) -> dict:
    """Writes medium, expert and the replay's snapshots of a finished training to `policies/`, with
    their card.
    """
    robot = run.robot
    training = run.training
    random_returns, random_lengths = play(
        RobotBatch(robot, 200),
        uniform(run.batch.action_dim, [generator(training.seed, "random")]),
        [generator(training.seed, "random starts")],
    )
    medium, expert = pick(run.curve, float(random_returns.mean()), training.medium_level)
    folder = POLICIES / robot
    folder.mkdir(parents=True, exist_ok=True)
    facts: dict[str, Any] = {
        "robot": robot,
        "algorithm": "SAC",
        "training": asdict(training),
        "config": asdict(run.config),
        "contact_margins": run.batch.contact_margins,
        "random": _summary(random_returns, random_lengths),
    }
    for quality, index in (("medium", medium), ("expert", expert)):
        save_file(run.snapshots[index], folder / f"{quality}.safetensors")
        policy = Parameters(run.snapshots[index], trainable=False)
        for mode, act_ in (
            ("deterministic", deterministic(policy)),
            ("stochastic", stochastic(policy, [generator(training.seed, "card noise")])),
        ):
            batch = RobotBatch(robot, CARD_EPISODES)
            played = play(batch, act_, [generator(training.seed, "card starts")])
            facts.setdefault(quality, {"steps": run.curve[index][0]})[mode] = _summary(*played)
    kept = sorted({int(i) for i in np.linspace(0, expert, REPLAY_SNAPSHOTS)} | {medium})
    halves = {
        f"{i}/{name}": tensor.half() for i in kept for name, tensor in run.snapshots[i].items()
    }
    save_file(halves, folder / "replay.safetensors")
    facts["replay_snapshots"] = {str(i): run.curve[i][0] for i in kept}
    facts["curve"] = [[steps, round(value, 1)] for steps, value in run.curve]
    facts["versions"] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "mujoco": mujoco.__version__,
    }
    write_json(folder / "card.json", facts)
    return facts


def _summary(returns: np.ndarray, lengths: np.ndarray) -> dict:
    return {
        "return_mean": round(float(returns.mean()), 2),
        "return_sd": round(float(returns.std()), 2),
        "length_mean": round(float(lengths.mean()), 1),
        "episodes": len(returns),
    }


def card(robot: str) -> dict:
    """What is known about a robot's behaviour policies, see `ship`."""
    return read_card(POLICIES, robot)


def load_policy(robot: str, quality: str) -> Parameters:
    """The shipped policy, "medium" or "expert"."""
    card(robot)
    path = POLICIES / robot / f"{quality}.safetensors"
    if not path.exists():
        raise FileNotFoundError(
            f"no policy {quality!r} of {robot} in {POLICIES}, expected medium or expert"
        )
    return Parameters(read_weights(path), trainable=False)


def load_snapshots(robot: str) -> dict[int, Parameters]:
    """The training's snapshots that ship for the replay data, by their number of training steps."""
    return read_snapshots(POLICIES, robot)


def deterministic(policy: Parameters):
    """The policy's mean actions: states [W, D] -> actions [W, U]."""
    return lambda states: act(policy, _rows(states), None)[0, 0].numpy()


def stochastic(policy: Parameters, streams: list[torch.Generator]):
    """Sampled actions; W / len(streams) rows from each stream."""

    def sampled(states):
        mean_size = policy["b3"].shape[-1] // 2
        noise = normal_(torch.empty(len(streams), len(states) // len(streams), mean_size), streams)
        return act(policy, _rows(states), noise.reshape(1, 1, len(states), mean_size))[0, 0].numpy()

    return sampled


def uniform(action_dim: int, streams: list[torch.Generator]):
    """Uniform random actions in [-1, 1]."""

    def random(states):
        draws = [
            torch.empty(len(states) // len(streams), action_dim).uniform_(-1, 1, generator=s)
            for s in streams
        ]
        return torch.cat(draws).numpy()

    return random


def _rows(states: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.asarray(states, np.float32))[None, None]
