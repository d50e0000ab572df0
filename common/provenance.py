"""What a result was made with: hashes of the code that decides its numbers, versions, and the machine."""

import ast
import functools
import hashlib
import json
import os
import platform
from importlib import metadata
from pathlib import Path

import numpy
import torch

from common import kernels

ROOT = Path(__file__).resolve().parent.parent


def code_of(path: Path) -> bytes:
    """What of a source file can change a number: Python without comments and docstrings, other files as they are."""
    text = path.read_text()
    if path.suffix != ".py":
        return text.encode()
    tree = ast.parse(text)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and body:
            first = body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
                node.body = body[1:]
    return ast.dump(tree).encode()


@functools.cache
def _code_hash(path: Path, changed: int) -> str:
    return hashlib.sha256(code_of(path)).hexdigest()[:16]


def code_hashes(sources: list[str]) -> dict[str, str]:
    """Short hash of each source file (paths relative to the repository), comments and docstrings left out."""
    return {name: _code_hash(ROOT / name, (ROOT / name).stat().st_mtime_ns) for name in sources}


def config_hash(config: dict) -> str:
    """Short hash of a configuration, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]


def versions() -> dict[str, str]:
    """Versions of what the numbers rest on."""
    names = ("torch", "numpy", "h5py", "sacred", "offline-marl-zoo")
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def matmul_error() -> float:
    """Relative error of a float32 product under the current matmul precision; 1e-3 and more means bfloat16."""
    stream = torch.Generator().manual_seed(0)
    a, b = torch.randn(128, 64, generator=stream), torch.randn(64, 64, generator=stream)
    exact = a.double() @ b.double()
    return float(((a @ b).double() - exact).norm() / exact.norm())


def machine(device: str) -> dict:
    """The machine and how arithmetic ran on it."""
    return {
        "platform": platform.platform(),
        "processor": _processor(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "device": device if device == "cpu" else torch.cuda.get_device_name(),
        "kernels": kernels.backend() if device == "cpu" else "torch",
        "matmul_precision": torch.get_float32_matmul_precision(),
        "matmul_error": matmul_error(),
        "numpy": numpy.__version__,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor())
