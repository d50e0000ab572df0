"""What is trained for cells on the robots: members are the seeds, and for CAST the variants, of one
data set. Methods differ in what agents observe and in their learner.
"""

import torch

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
from papers.cast_bcq.yardsticks import WAYS, looked_at, returns_to_go

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
    successors = method == "icq_ma"
    rows = JointRows([data], [0] * len(seeds), streams, agents, successors, device)
    learner = learner_of(members, agents, data["obs"].shape[-1], device)
    team = RobotTeam(robot, agents, device=device)
    constants = datasets.scale(robot, config["data_size"])
    ways = WAYS if hasattr(learner, "control") else ()
    known, of_data = yardstick(loaded, data, rows, config["hyper"]["gamma"])

    def draw(done: int):
        batch = rows.draw(config["batch_size"])
        return batch if method in JOINT else batch.separate()

    def returns(act, done: int) -> list[float]:
        """Mean returns [M] of a policy; starts are the same for whoever plays after `done`
        updates.
        """
        starts = generators(seeds, f"evaluation/{done}")
        return team.returns(act, starts, config["episodes"]).double().mean(1).tolist()

    def controlled(way: str, done: int):
        """A policy that does not choose, see `WAYS`."""
        drawn = Streams(seeds, f"acting/{done}/{way}", device)
        return lambda obs: learner.control(way, obs, drawn)

    def evaluate(done: int) -> dict[str, list]:
        """Mean returns, of the controls too where the score is measured; what critic and generator
        make of the data.
        """
        acting = Streams(seeds, f"acting/{done}", device)
        measured = {"return": returns(lambda obs: learner.act(obs, acting), done)}
        if known is not None and hasattr(learner, "value_on_data"):  # a method of one's own may not
            measured["value"] = learner.value_on_data(known).tolist()
            proposing = Streams(seeds, f"proposing/{done}", device)
            for name in ("spread", "correction"):
                if hasattr(learner, name):
                    measured[name] = getattr(learner, name)(known.obs, proposing).tolist()
        number = done * config["evaluations"] // config["updates"]
        if number > config["evaluations"] - config["last"]:
            measured |= {way: returns(controlled(way, done), done) for way in ways}
        return measured

    def scored(curve: list[float], name: str) -> dict:
        """Mean of the last evaluations, as a return and as a score."""
        fine = program.all_finite(curve)
        average = program.last_mean(curve, config["last"])
        ends = constants["expert"], constants["random"]
        return {
            f"{name}_return": average if fine else None,
            f"{name}_score": program.score(average, *ends) if fine else None,
        }

    def facts(course: Course) -> dict:
        curves = course.curves
        last = {
            name: program.finite(curves[name][-1]) if name in curves else None
            for name in ("value", "spread", "correction")
        }
        about = scored(curves["return"], "average")
        for way in ways:
            about |= scored(curves[way], way)
        return (
            about
            | last
            | of_data
            | {
                "data_score": program.score(
                    of_data["data_return"], constants["expert"], constants["random"]
                ),
                "curve": [program.finite(value) for value in curves["return"]],
                "values": [program.finite(value) for value in curves.get("value", [])],
            }
        )

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


def yardstick(loaded: dict, data: dict, rows: JointRows, gamma: float) -> tuple:
    """The rows that critics and generators are looked at on, for every member, None where all are
    near a cut; and what is known of the data: mean return-to-go of these rows, mean return of
    episodes, standard deviation of actions.
    """
    arrays = loaded["arrays"]
    numbers = looked_at(arrays)
    ends = arrays["terminals"] | arrays["timeouts"]
    to_go = returns_to_go(arrays["rewards"], ends, gamma)[numbers]
    about = {
        "return_to_go": float(to_go.mean()) if len(numbers) else None,
        "data_return": float(joint.episode_returns(arrays).mean()),
        "action_spread": float(arrays["actions"].std(0).mean()),
    }
    if not len(numbers):
        return None, about
    if rows.kept is not None:
        numbers = (rows.kept.cumsum(0) - 1)[numbers].numpy()
    return rows.gather(rows.starts + torch.from_numpy(numbers)), about
