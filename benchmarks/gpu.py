"""What a GPU does with every learner of the papers:

(a) agreement: after each of a few updates at preset smoke, how far its networks on the GPU are from
    the CPU's; random numbers are the same on both (common/learning/philox.py);
(b) rate: member-updates a second at the sizes of preset paper, for 1 to 720 members, minibatch
    included; more members than the paper has seeds share the seeds' data;
(c) hours: of all updates of preset paper at those rates. Simulators stay on the CPU and are not in
    it.

    python benchmarks/gpu.py [--out gpu.json] [--limit 450]

Every step ends within minutes and is kept in the file; the same command goes on with the next one.
Without a GPU it says so in a line (exit code 2); `--device cpu` rehearses it.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import torch

from common.reporting import catalogue, planning
from common.running import work
from common.running.cells import Cell
from common.running.files import write_json
from common.running.options import BadInput
from common.running.program import Members, Training
from common.running.provenance import machine
from common.running.sources import resolve
from papers.cast_bcq import config as cast_bcq_config
from papers.cast_bcq import experiment as cast_bcq
from papers.cast_bcq import grid
from papers.moma_ppo import config as moma_ppo_config
from papers.moma_ppo import experiment as moma_ppo
from papers.moma_ppo import models
from papers.omar import config as omar_config
from papers.omar import experiment as omar
from papers.otc import config as otc_config
from papers.otc import experiment as otc

MEMBERS = (1, 5, 20, 60, 180, 720)
UPDATES = 20  # compared
SECONDS = 20.0  # of one rate
PRESET = "paper"  # whose sizes are timed, on data of DATA_SIZE
DATA_SIZE = "quick"
WITH_MODELS = ("moma_ppo/moma_ppo", "moma_ppo/moma_iql")  # need world models of their preset


def learners(preset: str) -> dict[str, list[Cell]]:
    """What trains together, for every learner of every paper."""
    robot = (preset, "hopper", "uncoordinated")
    cells = {}
    for method in omar_config.METHODS:
        cells[f"omar/{method}"] = [
            omar.make_cell(preset, "cooperative_navigation", "medium", method)
        ]
    for base in otc_config.BASES:
        cells[f"otc/{base}"] = otc_cells(preset, base)
    for method in cast_bcq_config.METHODS:
        cells[f"cast_bcq/{method}"] = [cast_bcq.cell(*robot, method, {})]
    for method in grid.METHODS:
        cells[f"grid/{method}"] = [cast_bcq.grid_cell(preset, method, {})]
    for method in ("bc", *cast_bcq_config.BATTLE_METHODS):
        cells[f"battles/{method}"] = [cast_bcq.battle_cell(preset, "3s_vs_3z", method, {})]
    options = asdict(moma_ppo_config.AntOptions())
    for method in moma_ppo_config.METHODS:
        cells[f"moma_ppo/{method}"] = [
            moma_ppo.cell(preset, "ant", "full", "full-replay", method, options)
        ]
    cells["moma_ppo/world_model"] = [models.model_cell(preset, "coordination", "favorable")]
    return cells


def otc_cells(preset: str, base: str) -> list[Cell]:
    """Every way to choose rows, of two seeds."""
    task, quality = ("3m", "medium") if base == "cql" else ("kinematic_navigation_2", "random")
    methods = [one for one in otc_config.METHODS if (base, one) != ("bremen", "d_q")]
    return [otc.make_cell(preset, task, quality, base, one, seeds=[0, 1]) for one in methods]


def built(cells: list[Cell], device: str) -> Training:
    """What the cells train; data sets that they need are there."""
    if cells[0].paper == "cast_bcq":
        module = cast_bcq.trained_by(cells[0])
        return resolve(f"papers.cast_bcq.{module}:build")(Members(cells), device)
    return resolve(f"papers.{cells[0].paper}.training:build")(Members(cells), device)


def learner_of(cell: Cell) -> str:
    """Which of `learners` trains the cell."""
    config = cell.config
    if cell.paper == "cast_bcq":
        place = {"grid": "grid", "battles": "battles", "training": "cast_bcq"}
        return f"{place[cast_bcq.trained_by(cell)]}/{config['method']}"
    return f"{cell.paper}/{config.get('base', config.get('method'))}"


def updates_of(cell: Cell) -> int:
    """How often the cell's learner is updated."""
    config = cell.config
    if cell.paper == "otc":
        tuning = config["deployments"] * config["tuning_updates"]
        return config["offline_updates"] + config["embedding"]["updates"] + tuning
    for name in ("rounds", "updates", "epochs"):
        if name in config:
            return config[name]
    return config["model"]["updates"]


def networks(training: Training) -> list[torch.Tensor]:
    """The parameters that are learned, on the CPU."""
    learner = training.learner
    held = learner.state_dict()["networks"] if hasattr(learner, "networks") else {}
    state = held or learner.state_dict()
    leaves = torch.utils._pytree.tree_leaves(state)
    return [one.detach().double().cpu() for one in leaves if is_float(one)]


def is_float(one: object) -> bool:
    return isinstance(one, torch.Tensor) and one.is_floating_point()


def distance(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> float:
    """Largest difference of a parameter over the largest parameter of its network."""
    pairs = zip(ours, theirs, strict=True)
    return max(
        float((a - b).abs().max() / a.abs().max().clamp_min(1e-12)) for a, b in pairs if a.numel()
    )


def agreement(cells: list[Cell], device: str) -> dict:
    """How far both devices are apart after every update."""
    here, there = built(cells, "cpu"), built(cells, device)
    apart = []
    for done in range(UPDATES):
        for training in (here, there):
            training.learner.update(training.draw(done))
        apart.append(distance(networks(here), networks(there)))
    return {"apart": apart}


def timed(cells: list[Cell], members: int, device: str) -> dict:
    """Updates a second of so many members."""
    seeds = cells[0].config["seeds"]
    own = [seeds[member % len(seeds)] for member in range(members)]
    changes = {"seeds": own} | ({"data_size": DATA_SIZE} if "data_size" in cells[0].config else {})
    cell = replace(cells[0], config=cells[0].config | changes)
    work.paper(cell.paper).data.prepare(cell)
    try:
        training = built([cell], device)
        done, spent = repeated(lambda done: training.learner.update(training.draw(done)), device)
    except torch.OutOfMemoryError:
        return {"members": members, "out_of_memory": True}
    rate = done / spent
    return {"members": members, "updates_per_s": rate, "member_updates_per_s": members * rate}


def repeated(step: Callable[[int], object], device: str) -> tuple[int, float]:
    """How many steps were done in how many seconds, the first three left out."""
    for done in range(3):
        step(done)
    wait(device)
    began = time.monotonic()
    count = 0
    while not count or time.monotonic() - began < SECONDS:
        step(3 + count)
        count += 1
        if count % 10 == 0:
            wait(device)
    wait(device)
    return count, time.monotonic() - began


def wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def hours(results: dict) -> dict:
    """Hours of the updates of preset paper by paper; what no rate is known of is counted apart."""
    tables = [table for table in catalogue.find() if not table.unavailable]
    spent: dict[str, dict] = {}
    for group in work.programs(planning.cells_of(tables, PRESET)):
        paper = spent.setdefault(group[0].paper, {"hours": 0.0, "cells": 0, "unknown_cells": 0})
        members = sum(len(cell.config["seeds"]) for cell in group)
        rate = rate_of(results, group[0], members)
        if rate is None:
            paper["unknown_cells"] += len(group)
            continue
        paper["cells"] += len(group)
        paper["hours"] += max(map(updates_of, group)) / rate / 3600
    return spent


def rate_of(results: dict, cell: Cell, members: int) -> float | None:
    """Updates a second of the measured number of members next to these."""
    if cell.config.get("timing") or cell.config.get("landscape"):
        return None  # they measure something else
    measured = [
        one
        for step, one in results.items()
        if step.startswith(f"rate/{learner_of(cell)}/") and "updates_per_s" in one
    ]
    if not measured:
        return None
    return min(measured, key=lambda one: abs(one["members"] - members))["updates_per_s"]


def steps(device: str) -> dict[str, Callable[[dict], dict]]:
    """Everything that is measured, by name; a step gets the results of those before it."""
    smoke, large = learners("smoke"), learners(PRESET)
    everything: dict[str, Callable[[dict], dict]] = {}

    def agreeing(cells: list[Cell]) -> Callable[[dict], dict]:
        return lambda _: agreement(prepared(cells), device)

    def rated(cells: list[Cell], members: int) -> Callable[[dict], dict]:
        return lambda _: timed(cells, members, device)

    for name, cells in smoke.items():
        everything[f"agreement/{name}"] = agreeing(cells)
    for members in MEMBERS:
        for name, cells in large.items():
            if name not in WITH_MODELS:
                everything[f"rate/{name}/{members}"] = rated(cells, members)
    everything["hours"] = hours
    return everything


def prepared(cells: list[Cell]) -> list[Cell]:
    """The cells, their data built."""
    for cell in cells:
        work.paper(cell.paper).data.prepare(cell)
    return cells


def shown(result: dict) -> str:
    """A step's result in a line."""
    if "apart" in result:
        return f"apart by {result['apart'][0]:.1e} at first, {max(result['apart']):.1e} at most"
    if "member_updates_per_s" in result:
        return f"{result['member_updates_per_s']:,.0f} member-updates/s"
    return json.dumps(result)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), help="results, by step")
    parser.add_argument("--limit", type=float, default=450.0, help="seconds; no step begins later")
    parser.add_argument("--only", default="", help="steps whose name contains this")
    args = parser.parse_args()
    try:
        device = work.pick_device(args.device)
    except BadInput as error:
        print(f"benchmarks/gpu.py: {error}", file=sys.stderr)
        return 2
    began = time.monotonic()
    kept = json.loads(args.out.read_text()) if args.out.exists() else {}
    results = kept.setdefault(machine(device)["device"], {})
    results.setdefault("machine", machine(device))
    left = [(name, step) for name, step in steps(device).items() if args.only in name]
    left = [(name, step) for name, step in left if name not in results]
    for place, (name, step) in enumerate(left):
        if time.monotonic() - began > args.limit:
            print(f"{len(left) - place} steps are left; the same command goes on")
            break
        results[name] = step(results)
        write_json(args.out, kept)
        print(f"{name}: {shown(results[name])}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
