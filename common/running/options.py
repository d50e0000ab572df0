"""What can be set from a command line, and to what: options of scripts and hyperparameters.

Both are fields of dataclasses, and what a field's annotation allows is allowed. Everything else is
refused in one sentence that says what was expected, before anything runs.
"""

import argparse
import difflib
import functools
import re
import sys
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Interval
from pydantic import ConfigDict, TypeAdapter, ValidationError

from common.running.cells import Cell, Layer, Preset, word

STRICT = ConfigDict(strict=True, allow_inf_nan=False)  # "3" is no number, and infinity no value
ALIASES = {"lr": ("actor_lr", "critic_lr", "vae_lr", "model_lr")}  # one word for several fields
SEED = Annotated[int, Interval(ge=0, le=2**32 - 1)]
SEEDS = list[SEED]
JOBS = Annotated[int, Gt(0)]
HELP = "--help says what can be written"


class BadInput(ValueError):
    """What the user typed cannot be run; the message says what was expected."""


@dataclass(frozen=True)
class Running:
    """How a script runs: the keys that all scripts have."""

    preset: Preset = "quick"
    seeds: SEEDS | None = None  # None: the preset's
    device: Literal["auto", "cpu", "cuda"] = "auto"
    jobs: JOBS | None = None  # processes; None: as many as there are cores
    force: bool = False  # whether what is done is made again


def nearest(name: str, names: Iterable[str]) -> str:
    """ "did you mean 'x'?" for the closest name, or what the names are."""
    everything = sorted(set(names))
    close = difflib.get_close_matches(name, everything, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(everything)}"


def number(text: str) -> int | str:
    """A whole number where the text is one, for `checked`."""
    return int(text) if re.fullmatch("-?[0-9]+", text) else text


def unknown_flag(words: Iterable[str], flags: Iterable[str]) -> str:
    """A sentence about the first word that looks like a flag and is none, "" without one."""
    allowed = [*flags]
    for typed in words:
        flag = typed.partition("=")[0] if typed[:2] == "--" else typed[:2]
        if re.match("--?[A-Za-z]", flag) and flag not in allowed:
            meant = hint(flag, allowed) if flag[:2] == "--" else ""
            return f"unknown option {typed!r}{meant or f'; {HELP}'}"
    return ""


class CommandLine(argparse.ArgumentParser):
    """Words and flags; raises BadInput for what it does not know, with the nearest that it does."""

    def parse_known_args(self, args=None, namespace=None):
        words = sys.argv[1:] if args is None else [*args]
        sentence = unknown_flag(words, self._option_string_actions)
        if sentence and not self._subparsers:  # a command's own parser knows its flags
            raise BadInput(sentence)
        return super().parse_known_args(words, namespace)

    def _check_value(self, action, value):
        if action.choices is not None:
            checked([*action.option_strings, action.dest][0], value, Literal[*action.choices])

    def error(self, message):
        raise BadInput(f"{message.removeprefix('argument ')}; {HELP}")


@functools.cache
def fields_of(kind: type) -> dict[str, Any]:
    """Annotations of a dataclass's fields by name."""
    return get_type_hints(kind, include_extras=True)


@functools.cache
def validator(annotation: Any) -> TypeAdapter:
    """What checks values of an annotation."""
    return TypeAdapter(annotation, config=STRICT)


def checked(name: str, value: Any, annotation: Any) -> Any:
    """The value of a field, as its annotation has it: a whole number serves as any number.

    Raises:
        BadInput: the annotation does not allow it.
    """
    given = tuple(value) if isinstance(value, list) and get_origin(annotation) is tuple else value
    try:
        result = validator(annotation).validate_python(given)
    except ValidationError:
        meant = hint(value, words_of(annotation))
        raise BadInput(f"{name} is {value!r}, expected {described(annotation)}{meant}") from None
    return list(result) if isinstance(result, tuple) else result


def hint(typed: Any, words: Iterable[str]) -> str:
    """ "; did you mean 'x'?" for the closest of some words, "" where none is close."""
    close = difflib.get_close_matches(str(typed), [*words], n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def words_of(annotation: Any) -> list[str]:
    """The words that an annotation allows."""
    if get_origin(annotation) is Literal:
        return [str(entry) for entry in get_args(annotation)]
    return [name for kind in get_args(annotation) if get_origin(kind) for name in words_of(kind)]


def described(annotation: Any) -> str:
    """What an annotation allows, in words."""
    origin = get_origin(annotation)
    kinds = get_args(annotation)
    if origin is Annotated:
        limits = [text for bound in kinds[1:] if (text := limit(bound))]
        return " ".join([described(kinds[0]), *limits])
    if origin is Literal:
        return either([repr(word) for word in kinds])
    if origin in (Union, UnionType):
        return either([described(kind) for kind in kinds])
    if origin is list:
        return f"a list of {described(kinds[0]).removeprefix('a ').replace('number', 'numbers')}"
    if origin is tuple:
        return f"a list of {len(kinds)} numbers"
    names = {bool: "True or False", int: "a whole number", float: "a number", NoneType: "None"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def either(texts: list[str]) -> str:
    """The texts with commas, and "or" before the last."""
    *first, last = texts
    return f"{', '.join(first)} or {last}" if first else last


def limit(bound: Any) -> str:
    """A bound of numbers, in words."""
    if isinstance(bound, Gt):
        return f"above {bound.gt}"
    if isinstance(bound, Ge):
        return f"of at least {bound.ge}"
    if isinstance(bound, Interval):
        return f"between {bound.ge} and {bound.le}"
    return ""


def check_seeds(seeds: list[int]) -> None:
    """Raises BadInput for an empty list of seeds, or one that has a seed twice."""
    if not seeds:
        raise BadInput("seeds is [], expected a list of whole numbers, for example [0,1,2]")
    twice = [seed for seed in dict.fromkeys(seeds) if seeds.count(seed) > 1]
    if twice:
        raise BadInput(f"seeds is {seeds!r}, expected every seed once; {twice[0]} is there twice")


def settable(cell: Cell) -> dict[str, Any]:
    """Annotations of everything that can be set in a cell, by dotted key."""
    places = {}
    for group, kind in cell.types.items():
        there = cell.config.get(group, {}) if group else cell.config
        for name, annotation in fields_of(kind).items():
            if name in there and name != "seeds":
                places[f"{group}.{name}" if group else name] = annotation
    return places


def places_of(cell: Cell, key: str) -> dict[str, Any]:
    """Where a key sits in a cell, and what it may be there; {} where the cell has no such key.

    A key of the cell itself comes first; else it is that of all groups. A dotted key names its
    group. An alias stands for its fields in groups that have none of its own name.
    """
    group, _, name = key.rpartition(".")
    places = settable(cell)
    groups = sorted({place.rpartition(".")[0] for place in places})  # "" is the first
    sites: dict[str, Any] = {}
    for other in groups if not group else [group]:
        prefix = f"{other}." if other else ""
        names = [name] if prefix + name in places else ALIASES.get(name, ())
        inside = [prefix + field for field in names if prefix + field in places]
        sites |= {place: places[place] for place in inside}
        if sites and not other:
            break  # the cell's own
    return sites


def changed(cell: Cell, changes: dict[str, Any]) -> Cell:
    """A cell with hyperparameters set to other values, under a name that says so; the cell itself
    where that changes nothing.

    Args:
        changes: values by key, as typed.

    Raises:
        BadInput: a value is not allowed, or not with the others, or two keys set one place to
            different values.
    """
    usual = Layer("", cell.config).pairs
    values: dict[str, Any] = {}
    words = []
    typed: dict[str, tuple[str, Any]] = {}  # by place, the key that set it
    for key, value in sorted(changes.items()):
        sites = {
            place: checked(key, value, annotation)
            for place, annotation in places_of(cell, key).items()
        }
        for place, site in sites.items():
            first, known = typed.setdefault(place, (key, site))
            if known != site:
                raise BadInput(f"{first}={known} and {key}={site} both set {place}; leave one out")
        if any(usual[place] != site for place, site in sites.items()):
            values |= sites
            words.append(f"{key}={word(next(iter(sites.values())))}")
    if not values:
        return cell
    other = cell.under(["with", *words], Layer("command line", values))
    check_groups(other)
    return other


def check_groups(cell: Cell) -> None:
    """Raises BadInput where a dataclass of the cell does not accept its values together."""
    for group, kind in cell.types.items():
        there = cell.config[group] if group else cell.config
        known = {name: there[name] for name in fields_of(kind) if name in there}
        if not group and len(known) < len(fields_of(kind)):
            continue  # a cell need not have all sizes of its paper
        try:
            kind(**known)
        except ValueError as error:
            raise BadInput(f"{group}: {error}" if group else str(error)) from None


def check_keys(changes: Collection[str], cells: list[Cell], others: Iterable[str]) -> None:
    """Raises BadInput for a key that is a hyperparameter of no cell.

    Args:
        others: further names that could have been meant.
    """
    for key in changes:
        if not any(places_of(cell, key) for cell in cells):
            places = {place for cell in cells for place in settable(cell)}
            names = places if "." in key else {place.rpartition(".")[2] for place in places}
            aliases = {name for name, fields in ALIASES.items() if names.intersection(fields)}
            raise BadInput(f"unknown key {key!r}; {nearest(key, {*names, *aliases, *others})}")
