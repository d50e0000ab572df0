"""Runtime: the claim that OMAR takes 4.7 % more wall time than MA-CQL (Section 4.1.2).

Both train the same population on the same data with nothing else running in the process, in turns,
on one core. The entry is the time of OMAR's updates over MA-CQL's, in percent above.
"""

from common.reporting import script
from common.reporting.tables import Entry, Table
from papers.omar.config import Options
from papers.omar.experiment import runtime_cell


def entries(preset: str, options: dict) -> list[Entry]:
    def percent(results: list[dict]) -> dict[int, float | None]:
        return {seed["seed"]: seed["percent"] for result in results for seed in result["seeds"]}

    return [Entry("omar", "percent_over_ma_cql", (runtime_cell(preset, options),), percent)]


TABLE = Table(
    "omar", "runtime", "wall time of OMAR over MA-CQL", entries, unit="percent", options=Options()
)

if __name__ == "__main__":
    script.main(TABLE)
