"""The world that rollouts step in, made of an ensemble (Barde et al., 2024, section 3.1): predict,
combine, clip, penalise.

    s', r, f, eps_r, eps_g ~ M(. | s, a)
    eps_r = sum_m (r_m - mean r)^2 / (N - 1)
    eps_g = || cov of (next state, reward) over members ||_F
    r~ = r - lambda_r eps_r - lambda_g eps_g

Axes: E ensemble members, M policy members, B batch, R = M B rows, D state, U joint action, F
numbers of a prediction.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from common.learning.philox import Streams
from common.learning.rollouts import Outcome
from papers.moma_ppo.ensemble import Ensemble, Prediction

FINITE = 1e6  # states beyond are numerically lost; only reached without the bounding box


@dataclass(frozen=True)
class Limits:
    """How a world is used, one value for each policy member [M]; l_clip and l_stop are the paper's
    single l_eps.
    """

    lambda_r: Tensor
    lambda_g: Tensor
    lambda_a: Tensor  # of the aleatoric uncertainty, in the ablation
    l_clip: Tensor
    l_stop: Tensor  # infinite for rollouts of fixed length
    box: Tensor  # bool

    @classmethod
    def of(cls, rows: list[dict], device="cpu") -> "Limits":
        """From one dictionary of numbers for each member."""

        def column(name: str) -> Tensor:
            dtype = torch.bool if name == "box" else torch.float32
            return torch.tensor([row[name] for row in rows], dtype=dtype, device=device)

        return cls(**{field.name: column(field.name) for field in fields(cls)})

    def to(self, device) -> "Limits":
        return Limits(**{name: tensor.to(device) for name, tensor in vars(self).items()})

    def of_rows(self, count: int) -> "Limits":
        """For `count` rows of each member: [R] instead of [M]."""
        return Limits(
            **{name: tensor.repeat_interleave(count) for name, tensor in vars(self).items()}
        )


def of_drawn(tensor: Tensor, drawn: Tensor) -> Tensor:
    """[R, ...] of [E, R, ...], each row from the member that was drawn for it, [R]."""
    return tensor[drawn, torch.arange(len(drawn), device=drawn.device)]


def mean_and_vote(said: Prediction, drawn: Tensor) -> tuple[Tensor, Tensor]:
    """Reward and "goes on" [R] as the paper has them: the mean and a majority vote."""
    votes = (said.goes_on > 0.5).float().mean(0)
    return said.reward.mean(0), votes > 0.5


def of_one_member(said: Prediction, drawn: Tensor) -> tuple[Tensor, Tensor]:
    """Reward and "goes on" [R] as in the authors' code: of the member whose state is taken."""
    return of_drawn(said.reward, drawn), of_drawn(said.goes_on, drawn) > 0.5


def least_and_vote(said: Prediction, drawn: Tensor) -> tuple[Tensor, Tensor]:
    """Reward and "goes on" [R] of MOMA-IQL in the authors' code: the smallest and a vote."""
    _, goes_on = mean_and_vote(said, drawn)
    return said.reward.amin(0), goes_on


COMBINE: dict[str, Callable[[Prediction, Tensor], tuple[Tensor, Tensor]]] = {
    "paper": mean_and_vote,
    "released": of_one_member,
    "least": least_and_vote,
}


INFERENCE = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def covariance_norm(predictions: Tensor, copies: Tensor | None = None) -> Tensor:
    """[R] eps_g: Frobenius norm of the ensemble's unbiased covariance of predictions [E, R, F].

    Args:
        copies: [F], how often each number is repeated in the vector that the covariance is of; once
            by default.
    """
    centred = predictions - predictions.mean(0)
    if copies is not None:
        centred = centred * copies.sqrt()
    gram = torch.einsum("ibf,jbf->bij", centred, centred)  # has the covariance's norm
    return gram.flatten(1).norm(dim=-1) / (len(predictions) - 1)


def aleatoric_uncertainty(std: Tensor) -> Tensor:
    """[R] largest norm over members of the vector of predicted variances; std [E, R, F]."""
    return std.square().norm(dim=-1).amax(0)


def clip(numbers: Tensor, low: Tensor, high: Tensor, box: Tensor) -> Tensor:
    """[...] numbers within the data's bounding box where `box`, elsewhere only kept finite; low,
    high and box are shaped like numbers, or broadcast to them.
    """
    inside = torch.minimum(torch.maximum(numbers, low), high)
    return torch.where(box, inside, numbers.nan_to_num().clamp(-FINITE, FINITE))


def penalty(limits: Limits, eps_r: Tensor, eps_g: Tensor, aleatoric: Tensor) -> Tensor:
    """[R] lambda_r eps_r + lambda_g eps_g + lambda_a aleatoric, each uncertainty at most l_clip."""

    def cost(weight: Tensor, uncertainty: Tensor) -> Tensor:
        return weight * torch.minimum(uncertainty.nan_to_num(FINITE), limits.l_clip)

    of_reward = cost(limits.lambda_r, eps_r)
    of_all = cost(limits.lambda_g, eps_g)
    return of_reward + of_all + cost(limits.lambda_a, aleatoric)


class LearnedWorld:
    """The kept members of an ensemble as a world for rollouts, see `common.learning.rollouts`.

    Args:
        kept: members' numbers.
        low, high: the data's bounding box, [D + 1] with the reward last.
        limits: for each policy member.
        combine: key of COMBINE.
        copies: [D + 1] see `covariance_norm`; the released code's observations repeat the state.
        one_step: every step ends the episode (the coordination game).
        inference: "bfloat16" for products of 8 significant bits, sums in 24: twice as fast or more
            where they are wide and the processor has them.
    """

    def __init__(
        self,
        ensemble: Ensemble,
        kept: Tensor,
        low: Tensor,
        high: Tensor,
        limits: Limits,
        combine: str = "paper",
        copies: Tensor | None = None,
        one_step: bool = False,
        inference: str = "float32",
    ):
        if combine not in COMBINE:
            raise ValueError(f"unknown combine {combine!r}, expected one of: {', '.join(COMBINE)}")
        self.ensemble = ensemble
        if inference not in INFERENCE:
            known = ", ".join(INFERENCE)
            raise ValueError(f"unknown inference {inference!r}, expected one of: {known}")
        self.dtype = INFERENCE[inference]
        members = ensemble.members(kept)
        self.params = {name: tensor.to(self.dtype) for name, tensor in members.items()}
        self.kept = len(kept)
        self.low = low
        self.high = high
        self.limits = limits
        self.combine = COMBINE[combine]
        self.copies = copies
        self.one_step = one_step

    def reset(self, state: Tensor) -> None:
        """Nothing to do: the model has no state of its own."""

    @torch.no_grad()
    def step(self, state: Tensor, action: Tensor, streams: Streams | None) -> Outcome:
        """One step from states [M, B, D] with joint actions [M, B, U]; rewards come penalised."""
        shape = state.shape[:2]
        limits = self.limits.of_rows(shape[1])
        fewer_bits = self.dtype != torch.float32
        with torch.autocast(state.device.type, self.dtype, enabled=fewer_bits):
            said = self.ensemble.predict(self.params, state.flatten(0, 1), action.flatten(0, 1))
        # The mean of states need not look like any state, so each row takes one member's.
        assert streams is not None  # a learned world draws
        drawn = self.draw_members(shape[1], streams)
        reward, goes_on = self.combine(said, drawn)
        following = of_drawn(said.state, drawn)

        eps_r = said.reward.var(0)
        eps_g = covariance_norm(said.mean, self.copies)
        cost = penalty(limits, eps_r, eps_g, aleatoric_uncertainty(said.std))
        running = eps_g < limits.l_stop

        following = clip(following, self.low[:-1], self.high[:-1], limits.box.unsqueeze(-1))
        reward = clip(reward, self.low[-1], self.high[-1], limits.box) - cost
        facts = {
            "eps_g": eps_g,
            "eps_r": eps_r,
            "penalty": cost,
            "cut": 1 - running.float(),
            "size": following.abs().amax(-1),
        }
        alive = torch.zeros_like(reward) if self.one_step else goes_on.float()
        return Outcome(
            following.unflatten(0, shape),
            reward.view(shape),
            alive.view(shape),
            running.float().view(shape),
            {name: fact.view(shape) for name, fact in facts.items()},
        )

    def draw_members(self, count: int, streams: Streams) -> Tensor:
        """[R] a uniform ensemble member for each of `count` rows of every policy member."""
        return streams.integers(self.kept, (count,)).flatten()
