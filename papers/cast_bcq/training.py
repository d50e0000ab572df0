"""What is trained for cells on the robots: members are the seeds, and for CAST the variants, of one
data set. Methods differ in what agents observe and in their learner.
"""

from common.learning.philox import Streams
from common.learning.population import generators
from common.running import program
from common.running.program import Course, Members, Training
from common.running.sources import resolve
from envs import datasets, joint
from envs.lockstep import View
from envs.mujoco.team import RobotTeam
from envs.mujoco.views import view
from papers.cast_bcq.config import METHODS
from papers.cast_bcq.data import DATA
from papers.cast_bcq.rows import JointRows

JOINT = ("ours", "icq_ma")  # learn from the rows of the whole team


def single(robot: str) -> View:
    """The robot as one agent that sees and drives everything."""
    full = view(robot, "full")
    return View(robot, "single", full.indices[:1], full.num_agents * full.action_dim)


def learner_of(members: Members, agents: View, state_dim: int, device: str):
    """The untrained learner of the cells' method, for agents that see and do so much."""
    config = members.config
    seeds = members.seeds
    method = config["method"]
    name, kind = METHODS[method]
    learner = resolve(name)
    hyper = kind(**config["hyper"])
    dims = agents.obs_dims
    action_dim = agents.action_dim
    if method == "ours":
        variant = resolve("papers.cast_bcq.cast:Variant")
        variants = [variant(**one["variant"]) for one in members.configs]
        return learner(seeds, dims, state_dim, action_dim, hyper, variants, device)
    if method == "icq_ma":
        return learner(seeds, dims, state_dim, action_dim, hyper, device)
    return learner(seeds, dims, action_dim, hyper, device)


def build(members: Members, device: str) -> Training:
    """What is trained for the members of some cells."""
    config = members.config
    seeds = members.seeds
    robot = config["task"]
    method = config["method"]
    agents = single(robot) if method == "bcq" else view(robot, config["observation"])
    (loaded,), _, checksums = DATA.load(members.cells)
    data = joint.transitions(loaded["arrays"], single(robot))
    streams = Streams(seeds, "minibatches", device)
    rows = JointRows([data], [0] * len(seeds), streams, agents, method == "icq_ma", device)
    learner = learner_of(members, agents, data["obs"].shape[-1], device)
    team = RobotTeam(robot, agents, device=device)
    constants = datasets.scale(robot, config["data_size"])
    expert = constants["expert"]
    random = constants["random"]

    def draw(done: int):
        batch = rows.draw(config["batch_size"])
        return batch if method in JOINT else batch.separate()

    def evaluate(done: int) -> dict[str, list]:
        """Mean returns; start states are the same at every evaluation."""
        acting = Streams(seeds, f"acting/{done}", device)
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
        data=checksums,
        summary=lambda courses: {"constants": constants},
        others={"minibatches": streams},
    )
