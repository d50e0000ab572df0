"""What decides the numbers of a data set, and what of it has changed since it was built."""

import functools
import json
from pathlib import Path

from common.running.provenance import carried_data, config_hash
from common.running.sources import code_hashes
from envs import storage
from envs.datasets.keys import IMPORTED, REPLAYS, Key, family
from envs.storage import DataError
from envs.tasks import TASKS

# What imported data become, by size
CONVERTERS = {
    "d4rl": "envs.mujoco.foreign",
    "minari": "envs.mujoco.foreign",
    "omar": "envs.omar_files",
}


@functools.cache
def building_code(task: str) -> str:
    """Short hash of all code that decides a task's data sets."""
    return config_hash(code_hashes([TASKS[task].data]))


@functools.cache
def importing_code(size: str) -> str:
    """Short hash of all code that decides what imported data sets become."""
    return config_hash(code_hashes([CONVERTERS[size]]))


def code_of(key: Key) -> str:
    """Short hash of all code that decides a data set."""
    return importing_code(key.size) if key.size in IMPORTED else building_code(key.task)


@functools.cache
def facts_of(key: Key, **options) -> dict:
    """What a data set says about itself if it is built now, as it is read back from the file.

    Args:
        options: as for `build`.
    """
    return json.loads(json.dumps(family(key.task).provenance(*key, **options)))


def without_versions(facts: dict) -> dict:
    """What of a data set's facts decides it, but for the machine's rounding."""
    return {name: value for name, value in facts.items() if name != "versions"}


@functools.cache
def recipe(task: str, quality: str, seed: int, size: str) -> str:
    """Short hashes of everything that decides a data set but the machine's rounding: of generator,
    policies, sizes and seed, and of the code that builds it.

    Two machines build the same data up to floating-point rounding, whose files have other
    checksums; a result stays valid as long as the recipe of its data is the same. An imported data
    set's recipe is its source file and the code that converts it.

    Raises:
        DataError: an imported data set that is not there.
    """
    key = Key(task, quality, seed, size)
    if size in IMPORTED:
        stored = storage.read(key.path, nothing, verify=False, remedy=key.remedy)
        source = stored["provenance"]["source"]["sha256"][:16]
        return f"{source}.{code_of(key)}"
    return f"{config_hash(without_versions(facts_of(key)))}.{code_of(key)}"


def nothing(file, facts: dict) -> None:
    """Reads no array."""


def changes(key: Key, facts: dict, code: str) -> list[str]:
    """What has changed in the recipe of a data set since it was built, [] if it is the present one.

    Args:
        facts: from the file.
        code: hash of the code that built it.
    """
    names = [] if key.size in IMPORTED else changed_facts(key, facts)
    if carried_data(key.task, code) != code_of(key):
        names.append("code")
    return names


def changed_facts(key: Key, facts: dict) -> list[str]:
    """What a data set would say otherwise about itself if it were built now."""
    replay = facts.get("replay")
    options = {"replay": replay} if replay in REPLAYS else {}
    now = without_versions(facts_of(key, **options))
    then = without_versions(facts)
    return [name for name in sorted({*now, *then}) if now.get(name) != then.get(name)]


def check_place(path: Path, key: Key, facts: dict) -> None:
    """Raises DataError if a file is another data set than the one that belongs there."""
    inside = tuple(facts.get(name) for name in Key._fields)
    if inside != key:
        said = "of {0}, {1}, seed {2!r}, size {3}"
        raise DataError(
            f"data set {path} is {said.format(*inside)}, and not {said.format(*key)}; "
            f"put it back where it belongs, and {key.remedy}"
        )
