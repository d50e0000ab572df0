"""Figure 4: adaptive against fixed alpha (1.0), OTC (d_e) on BCQ, two-agent HalfCheetah; and the
adaptive alphas.
"""

import common.reporting  # noqa: F401  (finds the environment first)

# isort: split
import numpy as np

from common.reporting import figures, script
from common.reporting.tables import Entry, Table
from papers.otc.config import QUALITIES, Options
from papers.otc.experiment import cell, last_return


def entries(preset: str, options: dict) -> list[Entry]:
    found = []
    for name in ("replay", "random"):
        where = (preset, "halfcheetah", QUALITIES[name], "bcq", "d_e", options)
        found.append(Entry(f"{name}/halfcheetah", "adaptive", (cell(*where),), last_return))
        found.append(
            Entry(f"{name}/halfcheetah", "fixed", (cell(*where, fixed_alpha=1.0),), last_return)
        )
    return found


def draw(table, shown, path, preset) -> None:
    """Left: returns over deployments. Right: alpha of every agent, mean and all seeds."""
    rows, _ = figures.labels(shown)
    figure, grid = figures.subplots(len(rows), 2, figsize=(8, 2.8 * len(rows)), squeeze=False)
    for (left, right), row in zip(grid, rows, strict=True):
        learned = [entry for entry in shown if entry.row == row and entry.curves]
        for entry, color in zip(learned, figures.COLORS, strict=False):
            figures.band(left, entry, color)
            if entry.column == "adaptive":
                draw_alphas(right, np.array(entry.made["extra"][0]["alpha"]))
        left.set(title=row, ylabel=table.unit)
        right.set(title=f"{row}: alpha", ylabel="alpha")
        for axes in (left, right):
            axes.grid(alpha=0.3)
            axes.set_xlabel("deployment")
            axes.legend(fontsize=8)
    figure.suptitle(f"{table.slot}, preset {preset}", fontsize=10)
    figures.save(figure, path)


def draw_alphas(axes, alphas: np.ndarray) -> None:
    """Alpha over deployments, a line and a violin for each agent.

    Args:
        alphas: [S, K, N], K deployments.
    """
    deployments = np.arange(1, alphas.shape[1] + 1)
    for agent in range(alphas.shape[2]):
        color = figures.COLORS[2 + agent]
        label = f"agent {agent}"
        axes.plot(deployments, alphas[:, :, agent].mean(0), ":", color=color, label=label)
        of_agent = list(alphas[:, :, agent].T)
        violins = axes.violinplot(of_agent, deployments, widths=0.6, showextrema=False)
        for body in violins["bodies"]:
            body.set_color(color)


TABLE = Table(
    "otc",
    "figure4",
    "adaptive against fixed alpha",
    entries,
    "return",
    draw=draw,
    draws_extra=True,
    options=Options(),
)

if __name__ == "__main__":
    script.main(TABLE)
