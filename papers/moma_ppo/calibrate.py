"""Proposes l_eps, lambda_g and lambda_r of a data set's world model from held-out rows, and says
how long rollouts then are.

    python papers/moma_ppo/calibrate.py reacher expert-mix
    python papers/moma_ppo/calibrate.py ant medium --preset quick --quantiles 0.9 0.97 0.99

No return is looked at. Rollouts start from held-out rows and follow untrained teams, as those of
the first epoch do. The world model is trained first if it is not there.
"""

import argparse
import sys
from dataclasses import replace

import common  # noqa: F401  (finds the environment first)

# isort: split
import torch
from tabulate import tabulate

from common.learning.mappo import MAPPO, MAPPOConfig
from common.learning.philox import Streams
from common.learning.rollouts import roll
from common.running import work
from common.running.cells import PRESETS, merged
from common.running.options import BadInput, nearest
from papers.moma_ppo import models, tasks
from papers.moma_ppo.calibration import calibrate
from papers.moma_ppo.config import LENGTH, QUALITIES, QUANTILE, hyper_layers
from papers.moma_ppo.ensemble import WorldModelConfig, split_rows, tensors_of
from papers.moma_ppo.limits import HISTORY, LIMITS
from papers.moma_ppo.sequences import Sequences

DATA = {"reacher": ("expert-mix",), "ant": QUALITIES}
QUANTILES = (0.5, 0.9, 0.95, 0.97, 0.99)
TEAMS = 5
STARTS = 200
HEADER = ["quantile", "l_eps", "lambda_g", "lambda_r", "mean rollout length"]


def proposals(
    preset: str, task: str, quality: str, quantiles: list[float], steps: int, device: str = "cpu"
) -> list[list[float]]:
    """Rows of HEADER: calibration at every quantile, and the mean length of rollouts of at most
    `steps` steps under it.
    """
    cell = models.model_cell(preset, task, quality)
    work.paper("moma_ppo").data.prepare(cell)
    result = models.ensure(cell, device)
    arrays, _ = tasks.load(cell.config)
    data = tensors_of(arrays, device)
    config = WorldModelConfig(**cell.config["model"])
    view = tasks.agents(cell.config)
    _, held_out = split_rows(len(arrays["rewards"]), config.validation)
    sequences = Sequences(arrays, view, HISTORY[task], 1.0, device)
    hyper = merged(hyper_layers(preset, task, "moma_ppo"))["hyper"]
    ppo = MAPPOConfig(**hyper)
    seeds = list(range(TEAMS))
    learner = MAPPO(seeds, view.obs_dims, sequences.state_dim, view.action_dim, ppo, device)
    picks = Streams(seeds, "starts", device).integers(len(held_out), (STARTS,))
    state, history = sequences.start(held_out.to(device)[picks])
    world = models.load_world(cell, result, [LIMITS] * TEAMS, device, "paper", None)
    kept = torch.arange(config.kept)
    rows = []
    for quantile in quantiles:
        proposed = calibrate(
            world.ensemble,
            kept,
            data,
            held_out,
            quantile,
            cell.config["calibration_rows"],
            cell.config["seeds"][0],
        )
        l_eps = torch.full((TEAMS,), proposed["l_eps"], device=device)
        world.limits = replace(world.limits, l_clip=l_eps, l_stop=l_eps)
        actions = Streams(seeds, "actions", device)
        of_world = Streams(seeds, "world", device)
        rollouts = roll(learner, world, view, state, history, steps, actions, of_world)
        length = float(rollouts.valid.sum() / (TEAMS * STARTS))
        numbers = [proposed[name] for name in ("l_eps", "lambda_g", "lambda_r")]
        rows.append([quantile, *numbers, length])
    return rows


def check(args: argparse.Namespace) -> None:
    """Whether there is such data, and quantiles and steps are possible.

    Raises:
        BadInput: with one sentence.
    """
    if args.quality not in DATA.get(args.task, ()):
        choices = [f"{task} {quality}" for task, all_of in DATA.items() for quality in all_of]
        hint = nearest(f"{args.task} {args.quality}", choices)
        raise BadInput(f"no data {args.task!r} {args.quality!r}; {hint}")
    if not all(0 < quantile < 1 for quantile in args.quantiles) or args.steps < 1:
        raise BadInput("quantiles lie between 0 and 1, and a rollout has at least one step")


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
        check(args)
        rows = proposals(args.preset, args.task, args.quality, list(args.quantiles), args.steps)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(tabulate(rows, HEADER, floatfmt=("g", ".4g", ".4g", ".4g", ".2f")))
    print(f"\nof at most {args.steps} steps, untrained teams, preset {args.preset};", end=" ")
    print(f"the scripts use quantile {QUANTILE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
