"""The policies that collect the robots' data: SAC trained online on the single-agent task, as
D4RL's were.

Training keeps a snapshot of the policy every 10,000 steps and evaluates it. Two of them ship as
medium and expert, a few more, in half precision, so that the training's replay can be rebuilt
without training again (`envs.mujoco.shipping`). A robot may have several trainings of different
seeds: agents of different ones play together in uncoordinated data. The first, run 0, is behind all
other data.
"""

import time
from dataclasses import asdict, dataclass
from pathlib import Path

import mujoco
import numpy as np
import torch

from common.learning.policies import act
from common.learning.population import Parameters, generator, normal_
from common.running.checkpoint import load_checkpoint, save_checkpoint
from envs.lockstep import play
from envs.mujoco.batch import RobotBatch
from envs.mujoco.sac import SAC, SACConfig
from envs.shipped import read_card, read_snapshots, read_weights
from envs.storage import data_folder

POLICIES = Path(__file__).parent / "policies"
SEED = 0
EVALUATE_EVERY = 10_000  # steps
EVALUATION_EPISODES = 10
CHECKPOINT_EVERY = 50_000  # steps; the replay buffer is in it


@dataclass(frozen=True)
class Training:
    """Online training of one robot's behaviour policy."""

    steps: int  # environment steps in all
    worlds: int = 5  # simulations stepped together
    updates: int = 5  # after each step of all simulations
    warmup: int = 5_000  # first steps, uniform random and without updates
    seed: int = SEED


# Of every robot its runs. The first is behind all data; agents of different ones play together in
# uncoordinated data. HalfCheetah's first has ten worlds: it needs steps above all, and updates cost
TRAININGS = {
    "halfcheetah": (Training(1_000_000, worlds=10, seed=1), Training(750_000)),
    "hopper": (Training(300_000), Training(500_000, seed=1)),
    "walker2d": (Training(600_000), Training(600_000, seed=1)),
    "ant": (Training(1_000_000),),
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


def train_robot(robot: str, training: Training, say=print) -> OnlineTraining:
    """Trains one robot's policy, continuing from its checkpoint if there is one, also from that of
    a shorter training.
    """
    run = OnlineTraining(robot, training)
    path, identity = checkpoint_of(run)
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


def checkpoint_of(run: OnlineTraining) -> tuple[Path, dict]:
    """Where a training's checkpoints are, and what they must be of; not of how many steps."""
    same = {key: value for key, value in asdict(run.training).items() if key != "steps"}
    identity = {"training": same, "config": asdict(run.config), "mujoco": mujoco.__version__}
    name = f"{run.robot}-sac-{run.training.seed}.pt"
    return data_folder().parent / "behaviour" / name, identity


def interrupted(robot: str, training: Training) -> OnlineTraining:
    """A training as far as its checkpoint goes.

    Raises:
        FileNotFoundError: there is none.
    """
    run = OnlineTraining(robot, training)
    path, identity = checkpoint_of(run)
    saved = load_checkpoint(path, identity)
    if not saved:
        raise FileNotFoundError(f"no checkpoint of this training of {robot} in {path}")
    run.load_state_dict(saved)
    return run


def named(name: str, run: int) -> str:
    """What a file of a run is called without its ending: "medium", "medium-1", ..."""
    return f"{name}-{run}" if run else name


def runs(robot: str) -> int:
    """How many trainings of a robot ship."""
    return len(list((POLICIES / robot).glob("card*.json")))


def card(robot: str, run: int = 0) -> dict:
    """What is known about a robot's behaviour policies, see `envs.mujoco.shipping`."""
    return read_card(POLICIES, robot, named("card", run))


def load_policy(robot: str, quality: str, run: int = 0) -> Parameters:
    """The shipped policy, "medium" or "expert"."""
    card(robot, run)
    path = POLICIES / robot / f"{named(quality, run)}.safetensors"
    if not path.exists():
        raise FileNotFoundError(
            f"no policy {quality!r} of {robot} in {POLICIES}, expected medium or expert"
        )
    tensors = {name: tensor.float() for name, tensor in read_weights(path).items()}
    return Parameters(tensors, trainable=False)


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
