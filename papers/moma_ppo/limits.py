"""Numbers that a cell's configuration only names: what agents remember, and how much of the world
model a variant uses.
"""

from typing import Literal

# What is behind a step that uncertainty cut: the value of the state that was generated there; the
# value of the state before it, the last that the models agreed about; nothing, as in MOReL
Cut = Literal["next", "last", "end"]
# Of rewards in MOMA-PPO's rollouts: as they are, or over the standard deviation of the data's
# discounted returns
ValueUnits = Literal["raw", "returns"]
# What l_eps is: a quantile of the disagreement on held-out rows, under the data's actions with the
# noise of new policies; or such that rollouts of an untrained team last some steps
LimitRule = Literal["quantile", "length"]

HISTORY = {"coordination": 0, "reacher": 10, "ant": 10}  # steps that agents remember

# How the world model is used: of the rollouts; see world.Limits
LIMITS = {"adaptive": True, "penalty": 1.0, "aleatoric": 0.0, "box": True}
VARIANTS: dict[str, dict] = {
    "epistemic, adaptive": {},
    "epistemic": {"adaptive": False},
    "aleatoric 1, adaptive": {"penalty": 0.0, "aleatoric": 1.0},
    "aleatoric 5, adaptive": {"penalty": 0.0, "aleatoric": 5.0},
    "aleatoric 1": {"penalty": 0.0, "aleatoric": 1.0, "adaptive": False},
    "aleatoric 5": {"penalty": 0.0, "aleatoric": 5.0, "adaptive": False},
    "no clipping": {"box": False},
    "no penalty": {"penalty": 0.0},
    "no penalty, not adaptive": {"penalty": 0.0, "adaptive": False},
}
GAME_LIMITS = {"adaptive": False, "penalty": 0.0, "aleatoric": 0.0, "box": False}
