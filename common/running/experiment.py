"""Sacred, set up once: experiments, and an observer that writes atomically.

A script is a run, and every cell that it trains is one (`Recording`). Sacred records their
configurations, metrics, output and environment; our own CSV and JSON files are
the store of results. Three of its habits are guarded here: JSON files are rewritten in place, a
failing observer leaves the run COMPLETED, and a killed run stays RUNNING. What is typed is checked
in `options.py` first.
"""

import importlib.util
import io
import json
import logging
import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from unittest.mock import patch

import filelock
from sacred import SETTINGS, Experiment
from sacred.dependencies import Source, get_digest
from sacred.observers import FileStorageObserver, MongoObserver
from sacred.run import Run
from sacred.stdout_capturing import tee_output_python
from sacred.utils import IntervalTimer, apply_backspaces_and_linefeeds

from common.running import work
from common.running.cells import Cell, runs_folder
from common.running.files import sweep, writable, write_json
from common.running.options import BadInput
from common.running.program import Program
from common.running.provenance import ROOT
from common.running.sources import code_hashes

SETTINGS.CAPTURE_MODE = "no"
SETTINGS.HOST_INFO.INCLUDE_GPU_INFO = False
SETTINGS.HOST_INFO.INCLUDE_CPU_INFO = False
SETTINGS.CONFIG.READ_ONLY_CONFIG = False


BEAT_SECONDS = 10.0  # as Sacred's own
ANSWER_SECONDS = 5  # that a database has to answer
ALIVE = "alive.lock"  # in the folder of a run, as long as it runs


class AtomicFileStorageObserver(FileStorageObserver):
    """Sacred's file observer, writing every JSON file with a rename so that a kill leaves no half
    file, and holding a lock by which `tidy` tells a run from one that was killed.
    """

    def save_json(self, obj, filename):
        from sacred.serializer import flatten

        write_json(Path(self.dir) / filename, _plain(flatten(obj)))

    def started_event(self, *arguments, **more):
        name = super().started_event(*arguments, **more)
        self.alive = filelock.FileLock(Path(self.dir) / ALIVE)
        self.alive.acquire()
        return name

    def completed_event(self, *arguments, **more):
        super().completed_event(*arguments, **more)
        self._ended()

    def failed_event(self, *arguments, **more):
        super().failed_event(*arguments, **more)
        self._ended()

    def interrupted_event(self, *arguments, **more):
        super().interrupted_event(*arguments, **more)
        self._ended()

    def _ended(self):
        (Path(self.dir) / ALIVE).unlink(missing_ok=True)
        self.alive.release()


def tidy() -> None:
    """Ends what killed processes left: half-written files, and Sacred runs that say RUNNING."""
    sweep(runs_folder())
    for held in (runs_folder() / "sacred").glob(f"*/{ALIVE}"):
        with (
            suppress(OSError, filelock.Timeout),
            filelock.FileLock(held).acquire(timeout=0),
        ):
            with suppress(OSError, ValueError, KeyError, TypeError):  # an odd record stays as it is
                end_killed(held.with_name("run.json"))
            held.unlink(missing_ok=True)


def end_killed(record: Path) -> None:
    """Notes in the record of a run whose process is gone that it was interrupted, at its last sign
    of life.
    """
    facts = json.loads(record.read_text())
    if facts["status"] == "RUNNING":
        ended = {"status": "INTERRUPTED", "stop_time": facts["heartbeat"]}
        write_json(record, facts | ended)


def _plain(value):
    """NaN and infinity as None: strict JSON has neither."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def observers() -> list:
    """Files by default; a MongoDB instead if `OMZ_MONGO` names one (mongodb://host:port/database).

    None where results can be read only, which is said.

    Raises:
        BadInput: it does, but pymongo is not installed, or no server answers.
    """
    url = os.environ.get("OMZ_MONGO")
    if url:
        if importlib.util.find_spec("pymongo") is None:
            hint = "pip install -e .[mongo], or unset OMZ_MONGO"
            raise BadInput(f"OMZ_MONGO is set, but pymongo is not installed: {hint}")
        require_server(url)
        return [MongoObserver(url=url, db_name=url.rsplit("/", 1)[-1])]
    if not writable(runs_folder()):
        said = f"{runs_folder()} cannot be written: what is done is shown, nothing is recorded"
        print(said, file=sys.stderr)
        return []
    return [AtomicFileStorageObserver(runs_folder() / "sacred")]


def require_server(url: str) -> None:
    """Asks a MongoDB for a sign of life, for which pymongo alone would wait half a minute.

    Raises:
        BadInput: it gives none within `ANSWER_SECONDS`.
    """
    import pymongo
    from pymongo.errors import PyMongoError

    wait = 1000 * ANSWER_SECONDS
    try:
        client: pymongo.MongoClient = pymongo.MongoClient(url, serverSelectionTimeoutMS=wait)
        with client:
            client.admin.command("ping")
    except PyMongoError as error:
        said = str(error).partition(" (configured timeouts")[0]
        hint = "start it, mend the address, or unset OMZ_MONGO"
        raise BadInput(f"no MongoDB answers at {url}: {said}; {hint}") from error


def mongo_url(typed: str) -> str:
    """What Sacred's `-m` takes (a database's name, HOST:PORT:NAME, or a URL) as `OMZ_MONGO` has
    it.
    """
    if "://" in typed:
        return typed
    *place, name = typed.split(":")
    return f"mongodb://{':'.join(place) or 'localhost:27017'}/{name}"


def create(name: str) -> Experiment:
    """An experiment with our observer; add one `add_config`, named configs, and a main function."""
    ex = Experiment(name, base_dir=str(ROOT), save_git_info=False)
    ex.logger = quiet_logger()  # type: ignore[assignment]
    return ex


def quiet_logger() -> logging.Logger:
    """Sacred's messages are noise on the terminal; what fails is said in one line."""
    logger = logging.getLogger("sacred-run")
    logger.setLevel(logging.CRITICAL)
    return logger


class Output:
    """What is printed while some cells train, as each of their runs reads it."""

    closed = False

    def __init__(self, buffer: io.StringIO):
        self.buffer = buffer
        self.place = 0

    def get(self) -> str:
        """What was printed since the last call."""
        text = self.buffer.getvalue()[self.place :]
        self.place += len(text)
        return text


class Recording:
    """The Sacred runs of cells that train together, as a context around their training.

    They start when it does, beat and take in metrics and output while it lasts, and end as it does:
    FAILED with the traceback, INTERRUPTED, or each COMPLETED when its result is stored. What cannot
    be recorded costs no result, see `problems`.

    Attributes:
        runs: those that have not ended, by cell.
        problems: why a cell has no run.
        logged: numbers that runs have, by name and step.
    """

    def __init__(self, cells: list[Cell]):
        self.cells = cells
        self.runs: dict[Cell, Run] = {}
        self.problems: dict[Cell, Exception] = {}
        self.logged: set[tuple[Cell, str, int]] = set()
        self.around = ExitStack()

    def __enter__(self):
        buffer = self.around.enter_context(tee_output_python()).buffer
        for cell in self.cells:
            try:
                self.runs[cell] = started(cell, Output(buffer))
            except Exception as error:  # of whatever store of runs it is
                self.problems[cell] = error
        self.stop, self.beats = IntervalTimer.create(self.beat, BEAT_SECONDS)
        self.beats.daemon = True
        self.beats.start()
        self.around.enter_context(told_of_evaluations(self.measured))
        return self

    def __exit__(self, kind, error, trace) -> None:
        self.stop.set()
        self.beats.join()
        for run in self.runs.values():
            if kind is None or issubclass(kind, KeyboardInterrupt):
                run._emit_interrupted("INTERRUPTED")
            else:
                run._emit_failed(kind, error, trace)
        self.around.close()

    def beat(self) -> None:
        """Signs of life of all runs, with what was printed and measured."""
        for run in [*self.runs.values()]:
            run._emit_heartbeat()

    def measured(self, running: Program) -> None:
        """Notes what a program has just measured of each member."""
        for cell, places in zip(running.members.cells, running.members.places(), strict=True):
            if cell not in self.runs:
                continue
            for name, numbers in running.points[-1].items():
                for seed, place in zip(cell.config["seeds"], places, strict=True):
                    self.log(cell, f"{name}/{seed}", numbers[place], running.done)

    def log(self, cell: Cell, name: str, value, step: int) -> None:
        """A metric, once a step; a number that is not finite, or none, is left out."""
        known = (cell, name, step) in self.logged
        if not known and isinstance(value, int | float) and math.isfinite(value):
            self.logged.add((cell, name, step))
            self.runs[cell].log_scalar(name, value, step)

    def finished(self, cell: Cell, result: dict) -> None:
        """Ends the run of a cell with its result.

        Raises:
            OSError: or whatever kept it from being recorded.
        """
        if cell in self.problems:
            raise self.problems[cell]
        for seed in result["seeds"]:
            curve = zip(result.get("rounds", []), seed.get("curve", []), strict=False)
            for done, score in curve:
                self.log(cell, f"score/{seed['seed']}", score, done)
        run = self.runs.pop(cell)
        run.result = {str(seed["seed"]): seed.get("last_score") for seed in result["seeds"]}
        run._stop_time()
        run._emit_heartbeat()
        run._emit_completed(run.result)
        if run._failed_observers:
            where = os.environ.get("OMZ_MONGO") or runs_folder() / "sacred"
            raise OSError(f"Sacred could not write the run of {cell.slot} to {where}")


def started(cell: Cell, output: Output) -> Run:
    """The run of a cell that begins to train: its configuration is all of the cell's, its sources
    are all files that decide its numbers.
    """
    ex = create(f"{cell.paper}/cell")
    ex.observers.extend(observers())
    ex.add_config(slot=cell.slot, preset=cell.preset, seed=0, **cell.config)
    for file in code_hashes(work.paper(cell.paper).roots(cell)):
        path = str(ROOT / file)
        ex.sources.add(Source(path, get_digest(path), None, None, None))

    @ex.main
    def train():
        """What happens between `started` and `Recording.finished`."""

    run = ex._create_run()
    run.captured_out_filter = apply_backspaces_and_linefeeds
    run._output_file = output
    run._emit_started()
    return run


@contextmanager
def told_of_evaluations(tell: Callable[[Program], None]) -> Iterator[None]:
    """Calls `tell` after every evaluation of a program in this process.

    From outside, so that what is recorded is none of the code that decides numbers.
    """
    evaluate = Program.evaluate

    def told(running: Program) -> None:
        evaluate(running)
        tell(running)

    with patch.object(Program, "evaluate", told):
        yield
