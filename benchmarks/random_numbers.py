"""What random numbers of a population cost: one counter-based draw for all members against a
generator for each, in turns in one run on one core. Members and shapes are those of OMAR at quick.

    python benchmarks/random_numbers.py
"""

import time

import torch

from common.learning import philox
from common.learning.philox import Streams
from common.learning.population import generators, normal_, uniform_
from common.learning.replay import distinct

MEMBERS = 60
AGENTS = 3
ROWS = 50_000
BATCH = 64
NOISE = (AGENTS, BATCH, 30, 2)  # three iterations of ten candidate actions
TURNS = 9


def milliseconds(draw) -> float:
    """Processor time of one call."""
    start = time.process_time()
    draw()
    return 1e3 * (time.process_time() - start)


def main() -> None:
    """Prints the median of every way and their ratio."""
    torch.set_num_threads(1)
    seeds = list(range(MEMBERS))
    streams = Streams(seeds, "benchmark")
    each = generators(seeds, "benchmark")
    out = torch.empty(MEMBERS, *NOISE)
    ways = {
        "normal": (lambda: streams.normal(NOISE), lambda: normal_(out, each)),
        "uniform": (lambda: streams.uniform(NOISE, -1, 1), lambda: uniform_(out, each)),
        "distinct rows": (
            lambda: streams.distinct(ROWS, AGENTS, BATCH),
            lambda: torch.stack([distinct(ROWS, (AGENTS, BATCH), stream) for stream in each]),
        ),
        "distinct rows, batch 1024": (
            lambda: streams.distinct(1_000_000, AGENTS, 1024),
            lambda: torch.stack([distinct(1_000_000, (AGENTS, 1024), stream) for stream in each]),
        ),
    }
    form = "torch" if philox.compiled(philox.SOURCE) is None else "native"
    print(f"{MEMBERS} members, {form} form; milliseconds a draw, medians of {TURNS}")
    for name, pair in ways.items():
        times = [[milliseconds(draw) for draw in pair] for _ in range(TURNS + 1)][1:]
        together, apart = (sorted(column)[TURNS // 2] for column in zip(*times, strict=True))
        ratio = apart / together
        print(f"{name}: together {together:.2f}, a generator each {apart:.2f}, {ratio:.1f}x")


if __name__ == "__main__":
    main()
