"""Table 4b: four-agent Ant, four data sets, fully (fo) and partially observed (po).

An ant that stands still scores 0.315; see table4b_distance.py for how far these walk.
"""

from common.reporting import script, tables
from common.reporting.tables import Entry, Table
from papers.moma_ppo.config import ANT, QUALITIES, AntOptions
from papers.moma_ppo.experiment import cell


def entries(preset: str, options: dict, value=tables.last_score) -> list[Entry]:
    found = []
    for name, view in (("fo", "full"), ("po", "po")):
        for quality in QUALITIES:
            for method in ANT:
                row = f"{name}/ant-{quality}"
                if method == "iql" and name == "po":
                    found.append(
                        Entry(
                            row,
                            method,
                            (),
                            missing="centralised execution needs the whole observation",
                        )
                    )
                else:
                    found.append(
                        Entry(
                            row,
                            method,
                            (cell(preset, "ant", view, quality, method, options),),
                            value,
                        )
                    )
    return found


TABLE = Table(
    "moma_ppo",
    "table4b",
    "four-agent Ant",
    entries,
    decimals=2,
    options=AntOptions(),
    published_runs=3,
    ours="moma_ppo",
    published_sem=True,
)

if __name__ == "__main__":
    script.main(TABLE)
