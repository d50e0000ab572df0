"""A method of one's own beside a column of OMAR's Table 3: cloning, on one of its data sets.

.venv/bin/python -m examples.own_method [smoke|quick|standard|paper]
"""

import sys
from dataclasses import dataclass
from typing import Any

from common.learning.population import mean_over_batch
from common.learning.ranges import Positive
from common.learning.replay import Batch
from common.running import cells, work
from papers.omar.config import METHODS
from papers.omar.experiment import make_cell
from papers.omar.omar import Backbone, OnBackbone


@dataclass(frozen=True)
class CloningConfig:
    """Hyperparameters; their types are what can be typed after `with`."""

    bc_weight: Positive = 1.0


class Cloning(OnBackbone):
    """Each agent imitates its own actions in the data."""

    def __init__(self, backbone: Backbone, config: CloningConfig):
        super().__init__(backbone)
        self.weight = backbone.per_member(config.bc_weight)

    def update(self, batch: Batch) -> None:
        """One round of all members and agents; reduce over the batch only."""
        action = self.backbone.actors.train_actions(batch.obs, update_running=True)
        loss = mean_over_batch((action - batch.action).square().mean(-1))
        self.backbone.actor_step(self.weight[:, None] * loss, action)


def main(preset: str = "quick") -> int:
    # In a checkout this is a line of papers/omar/config.py, and all of Table 3 gets a column
    registry: dict[str, Any] = METHODS
    registry["own"] = ("examples.own_method:Cloning", CloningConfig)
    chosen = [
        make_cell(preset, "cooperative_navigation", "expert", method)
        for method in ("own", "ma_td3bc")
    ]
    failures = work.run(chosen, jobs=1, title="own method")
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    for cell in chosen:
        result = cells.read(cell)
        if result:
            scores = [seed["last_score"] for seed in result["seeds"]]
            print(f"{cell.config['method']:9s}", " ".join(f"{score:7.1f}" for score in scores))
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
