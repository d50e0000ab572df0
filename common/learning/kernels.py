"""The places where a population spends its time, with a CPU form that keeps its data in cache.

`stacked_mlp` evaluates many small networks, `mean_logsumexp` and `sample_values` a Q function at
many sampled actions, `adam_step` is the optimiser's. Each has a plain torch form (`*_reference`):
it runs on a GPU, in float64, and wherever the CPU form cannot be had. The CPU form is `kernels.c`,
compiled once per machine with the C compiler found there; where that fails it is said on stderr.
Tests hold both forms together to float tolerance and `benchmarks/population.py` measures the gain.
`OMZ_KERNELS=torch` switches it off, and every result records which form ran (`backend`).

The CPU form handles one network after another, so a member's result does not depend on its
neighbours, bit for bit.

Axes of weights: leading [...] (members, agents, heads), then [in, out]; biases are [..., 1, out].
"""

import ctypes
import functools
import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

SOURCE = Path(__file__).with_name("kernels.c")
BLOCK = 240  # as in kernels.c
FLAGS = ["-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC"]


def cache_folder() -> Path:
    """Where this user's compiled kernels are kept."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "offline-marl-zoo" / "kernels"


def library() -> ctypes.CDLL | None:
    """The compiled CPU form, or None where it is switched off or cannot be had."""
    return compiled(SOURCE)


def native() -> ctypes.CDLL:
    """The compiled CPU form, where `fused` said that it serves."""
    functions = library()
    assert functions is not None
    return functions


@functools.cache
def compiled(source: Path) -> ctypes.CDLL | None:
    """A C file's functions, compiled for this machine at first use.

    None where kernels are off, and where there is no compiler or it fails: that is said on stderr.
    """
    if os.environ.get("OMZ_KERNELS", "native") == "torch":
        return None
    compiler = find_compiler()
    if not compiler:
        say(f"no C compiler was found for {source.name}")
        return None
    key = "\0".join([text_of(source), *compiler, *FLAGS, platform.machine(), processor()])
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    path = cache_folder() / f"{source.stem}-{digest}.so"
    try:
        if not intact(path):
            build(compiler, source, path)
        functions = load(compiler, source, path)
    except subprocess.CalledProcessError as error:
        say(f"{compiler[0]} could not compile {source.name} ({reason(error.stderr)})")
        return None
    except OSError as error:
        say(f"{source.name} could not be compiled with {compiler[0]} and loaded ({error})")
        return None
    keep_freed_memory()
    return functions


def text_of(source: Path) -> str:
    """A C file's text and that of the files of ours that it includes, and that these do."""
    text = source.read_text()
    ours = re.findall(r'^#include "(.+)"', text, re.MULTILINE)
    return "".join([text, *(text_of(source.parent / name) for name in ours)])


def find_compiler() -> list[str]:
    """Command of the C compiler: $CC, else the first of cc, gcc, clang; [] where there is none."""
    if os.environ.get("CC"):
        return shlex.split(os.environ["CC"])
    found = (shutil.which(name) for name in ("cc", "gcc", "clang"))
    return next(([path] for path in found if path), [])


def processor() -> str:
    """What this machine's processor can do: code compiled for another may not run on it."""
    facts = Path("/proc/cpuinfo")
    if not facts.exists():
        return ""
    return next((line for line in facts.read_text().splitlines() if line.startswith("flags")), "")


def build(compiler: list[str], source: Path, path: Path) -> None:
    """Compiles a C file to `path`, which holds the whole library or nothing, and its checksum
    beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        built = Path(folder) / path.name
        command = [*compiler, *FLAGS, "-o", str(built), str(source), "-lm"]
        subprocess.run(command, check=True, capture_output=True, text=True)
        noted = built.with_suffix(".sha256")
        noted.write_text(hashlib.sha256(built.read_bytes()).hexdigest())
        for file in (built, noted):
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
            os.replace(file, path.with_suffix(file.suffix))


def intact(path: Path) -> bool:
    """Whether a library is there as it was built; one that was cut ends a process that loads it."""
    try:
        noted = path.with_suffix(".sha256").read_text()
        return hashlib.sha256(path.read_bytes()).hexdigest() == noted
    except (OSError, ValueError):
        return False


def load(compiler: list[str], source: Path, path: Path) -> ctypes.CDLL:
    """The library at `path`, built anew if it is damaged."""
    if not intact(path):
        build(compiler, source, path)
    return ctypes.CDLL(str(path))


def reason(messages: str) -> str:
    """The line of a compiler's messages that says what is wrong."""
    lines = messages.strip().splitlines() or ["without a message"]
    return next((line for line in lines if "error" in line), lines[-1]).strip()


def say(fault: str) -> None:
    """One sentence on stderr about why the CPU form is not used."""
    print(f"{fault}; the plain torch form is used, which is slower", file=sys.stderr)


def keep_freed_memory() -> None:
    """Tells glibc to keep freed activations instead of returning them to the system: a quarter of
    an update's time.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return  # another C library
    trim_threshold = -1
    mmap_threshold = -3
    most = 1 << 30
    mallopt(mmap_threshold, most)
    mallopt(trim_threshold, most)


def backend() -> str:
    """ "native" or "torch": the form that float32 tensors on the CPU use."""
    return "native" if library() else "torch"


def fused(x: Tensor, width: int) -> bool:
    """Whether the CPU form serves input x and hidden layers of this width."""
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and width % 16 == 0
        and library() is not None
    )


@functools.lru_cache(maxsize=4096)
def _offsets(lead: tuple[int, ...], strides: tuple[int, ...]) -> np.ndarray:
    """Byte offsets of every network of a float32 tensor with these leading sizes and strides."""
    grid = np.zeros(lead, np.int64)
    for axis, (size, stride) in enumerate(zip(lead, strides, strict=True)):
        grid += (4 * stride * np.arange(size)).reshape(-1, *[1] * (len(lead) - axis - 1))
    return np.ascontiguousarray(grid.reshape(-1))


def _contiguous(shape, strides) -> bool:
    """Whether axes with these sizes and strides lie densely in memory, last axis fastest."""
    expected = 1
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size != 1 and stride != expected:
            return False
        expected *= size
    return True


class Nets:
    """Hands tensors with the same leading axes to the library as arrays of pointers."""

    def __init__(self, lead: tuple[int, ...]):
        self.lead = tuple(lead)
        self.count = int(np.prod(lead))
        self.alive: list[Tensor | np.ndarray] = []  # until the library has returned

    def __call__(self, tensor: Tensor):
        """Pointers of tensor [lead or broadcastable to it, ...], whose trailing axes must be
        contiguous.
        """
        axes = len(self.lead)
        tail = tensor.shape[axes:]
        if not _contiguous(tail, tensor.stride()[axes:]):
            tensor = tensor.contiguous()
        strides = tuple(
            0 if have == 1 else s
            for have, s in zip(tensor.shape[:axes], tensor.stride()[:axes], strict=True)
        )
        pointers = _offsets(self.lead, strides) + tensor.data_ptr()
        self.alive += [tensor, pointers]
        return ctypes.c_void_p(pointers.ctypes.data)


def broadcast_lead(a, b) -> tuple[int, ...]:
    """Leading axes that a and b broadcast to; torch.broadcast_shapes takes half a millisecond."""
    return tuple(m if n == 1 else n for m, n in zip(a, b, strict=True))


def longs(*values: int) -> list[ctypes.c_long]:
    """Arguments of a C function."""
    return [ctypes.c_long(value) for value in values]


class StackedMLP(torch.autograd.Function):
    """CPU form of `stacked_mlp`."""

    @staticmethod
    def forward(ctx, x, w1, b1, w2, b2, w3, b3):
        lead, (rows, size) = w1.shape[:-2], x.shape[-2:]
        width, out = w3.shape[-2:]
        keep = any(ctx.needs_input_grad)
        hidden = (*lead, rows, width) if keep else (*[1] * len(lead), min(rows, BLOCK), width)
        h1 = x.new_empty(hidden)
        h2 = x.new_empty(hidden)
        y = x.new_empty(*lead, rows, out)
        p = Nets(lead)
        native().mlp_forward(
            *longs(p.count, rows, size, width, out, keep),
            *(p(t) for t in (x, w1, b1, w2, b2, w3, b3, h1, h2, y)),
        )
        ctx.save_for_backward(x, w1, w2, w3, h1, h2)
        return y

    @staticmethod
    def backward(ctx, gy):
        x, w1, w2, w3, h1, h2 = ctx.saved_tensors
        needs_x = ctx.needs_input_grad[0]
        needs_weights = any(ctx.needs_input_grad[1:])
        lead, (rows, size) = w1.shape[:-2], x.shape[-2:]
        width, out = w3.shape[-2:]
        gx = x.new_empty(*lead, rows, size if needs_x else 0)
        weights = (
            (w1.shape, w2.shape, (*lead, out, width)) if needs_weights else [(*lead, 0, 0)] * 3
        )
        gw1, gw2, gw3t = (x.new_zeros(shape) for shape in weights)
        gb1 = x.new_zeros(*lead, 1, width)
        gb2 = x.new_zeros(*lead, 1, width)
        p = Nets(lead)
        native().mlp_backward(
            *longs(p.count, rows, size, width, out, needs_weights, needs_x),
            *(p(t) for t in (x, w1, w2, w3, h1, h2, gy.contiguous(), gw1, gb1, gw2, gb2, gw3t, gx)),
        )
        if needs_x and x.shape != gx.shape:
            gx = gx.sum_to_size(x.shape)
        if not needs_weights:
            return gx, None, None, None, None, None, None
        return gx if needs_x else None, gw1, gb1, gw2, gb2, gw3t.mT, gy.sum(-2, keepdim=True)


def stacked_mlp_reference(x, w1, b1, w2, b2, w3, b3):
    """Plain torch form of `stacked_mlp`."""
    hidden = (x @ w1 + b1).relu()
    hidden = (hidden @ w2 + b2).relu()
    return hidden @ w3 + b3


def _expand_weights(lead, weights):
    return [t if t.shape[:-2] == lead else t.expand(*lead, *t.shape[-2:]) for t in weights]


def stacked_mlp(x: Tensor, w1, b1, w2, b2, w3, b3) -> Tensor:
    """Two hidden ReLU layers and a linear output for every network.

    Args:
        x: [..., B, in]; leading axes broadcast against those of the weights.
        w1, w2, w3: [..., in, out]; b1, b2, b3: [..., 1, out].

    Returns:
        [..., B, out].
    """
    if not fused(x, w2.shape[-1]):
        return stacked_mlp_reference(x, w1, b1, w2, b2, w3, b3)
    lead = broadcast_lead(x.shape[:-2], w1.shape[:-2])
    return StackedMLP.apply(x, *_expand_weights(lead, (w1, b1, w2, b2, w3, b3)))


class MeanLogSumExp(torch.autograd.Function):
    """CPU form of `mean_logsumexp`. The gradient is computed with the value, block by block, and
    kept.
    """

    @staticmethod
    def forward(ctx, obs, actions, w1, b1, w2, b2, w3, b3):
        lead, (batch, samples, size) = w1.shape[:-2], actions.shape[-3:]
        value = obs.new_empty(lead)
        grads = [obs.new_zeros(t.shape) for t in (w1, b1, w2, b2, w3)]
        p = Nets(lead)
        native().mean_logsumexp(
            *longs(p.count, batch, samples, obs.shape[-1], size, w2.shape[-1]),
            *(p(t) for t in (obs, actions, w1, b1, w2, b2, w3, b3, value, *grads)),
        )
        ctx.save_for_backward(*grads)
        return value

    @staticmethod
    def backward(ctx, upstream):
        scale = upstream[..., None, None]
        return None, None, *(grad * scale for grad in ctx.saved_tensors), scale


def sample_values_reference(obs, actions, w1, b1, w2, b2, w3, b3):
    """Plain torch form of `sample_values`."""
    base = obs @ w1[..., : obs.shape[-1], :] + b1  # [..., B, H]
    batch, samples = actions.shape[-3:-1]
    by_action = actions.flatten(-3, -2) @ w1[..., obs.shape[-1] :, :]
    hidden = (base.unsqueeze(-2) + by_action.unflatten(-2, (batch, samples))).relu().flatten(-3, -2)
    hidden = (hidden @ w2 + b2).relu()
    return (hidden @ w3 + b3).squeeze(-1).unflatten(-1, (batch, samples))


def mean_logsumexp_reference(obs, actions, *weights):
    """Plain torch form of `mean_logsumexp`."""
    return sample_values_reference(obs, actions, *weights).logsumexp(-1).mean(-1)


def mean_logsumexp(obs: Tensor, actions: Tensor, *weights: Tensor) -> Tensor:
    """[...] mean over observations of logsumexp over sampled actions of Q, for every network.

    Args:
        obs: [..., B, O] and actions: [..., B, K, A], constants: no gradient flows to them.
        weights: w1 [..., O + A, H], b1, w2, b2, w3 [..., H, 1], b3, as in `stacked_mlp`.
    """
    if not fused(obs, weights[2].shape[-1]):
        return mean_logsumexp_reference(obs.detach(), actions.detach(), *weights)
    lead = broadcast_lead(obs.shape[:-2], weights[0].shape[:-2])
    return MeanLogSumExp.apply(obs.detach(), actions.detach(), *_expand_weights(lead, weights))


@torch.no_grad()
def sample_values(obs: Tensor, actions: Tensor, *weights: Tensor) -> Tensor:
    """[..., B, K] values of K sampled actions per observation, without gradients. Arguments as
    `mean_logsumexp`.
    """
    if not fused(obs, weights[2].shape[-1]):
        return sample_values_reference(obs, actions, *weights)
    lead = broadcast_lead(obs.shape[:-2], weights[0].shape[:-2])
    batch, samples, size = actions.shape[-3:]
    q = obs.new_empty(*lead, batch, samples)
    p = Nets(lead)
    native().sample_values(
        *longs(p.count, batch, samples, obs.shape[-1], size, weights[2].shape[-1]),
        *(p(t) for t in (obs, actions, *_expand_weights(lead, weights), q)),
    )
    return q


def adam_step_reference(param, grad, mean, square, rate, betas, scale, eps) -> None:
    """Plain torch form of `adam_step`."""
    beta1, beta2 = betas
    mean.lerp_(grad, 1 - beta1)
    square.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    denominator = square.sqrt().div_(scale).add_(eps)
    param.sub_((mean / denominator).mul_(rate.view(-1, *[1] * (param.ndim - 1))))


@torch.no_grad()
def adam_step(
    param: Tensor,
    grad: Tensor,
    mean: Tensor,
    square: Tensor,
    rate: Tensor,
    betas,
    scale: float,
    eps: float,
) -> None:
    """One step of Adam in place: moments [M, ...] move towards the gradient, parameters along their
    ratio.

    Args:
        rate: [M], learning rates over the first moment's bias correction.
        scale: square root of the second moment's bias correction.
    """
    if not fused(param, 0):
        return adam_step_reference(param, grad, mean, square, rate, betas, scale, eps)
    constants = (ctypes.c_double * 4)(*betas, scale, eps)
    pointers = (ctypes.c_void_p(t.data_ptr()) for t in (rate, grad, mean, square, param))
    native().adam(*longs(len(param), param[0].numel()), constants, *pointers)
