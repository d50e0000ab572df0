"""An ensemble of centralised networks that predict the next state, the reward and the episode's
end: MOMA-PPO's world model (Barde et al., 2024, section 3.1).

Each member has a Gaussian next state N(mu_T, sigma_T^2), a Gaussian reward N(mu_r, sigma_r^2) and a
Bernoulli "goes on"; several are trained, the best on held-out data are kept. All members train as
one batched network. `world.py` makes of them the world that rollouts step in.

Axes: E ensemble members, B batch, R rows of the data, D state, U joint action, X = D + U.
"""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, silu

from common.learning.heads import ACTION_BOUND
from common.learning.learner import Learner
from common.learning.philox import Streams
from common.learning.population import Parameters, generator
from common.learning.ranges import Count, Positive, Share
from common.running.files import atomic

SPLIT_SEED = 12345  # of held-out rows, the same for all data
LEAST_STD = 1e-3  # numbers that hardly vary are scaled by this

# What means are fitted by: the paper's likelihood; the likelihood weighted by sigma^(2 beta)
# (Seitzer et al., 2022); squares, with the deviation fitted beside them
ModelLoss = Literal["likelihood", "beta-nll", "squares"]
Units = Literal["relu", "silu"]
Split = Literal["episodes", "transitions"]


@dataclass(frozen=True)
class WorldModelConfig:
    """Values of the authors' code; the number of updates is a guess, see notes.md."""

    members: Count = 7
    kept: Count = 5
    hidden: Count = 1024
    layers: Count = 4  # of next state and reward
    end_layers: Count = 2
    lr: Positive = 3e-5
    batch_size: Count = 256
    updates: Count = 200_000
    max_norm: Positive = 1.0
    validation: Share = 0.1
    ranking_batches: Count = 50
    log_std_min: float = -6.0
    log_std_max: float = 2.0
    scaled: bool = False  # inputs and outputs standardised
    delta: bool = False  # the change of the state is predicted
    loss: ModelLoss = "likelihood"
    beta: Share = 0.5  # of beta-nll
    end_weight: Positive = 1.0  # of rows that end an episode, in the loss of the ends
    units: Units = "relu"
    falling: bool = False  # the rate falls to 0 as half a cosine
    split: Split = "episodes"  # what is held out whole; the authors' code holds out transitions


@dataclass(frozen=True)
class Prediction:
    """What every ensemble member says of B steps.

    Attributes:
        mean, std: [E, B, D + 1], of the next state and, last, the reward, in the data's units.
        goes_on: [E, B], probability that the episode does not end here.
    """

    mean: Tensor
    std: Tensor
    goes_on: Tensor

    @property
    def state(self) -> Tensor:
        """[E, B, D], mean of the next state."""
        return self.mean[..., :-1]

    @property
    def reward(self) -> Tensor:
        """[E, B], mean of the reward."""
        return self.mean[..., -1]


@dataclass(frozen=True)
class Scales:
    """Mean and standard deviation of inputs [X] and of targets [D + 1]."""

    input_mean: Tensor
    input_std: Tensor
    target_mean: Tensor
    target_std: Tensor

    @classmethod
    def none(cls, inputs: int, targets: int) -> "Scales":
        """Those that change nothing."""
        return cls(
            torch.zeros(inputs), torch.ones(inputs), torch.zeros(targets), torch.ones(targets)
        )

    def to(self, device) -> "Scales":
        return Scales(**{name: tensor.to(device) for name, tensor in vars(self).items()})


def deep_parameters(
    streams: list[torch.Generator], sizes: list[int], prefix: str
) -> dict[str, Tensor]:
    """Tensors [1, E, ...] of a multilayer perceptron of these widths, PyTorch's default
    initialisation.
    """
    tensors = {}
    for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        limit = 1 / math.sqrt(fan_in)
        for kind, shape in (("w", (fan_in, fan_out)), ("b", (fan_out,))):
            drawn = [
                torch.empty(shape).uniform_(-limit, limit, generator=stream) for stream in streams
            ]
            tensors[f"{prefix}{kind}{layer}"] = torch.stack(drawn).unsqueeze(0)
    return tensors


def apply_deep(
    params: Mapping[str, Tensor], prefix: str, x: Tensor, units: Units = "relu"
) -> tuple[Tensor, Tensor]:
    """Of x [E, B, in] or [B, in] the last layer's inputs [E, B, H] and its outputs [E, B, out]."""
    layer = 0
    while True:
        weight = params[f"{prefix}w{layer}"]
        bias = params[f"{prefix}b{layer}"].unsqueeze(1)
        if layer:
            x = silu(x) if units == "silu" else x.relu()
        if x.ndim == 2:
            x = x.expand(len(weight), *x.shape)
        layer += 1
        output = torch.baddbmm(bias, x, weight)
        if f"{prefix}w{layer}" not in params:
            return x, output
        x = output


def gaussian(
    params: Mapping[str, Tensor], prefix: str, x: Tensor, config: WorldModelConfig
) -> tuple[Tensor, Tensor]:
    """Means and log standard deviations [E, B, D] of a network with 2 D outputs.

    With squares the deviation's gradient stays in the last layer, so that means are fitted as if
    there were none.
    """
    features, output = apply_deep(params, prefix, x, config.units)
    mean, log_std = output.chunk(2, -1)
    if config.loss == "squares":
        last = max(int(name[2:]) for name in params if name.startswith(f"{prefix}w"))
        half = mean.shape[-1]
        weight = params[f"{prefix}w{last}"][..., half:]
        bias = params[f"{prefix}b{last}"][..., half:].unsqueeze(1)
        log_std = torch.baddbmm(bias, features.detach(), weight)
    return mean, log_std.clamp(config.log_std_min, config.log_std_max)


def model_loss(
    mean: Tensor,
    log_std: Tensor,
    logit: Tensor,
    target: Tensor,
    goes_on: Tensor,
    beta: float = 0.0,
    end_weight: float = 1.0,
) -> Tensor:
    """[E] loss of data, section 3.1, without the Gaussians' constant.

        mean_b,d w_T (log sigma_T + z_T^2 / 2) + mean_b w_r (log sigma_r + z_r^2 / 2)
        + mean_b w_d BCE(p_d),    z = (target - mu) / sigma,    w = sigma^(2 beta), a constant

    With beta = 0 it is the negative log likelihood. With beta = 1 the gradient in mu is that of
    half the squared error, whatever sigma is; in log sigma it is sigma^2 - (target - mu)^2.

    Args:
        mean, log_std, target: [E, B, D + 1], reward last. The next state's dimensions are
            averaged, as in the authors' code, not summed.
        logit, goes_on: [E, B]; goes_on is 0 where the episode ended, else 1.
        end_weight: w_d where the episode ended; 1 elsewhere.
    """
    weight = (2 * beta * log_std.detach()).exp()
    nll = weight * (log_std + 0.5 * ((target - mean) / log_std.exp()).square())
    ends = binary_cross_entropy_with_logits(logit, goes_on, reduction="none")
    ends = ends * (end_weight + (1 - end_weight) * goes_on)
    return nll[..., :-1].mean((1, 2)) + nll[..., -1].mean(1) + ends.mean(1)


class Ensemble(Learner):
    """The networks of an ensemble, held as the agents of a population of one.

    Args:
        seed: of initialisation and minibatches.
        scales: used where `config.scaled`.
    """

    def __init__(
        self,
        seed: int,
        state_dim: int,
        joint_dim: int,
        config: WorldModelConfig,
        scales: Scales | None = None,
        device="cpu",
    ):
        super().__init__([], device, config.max_norm)
        self.config = config
        self.state_dim = state_dim
        width = state_dim + joint_dim
        if scales is None or not config.scaled:
            scales = Scales.none(width, state_dim + 1)
        self.scales = scales.to(device)
        self.beta = {"likelihood": 0.0, "beta-nll": config.beta, "squares": 1.0}[config.loss]
        numbers = range(config.members)
        self.batches = Streams(numbers, f"world model batches/{seed}", device)
        self.others["batches"] = self.batches
        initial = [generator(seed, f"world model/{member}") for member in numbers]
        tensors: dict[str, Tensor] = {}
        for prefix, layers, outputs in (
            ("t", config.layers, 2 * state_dim),
            ("r", config.layers, 2),
            ("e", config.end_layers, 1),
        ):
            sizes = [width, *[config.hidden] * layers, outputs]
            tensors |= deep_parameters(initial, sizes, prefix)
        self.hold("members", tensors, config.lr, target=False)

    @property
    def params(self) -> Parameters:
        """Tensors [1, E, ...]."""
        return self.networks["members"]

    def members(self, which: Tensor | None = None) -> dict[str, Tensor]:
        """Tensors [E, ...] of all members, or of some without gradients."""
        if which is None:
            return {name: tensor[0] for name, tensor in self.params.tensors.items()}
        return {name: tensor.detach()[0, which] for name, tensor in self.params.tensors.items()}

    def outputs(self, params: Mapping[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Means and log standard deviations [E, B, D + 1] in scaled units, reward last, and logits
        [E, B] of going on.
        """
        x = (x - self.scales.input_mean) / self.scales.input_std
        state, state_log_std = gaussian(params, "t", x, self.config)
        reward, reward_log_std = gaussian(params, "r", x, self.config)
        log_std = torch.cat([state_log_std, reward_log_std], -1)
        _, logit = apply_deep(params, "e", x, self.config.units)
        return torch.cat([state, reward], -1), log_std, logit.squeeze(-1)

    def targets_of(self, data: Mapping[str, Tensor]) -> Tensor:
        """[R, D + 1] what means are compared with, in scaled units."""
        return (raw_targets(data, self.config) - self.scales.target_mean) / self.scales.target_std

    def loss(self, rows: Mapping[str, Tensor]) -> Tensor:
        """[E] of rows as `prepared_rows` makes them, with a leading axis E."""
        outputs = self.outputs(self.members(), rows["x"])
        weights = self.beta, self.config.end_weight
        return model_loss(*outputs, rows["target"], rows["goes_on"], *weights)

    def update(self, rows: Mapping[str, Tensor]) -> None:
        """One step of every member on its own minibatch of the training rows; notes the losses
        [E].
        """
        index = self.batches.integers(len(rows["x"]), (self.config.batch_size,))
        loss = self.loss({name: tensor[index] for name, tensor in rows.items()})
        if self.config.falling:
            adam = self.optimisers["members"]
            adam.lr.fill_(self.config.lr * falling_share(adam.steps, self.config.updates))
        self.descend(loss, "members")
        self.notes["loss"] = loss.detach()

    @torch.no_grad()
    def predict(self, params: Mapping[str, Tensor], state: Tensor, action: Tensor) -> Prediction:
        """Of states [B, D] and joint actions [B, U], in the data's units."""
        mean, log_std, logit = self.outputs(params, torch.cat([state, action], -1))
        mean = mean * self.scales.target_std + self.scales.target_mean
        if self.config.delta:
            mean = torch.cat([mean[..., :-1] + state, mean[..., -1:]], -1)
        return Prediction(mean, log_std.exp() * self.scales.target_std, logit.sigmoid())


def falling_share(step: int, updates: int) -> float:
    """Of the learning rate at step number `step` (from 0): half a cosine from 1 to 0."""
    return 0.5 * (1 + math.cos(math.pi * step / updates))


def split_rows(
    ends: np.ndarray, fraction: float, by: Split = "transitions"
) -> tuple[Tensor, Tensor]:
    """Numbers of the training rows and of the held-out ones: a fixed random split.

    Args:
        ends: [R] bool, last rows of episodes.
        fraction: of the rows that is held out, at least one row, or of the episodes.

    Raises:
        ValueError: nothing would be left to learn from.
    """
    of_row = np.arange(len(ends))
    if by == "episodes":
        of_row = np.concatenate([[0], np.cumsum(ends[:-1])])
    groups = int(of_row[-1]) + 1
    if groups < 2:
        raise ValueError(f"{groups} of {by}, expected two or more: some are held out")
    order = torch.randperm(groups, generator=generator(SPLIT_SEED, "validation")).numpy()
    chosen = order[: max(1, round(fraction * groups))]
    if by == "transitions":
        return torch.from_numpy(order[len(chosen) :]), torch.from_numpy(chosen)
    held_out = np.isin(of_row, chosen)
    return torch.from_numpy(np.flatnonzero(~held_out)), torch.from_numpy(np.flatnonzero(held_out))


def tensors_of(arrays: Mapping[str, np.ndarray], device="cpu") -> dict[str, Tensor]:
    """What is learned from: state, next_state [R, D], action [R, U], reward, goes_on [R]."""

    def tensor(name: str) -> Tensor:
        return torch.from_numpy(arrays[name]).float()

    tensors = {
        "state": tensor("observations"),
        "action": tensor("actions").clamp(-ACTION_BOUND, ACTION_BOUND),
        "next_state": tensor("next_observations"),
        "reward": tensor("rewards"),
        "goes_on": 1 - tensor("terminals"),
    }
    return {name: tensor.to(device) for name, tensor in tensors.items()}


def raw_targets(data: Mapping[str, Tensor], config: WorldModelConfig) -> Tensor:
    """[R, D + 1] the next state, or its change, and the reward, in the data's units."""
    state = data["next_state"] - data["state"] if config.delta else data["next_state"]
    return torch.cat([state, data["reward"].unsqueeze(-1)], -1)


def scales_of(data: Mapping[str, Tensor], config: WorldModelConfig) -> Scales:
    """Mean and standard deviation over the data of inputs [D + U] and of targets [D + 1]."""
    x = torch.cat([data["state"], data["action"]], -1)
    target = raw_targets(data, config)
    return Scales(
        x.mean(0),
        x.std(0).clamp_min(LEAST_STD),
        target.mean(0),
        target.std(0).clamp_min(LEAST_STD),
    )


def prepared_rows(
    ensemble: Ensemble, data: Mapping[str, Tensor], index: Tensor
) -> dict[str, Tensor]:
    """Rows `index` [B] as `Ensemble.update` takes them: x [B, D + U], target [B, D + 1], goes_on
    [B].
    """
    rows = {name: tensor[index] for name, tensor in data.items()}
    return {
        "x": torch.cat([rows["state"], rows["action"]], -1),
        "target": ensemble.targets_of(rows),
        "goes_on": rows["goes_on"],
    }


@torch.no_grad()
def rank_members(
    ensemble: Ensemble, data: Mapping[str, Tensor], held_out: Tensor, seed: int
) -> tuple[Tensor, Tensor]:
    """Members from best to worst, and their errors [E]: mean of the L2 errors of sampled next state
    and reward.
    """
    config = ensemble.config
    everyone = torch.arange(config.members)
    device = data["state"].device
    picks = Streams([seed], "ranking", device)
    noise = Streams(range(config.members), f"ranking noise/{seed}", device)
    errors = torch.zeros(config.members)
    for _ in range(config.ranking_batches):
        index = held_out.to(device)[picks.integers(len(held_out), (config.batch_size,))[0]]
        rows = {name: tensor[index] for name, tensor in data.items()}
        said = ensemble.predict(ensemble.members(everyone), rows["state"], rows["action"])
        draws = noise.normal(said.mean.shape[1:])
        truth = torch.cat([rows["next_state"], rows["reward"].unsqueeze(-1)], -1)
        gap = said.mean + said.std * draws - truth
        error = 0.5 * (gap[..., :-1].norm(dim=-1).mean(1) + gap[..., -1].abs().mean(1))
        errors += error.cpu() / config.ranking_batches
    return errors.argsort(), errors


def round_weights(ensemble: Ensemble) -> None:
    """Rounds its networks to the half precision that they are kept in, so that what is assessed is
    what others learn in. It changes weights by a two-thousandth at most, those below 6e-5 by 3e-8.
    """
    with torch.no_grad():
        ensemble.params.flat.copy_(ensemble.params.flat.half())


def save_ensemble(path: Path, ensemble: Ensemble, kept: Tensor, low: Tensor, high: Tensor) -> None:
    """Writes the members numbered `kept` [K] as safetensors, their networks in half precision, with
    the data's bounding box: low and high, [D + 1].
    """
    tensors = {f"net/{name}": tensor.half() for name, tensor in ensemble.members(kept).items()}
    tensors |= {"low": low, "high": high}
    tensors |= {f"scale/{i}": scale for i, scale in enumerate(vars(ensemble.scales).values())}
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic(path) as temporary:
        save_file(on_cpu, temporary)


def load_ensemble(
    path: Path, state_dim: int, joint_dim: int, config: WorldModelConfig, device="cpu"
) -> tuple[Ensemble, Tensor, Tensor]:
    """The kept members, all of which are the ensemble now, and the data's bounding box: low and
    high, [D + 1].
    """
    tensors = load_file(path, device=str(device))
    scales = Scales(*(tensors[f"scale/{i}"] for i in range(4)))
    small = replace(config, members=config.kept)
    ensemble = Ensemble(0, state_dim, joint_dim, small, scales, device)
    with torch.no_grad():
        for name, tensor in ensemble.params.tensors.items():
            tensor.copy_(tensors[f"net/{name}"].unsqueeze(0))
    return ensemble, tensors["low"], tensors["high"]
