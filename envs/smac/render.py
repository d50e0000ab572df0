"""Pictures of battles.

python -m envs.smac.render 3s_vs_3z kite battle.gif
"""

import sys
from pathlib import Path

import numpy as np

from common.running.files import atomic
from envs.smac.core import Battles
from envs.smac.scripted import TEAMS

SIZES = {"marine": 60, "marauder": 140, "medivac": 180, "stalker": 150, "zealot": 110}
SHAPES = {"marine": "o", "marauder": "s", "medivac": "P", "stalker": "^", "zealot": "D"}


def frames(map_name: str, team, seed: int = 0, **options) -> list[np.ndarray]:
    """One RGB picture [H, W, 3] for each step of a battle."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    battles = Battles(map_name, 1, seed, **options)
    battles.reset()
    tables = battles.tables
    life = tables.traits["health"] + tables.traits["shield"]
    pictures = []
    total = 0.0
    kinds = tables.scenario.allies + tables.scenario.enemies
    stream = np.random.default_rng(seed)
    figure, axes = pyplot.subplots(
        figsize=(5, 5 if not tables.scenario.strip else 3), layout="constrained"
    )
    while True:
        units = battles.units[0]
        axes.clear()
        for unit, kind in enumerate(kinds):
            if units["hp"][unit] <= 0:
                continue
            share = (units["hp"][unit] + units["shield"][unit]) / life[unit]
            color = "#0072b2" if unit < tables.allies else "#d55e00"
            place = units["x"][unit], units["y"][unit]
            axes.scatter(
                *place,
                s=SIZES[kind],
                marker=SHAPES[kind],
                color=color,
                alpha=0.25 + 0.75 * share,
                edgecolors="k",
            )
            target = units["target"][unit]
            if target >= 0 and units["hp"][target] > 0:
                axes.plot(
                    [place[0], units["x"][target]],
                    [place[1], units["y"][target]],
                    color=color,
                    lw=0.5,
                    alpha=0.6,
                )
        low, high = (8, 24) if tables.scenario.strip else (0, 32)
        axes.set(xlim=(0, 32), ylim=(low, high), aspect="equal", xticks=[], yticks=[])
        axes.set_title(
            f"{map_name} (built-in simulator), step {battles.steps[0]}, return {total:.2f}",
            fontsize=9,
        )
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        pictures.append(np.asarray(canvas.buffer_rgba())[..., :3].copy())
        if battles.over[0]:
            break
        reward, *_ = battles.step(team(battles, stream))
        total += float(reward[0])
    pyplot.close(figure)
    return pictures


def main(arguments: list[str]) -> int:
    """Command line: map, scripted team, file."""
    import imageio.v3 as imageio

    if len(arguments) != 3 or arguments[1] not in TEAMS:
        print(f"usage: python -m envs.smac.render MAP {'|'.join(TEAMS)} FILE.gif", file=sys.stderr)
        return 2
    try:
        pictures = frames(arguments[0], TEAMS[arguments[1]])
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    with atomic(Path(arguments[2])) as file:
        imageio.imwrite(file, np.stack(pictures), extension=".gif", duration=120, loop=0)
    print(f"{len(pictures)} frames in {arguments[2]}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
