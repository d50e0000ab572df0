"""Proposes l_eps, lambda_g and lambda_r of a data set's world model from held-out rows, and says
how long rollouts then are.

    python papers/moma_ppo/calibrate.py reacher expert-mix
    python papers/moma_ppo/calibrate.py ant medium --preset quick --quantiles 0.9 0.97 0.99

No return is looked at. Rollouts start from held-out rows and follow untrained teams, as those of
the first epoch do. The world model is trained first if it is not there.
"""

import argparse
import sys

import torch
from tabulate import tabulate

from common.learning.mappo import MAPPO, MAPPOConfig
from common.learning.population import generators
from common.learning.rollouts import roll
from common.reporting.tables import PRESETS
from common.running import work
from common.running.experiment import BadInput, nearest
from papers.moma_ppo import models, tasks
from papers.moma_ppo import world_model as wm
from papers.moma_ppo.experiment import LENGTH
from papers.moma_ppo.sequences import Sequences
from papers.moma_ppo.settings import HISTORY, LIMITS, QUALITIES, QUANTILE, hyper, preset_of

DATA = {"reacher": ("expert-mix",), "ant": QUALITIES}
QUANTILES = (0.5, 0.9, 0.95, 0.97, 0.99)
TEAMS, STARTS = 5, 200
HEADER = ["quantile", "l_eps", "lambda_g", "lambda_r", "mean rollout length"]


def proposals(
    preset: str, task: str, quality: str, quantiles: list[float], steps: int, device: str = "cpu"
) -> list[list[float]]:
    """Rows of HEADER: calibration at every quantile, and the mean length of rollouts of at most
    `steps` steps under it.
    """
    cell = models.model_cell(preset, task, quality)
    work.paper("moma_ppo").prepare(cell)
    result = models.ensure(cell, device)
    arrays, _ = tasks.load(cell.config)
    data, config, view = (
        wm.tensors_of(arrays, device),
        wm.WorldModelConfig(**cell.config["model"]),
        tasks.agents(cell.config),
    )
    _, held_out = wm.split(len(arrays["rewards"]), config.validation)
    sequences = Sequences(arrays, view, HISTORY[task], 1.0, device)
    values = preset_of(preset, task)
    ppo = MAPPOConfig(**hyper(task, "moma_ppo", values["small"], values["ppo"]))
    seeds = list(range(TEAMS))
    team = MAPPO(seeds, view.obs_dims, sequences.state_dim, view.action_dim, ppo, device)
    picks = [
        torch.randint(len(held_out), (STARTS,), generator=stream)
        for stream in generators(seeds, "starts")
    ]
    state, history = sequences.start(held_out[torch.stack(picks)].to(device))
    rows = []
    for quantile in quantiles:
        world = models.load_world(cell, result, [LIMITS] * TEAMS, device, "paper", None)
        found = wm.calibrate(
            world.ensemble,
            torch.arange(config.kept),
            data,
            held_out,
            quantile,
            cell.config["seeds"][0],
        )
        world.limits = wm.Limits(
            **vars(world.limits)
            | dict.fromkeys(("l_clip", "l_stop"), torch.full((TEAMS,), found["l_eps"]))
        )
        made = roll(
            team,
            world,
            view,
            state,
            history,
            steps,
            generators(seeds, "actions", device),
            generators(seeds, "world"),
        )
        length = float(made.valid.sum() / (TEAMS * STARTS))
        rows.append([quantile, found["l_eps"], found["lambda_g"], found["lambda_r"], length])
    return rows


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("task", help=", ".join(DATA))
    parser.add_argument("quality", help="of the data")
    parser.add_argument("--preset", default="quick", choices=PRESETS)
    parser.add_argument(
        "--quantiles",
        type=float,
        nargs="+",
        default=QUANTILES,
        help="of the held-out one-step uncertainty",
    )
    parser.add_argument("--steps", type=int, default=LENGTH, help="of a rollout, at most")
    args = parser.parse_args(arguments)
    try:
        if args.quality not in DATA.get(args.task, ()):
            known = [
                f"{task} {quality}" for task, qualities in DATA.items() for quality in qualities
            ]
            raise BadInput(
                f"no data {args.task!r} {args.quality!r}; {nearest(f'{args.task} {args.quality}', known)}"
            )
        if not all(0 < quantile < 1 for quantile in args.quantiles) or args.steps < 1:
            raise BadInput("quantiles lie between 0 and 1, and a rollout has at least one step")
        rows = proposals(args.preset, args.task, args.quality, list(args.quantiles), args.steps)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(tabulate(rows, HEADER, floatfmt=("g", ".4g", ".4g", ".4g", ".2f")))
    print(
        f"\nof at most {args.steps} steps, untrained teams, preset {args.preset}; the scripts use quantile {QUANTILE}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
