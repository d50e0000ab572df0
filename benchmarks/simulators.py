"""Environment steps per second, in one run: particle worlds against mpe2, robots against gymnasium
and bare MuJoCo, battles.

    python benchmarks/simulators.py [particle] [robots] [battles]

Robots and particle worlds by the clock, which needs a quiet machine; battles by the processor's
time, on one core.
"""

import os
import sys
import time
import warnings

import gymnasium
import mujoco
import numpy as np
import torch

from common.learning.networks import Actors
from common.learning.population import generators
from common.running.provenance import commit, machine
from envs.mujoco.batch import RobotBatch
from envs.mujoco.robots import ROBOTS
from envs.mujoco.team import RobotTeam
from envs.mujoco.views import view
from envs.particle.batch import ParticleBatch
from envs.particle.scenarios import SCENARIOS
from envs.smac import scripted
from envs.smac.core import Battles
from envs.smac.units import MAPS

LEAST = 2.0  # seconds of a measurement
EPISODES = 10


def batched(task: str, worlds: int) -> float:
    """Steps per second of `worlds` worlds stepped together; observations and rewards included."""
    env = ParticleBatch(SCENARIOS[task])
    stream = [torch.Generator().manual_seed(0)]
    actions = torch.rand(worlds, env.num_agents, env.dims) * 2 - 1
    steps = 0
    start = time.perf_counter()
    while time.perf_counter() - start < LEAST:
        env.reset(stream, worlds)
        for _ in range(25):
            env.step(actions)
        steps += 25 * worlds
    return steps / (time.perf_counter() - start)


def reference(name: str) -> float:
    """Steps per second of mpe2's parallel environment with continuous actions."""
    from mpe2 import simple_spread_v3, simple_tag_v3

    env = {"simple_spread": simple_spread_v3, "simple_tag": simple_tag_v3}[name].parallel_env(
        continuous_actions=True
    )
    rng = np.random.default_rng(0)
    steps = 0
    start = time.perf_counter()
    while time.perf_counter() - start < LEAST:
        env.reset(seed=0)
        while env.agents:
            env.step({agent: rng.random(5, dtype=np.float32) for agent in env.agents})
            steps += 1
    return steps / (time.perf_counter() - start)


def bare(name: str) -> float:
    """Control steps per second of a loop around mj_step alone, on one core: no observation, no
    reward.
    """
    robot = ROBOTS[name]
    model = robot.model()
    data = mujoco.MjData(model)
    rng = np.random.default_rng(0)
    steps = 0
    start = time.perf_counter()
    while time.perf_counter() - start < LEAST:
        data.ctrl[:] = rng.uniform(-1, 1, model.nu)
        mujoco.mj_step(model, data, nstep=robot.frame_skip)
        steps += 1
        if steps % robot.horizon == 0:
            mujoco.mj_resetData(model, data)
    return steps / (time.perf_counter() - start)


def plain(name: str) -> float:
    """Steps per second of gymnasium's v4 task, one environment in a loop."""
    env = make(name)
    steps = 0
    start = time.perf_counter()
    over = True
    rng = np.random.default_rng(0)
    while time.perf_counter() - start < LEAST:
        if over:
            env.reset(seed=steps)
        _, _, terminated, truncated, _ = env.step(rng.uniform(-1, 1, env.action_space.shape))
        over = terminated or truncated
        steps += 1
    return steps / (time.perf_counter() - start)


def lockstep(name: str, worlds: int, threads: int) -> float:
    """Steps per second of `worlds` simulations stepped together, restarts included."""
    batch = RobotBatch(name, worlds, threads=threads)
    stream = generators([0], "benchmark")
    batch.reset(stream)
    rng = np.random.default_rng(0)
    steps = 0
    start = time.perf_counter()
    while time.perf_counter() - start < LEAST:
        _, _, terminated, truncated = batch.step(rng.uniform(-1, 1, (worlds, batch.action_dim)))
        over = np.flatnonzero(terminated | truncated)
        if len(over):
            batch.restart(over, stream)
        steps += worlds
    return steps / (time.perf_counter() - start)


def make(name: str):
    names = {
        "halfcheetah": "HalfCheetah",
        "hopper": "Hopper",
        "walker2d": "Walker2d",
        "ant": "Ant",
        "reacher": "Reacher",
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return gymnasium.make(f"{names[name]}-v4")


def evaluation(threads: int, members: int) -> tuple[float, float]:
    """Seconds of EPISODES x 1000 steps of a two-agent HalfCheetah policy (256-256): in lockstep,
    and in a plain loop.

    In lockstep the episodes of all members of a population run together, and the time is one
    member's share.
    """
    of = view("halfcheetah", "full")
    seeds = list(range(members))
    actors = Actors(
        generators(seeds, "actor"), of.obs_dims, of.obs_dim, 256, of.action_dim, input_norm=False
    )
    team = RobotTeam("halfcheetah", of)
    team.batches[members * EPISODES] = RobotBatch(
        "halfcheetah", members * EPISODES, threads=threads
    )
    start = time.perf_counter()
    team.returns(actors.act, generators(seeds, "benchmark"), EPISODES)
    together = (time.perf_counter() - start) / members
    policies = [
        torch.nn.Sequential(
            torch.nn.Linear(17, 256),
            torch.nn.ReLU(),
            torch.nn.Linear(256, 256),
            torch.nn.ReLU(),
            torch.nn.Linear(256, 3),
            torch.nn.Tanh(),
        )
        for _ in range(2)
    ]
    env = make("halfcheetah")
    start = time.perf_counter()
    with torch.no_grad():
        for episode in range(EPISODES):
            obs = env.reset(seed=episode)[0]
            over = False
            while not over:
                x = torch.from_numpy(obs).float()
                obs, _, terminated, truncated, _ = env.step(
                    np.concatenate([policy(x).numpy() for policy in policies])
                )
                over = terminated or truncated
    return together, time.perf_counter() - start


def robots() -> None:
    """The robots' table."""
    cores = os.cpu_count() or 1
    for name in ROBOTS:
        base = bare(name)
        loop = plain(name)
        for threads in sorted({1, cores}):
            rate = lockstep(name, 64, threads)
            share = rate / base / threads
            print(
                f"{name:12s} 64 simulations, {threads} threads {rate:9,.0f} steps/s: "
                f"{share:5.2f} of bare mj_step's "
                f"{base:,.0f} a core, {rate / loop:4.1f} x gymnasium's {loop:,.0f}"
            )
    for threads in sorted({1, cores}):
        for members in (1, 5):
            together, apart = evaluation(threads, members)
            print(
                f"{EPISODES} x 1000 steps of a two-agent policy, {threads} threads, population of "
                f"{members}: {together:.2f} s, "
                f"{apart / together:.1f} x a plain loop's {apart:.2f} s"
            )


def particle() -> None:
    """The particle worlds' table."""
    pairs = {"cooperative_navigation": "simple_spread", "predator_prey": "simple_tag"}
    base = {task: reference(name) for task, name in pairs.items()}
    for task in ("cooperative_navigation", "predator_prey", "world", "spread_1d_2"):
        for worlds in (1, 64, 1024):
            rate = batched(task, worlds)
            ratio = f"{rate / base[task]:6.0f} x mpe2's {base[task]:,.0f}" if task in base else ""
            print(f"{task:24s} {worlds:5d} worlds {rate:12,.0f} steps/s {ratio}")


def fighting(name: str, count: int) -> float:
    """Battle steps per second of one core, observations, states and masks included; actions are
    drawn beforehand from what is available.
    """
    made = Battles(name, count)
    stream = np.random.default_rng(0)
    made.reset()
    made.step(scripted.random(made, stream)), made.obs(), made.state()  # compiled now
    steps = 0
    spent = 0.0
    while spent < LEAST:
        if made.over.any():
            made.reset(np.flatnonzero(made.over))
        action = scripted.random(made, stream)
        began = time.process_time()
        made.step(action), made.obs(), made.state()
        spent += time.process_time() - began
        steps += count
    return steps / spent


def battles() -> None:
    """The battles' table."""
    print(f"battles, {machine('cpu')['processor']}, one core, commit {commit()}")
    for name in MAPS:
        print(f"{name:12s} 256 battles {fighting(name, 256):9,.0f} steps/s")


def main() -> None:
    torch.set_num_threads(1)
    parts = {"particle": particle, "robots": robots, "battles": battles}
    for name in sys.argv[1:] or parts:
        parts[name]()


if __name__ == "__main__":
    main()
