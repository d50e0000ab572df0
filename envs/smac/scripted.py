"""Scripted teams: what battles are calibrated with.

    python -m envs.smac.scripted [--episodes 200]

writes results/smac_calibration.csv: win rate and return of every team on every map.

Axes: B battles, A allies, E enemies, n actions.
"""

import argparse
import sys

import numpy as np

from common.learning.population import generator
from common.running.files import write_csv
from common.running.provenance import ROOT
from envs.smac.core import Battles
from envs.smac.sight import FIRST_ATTACK, GRID
from envs.smac.units import FAMILY, MAPS, PROFILES, VERSION

CALIBRATION = ROOT / "results" / "smac_calibration.csv"
NEVER = -1e6  # score of attacking the dead
RELOADING = 2  # loops of cooldown from which on a kiting unit walks away
CLOSE = 4  # distance at which it does


def one_of(mask: np.ndarray, score: np.ndarray) -> np.ndarray:
    """[B, A] the available action of highest score, both [B, A, n]."""
    return np.where(mask, score, -np.inf).argmax(-1)


def random(battles: Battles, stream) -> np.ndarray:
    """Uniform over available actions."""
    mask = battles.available()
    return one_of(mask, stream.random(mask.shape))


def _offsets(battles: Battles) -> tuple[np.ndarray, np.ndarray]:
    """Along x and y from every ally to every unit, both [B, A, U]."""
    units = battles.units
    a = battles.agents
    dx = units["x"][:, None] - units["x"][:, :a, None]
    dy = units["y"][:, None] - units["y"][:, :a, None]
    return dx, dy


def _distances(battles: Battles) -> np.ndarray:
    """[B, A, E] distance to each enemy, infinite for the dead."""
    a = battles.agents
    dx, dy = _offsets(battles)
    return np.where(battles.units["hp"][:, None, a:] > 0, np.sqrt(dx**2 + dy**2)[:, :, a:], np.inf)


def _aims(battles: Battles) -> np.ndarray:
    """[B, A, E] how far away what each attack action aims at is, infinite for the dead; for a
    Medivac the share of life left of the wounded ally it would heal.
    """
    traits = battles.tables.traits
    a = battles.agents
    aims = _distances(battles)
    hp = battles.units["hp"][:, :a]
    life = np.where((hp > 0) & (hp < traits["health"][:a]), hp / traits["health"][:a], np.inf)
    for i in np.flatnonzero(traits["heals"][:a]):
        aims[:, i] = np.inf
        width = min(a, battles.enemies)
        aims[:, i, :width] = life[:, :width]
    return aims


def _advance(battles: Battles) -> np.ndarray:
    """[B, A, n] scores by which those who cannot attack walk towards the nearest enemy, or stop."""
    a = battles.agents
    dx, dy = (offset[:, :, a:] for offset in _offsets(battles))
    far = np.where(battles.units["hp"][:, None, a:] > 0, np.hypot(dx, dy), np.inf)
    which = far.argmin(-1)[..., None]
    dx, dy = (np.take_along_axis(offset, which, -1)[..., 0] for offset in (dx, dy))
    score = np.zeros((*dx.shape, battles.n_actions))
    score[..., 1] = -2e3
    for action, towards in ((2, dy), (3, -dy), (4, dx), (5, -dx)):
        score[..., action] = -1e3 + towards
    return score


def nearest(battles: Battles, stream=None) -> np.ndarray:
    """Everybody attacks the nearest enemy in range, else walks towards it; Medivacs heal the
    weakest.
    """
    aims = _aims(battles)
    score = _advance(battles)
    score[..., FIRST_ATTACK:] = np.where(np.isfinite(aims), -aims, NEVER)
    return one_of(battles.available(), score)


def focus(battles: Battles, stream=None) -> np.ndarray:
    """As `nearest`, but everybody attacks the weakest enemy in range; ties go to the lower id."""
    a = battles.agents
    aims = _aims(battles)
    life = (battles.units["hp"] + battles.units["shield"])[:, None, a:]
    weakness = life / 1000 + np.arange(battles.enemies) * 1e-6
    choice = np.where(battles.tables.traits["heals"][:a, None], aims, weakness)
    score = _advance(battles)
    score[..., FIRST_ATTACK:] = np.where(np.isfinite(aims), -choice, NEVER)
    return one_of(battles.available(), score)


def kite(battles: Battles, stream=None) -> np.ndarray:
    """As `focus`, but who is reloading walks away from enemies that come close, in a circle around
    the middle.
    """
    units = battles.units
    a = battles.agents
    dx, dy = (-offset[:, :, a:] for offset in _offsets(battles))
    far = _distances(battles)
    threat = np.where(np.isfinite(far), 1 / np.maximum(far, 0.3) ** 2, 0.0)
    away_x = (threat * dx).sum(-1)
    away_y = (threat * dy).sum(-1)
    length = np.sqrt(away_x**2 + away_y**2) + 1e-9
    away_x /= length
    away_y /= length
    middle_x = GRID / 2 - units["x"][:, :a]
    middle_y = GRID / 2 - units["y"][:, :a]
    outside = np.sqrt(middle_x**2 + middle_y**2) / 12
    go_x = away_x + outside**3 * middle_x / 12 - 0.5 * outside * away_y
    go_y = away_y + outside**3 * middle_y / 12 + 0.5 * outside * away_x
    mask = battles.available()
    score = np.full(mask.shape, -1e9)
    for action, towards in ((2, go_y), (3, -go_y), (4, go_x), (5, -go_x)):
        score[..., action] = towards
    alive = units["hp"][:, :a] > 0
    threatened = (units["cooldown"][:, :a] > RELOADING) & (far.min(-1) < CLOSE)
    flees = alive & threatened & ~battles.tables.traits["heals"][:a]
    return np.where(flees, one_of(mask, score), focus(battles))


TEAMS = {"random": random, "nearest": nearest, "focus": focus, "kite": kite}


def play(battles: Battles, team, stream=None) -> dict[str, np.ndarray]:
    """One episode of every battle: returns, won, lengths [B]."""
    battles.reset()
    returns = np.zeros(battles.battles)
    while not battles.over.all():
        live = np.flatnonzero(~battles.over)
        action = team(battles, stream)
        reward, *_ = battles.step(action[live], live)
        returns[live] += reward
    return {"returns": returns, "won": battles.won.copy(), "lengths": battles.steps.copy()}


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


def calibrate(episodes: int, dynamics: str) -> list[list]:
    """One row, see HEADER, for each map and team."""
    rows = []
    for name in MAPS:
        for label, team in TEAMS.items():
            battles = Battles(name, episodes, 0, dynamics)
            stream = np.random.default_rng(generator(0, f"{name}/{label}").initial_seed())
            fought = play(battles, team, stream)
            numbers = [
                round(100 * fought["won"].mean(), 1),
                round(fought["returns"].mean(), 2),
                round(fought["returns"].std(), 2),
                round(fought["lengths"].mean(), 1),
            ]
            rows.append([name, dynamics, VERSION, label, episodes, *numbers])
    return rows


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    from tabulate import tabulate

    parser = argparse.ArgumentParser(
        prog="python -m envs.smac.scripted", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--episodes", type=int, default=200)
    args = parser.parse_args(arguments)
    rows = [row for dynamics in PROFILES for row in calibrate(args.episodes, dynamics)]
    write_csv(CALIBRATION, HEADER, rows)
    print(tabulate(rows, HEADER))
    print(f"{FAMILY}; {CALIBRATION}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
