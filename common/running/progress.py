"""What a command shows while it runs: one bar at the foot of the screen, lines and tables above it,
and the same lines with the time in a log file.

What a worker prints goes through here, so that it does not break the bar.
"""

import contextlib
import io
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from tqdm import tqdm

from common.running import faults

WARM_UP = 30.0  # seconds for which the estimated speed counts beside the measured one
EVERY = 2.0  # seconds between two looks at what is done

Watch = Callable[[], Callable[[], None] | None]  # what is to be printed now, if anything


class Bar(tqdm):
    """A bar over estimated seconds of one core; `left` is what they take at the speed so far.

    The speed is that since the start, data building and all, and not of the last moments: programs
    differ. In the first seconds the estimate counts as well.
    """

    jobs = 1

    @property
    def format_dict(self) -> dict[str, Any]:
        facts = super().format_dict
        done = self.n + self.jobs * WARM_UP
        speed = done / (facts["elapsed"] + WARM_UP)
        left = (self.total - self.n) / speed if self.total else 0.0
        return facts | {"left": tqdm.format_interval(left)}


class Progress:
    """The bar, the lines above it, and the log."""

    def __init__(self, cost: float, cells: int, jobs: int, title: str, watch: Watch | None = None):
        self.watch = watch
        self.looked = time.monotonic()
        self.pages, self.screen = sys.stdout, sys.stderr
        self.bar = Bar(
            total=cost,
            desc=f"{title} ({cells} cells)",
            bar_format="{desc}: {percentage:3.0f}% |{bar}| {elapsed}, about {left} left",
            file=self.screen,
            mininterval=1,
            dynamic_ncols=True,
        )
        self.bar.jobs = jobs
        note(f"begins: {title}, {cells} cells, {jobs} processes")

    def hear(self, message: float | str) -> None:
        """Estimated seconds that were worked off, or a line that was printed."""
        if isinstance(message, str):
            note(message)
            with contextlib.suppress(OSError):  # the terminal is gone
                tqdm.write(message, file=self.pages)
                self.pages.flush()
        else:
            self.bar.update(min(message, self.bar.total - self.bar.n))  # costs are estimates
        self.look()

    def look(self) -> None:
        """Prints what is done, above the bar."""
        if self.watch is None or time.monotonic() < self.looked + EVERY:
            return
        with contextlib.redirect_stdout(self.pages), contextlib.redirect_stderr(self.screen):
            present = self.watch()
            while present:
                with tqdm.external_write_mode():
                    present()
                    sys.stdout.flush()
                present = self.watch()
        self.looked = time.monotonic()


@contextlib.contextmanager
def shown(
    cost: float, cells: int, jobs: int, title: str, watch: Watch | None = None
) -> Iterator[Progress]:
    """A bar, and every line of this process above it.

    Args:
        cost: estimated seconds of one core.
        cells, jobs: how many.
        watch: asked now and then what is to be printed.
    """
    progress = Progress(cost, cells, jobs, title, watch)
    began = time.monotonic()
    with contextlib.closing(progress.bar):
        yield progress
    note(f"ends: {title}, after {time.monotonic() - began:.0f} s")


class Lines(io.TextIOBase):
    """A stream that hands whole lines on."""

    def __init__(self, hear: Callable[[str], None]):
        self.hear = hear
        self.begun = ""

    def write(self, text: str) -> int:
        *lines, self.begun = (self.begun + text).split("\n")
        for line in lines:
            self.hear(line)
        return len(text)

    def flush(self) -> None:
        """Lines are handed on when they end."""

    def writable(self) -> bool:
        return True


@contextlib.contextmanager
def heard_by(hear: Callable[[str], None]) -> Iterator[None]:
    """What this process prints to stdout meanwhile is handed on, a line each."""
    with contextlib.redirect_stdout(Lines(hear)):  # type: ignore[type-var]
        yield


def note(line: str) -> None:
    """A line in this command's log; one that cannot be written is no reason to stop."""
    path = faults.log_file()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(f"{time.strftime('%F %T')} {line}\n")
