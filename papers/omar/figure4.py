"""Figure 4: the sampler's iterations, samples, initial mean and standard deviation; cooperative
navigation, mean over the four data qualities, with MA-CQL as the line to beat."""

from common.reporting import figures, script
from common.reporting.tables import Entry, Table
from papers.omar.config import QUALITIES, Options, names
from papers.omar.experiment import cell

SWEEPS = {  # Figures 4a to 4d; the defaults are 3, 10, 0 and 2
    "iterations": (1, 2, 3, 5, 10),
    "samples": (5, 10, 15, 20, 25),
    "mean": (-0.2, -0.1, 0.0, 0.1, 0.2),
    "std": (1.0, 1.5, 2.0, 2.5, 3.0),
}
DEFAULTS = {"iterations": 3, "samples": 10, "mean": 0.0, "std": 2.0}


def entries(preset: str, options: dict) -> list[Entry]:
    def cells(method: str, hyper: dict):
        return tuple(
            cell(preset, "cooperative_navigation", q, method, options, sweep=True, hyper=hyper)
            for q in QUALITIES
        )

    def one(name: str, value: float) -> Entry:
        return Entry(
            name, f"{name}={value}", cells("omar", {} if value == DEFAULTS[name] else {name: value})
        )

    swept = [one(name, value) for name, values in SWEEPS.items() for value in values]
    return [*swept, Entry("ma_cql", "-", cells("ma_cql", {}))]


TABLE = Table(
    "omar",
    "figure4",
    "the sampler's settings, mean over data qualities",
    entries,
    draw=figures.panels,
    options=Options(),
    names=names(),
)

if __name__ == "__main__":
    script.main(TABLE)
