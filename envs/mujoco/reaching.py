"""Two-agent Reacher: two MAPPO teams that reach in incompatible ways, and the mixture of their data
(MOMA-PPO).

The arm can reach a point with its elbow on either side. A team's convention shows in the sign of
the second joint's angle: positive is counter-clockwise. Teams observe everything and are trained
online without memory. Of several seeds the best of each convention is refined (`Refinement`) and
ships. Each fills half of the data set "expert-mix" with stochastic actions.
"""

import platform
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from common.learning.heads import ACTION_BOUND
from common.learning.mappo import MAPPO, MAPPOConfig
from common.learning.networks import apply_mlp
from common.learning.philox import Streams
from common.learning.population import Parameters, generator, generators, normal_
from common.learning.rollouts import experience, roll
from common.running.checkpoint import load_checkpoint, save_checkpoint
from common.running.files import sha256, write_json
from envs import joint
from envs.lockstep import deploy, play
from envs.mujoco.batch import RobotBatch
from envs.mujoco.robots import robot, xml_path
from envs.mujoco.simulated import SimulatedWorld
from envs.mujoco.views import STATE_DIMS, view
from envs.released import beside, table
from envs.released import constants as released_constants
from envs.shipped import read_card, read_weights
from envs.storage import FORMAT, data_folder

GENERATOR = 1  # raise it when a change alters the data
TASKS = ("reacher",)
CONVENTIONS = ("counter-clockwise", "clockwise")  # in the order in which they fill expert-mix
QUALITIES = ("random", "clockwise", "counter-clockwise", "expert-mix")
SIZES = {"smoke": 4_000, "quick": 100_000, "standard": 200_000, "paper": 1_000_000}
POLICIES = Path(__file__).parent / "policies"
SIDED = 0.9  # of the steps with the elbow on one side make a convention
ELBOW = 3  # of the state: sine of the second joint's angle
# Return of the data's teams, and of an untrained network's mean actions, that the paper normalises
# with
RELEASED = beside(__file__)
PAPER_CONSTANTS = released_constants(RELEASED, "reacher")
EVALUATION_EPISODES = 600
CHECKPOINT_EVERY = 50  # epochs
REFINED_EVERY = 40  # epochs of a refinement between measurements


@dataclass(frozen=True)
class Training:
    """Online MAPPO with the real arm.

    An episode's end by the clock counts as terminal and gamma is 0.95: with values of the cut
    states, which are never trained, arms that spin ever faster promise ever more, and values
    diverge.
    """

    seeds: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6, 7)
    epochs: int = 1000
    worlds: int = 40  # episodes of 50 steps an epoch
    hidden: int = 64
    lr: float = 3e-4
    gamma: float = 0.95
    minibatch: int = 250


@dataclass(frozen=True)
class Refinement:
    """Longer training of the two teams that ship, so that their data return what the authors' do.

    From their weights, with new values and optimisers. At entropy -2, the authors' default for this
    arm, sampled actions cost 1.2 of return, and the data ended at -5.5 where the authors' have
    -4.24. Smaller steps on more episodes take means further where the first training only wanders.
    Teams learn to take the other side for targets behind them, too, so every team ships as of the
    measurement at which it keeps its convention and returns what is nearest to the authors'.
    """

    epochs: int = 320
    worlds: int = 200
    lr: float = 1e-4
    gamma: float = 0.97
    minibatch: int = 2000
    entropy_target: float = -4.5


def mappo_config(training: Training) -> MAPPOConfig:
    """Configuration of the teams: MOMA-PPO's but for sizes, and no memory, as everything is
    observed.
    """
    return MAPPOConfig(
        hidden=training.hidden,
        memory=0,
        lr=training.lr,
        gamma=training.gamma,
        minibatch=training.minibatch,
    )


def train(training: Training | None = None, say=print) -> tuple[MAPPO, list]:
    """The trained teams, and the learning curve [(epoch, [greedy return of each], [elbow side of
    each])].
    """
    training = training or Training()
    seeds, view_ = list(training.seeds), view("reacher", "full")
    learner = MAPPO(
        seeds, view_.obs_dims, STATE_DIMS["reacher"], view_.action_dim, mappo_config(training)
    )
    world, starts = (
        SimulatedWorld("reacher", robot("reacher").horizon),
        RobotBatch("reacher", len(seeds) * training.worlds),
    )
    path = data_folder().parent / "behaviour" / "reacher-mappo.pt"
    identity, curve, first = {"training": asdict(training), "mujoco": mujoco.__version__}, [], 0
    if saved := load_checkpoint(path, identity):
        learner.load_state_dict(saved["learner"])
        curve, first = saved["curve"], saved["epoch"]
        say(f"reacher: continuing at epoch {first}")
    began = time.monotonic()
    for epoch in range(first, training.epochs):
        practise(learner, world, starts, seeds, ("starts", "actions", "order"), epoch)
        if (epoch + 1) % CHECKPOINT_EVERY == 0:
            teams = [learner.networks["policy"].part(slice(m, m + 1)) for m in range(len(seeds))]
            returns, sides = zip(
                *(measure(team, seed, False) for team, seed in zip(teams, seeds, strict=True)),
                strict=True,
            )
            curve.append([epoch + 1, [float(r.mean()) for r in returns], list(sides)])
            shown_returns = [round(mean, 2) for mean in curve[-1][1]]
            shown_sides = [round(side, 2) for side in sides]
            say(
                f"reacher: epoch {epoch + 1}, returns {shown_returns}, elbow {shown_sides}, "
                f"{(time.monotonic() - began) / (epoch + 1 - first):.2f} s an epoch"
            )
            save_checkpoint(
                path,
                identity,
                {"learner": learner.state_dict(), "curve": curve, "epoch": epoch + 1},
            )
    return learner, curve


def practise(
    learner: MAPPO,
    world: SimulatedWorld,
    starts: RobotBatch,
    seeds: list[int],
    purposes: tuple[str, str, str],
    epoch: int,
) -> None:
    """One epoch of every team: an episode from each start, then the learner's update.

    Args:
        purposes: names of the streams of starts, actions and minibatches.
    """
    full = view("reacher", "full")
    worlds = starts.worlds // len(seeds)
    first, actions, order = (f"{purpose}/{epoch}" for purpose in purposes)
    state = torch.from_numpy(starts.reset(generators(seeds, first)).astype(np.float32))
    horizon = robot("reacher").horizon
    none = torch.zeros(len(seeds), full.num_agents, worlds, 0, full.obs_dim + full.action_dim)
    rollouts = roll(
        learner,
        world,
        full,
        state.view(len(seeds), worlds, -1),
        none,
        horizon,
        Streams(seeds, actions),
        None,
    )
    config = learner.config
    steps = experience(full, [rollouts], worlds * horizon, 0, config.gamma, config.gae_lambda)
    learner.update(steps, Streams(seeds, order))


def refine(
    teams: list[Parameters],
    seeds: list[int],
    training: Training,
    refinement: Refinement | None = None,
    say=print,
) -> tuple[list[Parameters], list]:
    """Teams trained on, as of the measurement that `Refinement` says, and the curve [(epoch,
    [return of each by sampled actions], [elbow side of each])].

    Args:
        teams: policies, each of one member, in the order of CONVENTIONS; seeds: of their trainings.
    """
    how = refinement or Refinement()
    full = view("reacher", "full")
    config = replace(
        mappo_config(training),
        lr=how.lr,
        gamma=how.gamma,
        minibatch=how.minibatch,
        entropy_target=how.entropy_target,
    )
    learner = MAPPO(seeds, full.obs_dims, STATE_DIMS["reacher"], full.action_dim, config)
    policy = learner.networks["policy"]
    with torch.no_grad():
        for member, team in enumerate(teams):
            for name, tensor in team.tensors.items():
                policy.tensors[name][member].copy_(tensor[0])
    world = SimulatedWorld("reacher", robot("reacher").horizon)
    starts = RobotBatch("reacher", len(seeds) * how.worlds)
    best = list(teams)
    off = [np.inf] * len(teams)
    curve = []
    for epoch in range(how.epochs):
        practise(learner, world, starts, seeds, ("refine", "refine/a", "refine/o"), epoch)
        if (epoch + 1) % REFINED_EVERY == 0:
            found = [measure(policy.part(slice(m, m + 1)), 0, True) for m in range(len(seeds))]
            curve.append([epoch + 1, [float(r.mean()) for r, _ in found], [s for _, s in found]])
            say(f"reacher: refined for {epoch + 1} epochs: {curve[-1][1:]}")
            for m, (returns, side) in enumerate(found):
                away = abs(returns.mean() - PAPER_CONSTANTS[0])
                if follows(CONVENTIONS[m], side) and away < off[m]:
                    off[m] = away
                    tensors = policy.part(slice(m, m + 1)).tensors
                    best[m] = Parameters({n: t.detach().clone() for n, t in tensors.items()}, False)
    return best, curve


def acting(policy: Parameters, noise: torch.Generator | None):
    """The team's policy as a function of observed states [W, D] -> [W, U]; means without noise."""
    config, of = MAPPOConfig(), view("reacher", "full")

    def act(states: np.ndarray) -> np.ndarray:
        obs = of.observe(torch.from_numpy(states.astype(np.float32))).transpose(0, 1)[
            None
        ]  # [1, N, W, O]
        mean, log_std = apply_mlp(policy, obs, None).chunk(2, dim=-1)
        if noise is not None:
            spread = log_std.clamp(config.log_std_min, config.log_std_max).exp()
            mean = mean + spread * normal_(torch.empty_like(mean), [noise])
        return of.join(mean[0].transpose(0, 1)).clamp(-ACTION_BOUND, ACTION_BOUND).numpy()

    return act


def measure(policy: Parameters, seed: int, stochastic: bool) -> tuple[np.ndarray, float]:
    """Returns [episodes] of a team, and the fraction of steps on which its elbow is on the
    counter-clockwise side.
    """
    batch, inside = RobotBatch("reacher", EVALUATION_EPISODES), []
    act = acting(policy, generator(seed, "card/noise") if stochastic else None)

    def watched(states: np.ndarray) -> np.ndarray:
        inside.append((states[:, ELBOW] > 0).mean())
        return act(states)

    returns, _ = play(batch, watched, [generator(seed, "card/starts")])
    return returns, float(np.mean(inside[10:]))  # episodes start with a straight arm


def best_of_each(learner: MAPPO, training: Training) -> list[int]:
    """The member of the best team of each convention.

    Raises:
        RuntimeError: a convention has no team.
    """
    found = [
        measure(learner.networks["policy"].part(slice(m, m + 1)), seed, True)
        for m, seed in enumerate(training.seeds)
    ]
    best = []
    for convention in CONVENTIONS:
        fits = [m for m, (_, side) in enumerate(found) if follows(convention, side)]
        if not fits:
            raise RuntimeError(
                f"no team is {convention}: elbow sides {[round(s, 2) for _, s in found]}; "
                "train more seeds"
            )
        best.append(max(fits, key=lambda m: found[m][0].mean()))
    return best


def follows(convention: str, side: float) -> bool:
    """Whether an elbow that is counter-clockwise on this share of steps keeps a convention."""
    return side > SIDED if convention == "counter-clockwise" else side < 1 - SIDED


def ship(
    teams: list[Parameters],
    seeds: list[int],
    curve: list,
    refined: list,
    training: Training,
    refinement: Refinement,
) -> dict:
    """Writes the team of each convention to `policies/reacher`, with a card.

    Args:
        teams: in the order of CONVENTIONS; seeds: of their trainings.
        curve, refined: of `train` and of `refine`.

    Raises:
        RuntimeError: a team does not keep its convention.
    """
    folder = POLICIES / "reacher"
    folder.mkdir(parents=True, exist_ok=True)
    horizon = robot("reacher").horizon
    facts: dict[str, Any] = {
        "task": "reacher",
        "algorithm": "MAPPO, full observation, no memory",
        "training": asdict(training),
        "config": asdict(mappo_config(training)),
        "steps": training.epochs * training.worlds * horizon,
        "refinement": asdict(refinement),
        "refinement_steps": refinement.epochs * refinement.worlds * horizon,
    }
    for convention, seed, chosen in zip(CONVENTIONS, seeds, teams, strict=True):
        _, side = measure(chosen, seed, True)
        if not follows(convention, side):
            raise RuntimeError(f"the {convention} team has its elbow there on {side:.2f} of steps")
        save_file(
            {name: tensor.contiguous() for name, tensor in chosen.tensors.items()},
            folder / f"{convention}.safetensors",
        )
        facts[convention] = {"seed": seed, "elbow_counter_clockwise": side}
        for kind, stochastic in (("deterministic", False), ("stochastic", True)):
            returns, _ = measure(chosen, seed, stochastic)
            facts[convention][kind] = {
                "return_mean": round(float(returns.mean()), 3),
                "return_sd": round(float(returns.std()), 3),
                "return_min": round(float(returns.min()), 3),
                "episodes": EVALUATION_EPISODES,
            }
    of = view("reacher", "full")
    config = mappo_config(training)
    everyone = list(training.seeds)
    untrained = MAPPO(everyone, of.obs_dims, STATE_DIMS["reacher"], of.action_dim, config)
    by_seed = [
        measure(untrained.networks["policy"].part(slice(m, m + 1)), seed, False)[0]
        for m, seed in enumerate(training.seeds)
    ]
    returns = np.concatenate(by_seed)
    facts["untrained"] = {
        "return_mean": round(float(returns.mean()), 3),
        "return_sd": round(float(returns.std()), 3),
    }
    facts["curve"] = [
        [epoch, [round(r, 2) for r in returns], [round(s, 2) for s in sides]]
        for epoch, returns, sides in curve
    ]
    facts["refined_curve"] = [
        [epoch, [round(r, 2) for r in returns], [round(s, 2) for s in sides]]
        for epoch, returns, sides in refined
    ]
    facts["versions"] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "mujoco": mujoco.__version__,
    }
    write_json(folder / "card.json", facts)
    return facts


def ships(task: str) -> bool:
    """Whether the teams are there."""
    return (POLICIES / task / "card.json").exists()


def effort(task: str, quality: str) -> int:
    """Seconds each."""
    return 0


def qualities(task: str) -> tuple[str, ...]:
    """Data qualities of a task."""
    return QUALITIES


def card(task: str = "reacher") -> dict:
    """What is known about the teams, see `ship`."""
    return read_card(POLICIES, task)


def constants(task: str, source: str = "ours") -> tuple[float, float]:
    """Expert and random return that scores are relative to: the data's mean return, and an
    untrained network's.

    Args:
        source: "ours", or "paper" for its printed constants.
    """
    if source == "paper":
        return PAPER_CONSTANTS
    facts = card(task)
    return float(np.mean([facts[c]["stochastic"]["return_mean"] for c in CONVENTIONS])), facts[
        "untrained"
    ]["return_mean"]


def train_behaviour(task: str) -> None:
    """Trains and ships the teams, from nothing."""
    training, refinement = Training(), Refinement()
    learner, curve = train(training)
    members = best_of_each(learner, training)
    teams = [learner.networks["policy"].part(slice(m, m + 1)) for m in members]
    seeds = [training.seeds[m] for m in members]
    teams, refined = refine(teams, seeds, training, refinement)
    ship(teams, seeds, curve, refined, training, refinement)


def load_policy(convention: str) -> Parameters:
    """The shipped team of a convention, tensors [1, N, ...]."""
    card()
    return Parameters(
        read_weights(POLICIES / "reacher" / f"{convention}.safetensors"), trainable=False
    )


def generate(task: str, quality: str, seeds: list[int], size: str) -> list[tuple[dict, dict]]:
    """Arrays by name in the file, and provenance, of the data set of each seed."""
    return [
        (rows(quality, seed, SIZES[size]), provenance(task, quality, seed, size)) for seed in seeds
    ]


def rows(quality: str, seed: int, steps: int) -> dict[str, np.ndarray]:
    """Whole episodes of a team's sampled actions, clipped to [-1, 1]; of both teams in halves for
    expert-mix.
    """
    if quality == "expert-mix":
        halves = [rows(convention, seed, steps // 2) for convention in CONVENTIONS]
        return {key: np.concatenate([half[key] for half in halves]) for key in halves[0]}
    horizon, purpose = robot("reacher").horizon, f"data/reacher/{quality}"
    batch = RobotBatch("reacher", max(1, min(200, steps // horizon)))
    noise = generator(seed, f"{purpose}/noise")
    if quality == "random":

        def act(states: np.ndarray) -> np.ndarray:
            return (
                torch.empty(len(states), batch.action_dim).uniform_(-1, 1, generator=noise).numpy()
            )
    else:
        act = acting(load_policy(quality), noise)
    return {
        key: values[0]
        for key, values in deploy(batch, act, [generator(seed, f"{purpose}/starts")], steps).items()
    }


def provenance(task: str, quality: str, seed: int, size: str) -> dict:
    """What a data set's file says about itself."""
    used = {"random": (), "expert-mix": CONVENTIONS}.get(quality, (quality,))
    return {
        "format": FORMAT,
        "generator": GENERATOR,
        "task": task,
        "quality": quality,
        "seed": seed,
        "size": size,
        "rows": SIZES[size],
        "environment": {
            "family": "mujoco",
            "rules": "gymnasium v4",
            "contact_margins": "pre-3.5",
            "model": sha256(xml_path(robot("reacher").xml)),
        },
        "policies": {name: sha256(POLICIES / task / f"{name}.safetensors") for name in used},
        "constants": {source: constants(task, source) for source in ("ours", "paper")},
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "mujoco": mujoco.__version__,
        },
    }


def extract(file, facts: dict) -> dict[str, np.ndarray]:
    """Arrays [R, ...] of an open file."""
    return joint.extract(file)


def validate(path: Path, arrays: dict[str, np.ndarray], facts: dict) -> None:
    """Raises DataError unless the rows are what the arm can have done, see `joint.validate`."""
    joint.validate(path, arrays, STATE_DIMS["reacher"], 2, robot("reacher").horizon)


def transitions(data: dict, of: str = "full") -> dict[str, Tensor]:
    """What learners need of a loaded data set, seen by the agents of a view, see
    `joint.transitions`.
    """
    return joint.transitions(data["arrays"], view("reacher", of))


def episode_returns(data: dict) -> np.ndarray:
    """[episodes] undiscounted returns of finished episodes."""
    return joint.episode_returns(data["arrays"])


def released(task: str, quality: str) -> dict | None:
    """Figures of the authors' expert-mix, see `envs.released`; its spread was not published."""
    return table(RELEASED).get((task, quality))


def expected_return(facts: dict) -> tuple[float, float, int] | None:
    """Mean and standard deviation of the team's return, and episodes they are over; None for the
    others.
    """
    if facts["quality"] not in CONVENTIONS:
        return None
    stats = card(facts["task"])[facts["quality"]]["stochastic"]
    return stats["return_mean"], stats["return_sd"], stats["episodes"]
