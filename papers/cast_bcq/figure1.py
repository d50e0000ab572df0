"""Figure 1: the grid world. I-BCQ and I-ICQ on 100 trajectories of uniformly random agents, forty
data sets (six at quick); CAST-BCQ beside them is our addition.

Every seed has its own data. Most data sets of 100 trajectories never reach the goal, and no offline
method can then know of it: the row "goal in data" counts the others only. They leave most joint
actions of most cells unseen, so the same is shown for 1,000, where values converge to what they are
given others who act at random. With `behaviour=dirichlet` every trajectory has policies of its own;
a partner who has survived is then likely to be a good one, and the effect is hidden. Intervals of
successes are exact. The cells' JSON have every seed's number of goals, and what the methods think
of the nine joint actions at (4, 4), where the paper explains why independent learners fail.
"""

import common.reporting  # noqa: F401  (finds the environment first)

# isort: split
import numpy as np

from common.reporting import figures, script, tables
from common.reporting.tables import Entry, Table
from envs.grid.world import ACTIONS
from papers.cast_bcq.config import MORE_TRAJECTORIES, TRAJECTORIES, GridOptions
from papers.cast_bcq.experiment import TITLES, grid_cell, solvable_success, success
from papers.cast_bcq.grid import METHODS


def last_return(results: list[dict]) -> dict[int, float | None]:
    """Per seed the greedy team's return at the last evaluation."""
    return tables.mean_of(results, "last_return")


MORE = f"success, {MORE_TRAJECTORIES} trajectories"
RETURNS = ("return", f"return, {MORE_TRAJECTORIES} trajectories")
ROWS = {
    "success": (success, TRAJECTORIES),
    "success, goal in data": (solvable_success, TRAJECTORIES),
    RETURNS[0]: (last_return, TRAJECTORIES),
    MORE: (success, MORE_TRAJECTORIES),
    RETURNS[1]: (last_return, MORE_TRAJECTORIES),
}


def entries(preset: str, options: dict) -> list[Entry]:
    return [
        Entry(
            row,
            method,
            (grid_cell(preset, method, options, count),),
            value,
            share=row.startswith("success"),
        )
        for row, (value, count) in ROWS.items()
        for method in METHODS
    ]


def draw(table, shown, path, preset) -> None:
    """Learning curves over data seeds; on the right, where they are known, the joint values at
    (4, 4) of the first seed with 1,000 trajectories.
    """
    (example,) = (one for one in shown if one.name == (MORE, "ours"))
    (extra,) = example.made.get("extra", [{}])
    values = extra.get("joint_values_at_4_4")  # older tables have none
    panels = 3 if values else 2
    figure, axes = figures.subplots(1, panels, figsize=(4.3 * panels, 3.6))
    for place, row in zip(axes, RETURNS, strict=False):
        learned = [entry for entry in shown if entry.row == row and entry.curves]
        for entry, color in zip(learned, figures.COLORS, strict=False):
            figures.band(place, entry, color)
        place.set(xlabel="updates", ylabel="return", title=f"greedy {row}")
        place.grid(alpha=0.3)
        if learned:
            place.legend(fontsize=8)
    if values:
        draw_joint_values(axes[-1], np.array(values), extra["drawn_seed"])
    figure.suptitle(f"{table.slot}, preset {preset}", fontsize=10)
    figures.save(figure, path)


def draw_joint_values(axes, joint_values: np.ndarray, seed: int) -> None:
    """[3, 3] joint values at (4, 4), agent x's actions by agent y's."""
    axes.imshow(joint_values, cmap="viridis")
    for (y, x), value in np.ndenumerate(joint_values):
        color = "black" if value > joint_values.mean() else "white"
        axes.text(x, y, f"{value:.1f}", ha="center", va="center", color=color)
    axes.set_xticks(range(3), ACTIONS)
    axes.set_yticks(range(3), ACTIONS)
    title = f"joint values at (4, 4), seed {seed}"
    axes.set(xlabel="agent y", ylabel="agent x", title=title)


TABLE = Table(
    "cast_bcq",
    "figure1",
    "grid world",
    entries,
    unit="% reached, or return",
    options=GridOptions(),
    draw=draw,
    draws_extra=True,
    x="updates",
    names=TITLES,
)

if __name__ == "__main__":
    script.main(TABLE)
