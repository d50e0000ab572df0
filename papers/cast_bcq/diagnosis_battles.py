"""What methods choose from in battles, beside their data (SMAC-like): why I-BCQ and MABCQ do not
fail here as published.

Not in the paper. Rows "data": how often the data's battles are won, those of the best of the teams
that they are from, and that team's share of the battles. Rows of methods, at the last evaluation:
how many actions are available to a living agent, how many of these the generator's threshold
allows, and in how many % of its decisions the method does what cloning would; the mean value of the
data's actions ("value", of the team or of an agent) beside the discounted return-to-go of the same
places. I-BCQ without a threshold is in ablation_battles.py.
"""

from common.reporting import script
from common.reporting.tables import Entry, Table
from papers.cast_bcq.config import BATTLE_METHODS, MAPS, BattleOptions
from papers.cast_bcq.experiment import SIMULATOR, TITLES, battle_cell, of_seed

OF_DATA = {
    "win rate": "data_win_rate",
    "best team": "best_team_win_rate",
    "its share": "best_team_share",
}
OF_METHODS = {
    "win rate": "win_rate",
    "available": "available",
    "allowed": "allowed",
    "as cloned": "as_cloned",
}
CHOOSING = ("i_bcq", "mabcq", "ours")
OF_CRITICS = {"value": "value", "return-to-go": "return_to_go"}


def entries(preset: str, options: dict) -> list[Entry]:
    shown = []
    for name in MAPS:
        made = battle_cell(preset, name, "i_bcq", options)
        for column, key in OF_DATA.items():
            shown.append(Entry(f"{name}/data", column, (made,), of_seed(key)))
        for method in BATTLE_METHODS:
            made = battle_cell(preset, name, method, options)
            columns = OF_METHODS if method in CHOOSING else {"win rate": "win_rate"}
            for column, key in (columns | OF_CRITICS).items():
                shown.append(Entry(f"{name}/{method}", column, (made,), of_seed(key)))
    return shown


TABLE = Table(
    "cast_bcq",
    "diagnosis_battles",
    f"what methods choose from ({SIMULATOR})",
    entries,
    unit="%, actions, or value",
    decimals=1,
    options=BattleOptions(),
    names=TITLES,
)

if __name__ == "__main__":
    script.main(TABLE)
