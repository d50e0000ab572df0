"""Table 1: behaviour policies of the coordination game's data sets, and their average score."""

from common.reporting import script
from common.reporting.tables import Entry, Table
from envs.coordination import game
from papers.moma_ppo.tasks import DATA_SEED


def score_of(setting: str, rows: int):
    """The mean reward of a data set."""
    return lambda results: {DATA_SEED: float(game.data(setting, DATA_SEED, rows)["rewards"].mean())}


def constant(number: float):
    """A number of the data's recipe."""
    return lambda results: {DATA_SEED: number}


def entries(preset: str, options: dict) -> list[Entry]:
    shown = []
    for setting, chances in game.SETTINGS.items():
        for agent, chance in enumerate(chances, 1):
            shown.append(Entry(setting, f"p_a{agent}_right", (), constant(chance)))
        shown.append(Entry(setting, "average_score", (), score_of(setting, game.ROWS)))
    return shown


TABLE = Table(
    "moma_ppo",
    "table1",
    "the coordination game's data",
    entries,
    unit="probability, or reward",
    decimals=3,
)

if __name__ == "__main__":
    script.main(TABLE)
