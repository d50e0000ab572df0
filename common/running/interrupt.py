"""Signals that end a command: training ends at the next update with a checkpoint, everything else
at once.

`listen` is called once in every process that trains. The first signal during training is noted and
said, `requested` says so and the training loop saves and raises `Interrupted`. Ctrl-C or SIGTERM
once more, or a first signal outside of training, raises it where the process is.
"""

import contextlib
import os
import signal
import sys

HASTY = (signal.SIGINT, signal.SIGTERM)  # twice: without a checkpoint
PATIENT = (signal.SIGHUP, signal.SIGUSR1)  # a closed terminal and Slurm; often sent more than once


class Interrupted(KeyboardInterrupt):
    """Somebody asked the process to end; `code` is the exit code, 128 and the signal's number."""

    def __init__(self, number: int):
        super().__init__(f"ended by signal {number}")
        self.code = 128 + number


_training, _noted = False, 0


def _handle(number: int, frame) -> None:
    global _noted
    if not _training or (_noted and number in HASTY):
        raise Interrupted(number)
    if not _noted:
        _noted = number
        say("saving; Ctrl-C once more ends at once")


def say(sentence: str) -> None:
    """A line on stderr, past Python's buffer, which the signal may have found in use."""
    with contextlib.suppress(OSError):  # the terminal is gone
        os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, f"\n{sentence}\n".encode())


def listen(relay_only: bool = False) -> None:
    """Installs the handlers; a worker (`relay_only`) leaves all but SIGTERM to its parent, which
    passes them on as SIGTERM.

    SIGHUP stays ignored where it is: under nohup.
    """
    signal.signal(signal.SIGTERM, _handle)
    for number in (signal.SIGINT, *PATIENT):
        if relay_only:
            signal.signal(number, signal.SIG_IGN)
        elif number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _handle)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, *PATIENT))


@contextlib.contextmanager
def held_back():
    """Around the start of workers, who inherit it: no Ctrl-C reaches them until they `listen`."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, *PATIENT))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def requested() -> int:
    """Number of the signal that was noted during training, 0 if there was none."""
    return _noted


@contextlib.contextmanager
def training():
    """Around a training loop that looks at `requested` after every update."""
    global _training, _noted
    _training, _noted = True, 0
    try:
        yield
    finally:
        _training = False


@contextlib.contextmanager
def saving():
    """While workers save after a first signal: only Ctrl-C and SIGTERM end that."""
    global _noted
    with training():
        _noted = signal.SIGTERM
        say("saving; Ctrl-C once more ends at once")
        yield
