"""Table 3: hyperparameters, read from the configuration that the code runs with at preset paper."""

from common.reporting import script
from common.reporting.tables import Entry, Table
from common.running.cells import merged
from papers.otc.config import BASES, layers
from papers.otc.experiment import NAMES

ROWS = {
    "discount": lambda values: values["hyper"]["gamma"],
    "matching_batch_B": lambda values: values["tuning"]["candidates"],
    "matching_batch_D": lambda values: values["tuning"]["pool"],
    "batch_size": lambda values: values["tuning"]["batch_size"],
    "hidden_size": lambda values: values["hyper"]["hidden"],
    "actor_lr_1e4": lambda values: 1e4 * values["hyper"].get("actor_lr", values["hyper"].get("lr")),
    "critic_lr_1e4": lambda values: (
        1e4 * values["hyper"].get("critic_lr", values["hyper"].get("lr"))
    ),
    "embedding_dimension": lambda values: values["embedding"]["dim"],
    "finetuning_updates": lambda values: values["tuning_updates"],
}

NO_ACTOR = "discrete CQL has no actor"


def entries(preset: str, options: dict) -> list[Entry]:
    def constant(row: str, base: str):
        return lambda results: {0: float(ROWS[row](merged(layers("paper", base))))}

    return [
        Entry(
            row,
            base,
            (),
            constant(row, base),
            missing=NO_ACTOR if (row, base) == ("actor_lr_1e4", "cql") else None,
        )
        for row in ROWS
        for base in BASES
    ]


TABLE = Table(
    "otc",
    "table3",
    "hyperparameters",
    entries,
    unit="as named",
    decimals=2,
    names=NAMES,
)

if __name__ == "__main__":
    script.main(TABLE)
