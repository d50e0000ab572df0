"""Worker processes: started together, heard until the last has ended, and never left alone.

A worker ends with its parent, however that was killed and whatever the worker is doing: the
parent's number is handed over in the environment (`OMZ_PARENT`), and the first import of `common`
in the worker asks the kernel for a SIGKILL at the parent's death. That the parent is still the one
that was handed over is checked after that, so that no moment is left out.
"""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

from common.running import interrupt

PARENT = "OMZ_PARENT"
PR_SET_PDEATHSIG = 1  # of Linux's prctl
SAVING_SECONDS = 60  # a worker may take to write its checkpoint


class Heard(NamedTuple):
    """What workers said.

    Attributes:
        answers: of those that came to their end.
        died: how many ended without one.
    """

    answers: list[Any]
    died: int


@contextlib.contextmanager
def of_this_process():
    """Around the start of processes that are to end with this one."""
    os.environ[PARENT] = str(os.getpid())
    try:
        yield
    finally:
        del os.environ[PARENT]


def end_with_parent() -> None:
    """Ends this process when the one that started it within `of_this_process` is gone, which may
    have happened already.
    """
    parent = int(os.environ.pop(PARENT))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    if os.getppid() != parent:
        os._exit(1)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def share(jobs: int, work: Callable[..., Any], tell: Callable[[Any], None]) -> Heard:
    """Runs work in some processes and waits for all of them.

    Args:
        work: can be pickled; called with (index of the process, a function that sends a number to
            `tell`); what it returns is the process's answer.
        tell: called with the numbers, and with every line that a worker prints.

    Raises:
        KeyboardInterrupt: of this process, after the workers were told to end and have saved.
    """
    context = multiprocessing.get_context("spawn")
    # a pipe for each: a queue that all share stays locked when a worker is killed while it writes
    pipes = [context.Pipe(duplex=False) for _ in range(jobs)]
    workers = [
        context.Process(target=_run, args=(index, work, sender), daemon=True)
        for index, (_, sender) in enumerate(pipes)
    ]
    try:
        resource_tracker.ensure_running()  # started with the first worker, it would unblock Ctrl-C
        with of_this_process(), interrupt.held_back():
            for worker, (_, sender) in zip(workers, pipes, strict=True):
                worker.start()
                sender.close()  # the worker's own is left, so that its end is noticed here
        heard = _listen([receiver for receiver, _ in pipes], tell)
    except KeyboardInterrupt:
        with interrupt.saving():
            _end([worker for worker in workers if worker.pid])
        raise
    for worker in workers:
        worker.join()
    return heard


def flags(count: int):
    """[count] flags, none set, which every worker that they are handed to sees and sets.

    There is no lock: a killed worker would keep it.
    """
    return multiprocessing.get_context("spawn").RawArray(ctypes.c_bool, count)


def _run(index: int, work: Callable[..., Any], sender) -> None:
    """A worker process."""
    from common.running import progress  # not before this process ends with its parent

    interrupt.listen(relay_only=True)
    try:
        with progress.heard_by(sender.send):
            answer = work(index, sender.send)
    except interrupt.Interrupted as stop:
        raise SystemExit(stop.code) from None
    sender.send([answer])


def _end(workers: list) -> None:
    """Tells workers to save and end, and waits for them."""
    for worker in workers:
        worker.terminate()
    for worker in workers:
        worker.join(SAVING_SECONDS)


def _listen(receivers: list[Connection], tell: Callable[[Any], None]) -> Heard:
    """Passes numbers and lines on until every worker has ended."""
    answers: list[Any] = []
    died = 0
    talking = list(receivers)
    while talking:
        for receiver in wait(talking):
            assert isinstance(receiver, Connection)
            try:
                message: Any = receiver.recv()
            except EOFError:
                talking.remove(receiver)
                died += 1
                continue
            if isinstance(message, list):
                talking.remove(receiver)
                answers += message
            else:
                tell(message)
    return Heard(answers, died)
