"""Figure 4: adaptive against fixed alpha (1.0), OTC (d_e) on BCQ, two-agent HalfCheetah; and the
adaptive alphas.
"""

import numpy as np
from matplotlib import pyplot

from common.reporting import figures, tables
from common.reporting.tables import Entry, Table
from papers.otc.experiment import OPTIONS, cell, last_return
from papers.otc.settings import QUALITIES


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
    rows = list(dict.fromkeys(item["row"] for item in shown))
    figure, grid = pyplot.subplots(
        len(rows), 2, figsize=(8, 2.8 * len(rows)), layout="constrained", squeeze=False
    )
    for (left, right), row in zip(grid, rows, strict=True):
        for c, item in enumerate(item for item in shown if item["row"] == row):
            if not item["curves"]:
                continue
            values = np.array(list(item["curves"].values()), float)
            mean, std = values.mean(0), values.std(0)
            left.plot(item["rounds"], mean, color=figures.COLORS[c], label=item["column"])
            left.fill_between(
                item["rounds"], mean - std, mean + std, color=figures.COLORS[c], alpha=0.15
            )
            if item["column"] == "adaptive":
                alphas = np.array(item["extra"][0]["alpha"])  # [seeds, K, N]
                deployments = np.arange(1, alphas.shape[1] + 1)
                for agent in range(alphas.shape[2]):
                    color = figures.COLORS[2 + agent]
                    right.plot(
                        deployments,
                        alphas[:, :, agent].mean(0),
                        ":",
                        color=color,
                        label=f"agent {agent}",
                    )
                    parts = right.violinplot(
                        list(alphas[:, :, agent].T), deployments, widths=0.6, showextrema=False
                    )
                    for body in parts["bodies"]:
                        body.set_color(color)
        left.set(title=row, ylabel=table.unit)
        right.set(title=f"{row}: alpha", ylabel="alpha")
        for axes in (left, right):
            axes.grid(alpha=0.3)
            axes.set_xlabel("deployment")
            axes.legend(fontsize=8)
    figure.suptitle(f"{table.slot}, preset {preset}", fontsize=10)
    figures.save(figure, path)


TABLE = Table(
    "otc", "figure4", "adaptive against fixed alpha", entries, "return", draw=draw, options=OPTIONS
)

if __name__ == "__main__":
    tables.main(TABLE)
