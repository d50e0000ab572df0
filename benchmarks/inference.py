"""What bfloat16 in the world model's products gains and changes (option `inference`), in one run on
one core: models of two widths, fitted for a minute to full-replay data of the ant (built if
missing), step 606 rollouts.

Changes are root mean squares over held-out starts and the state's numbers, in standard deviations
of the data, between worlds that draw the same members and are given the same actions. Beside them
stands how far apart two worlds in float32 are that draw different members.

    python benchmarks/inference.py
"""

import math
import statistics
import time

import torch
from torch import Tensor

from common.learning.philox import Streams
from common.running.cells import Cell
from common.running.provenance import machine
from papers.moma_ppo import models, tasks
from papers.moma_ppo.ensemble import (
    Ensemble,
    WorldModelConfig,
    prepared_rows,
    scales_of,
    tensors_of,
)
from papers.moma_ppo.experiment import PAPER
from papers.moma_ppo.world import LearnedWorld, Limits

DATA_SIZE = "quick"
UPDATES = {256: 600, 1024: 60}  # by width
STARTS, STEPS, TURNS = 606, 10, 5
FITTED = 0.9  # of the rows, the first ones
FREE = dict.fromkeys(("lambda_r", "lambda_g", "lambda_a"), 0.0)
FREE |= {"l_clip": math.inf, "l_stop": math.inf, "box": True}


def fitted(width: int, data: dict[str, Tensor]) -> Ensemble:
    """An ensemble of this width, trained for a while."""
    config = WorldModelConfig(members=5, hidden=width, lr=1e-3, scaled=True, delta=True)
    dims = data["state"].shape[1], data["action"].shape[1]
    ensemble = Ensemble(0, *dims, config, scales_of(data, config))
    rows = prepared_rows(ensemble, data, torch.arange(int(FITTED * len(data["reward"]))))
    for _ in range(UPDATES[width]):
        ensemble.update(rows)
    return ensemble


def followed(world: LearnedWorld, state: Tensor, actions: Tensor, seed: int) -> dict[str, Tensor]:
    """States [T, B, D], rewards and eps_g [T, B] under actions [T, B, U]."""
    streams = Streams([seed], "world")
    columns: dict[str, list[Tensor]] = {"state": [], "reward": [], "eps_g": []}
    state = state.unsqueeze(0)
    for action in actions:
        outcome = world.step(state, action.unsqueeze(0), streams)
        state = outcome.state
        columns["state"].append(state[0])
        columns["reward"].append(outcome.reward[0])
        columns["eps_g"].append(outcome.facts["eps_g"][0])
    return {name: torch.stack(column) for name, column in columns.items()}


def root_mean_square(gap: Tensor) -> float:
    return float(gap.square().mean().sqrt())


def compare(width: int, data: dict[str, Tensor]) -> None:
    ensemble = fitted(width, data)
    high = torch.full((data["state"].shape[1] + 1,), 1e3)
    worlds = {
        inference: LearnedWorld(
            *(ensemble, torch.arange(5), -high, high, Limits.of([FREE])), inference=inference
        )
        for inference in ("float32", "bfloat16")
    }
    held_out = torch.arange(int(FITTED * len(data["reward"])), len(data["reward"]))
    drawn = torch.Generator().manual_seed(0)
    index = held_out[torch.randint(len(held_out), (STARTS,), generator=drawn)]
    shape = (STEPS, STARTS, data["action"].shape[1])
    actions = 2 * torch.rand(shape, generator=drawn) - 1
    actions[0] = data["action"][index]

    seconds: dict[str, list[float]] = {name: [] for name in worlds}
    seen = {}
    for turn in range(TURNS + 1):
        for name, world in worlds.items():
            began = time.process_time()
            seen[name] = followed(world, data["state"][index], actions, 0)
            if turn:
                seconds[name].append(time.process_time() - began)
    ratios = [a / b for a, b in zip(*seconds.values(), strict=True)]
    plain, fewer = (1e3 * statistics.median(numbers) / STEPS for numbers in seconds.values())
    print(f"\nwidth {width}, 4 layers, 5 members, {UPDATES[width]} updates; {STARTS} rows a step")
    print(f"    a step     float32 {plain:.1f} ms, bfloat16 {fewer:.1f} ms: ", end="")
    print(f"{statistics.median(ratios):.2f} times as fast")

    other = followed(worlds["float32"], data["state"][index], actions, 1)
    spread = {"state": data["state"].std(0), "reward": data["reward"].std()}
    for name, scale in spread.items():
        exact = seen["float32"][name]
        for t in (0, STEPS - 1):
            change = root_mean_square((seen["bfloat16"][name] - exact)[t] / scale)
            members = root_mean_square((other[name] - exact)[t] / scale)
            print(f"    {name:6s} after {t + 1:2d}: changed by {change:.4f}, ", end="")
            print(f"by other members {members:.4f}")
    error = (seen["float32"]["state"][0] - data["next_state"][index]) / spread["state"]
    print(f"    the model's own error after one step {root_mean_square(error):.4f}")
    shares = (seen["bfloat16"]["eps_g"] / seen["float32"]["eps_g"])[0].quantile(
        torch.tensor([0.05, 0.5, 0.95])
    )
    print("    eps_g of the first step times {:.3f}, {:.3f}, {:.3f}".format(*shares), end=" ")
    print("(5, 50 and 95 of 100)")


def main() -> None:
    torch.set_num_threads(1)
    host = machine("cpu")
    print(f"{host['processor']}, {host['cores']} cores, one thread")
    usual = models.model_cell("quick", "ant", "full-replay")
    cell = Cell(usual.paper, usual.preset, usual.slot, usual.config | {"data_size": DATA_SIZE})
    PAPER.data.prepare(cell)
    data = tensors_of(tasks.load(cell.config)[0])
    for width in UPDATES:
        compare(width, data)


if __name__ == "__main__":
    main()
