"""Draws kinematic worlds: agents blue, the prey red, landmarks grey."""

from typing import Any

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot
from matplotlib.patches import Circle

from envs.kinematic.worlds import CONTACT

AGENT = "#0072b2"
PREY = "#d55e00"
LANDMARK = "#555555"


def frame(scenario, points: np.ndarray) -> np.ndarray:
    """One world as an RGB array [H, W, 3]; points [N + others, 2], agents first."""
    figure, axes = pyplot.subplots(figsize=(3.2, 3.2), dpi=80, layout="constrained")
    agents, others = np.split(points, [scenario.num_agents])
    for position in others:
        axes.add_patch(
            Circle(
                position, CONTACT, color=PREY if scenario.kind == "chase" else LANDMARK, alpha=0.5
            )
        )
    for position in agents:
        axes.add_patch(Circle(position, 0.03, color=AGENT))
    axes.set(xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), aspect="equal", xticks=[], yticks=[])
    canvas: Any = figure.canvas  # Agg's, see above
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].copy()
    pyplot.close(figure)
    return pixels
