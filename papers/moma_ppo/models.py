"""World models as cells: trained once for each data set, kept as a file beside the result, shared
by whoever needs them.

All views of a task share one model, as it predicts the state.
"""

import math
from pathlib import Path

import torch

from common.running import work
from common.running.cells import Cell, Layer, file_name, flat, read
from common.running.files import sha256
from common.running.options import changed
from papers.moma_ppo import tasks
from papers.moma_ppo.calibration import calibrate, horizon_errors
from papers.moma_ppo.config import QUANTILE, Sizes, model_layers, preset_of
from papers.moma_ppo.ensemble import (
    Ensemble,
    WorldModelConfig,
    load_ensemble,
    prepared_rows,
    rank_members,
    save_ensemble,
    scales_of,
    split_rows,
    tensors_of,
)
from papers.moma_ppo.world import LearnedWorld, Limits

HELD_OUT_ROWS = 1000  # whose loss the curve shows
ERROR_STEPS, ERROR_PIECES = 10, 500


def model_cell(preset: str, task: str, quality: str) -> Cell:
    """The world model of a data set."""
    sizes = preset_of(preset, task)
    what = {"task": task, "quality": quality, "method": "world_model", "view": "full"}
    if task == "coordination":
        data = {"rows": sizes["rows"], "data_seed": tasks.DATA_SEED}
    else:
        data = {"data_size": sizes["data_size"]}
    layers = [
        Layer("one for all seeds", what | {"quantile": QUANTILE, "seeds": [0]}, {"": Sizes}),
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
    known = work.paper("moma_ppo")
    if known.state(cell) == "done" and not available(cell):
        cell.path.unlink()
    if known.state(cell) != "done":
        work.run_program([cell], device, lambda seconds: None, wait=True)
    result = read(cell)
    if result is None:
        raise RuntimeError(f"world model {cell.slot} was not trained")
    return result


class WorldModelProgram:
    """One ensemble in training.

    Attributes:
        model_sha256: None: it uses no other world model.
        done: updates so far; curve: [updates, training loss, held-out loss].
    """

    model_sha256 = None

    def __init__(self, cells: list[Cell], device: str):
        if len(cells) != 1:
            raise ValueError(f"one world model at a time, not {len(cells)}")
        self.cell, self.device, self.done, self.curve = cells[0], device, 0, []
        config, self.seed = cells[0].config, cells[0].config["seeds"][0]
        self.total = config["model"]["updates"]
        self.arrays, self.checksum = tasks.load(config)
        self.data = tensors_of(self.arrays, device)
        self.config = WorldModelConfig(**config["model"])
        self.training, self.held_out = split_rows(
            len(self.arrays["rewards"]), self.config.validation
        )
        dims = self.data["state"].shape[1], self.data["action"].shape[1]
        self.ensemble = Ensemble(
            self.seed, *dims, self.config, scales_of(self.data, self.config), device
        )
        self.rows = prepared_rows(self.ensemble, self.data, self.training.to(device))
        self.checked = prepared_rows(
            self.ensemble, self.data, self.held_out[:HELD_OUT_ROWS].to(device)
        )

    def updates(self):
        """Trains to the end; yields the number of updates done after every one."""
        every = max(1, self.total // 10)
        while self.done < self.total:
            loss = self.ensemble.update(self.rows)
            self.done += 1
            if self.done % every == 0:
                self.curve.append([self.done, float(loss.mean()), self.held_out_loss()])
            yield self.done

    @torch.no_grad()
    def held_out_loss(self) -> float:
        """Mean loss over members on held-out rows."""
        rows = {
            name: values.expand(self.config.members, *values.shape)
            for name, values in self.checked.items()
        }
        return float(self.ensemble.loss(rows).mean())

    def state_dict(self) -> dict:
        return {"done": self.done, "curve": self.curve, "ensemble": self.ensemble.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        self.done, self.curve = state["done"], state["curve"]
        self.ensemble.load_state_dict(state["ensemble"])

    def results(self) -> list[dict]:
        """The cell's result; the kept members' networks go to `file_of` the cell."""
        order, errors = rank_members(self.ensemble, self.data, self.held_out, self.seed)
        kept = order[: self.config.kept].to(self.device)
        both = torch.cat([self.data["state"], self.data["next_state"]])
        low, high = (
            torch.cat([states, reward.view(1)])
            for states, reward in (
                (both.amin(0), self.data["reward"].amin()),
                (both.amax(0), self.data["reward"].amax()),
            )
        )
        path = file_of(self.cell)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_ensemble(path, self.ensemble, kept, low, high)
        calibration = calibrate(
            self.ensemble, kept, self.data, self.held_out, self.cell.config["quantile"], self.seed
        )
        free = {"lambda_r": 0, "lambda_g": 0, "lambda_a": 0, "box": True}
        free |= dict.fromkeys(("l_clip", "l_stop"), math.inf)
        world = LearnedWorld(self.ensemble, kept, low, high, Limits.of([free], self.device))
        by_horizon = horizon_errors(
            world, self.data, self.arrays, ERROR_STEPS, ERROR_PIECES, self.seed
        )
        seed = {
            "seed": self.seed,
            "held_out_loss": self.curve[-1][2] if self.curve else None,
            "error_1": by_horizon[0] if by_horizon else None,
            "error_10": by_horizon[-1] if by_horizon else None,
            "curve": by_horizon,
        }
        return [
            {
                "seeds": [seed],
                "rounds": list(range(1, len(by_horizon) + 1)),
                "loss_curve": self.curve,
                "member_errors": errors.tolist(),
                "kept": kept.tolist(),
                "calibration": calibration,
                "model_sha256": sha256(path),
            }
        ]


def load_world(
    cell: Cell,
    result: dict,
    limits: list[dict],
    device: str,
    combine: str,
    copies: torch.Tensor | None,
) -> LearnedWorld:
    """The world that a model's file describes, for policies with these limits (see
    settings.LIMITS), one for each.
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
    found = result["calibration"]
    rows = [
        {
            "lambda_r": limit["penalty"] * found["lambda_r"],
            "lambda_g": limit["penalty"] * found["lambda_g"],
            "lambda_a": limit["aleatoric"],
            "l_clip": found["l_eps"],
            "l_stop": found["l_eps"] if limit["adaptive"] else math.inf,
            "box": limit["box"],
        }
        for limit in limits
    ]
    kept = torch.arange(config["model"]["kept"], device=device)
    one_step = config["task"] == "coordination"
    return LearnedWorld(
        ensemble, kept, low, high, Limits.of(rows, device), combine, copies, one_step
    )
