"""What a world model's held-out rows say: how uncertain it may be (l_eps), what uncertainty costs
(lambda_g, lambda_r), and how errors grow along a rollout. No return is looked at.

`calibrate.py` is the command. Axes: R rows of the data, K pieces of them.
"""

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from common.learning.heads import ACTION_BOUND
from common.learning.philox import Streams
from papers.moma_ppo.world import LearnedWorld

SHOWN_QUANTILES = (0.5, 0.9, 0.95, 0.97, 0.99)
VARIES = 1e-6  # standard deviation of a number of the state whose errors count
LEAST_UNCERTAINTY = 1e-8


def penalty_weight(reward_std: float, uncertainty: float) -> float:
    """lambda with which this uncertainty costs half a standard deviation of the data's rewards."""
    return 0.5 * reward_std / max(uncertainty, LEAST_UNCERTAINTY)


def limit_of_length(eps_g: Tensor, length: float) -> float:
    """l_eps under which rollouts last so many steps on average.

    Args:
        eps_g: [T, K] uncertainties along K rollouts that nothing cut.
        length: at least 1, at most T.
    """
    # A rollout lasts at least t + 1 steps where the largest of its first t uncertainties is below
    # l_eps, so its mean length is a step function of l_eps that rises at those maxima only.
    so_far = eps_g.cummax(0).values[:-1]
    candidates = so_far.flatten().sort().values
    missing = (length - 1) * eps_g.shape[1]  # steps after the first, of all rollouts
    below = min(max(math.ceil(missing), 0), len(candidates) - 1)
    if length >= len(eps_g) or not len(candidates):
        return float(eps_g.max()) * (1 + 1e-6)
    return float(candidates[below])


@torch.no_grad()
def untrained(
    world: LearnedWorld,
    data: Mapping[str, Tensor],
    held_out: Tensor,
    rows: int,
    steps: int,
    action_std: float,
    seed: int,
) -> tuple[Tensor, Tensor]:
    """[T, K] eps_g and eps_r along rollouts of an untrained team in a world that cuts none, from so
    many held-out rows, drawn with replacement.

    An untrained team's actions have means near 0 and one standard deviation.
    """
    device = data["state"].device
    streams = Streams([seed], "calibration", device)
    index = held_out.to(device)[streams.integers(len(held_out), (rows,))[0]]
    of_world = Streams([seed], "calibration members", device)
    state = data["state"][index][None]
    facts = []
    for _ in range(steps):
        noise = streams.normal((rows, data["action"].shape[1]))
        action = (action_std * noise).clamp(-ACTION_BOUND, ACTION_BOUND)
        outcome = world.step(state, action, of_world)
        facts.append(outcome.facts)
        state = outcome.state
    eps_g, eps_r = (torch.stack([f[name][0] for f in facts]) for name in ("eps_g", "eps_r"))
    return eps_g, eps_r


@torch.no_grad()
def foreseen_ends(
    world: LearnedWorld, data: Mapping[str, Tensor], held_out: Tensor, rows: int
) -> dict[str, float | None]:
    """Shares of held-out rows where the members' vote ends the episode: of all those that do end
    it, and of the first `rows` of the others. None where there are none.
    """
    held_out = held_out.to(data["state"].device)
    goes_on = data["goes_on"][held_out].bool()
    shares: dict[str, float | None] = {}
    for name, index in (
        ("ends_foreseen", held_out[~goes_on]),
        ("false_ends", held_out[goes_on][:rows]),
    ):
        state, action = data["state"][index][None], data["action"][index][None]
        streams = Streams([0], "ends", state.device)
        ended = world.step(state, action, streams).alive == 0 if len(index) else torch.empty(0)
        shares[name] = float(ended.float().mean()) if len(index) else None
    return shares


def calibrate(eps_g: Tensor, eps_r: Tensor, rewards: Tensor, length: float) -> dict:
    """Proposed l_eps, lambda_g and lambda_r.

    l_eps is such that rollouts of an untrained team last `length` steps on average: it must be an
    untrained team, as the first rollouts would else all be cut at once, and it must be far below
    the largest uncertainties, as none would be cut. The penalties are such that an uncertainty at
    its own quantile costs half a standard deviation of the data's rewards.

    Args:
        eps_g, eps_r: [T, K], see `untrained`.
    """
    l_eps = limit_of_length(eps_g, length)
    quantile = float((eps_g < l_eps).float().mean())
    reward_std = float(rewards.std())
    return {
        "length": length,
        "quantile": quantile,
        "l_eps": l_eps,
        "lambda_g": penalty_weight(reward_std, l_eps),
        "lambda_r": penalty_weight(reward_std, float(eps_r.flatten().quantile(quantile))),
        "eps_g_quantiles": {str(q): float(eps_g.flatten().quantile(q)) for q in SHOWN_QUANTILES},
    }


def cut_lengths(eps_g: Tensor, l_eps: float) -> Tensor:
    """[K] steps of rollouts that are cut after the first uncertainty of at least l_eps."""
    cut = eps_g >= l_eps
    steps = len(eps_g)
    return torch.where(cut.any(0), cut.int().argmax(0) + 1, steps)


def whole_pieces(ends: np.ndarray, steps: int, among: Tensor | None = None) -> Tensor:
    """Rows from which `steps` rows of the same episode follow, the row itself counted.

    Args:
        ends: [R] bool, last rows of episodes.
        among: numbers of the rows that a piece is made of; all by default.
    """
    last = len(ends) - steps + 1
    if last < 1:
        return torch.zeros(0, dtype=torch.long)
    inside = torch.ones(len(ends), dtype=torch.bool)
    if among is not None:
        inside = torch.zeros(len(ends), dtype=torch.bool)
        inside[among] = True
    whole = inside[:last].clone()
    for t in range(1, steps):
        whole &= inside[t : last + t] & ~torch.from_numpy(ends[t - 1 : last + t - 1])
    return torch.nonzero(whole)[:, 0]


@torch.no_grad()
def horizon_errors(
    world: LearnedWorld,
    data: Mapping[str, Tensor],
    starts: Tensor,
    steps: int,
    count: int,
    seed: int,
) -> dict[str, list[float]]:
    """Errors of open-loop predictions under the data's own actions, after 1 .. `steps` steps, in
    standard deviations: "state" and "reward".

    Root mean square over dimensions that vary and over `count` pieces of the data that do not end
    before; no numbers where there are none.

    Args:
        starts: of pieces, as `whole_pieces` finds them.
    """
    errors: dict[str, list[float]] = {"state": [], "reward": []}
    if not len(starts):
        return errors
    device = data["state"].device
    picks = Streams([seed], "horizon errors", device).integers(len(starts), (count,))[0]
    index = starts.to(device)[picks]
    spread = data["state"].std(0)
    varying = spread > VARIES
    reward_spread = data["reward"].std().clamp_min(VARIES)
    streams = Streams([seed], "horizon members", device)
    state = data["state"][index][None]
    for t in range(steps):
        outcome = world.step(state, data["action"][index + t][None], streams)
        state = outcome.state
        gap = (state[0] - data["next_state"][index + t])[:, varying] / spread[varying]
        off = (outcome.reward[0] - data["reward"][index + t]) / reward_spread
        errors["state"].append(float(gap.square().mean().sqrt()))
        errors["reward"].append(float(off.square().mean().sqrt()))
    return errors
