"""Table 4: OMAR with its own sampler, the cross-entropy method and random shooting, cooperative
navigation.
"""

from common.reporting import script
from common.reporting.tables import Entry, Table
from papers.omar.config import QUALITIES, Options
from papers.omar.experiment import cell

SAMPLERS = ("random", "cem", "omar")  # 30 valued actions each


def entries(preset: str, options: dict) -> list[Entry]:
    def one(sampler: str, quality: str) -> Entry:
        hyper = {} if sampler == "omar" else {"sampler": sampler}
        return Entry(
            sampler,
            quality,
            (cell(preset, "cooperative_navigation", quality, "omar", options, hyper=hyper),),
        )

    return [one(sampler, quality) for sampler in SAMPLERS for quality in QUALITIES]


TABLE = Table(
    "omar",
    "table4",
    "OMAR's sampler against two others at equal budget",
    entries,
    options=Options(),
)

if __name__ == "__main__":
    script.main(TABLE)
