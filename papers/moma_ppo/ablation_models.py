"""Ablation: losses of the world model's means, on the ant's full-replay data.

The paper has the likelihood; beta-NLL weighs it by sigma^(2 beta) (Seitzer et al., 2022); squares
are the default below preset paper. Errors as in `figure_world_models.py`, on held-out episodes, of
models that are otherwise the preset's (at standard and paper: trained for a fifth as long). Every
loss also for a quarter of these updates: an error that is larger after more of them grows with
training.
"""

from common.reporting import script
from common.reporting.tables import Entry, Table
from common.running.cells import Cell
from common.running.options import changed
from papers.moma_ppo import models
from papers.moma_ppo.config import ABLATED_ON
from papers.moma_ppo.figure_world_models import ERRORS

LOSSES = ("squares", "beta-nll", "likelihood")
LONG = ("standard", "paper")  # presets of which a fifth of the updates is enough
SHORTER = 4


def model(preset: str, loss: str, share: int) -> Cell:
    """A world model with a loss, trained for a share of the updates."""
    usual = models.model_cell(preset, "ant", ABLATED_ON)
    updates = usual.config["model"]["updates"] // (5 if preset in LONG else 1)
    return changed(usual, {"model.loss": loss, "model.updates": updates // share})


def entries(preset: str, options: dict) -> list[Entry]:
    return [
        Entry(row, column, (model(preset, loss, share),), error)
        for loss in LOSSES
        for row, share in ((f"{loss}, a quarter of the updates", SHORTER), (loss, 1))
        for column, error in ERRORS.items()
    ]


TABLE = Table(
    "moma_ppo",
    "ablation_models",
    "losses of the world model's means",
    entries,
    unit="standard deviations",
    decimals=3,
)

if __name__ == "__main__":
    script.main(TABLE)
