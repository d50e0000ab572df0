"""Runtime: the claim that OMAR takes 4.7 % more wall time than MA-CQL (Section 4.1.2).

Both train on the same data with nothing else running in the process, in turns: as the tables are
trained here (one population, fused kernels), in plain torch, one agent after another, and with the
released code's draws of minibatches besides. The first entries are OMAR's time over MA-CQL's, in
percent above.

The published number was measured on a GPU, where an update is bound by launches. The last row says
whether that is so here: a whole minibatch then takes hardly longer than 32 rows. To decide the
claim, run this on a GPU: `python papers/omar/runtime.py with paper device=cuda jobs=1`.
"""

from common.reporting import script
from common.reporting.tables import Entry, Table, mean_of
from papers.omar.config import Options
from papers.omar.experiment import runtime_cell

WAYS = ("released_loop", "one_by_one", "torch", "fused")
NAMES = {
    "released_loop": "OMAR, one agent after another, minibatches drawn as released",
    "one_by_one": "OMAR, one agent after another",
    "torch": "OMAR, a population in plain torch",
    "fused": "OMAR, a population with fused kernels",
    "ma_cql": "MA-CQL, one agent after another",
    "percent_over_ma_cql": "% of time above MA-CQL's",
    "times_32_rows": "time of a minibatch over that of 32 rows",
}


def entries(preset: str, options: dict) -> list[Entry]:
    def fact(key: str):
        return lambda results: mean_of(results, key)

    percents = [
        Entry(way, "percent_over_ma_cql", (runtime_cell(preset, options, way),), fact("percent"))
        for way in WAYS
    ]
    alone = runtime_cell(preset, options, "one_by_one")
    return [*percents, Entry("ma_cql", "times_32_rows", (alone,), fact("of_rows"))]


TABLE = Table(
    "omar",
    "runtime",
    "wall time of OMAR over MA-CQL; a GPU decides (device=cuda)",
    entries,
    unit="%, or times",
    options=Options(),
    names=NAMES,
)

if __name__ == "__main__":
    script.main(TABLE)
