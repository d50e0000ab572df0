"""The networks of a population: stacked multilayer perceptrons with an optional BatchNorm input
layer.

A network is a `Parameters` set: `w1 b1 w2 b2 w3 b3` (two hidden ReLU layers) and, with an input
norm, `norm_weight norm_bias`. Weights are [M, N, in, out], or [M, N, E, in, out] for the E heads of
a critic, which share one input norm. Agents of different sizes share the axis by padding inputs
with zeros; each layer is initialised with its true fan-in.
"""

import math

import torch
from torch import Tensor

from common.learning.kernels import stacked_mlp
from common.learning.population import Parameters

NORM_EPS = 1e-5
NORM_MOMENTUM = 0.1


def mlp_parameters(
    streams: list[torch.Generator],
    inputs: list[int],
    padded_inputs: int,
    hidden: int,
    outputs: int,
    heads: int | None = None,
    input_norm: bool = True,
    output_bound: float | None = None,
) -> dict[str, Tensor]:
    """Initial tensors of one network per member and agent, PyTorch's default for Linear layers.

    Args:
        streams: one per member; a member's networks are drawn from its own stream.
        inputs: true input size of each agent, at most padded_inputs.
        heads: E, number of heads with their own weights; None for a network without that axis.
        output_bound: the output layer's weights are drawn from U(-bound, bound); None for the
            default.
    """
    bounds = (None, None, output_bound)
    names = [f"{kind}{layer}" for layer in (1, 2, 3) for kind in "wb"]
    columns: dict[str, list[Tensor]] = {name: [] for name in names}
    for stream in streams:
        for fan_in in inputs:
            shapes = (
                (fan_in, padded_inputs, hidden),
                (hidden, hidden, hidden),
                (hidden, hidden, outputs),
            )
            for _ in range(heads or 1):
                for layer, (shape, bound) in enumerate(zip(shapes, bounds, strict=True), 1):
                    weight, bias = linear(stream, *shape, bound)
                    columns[f"w{layer}"].append(weight)
                    columns[f"b{layer}"].append(bias)
    leading = (len(streams), len(inputs), heads) if heads else (len(streams), len(inputs))
    tensors = {name: torch.stack(one).unflatten(0, leading) for name, one in columns.items()}
    if input_norm:
        shape = (len(streams), len(inputs), padded_inputs)
        tensors = {"norm_weight": torch.ones(shape), "norm_bias": torch.zeros(shape), **tensors}
    return tensors


def linear(
    stream: torch.Generator, fan_in: int, padded: int, fan_out: int, bound: float | None
) -> tuple[Tensor, Tensor]:
    """Weight [padded, fan_out] and bias [fan_out] as PyTorch's default for a Linear layer.

    Args:
        fan_in: true number of inputs, at most `padded`.
        bound: the weight is drawn from U(-bound, bound); None for the default.
    """
    limit = 1 / math.sqrt(fan_in)
    weight = torch.empty(padded, fan_out).uniform_(-1, 1, generator=stream) * (bound or limit)
    bias = torch.empty(fan_out).uniform_(-limit, limit, generator=stream)
    return weight, bias


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance over the batch of x [..., B, D], as BatchNorm1d normalises with in
    training.
    """
    mean = x.mean(-2)
    # five times as fast as torch.var_mean along this axis
    variance = (x - mean.unsqueeze(-2)).square().mean(-2)
    return mean, variance


def first_layer(
    params: Parameters, statistics: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, Tensor]:
    """Weights and bias of the first layer with the input norm folded in.

    BatchNorm followed by a linear layer is a linear layer: W ((x - mean) / std * g + b) + c.
    Folding it costs nothing per row and keeps gradients to g, b, W, c and to whatever the
    statistics were computed from.

    Args:
        params: of the network.
        statistics: mean and variance [M, N, D] of the input; None for a network without input norm.

    Returns:
        w [..., D, H] and b [..., 1, H], with the head axis if the network has one.
    """
    w = params["w1"]
    b = params["b1"].unsqueeze(-2)
    if statistics is None:
        return w, b
    mean, variance = statistics
    scale = params["norm_weight"] / (variance + NORM_EPS).sqrt()  # [M, N, D]
    shift = params["norm_bias"] - mean * scale
    if w.ndim == 5:
        scale = scale.unsqueeze(2)
        shift = shift.unsqueeze(2)
    # not shift @ w: a matrix product's rounding depends on where in memory a member's weights lie
    return w * scale.unsqueeze(-1), b + (shift.unsqueeze(-1) * w).sum(-2, keepdim=True)


def apply_mlp(
    params: Parameters, x: Tensor, statistics: tuple[Tensor, Tensor] | None, head: int | None = None
) -> Tensor:
    """Output [M, N, B, out] of every network for x [M, N, B, D]; [M, N, E, B, out] for a network
    with heads.

    Args:
        statistics: what the input norm uses, see `first_layer`; None for none.
        head: evaluate this head only, [M, N, B, out].
    """
    tensors = layers(params, first_layer(params, statistics), head)
    if head is None and tensors[0].ndim == 5:
        x = x.unsqueeze(2)
    return stacked_mlp(x, *tensors)


def layers(
    params: Parameters, first: tuple[Tensor, Tensor], head: int | None = None
) -> list[Tensor]:
    """Weights [..., in, out] and biases [..., 1, out] of all three layers; of one head, if given.

    Args:
        first: see `first_layer`.
    """
    b2 = params["b2"].unsqueeze(-2)
    b3 = params["b3"].unsqueeze(-2)
    tensors = [*first, params["w2"], b2, params["w3"], b3]
    return tensors if head is None else [tensor[:, :, head] for tensor in tensors]


class RunningMoments:
    """The running mean and variance a BatchNorm1d keeps for evaluation, [M, N, D]."""

    def __init__(self, members: int, agents: int, size: int, device="cpu"):
        self.mean = torch.zeros(members, agents, size, device=device)
        self.variance = torch.ones(members, agents, size, device=device)

    @torch.no_grad()
    def update(self, mean: Tensor, variance: Tensor, batch: int) -> None:
        """Momentum 0.1, with the unbiased variance, as torch.nn.BatchNorm1d."""
        self.mean.lerp_(mean, NORM_MOMENTUM)
        self.variance.lerp_(variance * (batch / (batch - 1)), NORM_MOMENTUM)

    @property
    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and variance."""
        return self.mean, self.variance

    def state_dict(self) -> dict:
        return {"mean": self.mean, "variance": self.variance}

    def load_state_dict(self, state: dict) -> None:
        self.mean.copy_(state["mean"])
        self.variance.copy_(state["variance"])


class Actors:
    """One deterministic tanh policy per member and agent, in [-1, 1].

    Args:
        streams: initialisation, one per member.
        obs_dims: true observation size of each agent.
        padded: observation size in the tensors.
        input_norm: BatchNorm on the raw observation, batch statistics in training and running ones
            in evaluation.
    """

    def __init__(
        self,
        streams: list[torch.Generator],
        obs_dims: list[int],
        padded: int,
        hidden: int,
        action_dim: int,
        input_norm: bool = True,
        device: str = "cpu",
    ):
        tensors = mlp_parameters(
            streams, obs_dims, padded, hidden, action_dim, input_norm=input_norm, output_bound=3e-3
        )
        self.params = Parameters({name: tensor.to(device) for name, tensor in tensors.items()})
        self.input_norm = input_norm
        self.running = (
            RunningMoments(len(streams), len(obs_dims), padded, device) if input_norm else None
        )

    def train_actions(
        self, obs: Tensor, params: Parameters | None = None, update_running: bool = False
    ) -> Tensor:
        """[M, N, B, A] actions for obs [M, N, B, O] under batch statistics (training mode)."""
        return self.train_outputs(obs, params, update_running).tanh()

    def train_outputs(
        self, obs: Tensor, params: Parameters | None = None, update_running: bool = False
    ) -> Tensor:
        """As `train_actions`, before the tanh."""
        statistics = moments(obs) if self.input_norm else None
        if update_running and statistics and self.running:
            self.running.update(*statistics, batch=obs.shape[-2])
        return apply_mlp(params or self.params, obs, statistics)

    @torch.no_grad()
    def act(self, obs: Tensor, params: Parameters | None = None) -> Tensor:
        """[M, N, B, A] actions for obs [M, N, B, O] under running statistics (evaluation mode), no
        noise.
        """
        statistics = self.running.moments if self.running else None
        return apply_mlp(params or self.params, obs, statistics).tanh()

    def state_dict(self) -> dict:
        """Weights and running moments: all that acting needs."""
        return {"params": self.params.flat} | (self.running.state_dict() if self.running else {})

    def load_state_dict(self, state: dict) -> None:
        self.params.flat.copy_(state["params"])
        if self.running:
            self.running.load_state_dict(state)


class TwinCritics:
    """Two Q heads per member and agent that share one input norm; always evaluated under batch
    statistics.

    The input is an observation (or the joint state) followed by an action (own, or joint).
    """

    def __init__(
        self,
        streams: list[torch.Generator],
        inputs: list[int],
        padded: int,
        hidden: int,
        input_norm: bool = True,
        device: str = "cpu",
    ):
        tensors = mlp_parameters(streams, inputs, padded, hidden, 1, heads=2, input_norm=input_norm)
        self.params = Parameters({name: tensor.to(device) for name, tensor in tensors.items()})
        self.constant = self.params.part(slice(None))
        self.input_norm = input_norm

    def values(
        self, obs: Tensor, action: Tensor, params: Parameters | None = None, head: int | None = None
    ) -> Tensor:
        """[M, N, E, B] values of obs [M, N, B, O] and action [M, N, B, A]; [M, N, B] of one head.

        Args:
            params: other parameters: a target network's, or `self.constant`, the same values
                without gradients to them.
        """
        x = torch.cat([obs, action], dim=-1)
        statistics = moments(x) if self.input_norm else None
        return apply_mlp(params or self.params, x, statistics, head).squeeze(-1)

    def sample_layer(
        self, obs_moments: tuple[Tensor, Tensor] | None, actions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """First layer for K sampled actions per observation, with the input norm of that pass
        folded in.

        Repeating an observation K times leaves its moments as they are, so only the actions' are
        computed.

        Args:
            obs_moments: mean and variance [M, N, O] of the observations, or None without input
                norm.
            actions: [M, N, B, K, A].
        """
        if obs_moments is None:
            return first_layer(self.params, None)
        mean, variance = moments(actions.flatten(2, 3))
        obs_mean, obs_variance = obs_moments
        mean = torch.cat([obs_mean, mean], dim=-1)
        variance = torch.cat([obs_variance, variance], dim=-1)
        return first_layer(self.params, (mean, variance))
