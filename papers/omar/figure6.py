"""Figure 6 (appendix): learning curves of Table 3."""

from common.reporting import figures, script
from common.reporting.tables import Table
from papers.omar import table3
from papers.omar.config import Options, names

TABLE = Table(
    "omar",
    "figure6",
    "learning curves of Table 3",
    table3.entries,
    draw=figures.curves,
    options=Options(),
    names=names(),
)

if __name__ == "__main__":
    script.main(TABLE)
