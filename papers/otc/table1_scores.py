"""Table 1 in points of normalised score: what online tuning gained, where a percentage of nearly
nothing misleads.
"""

import functools

from common.reporting import script
from common.reporting.tables import Table
from papers.otc import table1
from papers.otc.config import Options
from papers.otc.experiment import NAMES, score_gain

TABLE = Table(
    "otc",
    "table1_scores",
    "gain of normalised score",
    functools.partial(table1.entries, value=score_gain),
    unit="points of normalised score",
    options=Options(),
    names=NAMES,
)

if __name__ == "__main__":
    script.main(TABLE)
