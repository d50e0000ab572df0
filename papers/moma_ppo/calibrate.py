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
from collections.abc import Sequence
from dataclasses import replace

import common.reporting  # noqa: F401  (finds the environment first)

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
from papers.moma_ppo.calibration import limit_of, measured, proposed
from papers.moma_ppo.config import LENGTH, QUALITIES, hyper_layers
from papers.moma_ppo.ensemble import WorldModelConfig, split_rows, tensors_of
from papers.moma_ppo.limits import HISTORY, LIMITS, LimitRule
from papers.moma_ppo.sequences import Sequences

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
    view = tasks.agents(cell.config)
    ends = arrays["terminals"] | arrays["timeouts"]
    _, held_out = split_rows(ends, config.validation, config.split)
    sequences = Sequences(arrays, view, HISTORY[task], 1.0, device)
    hyper = merged(hyper_layers(preset, task, "moma_ppo"))["hyper"]
    ppo = MAPPOConfig(**hyper)
    seeds = list(range(TEAMS))
    learner = MAPPO(seeds, view.obs_dims, sequences.state_dim, view.action_dim, ppo, device)
    picks = Streams(seeds, "starts", device).integers(len(held_out), (STARTS,))
    state, history = sequences.start(held_out.to(device)[picks])
    how = cell.config["calibration"]
    free = models.load_world(cell, result, [FREE], device, "paper", None)
    eps = measured(free, data, held_out, how, cell.config["seeds"][0])
    world = models.load_world(cell, result, [LIMITS] * TEAMS, device, "paper", None)
    rows = []
    asked: list[tuple[LimitRule, float]] = [("quantile", each) for each in quantiles]
    asked += [("length", each) for each in lengths]
    for rule, each in asked:
        found = proposed(
            *eps[rule], data["reward"], limit_of(rule, eps[rule][0], how | {rule: each})
        )
        l_eps = torch.full((TEAMS,), found["l_eps"], device=device)
        world.limits = replace(world.limits, l_clip=l_eps, l_stop=l_eps)
        actions = Streams(seeds, "actions", device)
        of_world = Streams(seeds, "world", device)
        rollouts = roll(learner, world, view, state, history, how["steps"], actions, of_world)
        lasted = float(rollouts.valid.sum() / (TEAMS * STARTS))
        numbers = [found[name] for name in ("l_eps", "lambda_g", "lambda_r")]
        rows.append([rule, each, *numbers, lasted])
    return rows


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
