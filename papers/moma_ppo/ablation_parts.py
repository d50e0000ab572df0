"""The ablations that section 6.3 describes in words, on Ant full-replay: what MOMA-PPO is without
each of its parts.

"length" is the mean number of steps of a rollout in the last epochs, of at most ten where nothing
else is said; "size" the decimal logarithm of the largest number of a state, a mean over rollouts'
steps.
"""

import math
from typing import Any

from common.reporting import script
from common.reporting.tables import Entry, Table
from papers.moma_ppo.config import LENGTH, AntOptions, ablated_views
from papers.moma_ppo.experiment import cell

LEAST_SIZE = 1e-6
VARIANTS: dict[str, dict[str, Any]] = {
    "MOMA-PPO": {},
    "ground-truth simulator": {"world": "simulator"},
    "no clipping": {"variant": "no clipping"},
    "no penalty": {"variant": "no penalty"},
    "not adaptive": {"variant": "epistemic"},
    "no penalty, not adaptive": {"variant": "no penalty, not adaptive"},
    **{f"length {k}": {"length": k} for k in (5, 20, 50)},
}


RAW = "MOMA-IQL, rewards as released"
UNNAMED = ("no penalty, not adaptive", "length 20", RAW)  # not in the paper's text
LENGTHS = ("length 5", "length 50")  # "as well" within 0.1 takes more seeds than standard has


def rollout_length(results: list[dict]) -> dict[int, float | None]:
    """Per seed the mean length of rollouts since the last evaluation but one."""
    return {
        seed["seed"]: seed["facts"][-1]["length"] for result in results for seed in result["seeds"]
    }


def state_size(results: list[dict]) -> dict[int, float | None]:
    """Per seed how large the states of rollouts are since the last evaluation but one."""
    last = {
        seed["seed"]: seed["facts"][-1]["size"] for result in results for seed in result["seeds"]
    }
    return {
        seed: None if size is None else math.log10(max(size, LEAST_SIZE))
        for seed, size in last.items()
    }


def left_out(preset: str) -> tuple[str, ...]:
    """What a preset does not run: at standard what the paper says nothing of, or what its seeds
    could not decide.
    """
    return (*UNNAMED, *LENGTHS) if preset == "standard" else ()


def entries(preset: str, options: dict) -> list[Entry]:
    found = []
    for name, view in (("fo", "full"), ("po", "po")):
        place = (preset, "ant", view, "full-replay")
        there = view in ablated_views(preset)
        cells = {
            label: cell(*place, "moma_ppo", options, **change) for label, change in VARIANTS.items()
        }
        for label, scaled in (("MOMA-IQL", True), (RAW, False)):
            cells[label] = cell(*place, "moma_iql", options, scaled_rewards=scaled)
        for label, chosen in cells.items():
            if not there or label in left_out(preset):
                found.append(Entry(name, label, (), missing=f"left out of preset {preset}"))
                continue
            found.append(Entry(name, label, (chosen,)))
            if label in VARIANTS:
                found.append(Entry(f"{name}, length", label, (chosen,), rollout_length))
                if label != "ground-truth simulator":
                    found.append(Entry(f"{name}, size", label, (chosen,), state_size))
    return found


TABLE = Table(
    "moma_ppo",
    "ablation_parts",
    f"ablations of MOMA-PPO (rollouts of {LENGTH} steps)",
    entries,
    unit="normalized score, or steps",
    decimals=2,
    options=AntOptions(),
)

if __name__ == "__main__":
    script.main(TABLE)
