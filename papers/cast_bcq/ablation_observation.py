"""Uncoordinated data with everybody observing everything: the second setting of ambiguity A1.

The paper's text gives agents their own body parts; drafts of its code gave CAST-BCQ and MABCQ the
whole state and independent methods their own joints and the torso. Here all decentralised methods
see the same: everything.
"""

from common.reporting import script
from common.reporting.tables import Table
from papers.cast_bcq.config import Options
from papers.cast_bcq.figure4 import entries

TABLE = Table(
    "cast_bcq",
    "ablation_observation",
    "uncoordinated data, full observation",
    entries,
    unit="return",
    options=Options(observation="full"),
)

if __name__ == "__main__":
    script.main(TABLE)
