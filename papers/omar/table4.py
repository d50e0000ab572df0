"""Table 4: OMAR with its own sampler, the cross-entropy method and random shooting, cooperative
navigation.

The paper says neither how many actions each of them values nor what random shooting draws from. All
have 30 here; random shooting stands with three readings, of which the published row stands beside
the sampler's own Gaussian. The last rows are differences between OMAR and the others, data set by
data set.
"""

from common.reporting import script
from common.reporting.tables import Entry, Table, difference
from papers.omar.config import QUALITIES, Options
from papers.omar.experiment import cell

TASK = "cooperative_navigation"
SAMPLERS = {
    "random": {"sampler": "random"},
    "cem": {"sampler": "cem"},
    "omar": {},
    "uniform_30": {"sampler": "uniform"},
    "uniform_10": {"sampler": "uniform", "iterations": 1},
}
ROW_NAMES = {"random": "random shooting, 30 draws of N(0, 2)"}  # a quality of data, too
NAMES = {
    "cem": "cross-entropy method, 3 x 10, 3 elites",
    "omar": "OMAR, 3 x 10",
    "uniform_30": "random shooting, 30 uniform draws",
    "uniform_10": "random shooting, 10 uniform draws",
}
OTHERS = [sampler for sampler in SAMPLERS if sampler != "omar"]
GAPS = {f"omar - {other}": f"OMAR - {(NAMES | ROW_NAMES)[other]}" for other in OTHERS}


def entries(preset: str, options: dict) -> list[Entry]:
    def cell_of(sampler: str, quality: str):
        return cell(preset, TASK, quality, "omar", options, hyper=SAMPLERS[sampler])

    def gap(other: str, quality: str) -> Entry:
        pair = cell_of("omar", quality), cell_of(other, quality)
        return Entry(f"omar - {other}", quality, pair, difference("last_score"))

    scores = [
        Entry(sampler, quality, (cell_of(sampler, quality),))
        for sampler in SAMPLERS
        for quality in QUALITIES
    ]
    return scores + [gap(other, quality) for other in OTHERS for quality in QUALITIES]


TABLE = Table(
    "omar",
    "table4",
    "OMAR's sampler against others",
    entries,
    options=Options(),
    names=NAMES | GAPS,
    row_names=ROW_NAMES,
)

if __name__ == "__main__":
    script.main(TABLE)
