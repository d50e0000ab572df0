"""Which code decides a number: the modules that a cell's or a data set's own modules import.

The closure of some root modules is found by reading imports (`ast`, nothing is executed): at the
top of a module and inside functions, of this project's packages only; C files that a module names
belong to it. What a configuration chooses by name is loaded by `resolve` and is no import: whoever
chooses it names it as a root. Modules of `WITHOUT_EFFECT` end the search. What builds a training
has to be in its closure, whatever its file is called: `program.train` refuses it otherwise.
"""

import ast
import contextlib
import functools
import hashlib
import importlib
import json
import os
import platform
import re
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

from common.running.files import write_json

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("common", "envs", "papers")

# Modules that change no number, with the reason; a root is taken in all the same
WITHOUT_EFFECT = {
    "common": "ends a worker with its parent",
    "common.learning.ranges": "types of options, whose values are in the cell's configuration",
    "common.reporting.*": "reads results",
    "common.running.cells": "stores results",
    "common.running.checkpoint": "stores and restores; the kill tests compare bit for bit",
    "common.running.environment": "checks variables",
    "common.running.executors": "decides where cells are trained",
    "common.running.experiment": "reads the command line into configurations, records results",
    "common.running.faults": "says what is wrong",
    "common.running.files": "reads and writes files",
    "common.running.interrupt": "signals",
    "common.running.options": "checks what is in the cell's configuration",
    "common.running.progress": "shows how far a command is",
    "common.running.provenance": "notes what a result was made with",
    "common.running.sources": "this file",
    "common.running.work": "decides when cells are trained",
    "common.running.workers": "starts and ends processes",
    "common.starting": "finds the environment",
    "common.suite": "the commands",
    "envs.datasets.__main__": "the command line",
    "envs.datasets.building": "makes files, whose recipes and bytes are in the result",
    "envs.datasets.checks": "says what is in files",
    "envs.datasets.commands": "the command line",
    "envs.datasets.comparison": "says how near data are to the released ones",
    "envs.datasets.keys": "names of files, whose recipes and bytes are in the result",
    "envs.datasets.recipes": "refuses files of another recipe than that in the result",
    "envs.datasets.sizes": "says how large files are",
    "envs.datasets.statistics": "notes what is in files, and refuses those that differ",
    "envs.tasks": "names of modules, which are roots",
    "envs.teams": "loads by name what is a root",
    "papers.*.common": "finds the environment",
    "papers.*.config": "names of methods, which are roots, and values of the configuration",
    "papers.*.data": "names of data sets and modules, whose recipes and code are in the result",
    "papers.*.experiment": "cells, their costs, and how results are shown",
}


def resolve(name):
    """What a name such as "papers.omar.baselines:MACQL" stands for, its module loaded now; what is
    no name stands for itself.

    A name without a colon stands for the module.
    """
    if not isinstance(name, str):
        return name
    module, _, attribute = name.partition(":")
    loaded = importlib.import_module(module)
    return getattr(loaded, attribute) if attribute else loaded


def module_of(what: str | type) -> str:
    """The module of a class, or of a name as `resolve` takes it."""
    return what.partition(":")[0] if isinstance(what, str) else what.__module__


def counts(module: str, roots: Iterable[str]) -> bool:
    """Whether a module's code decides the numbers of these roots; True for one that is not this
    project's.
    """
    path = _file(module, ROOT) if module.partition(".")[0] in PACKAGES else None
    return path is None or path.relative_to(ROOT).as_posix() in closure(roots)


def without_effect(module: str) -> bool:
    """Whether a module is declared to change no number."""
    return any(fnmatch(module, pattern) for pattern in WITHOUT_EFFECT)


def closure(roots: Iterable[str], root: Path = ROOT) -> tuple[str, ...]:
    """Files that decide a number, relative to the repository and sorted.

    Args:
        roots: module names.
        root: of the tree that is read.

    Raises:
        ModuleNotFoundError: a root that the tree does not have.
    """
    return _closure(tuple(sorted({*roots})), root)


def code_hashes(roots: Iterable[str], root: Path = ROOT) -> dict[str, str]:
    """Short hash of each file of the closure, comments and docstrings left out.

    A file is read once in a process: what is imported later is what was there when it began.
    """
    return {**_hashes(closure(roots, root), root)}


@functools.cache
def _hashes(files: tuple[str, ...], root: Path) -> dict[str, str]:
    return {name: _facts(root / name)["hash"] for name in files}


@functools.cache
def _closure(roots: tuple[str, ...], root: Path) -> tuple[str, ...]:
    for module in roots:
        if not _file(module, root):
            raise ModuleNotFoundError(f"no module {module!r} in {root}")
    files: set[str] = set()
    seen: set[str] = set()
    waiting = [*roots]
    while waiting:
        module = waiting.pop()
        path = _file(module, root)
        if module in seen or not path or (without_effect(module) and module not in roots):
            continue
        seen.add(module)
        if "." in module:
            waiting.append(module.rpartition(".")[0])  # the package is run first
        waiting += _facts(path)["imports"]
        files |= {
            file.relative_to(root).as_posix()
            for file in (path, *_compiled(path))
            if file.stat().st_size
        }
    _Store.opened().save()
    return tuple(sorted(files))


def _compiled(path: Path) -> Iterable[Path]:
    """C files that a file names or includes, from where it is, and what these include."""
    for name in _facts(path)["compiles"]:
        file = Path(os.path.normpath(path.parent / name))
        if file.exists():
            yield file
            yield from _compiled(file)


@functools.cache
def _file(module: str, root: Path) -> Path | None:
    """The file of a module, or None for something else, as an attribute of one."""
    place = root.joinpath(*module.split("."))
    choices = (place.with_suffix(".py"), place / "__init__.py")
    return next((path for path in choices if path.is_file()), None)


@functools.cache
def _facts(path: Path) -> dict:
    """Of a source file: `hash` of its code, `imports` (modules, or attributes of modules) and
    `compiles` (names of C files, of one those that it includes).
    """
    content = path.read_bytes()
    key = hashlib.sha256(content).hexdigest()
    store = _Store.opened()
    if key not in store.facts:
        store.facts[key] = _read(content, path.suffix)
    return store.facts[key]


def _read(content: bytes, suffix: str) -> dict:
    if suffix != ".py":
        included = re.findall(r'^#include "(.+)"', content.decode(), re.MULTILINE)
        hashed = hashlib.sha256(content).hexdigest()[:16]
        return {"hash": hashed, "imports": [], "compiles": included}
    tree = ast.parse(content)
    imports = sorted({*_imports(tree)})
    compiles = sorted(
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value.endswith(".c")
    )
    code = ast.dump(_without_docstrings(tree)).encode()
    return {
        "hash": hashlib.sha256(code).hexdigest()[:16],
        "imports": imports,
        "compiles": compiles,
    }


def _imports(tree: ast.AST) -> Iterable[str]:
    """Modules of this project that code imports, those for type checkers left out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue  # never run
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise SyntaxError(f"relative import of {node.module!r}, write it in full")
            names = [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
        yield from (name for name in names if name.partition(".")[0] in PACKAGES)
        yield from _imports(node)


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body:
            first = node.body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:]
    return tree


class _Store:
    """Facts of files by their content, so that a command need not parse what it has seen before."""

    def __init__(self, path: Path):
        self.path = path
        try:
            self.facts: dict[str, dict] = json.loads(path.read_text())
        except (OSError, ValueError):
            self.facts = {}
        self.saved = len(self.facts)

    @staticmethod
    @functools.cache
    def opened() -> "_Store":
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        # The dump of a syntax tree is another in another version of Python; so may our reading be
        version = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]
        name = f"code-{platform.python_version()}-{version}.json"
        return _Store(cache / "offline-marl-zoo" / name)

    def save(self) -> None:
        """Writes the file if there is something new."""
        if len(self.facts) == self.saved:
            return
        with contextlib.suppress(OSError):  # a cache that cannot be written costs time only
            write_json(self.path, self.facts)
        self.saved = len(self.facts)
