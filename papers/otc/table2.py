"""Table 2: time of one update with and without matching, milliseconds of one agent's update.

The claim is that matching costs less than 25 % of BCQ's own time (published: 22 % and 19 %).
Measured on one core, or on the GPU, at the paper's sizes, for a population of five seeds; two-agent
HalfCheetah.
"""

from common.reporting import script
from common.reporting.tables import Entry, Table
from papers.otc.config import Options
from papers.otc.experiment import NAMES, timing_cell

COLUMNS = {"d_e+bcq": "d_e", "d_q+bcq": "d_q", "bcq": "uniform"}


def entries(preset: str, options: dict) -> list[Entry]:
    cell = timing_cell(preset, options)

    def milliseconds(method: str):
        return lambda results: {
            seed["seed"]: seed["milliseconds"][method]
            for result in results
            for seed in result["seeds"]
        }

    return [
        Entry("milliseconds_per_update", column, (cell,), milliseconds(method))
        for column, method in COLUMNS.items()
    ]


TABLE = Table(
    "otc",
    "table2",
    "time of one update with and without matching",
    entries,
    unit="milliseconds",
    times=True,
    options=Options(),
    names=NAMES,
)

if __name__ == "__main__":
    script.main(TABLE)
