"""What an update of each CAST-BCQ method costs at quick's, standard's and the paper's sizes, seeds
batched and one at a time; at the last, with options that make it cheaper.

    python benchmarks/cast_bcq.py

On Hopper's uncoordinated data (built if missing), milliseconds of one core per update and seed. The
costs in `--list` come from here.
"""

import time
from dataclasses import replace

import torch

from common.running.cells import Cell
from common.running.program import Program
from common.running.provenance import machine
from papers.cast_bcq import training
from papers.cast_bcq.config import CHOOSING, METHODS, PRESETS
from papers.cast_bcq.experiment import PAPER, cell

LEAST = 3.0  # seconds measured
COMPARED = ("quick", "standard", "paper")  # presets whose sizes are taken
DATA_SIZE = "quick"
CHEAPER = {
    "generator of 256": {"vae_hidden": 256},
    "others=data": {"others": "data"},
    "both": {"vae_hidden": 256, "others": "data"},
}


def milliseconds(chosen: Cell) -> float:
    """Time of one update of all seeds of a cell, evaluations left out."""
    once = replace(chosen, config=chosen.config | {"evaluations": 1})
    steps = Program([once], "cpu", training.build).updates()
    next(steps)
    count = 0
    began = time.process_time()
    while time.process_time() - began < LEAST:
        next(steps)
        count += 1
    return 1e3 * (time.process_time() - began) / count


def sized(preset: str, method: str, options: dict) -> Cell:
    """A cell at a preset's sizes, on smaller data."""
    made = cell(preset, "hopper", "uncoordinated", method, options)
    return replace(made, config=made.config | {"data_size": DATA_SIZE})


def main() -> None:
    torch.set_num_threads(1)
    found = machine("cpu")
    print(f"{found['processor']}, {found['cores']} cores, one thread, kernels {found['kernels']}")
    for preset in COMPARED:
        for method in METHODS:
            three, one = (sized(preset, method, {"seeds": seeds}) for seeds in ([0, 1, 2], [0]))
            PAPER.data.prepare(three)
            together = milliseconds(three) / 3
            alone = milliseconds(one)
            batch = PRESETS[preset]["batch_size"]
            print(
                f"{preset} (batch {batch}), {method}: {together:.1f} ms a seed, three batched; "
                f"{alone:.1f} ms alone",
                flush=True,
            )
    for method in CHOOSING:
        for name, options in CHEAPER.items():
            if method == "ours" or "others" not in options:
                alone = milliseconds(sized(COMPARED[-1], method, options | {"seeds": [0]}))
                print(f"{COMPARED[-1]}, {method}, {name}: {alone:.1f} ms alone", flush=True)


if __name__ == "__main__":
    main()
