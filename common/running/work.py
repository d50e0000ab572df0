"""Runs cells: groups them into programs, shares the programs among processes, survives kills.

A command holds the results it writes by a lock (the kernel frees the lock of a killed process); a
second command on the same results is refused. Its workers take programs by locking them, skip cells
that are done, and store each cell's result when the program ends. A killed program continues from
its checkpoint.
"""

import contextlib
import hashlib
import importlib
import multiprocessing
import multiprocessing.connection
import os
import shutil
import socket
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import filelock
import torch
from tqdm import tqdm

from common.running import cells as store
from common.running import files, interrupt
from common.running.cells import Cell
from common.running.checkpoint import forget_checkpoint

if TYPE_CHECKING:
    from envs.datasets import CellData

SAVING_SECONDS = 60  # a worker may take to write its checkpoint
MAX_MEMBERS = {
    "smoke": 1000,
    "quick": 60,
    "standard": 60,
    "paper": 5,
}  # of one program: what fits in cache and memory


class Busy(RuntimeError):
    """Another command is writing these results."""


@dataclass(frozen=True)
class Paper:
    """What the runner needs to know of a paper; each papers/<name>/experiment.py defines one as
    PAPER.

    Attributes:
        roots: modules whose import closure decides a cell's numbers, see
            `common.running.sources`: its training's, its method's, its task's, and whatever else
            its configuration chooses by name.
        data: the data sets of cells, an `envs.datasets.CellData`.
        program_key: cells with equal keys can be trained together.
        train: (cells, device, checkpoint path, progress) -> one result per cell.
        record: writes the Sacred run of one finished cell.
        cost: seconds a cell takes on one core, estimated.
        max_members: of one program, by preset, where it differs from MAX_MEMBERS.
    """

    name: str
    roots: Callable[[Cell], list[str]]
    data: "CellData"
    program_key: Callable[[Cell], tuple]
    train: Callable
    record: Callable[[Cell, dict], None]
    cost: Callable[[Cell], float]
    max_members: dict[str, int] = field(default_factory=dict)

    def state(self, cell: Cell) -> str:
        """ "done", "missing" or "stale: why"."""
        return store.state(cell, self.roots(cell), self.data.recipes)


def paper(name: str) -> Paper:
    """The paper in folder papers/<name>."""
    return importlib.import_module(f"papers.{name}.experiment").PAPER


def pick_device(device: str) -> str:
    """ "cpu" or "cuda" for "auto", "cpu" or "cuda".

    Raises:
        ValueError: another word, or cuda where there is none.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device is {device!r}, expected auto, cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            "device=cuda, but torch finds no GPU; use device=cpu, or install a CUDA build of torch"
        )
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"


def pending(cells: list[Cell]) -> list[Cell]:
    """The cells that are not done, each once."""
    return [cell for cell in dict.fromkeys(cells) if paper(cell.paper).state(cell) != "done"]


def keep(cells: list[Cell], results: list[dict]) -> None:
    """Stores and records finished cells."""
    for cell, result in zip(cells, results, strict=True):
        store.store(cell, result)
        paper(cell.paper).record(cell, result)


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
    """Raises OSError if the disk has less room than the data sets that have to be built need."""
    missing = missing_data(cells)
    if not missing:
        return
    folder = next(parent for parent in next(iter(missing)).parents if parent.exists())
    needed, free = sum(missing.values()), shutil.disk_usage(folder).free
    if needed > free:
        hint = "make room, name another folder with OMZ_DATA, or run fewer scripts (--only)"
        raise OSError(
            f"the data to be built need {needed / 1e9:.1f} GB, {folder} has {free / 1e9:.1f} GB free; {hint}"
        )


@contextlib.contextmanager
def writing(cells: list[Cell]):
    """Holds the results of these cells' papers and presets, so that no other command writes them
    meanwhile.

    Raises:
        Busy: another command holds them; the message says which.
    """
    with contextlib.ExitStack() as held:
        for folder in sorted({cell.path.parent.parent for cell in cells}):
            locks = folder / "locks"
            locks.mkdir(parents=True, exist_ok=True)
            holder = locks / "writer.txt"
            try:
                held.enter_context(filelock.FileLock(locks / "writer.lock").acquire(timeout=0))
            except filelock.Timeout:
                who = holder.read_text().strip() if holder.exists() else "another process"
                hint = "wait until it has ended, or choose another folder with OMZ_RESULTS"
                raise Busy(f"{folder} is being written by {who}; {hint}") from None
            command, since = " ".join(sys.argv)[:200], time.strftime("%F %T")
            files.write_text(
                holder,
                f"process {os.getpid()} on {socket.gethostname()} ({command}, since {since})\n",
            )
        yield


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
        batches = groups.setdefault((cell.preset, *paper(cell.paper).program_key(cell)), [[]])
        members = sum(len(other.config["seeds"]) for other in batches[-1])
        most = paper(cell.paper).max_members.get(
            cell.preset, MAX_MEMBERS.get(cell.preset, MAX_MEMBERS["paper"])
        )
        if batches[-1] and members + len(cell.config["seeds"]) > most:
            batches.append([])
        batches[-1].append(cell)
    return [batch for batches in groups.values() for batch in batches]


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


def run_program(
    cells: list[Cell], device: str, progress: Callable[[float], None], wait: bool
) -> bool:
    """Trains the cells of one program that are not done; False if another process is at it and wait
    is off.

    Args:
        progress: called with the seconds of estimated cost that were just worked off by this
            process.
    """
    first, known = cells[0], paper(cells[0].paper)
    lock = filelock.FileLock(_folder(first, "locks") / f"{_name(cells)}.lock")
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except filelock.Timeout:
        return False
    with lock:
        todo, checkpoint = pending(cells), checkpoint_path(cells)
        if todo:
            for cell in todo:
                known.data.prepare(cell)
            total, last = sum(known.cost(cell) for cell in todo), [0]

            def step(done: int, of: int) -> None:
                progress(total * (done - last[0]) / of)
                last[0] = done

            keep(todo, known.train(todo, device, checkpoint, step))
        forget_program(checkpoint)
    return True


def work(groups: list[list[Cell]], device: str, progress: Callable[[float], None]) -> list[str]:
    """Runs programs in order, those that another process holds last; returns what failed, a
    sentence each.
    """
    torch.set_num_threads(1)
    # Parameters are views of one storage; torch notices that their gradients are laid out likewise,
    # which is meant
    warnings.filterwarnings(
        "ignore", message="grad and param do not obey the gradient layout contract"
    )
    failures, busy = [], []
    for wait, todo in ((False, groups), (True, busy)):
        for group in todo:
            try:
                if not run_program(group, device, progress, wait):
                    busy.append(group)
            except Exception as error:  # one failed program must not take the others with it
                traceback.print_exc()
                failures.append(
                    f"{group[0].slot} and {len(group) - 1} more: {type(error).__name__}: {error}"
                )
    return failures


def _end_with(parent: int) -> None:
    """Ends this process when its parent is gone, so that a killed suite leaves no worker behind."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _worker(index: int, jobs: int, groups, device, messages) -> None:
    """A worker process: starts at its own place in the list, so that workers meet late."""
    interrupt.listen(relay_only=True)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    start = index * len(groups) // jobs
    try:
        failures = work(
            groups[start:] + groups[:start],
            device,
            lambda cost: messages.send(cost) if cost else None,
        )
    except interrupt.Interrupted as stop:
        raise SystemExit(stop.code) from None
    messages.send(failures)


def run(
    cells: list[Cell], jobs: int | None = None, device: str = "auto", title: str = ""
) -> list[str]:
    """Runs whatever is not done; returns what failed.

    Args:
        jobs: processes of one thread each; the number of cores by default, 1 on a GPU.
        title: shown before the progress bar.

    Raises:
        Interrupted: at Ctrl-C or SIGTERM, after every process has written its checkpoint.
        Busy: another command is writing these results.
        OSError: the disk has no room for the data.
    """
    interrupt.listen()
    device = pick_device(device)
    return exclusively(cells, lambda todo: _run(todo, jobs, device, title))


def exclusively(cells: list[Cell], go: Callable[[list[Cell]], list[str]]) -> list[str]:
    """Calls `go` with the cells that are not done, if any, while no other command writes them;
    returns what failed, as `go` says.

    Raises:
        Busy: another command is writing these results.
    """
    todo, failures = pending(cells), []
    if todo:
        with writing(cells):
            failures = go(pending(todo))  # again: another command may have done some just before
    if not failures:
        sweep(cells)
    return failures


def _run(todo: list[Cell], jobs: int | None, device: str, title: str) -> list[str]:
    if not todo:
        return []
    check_room(todo)
    groups = programs(todo)
    jobs = min(jobs or (1 if device == "cuda" else os.cpu_count() or 1), len(groups))
    total = sum(paper(cell.paper).cost(cell) for cell in todo)
    layout = "{desc}: {percentage:3.0f}% |{bar}| {elapsed}, {remaining} left"
    with tqdm(
        total=total,
        desc=f"{title} ({len(todo)} cells)",
        bar_format=layout,
        file=sys.stderr,
        mininterval=1,
    ) as bar:
        if jobs == 1:
            return work(groups, device, lambda cost: bar.update(min(cost, bar.total - bar.n)))
        failures, died = _run_parallel(groups, jobs, device, bar)
        if (
            died and not failures and (left := programs(pending(todo)))
        ):  # what a dead worker held goes on from its checkpoint, once
            failures, died = _run_parallel(left, min(jobs, len(left)), device, bar)
        if died and pending(todo):
            failures.append(f"{died} worker processes died; run the same command to continue")
        return failures


def _run_parallel(groups, jobs, device, bar) -> tuple[list[str], int]:
    """What failed, and how many worker processes died without a word."""
    context = multiprocessing.get_context("spawn")
    # a pipe for each: a queue that all share stays locked when a worker is killed while it writes
    pipes = [context.Pipe(duplex=False) for _ in range(jobs)]
    workers = [
        context.Process(target=_worker, args=(index, jobs, groups, device, sender), daemon=True)
        for index, (_, sender) in enumerate(pipes)
    ]
    for worker, (_, sender) in zip(workers, pipes, strict=True):
        worker.start()
        sender.close()  # the worker's own is left, so that its end is noticed here
    try:
        found = _collect([receiver for receiver, _ in pipes], bar)
    except KeyboardInterrupt:
        for worker in workers:
            worker.terminate()  # it saves and ends
        for worker in workers:
            worker.join(SAVING_SECONDS)
        raise
    for worker in workers:
        worker.join()
    return found


def _collect(receivers: list, bar) -> tuple[list[str], int]:
    """Moves the bar until all workers have ended; returns what failed, and how many died without a
    word.
    """
    failures, died = [], 0
    while receivers:
        for receiver in multiprocessing.connection.wait(receivers):
            try:
                message = receiver.recv()
            except EOFError:
                receivers, died = [other for other in receivers if other is not receiver], died + 1
                continue
            if isinstance(message, list):
                receivers, failures = (
                    [other for other in receivers if other is not receiver],
                    failures + message,
                )
            else:
                bar.update(min(message, bar.total - bar.n))
    return failures, died
