"""What ICQ-MA's values come to under each reading of its target's weights.

    python benchmarks/icq_weights.py

Preset standard on quick's uncoordinated data (built if missing), three seeds; mean Q_tot of the
data's actions after a quarter, a half, three quarters and all of the updates, beside the data's
return-to-go. No returns are looked at: this decided the reading.
"""

from dataclasses import replace
from typing import get_args

from common.running.program import Program
from papers.cast_bcq import training
from papers.cast_bcq.baselines import TargetWeights
from papers.cast_bcq.experiment import PAPER, cell

ROBOTS = ("walker2d", "hopper")
PRESET = "standard"
SHORT = {"data_size": "quick", "episodes": 1, "evaluations": 4, "last": 1}


def main() -> None:
    for robot in ROBOTS:
        for weights in get_args(TargetWeights):
            options = {"seeds": [0, 1, 2], "target_weights": weights}
            made = cell(PRESET, robot, "uncoordinated", "icq_ma", options)
            made = replace(made, config=made.config | SHORT)
            PAPER.data.prepare(made)
            program = Program([made], "cpu", training.build)
            list(program.updates())
            seeds = program.results(0.0)[0]["seeds"]
            values = [[round(value) for value in seed["values"]] for seed in seeds]
            print(f"{robot}, {weights}: {values}, to go {seeds[0]['return_to_go']:.0f}", flush=True)


if __name__ == "__main__":
    main()
