"""A second device for machines that have none: its tensors are the CPU's in disguise.

They say `DEVICE` and hold the real numbers, so learners run on them as on a GPU, in torch forms, to
the end and with their true values. What a GPU would refuse, or wait for, is noticed: a tensor, an
index or a generator that stayed on the CPU, and numbers that the program asks back.
"""

import contextlib
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from common.running.provenance import ROOT

# A type that this build knows and does not use, and whose gradients run in the calling thread
DEVICE = "lazy"
# Their shapes depend on numbers, so the program waits for the device
WAITING = frozenset(
    {"nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive", "equal"}
    | {"is_nonzero", "bincount", "histc"}
)
INDEXING = frozenset({"index", "index_put", "index_put_", "_index_put_impl_"})


class Elsewhere(Tensor):
    """A tensor of the other device."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor):
        wrapped = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=DEVICE,
        )
        wrapped.inner = inner
        return wrapped

    def tolist(self):
        return self.cpu().tolist()

    def numpy(self, *, force: bool = False):
        if not force:
            raise TypeError(f"can't convert a tensor of device {DEVICE} to numpy")
        return self.cpu().numpy()

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise RuntimeError(f"{func} on the other device, outside of it")


class Machine(TorchDispatchMode):
    """Runs what is asked of the other device, and what is on the CPU as ever.

    Attributes:
        watching: whether anything is noticed.
        noticed: how often what happened where.
    """

    def __init__(self) -> None:
        super().__init__()
        self.watching = False
        self.noticed: Counter[str] = Counter()

    def __enter__(self):
        # makes torch.tensor(..., device=DEVICE) a tensor on the CPU and a copy of it
        torch._C._set_only_lift_cpu_tensors(True)
        return super().__enter__()

    def __exit__(self, *error):
        torch._C._set_only_lift_cpu_tensors(False)
        return super().__exit__(*error)

    def notice(self, what: str) -> None:
        if self.watching:
            self.noticed[f"{place()}: {what}"] += 1

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        name = func._schema.name.split("::")[1]
        tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
        away = [isinstance(one, Elsewhere) for one in tensors]
        asked = kwargs.get("device")
        target = torch.device(asked).type if asked is not None else None
        if not any(away) and target != DEVICE:
            return func(*args, **kwargs)
        self._look(name, args, kwargs, tensors, target)
        if target == DEVICE:
            kwargs["device"] = torch.device("cpu")
        inner_args, inner_kwargs = tree_map_only(Elsewhere, inner_of, (args, kwargs))
        result = func(*inner_args, **inner_kwargs)
        if name == "_to_copy" and target == DEVICE and not any(away):
            result = result.clone()
        if target == "cpu" or name == "_local_scalar_dense":
            return result
        known = {id(one.inner): one for one in tensors if isinstance(one, Elsewhere)}

        def outer(one: Tensor) -> Tensor:
            return known[id(one)] if id(one) in known else Elsewhere(one)

        return tree_map_only(Tensor, outer, result)

    def _look(self, name: str, args, kwargs: dict, tensors: list[Tensor], target) -> None:
        """Notices what a GPU would refuse or wait for."""
        here = [one for one in tensors if not isinstance(one, Elsewhere)]
        if name == "_local_scalar_dense" or (target == "cpu" and name == "_to_copy"):
            self.notice("numbers are asked back")
        elif name in ("_to_copy", "copy_") and here:
            if not kwargs.get("non_blocking"):
                self.notice("numbers are sent over, and waited for")
        elif any(one.ndim for one in here):
            self.notice(f"{name} of tensors on both devices")
        if name in WAITING:
            self.notice(f"{name} waits for the device")
        if name in INDEXING and any(one is not None and one.dtype == torch.bool for one in args[1]):
            self.notice("an index of truths waits for the device")
        stream = kwargs.get("generator")
        if stream is not None and stream.device.type == "cpu":
            self.notice(f"{name} draws from a generator of the CPU")


def inner_of(one: Elsewhere) -> Tensor:
    return one.inner


def place() -> str:
    """The function of ours that runs at present."""
    frame = sys._getframe(2)
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(ROOT) and path != Path(__file__):
            return f"{path.relative_to(ROOT)}: {frame.f_code.co_qualname}"
        frame = frame.f_back
    return "elsewhere"


def brought_back(state):
    """A state with its tensors on the CPU."""
    return tree_map_only(Elsewhere, lambda one: one.inner.clone(), state)


@contextlib.contextmanager
def machine() -> Iterator[Machine]:
    """The other device; lower precision is not imitated."""
    with pytest.MonkeyPatch.context() as patch, Machine() as running:
        patch.setattr(torch, "autocast", lambda *args, **kwargs: contextlib.nullcontext())
        patch.setattr(torch.cuda, "get_device_name", lambda: DEVICE)  # a result names its machine
        yield running
