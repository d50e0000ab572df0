"""How learning curves of methods with different units are drawn side by side."""

from dataclasses import replace
from pathlib import Path

from common.reporting import figures
from common.reporting.shown import Shown
from common.reporting.tables import Table

AXIS = "% of a method's training"


def draw(table: Table, shown: list[Shown], path: Path, preset: str) -> None:
    """Curves over the share of each method's training: ten thousand updates and a thousand epochs
    would not fit one axis.
    """
    shares = [
        replace(entry, rounds=[round(100 * done / entry.rounds[-1]) for done in entry.rounds])
        for entry in shown
    ]
    figures.curves(table, shares, path, preset)
