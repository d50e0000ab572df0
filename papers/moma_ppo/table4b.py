"""Table 4b: four-agent Ant, four data sets, fully (fo) and partially observed (po); preset standard
leaves out the expert's.

An ant that stands still scores 0.315; see table4b_distance.py for how far these walk.
"""

from common.reporting import script, tables
from common.reporting.tables import Entry, Table
from papers.moma_ppo.config import ANT, QUALITIES, AntOptions, qualities
from papers.moma_ppo.experiment import NAMES, cell


def entries(preset: str, options: dict, value=tables.last_score) -> list[Entry]:
    found = []
    for name, view in (("fo", "full"), ("po", "po")):
        for quality in QUALITIES:
            for method in ANT:
                row = f"{name}/ant-{quality}"
                if why := absent(preset, name, quality, method):
                    found.append(Entry(row, method, (), missing=why))
                else:
                    one = cell(preset, "ant", view, quality, method, options)
                    found.append(Entry(row, method, (one,), value))
    return found


def absent(preset: str, name: str, quality: str, method: str) -> str | None:
    """Why there is no such number."""
    if method == "iql" and name == "po":
        return "centralised execution needs the whole observation"
    if quality not in qualities(preset):
        return f"left out of preset {preset}"
    return None


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
    names=NAMES,
)

if __name__ == "__main__":
    script.main(TABLE)
