"""Value decomposition: a team's value from its agents' values, with weights and a bias that depend
on the state.

    V(s) = sum_i w_i(s) V_i + b(s)      (MOMA-PPO, section 3.2, after QMIX, Rashid et al., 2018)

Axes: M members, N agents, B batch, D inputs of the mixer.
"""

from typing import Literal, get_args

import torch
from torch import Tensor

from common.learning.networks import apply_mlp, mlp_parameters
from common.learning.population import Parameters

# Weights as MOMA-PPO's authors released, or their absolute values, as QMIX's
Mixing = Literal["free", "monotone"]


def mixer_parameters(
    streams: list[torch.Generator], inputs: int, agents: int, hidden: int
) -> dict[str, Tensor]:
    """Initial tensors [M, 1, ...] of one mixing network per member; inputs is D."""
    return mlp_parameters(streams, [inputs], inputs, hidden, agents + 1, input_norm=False)


def mix(params: Parameters, agent_values: Tensor, inputs: Tensor, kind: Mixing) -> Tensor:
    """[M, B] team values of agents' [M, N, B], given the mixer's inputs [M, B, D].

    Raises:
        ValueError: there is no such kind.
    """
    if kind not in get_args(Mixing):
        kinds = ", ".join(get_args(Mixing))
        raise ValueError(f"unknown mixer {kind!r}, expected one of: {kinds}")
    output = apply_mlp(params, inputs.unsqueeze(1), None).squeeze(1)  # [M, B, N + 1]
    weights = output[..., :-1]
    if kind == "monotone":
        weights = weights.abs()
    return (weights * agent_values.transpose(1, 2)).sum(-1) + output[..., -1]
