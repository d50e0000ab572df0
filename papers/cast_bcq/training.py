"""What is trained for cells on the robots: members are the seeds, and for CAST the variants, of one
data set. Methods differ in what agents observe and in their learner.
"""

from pathlib import Path

from common.learning.bcq import BCQ, BCQConfig
from common.learning.population import generators
from common.running import program
from common.running.cells import Cell
from common.running.program import Course, Members, Training
from envs import datasets, joint
from envs.lockstep import View
from envs.mujoco.team import RobotTeam
from envs.mujoco.views import view
from papers.cast_bcq.baselines import ICQ, MABCQ, ICQConfig, MABCQConfig
from papers.cast_bcq.cast import CAST, CASTConfig, Variant
from papers.cast_bcq.rows import Rows

SOURCES = [
    *(
        f"papers/cast_bcq/{name}.py"
        for name in ("baselines", "cast", "contributions", "rows", "training")
    ),
    *(
        f"common/learning/{name}"
        for name in (
            "bcq.py",
            "learner.py",
            "kernels.py",
            "kernels.c",
            "losses.py",
            "networks.py",
            "population.py",
            "vae.py",
        )
    ),
    "envs/joint.py",
    "envs/lockstep.py",
    "envs/mujoco/batch.py",
    "envs/mujoco/robots.py",
    "envs/mujoco/team.py",
    "envs/mujoco/views.py",
]
OWN = ("variant", "seeds")  # of a cell; the rest of its configuration is its program's
JOINT = ("ours", "icq_ma")  # learn from the rows of the whole team
DATA_SEED = 0  # robots have one data set of each quality


def sources(cell: Cell) -> list[str]:
    """Files whose code decides the cell's numbers."""
    return SOURCES


def program_key(cell: Cell) -> tuple:
    """Cells with equal keys can be trained together."""
    return tuple(sorted((key, repr(value)) for key, value in cell.config.items() if key not in OWN))


def data_path(cell: Cell) -> Path:
    """The cell's data set."""
    return datasets.data_path(
        cell.config["task"], cell.config["quality"], DATA_SEED, cell.config["data_size"]
    )


def data_recipes(cell: Cell) -> dict[str, str]:
    """Recipe of the cell's data set; {} where it is not known."""
    try:
        return {
            "0": datasets.recipe(
                cell.config["task"], cell.config["quality"], DATA_SEED, cell.config["data_size"]
            )
        }
    except (datasets.DataError, FileNotFoundError):
        return {}


def single(robot: str) -> View:
    """The robot as one agent that sees and drives everything."""
    full = view(robot, "full")
    return View(robot, "single", full.indices[:1], full.num_agents * full.action_dim)


def learner_of(members: Members, agents: View, state_dim: int, device: str):
    """The untrained learner of the cells' method, for agents that see and do so much."""
    config = members.config
    seeds = members.seeds
    hyper = config["hyper"]
    dims = agents.obs_dims
    action_dim = agents.action_dim
    if config["method"] == "ours":
        variants = [Variant(**one["variant"]) for one in members.configs]
        return CAST(seeds, dims, state_dim, action_dim, CASTConfig(**hyper), variants, device)
    if config["method"] == "icq_ma":
        return ICQ(seeds, dims, state_dim, action_dim, ICQConfig(**hyper), device)
    if config["method"] == "mabcq":
        return MABCQ(seeds, dims, action_dim, MABCQConfig(**hyper), device)
    return BCQ(seeds, dims, action_dim, BCQConfig(**hyper), device)


def build(members: Members, device: str) -> Training:
    """What is trained for the members of some cells."""
    config = members.config
    seeds = members.seeds
    robot = config["task"]
    method = config["method"]
    agents = single(robot) if method == "bcq" else view(robot, config["observation"])
    loaded = datasets.load(data_path(members.cells[0]))
    data = joint.transitions(loaded["arrays"], single(robot))
    streams = generators(seeds, "minibatches")
    rows = Rows([data], [0] * len(seeds), streams, agents, method == "icq_ma", device)
    learner = learner_of(members, agents, data["obs"].shape[-1], device)
    team = RobotTeam(robot, agents, device=device)
    expert, random = datasets.constants(robot)

    def draw(done: int):
        batch = rows.draw(config["batch_size"])
        return batch if method in JOINT else batch.separate()

    def evaluate(done: int) -> dict[str, list]:
        """Mean returns; start states are the same at every evaluation."""
        acting = generators(seeds, f"acting/{done}", device)
        starts = generators(seeds, "evaluation")
        returns = team.returns(lambda obs: learner.act(obs, acting), starts, config["episodes"])
        return {"return": returns.double().mean(1).tolist()}

    def facts(course: Course) -> dict:
        curve = course.curves["return"]
        fine = program.all_finite(curve)
        average = program.last_mean(curve, config["last"])
        return {
            "average_return": average if fine else None,
            "average_score": program.score(average, expert, random) if fine else None,
            "last_return": curve[-1] if fine else None,
            "best_return": max(curve) if fine else None,
            "curve": [program.finite(value) for value in curve],
        }

    return Training(
        learner=learner,
        draw=draw,
        evaluate=evaluate,
        evaluate_at=program.evenly(config["updates"], config["evaluations"]),
        facts=facts,
        total=config["updates"],
        data=[{"0": loaded["sha256"]} for _ in members.cells],
        summary=lambda courses: {"constants": {"expert": expert, "random": random}},
        others={"minibatches": streams},
    )
