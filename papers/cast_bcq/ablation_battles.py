"""Battles under other readings of what the paper leaves open: on all maps, at quick on the
smallest.

Not in the paper. Of CAST-BCQ: defaults are one-step targets (Eq. 6) and discrete BCQ's threshold of
0.3, and an absent agent as the default action; the authors' deleted archive had traces of 0.75
(TD(lambda) on the data's actions) and a threshold of 0.5 on StarCraft, and the text's default
action is the no-op; the joint policy of Eq. 7 may be the one that Eq. 6 has found (on two maps: it
is there to save time). Of I-BCQ and MABCQ: without a threshold, so that they choose among all
available actions, as Q-learning does; it asks what keeps them from failing here. Of ICQ-MA: its own
temperature.
"""

from typing import Any

from common.reporting import script
from common.reporting.tables import Entry, Table
from papers.cast_bcq.config import MAPS, BattleOptions, reading_maps, small_maps
from papers.cast_bcq.experiment import SIMULATOR, battle_cell, win_rate

READINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "default": ("ours", {}),
    "trace 0.75": ("ours", {"trace": 0.75}),
    "threshold 0.5": ("ours", {"threshold": 0.5}),
    "default no-op": ("ours", {"default": "first"}),
    "shared joint policy": ("ours", {"shared": True}),
    "I-BCQ": ("i_bcq", {}),
    "I-BCQ, threshold 0": ("i_bcq", {"threshold": 0.0}),
    "MABCQ": ("mabcq", {}),
    "MABCQ, threshold 0": ("mabcq", {"threshold": 0.0}),
    "ICQ-MA": ("icq_ma", {}),
    "ICQ-MA, temperature 0.1": ("icq_ma", {"policy_temperature": 0.1}),
}
ON_SMALL_MAPS = ("shared joint policy",)


def entries(preset: str, options: dict) -> list[Entry]:
    def read(name: str, label: str) -> Entry:
        maps = small_maps if label in ON_SMALL_MAPS else reading_maps
        if name not in maps(preset):
            return Entry(name, label, (), missing=f"left out at {preset}")
        method, change = READINGS[label]
        return Entry(name, label, (battle_cell(preset, name, method, options | change),), win_rate)

    return [read(name, label) for name in MAPS for label in READINGS]


TABLE = Table(
    "cast_bcq",
    "ablation_battles",
    f"readings ({SIMULATOR})",
    entries,
    unit="win rate in %",
    decimals=0,
    options=BattleOptions(),
    decided=("default", "shared", "trace", "threshold", "policy_temperature"),
)

if __name__ == "__main__":
    script.main(TABLE)
