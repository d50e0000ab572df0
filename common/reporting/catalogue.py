"""What there is: papers and their scripts, found in the folders under papers/.

A paper is a folder with an `experiment.py` that defines `PAPER`; a script is one of its files that
defines `TABLE`. A new paper is listed, run and reported as soon as its folder is there.
"""

import fnmatch
import importlib
import re
from pathlib import Path
from types import ModuleType

from common.reporting.tables import Table
from common.running.options import BadInput, nearest
from common.running.provenance import ROOT


def defines(path: Path, name: str) -> bool:
    """Whether a file assigns a name at its top level; it is not imported for that."""
    return path.exists() and bool(re.search(rf"^{name}\b.*=", path.read_text(), re.MULTILINE))


def papers() -> list[str]:
    """Folders of papers, in alphabetical order."""
    files = sorted((ROOT / "papers").glob("*/experiment.py"))
    return [path.parent.name for path in files if defines(path, "PAPER")]


def title(paper: str) -> str:
    """A paper's name for people: the heading of its README, else its folder."""
    readme = ROOT / "papers" / paper / "README.md"
    if not readme.exists():
        return paper
    return readme.read_text().splitlines()[0].removeprefix("# ")


def module(paper: str, name: str) -> ModuleType | None:
    """papers/<paper>/<name>.py, None where there is none."""
    if not (ROOT / "papers" / paper / f"{name}.py").exists():
        return None
    return importlib.import_module(f"papers.{paper}.{name}")


def scripts() -> list[str]:
    """<paper>/<script> of every table, figure and ablation, in the order of papers and scripts."""
    paths = [
        path
        for paper in papers()
        for path in (ROOT / "papers" / paper).glob("*.py")
        if defines(path, "TABLE")
    ]
    paths.sort(key=lambda path: (path.parent.name, *natural(path.stem)))
    return [f"{path.parent.name}/{path.stem}" for path in paths]


def natural(stem: str) -> tuple[int, int, str]:
    """Sort key: tables, then figures, then the rest, numbers as numbers."""
    kind = next((i for i, word in enumerate(("table", "figure")) if stem.startswith(word)), 2)
    digits = "".join(letter for letter in stem if letter.isdigit())
    return kind, int(digits or 0), stem


def find(pattern: str = "*") -> list[Table]:
    """Tables whose name paper/script matches.

    Raises:
        BadInput: nothing matches.
    """
    names = scripts()
    wanted = [
        name
        for name in names
        if fnmatch.fnmatch(name, pattern) or fnmatch.fnmatch(name.split("/")[0], pattern)
    ]
    if not wanted:
        raise BadInput(f"no script matches {pattern!r}; {nearest(pattern, names)}")
    return [table(name) for name in wanted]


def table(name: str) -> Table:
    """The table of script paper/script."""
    return importlib.import_module(f"papers.{name.replace('/', '.')}").TABLE
