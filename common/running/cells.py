"""Cells: the unit of work and of results. One cell is one method on one data set with one setting,
for all its seeds.

A cell is made of layers: defaults, what a preset or a reading changes, what a table changes. Its
configuration is all of them merged, its name says where it differs from the defaults, and of every
value it is known which layer it came from.

A cell's result is one JSON file, written atomically when the cell is complete, with everything that
decides its numbers: configuration, code and data checksums, versions of packages; and a hash of its
own content, without which it counts as missing. A result whose configuration, code, data or
packages are no longer the present ones is stale: it is shown as such and never reused.
"""

import functools
import json
import os
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, get_args

from common.running.files import write_json
from common.running.provenance import (
    ROOT,
    carried,
    changed_packages,
    commit,
    config_hash,
    machine,
    versions,
)
from common.running.sources import code_hashes

FORMAT = 2
Preset = Literal["smoke", "quick", "standard", "paper"]
PRESETS: tuple[str, ...] = get_args(Preset)
KEYS = {"config": dict, "config_hash": str, "code": dict}  # every result has these
LONGEST_NAME = 180  # of a file, without its ending; file systems take 255


@dataclass(frozen=True)
class Layer:
    """Some values of a configuration, and where they come from.

    Attributes:
        source: in words, for people: "preset quick", "Table 3".
        values: nested as in the configuration, or by dotted key.
        types: dataclasses whose fields say what values may be, by the group of the configuration
            that they describe, "" for the configuration itself.
    """

    source: str
    values: dict[str, Any]
    types: dict[str, type] = field(default_factory=dict)

    @functools.cached_property
    def pairs(self) -> dict[str, Any]:
        """The values by dotted key."""
        return flat(self.values)


@functools.cache
def defaults(group: str, config: Any) -> Layer:
    """The values of a frozen dataclass as a group of the configuration."""
    title = (type(config).__doc__ or "").strip().split("\n")[0]
    return Layer(
        f"{type(config).__name__}: {title}", {group: asdict(config)}, {group: type(config)}
    )


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values by dotted key; empty groups are left out."""
    pairs: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            pairs |= flat(value, f"{prefix}{key}.")
        else:
            pairs[prefix + key] = list(value) if isinstance(value, tuple) else value
    return pairs


def nested(pairs: dict[str, Any]) -> dict[str, Any]:
    """Values by dotted key as nested dictionaries; the opposite of `flat`."""
    values: dict[str, Any] = {}
    for key, value in pairs.items():
        *groups, name = key.split(".")
        place = values
        for group in groups:
            place = place.setdefault(group, {})
        place[name] = value
    return values


def merged(layers: Iterable[Layer]) -> dict[str, Any]:
    """The configuration of layers: later ones win."""
    return nested(merged_pairs(layers))


def merged_pairs(layers: Iterable[Layer]) -> dict[str, Any]:
    """The same by dotted key."""
    pairs: dict[str, Any] = {}
    for layer in layers:
        pairs |= layer.pairs
    return pairs


def word(value: Any) -> str:
    """A value as part of a name: letters, digits and ._- only."""
    if isinstance(value, list | tuple):
        return "-".join(word(entry) for entry in value)
    return re.sub(r"[^A-Za-z0-9._-]", "", str(value))


def file_name(name: str) -> str:
    """A name as that of a file: slashes as __, and not too long."""
    flat_name = name.replace("/", "__")
    if len(flat_name) <= LONGEST_NAME:
        return flat_name
    return f"{flat_name[:LONGEST_NAME]}-{sha256(name.encode()).hexdigest()[:16]}"


@dataclass(frozen=True)
class Cell:
    """One entry of a table.

    Attributes:
        paper: folder under papers/.
        preset: one of PRESETS.
        slot: readable name, unique for the paper and preset: letters, digits and ._=- between
            slashes.
        config: everything that decides the numbers, as JSON values.
        origins: the source of every value, by dotted key.
        types: as of a `Layer`.
    """

    paper: str
    preset: str
    slot: str
    config: dict[str, Any]
    origins: dict[str, str] = field(default_factory=dict, compare=False, repr=False)
    types: dict[str, type] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(
        cls,
        paper: str,
        preset: str,
        words: list[str],
        layers: list[Layer],
        changes: dict[str, Any] | None = None,
        seeds: list[int] | None = None,
        marks: tuple[str, ...] = (),
    ) -> "Cell":
        """A cell from its defaults and its changes.

        Args:
            words: what the cell is, the beginning of its slot.
            layers: its defaults.
            changes: nested or by dotted key; the slot names those that differ from the defaults.
            seeds: None for the defaults' own.
            marks: words of the slot after the changes.
        """
        usual = merged_pairs(layers)
        changed = flat(changes or {})
        different = [key for key, value in changed.items() if usual.get(key) != value]
        names = [f"{key.rpartition('.')[2]}={word(changed[key])}" for key in different]
        slot = [*words, *names, *marks]
        changed = {key: changed[key] for key in different}
        everything = [*layers, Layer("this script", changed)]
        if seeds:
            everything.append(Layer("command line", {"seeds": list(seeds)}))
            slot += [] if list(seeds) == usual["seeds"] else [f"seeds={word(seeds)}"]
        return cls(paper, preset, "", {}).under(slot, *everything)

    def under(self, words: list[str], *layers: Layer) -> "Cell":
        """The cell with further words in its slot, and layers over its configuration."""
        pairs = flat(self.config)
        origins = dict(self.origins)
        types = dict(self.types)
        for layer in layers:
            above = layer.pairs
            pairs |= above
            origins |= dict.fromkeys(above, layer.source)
            types |= layer.types
        slot = "/".join([self.slot, *words] if self.slot else words)
        without_fields: dict[str, Any] = {group: {} for group in types if group}
        config = without_fields | nested(pairs)
        return replace(self, slot=slot, config=config, origins=origins, types=types)

    def __hash__(self):
        return hash((self.paper, self.preset, self.slot))

    @property
    def path(self) -> Path:
        """File of the cell's result."""
        folder = runs_folder() / self.preset / self.paper / "cells"
        return folder / f"{file_name(self.slot)}.json"

    @property
    def hash(self) -> str:
        return config_hash(self.config)


def runs_folder() -> Path:
    """Where results of runs are kept: `OMZ_RESULTS`, by default results/runs in the repository."""
    return Path(os.environ.get("OMZ_RESULTS") or ROOT / "results" / "runs")


def read(cell: Cell) -> dict | None:
    """The stored result of a cell, or None if there is none that can be used.

    A file that was damaged or changed by hand is said on stderr, once.
    """
    try:
        result = json.loads(cell.path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        say_unusable(cell.path, f"{type(error).__name__}: {error}")
        return None
    fault = fault_of(result)
    if fault:
        say_unusable(cell.path, fault)
        return None
    return result if result["format"] == FORMAT else None


def fault_of(result: Any) -> str:
    """What is wrong with the content of a cell's file; "" for a result, also of another format."""
    if not isinstance(result, dict) or not isinstance(result.get("format"), int):
        return "it is no result"
    if result["format"] != FORMAT:
        return ""
    if result.get("content_hash") != content_hash(result):
        return "its content is not what was stored: the hash differs"
    wrong = [key for key, kind in KEYS.items() if not isinstance(result.get(key), kind)]
    return f"{wrong[0]} is missing" if wrong else ""


def content_hash(result: dict) -> str:
    """Short hash of everything in a result but this hash itself."""
    content = {key: value for key, value in result.items() if key != "content_hash"}
    return config_hash(json.loads(json.dumps(content)))


@functools.cache
def say_unusable(path: Path, why: str) -> None:
    """One line on stderr about a file, once in a process."""
    hint = "its cell counts as missing and is trained again"
    print(f"{path} cannot be used ({why}); {hint}", file=sys.stderr)


def state(cell: Cell, roots: list[str], data_recipes: Callable[[Cell], dict]) -> str:
    """ "done", "missing", or "stale: ..." with what changed since the result was written.

    Args:
        roots: modules whose import closure decides the numbers, see `common.running.sources`.
        data_recipes: present recipes of the cell's data sets, see `envs.datasets.recipe`; {} where
            they are not known.
    """
    result = read(cell)
    if result is None:
        return "missing"
    present = code_hashes(roots)
    result = carried(result, cell.config, present)
    if result["config_hash"] != cell.hash:
        changed = sorted(
            key
            for key in {*result["config"], *cell.config}
            if result["config"].get(key) != cell.config.get(key)
        )
        return f"stale: configuration changed ({', '.join(changed)})"
    changed = sorted(
        name
        for name in {*present, *result["code"]}
        if present.get(name) != result["code"].get(name)
    )
    if changed:
        return f"stale: code changed ({', '.join(changed)})"
    recipes = data_recipes(cell)
    if recipes and recipes != result.get("recipe"):
        return "stale: data changed"
    packages = changed_packages(result.get("versions", {}), present)
    if packages:
        return f"stale: packages changed ({', '.join(packages)})"
    return "done"


def store(cell: Cell, result: dict) -> None:
    """Writes a complete result with a hash of its content."""
    about = {"format": FORMAT, "slot": cell.slot, "paper": cell.paper, "preset": cell.preset}
    content = about | result
    write_json(cell.path, content | {"content_hash": content_hash(content)})


def made_with(
    cell: Cell, data: dict[str, str], recipes: dict, seconds: float, device: str, roots: list[str]
) -> dict:
    """What every result says about its making.

    Args:
        data: checksums of the cell's data sets; recipes: of them, see `envs.datasets.recipe`.
        roots: modules whose import closure decides the numbers, see `common.running.sources`.
    """
    return {
        "config": cell.config,
        "config_hash": cell.hash,
        "code": code_hashes(roots),
        "commit": commit(),
        "data": data,
        "recipe": recipes,
        "seconds": seconds,
        "versions": versions(),
        "machine": machine(device),
    }
