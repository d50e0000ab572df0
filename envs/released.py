"""What is known of the released data sets that ours stand beside: a CSV in the folder of each
family, every number with its source.

Columns: task, quality, return_mean, return_sd, return_min, return_max (of an episode), length (mean
steps of an episode), transitions, source. A figure that was not published is left empty. "expert
constant" and "random constant" in place of a quality are the returns that the authors' normalised
scores are relative to.
"""

import functools
from pathlib import Path

from common.running.files import read_csv

FIGURES = ("return_mean", "return_sd", "return_min", "return_max", "length", "transitions")
CONSTANTS = ("expert constant", "random constant")


@functools.cache
def table(path: Path) -> dict[tuple[str, str], dict]:
    """Rows of a family's CSV by task and quality: `FIGURES` as numbers or None, and `source`."""
    return {
        (row["task"], row["quality"]): {
            name: float(row[name]) if row[name] else None for name in FIGURES
        }
        | {"source": row["source"]}
        for row in read_csv(path)
    }


def beside(module: str) -> Path:
    """The CSV in the folder of a module, given its `__file__`."""
    return Path(module).with_name("released.csv")


def constants(path: Path, task: str) -> tuple[float, float]:
    """Expert and random return that the authors' scores are relative to.

    Raises:
        KeyError: none are published.
    """
    expert, random = (table(path)[task, name]["return_mean"] for name in CONSTANTS)
    return expert, random
