"""Scripted teams: what battles are calibrated with.

    python -m envs.smac.scripted [--episodes 200]

writes results/smac_calibration.csv: win rate and return of every team on every map.
"""

import argparse
import sys

import numpy as np

from common.learning.population import generator
from common.running.files import write_csv
from common.running.provenance import ROOT
from envs.smac.core import VERSION, Battles
from envs.smac.units import GRID, MAPS, PROFILES

CALIBRATION = ROOT / "results" / "smac_calibration.csv"


def one_of(mask: np.ndarray, score: np.ndarray) -> np.ndarray:
    """[B, A] the available action of highest score, both [B, A, n]."""
    return np.where(mask, score, -np.inf).argmax(-1)


def random(battles: Battles, stream) -> np.ndarray:
    """Uniform over available actions."""
    mask = battles.available()
    return one_of(mask, stream.random(mask.shape))


def _distances(battles: Battles) -> np.ndarray:
    """[B, A, n - 6] distance to what each attack action aims at, infinite for the dead."""
    t, b = battles.t, battles.b
    a = t.allies
    far = np.sqrt(
        (b["x"][:, None] - b["x"][:, :a, None]) ** 2 + (b["y"][:, None] - b["y"][:, :a, None]) ** 2
    )
    found = np.where(b["hp"][:, None, a:] > 0, far[:, :, a:], np.inf)
    for i in np.flatnonzero(t.heals[:a]):
        wounded = (b["hp"][:, :a] > 0) & (b["hp"][:, :a] < t.health[:a])
        found[:, i] = np.inf
        width = min(a, t.enemies)
        found[:, i, :width] = np.where(wounded, (b["hp"] / t.health)[:, :a], np.inf)[:, :width]
    return found


def _advance(battles: Battles) -> np.ndarray:
    """[B, A, n] scores by which those who cannot attack walk towards the nearest enemy, or stop."""
    t, b = battles.t, battles.b
    a = t.allies
    dx, dy = b["x"][:, None, a:] - b["x"][:, :a, None], b["y"][:, None, a:] - b["y"][:, :a, None]
    far = np.where(b["hp"][:, None, a:] > 0, np.hypot(dx, dy), np.inf)
    which = far.argmin(-1)[..., None]
    dx, dy = (np.take_along_axis(part, which, -1)[..., 0] for part in (dx, dy))
    score = np.zeros((*dx.shape, t.actions))
    score[..., 1] = -2e3
    for action, towards in ((2, dy), (3, -dy), (4, dx), (5, -dx)):
        score[..., action] = -1e3 + towards
    return score


def nearest(battles: Battles, stream=None) -> np.ndarray:
    """Everybody attacks the nearest enemy in range, else walks towards it; Medivacs heal the
    weakest.
    """
    mask, far = battles.available(), _distances(battles)
    score = _advance(battles)
    score[..., 6:] = np.where(np.isfinite(far), -far, -1e6)
    return one_of(mask, score)


def focus(battles: Battles, stream=None) -> np.ndarray:
    """As `nearest`, but everybody attacks the weakest enemy in range; ties go to the lower id."""
    mask, far = battles.available(), _distances(battles)
    t, b = battles.t, battles.b
    life = (b["hp"] + b["shield"])[:, None, t.allies :] / 1000 + np.arange(t.enemies) * 1e-6
    healers = t.heals[: t.allies][:, None]
    score = _advance(battles)
    aim = np.where(healers, far, life)
    score[..., 6:] = np.where(np.isfinite(far), -aim, -1e6)
    return one_of(mask, score)


def kite(battles: Battles, stream=None) -> np.ndarray:
    """As `focus`, but who is reloading walks away from enemies that come close, in a circle around
    the middle.
    """
    action, mask = focus(battles), battles.available()
    t, b = battles.t, battles.b
    a = t.allies
    x, y = b["x"][:, :a], b["y"][:, :a]
    dx, dy = x[..., None] - b["x"][:, None, a:], y[..., None] - b["y"][:, None, a:]
    far = np.where(b["hp"][:, None, a:] > 0, np.sqrt(dx**2 + dy**2), np.inf)
    threat = np.where(np.isfinite(far), 1 / np.maximum(far, 0.3) ** 2, 0.0)
    away_x, away_y = (threat * dx).sum(-1), (threat * dy).sum(-1)
    length = np.sqrt(away_x**2 + away_y**2) + 1e-9
    away_x, away_y = away_x / length, away_y / length
    middle_x, middle_y = GRID / 2 - x, GRID / 2 - y
    outside = np.sqrt(middle_x**2 + middle_y**2) / 12
    go_x = away_x + outside**3 * middle_x / 12 - 0.5 * outside * away_y
    go_y = away_y + outside**3 * middle_y / 12 + 0.5 * outside * away_x
    score = np.full(mask.shape, -1e9)
    score[..., 2], score[..., 3], score[..., 4], score[..., 5] = go_y, -go_y, go_x, -go_x
    flees = (b["cooldown"][:, :a] > 2) & (b["hp"][:, :a] > 0) & (far.min(-1) < 4) & ~t.heals[:a]
    return np.where(flees, one_of(mask, score), action)


TEAMS = {"random": random, "nearest": nearest, "focus": focus, "kite": kite}


def play(battles: Battles, team, stream=None) -> dict[str, np.ndarray]:
    """One episode of every battle: returns, won, lengths [B]."""
    battles.reset()
    returns = np.zeros(battles.battles)
    while not battles.over.all():
        action, live = team(battles, stream), np.flatnonzero(~battles.over)
        reward, *_ = battles.step(action[live], live)
        returns[live] += reward
    return {"returns": returns, "won": battles.won.copy(), "lengths": battles.steps.copy()}


def calibrate(episodes: int, dynamics: str) -> list[list]:
    """One row for each map and team."""
    rows = []
    for name in MAPS:
        for label, team in TEAMS.items():
            battles = Battles(name, episodes, 0, dynamics)
            found = play(
                battles, team, np.random.default_rng(generator(0, f"{name}/{label}").initial_seed())
            )
            rows.append(
                [
                    name,
                    dynamics,
                    VERSION,
                    label,
                    episodes,
                    round(100 * found["won"].mean(), 1),
                    round(found["returns"].mean(), 2),
                    round(found["returns"].std(), 2),
                    round(found["lengths"].mean(), 1),
                ]
            )
    return rows


HEADER = [
    "map",
    "dynamics",
    "version",
    "team",
    "episodes",
    "win_percent",
    "return_mean",
    "return_sd",
    "length_mean",
]


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    from tabulate import tabulate

    parser = argparse.ArgumentParser(
        prog="python -m envs.smac.scripted", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("--episodes", type=int, default=200)
    args = parser.parse_args(arguments)
    rows = [row for dynamics in PROFILES for row in calibrate(args.episodes, dynamics)]
    write_csv(CALIBRATION, HEADER, rows)
    print(tabulate(rows, HEADER))
    print(f"SMAC-like, built-in simulator; {CALIBRATION}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
