"""CAST-BCQ: counterfactual sample-average approximation with subteam masking, on BCQ.

Jinming Ma and Feng Wu, "Learning to Coordinate from Offline Datasets with Uncoordinated Behavior
Policies", AAMAS 2023.

    G_i          generator of agent i: proposes actions like those of the data (Eq. 3)
    Q, Q_1, Q_2  joint values of the state and everyone's action (Eqs. 6 and 10)
    Q~_i         individual value of an agent's own observation and action (Eq. 9)
    a_i^d        default action of agent i, which masked agents take
    Eq. 2        agent i executes arg max Q~_i(o_i, a_i) over proposals a_i of G_i
    Eq. 6        y = r + gamma max_j Q'(o', a'^j), a'^j joint candidates; (Q_k(o, a) - y)^2
    Eq. 7        the others follow the joint policy, the best joint candidate
    Eq. 8        Delta_i = mean over m of Q(o, (a_i, a^_-i^m)) - Q(o, (a_i^d, a^_-i^m)); who is
                 masked in sample m: contributions.py
    Eq. 9        (Q~_i(o_i, a_i) - Delta_i)^2
    Eq. 10       Q = lambda min(Q_1, Q_2) + (1 - lambda) max(Q_1, Q_2)

The agent is put together from a generator (generators.py), a joint critic (critics.py) and
individual values (individual.py); agents.py does so for robots, the grid and battles.

Axes: M members, N agents, B batch (rows, or all places of a minibatch of episodes), K candidates,
S subteams, D state, A an agent's action.
"""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from common.learning.learner import Learner
from common.learning.philox import Streams
from common.learning.population import Parameters
from common.learning.ranges import Count, NotNegative, Positive, Share
from papers.cast_bcq.contributions import sampled_subteams

Others = Literal["policy", "data"]  # whose actions unmasked agents take in Eq. 8


@dataclass(frozen=True)
class CASTConfig:
    """Of robots, sizes of BCQ's code; see notes.md for what the paper leaves open."""

    hidden: Count = 400  # of joint critics and individual values
    vae_hidden: Count = 752
    lr: Positive = 1e-3
    gamma: Share = 0.99
    tau: Share = 0.005
    candidates: Count = 10  # n, joint candidates in the target and for the joint policy
    act_samples: Count = 100  # an agent's proposals in execution
    latent_clip: Positive = 0.5  # of the latents that proposals are decoded from
    vae_kl_weight: NotNegative = 0.5
    subteams: Count = 8  # M, drawn for larger teams than `exact_up_to`
    exact_up_to: Count = 3  # agents: all subteams of the others are enumerated
    others: Others = "policy"
    exp_weight: bool = False  # of Eq. 9 by clip(exp(Delta), 0, exp_clip)
    exp_clip: Positive = 10.0


@dataclass(frozen=True)
class Variant:
    """What ablations change.

    Attributes:
        masking: subteam masking; without it the others always follow the joint policy (w/o ST).
        baseline: subtract the value of the default action; without it and masking, w/o CSAA.
        double: two joint critics; else one (w/o CD).
        weight: lambda of Eq. 10.
    """

    masking: bool = True
    baseline: bool = True
    double: bool = True
    weight: Share = 0.9


def best_joint(candidates: Tensor, joint_values: Tensor) -> tuple[Tensor, Tensor]:
    """The joint policy of Eqs. 6 and 7: the best of K joint candidates and its value [M, B].

    Candidate j pairs the j-th proposal of every agent: K joint actions, not K^N.

    Args:
        candidates: [M, N, B, K, ...], every agent's proposals.
        joint_values: [M, B, K], Q of the candidates.

    Returns:
        Actions [M, N, B, ...] and values [M, B].
    """
    best, which = joint_values.max(-1)
    index = which.view(len(which), 1, -1, *[1] * (candidates.ndim - 3))
    return candidates.take_along_dim(index, dim=3).squeeze(3), best


def joint_target(reward: Tensor, terminal: Tensor, best: Tensor, gamma: float) -> Tensor:
    """Eq. 6: r + gamma max_j Q'(o', a'^j), without the second term where the episode ended: [M, B].

    Args:
        best: [M, B], value of the best joint candidate at the next state, by the target network.
    """
    return reward + gamma * (1 - terminal) * best


def joint_errors(joint_q: Tensor, target: Tensor) -> Tensor:
    """Eq. 6: squared errors [M, ...] of both joint critics [M, 2, ...], summed."""
    return (joint_q - target.unsqueeze(1)).square().sum(1)


def contribution(present: Tensor, absent: Tensor, weights: Tensor, baseline: Tensor) -> Tensor:
    """Eq. 8: Delta_i [M, N, B].

    Args:
        present: [M, N, S, B], Q(o, (a_i, a^_-i^m)) of every subteam.
        absent: as `present`, Q(o, (a_i^d, a^_-i^m)).
        weights: [M, S], of the subteams; 1 / M for a plain mean.
        baseline: [M], 1 to subtract the value of the default action, 0 not to (w/o CSAA).
    """
    gain = present - baseline.view(-1, 1, 1, 1) * absent
    return (weights[:, None, :, None] * gain).sum(2)


def individual_errors(value: Tensor, delta: Tensor, exp_clip: float | None = None) -> Tensor:
    """Eq. 9: (Q~_i - Delta_i)^2, any shape.

    Args:
        exp_clip: weigh errors by clip(exp(Delta_i), 0, exp_clip), as the authors' deleted code did;
            None for equal weights.
    """
    errors = (value - delta).square()
    return errors if exp_clip is None else errors * delta.exp().clamp_max(exp_clip)


def combined(joint_q: Tensor, weight: Tensor | float, single: Tensor) -> Tensor:
    """Eq. 10 of both critics' values [M, 2, ...]: [M, ...].

    Args:
        weight: lambda, one number or [M, 1, ...].
        single: [M, 1, ...], true for members whose first critic stands alone (w/o CD).
    """
    mixture = weight * joint_q.amin(1) + (1 - weight) * joint_q.amax(1)
    return torch.where(single, joint_q[:, 0], mixture)


class Situation(NamedTuple):
    """Where joint actions are proposed and judged.

    Attributes:
        state: [M, B, D].
        given: what the generator proposes from, its own affair.
    """

    state: Tensor
    given: tuple[Tensor, ...]


class Generator(Protocol):
    """G_1..G_N, see generators.py. An action is a vector, or a number among all actions."""

    def update(self, batch: Any) -> tuple[Situation, Situation]:
        """One step of Eq. 3; the situations of the minibatch, and those that follow them."""

    def taken(self, batch: Any) -> Tensor:
        """[M, N, B, ...] the data's actions, in the form of proposals."""

    def propose(self, given: tuple[Tensor, ...], count: int) -> Tensor:
        """[M, N, B, K, ...] proposals."""


class JointCritic(Protocol):
    """Q_1 and Q_2, see critics.py; they are the learner's network "critic"."""

    def candidate_values(self, state: Tensor, candidates: Tensor, params: Parameters) -> Tensor:
        """Eq. 10 [M, B, K] of joint candidates [M, N, B, K, ...] in states [M, B, D]."""

    def counterfactuals(
        self, state: Tensor, action: Tensor, others: Tensor, present: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Both values of Eq. 8, [M, N, S, B], of actions [M, N, B, ...] beside `others`, masked as
        `Subteams.present` says.
        """

    def update(self, batch: Any, action: Tensor, best: Tensor) -> None:
        """One step of Eq. 6: actions [M, N, B, ...] of the data, best values [M, B] that follow."""

    def follow(self) -> None:
        """Moves the target network."""


class IndividualValues(Protocol):
    """Q~_1..Q~_N, see individual.py."""

    def update(self, batch: Any, delta: Tensor) -> None:
        """One step of Eq. 9; delta is [M, N, B]."""


class CAST:
    """CAST-BCQ of a population; its ablations are members like any other.

    Args:
        learner: holds the networks of the three that follow.
        agents: N.
        candidates: n; subteams: M, drawn for a team of more than `exact_up_to`.
        others: what unmasked agents do in Eq. 8: the joint policy, or what they did in the data.
        variants: one per member.
        shared: Eq. 7's joint policy is that of the target network, found on the way in Eq. 6; only
            where the situations that follow a minibatch's are those of the minibatch.
    """

    def __init__(
        self,
        learner: Learner,
        generator: Generator,
        critic: JointCritic,
        individual: IndividualValues,
        agents: int,
        candidates: int,
        subteams: int,
        exact_up_to: int,
        others: str,
        variants: list[Variant],
        shared: bool = False,
    ):
        if others not in ("policy", "data"):
            raise ValueError(f"others is {others!r}, expected 'policy' or 'data'")
        self.learner = learner
        self.generator = generator
        self.critic = critic
        self.individual = individual
        self.agents = agents
        self.candidates = candidates
        self.others = others
        self.shared = shared
        self.subteams = subteams
        self.exact_up_to = exact_up_to
        self.subteam_streams = Streams(learner.seeds, "subteams", learner.device)
        learner.others["subteams"] = self.subteam_streams
        self.masking = torch.tensor([one.masking for one in variants], device=learner.device)
        baseline = [float(one.baseline) for one in variants]
        self.baseline = torch.tensor(baseline, device=learner.device)

    @property
    def networks(self) -> dict[str, Parameters]:
        return self.learner.networks

    def update(self, batch: Any) -> None:
        """One iteration of Algorithm 1, lines 4 to 13, on a minibatch."""
        now, following = self.generator.update(batch)  # line 4
        action = self.generator.taken(batch)
        with torch.no_grad():
            target = self.learner.targets["critic"]
            best_action, best = self.joint_policy(following, target)  # lines 5 and 6
        self.critic.update(batch, action, best)  # lines 6 and 7

        with torch.no_grad():
            others = action
            if self.others == "policy" and self.shared:
                assert now is following
                others = best_action
            elif self.others == "policy":
                others, _ = self.joint_policy(now, self.learner.networks["critic"])  # Eq. 7
            delta = self.contributions(now.state, action, others)  # lines 9 and 10, Eq. 8
        self.individual.update(batch, delta)  # line 11
        self.critic.follow()  # line 13

    def joint_policy(self, situation: Situation, params: Parameters) -> tuple[Tensor, Tensor]:
        """The best of n proposed joint actions [M, N, B, ...] and its value [M, B]."""
        candidates = self.generator.propose(situation.given, self.candidates)
        values = self.critic.candidate_values(situation.state, candidates, params)
        return best_joint(candidates, values)

    def contributions(self, state: Tensor, action: Tensor, others: Tensor) -> Tensor:
        """Delta_i [M, N, B] of actions [M, N, B, ...] in states [M, B, D], the unmasked others
        doing theirs of `others`.
        """
        sizes = (self.agents, self.subteams, self.exact_up_to)
        samples = sampled_subteams(*sizes, self.masking, self.subteam_streams)
        pair = self.critic.counterfactuals(state, action, others, samples.present)
        return contribution(*pair, samples.weights, self.baseline)

    def state_dict(self) -> dict:
        return self.learner.state_dict()

    def load_state_dict(self, state: dict) -> None:
        self.learner.load_state_dict(state)
