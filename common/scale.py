"""Scales between the presets quick and paper, for a given number of hours.

`./run_all.sh --hours 8` looks for the share s of the way from quick to paper at which the chosen scripts take about that
long on this machine, by the papers' measured unit costs, and runs them at preset "scale-s". Numbers of a cell's
configuration (updates, seeds, sizes, learning rates) lie on the geometric line between both presets; what is no number, data
sets above all, is quick's below a half and the paper's from there on. A scale is a preset with folders of its own, so
results of different scales never meet in one table.
"""

from common import work
from common.cells import Cell

PREFIX = "scale-"


def share_of(preset: str) -> float | None:
    """s of "scale-s"; None for any other preset.

    Raises:
        ValueError: s is not a number between 0 and 1.
    """
    if not preset.startswith(PREFIX):
        return None
    try:
        share = float(preset.removeprefix(PREFIX))
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ValueError(f"preset {preset!r}: expected scale- and a number between 0 (quick) and 1 (paper), as scale-0.25")
    return share


def mixed(quick, paper, share: float, key: str = ""):
    """A value between that of quick and that of the paper; key is its name in the configuration."""
    if isinstance(quick, dict) and isinstance(paper, dict):
        names = [*paper, *(name for name in quick if name not in paper)]
        return {name: mixed(quick.get(name, paper.get(name)), paper.get(name, quick.get(name)), share, name) for name in names}
    if key == "seeds":
        longest = max(quick, paper, key=len)
        return longest[: round(len(quick) ** (1 - share) * len(paper) ** share)]
    plain = all(isinstance(value, int | float) and not isinstance(value, bool) and value > 0 for value in (quick, paper))
    if not plain:
        return quick if share < 0.5 else paper
    value = quick ** (1 - share) * paper**share
    if isinstance(quick, float) or isinstance(paper, float):
        return float(f"{value:.3g}") if quick != paper else quick
    return max(16, 16 * round(value / 16)) if "hidden" in key and quick != paper else round(value)


def between(quick: Cell, paper: Cell, preset: str) -> Cell:
    """The cell of a scale; a measurement of time stays what it is at quick."""
    share = share_of(preset)
    if quick.config.get("timing"):
        return quick
    return Cell(paper.paper, preset, paper.slot, mixed(quick.config, paper.config, share))


def fit(cells_at, hours: float, jobs: int) -> tuple[str, float]:
    """The preset at which the cells of `cells_at(preset)` take about so many hours, and the hours estimated for it.

    Args:
        jobs: processes at a time.

    Raises:
        ValueError: quick alone takes longer.
    """

    def estimated(preset: str) -> float:
        return sum(work.paper(cell.paper).cost(cell) for cell in cells_at(preset)) / jobs / 3600

    if estimated("quick") > hours:
        needed = f"{60 * estimated('quick'):.0f} minutes at preset quick"
        raise ValueError(f"{hours:g} hours are too few: the chosen scripts take about {needed}; choose fewer with --only")
    if estimated("paper") <= hours:
        return "paper", estimated("paper")
    low, high = 0, 100
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if estimated(f"{PREFIX}{middle / 100:.2f}") <= hours else (low, middle)
    preset = f"{PREFIX}{low / 100:.2f}"
    return preset, estimated(preset)
