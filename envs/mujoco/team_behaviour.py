"""The policies behind OMAR's two-agent HalfCheetah data: five MATD3 teams, each agent seeing its
own joints only.

Critics see the whole robot. All five teams are one population; snapshots are evaluated as training
goes. The last ones are the experts; every team's medium is the one whose return is nearest to the
released medium data's: a level relative to each team's own expert makes the five teams differ more
than the released ones do.
"""

import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import mujoco
import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from common.learning.networks import apply_mlp
from common.learning.population import Parameters, generators, normal_, uniform_
from common.running.checkpoint import load_checkpoint, save_checkpoint
from common.running.files import write_json
from envs.matd3 import MATD3, MATD3Config
from envs.mujoco.batch import RobotBatch
from envs.mujoco.team import RobotTeam
from envs.released import beside, table
from envs.shipped import read_card, read_snapshots, read_weights
from envs.storage import data_folder

SEEDS = [0, 1, 2, 3, 4]
QUALITIES = ("random", "medium-replay", "medium", "expert")
DATA_NOISE = 0.1  # standard deviation of the action noise of medium and expert data
EVALUATE_EVERY = 5_000  # updates
EVALUATION_EPISODES = 5
CHECKPOINT_EVERY = 25_000  # updates
REPLAY_SNAPSHOTS = 4  # shipped for the replay data
POLICIES = Path(__file__).parent / "policies"


@dataclass(frozen=True)
class TeamTraining(MATD3Config):
    """Online training of the teams: TD3's settings (Fujimoto et al., 2018) at smaller networks."""

    batch_size: int = 256
    hidden: int = 128
    lr: float = 1e-3
    actor_lr: float = 1e-3
    gamma: float = 0.99
    tau: float = 0.005
    grad_clip: float = 10.0
    logit_penalty: float = 1e-3
    input_norm: bool = False
    updates: int = 100_000
    worlds: int = 4  # simulations per team stepped together, with as many updates after each step
    warmup: int = 5_000  # first steps of each team, uniform random and without updates
    exploration: float = 0.1  # standard deviation of the action noise


class TeamsInTraining:
    """Five teams online; see `train`."""

    def __init__(self, task: str, config: TeamTraining, seeds: list[int]):
        self.task = task
        self.config = config
        self.seeds = seeds
        self.team = RobotTeam(task)
        view = self.team.view
        members = len(seeds)
        self.batch = RobotBatch(view.system, members * config.worlds)
        self.learner = MATD3(
            seeds, view.obs_dims, view.action_dim, config, task, self.batch.state_dim
        )
        purposes = ("starts", "exploration", "minibatches")
        self.streams = {name: generators(seeds, f"{task}/{name}") for name in purposes}
        self.widths = [self.batch.state_dim, self.batch.action_dim, 1, self.batch.state_dim]
        self.rows = torch.empty(
            members, config.updates + config.warmup + config.worlds, sum(self.widths)
        )
        self.size = 0  # rows of every team
        self.state = self.batch.reset(self.streams["starts"])

    def policy(self, states: np.ndarray) -> Tensor:
        """[M, N, worlds, A] deterministic actions in states [M worlds, D]."""
        obs = self.team.view.observe(torch.from_numpy(states).float())
        return self.learner.actors.act(
            obs.unflatten(0, (len(self.seeds), -1)).transpose(1, 2).contiguous()
        )

    def collect(self) -> None:
        """One step of every simulation, with Gaussian noise; uniform actions during the warm-up."""
        action = self.policy(self.state)
        if self.size < self.config.warmup:
            action = uniform_(torch.empty_like(action), self.streams["exploration"])
        else:
            noise = normal_(torch.empty_like(action), self.streams["exploration"])
            action = (action + self.config.exploration * noise).clamp(-1, 1)
        joint = self.team.view.join(action.transpose(1, 2).flatten(0, 1))
        following, reward, _, truncated = self.batch.step(joint.numpy())
        parts = (
            torch.from_numpy(np.asarray(part)).float()
            for part in (self.state, joint, reward[:, None], following)
        )
        new = torch.cat(list(parts), dim=-1).unflatten(0, (len(self.seeds), -1))
        self.rows[:, self.size : self.size + new.shape[1]] = new
        self.size += new.shape[1]
        self.state = following
        if truncated.any():  # all together: nobody falls
            self.state = self.batch.reset(self.streams["starts"])

    def update(self) -> None:
        """One update of every team on its own rows."""
        index = [
            torch.randint(self.size, (self.config.batch_size,), generator=g)
            for g in self.streams["minibatches"]
        ]
        rows = torch.stack(
            [member[i] for member, i in zip(self.rows, index, strict=True)]
        )  # [M, B, F]
        state, action, reward, following = rows.split(self.widths, dim=-1)
        view = self.team.view

        def by_agent(values):
            return values.transpose(1, 2).contiguous()

        agents = (len(self.seeds), view.num_agents, self.config.batch_size)
        self.learner.update(
            by_agent(view.observe(state)),
            by_agent(view.split(action)),
            reward.transpose(1, 2).expand(agents),
            by_agent(view.observe(following)),
            state,
            following,
        )

    def state_dict(self) -> dict:
        return {
            "learner": self.learner.state_dict(),
            "streams": {
                name: [s.get_state() for s in streams] for name, streams in self.streams.items()
            },
            "rows": self.rows[:, : self.size].clone(),
            "simulations": {
                name: torch.from_numpy(values) for name, values in self.batch.snapshot().items()
            },
            "state": torch.from_numpy(self.state),
        }

    def load_state_dict(self, state: dict) -> None:
        self.learner.load_state_dict(state["learner"])
        for name, streams in self.streams.items():
            for stream, saved in zip(streams, state["streams"][name], strict=True):
                stream.set_state(saved)
        self.size = state["rows"].shape[1]
        self.rows[:, : self.size] = state["rows"]
        self.batch.restore({name: values.numpy() for name, values in state["simulations"].items()})
        self.state = state["state"].numpy()


def train(task: str, config: TeamTraining | None = None, seeds: list[int] = SEEDS, say=print):
    """Trains the teams, continuing from a checkpoint if there is one.

    Returns:
        The teams; the curve [(updates, [return of every team])]; the policies' tensors at each
        point of it.
    """
    config = config or TeamTraining()
    run = TeamsInTraining(task, config, seeds)
    path = data_folder().parent / "behaviour" / f"{task}-matd3.pt"
    identity = {"config": asdict(config), "seeds": seeds, "mujoco": mujoco.__version__}
    curve = []
    snapshots = []
    updates = 0
    if saved := load_checkpoint(path, identity):
        run.load_state_dict(saved["run"])
        curve = saved["curve"]
        snapshots = saved["snapshots"]
        updates = saved["updates"]
        say(f"{task}: continuing at {updates} updates")
    began = time.monotonic()
    first = updates
    while updates < config.updates:
        run.collect()
        if run.size <= config.warmup:
            continue
        for _ in range(config.worlds):
            run.update()
        updates += config.worlds
        if updates % EVALUATE_EVERY < config.worlds:
            returns = run.team.returns(
                run.learner.actors.act, generators(seeds, f"{task}/evaluation"), EVALUATION_EPISODES
            )
            curve.append((updates, returns.mean(1).tolist()))
            snapshots.append(
                {
                    name: tensor.detach().clone()
                    for name, tensor in run.learner.actors.params.tensors.items()
                }
            )
            rate = (updates - first) / (time.monotonic() - began)
            shown = [round(one) for one in curve[-1][1]]
            progress = f"{updates}/{config.updates} updates, returns {shown}"
            say(f"{task}: {progress}, {rate:.0f} updates/s")
        if updates % CHECKPOINT_EVERY < config.worlds:
            content = {
                "run": run.state_dict(),
                "curve": curve,
                "snapshots": snapshots,
                "updates": updates,
            }
            save_checkpoint(path, identity, content)
    return run, [tuple(point) for point in curve], snapshots


def ship(run: TeamsInTraining, curve, snapshots) -> dict:
    """Writes medium, expert and the replay's snapshots to `policies/`, with their card."""
    task = run.task
    seeds = run.seeds
    team = run.team
    returns = torch.tensor([point[1] for point in curve])  # [snapshots, M]
    streams = generators(seeds, f"{task}/random starts")
    random = team.returns(uniform(team, generators(seeds, f"{task}/random")), streams, 20).mean()
    nearest = (returns - released_medium(task)).abs().argmin(0)
    chosen = {"medium": nearest, "expert": torch.full_like(nearest, len(curve) - 1)}
    folder = POLICIES / task
    folder.mkdir(parents=True, exist_ok=True)
    facts = {
        "task": task,
        "algorithm": "MATD3",
        "config": asdict(run.config),
        "seeds": seeds,
        "data_noise": DATA_NOISE,
        "contact_margins": run.batch.contact_margins,
        "random_return": round(float(random), 2),
    }
    for quality, index in chosen.items():
        picks = [snapshots[i] for i in index.tolist()]
        tensors = each_own(picks)
        save_file(tensors, folder / f"{quality}.safetensors")
        updates = [curve[i][0] for i in index.tolist()]
        facts[quality] = {"updates": updates} | measured(task, tensors, seeds)
    kept = sorted({int(i) for i in np.linspace(0, int(nearest.max()), REPLAY_SNAPSHOTS)})
    save_file(
        {f"{i}/{name}": t.half() for i in kept for name, t in snapshots[i].items()},
        folder / "replay.safetensors",
    )
    facts["replay_snapshots"] = {str(i): curve[i][0] for i in kept}
    facts["curve"] = [[updates, [round(x, 1) for x in values]] for updates, values in curve]
    facts["versions"] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "mujoco": mujoco.__version__,
    }
    write_json(folder / "card.json", facts)
    return facts


def released_medium(task: str) -> float:
    """Mean return of the released medium data."""
    return table(beside(__file__))[task, "medium"]["return_mean"]


def each_own(picks: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Tensors of a population, team m of the m-th pick."""
    return {name: torch.stack([one[name][m] for m, one in enumerate(picks)]) for name in picks[0]}


def measured(task: str, tensors: dict[str, Tensor], seeds: list[int]) -> dict:
    """What the card says of teams' returns with the data's noise."""
    act = noisy(Parameters(tensors, trainable=False), generators(seeds, f"{task}/card noise"))
    played = RobotTeam(task).returns(act, generators(seeds, f"{task}/card"), 20)
    return {
        "return_mean": [round(float(x), 2) for x in played.mean(1)],
        "return_sd": [round(float(x), 2) for x in played.std(1)],
        "episodes": played.shape[1],
    }


def distance(task: str, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """How far medium teams are from the released medium data, in mean or in standard deviation, in
    units of the border of "near": a tenth of the way from random to expert, and a factor 2.
    """
    rows = table(beside(__file__))
    known = rows[task, "medium"]
    span = (
        rows[task, "expert constant"]["return_mean"] - rows[task, "random constant"]["return_mean"]
    )
    level = np.abs(mean - known["return_mean"]) / span / 0.1
    return np.maximum(level, np.abs(np.log(sd / known["return_sd"])) / np.log(2))


def choose_medium(task: str) -> None:
    """Ships as every team's medium that of its shipped snapshots, or of its present medium, which
    is nearest to the released data, see `distance`; for a training that is gone.
    """
    facts = card(task)
    seeds = facts["seeds"]
    candidates = [([count] * len(seeds), of) for count, of in sorted(load_snapshots(task).items())]
    candidates.append((facts["medium"]["updates"], load_policy(task, "medium")))
    stats = [measured(task, policy.tensors, seeds) for _, policy in candidates]
    mean, sd = (np.array([one[name] for one in stats]) for name in ("return_mean", "return_sd"))
    nearest = distance(task, mean, sd).argmin(0)  # of [candidates, M]
    tensors = each_own([candidates[i][1].tensors for i in nearest])
    halves = {name: tensor.half() for name, tensor in tensors.items()}
    save_file(halves, POLICIES / task / "medium.safetensors")
    facts.pop("medium_level", None)
    facts["medium"] = {"updates": [candidates[i][0][m] for m, i in enumerate(nearest)]}
    facts["medium"] |= measured(task, tensors, seeds)
    facts["medium"]["candidates"] = [
        {"updates": updates, "return_mean": one["return_mean"], "return_sd": one["return_sd"]}
        for (updates, _), one in zip(candidates, stats, strict=True)
    ]
    write_json(POLICIES / task / "card.json", facts)


def card(task: str) -> dict:
    """What is known about a task's teams, see `ship`."""
    return read_card(POLICIES, task)


def load_policy(task: str, quality: str) -> Parameters:
    """The shipped teams, "medium" or "expert": tensors [5, N, ...]."""
    card(task)
    tensors = read_weights(POLICIES / task / f"{quality}.safetensors")
    return Parameters({name: tensor.float() for name, tensor in tensors.items()}, trainable=False)


def load_snapshots(task: str) -> dict[int, Parameters]:
    """The training's snapshots that ship for the replay data, by their number of updates."""
    return read_snapshots(POLICIES, task)


def noisy(policy: Parameters, streams: list[torch.Generator], std: float = DATA_NOISE):
    """A population's policies with Gaussian action noise, one stream per member: obs [M, N, E, O]
    -> [M, N, E, A].
    """

    def act(obs: Tensor) -> Tensor:
        action = apply_mlp(policy, obs, None).tanh()
        return (action + std * normal_(torch.empty_like(action), streams)).clamp(-1, 1)

    return act


def uniform(team: RobotTeam, streams: list[torch.Generator]):
    """Uniform random actions in [-1, 1]."""
    return lambda obs: uniform_(torch.empty(*obs.shape[:-1], team.action_dim), streams)
