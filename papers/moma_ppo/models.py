"""World models as cells: trained once for each data set, kept as a file beside the result, shared
by whoever needs them.

All views of a task share one model, as it predicts the state.
"""

import functools
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from common.running import program, work
from common.running.cells import Cell, Layer, defaults, file_name, flat, read
from common.running.files import sha256
from common.running.options import changed
from common.running.program import Course, Members, Training
from papers.moma_ppo import tasks
from papers.moma_ppo.calibration import (
    calibrate,
    foreseen_ends,
    horizon_errors,
    whole_pieces,
)
from papers.moma_ppo.config import calibration_of, model_layers, preset_of, sizes_of
from papers.moma_ppo.ensemble import (
    Ensemble,
    WorldModelConfig,
    load_ensemble,
    prepared_rows,
    rank_members,
    round_weights,
    save_ensemble,
    scales_of,
    split_rows,
    tensors_of,
)
from papers.moma_ppo.limits import LimitRule
from papers.moma_ppo.world import LearnedWorld, Limits

HELD_OUT_ROWS = 1000  # whose loss the curve shows
EVALUATIONS = 10
ERROR_STEPS = 10
END_ROWS = 20_000  # that do not end, among which false ends are counted
ERROR_PIECES = 1000


def model_cell(preset: str, task: str, quality: str) -> Cell:
    """The world model of a data set."""
    sizes = preset_of(preset, task)
    what = {"task": task, "quality": quality, "method": "world_model", "view": "full"}
    if task == "coordination":
        data = {"rows": sizes["rows"], "data_seed": tasks.DATA_SEED}
    else:
        data = {"data_size": sizes["data_size"]}
    layers = [
        Layer("one for all seeds", what | {"seeds": [0]}, {"": sizes_of(task)}),
        defaults("calibration", calibration_of(preset, task)),
        Layer(f"preset {preset}", data),
        *model_layers(preset, task),
    ]
    return Cell.of("moma_ppo", preset, [task, quality, "world_model"], layers)


def model_of(cell: Cell) -> Cell:
    """The world model that a cell uses: its data set's, with the cell's hyperparameters."""
    config = cell.config
    usual = model_cell(cell.preset, config["task"], config["quality"])
    shared = ("model", "rows", "data_seed", "data_size")
    wanted = flat({key: config[key] for key in shared if key in usual.config})
    there = flat(usual.config)
    return changed(usual, {key: value for key, value in wanted.items() if there[key] != value})


def file_of(cell: Cell) -> Path:
    """Where a model's networks are kept."""
    return cell.path.parent.parent / "models" / f"{file_name(cell.slot)}.safetensors"


def available(cell: Cell) -> bool:
    """Whether the model of a finished cell is there, as it was written."""
    result = read(cell)
    return (
        result is not None
        and file_of(cell).exists()
        and sha256(file_of(cell)) == result["model_sha256"]
    )


def ensure(cell: Cell, device: str) -> dict:
    """The result of a model's cell, trained first if it is not done or its networks are gone.

    Raises:
        RuntimeError: training failed.
    """
    paper = work.paper("moma_ppo")
    with work.program_lock([cell]):  # whoever trains it writes networks first, then the result
        if paper.state(cell) == "done" and not available(cell):
            cell.path.unlink(missing_ok=True)
    if paper.state(cell) != "done":
        work.run_program([cell], device, lambda seconds: None, wait=True)
    result = read(cell)
    if result is None:
        raise RuntimeError(f"world model {cell.slot} was not trained")
    return result


def build(members: Members, device: str) -> Training:
    """One ensemble on the transitions of its data set; the kept members' networks go to `file_of`
    its cell.
    """
    if len(members.cells) != 1:
        raise ValueError(f"one world model at a time, not {len(members.cells)}")
    cell = members.cells[0]
    config = WorldModelConfig(**cell.config["model"])
    arrays, checksum = tasks.load(cell.config)
    data = tensors_of(arrays, device)
    ends = arrays["terminals"] | arrays["timeouts"]
    fitted, held_out = split_rows(ends, config.validation, config.split)
    dims = data["state"].shape[1], data["action"].shape[1]
    ensemble = Ensemble(members.seeds[0], *dims, config, scales_of(data, config), device)
    rows = prepared_rows(ensemble, data, fitted.to(device))
    checked = {
        name: tensor.expand(config.members, *tensor.shape)
        for name, tensor in prepared_rows(
            ensemble, data, held_out[:HELD_OUT_ROWS].to(device)
        ).items()
    }

    box = box_of(data)
    pieces = whole_pieces(ends, ERROR_STEPS, held_out)

    def errors_of(which: Tensor) -> dict[str, list[float]]:
        """Of members, on pieces of held-out episodes."""
        world = free_world(ensemble, which, *box, device)
        return horizon_errors(world, data, pieces, ERROR_STEPS, ERROR_PIECES, members.seeds[0])

    @functools.cache
    def outcome() -> dict:
        return assess(cell, ensemble, data, held_out, errors_of, device)

    return Training(
        learner=ensemble,
        draw=lambda done: rows,
        evaluate=lambda done: progress_of(ensemble, checked, errors_of),
        evaluate_at=program.evenly(config.updates, EVALUATIONS),
        facts=lambda course: facts_of(course, outcome()),
        total=config.updates,
        data=[{"0": checksum}],
        summary=lambda courses: summary_of(courses[0], outcome()),
    )


@torch.no_grad()
def progress_of(
    ensemble: Ensemble,
    checked: Mapping[str, Tensor],
    errors_of: Callable[[Tensor], dict[str, list[float]]],
) -> dict[str, list]:
    """Means over the ensemble: losses of the last minibatch and on held-out rows; errors of
    predictions one and ten steps ahead where whole episodes are held out.

    Args:
        checked: held-out rows, as `Ensemble.loss` takes them, every tensor [E, B, ...].
        errors_of: of members [E], see `calibration.horizon_errors`.
    """
    everyone = torch.arange(ensemble.config.members, device=checked["x"].device)
    errors = errors_of(everyone)
    ahead = {
        f"{name}_error_{steps}": [numbers[steps - 1]]
        for name, numbers in errors.items()
        for steps in (1, ERROR_STEPS)
        if numbers
    }
    return ahead | {
        "loss": [float(ensemble.notes["loss"].mean())],
        "held_out_loss": [float(ensemble.loss(checked).mean())],
    }


def facts_of(course: Course, outcome: dict) -> dict:
    """What a result says of its one seed; `outcome` is of `assess`. The held-out loss is that of
    networks before they are rounded.
    """
    errors = outcome["errors"]
    ahead = {
        f"{name}_error_{steps}": numbers[steps - 1] if numbers else None
        for name, numbers in errors.items()
        for steps in (1, ERROR_STEPS)
    }
    return ahead | {
        "held_out_loss": course.curves["held_out_loss"][-1],
        "curve": errors["state"],
    }


def summary_of(course: Course, outcome: dict) -> dict:
    """What a result says beside its seed; its rounds are steps ahead, as its curve is over them."""
    return {
        "rounds": list(range(1, len(outcome["errors"]["state"]) + 1)),
        "training": {"rounds": course.rounds} | course.curves,
    } | outcome


def box_of(data: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """The data's bounding box: least and largest state and, last, reward, [D + 1]."""
    states = torch.cat([data["state"], data["next_state"]])
    low = torch.cat([states.amin(0), data["reward"].amin().view(1)])
    high = torch.cat([states.amax(0), data["reward"].amax().view(1)])
    return low, high


def free_world(
    ensemble: Ensemble, which: Tensor, low: Tensor, high: Tensor, device: str
) -> LearnedWorld:
    """Of the members numbered `which` [K], in the data's box, low and high [D + 1]; without
    penalties and cuts.
    """
    free = dict.fromkeys(("lambda_r", "lambda_g", "lambda_a"), 0.0)
    free |= {"l_clip": math.inf, "l_stop": math.inf, "box": True}
    return LearnedWorld(ensemble, which, low, high, Limits.of([free], device))


def assess(
    cell: Cell,
    ensemble: Ensemble,
    data: dict[str, Tensor],
    held_out: Tensor,
    errors_of: Callable[[Tensor], dict[str, list[float]]],
    device: str,
) -> dict:
    """Keeps the best members of a trained ensemble, in a file; what they are worth.

    Args:
        data: rows by name, as `ensemble.tensors_of` has them; held_out: numbers of rows, [H].
        errors_of: of members [E], see `calibration.horizon_errors`.

    Returns:
        For a result: errors of predictions 1, 2, ... steps ahead on held-out episodes, of every
        member, which are kept, the calibration of penalties, and the file's checksum.
    """
    seed = cell.config["seeds"][0]
    round_weights(ensemble)
    order, member_errors = rank_members(ensemble, data, held_out, seed)
    kept = order[: ensemble.config.kept].to(device)
    low, high = box_of(data)
    path = file_of(cell)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_ensemble(path, ensemble, kept, low, high)
    world = free_world(ensemble, kept, low, high, device)
    return {
        "errors": errors_of(kept),
        "member_errors": member_errors.tolist(),
        "kept": kept.tolist(),
        "calibration": calibrate(world, data, held_out, cell.config["calibration"], seed),
        "largest_reward": float(high[-1]),
        **foreseen_ends(world, data, held_out, END_ROWS),
        "model_sha256": sha256(path),
    }


def load_world(
    cell: Cell,
    result: dict,
    limits: list[dict],
    device: str,
    combine: str,
    copies: torch.Tensor | None,
    inference: str = "float32",
    rule: LimitRule = "quantile",
) -> LearnedWorld:
    """The world that a model's file describes, for policies with these limits (see
    limits.LIMITS), one for each; l_eps is as the rule proposed.

    Args:
        result: of the model's cell, with its calibration.
        copies: [D + 1], see `world.covariance_norm`; None to count every number once.
        combine, inference: see `world.LearnedWorld`.
    """
    config = cell.config
    of = tasks.agents(config)
    dims = (
        len(of.indices[0]),
        of.num_agents * of.action_dim,
    )  # the model's view is full: everybody sees the state
    ensemble, low, high = load_ensemble(
        file_of(cell), *dims, WorldModelConfig(**config["model"]), device
    )
    calibration = result["calibration"][rule]
    rows = [
        {
            "lambda_r": limit["penalty"] * calibration["lambda_r"],
            "lambda_g": limit["penalty"] * calibration["lambda_g"],
            "lambda_a": limit["aleatoric"],
            "l_clip": calibration["l_eps"],
            "l_stop": calibration["l_eps"] if limit["adaptive"] else math.inf,
            "box": limit["box"],
        }
        for limit in limits
    ]
    kept = torch.arange(config["model"]["kept"], device=device)
    one_step = config["task"] == "coordination"
    return LearnedWorld(
        ensemble, kept, low, high, Limits.of(rows, device), combine, copies, one_step, inference
    )
