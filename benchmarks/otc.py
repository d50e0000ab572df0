"""What tuning a population at once gains: 5 seeds x 3 variants x 2 agents of OTC on BCQ against one
agent by itself.

    python benchmarks/otc.py [--rows 100000]

One update at the paper's sizes (512 candidates, pool of 2000, batch 128), matching included, on one
core, in one run.
"""

import argparse
import time
from typing import Any

import torch

from common.learning.bcq import BCQ, BCQConfig
from common.running.provenance import machine
from papers.otc.config import HYPER
from papers.otc.embedding import Embedding, EmbeddingConfig
from papers.otc.experience import MergedData
from papers.otc.tuning import STRATEGIES, Sampler, TuningConfig, span

OBS = 17
ACTION = 3
STEPS = 1000


def tuning(seeds: int, strategies: list[str], agents: int, rows: int):
    """A function that does one update of every member: seeds times strategies."""
    stream = torch.Generator().manual_seed(0)
    sizes = {"obs": (OBS,), "action": (ACTION,), "reward": (), "next_obs": (OBS,), "terminal": ()}

    def data(*lead):
        fields = {
            name: torch.rand(*lead, agents, *size, generator=stream) * 2 - 1
            for name, size in sizes.items()
        }
        return fields | {"terminal": torch.zeros(*lead, agents)}

    names = [name for name in strategies for _ in range(seeds)]
    members = [seed for _ in strategies for seed in range(seeds)]
    experience = MergedData([data(rows)], [0] * len(members), 1, STEPS)
    hyper: dict[str, Any] = HYPER["bcq"]
    learner = BCQ(members, [OBS] * agents, ACTION, BCQConfig(**hyper))
    embedding = None
    if "embedding" in strategies:
        mine = span(names, "embedding")
        embedding = Embedding(members[mine], experience, mine, EmbeddingConfig(updates=1))
        embedding.update(embedding.draw())
        embedding.finish()
    prioritised = [float(STRATEGIES[name] is not None) for name in names]
    adaptive = [bool(alpha) for alpha in prioritised]
    sampler = Sampler(
        experience, learner, names, members, prioritised, adaptive, embedding, None, TuningConfig()
    )
    experience.add(data(len(members), STEPS))
    if embedding:
        embedding.extend(rows, rows + STEPS)
    return lambda: learner.update(experience.gather(sampler.choose()))


def milliseconds(update, agents: int, least: float = 4.0) -> float:
    """Median time of one agent's update."""
    update()
    times = []
    start = time.perf_counter()
    while time.perf_counter() - start < least:
        began = time.perf_counter()
        update()
        times.append(time.perf_counter() - began)
    return 1e3 * sorted(times)[len(times) // 2] / agents


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=100_000)
    args = parser.parse_args()
    torch.set_num_threads(1)
    facts = machine("cpu")
    print(
        f"{facts['processor']}, one thread, kernels {facts['kernels']}; milliseconds of one "
        "agent's update"
    )
    strategies = ["embedding", "value", "uniform"]
    alone = [milliseconds(tuning(1, [name], 1, args.rows), 1) for name in strategies]
    for name, time_alone in zip(strategies, alone, strict=True):
        together = milliseconds(tuning(5, [name], 2, args.rows), 10)
        print(
            f"    {name:10s} one agent alone {time_alone:6.2f}, 5 seeds x 2 agents "
            f"{together:6.2f}: {time_alone / together:4.1f} x"
        )
    together = milliseconds(tuning(5, strategies, 2, args.rows), 30)
    mean = sum(alone) / 3
    print(
        f"    all three  one agent alone {mean:6.2f}, 5 x 3 x 2 together {together:6.2f}: "
        f"{mean / together:4.1f} x"
    )


if __name__ == "__main__":
    main()
