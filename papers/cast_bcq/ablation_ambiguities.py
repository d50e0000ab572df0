"""What the paper leaves open, measured on Hopper's uncoordinated data: each reading of ours against
the default.

A1: what agents observe (own joints and torso, or everything); A2: what unmasked agents do in Eq. 8
(the joint policy's actions, or the data's); A3: how far latents are clipped (0.5 as BCQ's code, or
0.05).
"""

from typing import Any

from common.reporting import script
from common.reporting.tables import Entry, Table
from papers.cast_bcq.config import Options
from papers.cast_bcq.experiment import average_return, cell

READINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "A1: full observation": {"observation": "full"},
    "A2: others from the data": {"others": "data"},
    "A3: latent clip 0.05": {"latent_clip": 0.05},
}


def entries(preset: str, options: dict) -> list[Entry]:
    return [
        Entry(
            "hopper_3x1",
            name,
            (cell(preset, "hopper", "uncoordinated", "ours", options | change),),
            average_return,
        )
        for name, change in READINGS.items()
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
