"""Which data set it is, and where it lies."""

from pathlib import Path
from typing import NamedTuple

from common.running.options import hint
from envs import tasks
from envs.storage import DataError, data_folder

SIZES = ("smoke", "quick", "standard", "paper")
IMPORTED = ("d4rl", "minari", "omar")
REPLAYS = ("snapshots", "exact")  # of robots
COMMAND = "python -m envs.datasets"


def family(task: str):
    """The module that knows a task's data, for example `envs.particle.data`.

    Raises:
        DataError: an unknown task.
    """
    if task not in tasks.TASKS:
        there = ", ".join(tasks.TASKS)
        meant = hint(task, tasks.TASKS)
        raise DataError(f"unknown task {task!r}, expected one of: {there}{meant}")
    return tasks.TASKS[task].load_data()


class Key(NamedTuple):
    """Which data set it is."""

    task: str
    quality: str
    seed: int
    size: str

    @property
    def path(self) -> Path:
        """Where it belongs."""
        return data_folder() / self.size / self.task / f"{self.quality}-{self.seed}.h5"

    @property
    def remedy(self) -> str:
        """What to do where it is missing or broken."""
        if self.size in IMPORTED:
            return f"import it with `{COMMAND} import {self.task} {self.quality} --source ...`"
        where = f"{self.task} --quality {self.quality} --seeds {self.seed} --size {self.size}"
        return f"build it with `{COMMAND} build {where} --again`"


def key_at(path: Path) -> Key | None:
    """The data set that belongs at a path; None for a place of no data set."""
    quality, _, seed = path.stem.rpartition("-")
    if len(path.parts) < 3 or not seed.isdecimal():
        return None
    key = Key(path.parent.name, quality, int(seed), path.parent.parent.name)
    return key if key.path == path and key.task in tasks.TASKS else None


def data_path(task: str, quality: str, seed: int, size: str) -> Path:
    """File of one data set.

    Raises:
        DataError: an unknown task, quality or size.
    """
    module = family(task)
    more = module.variants(task) if hasattr(module, "variants") else ()
    choices = {
        "quality": (quality, (*module.qualities(task), *more)),
        "size": (size, (*SIZES, *IMPORTED)),
    }
    for what, (word, allowed) in choices.items():
        if word not in allowed:
            expected = f"expected one of: {', '.join(allowed)}{hint(word, allowed)}"
            raise DataError(f"unknown {what} {word!r} of {task}, {expected}")
    return Key(task, quality, seed, size).path


def existing(chosen: list[str]) -> list[Path]:
    """Data sets in the cache folder, of these tasks or of all, those whose file is gone too."""
    sides = {path.with_suffix("") for path in data_folder().glob("*/*/*.h5.sha256")}
    paths = sorted(sides | {*data_folder().glob("*/*/*.h5")})
    return [path for path in paths if not chosen or path.parent.name in chosen]
