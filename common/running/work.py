"""Runs cells: groups them into programs, shares the programs among processes, survives kills.

A command holds the results it writes by a lock (the kernel frees the lock of a killed process); a
second command on the same results is refused. Its workers take programs by locking them, skip cells
that are done, and store each cell's result when the program ends. A killed program continues from
its checkpoint.
"""

import functools
import hashlib
import importlib
import os
import shutil
import socket
import sys
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import filelock
import torch
from tqdm import tqdm

from common.running import cells as store
from common.running import faults, files, interrupt, progress, workers
from common.running.cells import Cell
from common.running.checkpoint import forget_checkpoint
from common.running.faults import Busy
from common.running.options import BadInput

BUILDING = ".building.lock"  # in a folder of data, held while some are built there
MAX_MEMBERS = {
    "smoke": 1000,
    "quick": 60,
    "standard": 60,
    "paper": 5,
}  # of one program: what fits in cache and memory


class CellData(Protocol):
    """The data sets of cells, as the runner asks for them; see `envs.datasets.CellData`."""

    @property
    def of(self) -> Callable[[Cell], Any]:
        """A cell's data sets; None where it draws its own."""

    def prepare(self, cell: Cell) -> None:
        """Builds what is missing."""

    def recipes(self, cell: Cell) -> dict[str, str]:
        """Of a cell's data sets, by seed of the run; {} where they are not known."""

    def files(self, cell: Cell) -> dict[Path, int]:
        """A cell's data sets and their bytes."""


@dataclass(frozen=True)
class Paper:
    """What the runner needs to know of a paper; each papers/<name>/experiment.py defines one as
    PAPER.

    Attributes:
        roots: modules whose import closure decides a cell's numbers, see
            `common.running.sources`: its training's, its method's, its task's, and whatever else
            its configuration chooses by name.
        data: the data sets of cells.
        program_key: cells with equal keys can be trained together.
        train: (cells, device, checkpoint path, progress) -> one result per cell.
        record: the Sacred runs of cells that train together, see
            `common.running.experiment.Recording`.
        cost: seconds a cell takes on one core, estimated.
        max_members: of one program, by preset, where it differs from MAX_MEMBERS.
        gpu_cost: seconds a cell takes on one GPU, projected; None where there is no projection.
        needs: cells whose results, and files beside them, a cell learns from.
        beside: files beside a cell's result that others need, such as networks.
        outdated: (cell, its result) -> what has changed since in what it needs; "" for nothing.
    """

    name: str
    roots: Callable[[Cell], list[str]]
    data: CellData
    program_key: Callable[[Cell], tuple]
    train: Callable
    record: Callable[[list[Cell]], AbstractContextManager]
    cost: Callable[[Cell], float]
    max_members: dict[str, int] = field(default_factory=dict)
    gpu_cost: Callable[[Cell], float] | None = None
    needs: Callable[[Cell], list[Cell]] = lambda cell: []
    beside: Callable[[Cell], list[Path]] = lambda cell: []
    outdated: Callable[[Cell, dict], str] = lambda cell, result: ""

    def state(self, cell: Cell) -> str:
        """ "done", "missing" or "stale: why"."""
        found = store.state(cell, self.roots(cell), self.data.recipes)
        if found != "done" or not self.needs(cell):
            return found
        result = store.read(cell)
        why = self.outdated(cell, result) if result else ""
        return f"stale: {why}" if why else found


def paper(name: str) -> Paper:
    """The paper in folder papers/<name>."""
    return importlib.import_module(f"papers.{name}.experiment").PAPER


def pick_device(device: str) -> str:
    """ "cpu" or "cuda" for "auto", "cpu" or "cuda".

    Raises:
        BadInput: another word, or cuda where there is none.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise BadInput(f"device is {device!r}, expected auto, cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise BadInput(
            "device=cuda, but torch finds no GPU; use device=cpu, or install a CUDA build of torch"
        )
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"


def with_needed(cells: list[Cell]) -> list[Cell]:
    """Cells and those that they learn from, these first, each once."""
    needed = [other for cell in cells for other in paper(cell.paper).needs(cell)]
    return list(dict.fromkeys([*needed, *cells]))


def pending(cells: list[Cell]) -> list[Cell]:
    """The cells that are not done, each once."""
    return [cell for cell in dict.fromkeys(cells) if paper(cell.paper).state(cell) != "done"]


def keep(cells: list[Cell], results: list[dict], recording: Any = None) -> None:
    """Stores finished cells, and then ends their Sacred runs; a record that fails is said and loses
    no result.

    Args:
        recording: of the cells, entered; None where they were trained on another machine.
    """
    if recording is None:
        with paper(cells[0].paper).record(cells) as recording:
            return keep(cells, results, recording)
    for cell, result in zip(cells, results, strict=True):
        store.store(cell, result)
    unrecorded = []
    for cell, result in zip(cells, results, strict=True):
        try:
            recording.finished(cell, result)
        except Exception as error:  # of whatever store of runs it is
            unrecorded.append(Failure([cell.slot], faults.one_line(error)))
    for line in sentences(unrecorded):
        with suppress(OSError):  # the terminal is gone
            tqdm.write(f"note: stored, but without a Sacred run: {line}", file=sys.stderr)


def data_files(cells: list[Cell]) -> dict[Path, int]:
    """Data sets that cells need, with their bytes, estimated where they are not built."""
    sizes: dict[Path, int] = {}
    looked_up = set()
    for cell in cells:
        data = paper(cell.paper).data
        which = repr(data.of(cell))
        if which not in looked_up:
            looked_up.add(which)
            sizes.update(data.files(cell))
    return sizes


def missing_data(cells: list[Cell]) -> dict[Path, int]:
    """Data sets that these cells need and that are not built, with their estimated bytes."""
    return {path: size for path, size in data_files(cells).items() if not path.exists()}


def check_room(cells: list[Cell]) -> None:
    """Raises BadInput if the disk has less room than the data sets that have to be built need."""
    missing = missing_data(cells)
    if not missing:
        return
    folder = next(parent for parent in next(iter(missing)).parents if parent.exists())
    needed = sum(missing.values()) / 1e9
    free = shutil.disk_usage(folder).free / 1e9
    if needed > free:
        hint = "make room, name another folder with OMZ_DATA, or run fewer scripts (--only)"
        raise BadInput(
            f"the data to be built need {needed:.1f} GB, {folder} has {free:.1f} GB free; {hint}"
        )


@contextmanager
def writing(cells: list[Cell]):
    """Holds the results of these cells' papers and presets, so that no other command writes them
    meanwhile.

    Raises:
        Busy: another command holds them; the message says which.
    """
    with ExitStack() as stack:
        for folder in sorted({cell.path.parent.parent for cell in cells}):
            stack.callback(held(folder).release)
        yield


def held(folder: Path) -> filelock.BaseFileLock:
    """The lock of a folder of results, taken, with a note of who holds it."""
    locks = folder / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    holder = locks / "writer.txt"
    lock = filelock.FileLock(locks / "writer.lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        who = holder.read_text().strip() if holder.exists() else "another process"
        hint = "wait until it has ended, or choose another folder with OMZ_RESULTS"
        raise Busy(f"{folder} is being written by {who}; {hint}") from None
    command = " ".join(sys.argv)[:200]
    since = time.strftime("%F %T")
    who = f"process {os.getpid()} on {socket.gethostname()} ({command}, since {since})"
    files.write_text(holder, f"{who}\n")
    return lock


def forget(cells: list[Cell]) -> None:
    """Deletes results, so that they are made again.

    Raises:
        Busy: another command is writing them.
    """
    with writing(cells):
        for cell in cells:
            cell.path.unlink(missing_ok=True)


def programs(cells: list[Cell]) -> list[list[Cell]]:
    """Cells grouped into programs, in order of first appearance, each within the preset's number of
    members.
    """
    groups: dict[tuple, list[list[Cell]]] = {}
    for cell in dict.fromkeys(cells):
        key = (cell.preset, *paper(cell.paper).program_key(cell))
        batches = groups.setdefault(key, [[]])
        members = sum(len(other.config["seeds"]) for other in (*batches[-1], cell))
        if batches[-1] and members > most_members(cell):
            batches.append([])
        batches[-1].append(cell)
    return [batch for batches in groups.values() for batch in batches]


def most_members(cell: Cell) -> int:
    """How many members a program with this cell may have."""
    usual = MAX_MEMBERS.get(cell.preset, MAX_MEMBERS["paper"])
    return paper(cell.paper).max_members.get(cell.preset, usual)


def _folder(cell: Cell, name: str):
    folder = cell.path.parent.parent / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _name(cells: list[Cell]) -> str:
    return hashlib.sha256("\n".join(cell.slot for cell in cells).encode()).hexdigest()[:16]


def checkpoint_path(cells: list[Cell]) -> Path:
    """Where a program's checkpoint is; a note beside it says whose it is."""
    path = _folder(cells[0], "checkpoints") / f"{_name(cells)}.pt"
    files.write_text(path.with_suffix(".cells"), "\n".join(cell.slot for cell in cells))
    return path


def forget_program(checkpoint: Path) -> None:
    """Deletes a program's checkpoints and their note, once its results are stored."""
    forget_checkpoint(checkpoint)
    checkpoint.with_suffix(".cells").unlink(missing_ok=True)


def sweep(cells: list[Cell]) -> None:
    """Deletes checkpoints of programs that consist of these cells, all done: of those killed just
    after they were stored.
    """
    slots = {cell.slot for cell in cells}
    for folder in {cell.path.parent.parent / "checkpoints" for cell in cells}:
        for note in folder.glob("*.cells"):
            if {*note.read_text().splitlines()} <= slots:
                forget_program(note.with_suffix(".pt"))


class Failure(NamedTuple):
    """Cells of one program that failed, and why, in one line."""

    slots: list[str]
    why: str


def sentences(failures: Iterable[Failure]) -> list[str]:
    """A line for each reason: what failed, and why."""
    slots: dict[str, list[str]] = {}
    for failure in failures:
        slots.setdefault(failure.why, []).extend(failure.slots)
    return [f"{several([*dict.fromkeys(names)])}: {why}" for why, names in slots.items()]


def several(names: list[str]) -> str:
    """The first of some names, and how many more there are."""
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


@dataclass(frozen=True)
class Attempt:
    """Whether one of the programs of a command has failed, known to all workers: none tries it
    again.

    Attributes:
        failed: [programs] a flag for each, shared by the workers.
        place: of the program among them.
    """

    failed: Any
    place: int

    @property
    def is_over(self) -> bool:
        """Whether the program has failed."""
        return bool(self.failed[self.place])

    @contextmanager
    def noted(self):
        """Around the training of the program."""
        try:
            yield
        except Exception:
            self.failed[self.place] = True
            raise


def program_lock(cells: list[Cell]) -> filelock.BaseFileLock:
    """What is held while these cells are trained as one program, and their results stored."""
    return filelock.FileLock(_folder(cells[0], "locks") / f"{_name(cells)}.lock")


def run_program(
    cells: list[Cell],
    device: str,
    move: Callable[[float], None],
    wait: bool,
    attempt: Attempt | None = None,
) -> bool:
    """Trains the cells of one program that are not done; False if another process is at it, or
    builds data beside what it lacks, and wait is off.

    Args:
        move: called with the seconds of estimated cost that were just worked off by this process.
        attempt: what the workers of a command know of the program.
    """
    attempt = attempt or Attempt([False], 0)
    lock = program_lock(cells)
    try:
        taken = lock.acquire(timeout=-1 if wait else 0)
    except filelock.Timeout:
        return False
    with taken, attempt.noted():
        todo = [] if attempt.is_over else pending(cells)
        if not wait and built_elsewhere(todo):
            return False
        checkpoint = checkpoint_path(cells)
        if todo:
            with paper(todo[0].paper).record(todo) as recording:
                keep(todo, train(todo, device, checkpoint, move), recording)
        if not attempt.is_over:
            forget_program(checkpoint)
    return True


def built_elsewhere(cells: list[Cell]) -> bool:
    """Whether cells lack data in a folder in which another process is building."""
    folders = {path.parent for path in missing_data(cells)}
    locks = [filelock.FileLock(folder / BUILDING) for folder in folders if folder.exists()]
    try:
        for lock in locks:
            lock.acquire(timeout=0)
            lock.release()
    except filelock.Timeout:
        return True
    return False


def train(
    cells: list[Cell], device: str, checkpoint: Path, move: Callable[[float], None]
) -> list[dict]:
    """A result per cell of one program, its data built first; `move` as of `run_program`."""
    about = paper(cells[0].paper)
    for cell in cells:
        about.data.prepare(cell)
    cost = sum(about.cost(cell) for cell in cells)
    last = 0

    def step(done: int, total: int) -> None:
        nonlocal last
        move(cost * (done - last) / total)
        last = done

    return about.train(cells, device, checkpoint, step)


def work(
    groups: list[list[Cell]],
    device: str,
    move: Callable[[float], None],
    failed: Any = None,
    start: int = 0,
) -> list[Failure]:
    """Runs programs in order; those that another process holds, or whose data it builds, are tried
    again after every other. Returns what failed.

    Args:
        failed: of an `Attempt`, shared with other workers if there are any.
        start: the program to begin with; those before it come last.
    """
    torch.set_num_threads(1)
    # Parameters are views of one storage; torch notices that their gradients are laid out likewise,
    # which is meant
    warnings.filterwarnings(
        "ignore", message="grad and param do not obey the gradient layout contract"
    )
    if failed is None:
        failed = [False] * len(groups)
    failures: list[Failure] = []
    todo = deque([*range(start, len(groups)), *range(start)])
    busy: deque[int] = deque()
    while todo or busy:
        wait = not todo
        place = (todo or busy).popleft()
        group = groups[place]
        try:
            if not run_program(group, device, move, wait, Attempt(failed, place)):
                busy.append(place)
                continue
        except Exception as error:  # one failed program must not take the others with it
            slots = [cell.slot for cell in group]
            failures.append(Failure(slots, faults.one_line(error)))
        todo.extendleft(reversed(busy))
        busy.clear()
        move(0.0)  # its results are stored
    return failures


def share_of(
    index: int,
    tell: Callable[[float], None],
    groups: list[list[Cell]],
    device: str,
    failed: Any,
) -> list[Failure]:
    """What one of several workers does: all programs, the first ones first as they were asked for;
    those that another worker holds come last.
    """
    return work(groups, device, tell, failed, min(index, len(groups) - 1))


def run(
    cells: list[Cell],
    jobs: int | None = None,
    device: str = "auto",
    title: str = "",
    watch: progress.Watch | None = None,
) -> list[str]:
    """Runs whatever is not done, the first cells first; returns what failed, a line each.

    Args:
        jobs: processes of one thread each; the number of cores by default, 1 on a GPU.
        title: shown before the progress bar.
        watch: asked now and then what is to be printed above the bar.

    Raises:
        Interrupted: by a signal, after every process has written its checkpoint.
        Busy: another command is writing these results.
        BadInput: the disk has no room for the data.
    """
    interrupt.listen()
    device = pick_device(device)
    return exclusively(cells, lambda todo: run_locally(todo, jobs, device, title, watch))


def exclusively(cells: list[Cell], go: Callable[[list[Cell]], list[str]]) -> list[str]:
    """Calls `go` with the cells that are not done, if any, while no other command writes them;
    returns what failed, as `go` says.

    Raises:
        Busy: another command is writing these results.
    """
    failures: list[str] = []
    if pending(cells):
        with writing(cells):
            todo = pending(cells)  # again: another command may have done some just before
            failures = go(todo) if todo else []
    if not failures:
        sweep(cells)
    return failures


def run_locally(
    todo: list[Cell],
    jobs: int | None,
    device: str,
    title: str,
    watch: progress.Watch | None = None,
) -> list[str]:
    """Runs cells in processes of this machine, under a bar; returns what failed, a line each."""
    check_room(todo)
    groups = programs(todo)
    jobs = min(jobs or (1 if device == "cuda" else os.cpu_count() or 1), len(groups))
    cost = sum(paper(cell.paper).cost(cell) for cell in todo)
    with progress.shown(cost, len(todo), jobs, title, watch) as shown:
        if jobs == 1:
            return sentences(work(groups, device, shown.hear))
        return run_in_workers(todo, groups, jobs, device, shown.hear)


def run_in_workers(
    todo: list[Cell],
    groups: list[list[Cell]],
    jobs: int,
    device: str,
    move: Callable[[float | str], None],
) -> list[str]:
    """Runs programs in several processes; what a worker held that died goes on from its
    checkpoint, once.
    """
    failures, died = one_pass(groups, jobs, device, move)
    if died and not failures:
        left = programs(pending(todo))
        if left:
            failures, died = one_pass(left, min(jobs, len(left)), device, move)
    lines = sentences(failures)
    if died and pending(todo):
        hint = "out of memory? run the same command to continue, with fewer jobs"
        lines.append(f"{died} worker processes died ({hint})")
    return lines


def one_pass(
    groups: list[list[Cell]], jobs: int, device: str, move: Callable[[float | str], None]
) -> tuple[list[Failure], int]:
    """What failed, and how many workers died without a word."""
    failed = workers.flags(len(groups))
    share = functools.partial(share_of, groups=groups, device=device, failed=failed)
    heard = workers.share(jobs, share, move)
    return [failure for answer in heard.answers for failure in answer], heard.died
