"""How far ICQ-MA's policies leave the data at several temperatures of their weights, after a few
hundred updates.

Prints the geometric mean probability that policies give the data's actions of living agents, beside
cloning's, at preset quick's sizes. No battle is played: this is what quick's temperature was chosen
by (papers/cast_bcq/notes.md, "Battles").

    python benchmarks/icq_temperature.py > benchmarks/icq_temperature.txt
"""

from typing import Any

import torch
from tqdm import tqdm

from common.running.program import Members, Training
from common.running.provenance import machine
from papers.cast_bcq import battles
from papers.cast_bcq.experiment import PAPER, battle_cell
from papers.cast_bcq.generators import available_only, chosen
from papers.cast_bcq.recurrent import HistoryNetwork, seen

MAPS = ("2s3z", "MMM")
PRESET = "quick"  # whose sizes
TEMPERATURES = (0.1, 1.0, 10.0)
UPDATES = 300
MINIBATCHES = 4


@torch.no_grad()
def likelihood(made: Training, network: HistoryNetwork) -> float:
    """Of the data's actions of living agents under the policy whose logits `network` gives."""
    total = 0.0
    count = 0.0
    for _ in range(MINIBATCHES):
        lanes = made.draw(UPDATES)
        logits = available_only(network.along(lanes, seen(lanes)), lanes.available)
        alive = (lanes.filled.unsqueeze(-1) > 0) & (lanes.available[..., 0] < 0.5)
        total += chosen(logits.log_softmax(-1), lanes.action)[alive].sum().item()
        count += alive.sum().item()
    return torch.tensor(total / count).exp().item()


def trained(name: str, method: str, temperature: float | None = None) -> Training:
    """What is trained, after UPDATES updates."""
    cell = battle_cell(PRESET, name, method, {})
    PAPER.data.prepare(cell)
    if temperature:
        cell.config["hyper"]["policy_temperature"] = temperature
    made = battles.build(Members([cell]), "cpu")
    title = f"{name} {method} {temperature or ''}"
    for done in tqdm(range(UPDATES), desc=title, leave=False):
        made.learner.update(made.draw(done))
    return made


def main() -> None:
    torch.set_num_threads(1)
    print(f"{machine('cpu')['processor']}, {UPDATES} updates, preset quick's sizes, three seeds")
    for name in MAPS:
        cloned = trained(name, "bc")
        cloner: Any = cloned.learner
        print(f"{name}: cloning {likelihood(cloned, cloner.generator.network):.3f}")
        for temperature in TEMPERATURES:
            made = trained(name, "icq_ma", temperature)
            learner: Any = made.learner
            share = likelihood(made, learner.actor)
            print(f"{name}: ICQ-MA at {temperature:g} {share:.3f}", flush=True)


if __name__ == "__main__":
    main()
