"""What went wrong, in one line; the traceback goes to a file that the line names.

What is expected to go wrong (`BadInput`, a full disk) has a sentence that says what to do, and
needs no traceback.
"""

import errno
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from common.running.cells import runs_folder
from common.running.options import BadInput

FULL = (errno.ENOSPC, errno.EDQUOT)
PIPE = 128 + signal.SIGPIPE  # as if the signal had ended the program
LONGEST = 400  # letters of what an unexpected error says; the rest is in the log


class Busy(RuntimeError):
    """Another command is writing these results."""


class Failed(RuntimeError):
    """Cells failed, which has been said; the exit code is 1."""


def one_line(error: BaseException) -> str:
    """What an error says, in one line; where it was not expected, with its kind and where its
    traceback is.
    """
    words = " ".join(str(error).split())
    if isinstance(error, BadInput | Busy):
        return words
    if not isinstance(error, OSError):
        words = f"{type(error).__name__}: {words[:LONGEST]}" if words else type(error).__name__
    path = log(error)
    return f"{words} (traceback in {path})" if path else words


def log(error: BaseException) -> Path | None:
    """Writes an error's traceback to the results' logs; the file, or None if that fails, too."""
    path = log_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(f"{time.strftime('%F %T')} {' '.join(sys.argv)}\n")
            file.write("".join(traceback.format_exception(error)) + "\n")
    except OSError:
        return None
    return path


def log_file() -> Path:
    """This process's log."""
    return runs_folder() / "logs" / f"{time.strftime('%F')}-{os.getpid()}.log"


def exit_code(go: Callable[[], int], again: str = "the same command continues") -> int:
    """Does what a command line says and returns the exit code; what is wrong is one line on stderr.

    Args:
        again: what is said of continuing after Ctrl-C.
    """
    try:
        code = go()
        sys.stdout.flush()
        return code
    except Failed:
        return 1
    except Busy as error:
        return said(f"error: {one_line(error)}", 3)
    except KeyboardInterrupt as stop:
        return said(f"\ninterrupted; {again}", getattr(stop, "code", 130))
    except Exception as error:
        if isinstance(error, BrokenPipeError) and nobody_reads():
            return PIPE
        return said(f"error: {one_line(error)}", 2 if is_input(error) else 1)


def nobody_reads() -> bool:
    """Whether standard output is a pipe whose reader, as `head`, has read enough; what is still in
    its buffer goes nowhere then.
    """
    try:
        output = sys.stdout.fileno()
    except OSError:  # no file, as in a notebook
        return False
    poll = select.poll()
    poll.register(output, 0)
    if not poll.poll(0):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), output)
    return True


def is_input(error: Exception) -> bool:
    """Whether the one who typed the command can mend what is wrong: what was typed, a file or
    folder that cannot be used, a full disk.
    """
    if isinstance(error, OSError):
        return error.filename is not None or error.errno in FULL
    return isinstance(error, BadInput)


def said(line: str, code: int) -> int:
    """The code, after the line on stderr."""
    with suppress(OSError):  # the terminal is gone
        print(line, file=sys.stderr)
    return code
