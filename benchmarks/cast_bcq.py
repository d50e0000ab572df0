"""What an update of each CAST-BCQ method costs at quick's, standard's and the paper's sizes, seeds
batched and one at a time; at the last, with options that make it cheaper.

    python benchmarks/cast_bcq.py            # robots: Hopper's uncoordinated data, built if missing
    python benchmarks/cast_bcq.py battles    # battles and the grid at standard

Milliseconds of one core per update and seed. Battles are timed on the smallest data, with lanes as
long as a map's limit, which the longest episode of larger data reaches. The costs in `--list` come
from here.
"""

import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from common.running.cells import Cell
from common.running.program import Program
from common.running.provenance import machine
from envs.smac.units import battle_map
from papers.cast_bcq import battles, grid, training
from papers.cast_bcq.config import BATTLE_METHODS, CHOOSING, MAPS, METHODS, PRESETS
from papers.cast_bcq.experiment import PAPER, battle_cell, cell, grid_cell

LEAST = 3.0  # seconds measured
COMPARED = ("quick", "standard", "paper")  # presets whose sizes are taken
DATA_SIZE = "quick"
CHEAPER: dict[str, dict] = {
    "generator of 256": {"vae_hidden": 256},
    "minibatches of 100": {"batch_size": 100},
    "generator of 256, minibatches of 100": {"vae_hidden": 256, "batch_size": 100},
    "others=data": {"others": "data"},
    "all three": {"vae_hidden": 256, "batch_size": 100, "others": "data"},
}


def milliseconds(chosen: Cell) -> float:
    """Time of one update of all seeds of a cell, evaluations left out."""
    once = replace(chosen, config=chosen.config | {"evaluations": 1})
    return spent(Program([once], "cpu", training.build).updates())


def spent(steps: Iterator[int]) -> float:
    """Milliseconds of a step, the first left out."""
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


def of_battles() -> None:
    """Prints milliseconds per update and seed of battles, and of one evaluation, at standard."""
    for name in MAPS:
        for method in ("bc", *BATTLE_METHODS):
            made = battle_cell("standard", name, method, {})
            made = replace(made, config=made.config | {"data_size": "smoke", "evaluations": 1})
            PAPER.data.prepare(made)
            program = Program([made], "cpu", battles.build)
            store: Any = program.training.others["store"]
            scale = (battle_map(name).limit + 1) / store.positions
            seeds = len(made.config["seeds"])
            update = scale * spent(program.updates()) / seeds
            began = time.process_time()
            program.training.evaluate(1)
            playing = time.process_time() - began
            print(f"{name}, {method}: {update:.1f} ms; an evaluation {playing:.1f} s", flush=True)


def of_grid() -> None:
    """Prints milliseconds per update and seed of the grid world at standard."""
    for method in grid.METHODS:
        made = grid_cell("standard", method, {})
        program = Program([made], "cpu", grid.build)
        seeds = len(made.config["seeds"])
        print(f"grid, {method}: {spent(program.updates()) / seeds:.2f} ms", flush=True)


def main() -> None:
    torch.set_num_threads(1)
    found = machine("cpu")
    print(f"{found['processor']}, {found['cores']} cores, one thread, kernels {found['kernels']}")
    if "battles" in sys.argv:
        of_battles()
        of_grid()
        return
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
    for method in METHODS:
        for name, options in CHEAPER.items():
            generates = method in CHOOSING or "vae_hidden" not in options
            if generates and (method == "ours" or "others" not in options):
                alone = milliseconds(sized(COMPARED[-1], method, options | {"seeds": [0]}))
                print(f"{COMPARED[-1]}, {method}, {name}: {alone:.1f} ms alone", flush=True)


if __name__ == "__main__":
    main()
