"""Sacred, set up once: experiments, and an observer that writes atomically.

Sacred records configurations, metrics and the environment of a run; our own CSV and JSON files are
the store of results. Two of its habits are guarded here: JSON files are rewritten in place, and a
failing observer leaves the run COMPLETED. What is typed is checked in `options.py` first.
"""

import importlib.util
import logging
import math
import os
from pathlib import Path

from sacred import SETTINGS, Experiment
from sacred.observers import FileStorageObserver, MongoObserver

from common.running.cells import Cell, runs_folder
from common.running.files import write_json
from common.running.options import BadInput
from common.running.provenance import ROOT

SETTINGS.CAPTURE_MODE = "no"
SETTINGS.HOST_INFO.INCLUDE_GPU_INFO = False
SETTINGS.HOST_INFO.INCLUDE_CPU_INFO = False
SETTINGS.CONFIG.READ_ONLY_CONFIG = False


class AtomicFileStorageObserver(FileStorageObserver):
    """Sacred's file observer, writing every JSON file with a rename so that a kill leaves no half
    file.
    """

    def save_json(self, obj, filename):
        from sacred.serializer import flatten

        write_json(Path(self.dir) / filename, _plain(flatten(obj)))


def _plain(value):
    """NaN and infinity as None: strict JSON has neither."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def observers() -> list:
    """Files by default; a MongoDB instead if `OMZ_MONGO` names one (mongodb://host:port/database).

    Raises:
        BadInput: it does, but pymongo is not installed.
    """
    url = os.environ.get("OMZ_MONGO")
    if url:
        if importlib.util.find_spec("pymongo") is None:
            raise BadInput(
                "OMZ_MONGO is set, but pymongo is not installed: pip install -e .[mongo], or unset OMZ_MONGO"
            )
        return [MongoObserver(url=url, db_name=url.rsplit("/", 1)[-1])]
    return [AtomicFileStorageObserver(runs_folder() / "sacred")]


def create(name: str) -> Experiment:
    """An experiment with our observer; add one `add_config`, named configs, and a main function."""
    ex = Experiment(name, base_dir=str(ROOT), save_git_info=False)
    ex.logger = quiet_logger()
    return ex


def quiet_logger() -> logging.Logger:
    """Sacred's messages below warnings are noise on the terminal."""
    logger = logging.getLogger("sacred-run")
    logger.setLevel(logging.ERROR)
    return logger


def record_cell(cell: Cell, result: dict) -> None:
    """The Sacred run of one finished cell: its configuration, a metric per seed, the final scores."""
    ex = create(f"{cell.paper}/cell")
    ex.observers.extend(observers())
    ex.add_config(slot=cell.slot, preset=cell.preset, seed=0, **cell.config)

    @ex.main
    def report(_run):
        for seed in result["seeds"]:
            for round_index, score in zip(
                result.get("rounds", []), seed.get("curve", []), strict=True
            ):
                _run.log_scalar(f"score/{seed['seed']}", score, round_index)
        return {str(seed["seed"]): seed.get("last_score") for seed in result["seeds"]}

    ex.run()
    if ex.current_run._failed_observers:
        raise OSError(
            f"Sacred could not write the run of {cell.slot} to {runs_folder() / 'sacred'}"
        )
