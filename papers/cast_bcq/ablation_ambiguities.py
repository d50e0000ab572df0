"""What the paper leaves open, measured on HalfCheetah's uncoordinated data: each reading against
the default. On Hopper, whose agents have one joint each, every reading chooses the same extreme
proposal in nearly every state and none could differ.

A1: what agents observe (everything, or own joints and torso); A2: what unmasked agents do in Eq. 8
(the joint policy's actions, or the data's); A3: how far latents are clipped (0.5 as BCQ's code, or
0.05); lambda: Eq. 10's weight (0.9, or the baselines' 0.75); ICQ-MA: what its target's weights are
relative to.
"""

from typing import Any

from common.reporting import script
from common.reporting.tables import Entry, Table
from papers.cast_bcq.config import ROBOTS, Options
from papers.cast_bcq.experiment import average_return, cell

TASK = "halfcheetah"
READINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "default": ("ours", {}),
    "A1: own joints and torso": ("ours", {"observation": "own_joints_torso"}),
    "A2: others from the data": ("ours", {"others": "data"}),
    "A3: latent clip 0.05": ("ours", {"latent_clip": 0.05}),
    "lambda 0.75": ("ours", {"weight": 0.75}),
    "ICQ-MA": ("icq_ma", {}),
    "ICQ-MA: weights over the minibatch": ("icq_ma", {"target_weights": "minibatch"}),
    "ICQ-MA: halved weights": ("icq_ma", {"target_weights": "halved"}),
}


def entries(preset: str, options: dict) -> list[Entry]:
    return [
        Entry(
            ROBOTS[TASK],
            name,
            (cell(preset, TASK, "uncoordinated", method, options | change),),
            average_return,
        )
        for name, (method, change) in READINGS.items()
    ]


TABLE = Table(
    "cast_bcq",
    "ablation_ambiguities",
    "readings of what the paper leaves open",
    entries,
    unit="return",
    options=Options(),
)

if __name__ == "__main__":
    script.main(TABLE)
