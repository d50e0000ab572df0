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
from papers.moma_ppo.config import LENGTH, AntOptions
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


def rollout_length(results: list[dict]) -> dict[int, float | None]:
    """Per seed the mean length of rollouts since the last evaluation but one."""
    return {
        seed["seed"]: seed["facts"][-1]["length"] for result in results for seed in result["seeds"]
    }


def state_size(results: list[dict]) -> dict[int, float | None]:
    """Per seed how large the states of rollouts are since the last evaluation but one."""
    return {
        seed["seed"]: math.log10(max(seed["facts"][-1]["size"], LEAST_SIZE))
        for result in results
        for seed in result["seeds"]
    }


def entries(preset: str, options: dict) -> list[Entry]:
    found = []
    for name, view in (("fo", "full"), ("po", "po")):
        for label, change in VARIANTS.items():
            place = (preset, "ant", view, "full-replay", "moma_ppo", options)
            chosen = cell(*place, **change, ablation=True)
            found.append(Entry(name, label, (chosen,)))
            found.append(Entry(f"{name}, length", label, (chosen,), rollout_length))
            if change.get("world") != "simulator":
                found.append(Entry(f"{name}, size", label, (chosen,), state_size))
        for label, scaled in (("MOMA-IQL", True), ("MOMA-IQL, rewards as released", False)):
            chosen = cell(
                preset, "ant", view, "full-replay", "moma_iql", options, scaled_rewards=scaled
            )
            found.append(Entry(name, label, (chosen,)))
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
