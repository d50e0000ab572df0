"""What every distance ranks first, under every reading, on the cells of ablation_readings.py; and
how much of its latent an embedding uses.

pools: rank correlation of the same rows' distances to two independent pools; the rest is chance.
value: value of the next states of the best-ranked quarter, in sds above the mean. others: rank
correlation with how far the other agents' data actions are from what they do now, which the
correction is after. effective_dims: participation ratio of the embedding over the offline data.
Means over agents after the last deployment, so far as it is not said otherwise.
"""

from common.reporting import script
from common.reporting.tables import Entry, Table
from papers.otc import ablation_readings
from papers.otc.config import Options

RANKING = ("pools", "value", "others")
EMBEDDING = {"effective_dims": "effective_dims", "nats": "divergence"}


def mean(numbers: list) -> float | None:
    """Of the numbers that are there."""
    there = [number for number in numbers if number is not None]
    return sum(there) / len(there) if there else None


def ranked(name: str):
    """A fact of `ranking.facts` after the last deployment."""
    return lambda results: {
        seed["seed"]: mean(seed["ranking"][name][-1])
        for result in results
        for seed in result["seeds"]
    }


def embedded(name: str):
    """A fact of `Embedding.facts`."""
    return lambda results: {
        seed["seed"]: mean(seed["embedding"][name])
        for result in results
        for seed in result["seeds"]
    }


def entries(preset: str, options: dict) -> list[Entry]:
    shown = []
    for entry in ablation_readings.entries(preset, options):
        row = f"{entry.row}, {entry.column}"
        facts = {name: ranked(name) for name in RANKING}
        if ", d_e" in entry.row:
            facts |= {column: embedded(name) for column, name in EMBEDDING.items()}
        shown += [
            Entry(row, column, entry.cells, value, missing=entry.missing)
            for column, value in facts.items()
        ]
    return shown


TABLE = Table(
    "otc",
    "ablation_ranking",
    "what distances rank first",
    entries,
    unit="as named",
    decimals=2,
    options=Options(),
    decided=("normaliser", "replacement", "embedding_target"),
)

if __name__ == "__main__":
    script.main(TABLE)
