"""What a world model's held-out rows say: how uncertain it may be (l_eps), what uncertainty costs
(lambda_g, lambda_r), and how errors grow along a rollout. No return is looked at.

`calibrate.py` is the command. Axes: R rows of the data, K pieces of them.
"""

import math
from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor

from common.learning.heads import ACTION_BOUND
from common.learning.philox import Streams
from papers.moma_ppo.limits import LimitRule
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
def uncertainties(
    world: LearnedWorld, state: Tensor, actions: Iterable[Tensor], seed: int
) -> tuple[Tensor, Tensor]:
    """[T, K] eps_g and eps_r along rollouts in a world that cuts none.

    Args:
        state: [K, D] where they start.
        actions: T joint actions [K, U], brought within their bounds here.
    """
    of_world = Streams([seed], "calibration members", state.device)
    state = state[None]
    facts = []
    for action in actions:
        outcome = world.step(state, action[None].clamp(-ACTION_BOUND, ACTION_BOUND), of_world)
        facts.append(outcome.facts)
        state = outcome.state
    eps_g, eps_r = (torch.stack([f[name][0] for f in facts]) for name in ("eps_g", "eps_r"))
    return eps_g, eps_r


def measured(
    world: LearnedWorld, data: Mapping[str, Tensor], held_out: Tensor, how: Mapping, seed: int
) -> dict[LimitRule, tuple[Tensor, Tensor]]:
    """What both rules of `limits.LimitRule` look at: eps_g and eps_r [T, K] from held-out rows,
    drawn with replacement.

    "quantile": one step under the data's actions, with the noise of policies that begin to learn.
    "length": rollouts of an untrained team, whose actions have means near 0 and that noise.

    Args:
        how: a config.Calibration.
    """
    device = data["state"].device
    streams = Streams([seed], "calibration", device)
    index = held_out.to(device)[streams.integers(len(held_out), (how["rows"],))[0]]
    state, action = data["state"][index], data["action"][index]

    def noise() -> Tensor:
        return how["action_std"] * streams.normal(action.shape)[0]

    untrained = [noise() for _ in range(how["steps"])]
    return {
        "quantile": uncertainties(world, state, [action + noise()], seed),
        "length": uncertainties(world, state, untrained, seed),
    }


@torch.no_grad()
def foreseen_ends(
    world: LearnedWorld, data: Mapping[str, Tensor], held_out: Tensor, rows: int
) -> dict[str, float | None]:
    """Shares of held-out rows where the members' vote ends the episode: of all those that do end
    it, and of the first `rows` of the others. None where there are none.

    Args:
        data: rows by name, state [R, D], action [R, U], goes_on [R] 1 or 0; held_out: numbers of
            rows, [H].
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


def limit_of(rule: LimitRule, eps_g: Tensor, how: Mapping) -> float:
    """l_eps by a rule, of the eps_g [T, K] that `measured` has for it; `how` is a
    config.Calibration.
    """
    if rule == "length":
        return limit_of_length(eps_g, how["length"])
    return float(eps_g.flatten().quantile(how["quantile"]))


def proposed(eps_g: Tensor, eps_r: Tensor, rewards: Tensor, l_eps: float) -> dict:
    """l_eps, and lambda_g and lambda_r with it: an uncertainty at its own quantile costs half a
    standard deviation of the data's rewards.

    Args:
        eps_g, eps_r: [T, K], see `measured`.
        rewards: [R] of the data.
    """
    quantile = float((eps_g < l_eps).float().mean())
    reward_std = float(rewards.std())
    return {
        "quantile": quantile,
        "l_eps": l_eps,
        "lambda_g": penalty_weight(reward_std, l_eps),
        "lambda_r": penalty_weight(reward_std, float(eps_r.flatten().quantile(quantile))),
        "eps_g_quantiles": {str(q): float(eps_g.flatten().quantile(q)) for q in SHOWN_QUANTILES},
    }


def calibrate(
    world: LearnedWorld, data: Mapping[str, Tensor], held_out: Tensor, how: Mapping, seed: int
) -> dict[LimitRule, dict]:
    """What every rule of `limits.LimitRule` proposes, see `proposed`.

    Both look at teams that have not learned: rollouts of the first ones would all be cut at once
    under what the data's own actions show, and under the largest uncertainties none would be.

    Args:
        data: rows by name, state [R, D], action [R, U], reward [R]; held_out: numbers of rows, [H].
        how: a config.Calibration.
    """
    return {
        rule: proposed(*eps, data["reward"], limit_of(rule, eps[0], how))
        for rule, eps in measured(world, data, held_out, how, seed).items()
    }


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
        data: rows by name, state and next_state [R, D], action [R, U], reward [R].
        starts: of pieces, as `whole_pieces` finds them, [P].
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
