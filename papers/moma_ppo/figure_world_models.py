"""How well the world models predict: errors after one and ten open-loop steps under the data's own
actions, on episodes that were held out whole.

In standard deviations of the state, root mean square over its numbers, and of the reward: 1 is as
bad as knowing only the mean. Of the held-out rows that end an episode, the share where the model's
members vote for an end, and of the others the share where they do so falsely. Also what calibration
proposes from held-out data: l_eps and lambda_g. The curves are of the error over the number of
steps.
"""

import dataclasses

from common.reporting import figures, script, tables
from common.reporting.tables import Entry, Table
from common.running.cells import Cell
from papers.moma_ppo.config import Options
from papers.moma_ppo.experiment import model_entries


def calibrated(rule: str, key: str):
    """A number that the calibration proposed by a rule of `limits.LimitRule`."""
    return lambda results: {
        result["seeds"][0]["seed"]: result["calibration"][rule][key] for result in results
    }


def error(key: str):
    return lambda results: tables.mean_of(results, key)


ERRORS = {
    "error after 1 step": error("state_error_1"),
    "error after 10 steps": error("state_error_10"),
    "of the reward after 1 step": error("reward_error_1"),
    "of the reward after 10 steps": error("reward_error_10"),
}
ENDS = {"ends foreseen": "ends_foreseen", "false ends": "false_ends"}  # keys of results
CALIBRATED = ("l_eps", "lambda_g", "lambda_r")


def share(key: str):
    """A number of the result itself; of no seed where the data have no such rows."""
    return lambda results: {
        result["seeds"][0]["seed"]: result[key] for result in results if result[key] is not None
    }


def entries(preset: str, options: dict) -> list[Entry]:
    columns = ERRORS | {column: share(key) for column, key in ENDS.items()}
    columns |= {key: calibrated(options["l_eps"], key) for key in CALIBRATED}
    return [
        shown(row, column, cell, value, preset)
        for row, cell in model_entries(preset)
        for column, value in columns.items()
    ]


def shown(row: str, column: str, cell: Cell, value, preset: str) -> Entry:
    """A number of a world model; only ants fall, and none does in smoke's few held-out rows."""
    if column in ENDS and (cell.config["task"] != "ant" or preset == "smoke"):
        return Entry(row, column, (), missing="its episodes end by the clock only")
    return Entry(row, column, (cell,), value)


def draw(table, shown, path, preset) -> None:
    """Error over the number of steps, a line for each data set."""
    first = [
        dataclasses.replace(entry, row="open-loop error", column=entry.row)
        for entry in shown
        if entry.column == "error after 1 step"
    ]
    figures.curves(table, first, path, preset)


TABLE = Table(
    "moma_ppo",
    "figure_world_models",
    "world models' errors",
    entries,
    unit="standard deviations, or as the column says",
    decimals=3,
    options=Options(),
    draw=draw,
    x="steps",
)

if __name__ == "__main__":
    script.main(TABLE)
