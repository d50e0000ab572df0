"""Figure 6: what each part contributes, on the uncoordinated data of three robots.

"w/o CSAA" regresses on the joint value itself; "w/o CSAA, masked" keeps the masking and drops the
counterfactual baseline only, a reading of ours.
"""

from common.reporting import figures, script
from common.reporting.tables import Entry, Table
from papers.cast_bcq.config import ROBOTS, VARIANTS, Options
from papers.cast_bcq.experiment import TITLES, average_return, cell


def entries(preset: str, options: dict) -> list[Entry]:
    return [
        Entry(
            robot,
            variant,
            (cell(preset, task, "uncoordinated", "ours", options, variant),),
            average_return,
        )
        for task, robot in ROBOTS.items()
        for variant in VARIANTS
    ]


TABLE = Table(
    "cast_bcq",
    "figure6",
    "ablations on uncoordinated data",
    entries,
    unit="return",
    options=Options(),
    draw=figures.curves,
    x="updates",
    names=TITLES,
)

if __name__ == "__main__":
    script.main(TABLE)
