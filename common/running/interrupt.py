"""Ctrl-C and SIGTERM: training ends at the next update with a checkpoint, everything else at once.

`listen` is called once in every process that trains. The first signal during training is noted,
`requested` says so and the training loop saves and raises `Interrupted`; a second one, or one
outside of training, raises it where the process is.
"""

import contextlib
import signal


class Interrupted(KeyboardInterrupt):
    """Somebody asked the process to end; `code` is the exit code, 128 and the signal's number."""

    def __init__(self, number: int):
        super().__init__(f"ended by signal {number}")
        self.code = 128 + number


_training, _noted = False, 0


def _handle(number: int, frame) -> None:
    global _noted
    if not _training or _noted:
        raise Interrupted(number)
    _noted = number


def listen(relay_only: bool = False) -> None:
    """Installs the handlers; a worker (`relay_only`) leaves Ctrl-C to its parent, which passes it
    on as SIGTERM.
    """
    signal.signal(signal.SIGTERM, _handle)
    signal.signal(signal.SIGINT, signal.SIG_IGN if relay_only else _handle)


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
