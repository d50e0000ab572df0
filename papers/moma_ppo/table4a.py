"""Table 4a: two-agent Reacher on a mixture of incompatible experts, three observation functions."""

from common.reporting import script
from common.reporting.tables import Entry, Table
from papers.moma_ppo.config import REACHER, VIEWS, Options
from papers.moma_ppo.experiment import NAMES, cell


def entries(preset: str, options: dict) -> list[Entry]:
    found = []
    for row, view in VIEWS.items():
        for method in REACHER:
            if method == "iql" and view != "full":
                found.append(
                    Entry(
                        row, method, (), missing="centralised execution needs the whole observation"
                    )
                )
            else:
                found.append(
                    Entry(
                        row, method, (cell(preset, "reacher", view, "expert-mix", method, options),)
                    )
                )
    return found


TABLE = Table(
    "moma_ppo",
    "table4a",
    "two-agent Reacher",
    entries,
    decimals=2,
    options=Options(),
    published_runs=3,
    ours="moma_ppo",
    published_sem=True,
    names=NAMES,
)

if __name__ == "__main__":
    script.main(TABLE)
