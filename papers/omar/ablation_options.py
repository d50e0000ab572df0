"""Ablation: OMAR on cooperative navigation with one reading of the paper's text at a time, the rest
as released.

`ablation_readings.py` changes all of them together; notes.md's table of differences says what
each one is.
"""

from typing import Any

from common.reporting import script
from common.reporting.tables import Entry, Table
from papers.omar.config import APPENDIX_COEFFICIENTS, QUALITIES, TEXT_BACKBONE, TEXT_HYPER
from papers.omar.experiment import cell

SHOWN = ("medium", "expert")
BACKBONE = {name: {"backbone": {name: value}} for name, value in TEXT_BACKBONE.items()}
HYPER = {name: {"hyper": {name: value}} for name, value in TEXT_HYPER["omar"].items()}
OTHER: dict[str, dict[str, Any]] = {
    "cql_policy_actions": {"hyper": {"cql_policy_actions": True}},
    "repeat_minibatches": {"repeat_minibatches": True},
}
CHANGES: dict[str, dict[str, Any]] = {
    "released": {},
    **BACKBONE,
    **HYPER,
    "coefficient": {},
    **OTHER,
}  # every option's other reading


def entries(preset: str, options: dict) -> list[Entry]:
    shown = []
    for quality in SHOWN:
        appendix = {
            "coefficient": {
                "hyper": {"coefficient": APPENDIX_COEFFICIENTS[QUALITIES.index(quality)]}
            }
        }
        for name, change in (CHANGES | appendix).items():
            chosen = cell(preset, "cooperative_navigation", quality, "omar", options, **change)
            shown.append(Entry(quality, name, (chosen,)))
    return shown


TABLE = Table("omar", "ablation_options", "OMAR, one reading of the text at a time", entries)

if __name__ == "__main__":
    script.main(TABLE)
