"""What MOMA-PPO's teams earn in the world model and, from the same states of the data, in the
simulator: the quantity that learning in a model stands or falls with. Of Table 4, of Figure 6 and
of the ablations ("ablation").

Rewards a step over 10 and 50 steps of greedy teams, penalties left out, 0 after an episode's end;
the share of teams that have not fallen after 50 steps in the simulator; values as shares of the
largest that a state can have, on average and at most; the mean length of rollouts, and the share of
them that uncertainty ended. Means of the last evaluations. Reacher's rewards are all negative, so
that no share of a largest value means anything there.
"""

from collections.abc import Callable

from common.reporting import script
from common.reporting.tables import Entry, Table
from common.running.program import last_mean
from papers.moma_ppo import ablation_parts, figure6, table4a, table4b
from papers.moma_ppo.config import AntOptions

AUDITED = ("imagined_10", "true_10", "imagined_50", "true_50", "upright_50")
SHARES = ("value_share", "top_value_share")
REPORTED = (*SHARES, "length", "cut_rollouts")
VIEWS = ("fo", "po")  # rows of scores
LAST = 5  # evaluations


def audited(name: str) -> Callable[[list[dict]], dict[int, float | None]]:
    """Of the last evaluations' audits."""
    return lambda results: {
        seed["seed"]: None if None in curve[-LAST:] else last_mean(curve, LAST)
        for result in results
        for seed in result["seeds"]
        for curve in [seed["curves"][name]]
    }


def reported(name: str) -> Callable[[list[dict]], dict[int, float | None]]:
    """Of rollouts since the last evaluation but one."""
    return lambda results: {
        seed["seed"]: seed["facts"][-1][name] for result in results for seed in result["seeds"]
    }


COLUMNS = {name: audited(name) for name in AUDITED} | {name: reported(name) for name in REPORTED}


def entries(preset: str, options: dict) -> list[Entry]:
    return [
        shown(task, f"{task}, {entry.row}", column, entry)
        for task, table in (("reacher", table4a), ("ant", table4b))
        for entry in table.entries(preset, options)
        if entry.column == "moma_ppo"
        for column in COLUMNS
    ] + [
        Entry(f"ablation, {entry.row}/{entry.column}", column, entry.cells, COLUMNS[column])
        for entry in ablated(preset, options)
        for column in AUDITED
    ]


def shown(task: str, row: str, column: str, entry: Entry) -> Entry:
    """A number of the entry's teams."""
    why = "rewards are negative" if task == "reacher" and column in SHARES else entry.missing
    return Entry(row, column, () if why else entry.cells, COLUMNS[column], missing=why)


def ablated(preset: str, options: dict) -> list[Entry]:
    """Of Figure 6 and of the parts, teams that learn in a model; each once."""
    both = [*figure6.entries(preset, options), *ablation_parts.entries(preset, options)]
    by_cell = {
        entry.cells: entry
        for entry in reversed(both)
        if entry.cells
        and entry.cells[0].config["method"] == "moma_ppo"
        and entry.cells[0].config["world"] == "model"
        and entry.row in VIEWS
    }
    return list(reversed(by_cell.values()))


TABLE = Table(
    "moma_ppo",
    "table4_imagined",
    "true and imagined reward of MOMA-PPO's teams",
    entries,
    unit="reward a step, or as the column says",
    decimals=2,
    options=AntOptions(),
)

if __name__ == "__main__":
    script.main(TABLE)
