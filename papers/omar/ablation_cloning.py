"""Ablation: behaviour cloning beside MA-TD3+BC on the data sets of Table 3.

OMAR has no column for it. The published numbers of behaviour cloning are MADiff's (Zhu et al.,
NeurIPS 2024), means on OMAR's own data, far below MA-TD3+BC's there; no second measurement is in
print.
"""

from common.reporting import script
from common.reporting.tables import Entry, Table
from papers.omar.config import Options, names
from papers.omar.experiment import particle_entries

METHODS = ("bc", "ma_td3bc")
NAMES = names() | {"bc": "BC (published: MADiff)"}


def entries(preset: str, options: dict) -> list[Entry]:
    return particle_entries(preset, METHODS, options)


TABLE = Table(
    "omar",
    "ablation_cloning",
    "behaviour cloning on the particle worlds",
    entries,
    options=Options(),
    names=NAMES,
)

if __name__ == "__main__":
    script.main(TABLE)
