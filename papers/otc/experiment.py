"""The cells of OTC's tables: a cell is a method on a data set with its settings; see table1.py for
how they are used.
"""

from dataclasses import asdict

from common.reporting import tables
from common.running import experiment, work
from common.running.cells import Cell, Layer, merged
from envs.tasks import num_agents
from papers.otc import timing, training
from papers.otc.config import METHODS, Options, layers


def make_cell(
    preset: str,
    task: str,
    quality: str,
    base: str,
    method: str,
    seeds: list[int] | None = None,
    fixed_alpha: float | None = None,
    tuning: dict | None = None,
) -> Cell:
    """One cell with everything resolved.

    Args:
        method: key of METHODS.
        fixed_alpha: an exponent that Eq. 4 does not adapt.
        tuning: what differs from the defaults of `TuningConfig`: the readings.
    """
    strategy, alpha, adaptive = METHODS[method]
    words = [task, quality, base, method]
    if fixed_alpha is not None:
        alpha = float(fixed_alpha)
        adaptive = False
        words.append(f"alpha={fixed_alpha}")
    what = {"task": task, "quality": quality, "base": base, "strategy": strategy}
    rule = {"alpha": alpha, "adaptive": adaptive}
    defaults = [Layer("this script", what | rule), *layers(preset, base, task)]
    return Cell.of("otc", preset, words, defaults, {"tuning": tuning or {}}, seeds)


def cell(
    preset: str, task: str, quality: str, base: str, method: str, options: dict, **changes
) -> Cell:
    """A cell of a table script: `options` are the script's (OPTIONS, seeds), `changes` as in
    `make_cell`.
    """
    readings = {key: options.get(key, default) for key, default in asdict(Options()).items()}
    return make_cell(
        preset, task, quality, base, method, options.get("seeds"), tuning=readings, **changes
    )


def timing_cell(preset: str, options: dict) -> Cell:
    """The cell behind Table 2: updates at the paper's sizes, whatever the preset."""
    base = cell(preset, "halfcheetah", "medium-replay", "bcq", "uniform", options)
    short = {
        "timing": True,
        "offline_updates": 2,
        "embedding": {"updates": 2},
        "eval_episodes": 1,
    }
    above = [Layer("this script", short)]
    if preset != "smoke":
        paper = merged(layers("paper", "bcq"))
        taken = {key: paper[key] for key in ("tuning", "hyper", "seeds")}
        above.append(Layer("preset paper", taken))
    return base.under(["timing"], *above)


def improvement(results: list[dict]) -> dict[int, float | None]:
    """Per seed the improvement (%) of the last deployment's return over the offline policies'."""
    return tables.mean_of(results, "improvement")


def score_gain(results: list[dict]) -> dict[int, float | None]:
    """Per seed the gain of normalised score from the offline policies to the last deployment."""
    return tables.mean_of(results, "score_gain")


def last_return(results: list[dict]) -> dict[int, float | None]:
    """Per seed the raw return after the last deployment."""
    return tables.mean_of(results, "last_return")


MAP = "5m_vs_6m"  # of Figure 6d
# Seconds per agent-update of one member, one core, at the paper's sizes
UNIT_COST = {"bcq": 1.2e-3, "awac": 0.6e-3, "td3bc": 3e-3, "bremen": 6e-3, "cql": 1.5e-3}
CHOICE_COST = {"embedding": 1.0e-3, "value": 4.0e-3, "uniform": 0.2e-3}  # of an update's rows
ROBOT_EPISODE_COST = 0.15  # of 1,000 steps


def cost(cell: Cell) -> float:
    """Estimated seconds on one core."""
    config = cell.config
    if config.get("timing"):
        return {"smoke": 2, "paper": 60}.get(cell.preset, 20)
    update = UNIT_COST.get(config["base"], UNIT_COST["bcq"])
    update *= config["tuning"]["batch_size"] / 128
    choice = CHOICE_COST.get(config["strategy"], CHOICE_COST["uniform"])
    choice *= config["tuning"]["candidates"] / 512
    offline = config["offline_updates"] * update / 3  # shared by the variants of a seed
    tuning = config["deployments"] * config["tuning_updates"] * (update + choice)
    learning = num_agents(config["task"]) * (offline + tuning)
    playing = 0.0
    if training.uses_robot(cell):
        episodes = config["eval_episodes"] * (config["deployments"] + 1)
        playing = episodes * ROBOT_EPISODE_COST
    return 1 + len(config["seeds"]) * (learning + playing)


def train(cells: list[Cell], device: str, checkpoint, progress) -> list[dict]:
    """Trains a program of cells; see training.py and timing.py."""
    kind = timing if cells[0].config.get("timing") else training
    return kind.train(cells, device, checkpoint, progress)


PAPER = work.Paper(
    name="otc",
    roots=training.roots,
    data=training.DATA,
    program_key=training.program_key,
    train=train,
    record=experiment.record_cell,
    cost=cost,
    max_members={"paper": 60},  # small networks, and variants share their offline phase
)
