"""What the CPU form of the memory gains, in one run on one core, both forms by turns:

(a) the encoder alone, on a minibatch;
(b) an epoch of MOMA-PPO at the sizes of preset standard: 2,000 steps of every team in a learned
    world, and five passes of minibatches of 250. Weights and states are random, and no rollout is
    cut.

    python benchmarks/attention.py
"""

import statistics
import time
from collections.abc import Callable

import torch

from common.learning import attention
from common.learning.mappo import MAPPO, MAPPOConfig
from common.learning.memory import encode, encoder_parameters
from common.learning.philox import Streams
from common.learning.population import Parameters, generators
from common.learning.rollouts import experience, roll
from common.running.provenance import machine
from envs.mujoco.views import view
from papers.moma_ppo.ensemble import Ensemble, WorldModelConfig
from papers.moma_ppo.world import LearnedWorld, Limits

TEAMS = 3
TRANSITIONS = 2000
STEPS = 10  # of a rollout, and of the memory
TURNS = 7
PPO = MAPPOConfig(hidden=128, memory=32, minibatch=250, value_clip=0.0, initial_log_std=-1.0)
MODELS = {
    "reacher": WorldModelConfig(hidden=128, layers=2, members=5),
    "ant": WorldModelConfig(hidden=256, layers=4, members=5),
}
SIZES = (16, 32, 64)  # of memories
VIEWS = (("reacher", "leader_only", 11), ("ant", "full", 27), ("ant", "po_aligned", 27))
NATIVE = attention.native


def torch_form(on: bool) -> None:
    """Whether the memory runs in torch from now on."""
    attention.native = (lambda *shapes: None) if on else NATIVE


def compared(work: Callable[[], dict[str, float]]) -> dict[str, tuple[float, ...]]:
    """Median seconds of the parts of some work in torch and in the CPU form, and the median of
    their ratios.
    """
    work()
    turns = []
    for _ in range(TURNS):
        pair = []
        for on in (True, False):
            torch_form(on)
            pair.append(work())
        turns.append(pair)
    medians = {}
    for part in turns[0][0]:
        plain = [pair[0][part] for pair in turns]
        fused = [pair[1][part] for pair in turns]
        ratios = [a / b for a, b in zip(plain, fused, strict=True)]
        medians[part] = tuple(statistics.median(numbers) for numbers in (plain, fused, ratios))
    return medians


def seconds(work: Callable) -> float:
    """Of this process on its core."""
    began = time.process_time()
    work()
    return time.process_time() - began


def encoder(of, size: int) -> Callable[[], dict[str, float]]:
    """Seconds of the encoder on a minibatch of every team."""
    width = of.obs_dim + of.action_dim
    inputs = [dim + of.action_dim for dim in of.obs_dims]
    streams = generators(list(range(TEAMS)), "memory")
    params = Parameters(encoder_parameters(streams, inputs, width, size))
    drawn = torch.Generator().manual_seed(0)
    history = torch.randn(TEAMS, len(inputs), PPO.minibatch, STEPS, width, generator=drawn)

    def forward():
        with torch.no_grad():
            encode(params, history)

    def both():
        encode(params, history).sum().backward(inputs=list(params.tensors.values()))

    return lambda: {"forward": seconds(forward), "with gradients": seconds(both)}


def epoch(of, model: WorldModelConfig, state_dim: int) -> Callable[[], dict[str, float]]:
    """Seconds of an epoch's rollouts, of MAPPO's passes over them, and of both."""
    seeds = list(range(TEAMS))
    starts = TRANSITIONS // STEPS
    joint = of.num_agents * of.action_dim
    row = {"lambda_r": 1.0, "lambda_g": 1.0, "lambda_a": 0.0, "l_clip": 1e9, "l_stop": 1e9}
    limits = Limits.of([row | {"box": True}] * TEAMS)
    high = torch.full((state_dim + 1,), 10.0)
    ensemble = Ensemble(0, state_dim, joint, model)
    with torch.no_grad():
        ensemble.params[f"eb{model.end_layers}"].fill_(5)  # episodes go on
    world = LearnedWorld(ensemble, torch.arange(model.kept), -high, high, limits)
    learner = MAPPO(seeds, of.obs_dims, state_dim, of.action_dim, PPO)
    drawn = torch.Generator().manual_seed(0)
    state = torch.randn(TEAMS, starts, state_dim, generator=drawn)
    width = of.obs_dim + of.action_dim
    history = torch.randn(TEAMS, of.num_agents, starts, STEPS, width, generator=drawn)
    actions, order = Streams(seeds, "actions"), Streams(seeds, "order")
    world_streams = Streams(seeds, "world")

    def rolled():
        rolls = roll(learner, world, of, state, history, STEPS, actions, world_streams)
        return experience(of, [rolls], TRANSITIONS, STEPS, PPO.gamma, PPO.gae_lambda)

    def work():
        began = time.process_time()
        steps = rolled()
        between = time.process_time()
        learner.update(steps, order)
        ended = time.process_time()
        return {"rollouts": between - began, "passes": ended - between, "epoch": ended - began}

    return work


def show(part: str, numbers: tuple[float, ...]) -> None:
    plain, fused, ratio = numbers
    print(
        f"    {part:26s} torch {1e3 * plain:7.1f} ms, CPU form {1e3 * fused:7.1f} ms: "
        f"{ratio:.2f} times as fast"
    )


def main() -> None:
    torch.set_num_threads(1)
    host = machine("cpu")
    print(f"{host['processor']}, {host['cores']} cores, one thread, kernels {host['kernels']}")
    minibatches = PPO.passes * (TRANSITIONS // PPO.minibatch)
    for robot, name, state_dim in VIEWS:
        of = view(robot, name)
        print(f"\n{robot}, {name}: {TEAMS} teams of {of.num_agents}")
        print("  (a) a minibatch through encoders of")
        alone = {}
        for size in SIZES:
            alone[size] = compared(encoder(of, size))
            for part, numbers in alone[size].items():
                show(f"{size}, {part}", numbers)
        print(f"  (b) an epoch, memory of {PPO.memory}, networks of {PPO.hidden}")
        parts = compared(epoch(of, MODELS[robot], state_dim))
        for part, numbers in parts.items():
            show(part, numbers)
        encoding = alone[PPO.memory]["with gradients"]
        shares = [minibatches * encoding[form] / parts["passes"][form] for form in (0, 1)]
        print("    of the passes is memory    torch {:7.0%}   , CPU form {:7.0%}".format(*shares))


if __name__ == "__main__":
    main()
