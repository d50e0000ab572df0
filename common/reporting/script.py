"""The command line of a table's script: Sacred's, with presets as named configurations.

    python papers/omar/table3.py with paper seeds=[0,1] device=cuda jobs=1
    python papers/omar/table3.py with quick lr=3e-4 hyper.alpha=2
    python papers/omar/table3.py show [CELL] [with quick ...]

`with` sets how the script runs (`options.Running`), the script's own options, and any
hyperparameter of its cells. `show` lists the cells, or prints everything that a cell is made with
and where each value comes from. Results of changed hyperparameters have names of their own.
"""

import importlib.util
import os
import re
import sys
from collections.abc import Container
from dataclasses import asdict, dataclass
from typing import Any, Literal

from docopt import DocoptExit, docopt
from sacred import Experiment
from sacred.arg_parser import get_config_updates
from tabulate import tabulate

from common.reporting import shown, writer
from common.reporting.tables import Table
from common.running import environment, experiment, faults, work
from common.running.cells import PRESETS, Cell, flat, runs_folder
from common.running.files import writable
from common.running.options import (
    BadInput,
    Running,
    check_keys,
    check_seeds,
    checked,
    fields_of,
    nearest,
    settable,
    unknown_flag,
    words_of,
)

# What Sacred's flags for other stores of runs need
PACKAGES = {
    "--mongo_db": "pymongo",
    "--sql": "sqlalchemy",
    "--tiny_db": "tinydb",
    "--s3": "boto3",
}
CAPTURES = Literal["no", "sys", "fd"]  # of what is printed, by Sacred
UNSUPPORTED = {
    "--id": "runs are numbered; choose another folder with OMZ_RESULTS",
    "--enforce_clean": "every result names its commit, and says -dirty where files differ",
    "--queue": "what is done is not repeated, so a run can be asked for at any time",
}


@dataclass(frozen=True)
class Request:
    """What was typed after `with`, checked.

    Attributes:
        running: how to run.
        options: those of the script, `seeds`, and `changes`: hyperparameters by key.
        updates, presets: the same as Sacred takes it.
    """

    running: Running
    options: dict[str, Any]
    updates: dict[str, Any]
    presets: list[str]


def read(table: Table, words: list[str]) -> Request:
    """What `with` is followed by.

    Raises:
        BadInput: it cannot be run.
    """
    updates, presets = get_config_updates(words)
    check_groups_have_values(updates)
    pairs = flat(updates)
    preset = preset_of(presets, pairs)
    settings = dict(pairs)
    running = {}
    for key, annotation in fields_of(Running).items():
        if key in settings:
            running[key] = checked(key, settings.pop(key), annotation)
    options = own_options(table, settings)
    if running.get("seeds") is not None:
        check_seeds(running["seeds"])
        options["seeds"] = running["seeds"]
    if "data" in settings:
        settings["data_size"] = data_size(settings, table.cells(preset, options))
    if settings:
        for key in settings:
            if key.rpartition(".")[2] in table.decided:
                raise BadInput(f"{key} cannot be set: {table.slot} compares its values")
        if "seed" in settings:
            hint = f"write seeds=[{settings['seed']}], a cell has several"
            raise BadInput(f"unknown key 'seed'; {hint}")
        others = [*fields_of(Running), *own_fields(table)]
        check_keys(settings, table.cells(preset, options), others)
        options["changes"] = settings
    cells = table.cells(preset, options)
    if "data_size" in settings and not cells:
        hint = "import one with `python -m envs.datasets import TASK QUALITY --source ...`"
        raise BadInput(f"no data of size {settings['data_size']} for {table.slot}; {hint}")
    return Request(Running(**running | {"preset": preset}), options, updates, presets)


def data_size(settings: dict[str, Any], cells: list[Cell]) -> str:
    """What `data` among the settings, which it is taken from, means for these cells: "released" are
    the authors' own, which a task names first among the sizes that are imported.

    Raises:
        BadInput: no cell has such data, or `data_size` was typed, too.
    """
    typed = settings.pop("data")
    if "data_size" in settings:
        raise BadInput("data and data_size together; name one of them")
    allowed = [words_of(settable(cell).get("data_size")) for cell in cells]
    others = dict.fromkeys(size for sizes in allowed for size in sizes if size not in PRESETS)
    if not others:
        raise BadInput("data cannot be set: none can be imported for this script")
    kinds = [name for name in ("d4rl", "minari") if name in others]
    word = checked("data", typed, Literal[*kinds, "released"])
    return next(iter(others)) if word == "released" else word


def check_groups_have_values(updates: dict[str, Any], prefix: str = "") -> None:
    """Raises BadInput for a key that was set to {}: nothing would be left of it."""
    for key, value in updates.items():
        if value == {}:
            hint = f"write {prefix}{key}=VALUE or {prefix}{key}.NAME=VALUE"
            raise BadInput(f"{prefix}{key} is {{}}, expected a value; {hint}")
        if isinstance(value, dict):
            check_groups_have_values(value, f"{prefix}{key}.")


def note_jobs(jobs: int | None) -> None:
    """Says so where there are to be more processes than cores."""
    cores = os.cpu_count() or 1
    if jobs and jobs > cores:
        more = f"up to {jobs} processes on {cores} cores"
        print(f"note: {more} are no faster than {cores}, and need more memory", file=sys.stderr)


def preset_of(presets: list[str], pairs: dict[str, Any]) -> str:
    """The one preset that was named.

    Raises:
        BadInput: an unknown one, or two.
    """
    for name in presets:
        if name not in PRESETS:
            raise BadInput(f"unknown named configuration {name!r}; {nearest(name, PRESETS)}")
    named = list(presets)
    if "preset" in pairs:
        named.append(checked("preset", pairs["preset"], fields_of(Running)["preset"]))
    if len(set(named)) > 1:
        raise BadInput(f"{' and '.join(dict.fromkeys(named))} together; name one preset")
    return named[0] if named else Running().preset


def own_fields(table: Table) -> dict[str, Any]:
    """Annotations of the options that can be set of this script."""
    fields = dict(fields_of(table.options.__class__)) if table.options else {}
    return {name: kind for name, kind in fields.items() if name not in table.decided}


def own_options(table: Table, settings: dict[str, Any]) -> dict[str, Any]:
    """The script's own options among what was typed, which they are taken from."""
    fields = own_fields(table)
    return {
        name: checked(name, settings.pop(name), fields[name])
        for name in list(settings)
        if name in fields
    }


def reproduce(
    table: Table, preset: str, options: dict, jobs=None, device="auto", force=False
) -> int:
    """Trains what is missing, prints and writes the table; returns the exit code (0, or 1 if a cell
    failed).
    """
    cells = table.cells(preset, options)
    if force:
        work.forget(cells)
    failures = work.run(cells, jobs, device, table.slot)
    present(table, preset, options)
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    return 1 if failures else 0


def present(table: Table, preset: str, options: dict) -> None:
    """Prints and writes what has been run of a table; entries that are not done say why."""
    if table.unavailable:
        print(f"{table.slot}: {table.unavailable}")
        return
    entries = shown.show(table, preset, options)
    print(f"{table.slot}: {table.title} ({table.unit}, preset {preset}, last evaluation)\n")
    print(writer.text(table, entries))
    if writable(runs_folder()):
        print(f"\n{writer.write(table, preset, options, entries)}")


def show(table: Table, words: list[str]) -> int:
    """`show [CELL] [with ...]`: the cells, or one cell's configuration with its origins."""
    before, _, after = split_at(words, "with")
    if len(before) > 1:
        raise BadInput(f"show takes one cell, not {len(before)}: {' '.join(before)}")
    request = read(table, after)
    preset = request.running.preset
    cells = table.cells(preset, request.options)
    if not cells:
        raise BadInput(f"{table.slot} has no cells: its numbers are not trained")
    if before:
        cell = named(before[0], cells)
        print(card(cell, typed(table, preset, request.options, cell)))
        return 0
    print(f"{len(cells)} cells of {table.slot} at preset {preset}; show CELL prints one of them:\n")
    print("\n".join(cell.slot for cell in cells))
    return 0


def split_at(words: list[str], word: str) -> tuple[list[str], str, list[str]]:
    """What is before a word, the word, and what is after it; as `str.partition`."""
    if word not in words:
        return words, "", []
    place = words.index(word)
    return words[:place], word, words[place + 1 :]


def named(name: str, cells: list[Cell]) -> Cell:
    """The cell of this slot, or the only one whose slot has this in it.

    Raises:
        BadInput: there is none, or there are several.
    """
    slots = [cell.slot for cell in cells]
    if name in slots:
        return cells[slots.index(name)]
    alike = [cell for cell in cells if name in cell.slot]
    if len(alike) == 1:
        return alike[0]
    if not alike:
        raise BadInput(f"no cell {name!r}; {nearest(name, slots)}")
    several = ", ".join(cell.slot for cell in alike[:6])
    more = ", ..." if len(alike) > 6 else ""
    raise BadInput(f"{len(alike)} cells have {name!r} in their names: {several}{more}")


def typed(table: Table, preset: str, options: dict[str, Any], cell: Cell) -> set[str]:
    """Keys of a cell whose values the script's own options decide: those that it has otherwise
    where these are left out.
    """
    own = own_fields(table)
    others = {name: value for name, value in options.items() if name not in own}
    usual = cells_by_place(table, preset, others)
    places = cells_by_place(table, preset, options)
    before = [usual[place] for place, there in places.items() if there == cell and place in usual]
    pairs = flat(before[0].config) if before else {}
    return {key for key, value in flat(cell.config).items() if pairs and pairs.get(key) != value}


def cells_by_place(table: Table, preset: str, options: dict[str, Any]) -> dict[tuple, Cell]:
    """Cells of a table by row, column and place in the entry."""
    return {
        (entry.row, entry.column, index): cell
        for entry in table.entries_at(preset, options)
        for index, cell in enumerate(entry.cells)
    }


def card(cell: Cell, own: Container[str] = ()) -> str:
    """Everything that a cell is made with: key, value, where it comes from.

    Args:
        own: keys that options of the script decided, which were typed.
    """
    rows = [
        [key, str(value), "command line" if key in own else cell.origins.get(key, "")]
        for key, value in flat(cell.config).items()
    ]
    title = f"{cell.paper}/{cell.slot} at preset {cell.preset}\n\n"
    return title + tabulate(rows, ["key", "value", "from"], disable_numparse=True)


def experiment_of(table: Table, request: Request) -> Experiment:
    """The Sacred experiment of a script: it records what was asked for."""
    ex = experiment.create(table.slot)
    keys = asdict(Running()) | {name: table.defaults[name] for name in own_fields(table)}
    ex.add_config(keys | blank(request.updates, keys) | {"seed": 0})
    for preset in PRESETS:
        ex.add_named_config(preset, {"preset": preset})

    @ex.main
    def run(_config):
        """Trains what is missing, then prints and writes the table (the default)."""
        running = request.running
        experiment.tidy()
        code = reproduce(
            table, running.preset, request.options, running.jobs, running.device, running.force
        )
        if code:
            raise faults.Failed(f"cells of {table.slot} failed")  # and so has the Sacred run
        return code

    text = ", ".join(f"{key}={value}" for key, value in keys.items())
    ex.doc = (
        f"{table.title}. Presets: with {' | '.join(PRESETS)}. Keys: {text}, and every "
        "hyperparameter; `show [CELL] [with ...]` prints them."
    )
    return ex


def blank(updates: dict[str, Any], keys: dict[str, Any]) -> dict[str, Any]:
    """The keys that Sacred has not heard of, without values; it refuses others than it knows."""
    return {
        key: blank(value, {}) if isinstance(value, dict) else None
        for key, value in updates.items()
        if key not in keys
    }


def answer(table: Table, arguments: list[str]) -> int:
    """Does what a command line says; returns the exit code."""
    script, *words = arguments
    if words[:1] == ["show"]:
        return show(table, words[1:])
    usage = experiment_of(table, Request(Running(), {}, {}, [])).get_usage(script)[2]
    grammar = parsed(usage, words)
    request = read(table, grammar["UPDATE"])
    ex = experiment_of(table, request)
    command = str(grammar["COMMAND"] or ex.default_command)
    check_command(command, [*ex.commands, "show"])
    if grammar["help"] or grammar["--help"]:
        ex.run_commandline([script, *words])
    work.pick_device(request.running.device)
    if grammar["--mongo_db"]:  # also for the runs of cells, in whatever process
        os.environ["OMZ_MONGO"] = experiment.mongo_url(grammar.pop("--mongo_db"))
    ex.observers.extend(experiment.observers())
    note_jobs(request.running.jobs)
    done = ex.run(command, request.updates, request.presets, options=grammar)
    if command == "save_config":
        print(os.path.abspath("config.json"))
    return done.result or 0


def parsed(usage: str, words: list[str]) -> dict[str, Any]:
    """Sacred's grammar of a command line, with flags that can be used.

    Raises:
        BadInput: it cannot be read, or a flag cannot be used.
    """
    sentence = unknown_flag(words, re.findall(r"(?<!\S)--?[A-Za-z][\w-]*", usage))
    if sentence:
        raise BadInput(sentence)
    try:
        grammar = docopt(usage, words, default_help=False)
    except DocoptExit:
        raise BadInput(
            f"cannot read {' '.join(words)!r}; --help says what can be written"
        ) from None
    for flag, reason in UNSUPPORTED.items():
        if grammar[flag]:
            raise BadInput(f"{flag} is not supported: {reason}")
    for flag, package in PACKAGES.items():
        if grammar[flag] and importlib.util.find_spec(package) is None:
            raise BadInput(f"{flag} needs the package {package}: pip install {package}")
    if grammar["--capture"]:
        checked("--capture", grammar["--capture"], CAPTURES)
    if grammar["--file_storage"]:
        os.makedirs(grammar["--file_storage"], exist_ok=True)
    return grammar


def check_command(command: str, commands: list[str]) -> None:
    """Raises BadInput for a command that there is not."""
    if command in PRESETS or "=" in command:
        raise BadInput(f"unknown command {command!r}; write `with {command}`")
    if command in fields_of(Running):
        raise BadInput(f"unknown command {command!r}; write `with {command}=...`")
    if command not in commands:
        raise BadInput(f"unknown command {command!r}; {nearest(command, [*PRESETS, *commands])}")


def main(table: Table, arguments: list[str] | None = None) -> None:
    """Command line of a script; leaves with its exit code, after one sentence where something is
    wrong.
    """
    words = list(map(str, sys.argv if arguments is None else arguments))
    command = " ".join(["python", os.path.relpath(words[0]), *words[1:]])

    def go() -> int:
        environment.check()
        return answer(table, words)

    raise SystemExit(faults.exit_code(go, f"the same command continues: {command}"))
