"""Draws particle worlds: a frame as an array, an episode as a PNG strip or a GIF.

python -m envs.particle.render predator_prey expert chase.gif
"""

import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import numpy as np
import torch
from matplotlib import pyplot
from matplotlib.patches import Circle
from PIL import Image

from common.running.files import atomic

AGENT = "#0072b2"
PREY = "#d55e00"
LANDMARKS = {"landmark": "#555555", "food": "#009e73", "forest": "#b7d8b0"}


def draw(axes, scenario, positions) -> None:
    """One world on axes: positions [N + L, d]; on the line the second coordinate is zero."""
    positions = np.asarray(positions)
    if positions.shape[1] == 1:
        positions = np.concatenate([positions, np.zeros_like(positions)], axis=1)
    bodies = [*scenario.agents, *scenario.landmarks]
    for body, position in reversed(list(zip(bodies, positions, strict=True))):
        kind = body.name.rsplit("_", 1)[0]
        prey = kind == "agent" and scenario.learners < scenario.num_agents
        color = LANDMARKS.get(kind) or (PREY if prey else AGENT)
        axes.add_patch(
            Circle(position, body.radius, color=color, alpha=0.85 if kind not in LANDMARKS else 0.6)
        )
    limit = max(1.5, np.abs(positions).max() + 0.2)
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal", xticks=[], yticks=[])


def frame(scenario, positions) -> np.ndarray:
    """One world as an RGB array [H, W, 3]."""
    figure, axes = pyplot.subplots(figsize=(3.2, 3.2), dpi=80, layout="constrained")
    draw(axes, scenario, positions)
    canvas: Any = figure.canvas  # Agg's, see above
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].copy()
    pyplot.close(figure)
    return pixels


def save_episode(scenario, trajectory: torch.Tensor, path: Path) -> None:
    """Draws a trajectory [T, N + L, d] to a .gif, or to a .png that shows every fifth step.

    Raises:
        ValueError: another ending.
    """
    path = Path(path)
    if path.suffix == ".gif":
        images = [Image.fromarray(frame(scenario, positions)) for positions in trajectory]
        with atomic(path) as part:
            images[0].save(
                part, format="GIF", save_all=True, append_images=images[1:], duration=100, loop=0
            )
    elif path.suffix == ".png":
        chosen = trajectory[::5]
        figure, grid = pyplot.subplots(
            1, len(chosen), figsize=(2.4 * len(chosen), 2.6), layout="constrained", squeeze=False
        )
        for t, (axes, positions) in enumerate(zip(grid[0], chosen, strict=True)):
            draw(axes, scenario, positions)
            axes.set_title(f"step {5 * t}", fontsize=9)
        with atomic(path) as part:
            figure.savefig(part, format="png", dpi=110)
        pyplot.close(figure)
    else:
        raise ValueError(f"cannot draw to {path.name!r}, expected a name ending in .png or .gif")


def trajectory(task: str, quality: str, seed: int = 0) -> torch.Tensor:
    """[26, N + L, d] positions of one episode of a shipped policy ("medium" or "expert")."""
    from envs.particle import behaviour
    from envs.particle.batch import by_member, by_world

    team = behaviour.load_team(task)
    act = behaviour.load_policy(task, quality)
    members = len(behaviour.SEEDS)
    obs = team.reset(behaviour.generators([seed] * members, "render"), 1)
    steps = [team.worlds.positions[seed % members]]
    for _ in range(25):
        obs, _ = team.step(by_world(act(by_member(obs, members))))
        steps.append(team.worlds.positions[seed % members])
    return torch.stack(steps)


if __name__ == "__main__":
    from envs.particle.scenarios import SCENARIOS

    if len(sys.argv) != 4:
        sys.exit("usage: python -m envs.particle.render TASK medium|expert FILE.png|FILE.gif")
    save_episode(SCENARIOS[sys.argv[1]], trajectory(sys.argv[1], sys.argv[2]), Path(sys.argv[3]))
