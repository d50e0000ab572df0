"""What l_eps, lambda_g and lambda_r of a data set's world model are by both rules, a quantile of
the disagreement on held-out rows or a length of an untrained team's rollouts; and how long rollouts
of an untrained MOMA-PPO team do last then.

    python papers/moma_ppo/calibrate.py reacher expert-mix
    python papers/moma_ppo/calibrate.py ant medium --quantiles 0.9 0.95 --lengths 5 7 9

No return is looked at. Rollouts start from held-out rows, with what agents remember there. The
world model is trained first if it is not there.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

import common.reporting  # noqa: F401  (finds the environment first)

# isort: split
import numpy as np
import torch
from tabulate import tabulate
from torch import Tensor

from common.learning.mappo import MAPPO, MAPPOConfig
from common.learning.philox import Streams
from common.learning.rollouts import roll
from common.running import work
from common.running.cells import PRESETS, Cell, merged
from common.running.options import BadInput, nearest
from papers.moma_ppo import models, tasks
from papers.moma_ppo.calibration import limit_of, measured, proposed
from papers.moma_ppo.config import LENGTH, QUALITIES, hyper_layers
from papers.moma_ppo.ensemble import WorldModelConfig, split_rows, tensors_of
from papers.moma_ppo.limits import HISTORY, LIMITS, LimitRule
from papers.moma_ppo.sequences import Sequences
from papers.moma_ppo.world import LearnedWorld

DATA = {"reacher": ("expert-mix",), "ant": QUALITIES}
QUANTILES = (0.9, 0.95, 0.99)
LENGTHS = (5.0, 7.0, 9.0)
TEAMS = 5
STARTS = 200
FREE = {**LIMITS, "adaptive": False, "penalty": 0.0}
HEADER = ["rule", "asked for", "l_eps", "lambda_g", "lambda_r", "mean rollout length"]


def proposals(
    preset: str,
    task: str,
    quality: str,
    quantiles: Sequence[float],
    lengths: Sequence[float],
    device: str = "cpu",
) -> list[list]:
    """Rows of HEADER: calibration for every quantile and length, and how long rollouts of untrained
    teams then last.
    """
    cell = models.model_cell(preset, task, quality)
    work.paper("moma_ppo").data.prepare(cell)
    result = models.ensure(cell, device)
    arrays, _ = tasks.load(cell.config)
    data = tensors_of(arrays, device)
    config = WorldModelConfig(**cell.config["model"])
    ends = arrays["terminals"] | arrays["timeouts"]
    _, held_out = split_rows(ends, config.validation, config.split)
    how = cell.config["calibration"]
    free = models.load_world(cell, result, [FREE], device, "paper", None)
    eps = measured(free, data, held_out, how, cell.config["seeds"][0])
    world = models.load_world(cell, result, [LIMITS] * TEAMS, device, "paper", None)
    length_of = untrained_lengths(cell, arrays, held_out, device)
    asked: list[tuple[LimitRule, float]] = [("quantile", each) for each in quantiles]
    asked += [("length", each) for each in lengths]
    rows = []
    for rule, each in asked:
        l_eps = limit_of(rule, eps[rule][0], how | {rule: each})
        found = proposed(*eps[rule], data["reward"], l_eps)
        stop = torch.full((TEAMS,), l_eps, device=device)
        world.limits = replace(world.limits, l_clip=stop, l_stop=stop)
        numbers = [found[name] for name in ("l_eps", "lambda_g", "lambda_r")]
        rows.append([rule, each, *numbers, length_of(world)])
    return rows


def untrained_lengths(
    cell: Cell, arrays: dict[str, np.ndarray], held_out: Tensor, device: str
) -> Callable[[LearnedWorld], float]:
    """How long rollouts of TEAMS untrained teams last in a world on average, from the same held-out
    rows and with the same random numbers every time.

    Args:
        cell: of the world model.
        arrays: its data.
        held_out: [R] numbers of rows.
    """
    task = cell.config["task"]
    view = tasks.agents(cell.config)
    sequences = Sequences(arrays, view, HISTORY[task], 1.0, device)
    ppo = MAPPOConfig(**merged(hyper_layers(cell.preset, task, "moma_ppo"))["hyper"])
    seeds = list(range(TEAMS))
    learner = MAPPO(seeds, view.obs_dims, sequences.state_dim, view.action_dim, ppo, device)
    picks = Streams(seeds, "starts", device).integers(len(held_out), (STARTS,))
    state, history = sequences.start(held_out.to(device)[picks])
    steps = cell.config["calibration"]["steps"]

    def length_in(world: LearnedWorld) -> float:
        streams = (Streams(seeds, name, device) for name in ("actions", "world"))
        rollouts = roll(learner, world, view, state, history, steps, *streams)
        return float(rollouts.valid.sum() / (TEAMS * STARTS))

    return length_in


def check(args: argparse.Namespace) -> None:
    """Whether there is such data, and quantiles and lengths are possible.

    Raises:
        BadInput: with one sentence.
    """
    if args.quality not in DATA.get(args.task, ()):
        choices = [f"{task} {quality}" for task, all_of in DATA.items() for quality in all_of]
        hint = nearest(f"{args.task} {args.quality}", choices)
        raise BadInput(f"no data {args.task!r} {args.quality!r}; {hint}")
    if not all(0 < quantile < 1 for quantile in args.quantiles):
        raise BadInput("quantiles lie between 0 and 1")
    if not all(1 <= length <= LENGTH for length in args.lengths):
        raise BadInput(f"lengths lie between 1 and {LENGTH}")


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("task", help=", ".join(DATA))
    parser.add_argument("quality", help="of the data")
    parser.add_argument("--preset", default="quick", choices=PRESETS)
    parser.add_argument(
        "--quantiles", type=float, nargs="*", default=QUANTILES, help="of the disagreement"
    )
    parser.add_argument(
        "--lengths", type=float, nargs="*", default=LENGTHS, help="of rollouts, in steps"
    )
    args = parser.parse_args(arguments)
    try:
        check(args)
        rows = proposals(args.preset, args.task, args.quality, args.quantiles, args.lengths)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(tabulate(rows, HEADER, floatfmt=("", "g", ".4g", ".4g", ".4g", ".2f")))
    print(f"\nof at most {LENGTH} steps, untrained teams, preset {args.preset}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
