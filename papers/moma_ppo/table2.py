"""Table 2: how returns are distributed in the data sets, in % between the random and the expert
return.

Ours are rebuilt from our own behaviour policies; a data set that is not built yet is built by this
script.
"""

import common.reporting  # noqa: F401  (finds the environment first)

# isort: split
import numpy as np

from common.reporting import script
from common.reporting.tables import Entry, Table
from envs import datasets
from papers.moma_ppo.config import PRESETS, QUALITIES
from papers.moma_ppo.tasks import DATA_SEED, constants

MEASURES = {
    "min_percent": np.min,
    "mean_percent": np.mean,
    "median_percent": np.median,
    "max_percent": np.max,
}


def measure(task: str, quality: str, size: str, of):
    """A statistic of the normalised returns of a data set."""

    def value(results: list[dict]) -> dict[int, float]:
        (path,) = datasets.build(task, quality, [DATA_SEED], size)
        returns = datasets.episode_returns(datasets.load(path))
        expert, random = constants({"task": task})  # the paper's own
        return {DATA_SEED: float(100 * (of(returns) - random) / (expert - random))}

    return value


def constant(task: str, index: int):
    """Expert (0) or random (1) return of our policies."""
    return lambda results: {DATA_SEED: datasets.constants(task)[index]}


def entries(preset: str, options: dict) -> list[Entry]:
    size = PRESETS[preset]["data_size"]
    shown = []
    for task, quality in [("reacher", "expert-mix"), *(("ant", quality) for quality in QUALITIES)]:
        for column, of in MEASURES.items():
            shown.append(Entry(f"{task}/{quality}", column, (), measure(task, quality, size, of)))
    for task in ("reacher", "ant"):
        for column, index in (("expert_return", 0), ("random_return", 1)):
            shown.append(Entry(task, column, (), constant(task, index)))
    return shown


TABLE = Table(
    "moma_ppo",
    "table2",
    "returns in the data sets",
    entries,
    unit="%, or return",
    decimals=1,
)

if __name__ == "__main__":
    script.main(TABLE)
