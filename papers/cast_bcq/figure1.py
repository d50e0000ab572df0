"""Figure 1: the grid world. I-BCQ, I-ICQ and CAST-BCQ on 100 random trajectories, five data seeds.

Every seed has its own data. Some data sets never reach the goal, and no offline method can then know of it: the row
"goal in data" counts the others only. The JSON has every seed's number of goals, and what the methods think of
the nine joint actions at (4, 4), where the paper explains why independent learners fail.
"""

import numpy as np
from matplotlib import pyplot

from common import cells, figures, tables
from common.tables import Entry, Table
from envs.grid.world import ACTIONS
from papers.cast_bcq.experiment import GRID_OPTIONS, grid_cell, solvable_success, success
from papers.cast_bcq.grid import METHODS


def last_return(results: list[dict]) -> dict[int, float | None]:
    return tables.mean_of(results, "last_return")


VALUES = {"success, all seeds": success, "success, goal in data": solvable_success, "return": last_return}


def entries(preset: str, options: dict) -> list[Entry]:
    return [Entry(row, method, (grid_cell(preset, method, options),), value) for row, value in VALUES.items() for method in METHODS]


def draw(table, shown, path, preset) -> None:
    """Left: learning curves. Right: joint values at (4, 4) of the first seed whose data reach the goal."""
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    for c, item in enumerate(item for item in shown if item["row"] == "return" and item["curves"]):
        values = np.array(list(item["curves"].values()), float)
        left.plot(item["rounds"], values.mean(0), color=figures.COLORS[c], label=item["column"])
        left.fill_between(
            item["rounds"], values.mean(0) - values.std(0), values.mean(0) + values.std(0), color=figures.COLORS[c], alpha=0.15
        )
    left.set(xlabel="updates", ylabel="return", title="greedy return, mean and sd over data seeds")
    left.grid(alpha=0.3)
    left.legend(fontsize=8)
    result = cells.read(grid_cell(preset, "ours", {}))
    seeds = [seed for seed in (result or {"seeds": []})["seeds"] if seed["goals_in_data"]]
    if seeds:
        values = np.array(seeds[0]["joint_values_at_4_4"])
        right.imshow(values, cmap="viridis")
        for (row, column), value in np.ndenumerate(values):
            right.text(column, row, f"{value:.1f}", ha="center", va="center", color="white")
        right.set_xticks(range(3), ACTIONS)
        right.set_yticks(range(3), ACTIONS)
        right.set(xlabel="agent y", ylabel="agent x", title=f"joint values at (4, 4), seed {seeds[0]['seed']}")
    figure.suptitle(f"{table.slot}, preset {preset}", fontsize=10)
    figures.save(figure, path)


TABLE = Table(
    "cast_bcq", "figure1", "grid world", entries, unit="% reached, or return", options=GRID_OPTIONS, draw=draw, x="updates"
)

if __name__ == "__main__":
    tables.main(TABLE)
