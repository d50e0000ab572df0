"""What random numbers of a population cost: one counter-based draw for all members against a
generator for each, in turns in one run on one core. Members and shapes are those of OMAR at quick.

    python benchmarks/random_numbers.py
    python benchmarks/random_numbers.py --before PATH

PATH is a checkout of another commit, the last one with a generator for each member: whole rounds of
OMAR are then timed with both, in turns.
"""

import argparse
import functools
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from common.learning import philox
from common.learning.philox import Streams
from common.learning.population import generators, normal_, uniform_

MEMBERS = 60
AGENTS = 3
ROWS = 50_000
BATCH = 64
NOISE = (AGENTS, BATCH, 30, 2)  # three iterations of ten candidate actions
TURNS = 9
HERE = Path(__file__).resolve().parents[1]
# members, batch size and rows of the data of whole rounds, by preset
ROUNDS = {"quick": (MEMBERS, BATCH, ROWS), "paper": (5, 1024, 250_000)}
# a process of one checkout: a line with a preset is answered by seconds a round
WORKER = """
import sys, time, torch
from benchmarks.population import data, population
torch.set_num_threads(1)
sizes = {sizes}
rounds = {{name: population("omar", members, batch, data(rows), "cpu")
           for name, (members, batch, rows) in sizes.items()}}
for line in sys.stdin:
    start = time.process_time()
    for _ in range(4):
        rounds[line.strip()]()
    print((time.process_time() - start) / 4, flush=True)
"""


def distinct(rows: int, shape: tuple[int, int], stream: torch.Generator) -> Tensor:
    """[N, B] row numbers, without repetitions within each agent's, from a generator."""
    index = torch.randint(rows, shape, generator=stream)
    while True:
        ordered, order = index.sort(dim=-1, stable=True)
        repeated = torch.zeros(shape, dtype=torch.bool)
        repeated.scatter_(1, order[:, 1:], ordered[:, 1:] == ordered[:, :-1])
        count = int(repeated.sum())
        if not count:
            return index
        index[repeated] = torch.randint(rows, (count,), generator=stream)


def milliseconds(draw: Callable[[], Tensor]) -> float:
    """Processor time of one call."""
    start = time.process_time()
    draw()
    return 1e3 * (time.process_time() - start)


def in_turns(first: Callable[[], float], second: Callable[[], float]) -> tuple[float, float]:
    """Medians of what two measurements say, taken in turns; the first of each is left out."""
    pairs = [(first(), second()) for _ in range(TURNS + 1)][1:]
    one, other = (sorted(column)[TURNS // 2] for column in zip(*pairs, strict=True))
    return one, other


def draws() -> None:
    """Prints the median of every kind of draw and the ratio."""
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
    for name, (one, other) in ways.items():
        together, apart = in_turns(
            functools.partial(milliseconds, one), functools.partial(milliseconds, other)
        )
        ratio = apart / together
        print(f"{name}: together {together:.2f}, a generator each {apart:.2f}, {ratio:.1f}x")


def worker(tree: Path) -> subprocess.Popen:
    """A process that times rounds with a checkout's code."""
    code = WORKER.format(sizes=ROUNDS)
    environment = os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tree,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def rounds(before: Path) -> None:
    """Prints milliseconds of a round of OMAR with another checkout's code and with this one's."""

    def asked(process: subprocess.Popen, preset: str) -> float:
        assert process.stdin and process.stdout
        process.stdin.write(preset + "\n")
        process.stdin.flush()
        return 1e3 * float(process.stdout.readline())

    print(f"\nwhole rounds of OMAR, milliseconds, medians of {TURNS}")
    with worker(before) as old, worker(HERE) as new:
        for preset, (members, batch, rows) in ROUNDS.items():
            each, counted = in_turns(
                functools.partial(asked, old, preset), functools.partial(asked, new, preset)
            )
            sizes = f"{members} members, batch {batch}, {rows:,} rows"
            print(
                f"{preset} ({sizes}): counted {counted:.1f}, a generator each {each:.1f}, "
                f"{each / counted:.2f}x"
            )
        for process in (old, new):
            assert process.stdin
            process.stdin.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--before", type=Path, help="checkout of the commit to compare rounds with")
    args = parser.parse_args()
    torch.set_num_threads(1)
    draws()
    if args.before:
        rounds(args.before.resolve())


if __name__ == "__main__":
    main()
