"""What critics have learned of the grid's data, at the last evaluation; of every cell of `figure1`
and `ablation_grid`.

Not in the paper. Columns: the mean value of the data's actions ("value": of the team for CAST-BCQ,
over agents for the others) beside the discounted return-to-go of the same rows, which are of
trajectories that ended by themselves; the mean return of the data's trajectories ("data"). Methods
value better teams than those of the data, so their values are to lie above; none can be above the
10 that reaching the goal brings. 1,000 trajectories where nothing else is said.
"""

from common.reporting import script
from common.reporting.tables import Entry, Table
from papers.cast_bcq.ablation_grid import FEWER, READINGS
from papers.cast_bcq.config import GridOptions
from papers.cast_bcq.experiment import TITLES, of_seed
from papers.cast_bcq.grid import METHODS

COLUMNS = {"value": "value", "return-to-go": "return_to_go", "data": "data_return"}
DATA = READINGS | {FEWER: READINGS[FEWER]._replace(methods=tuple(METHODS))}


def entries(preset: str, options: dict) -> list[Entry]:
    return [
        Entry(f"{name}/{method}", column, (reading.cell(preset, method, options),), of_seed(key))
        for name, reading in DATA.items()
        for method in reading.methods
        for column, key in COLUMNS.items()
    ]


TABLE = Table(
    "cast_bcq",
    "diagnosis_grid",
    "critics beside the grid's data",
    entries,
    unit="value, or return",
    decimals=1,
    options=GridOptions(),
    decided=("behaviour", "target_weights"),
    names=TITLES,
)

if __name__ == "__main__":
    script.main(TABLE)
