"""What is trained for cells on the robots: members are the seeds, and for CAST the variants, on one
or several data sets of a robot. Methods differ in what agents observe and in their learner.
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
from papers.cast_bcq.playing import EpisodeStreams, returns
from papers.cast_bcq.rows import JointRows
from papers.cast_bcq.yardsticks import WAYS, yardstick

JOINT = ("ours", "icq_ma")  # learn from the rows of the whole team
METHOD = "method"  # the way of acting that is not a control


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
    loaded = DATA.load(members.cells)
    sets = [joint.transitions(one["arrays"], single(robot)) for one in loaded.sets]
    sizes = [len(cell.config["seeds"]) for cell in members.cells]
    which = [d for d, size in zip(loaded.members, sizes, strict=True) for _ in range(size)]
    streams = Streams(seeds, "minibatches", device)
    successors = method == "icq_ma"
    rows = JointRows(sets, which, streams, agents, successors, device)
    learner = learner_of(members, agents, sets[0]["obs"].shape[-1], device)
    team = RobotTeam(robot, agents, device=device)
    constants = datasets.scale(robot, config["data_size"])
    ways = WAYS if hasattr(learner, "control") else ()
    yardsticks = [yardstick(one["arrays"], config["hyper"]["gamma"]) for one in loaded.sets]
    known = rows.at([one.numbers for one in yardsticks])

    def draw(done: int):
        batch = rows.draw(config["batch_size"])
        return batch if method in JOINT else batch.separate()

    def played(way: str, done: int) -> list[float]:
        """Mean returns [M] of the policy, or of one that does not choose ("method", or see `WAYS`);
        starts are the same for whoever plays after `done` updates.
        """
        purpose = f"acting/{done}" if way == METHOD else f"acting/{done}/{way}"
        drawn = EpisodeStreams(seeds, purpose, config["episodes"], device)
        starts = generators(seeds, f"evaluation/{done}")

        def act(obs):
            return learner.act(obs, drawn) if way == METHOD else learner.control(way, obs, drawn)

        return returns(team, act, drawn, starts).double().mean(1).tolist()

    def evaluate(done: int) -> dict[str, list]:
        """Mean returns, of the controls too where the score is measured; what critic and generator
        make of the data.
        """
        measured = {"return": played(METHOD, done)}
        proposing = Streams(seeds, f"proposing/{done}", device)
        if hasattr(learner, "value_on_data"):  # a method of one's own may not
            measured["value"] = learner.value_on_data(known).tolist()
        for name in ("spread", "correction"):
            if hasattr(learner, name):
                measured[name] = getattr(learner, name)(known.obs, proposing).tolist()
        number = done * config["evaluations"] // config["updates"]
        if number > config["evaluations"] - config["last"]:
            measured |= {way: played(way, done) for way in ways}
        return measured

    def score(value: float) -> float | None:
        return program.score(value, constants["expert"], constants["random"])

    def scored(curve: list[float], name: str) -> dict:
        """Mean of the last evaluations, as a return and as a score."""
        fine = program.all_finite(curve)
        average = program.last_mean(curve, config["last"])
        return {
            f"{name}_return": average if fine else None,
            f"{name}_score": score(average) if fine else None,
        }

    def facts(course: Course) -> dict:
        of_data = yardsticks[which[course.place]]
        judged = of_data.return_to_go is not None  # else values have nothing beside them
        curves = course.curves if judged else course.curves | {"value": []}
        last = {
            name: program.finite(curves[name][-1]) if curves.get(name) else None
            for name in ("value", "spread", "correction")
        }
        about = scored(curves["return"], "average")
        for way in ways:
            about |= scored(curves[way], way)
        return (
            about
            | last
            | {
                "return_to_go": of_data.return_to_go,
                "data_return": of_data.data_return,
                "data_score": score(of_data.data_return),
                "action_spread": of_data.action_spread,
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
        data=loaded.checksums,
        summary=lambda courses: {"constants": constants},
        others={"minibatches": streams},
    )
