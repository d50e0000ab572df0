"""Figure 6 (appendix): learning curves of Table 3."""

from common.reporting import figures, script
from common.reporting.tables import Entry, Table
from papers.omar.config import METHODS, Options, names
from papers.omar.experiment import particle_entries


def entries(preset: str, options: dict) -> list[Entry]:
    return particle_entries(preset, METHODS, options)


TABLE = Table(
    "omar",
    "figure6",
    "learning curves of Table 3",
    entries,
    draw=figures.curves,
    x="update rounds",
    options=Options(),
    names=names(),
)

if __name__ == "__main__":
    script.main(TABLE)
