"""How well the world models predict: errors after one and ten open-loop steps under the data's own
actions, on episodes that were held out whole.

In standard deviations of the state, root mean square over its numbers, and of the reward: 1 is as
bad as knowing only the mean. Also what calibration proposes from held-out data: l_eps and lambda_g.
The curves are of the error over the number of steps.
"""

import dataclasses

from common.reporting import figures, script, tables
from common.reporting.tables import Entry, Table
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
CALIBRATED = ("l_eps", "lambda_g", "lambda_r")


def entries(preset: str, options: dict) -> list[Entry]:
    columns = ERRORS | {key: calibrated(options["l_eps"], key) for key in CALIBRATED}
    return [
        Entry(row, column, (cell,), value)
        for row, cell in model_entries(preset)
        for column, value in columns.items()
    ]


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
    unit="standard deviations",
    decimals=3,
    options=Options(),
    draw=draw,
    x="steps",
)

if __name__ == "__main__":
    script.main(TABLE)
