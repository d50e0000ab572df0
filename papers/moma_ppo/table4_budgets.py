"""What every method of Table 4 was given: gradient steps, rows of data or rollouts in one of them,
core-seconds, and whether its curves were flat.

A method was cut short, whoever it is, if in some row its curves surely gained more than 0.05 from
their third quarter to the last (common/reporting/budget.py): single checkpoints of one run may lie
0.2 apart, and the largest of a few rows would exceed the bound by chance. The rule is to train such
a method for twice as long before its scores are read.

Core-seconds are a seed's, evaluations included. World models are trained once for all seeds and
views that learn in them: theirs are of a whole ensemble. Why methods get what they get is in
config.py.
"""

from common.reporting import budget, script
from common.reporting.tables import Entry, Table
from papers.moma_ppo import table4a, table4b
from papers.moma_ppo.config import AntOptions, gradient_steps
from papers.moma_ppo.experiment import NAMES, model_entries


def steps(results: list[dict]) -> dict[int, float | None]:
    """Gradient steps of every result."""
    return {i: float(steps_of(result["config"])) for i, result in enumerate(results)}


def steps_of(config: dict) -> int:
    """Gradient steps of a method, or of a world model."""
    return config["model"]["updates"] if is_model(config) else gradient_steps(config)


def is_model(config: dict) -> bool:
    """Whether a cell is a world model."""
    return config["method"] == "world_model"


def rows(results: list[dict]) -> dict[int, float | None]:
    """Rows in a gradient step, of every result."""
    return {i: float(rows_of(result["config"])) for i, result in enumerate(results)}


def rows_of(config: dict) -> int:
    """Rows in a gradient step of a method, or of a world model."""
    if is_model(config):
        return config["model"]["batch_size"]
    if config["method"] == "moma_ppo":
        return min(config["hyper"]["minibatch"], config["transitions"])
    return config["batch_size"]


OF_CURVES = {
    "gain of the last quarter": budget.mean_gain,
    "surely gained": budget.surely_gained,
}
COLUMNS = {
    "gradient steps": steps,
    "rows a step": rows,
    "core-seconds a seed": budget.core_seconds,
} | OF_CURVES


def entries(preset: str, options: dict) -> list[Entry]:
    by_method: dict[str, list] = {}
    for task, table in (("reacher", table4a), ("ant", table4b)):
        for entry in table.entries(preset, options):
            if entry.cells:
                by_method.setdefault(f"{task}, {entry.column}", []).extend(entry.cells)
    for row, model in model_entries(preset):
        by_method.setdefault(f"{row.partition('/')[0]}, world model", []).append(model)
    return [shown(row, column, cells) for row, cells in by_method.items() for column in COLUMNS]


def shown(row: str, column: str, cells: list) -> Entry:
    """A number of a method; world models have no scores."""
    if column not in OF_CURVES:
        return Entry(row, column, tuple(cells), COLUMNS[column])
    if is_model(cells[0].config):
        return Entry(row, column, (), missing="a world model has no score")
    return budget.of_curves(row, column, tuple(cells), OF_CURVES[column])


TABLE = Table(
    "moma_ppo",
    "table4_budgets",
    "what the methods of Table 4 were given",
    entries,
    unit="as the column says",
    decimals=2,
    options=AntOptions(),
    names=NAMES,
)

if __name__ == "__main__":
    script.main(TABLE)
