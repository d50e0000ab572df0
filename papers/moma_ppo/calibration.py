"""What a world model's held-out rows say: how uncertain it may be (l_eps), what uncertainty costs
(lambda_g, lambda_r), and how errors grow along a rollout. No return is looked at.

`calibrate.py` is the command. Axes: R rows of the data, K pieces of them.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from common.learning.heads import ACTION_BOUND
from common.learning.philox import Streams
from papers.moma_ppo.ensemble import Ensemble
from papers.moma_ppo.world import LearnedWorld, covariance_norm

SHOWN_QUANTILES = (0.5, 0.9, 0.95, 0.97, 0.99)
VARIES = 1e-6  # standard deviation of a number of the state whose errors count
LEAST_UNCERTAINTY = 1e-8


def penalty_weight(reward_std: float, uncertainty: float) -> float:
    """lambda with which this uncertainty costs half a standard deviation of the data's rewards."""
    return 0.5 * reward_std / max(uncertainty, LEAST_UNCERTAINTY)


@torch.no_grad()
def calibrate(
    ensemble: Ensemble,
    kept: Tensor,
    data: Mapping[str, Tensor],
    held_out: Tensor,
    quantile: float,
    rows: int,
    seed: int,
) -> dict:
    """Proposed l_eps, lambda_g and lambda_r from so many held-out rows, drawn with replacement.

    l_eps is a quantile of the one-step eps_g under the standard normal actions of an untrained
    policy, so that the first rollouts are not all cut at once. The penalties are such that an
    uncertainty at its own quantile costs half a standard deviation of the data's rewards.
    """
    device = data["state"].device
    streams = Streams([seed], "calibration", device)
    index = held_out.to(device)[streams.integers(len(held_out), (rows,))[0]]
    noise = streams.normal((len(index), data["action"].shape[1]))[0]
    action = noise.clamp(-ACTION_BOUND, ACTION_BOUND)
    said = ensemble.predict(ensemble.members(kept), data["state"][index], action)
    eps_g = covariance_norm(said.mean)
    l_eps = float(eps_g.quantile(quantile))
    reward_std = float(data["reward"].std())
    return {
        "quantile": quantile,
        "l_eps": l_eps,
        "lambda_g": penalty_weight(reward_std, l_eps),
        "lambda_r": penalty_weight(reward_std, float(said.reward.var(0).quantile(quantile))),
        "eps_g_quantiles": {str(q): float(eps_g.quantile(q)) for q in SHOWN_QUANTILES},
    }


def whole_pieces(ends: np.ndarray, steps: int) -> Tensor:
    """Rows from which `steps` rows of the same episode follow, the row itself counted.

    Args:
        ends: [R] bool, last rows of episodes.
    """
    last = len(ends) - steps + 1
    whole = torch.ones(last, dtype=torch.bool)
    for t in range(steps - 1):
        whole &= ~torch.from_numpy(ends[t : last + t])
    return torch.nonzero(whole)[:, 0]


@torch.no_grad()
def horizon_errors(
    world: LearnedWorld,
    data: Mapping[str, Tensor],
    arrays: Mapping[str, np.ndarray],
    steps: int,
    count: int,
    seed: int,
) -> list[float]:
    """Error of open-loop predictions under the data's own actions, after 1 .. `steps` steps, in
    standard deviations.

    Root mean square over dimensions that vary and over `count` pieces of the data that do not end
    before; [] where there are none.
    """
    starts = whole_pieces(arrays["terminals"] | arrays["timeouts"], steps)
    if not len(starts):
        return []
    device = data["state"].device
    picks = Streams([seed], "horizon errors", device).integers(len(starts), (count,))[0]
    index = starts.to(device)[picks]
    spread = data["state"].std(0)
    varying = spread > VARIES
    streams = Streams([seed], "horizon members", device)
    state = data["state"][index][None]
    errors = []
    for t in range(steps):
        state = world.step(state, data["action"][index + t][None], streams).state
        gap = (state[0] - data["next_state"][index + t])[:, varying] / spread[varying]
        errors.append(float(gap.square().mean().sqrt()))
    return errors
