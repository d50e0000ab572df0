"""Sacred, set up once: experiments, and an observer that writes atomically.

Sacred records configurations, metrics and the environment of a run; our own CSV and JSON files are
the store of results. Three of its habits are guarded here: JSON files are rewritten in place, a
failing observer leaves the run COMPLETED, and a killed run stays RUNNING. What is typed is checked
in `options.py` first.
"""

import importlib.util
import json
import logging
import math
import os
import sys
from contextlib import suppress
from pathlib import Path

import filelock
from sacred import SETTINGS, Experiment
from sacred.observers import FileStorageObserver, MongoObserver

from common.running.cells import Cell, runs_folder
from common.running.files import sweep, writable, write_json
from common.running.options import BadInput
from common.running.provenance import ROOT

SETTINGS.CAPTURE_MODE = "no"
SETTINGS.HOST_INFO.INCLUDE_GPU_INFO = False
SETTINGS.HOST_INFO.INCLUDE_CPU_INFO = False
SETTINGS.CONFIG.READ_ONLY_CONFIG = False


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
        BadInput: it does, but pymongo is not installed.
    """
    url = os.environ.get("OMZ_MONGO")
    if url:
        if importlib.util.find_spec("pymongo") is None:
            hint = "pip install -e .[mongo], or unset OMZ_MONGO"
            raise BadInput(f"OMZ_MONGO is set, but pymongo is not installed: {hint}")
        return [MongoObserver(url=url, db_name=url.rsplit("/", 1)[-1])]
    if not writable(runs_folder()):
        said = f"{runs_folder()} cannot be written: what is done is shown, nothing is recorded"
        print(said, file=sys.stderr)
        return []
    return [AtomicFileStorageObserver(runs_folder() / "sacred")]


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


def record_cell(cell: Cell, result: dict) -> None:
    """The Sacred run of one finished cell: configuration, a metric per seed, final scores."""
    ex = create(f"{cell.paper}/cell")
    ex.observers.extend(observers())
    ex.add_config(slot=cell.slot, preset=cell.preset, seed=0, **cell.config)

    @ex.main
    def report(_run):
        curves = {seed["seed"]: seed["curve"] for seed in result["seeds"] if "curve" in seed}
        for number, curve in curves.items():
            for round_index, score in zip(result.get("rounds", []), curve, strict=True):
                _run.log_scalar(f"score/{number}", score, round_index)
        return {str(seed["seed"]): seed.get("last_score") for seed in result["seeds"]}

    run = ex.run()
    if run._failed_observers:
        raise OSError(
            f"Sacred could not write the run of {cell.slot} to {runs_folder() / 'sacred'}"
        )
