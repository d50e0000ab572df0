"""Table 6: the four methods on two-agent HalfCheetah."""

from common import tables
from common.tables import Table

TABLE = Table(
    "omar",
    "table6",
    "four methods on two-agent HalfCheetah",
    lambda preset, options: [],
    unavailable="not available yet: it needs the MuJoCo layer (two-agent HalfCheetah and its data), which is not built",
)

if __name__ == "__main__":
    tables.main(TABLE)
