"""Ablation: what is behind a step that uncertainty cut, and when it cuts, on the fully observed
ant's full-replay data.

The text bootstraps from "the value of the last state": by default the last one that the models
agreed about; "next" is the one that was generated behind it; an end, MOReL's reading, is what the
text rejects. "length" is the other l_eps. Columns as in `table4_imagined.py`: what decides is not
the score but whether values run past what can be earned (`top_value_share` above 1) and whether
true reward follows the imagined one.
"""

from common.reporting import script
from common.reporting.tables import Entry, Table, last_score
from papers.moma_ppo.config import ABLATED_ON, AntOptions, preset_of
from papers.moma_ppo.experiment import cell, distance
from papers.moma_ppo.table4_imagined import COLUMNS

READINGS: dict[str, dict[str, str]] = {
    "default": {},
    "cut=next": {"cut": "next"},
    "cut=end": {"cut": "end"},
    "l_eps=length": {"l_eps": "length"},
}
SHOWN = {"score": last_score, "distance": distance} | COLUMNS


def entries(preset: str, options: dict) -> list[Entry]:
    fewer = preset_of(preset, "ant").get("seeds_of_readings")
    found = []
    for name, change in READINGS.items():
        seeds = fewer if change else None
        place = (preset, "ant", "full", ABLATED_ON, "moma_ppo")
        made = cell(*place, options | change, seeds=seeds)
        found += [Entry(name, column, (made,), value) for column, value in SHOWN.items()]
    return found


TABLE = Table(
    "moma_ppo",
    "ablation_readings",
    "readings of a cut rollout's end",
    entries,
    unit="as the column says",
    decimals=2,
    options=AntOptions(),
    decided=("cut", "l_eps"),
)

if __name__ == "__main__":
    script.main(TABLE)
