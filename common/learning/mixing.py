"""Value decomposition: a team's value from its agents' values, with weights and a bias that depend
on the state.

    V(s) = sum_i w_i(s) V_i + b(s)      (MOMA-PPO, section 3.2, after QMIX, Rashid et al., 2018)

Axes: M members, N agents, B batch, D inputs of the mixer.
"""

import torch
from torch import Tensor

from common.learning.networks import apply_mlp, mlp_parameters
from common.learning.population import Parameters

KINDS = ("free", "monotone")


class Mixer:
    """One mixing network per member.

    Args:
        streams: initialisation, one per member.
        inputs: D.
        kind: "free" weights, as MOMA-PPO's authors released; "monotone": their absolute values, as
            QMIX's.
    """

    def __init__(
        self,
        streams: list[torch.Generator],
        inputs: int,
        agents: int,
        hidden: int,
        kind: str = "free",
        device="cpu",
    ):
        if kind not in KINDS:
            raise ValueError(f"unknown mixer {kind!r}, expected one of: {', '.join(KINDS)}")
        tensors = mlp_parameters(streams, [inputs], inputs, hidden, agents + 1, input_norm=False)
        self.params = Parameters({name: tensor.to(device) for name, tensor in tensors.items()})
        self.kind = kind

    def mix(
        self, values: Tensor, inputs: Tensor, params: Parameters | dict | None = None
    ) -> Tensor:
        """[M, B] team values of agents' values [M, N, B], given the mixer's inputs [M, B, D]."""
        output = apply_mlp(params or self.params, inputs.unsqueeze(1), None).squeeze(
            1
        )  # [M, B, N + 1]
        weights, bias = output[..., :-1], output[..., -1]
        if self.kind == "monotone":
            weights = weights.abs()
        return (weights * values.transpose(1, 2)).sum(-1) + bias
