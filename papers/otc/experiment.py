"""The cells of OTC's tables: a cell is a method on a data set with its settings; see table1.py for
how they are used.
"""

from dataclasses import asdict

from common.reporting import tables
from common.running import experiment, work
from common.running.cells import Cell, Layer, merged
from envs.datasets.sizes import known_sizes
from envs.tasks import num_agents
from papers.otc import timing, training
from papers.otc.config import HYPER, METHODS, ROBOTS, Options, layers

NAMES = {
    "bcq": "BCQ",
    "d_e+bcq": "OTC (d_e), BCQ",
    "d_q+bcq": "OTC (d_q), BCQ",
    "awac": "AWAC",
    "d_e+awac": "OTC (d_e), AWAC",
    "d_q+awac": "OTC (d_q), AWAC",
    "bremen": "BREMEN",
    "cql": "CQL",
    "td3bc": "TD3+BC",
    "otc": "OTC",
    "balanced_replay": "Balanced Replay",
    "online_only": "online only",
}  # columns, for people


def make_cell(
    preset: str,
    task: str,
    quality: str,
    base: str,
    method: str,
    seeds: list[int] | None = None,
    fixed_alpha: float | None = None,
    changes: dict | None = None,
) -> Cell:
    """One cell with everything resolved.

    Args:
        method: key of METHODS.
        fixed_alpha: an exponent that Eq. 4 does not adapt.
        changes: what differs from the defaults, by group of the configuration: the readings.
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
    if method == "balanced":  # its network learns as much as the learner's
        usual = merged(defaults)
        faster = usual["balanced"]["lr"] * usual["tuning_rate"]
        defaults.append(Layer(f"preset {preset}", {"balanced": {"lr": faster}}))
    return Cell.of("otc", preset, words, defaults, changes or {}, seeds)


def cell(
    preset: str, task: str, quality: str, base: str, method: str, options: dict, **changes
) -> Cell:
    """A cell of a table script: `options` are the script's (OPTIONS, seeds), `changes` as in
    `make_cell`.
    """
    chosen = {key: options.get(key, default) for key, default in asdict(Options()).items()}
    readings = {
        "embedding": {"target": chosen.pop("embedding_target")},
        "tuning": chosen,
    }
    return make_cell(
        preset, task, quality, base, method, options.get("seeds"), changes=readings, **changes
    )


def timing_cell(preset: str, options: dict) -> Cell:
    """The cell behind Table 2: updates at the paper's sizes, whatever the preset."""
    base = cell(preset, "halfcheetah", "medium-replay", "bcq", "uniform", options)
    short = {
        "timing": True,
        "offline_updates": 2,
        "embedding": {"updates": 2},
        "eval_episodes": 1,
        "final_episodes": 1,
    }
    above = [Layer("this script", short)]
    if preset != "smoke":
        paper = merged(layers("paper", "bcq"))
        taken = {key: paper[key] for key in ("tuning", "hyper", "seeds")}
        above.append(Layer("preset paper", taken))
    return base.under(["timing"], *above)


def improvement(results: list[dict]) -> dict[int, float | None]:
    """Per seed what the return gained by the last deployment, in % of what the offline policies
    return, mean over seeds: in % of its own, one seed that returns nearly nothing outweighs all.
    """
    first = tables.mean_of(results, "first_return")
    last = tables.mean_of(results, "last_return")
    known = [level for level in first.values() if level is not None]
    whole = abs(sum(known)) / max(1, len(known))

    def of(before: float | None, after: float | None) -> float | None:
        if before is None or after is None or not whole:
            return None
        return 100 * (after - before) / whole

    return {seed: of(level, last[seed]) for seed, level in first.items()}


def score_gain(results: list[dict]) -> dict[int, float | None]:
    """Per seed the gain of normalised score from the offline policies to the last deployment."""
    return tables.mean_of(results, "score_gain")


def last_return(results: list[dict]) -> dict[int, float | None]:
    """Per seed the raw return after the last deployment."""
    return tables.mean_of(results, "last_return")


MAP = "5m_vs_6m"  # of Figure 6d
# Seconds of one core. Measured with all four cores of a machine busy and divided by 1.25: a quiet
# one is faster by as much again. Of an agent-update of a member of a program of thirty, at the
# paper's sizes; CQL's is guessed from its size.
UNIT_COST = {"bcq": 0.8e-3, "awac": 0.32e-3, "td3bc": 2.2e-3, "bremen": 3.4e-3, "cql": 1.5e-3}
# Of choosing an update's rows from 512 of networks of width 64; Balanced Replay's is by itself
CHOICE_COST = {"embedding": 0.45e-3, "value": 0.4e-3, "uniform": 0.05e-3}
PROPOSAL_COST = 0.27e-3  # of each action in V(s'), of 1,024 rows
BALANCED_COST = 2.6e-3
EMBEDDING_COST = 0.24e-3  # of an update of the embedding of width 64
IMPROVE_COST = 38e-3  # of a trust-region step on 1,000 imagined rows, width 64
GROWTH = 1.25  # time grows with this power of the width
EMBEDDED_COST = 1.3e-6  # of a row that is embedded, width 64
START_COST = 1.5  # of a program
DEPLOYMENT_COST = 2.4  # of a program's: thousand steps of few robots, one after the other
# Of a step of a robot with its policy; two of them are integrated by Runge-Kutta's fourth order
STEP_COST = {"halfcheetah": 30e-6, "hopper": 60e-6, "walker2d": 90e-6}
UPDATE_COST = 5e-3  # of an update of a whole program, however few its members
CANDIDATE_COST = 0.43e-6  # of each action that BCQ chooses from
# Steps of an episode, by robot and quality: mean of the data's, but policies learned from random
# data fall later than random ones, and walker2d's earlier than those of its medium data
LENGTH = {
    "halfcheetah": {"random": 1000, "medium-replay": 1000, "medium": 1000},
    "hopper": {"random": 100, "medium-replay": 190, "medium": 420},
    "walker2d": {"random": 150, "medium-replay": 310, "medium": 500},
}
SWEPT = ("kinematic_navigation_4", "kinematic_navigation_6")  # Figure 8's


def cost(cell: Cell) -> float:
    """Estimated seconds on one core."""
    config = cell.config
    if config.get("timing"):
        return {"smoke": 2, "paper": 60}.get(cell.preset, 20)
    base = config["base"]
    share = config["tuning"]["batch_size"] / 128
    usual = HYPER.get(base, HYPER["bcq"])["hidden"]
    narrower = config["hyper"].get("hidden", usual) / usual
    update = UNIT_COST.get(base, UNIT_COST["bcq"]) * share * narrower**GROWTH
    shared = 1 / variants(config)
    seconds = config["offline_updates"] * update * 1.3 * shared
    tuned = update + choosing(config)
    seconds += config["deployments"] * config["tuning_updates"] * tuned
    if config["strategy"] == "embedding":
        embedding = config["embedding"]
        cost_of_one = EMBEDDING_COST * width(config) * embedding["batch_size"] / 128
        seconds += embedding["updates"] * cost_of_one + rows_of(cell) * EMBEDDED_COST * width(
            config
        )
    if base == "bremen":
        hyper = config["hyper"]
        rows = hyper["rollouts"] * hyper["horizon"] / 1000
        steps = hyper["first_iterations"] * shared + config["deployments"] * hyper["iterations"]
        seconds += steps * rows * IMPROVE_COST * width(config)
    playing = robot_steps(cell) * CANDIDATE_COST * candidates_of(config)
    if training.uses_robot(cell):
        playing += robot_steps(cell) * STEP_COST[config["task"]]
    updates = config["offline_updates"] + config["deployments"] * config["tuning_updates"]
    whole = START_COST + config["deployments"] * DEPLOYMENT_COST * training.uses_robot(cell)
    whole += updates * UPDATE_COST
    return shared * whole + len(config["seeds"]) * (num_agents(config["task"]) * seconds + playing)


def variants(config: dict) -> int:
    """Cells that are trained in one program and share their offline phase: of a robot Table 1's
    three, but one or two under other readings (ablation_readings.py, ablation_offline.py).
    """
    if config["task"] not in ROBOTS:
        return 7 if config["task"] in SWEPT and config["base"] == "td3bc" else 2
    tuning, usual = config["tuning"], Options()
    of_one_distance = (
        tuning["normaliser"] != usual.normaliser
        or config["embedding"]["target"] != usual.embedding_target
        or config["deployments"] == 1
    )
    if of_one_distance:
        return 1
    return 2 if tuning["replacement"] != usual.replacement else 3


def width(config: dict) -> float:
    """How many times as long networks of the cell's width take as networks of 64."""
    return (config["hyper"].get("hidden", 64) / 64) ** GROWTH


def choosing(config: dict) -> float:
    """Estimated seconds of choosing the rows of an agent-update."""
    tuning = config["tuning"]
    strategy = config["strategy"]
    if strategy == "balanced":
        return BALANCED_COST * tuning["batch_size"] / 128
    choice = CHOICE_COST.get(strategy, CHOICE_COST["uniform"])
    if strategy == "value":
        samples = tuning["value_samples"] if config["base"] in ("bcq", "awac") else 1
        choice = (choice + PROPOSAL_COST * samples) * width(config)
    minibatches = config["hyper"].get("models", 1)
    return minibatches * choice * tuning["candidates"] / 512


def robot_steps(cell: Cell) -> int:
    """Steps of a robot that a member plays, to be evaluated and to collect."""
    if not training.uses_robot(cell):
        return 0
    config = cell.config
    between = config["deployments"] - 1
    # Before the first deployment once for all variants
    ends = config["final_episodes"] * (1 + 1 / variants(config))
    episodes = ends + between * config["eval_episodes"]
    brought = int(config["deployment_share"] * rows_of(cell))
    return (
        round(LENGTH[config["task"]][config["quality"]] * episodes)
        + config["deployments"] * brought
    )


def rows_of(cell: Cell) -> int:
    """Rows of the cell's data set; 0 of one that is imported."""
    config = cell.config
    size = known_sizes().get((config["task"], config["quality"], config["data_size"]))
    return size.steps if size else 0


def candidates_of(config: dict) -> int:
    """Actions of which BCQ takes the best; others have one."""
    return config["hyper"].get("act_samples", 1)


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
    record=experiment.Recording,
    cost=cost,
    # small networks, and variants share their offline phase
    max_members=dict.fromkeys(("quick", "standard", "paper"), 60),
)
