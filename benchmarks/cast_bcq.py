"""What an update of each CAST-BCQ method costs at quick's and at the paper's sizes, seeds batched
and one at a time.

    python benchmarks/cast_bcq.py

On Hopper's uncoordinated data (built if missing), one core, milliseconds per update and seed. The
costs in `--list` come from here.
"""

import time
from dataclasses import replace

import torch

from common.running.cells import Cell
from common.running.program import Program
from common.running.provenance import machine
from papers.cast_bcq import training
from papers.cast_bcq.config import METHODS, PRESETS
from papers.cast_bcq.experiment import PAPER, cell

LEAST = 3.0  # seconds measured
COMPARED = ("quick", "paper")  # presets whose sizes are taken
DATA_SIZE = "quick"


def milliseconds(chosen: Cell) -> float:
    """Time of one update of all seeds of a cell, evaluations left out."""
    once = replace(chosen, config=chosen.config | {"evaluations": 1})
    steps = Program([once], "cpu", training.build).updates()
    next(steps)
    count = 0
    began = time.perf_counter()
    while time.perf_counter() - began < LEAST:
        next(steps)
        count += 1
    return 1e3 * (time.perf_counter() - began) / count


def main() -> None:
    torch.set_num_threads(1)
    found = machine("cpu")
    print(f"{found['processor']}, {found['cores']} cores, one thread, kernels {found['kernels']}")
    for preset in COMPARED:
        for method in METHODS:
            three, one = (
                cell(preset, "hopper", "uncoordinated", method, {"seeds": seeds})
                for seeds in ([0, 1, 2], [0])
            )
            sized = [
                Cell(c.paper, c.preset, c.slot, c.config | {"data_size": DATA_SIZE})
                for c in (three, one)
            ]
            PAPER.data.prepare(sized[0])
            together = milliseconds(sized[0]) / 3
            alone = milliseconds(sized[1])
            batch = PRESETS[preset]["batch_size"]
            print(
                f"{preset} (batch {batch}), {method}: {together:.1f} ms a seed, three batched; "
                f"{alone:.1f} ms alone",
                flush=True,
            )


if __name__ == "__main__":
    main()
