"""Figure 1b: learning curves on the two-agent line, medium-replay data, raw return.

The first row is the end of the curves, the second their mean: the paper claims efficiency, too.
"""

from common.reporting import figures, script
from common.reporting.tables import Entry, Table
from papers.omar.config import Options, names
from papers.omar.experiment import line_cell, raw_return, return_curves, training_return

METHODS = ("ma_td3bc", "ma_cql", "omar")
END = "spread_1d_2"
WHOLE = "whole_training"
VALUES = {END: raw_return, WHOLE: training_return}


def entries(preset: str, options: dict) -> list[Entry]:
    return [
        Entry(
            row,
            method,
            (line_cell(preset, 2, method, options),),
            value,
            curves=return_curves,
        )
        for row, value in VALUES.items()
        for method in METHODS
    ]


def draw(table, shown, path, preset) -> None:
    """The curves once."""
    figures.curves(table, [entry for entry in shown if entry.row == END], path, preset)


TABLE = Table(
    "omar",
    "figure1b",
    "three methods on the two-agent line",
    entries,
    unit="raw return",
    draw=draw,
    x="update rounds",
    options=Options(),
    names=names() | {WHOLE: "spread_1d_2, mean over all evaluations"},
)

if __name__ == "__main__":
    script.main(TABLE)
