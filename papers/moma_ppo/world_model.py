"""World models: an ensemble of centralised networks that predict the next state, the reward and the
episode's end.

Barde et al. (2024), section 3.1. Each of the ensemble's members has a Gaussian next state, a
Gaussian reward and a Bernoulli "goes on"; several are trained, the best on held-out data are kept.
All members train as one batched network.

Axes: E ensemble members, M policy members, B batch, D state, U joint action, X = D + U.
"""

import itertools
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from common.learning.population import Adam, Parameters, generator, generators, per_member
from common.learning.rollouts import ACTION_BOUND, Outcome

FINITE = 1e6  # states beyond are numerically lost; only reached without the bounding box
COMBINE = ("paper", "released", "least")
HELD_OUT_BATCH = 1000


@dataclass(frozen=True)
class WorldModelConfig:
    """Values of the authors' code; the number of updates is a guess, see the README."""

    members: int = 7
    kept: int = 5
    hidden: int = 1024
    layers: int = 4  # of next state and reward
    end_layers: int = 2
    lr: float = 3e-5
    batch_size: int = 256
    updates: int = 200_000
    max_norm: float = 1.0
    validation: float = 0.1
    ranking_batches: int = 50
    log_std_min: float = -6.0
    log_std_max: float = 2.0
    scaled: bool = False  # inputs and outputs standardised
    delta: bool = False  # the change of the state is predicted


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


def apply_deep(params, prefix: str, x: Tensor) -> Tensor:
    """[E, B, out] of x [E, B, in] or [B, in], ReLU between layers."""
    layer = 0
    while f"{prefix}w{layer}" in params:
        weight, bias = params[f"{prefix}w{layer}"], params[f"{prefix}b{layer}"].unsqueeze(1)
        if layer:
            x = x.relu()
        if x.ndim == 2:
            x = x.expand(len(weight), *x.shape)
        x = torch.baddbmm(bias, x, weight)
        layer += 1
    return x


@dataclass(frozen=True)
class Prediction:
    """What every ensemble member says: state, state_std [E, B, D]; reward, reward_std, goes_on
    (probability) [E, B].
    """

    state: Tensor
    state_std: Tensor
    reward: Tensor
    reward_std: Tensor
    goes_on: Tensor


class Ensemble:
    """The networks of an ensemble.

    Args:
        seed: of initialisation and minibatches.
        scales: mean and standard deviation of inputs [X] and of targets [D + 1], used where
            `config.scaled`.
    """

    def __init__(
        self,
        seed: int,
        state_dim: int,
        joint_dim: int,
        config: WorldModelConfig,
        scales=None,
        device="cpu",
    ):
        self.config, self.state_dim = config, state_dim
        streams = [generator(seed, f"world model/{member}") for member in range(config.members)]
        width, hidden = state_dim + joint_dim, config.hidden
        tensors = {}
        for prefix, layers, outputs in (
            ("t", config.layers, 2 * state_dim),
            ("r", config.layers, 2),
            ("e", config.end_layers, 1),
        ):
            tensors |= deep_parameters(streams, [width, *[hidden] * layers, outputs], prefix)
        self.params = Parameters({name: tensor.to(device) for name, tensor in tensors.items()})
        ones = (
            torch.zeros(width),
            torch.ones(width),
            torch.zeros(state_dim + 1),
            torch.ones(state_dim + 1),
        )
        self.scales = tuple(part.to(device) for part in (scales if config.scaled else ones))
        self.adam = Adam(self.params, per_member(config.lr, 1, device))
        self.batch_streams = [
            generator(seed, f"world model batches/{member}") for member in range(config.members)
        ]

    def outputs(self, params, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Means and log standard deviations [E, B, D + 1] in scaled units, reward last, and end
        logits [E, B].
        """
        x = (x - self.scales[0]) / self.scales[1]
        config = self.config
        mean, log_std = apply_deep(params, "t", x).chunk(2, -1)
        reward, reward_log_std = apply_deep(params, "r", x).chunk(2, -1)
        log_std = torch.cat([log_std, reward_log_std], -1).clamp(
            config.log_std_min, config.log_std_max
        )
        return torch.cat([mean, reward], -1), log_std, apply_deep(params, "e", x).squeeze(-1)

    def targets(self, state: Tensor, next_state: Tensor, reward: Tensor) -> Tensor:
        """[..., D + 1] what means are compared with, in scaled units."""
        changed = next_state - state if self.config.delta else next_state
        return (torch.cat([changed, reward.unsqueeze(-1)], -1) - self.scales[2]) / self.scales[3]

    def loss(self, x: Tensor, target: Tensor, goes_on: Tensor) -> Tensor:
        """[E] Gaussian negative log likelihood of the next state (mean over dimensions) and of the
        reward, and cross-entropy.

        Args:
            x: [E, B, X]; target: [E, B, D + 1]; goes_on: [E, B].
        """
        mean, log_std, logit = self.outputs(self.members(), x)
        nll = log_std + 0.5 * ((target - mean) / log_std.exp()).square()
        ends = torch.nn.functional.binary_cross_entropy_with_logits(
            logit, goes_on, reduction="none"
        )
        return nll[..., :-1].mean((1, 2)) + nll[..., -1].mean(1) + ends.mean(1)

    def members(self, which: Tensor | None = None) -> dict[str, Tensor]:
        """Tensors [E, ...] of all members, or of some without gradients."""
        if which is None:
            return {name: tensor[0] for name, tensor in self.params.tensors.items()}
        return {name: tensor.detach()[0, which] for name, tensor in self.params.tensors.items()}

    def update(self, data: dict[str, Tensor]) -> Tensor:
        """One step of every member on its own minibatch of the training rows; returns the losses
        [E].
        """
        size, device = self.config.batch_size, data["x"].device
        index = torch.stack(
            [torch.randint(len(data["x"]), (size,), generator=s) for s in self.batch_streams]
        ).to(device)
        loss = self.loss(data["x"][index], data["target"][index], data["goes_on"][index])
        self.params.zero_grad()
        loss.sum().backward(inputs=list(self.params.tensors.values()))
        self.params.clip_grad_norm(self.config.max_norm)
        self.adam.step()
        return loss.detach()

    @torch.no_grad()
    def predict(self, params: dict[str, Tensor], state: Tensor, action: Tensor) -> Prediction:
        """Of states [B, D] and joint actions [B, U], in the data's units."""
        mean, log_std, logit = self.outputs(params, torch.cat([state, action], -1))
        mean = mean * self.scales[3] + self.scales[2]
        std = log_std.exp() * self.scales[3]
        following = mean[..., :-1] + state if self.config.delta else mean[..., :-1]
        return Prediction(following, std[..., :-1], mean[..., -1], std[..., -1], logit.sigmoid())

    def state_dict(self) -> dict:
        streams = [stream.get_state() for stream in self.batch_streams]
        return {"params": self.params.flat, "adam": self.adam.state_dict(), "streams": streams}

    def load_state_dict(self, state: dict) -> None:
        with torch.no_grad():
            self.params.flat.copy_(state["params"])
        self.adam.load_state_dict(state["adam"])
        for stream, saved in zip(self.batch_streams, state["streams"], strict=True):
            stream.set_state(saved)


def covariance_norm(values: Tensor, copies: Tensor | None = None) -> Tensor:
    """[B] Frobenius norm of the ensemble's unbiased covariance of values [E, B, F].

    Args:
        copies: [F], how often each number is repeated in the vector that the covariance is of; once
            by default.
    """
    centred = values - values.mean(0)
    if copies is not None:
        centred = centred * copies.sqrt()
    gram = torch.einsum("ibf,jbf->bij", centred, centred)  # has the covariance's norm
    return gram.flatten(1).norm(dim=-1) / (len(values) - 1)


@dataclass(frozen=True)
class Limits:
    """How a world model is used, one value for each policy member [M]; l_clip and l_stop are the
    paper's single l_eps.
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
        names = cls.__dataclass_fields__
        return cls(
            **{
                name: torch.tensor(
                    [row[name] for row in rows],
                    dtype=torch.bool if name == "box" else torch.float32,
                    device=device,
                )
                for name in names
            }
        )


class WorldModel:
    """The kept members of an ensemble as a world for rollouts, see `common.learning.rollouts`.

    Args:
        kept: members' numbers.
        low, high: the data's bounding box, [D + 1] with the reward last.
        limits: for each policy member.
        combine: "paper": mean reward and majority vote over the ensemble; "released": both of the
            member that was drawn; "least": the smallest reward (MOMA-IQL).
        copies: [D + 1] see `covariance_norm`; the released code's observations repeat the state.
        one_step: every step ends the episode (the coordination game).
    """

    def __init__(
        self,
        ensemble: Ensemble,
        kept: Tensor,
        low: Tensor,
        high: Tensor,
        limits: Limits,
        combine="paper",
        copies: Tensor | None = None,
        one_step: bool = False,
    ):
        if combine not in COMBINE:
            raise ValueError(f"unknown combine {combine!r}, expected one of: {', '.join(COMBINE)}")
        self.ensemble, self.params, self.low, self.high = (
            ensemble,
            ensemble.members(kept),
            low,
            high,
        )
        self.limits, self.combine, self.copies, self.kept, self.one_step = (
            limits,
            combine,
            copies,
            len(kept),
            one_step,
        )

    def reset(self, state: Tensor) -> None:
        """Nothing to do: the model has no state of its own."""

    @torch.no_grad()
    def step(self, state: Tensor, action: Tensor, streams: list[torch.Generator]) -> Outcome:
        """One step from states [M, B, D] with joint actions [M, B, U]; rewards come penalised."""
        members, count, _ = state.shape
        limits = self.limits
        said = self.ensemble.predict(self.params, state.flatten(0, 1), action.flatten(0, 1))
        drawn = torch.stack(
            [torch.randint(self.kept, (count,), generator=stream) for stream in streams]
        )
        drawn = drawn.to(state.device).view(1, -1)

        def of_drawn(values: Tensor) -> Tensor:
            return values.gather(
                0, drawn.view(1, -1, *[1] * (values.ndim - 2)).expand(1, *values.shape[1:])
            )[0]

        following = of_drawn(said.state)
        released = self.combine == "released"
        reward = (
            of_drawn(said.reward)
            if released
            else said.reward.mean(0)
            if self.combine == "paper"
            else said.reward.amin(0)
        )
        goes_on = (
            of_drawn(said.goes_on) if released else (said.goes_on > 0.5).float().mean(0)
        ) > 0.5
        both = torch.cat([said.state, said.reward.unsqueeze(-1)], -1)
        eps_r, eps_g = said.reward.var(0), covariance_norm(both, self.copies)
        spread = torch.cat([said.state_std, said.reward_std.unsqueeze(-1)], -1).square()
        aleatoric = spread.norm(dim=-1).amax(0)

        def by_member(values: Tensor) -> Tensor:
            return values.view(members, count, *values.shape[1:])

        following, reward, goes_on, eps_r, eps_g, aleatoric = map(
            by_member, (following, reward, goes_on, eps_r, eps_g, aleatoric)
        )
        inside = torch.minimum(torch.maximum(following, self.low[:-1]), self.high[:-1])
        following = torch.where(
            limits.box.view(-1, 1, 1), inside, following.nan_to_num().clamp(-FINITE, FINITE)
        )
        inside = torch.minimum(torch.maximum(reward, self.low[-1]), self.high[-1])
        reward = torch.where(
            limits.box.view(-1, 1), inside, reward.nan_to_num().clamp(-FINITE, FINITE)
        )
        running = (eps_g < limits.l_stop.view(-1, 1)).float()
        penalty = torch.zeros_like(reward)
        for weight, value in (
            (limits.lambda_r, eps_r),
            (limits.lambda_g, eps_g),
            (limits.lambda_a, aleatoric),
        ):
            penalty = penalty + weight.view(-1, 1) * torch.minimum(
                value.nan_to_num(FINITE), limits.l_clip.view(-1, 1)
            )
        alive = torch.zeros_like(reward) if self.one_step else goes_on.float()
        facts = {
            "eps_g": eps_g,
            "eps_r": eps_r,
            "penalty": penalty,
            "size": following.abs().amax(-1),
        }
        return Outcome(following, reward - penalty, alive, running, facts)


def split(rows: int, fraction: float) -> tuple[Tensor, Tensor]:
    """Numbers of the training rows and of the held-out ones: a fixed random split by transition."""
    order = torch.randperm(rows, generator=generator(12345, "validation"))
    held_out = max(1, round(fraction * rows))
    return order[held_out:], order[:held_out]


def tensors_of(arrays: dict, device="cpu") -> dict[str, Tensor]:
    """What world models learn from: state, next_state [R, D], action [R, U], reward, goes_on [R]."""
    return {
        "state": torch.from_numpy(arrays["observations"]).float().to(device),
        "action": torch.from_numpy(arrays["actions"])
        .float()
        .clamp(-ACTION_BOUND, ACTION_BOUND)
        .to(device),
        "next_state": torch.from_numpy(arrays["next_observations"]).float().to(device),
        "reward": torch.from_numpy(arrays["rewards"]).float().to(device),
        "goes_on": 1 - torch.from_numpy(arrays["terminals"]).float().to(device),
    }


def scales_of(data: dict[str, Tensor], config: WorldModelConfig) -> tuple[Tensor, ...]:
    """Mean and standard deviation of inputs and of targets over the data."""
    x = torch.cat([data["state"], data["action"]], -1)
    target = data["next_state"] - data["state"] if config.delta else data["next_state"]
    target = torch.cat([target, data["reward"].unsqueeze(-1)], -1)
    return tuple(
        part for rows in (x, target) for part in (rows.mean(0), rows.std(0).clamp_min(1e-3))
    )


def prepared(ensemble: Ensemble, data: dict[str, Tensor], index: Tensor) -> dict[str, Tensor]:
    """Rows `index` as `Ensemble.update` takes them."""
    part = {name: values[index] for name, values in data.items()}
    return {
        "x": torch.cat([part["state"], part["action"]], -1),
        "target": ensemble.targets(part["state"], part["next_state"], part["reward"]),
        "goes_on": part["goes_on"],
    }


@torch.no_grad()
def rank(
    ensemble: Ensemble, data: dict[str, Tensor], held_out: Tensor, seed: int
) -> tuple[Tensor, Tensor]:
    """Members from best to worst, and their errors [E]: mean of the L2 errors of sampled next state
    and reward.
    """
    config, params = ensemble.config, ensemble.members()
    pick, noise = (
        generator(seed, "ranking"),
        generators(list(range(config.members)), f"ranking noise/{seed}"),
    )
    errors = torch.zeros(config.members)
    for _ in range(config.ranking_batches):
        index = held_out[torch.randint(len(held_out), (config.batch_size,), generator=pick)]
        part = {name: values[index.to(values.device)] for name, values in data.items()}
        said = ensemble.predict(
            {name: tensor.detach() for name, tensor in params.items()},
            part["state"],
            part["action"],
        )
        draws = torch.stack(
            [
                torch.empty(*said.state.shape[1:-1], said.state.shape[-1] + 1).normal_(generator=s)
                for s in noise
            ]
        )
        draws = draws.to(said.state.device)
        state = said.state + said.state_std * draws[..., :-1] - part["next_state"]
        reward = said.reward + said.reward_std * draws[..., -1] - part["reward"]
        errors += (
            0.5 * (state.norm(dim=-1).mean(1) + reward.abs().mean(1)).cpu() / config.ranking_batches
        )
    return errors.argsort(), errors


@torch.no_grad()
def horizon_errors(
    world: WorldModel, data: dict[str, Tensor], arrays: dict, steps: int, count: int, seed: int
) -> list[float]:
    """Error of open-loop predictions under the data's own actions, after 1 .. `steps` steps, in
    standard deviations.

    Root mean square over dimensions that vary and over `count` pieces of the data that do not end
    before.
    """
    ends = arrays["terminals"] | arrays["timeouts"]
    fine = torch.ones(len(ends) - steps + 1, dtype=torch.bool)
    for t in range(steps - 1):
        fine &= ~torch.from_numpy(ends[t : len(ends) - steps + 1 + t])
    choices = torch.nonzero(fine)[:, 0]
    if not len(choices):
        return []
    index = choices[
        torch.randint(len(choices), (count,), generator=generator(seed, "horizon errors"))
    ].to(data["state"].device)
    spread = data["state"].std(0)
    varying = spread > 1e-6
    state, errors, stream = data["state"][index][None], [], [generator(seed, "horizon members")]
    for t in range(steps):
        state = world.step(state, data["action"][index + t][None], stream).state
        gap = (state[0] - data["next_state"][index + t])[:, varying] / spread[varying]
        errors.append(float(gap.square().mean().sqrt()))
    return errors


@torch.no_grad()
def calibrate(
    ensemble: Ensemble,
    kept: Tensor,
    data: dict[str, Tensor],
    held_out: Tensor,
    quantile: float,
    seed: int,
) -> dict:
    """Proposed l_eps, lambda_g and lambda_r from held-out rows, without looking at any return.

    l_eps is a quantile of the one-step eps_g under the standard normal actions of an untrained
    policy, so that the first rollouts are not all cut at once. The penalties are such that an
    uncertainty at its own quantile costs half a standard deviation of the data's rewards.
    """
    draw = generator(seed, "calibration")
    index = held_out[torch.randint(len(held_out), (10 * HELD_OUT_BATCH,), generator=draw)].to(
        data["state"].device
    )
    noise = (
        torch.empty(len(index), data["action"].shape[1])
        .normal_(generator=draw)
        .to(data["action"].device)
    )
    action = noise.clamp(-ACTION_BOUND, ACTION_BOUND)
    said = ensemble.predict(ensemble.members(kept), data["state"][index], action)
    eps_g = covariance_norm(torch.cat([said.state, said.reward.unsqueeze(-1)], -1))
    eps_r = said.reward.var(0)
    l_eps, r = float(eps_g.quantile(quantile)), float(eps_r.quantile(quantile))
    half = 0.5 * float(data["reward"].std())
    return {
        "quantile": quantile,
        "l_eps": l_eps,
        "lambda_g": half / max(l_eps, 1e-8),
        "lambda_r": half / max(r, 1e-8),
        "eps_g_quantiles": {str(q): float(eps_g.quantile(q)) for q in (0.5, 0.9, 0.95, 0.97, 0.99)},
    }


def save(path: Path, ensemble: Ensemble, kept: Tensor, low: Tensor, high: Tensor) -> None:
    """The kept members as safetensors."""
    from safetensors.torch import save_file

    from common.running.files import atomic

    tensors = {
        f"net/{name}": tensor.contiguous() for name, tensor in ensemble.members(kept).items()
    }
    tensors |= {"low": low, "high": high} | {
        f"scale/{i}": part for i, part in enumerate(ensemble.scales)
    }
    with atomic(path) as part:
        save_file(
            {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, part
        )


def load(
    path: Path, state_dim: int, joint_dim: int, config: WorldModelConfig, device="cpu"
) -> tuple[Ensemble, Tensor, Tensor]:
    """The kept members, all of which are the ensemble now, and the data's bounding box."""
    from safetensors.torch import load_file

    tensors = load_file(path, device=str(device))
    small = WorldModelConfig(**{**asdict(config), "members": config.kept})
    scales = tuple(tensors[f"scale/{i}"] for i in range(4))
    ensemble = Ensemble(0, state_dim, joint_dim, small, scales, device)
    ensemble.scales = scales
    with torch.no_grad():
        for name, tensor in ensemble.params.tensors.items():
            tensor.copy_(tensors[f"net/{name}"].unsqueeze(0))
    return ensemble, tensors["low"], tensors["high"]
