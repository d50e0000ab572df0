"""How far ICQ-MA's policies leave the data at several temperatures of their weights, after a few
hundred updates.

Prints the geometric mean probability that policies give the data's actions of living agents, beside
cloning's, at preset quick's sizes. No battle is played: this is what quick's temperature was chosen
by (papers/cast_bcq/README.md, "Battles").

    python benchmarks/icq_temperature.py > benchmarks/icq_temperature.txt
"""

import sys

sys.path.pop(0)  # this script's folder: there `envs` is a script, not the package

import torch
from tqdm import tqdm

from common.running.provenance import machine
from papers.cast_bcq.battles import Program
from papers.cast_bcq.experiment import BATTLE_OPTIONS, battle_cell, prepare
from papers.cast_bcq.recurrent import chosen

MAPS, TEMPERATURES, UPDATES, MINIBATCHES = ("2s3z", "MMM"), (0.1, 1.0, 10.0), 300, 4


@torch.no_grad()
def likelihood(program: Program, network: str) -> float:
    """Of the data's actions of living agents under the policy whose logits `network` gives."""
    total, count = 0.0, 0.0
    for _ in range(MINIBATCHES):
        lanes = program.store.draw()
        x = program.learner.inputs(lanes.obs, lanes.last)
        logits = program.learner.along(network, x, lanes).masked_fill(
            lanes.available < 0.5, -torch.inf
        )
        alive = (lanes.filled.unsqueeze(-1) > 0) & (lanes.available[..., 0] < 0.5)
        total += chosen(logits.log_softmax(-1), lanes.action)[alive].sum().item()
        count += alive.sum().item()
    return torch.tensor(total / count).exp().item()


def trained(name: str, method: str, temperature: float | None = None) -> Program:
    """A program after UPDATES updates, without evaluations."""
    cell = battle_cell("quick", name, method, BATTLE_OPTIONS)
    prepare(cell)
    cell.config.update(updates=UPDATES, evaluations=1)
    if temperature:
        cell.config["hyper"]["policy_temperature"] = temperature
    program = Program([cell], "cpu")
    program.evaluate = lambda: ([], [])
    for _ in tqdm(
        program.updates(), total=UPDATES, desc=f"{name} {method} {temperature or ''}", leave=False
    ):
        pass
    return program


def main() -> None:
    torch.set_num_threads(1)
    print(f"{machine('cpu')['processor']}, {UPDATES} updates, preset quick's sizes, three seeds")
    for name in MAPS:
        print(f"{name}: cloning {likelihood(trained(name, 'bc'), 'generator'):.3f}")
        for temperature in TEMPERATURES:
            print(
                f"{name}: ICQ-MA at {temperature:g} {likelihood(trained(name, 'icq_ma', temperature), 'actor'):.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
