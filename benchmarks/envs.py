"""Environment steps per second of the batched particle worlds against mpe2, in one run on one core.

    python benchmarks/envs.py
"""

import sys
import time

sys.path.pop(0)  # this script's folder: here `envs` is the script, not the package

import numpy as np
import torch

from envs.particle.batch import ParticleBatch
from envs.particle.scenarios import SCENARIOS


def batched(task: str, worlds: int, least: float = 2.0) -> float:
    """Steps per second of `worlds` worlds stepped together; observations and rewards included."""
    env = ParticleBatch(SCENARIOS[task])
    stream = [torch.Generator().manual_seed(0)]
    actions = torch.rand(worlds, env.num_agents, env.dims) * 2 - 1
    steps, start = 0, time.perf_counter()
    while time.perf_counter() - start < least:
        env.reset(stream, worlds)
        for _ in range(25):
            env.step(actions)
        steps += 25 * worlds
    return steps / (time.perf_counter() - start)


def reference(name: str, least: float = 2.0) -> float:
    """Steps per second of mpe2's parallel environment with continuous actions."""
    from mpe2 import simple_spread_v3, simple_tag_v3

    env = {"simple_spread": simple_spread_v3, "simple_tag": simple_tag_v3}[name].parallel_env(continuous_actions=True)
    rng, steps, start = np.random.default_rng(0), 0, time.perf_counter()
    while time.perf_counter() - start < least:
        env.reset(seed=0)
        while env.agents:
            env.step({agent: rng.random(5, dtype=np.float32) for agent in env.agents})
            steps += 1
    return steps / (time.perf_counter() - start)


def main() -> None:
    torch.set_num_threads(1)
    pairs = {"cooperative_navigation": "simple_spread", "predator_prey": "simple_tag"}
    base = {task: reference(name) for task, name in pairs.items()}
    for task in ("cooperative_navigation", "predator_prey", "world", "spread_1d_2"):
        for worlds in (1, 64, 1024):
            rate = batched(task, worlds)
            ratio = f"{rate / base[task]:6.0f} x mpe2's {base[task]:,.0f}" if task in base else ""
            print(f"{task:24s} {worlds:5d} worlds {rate:12,.0f} steps/s {ratio}")


if __name__ == "__main__":
    main()
