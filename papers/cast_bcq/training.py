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
from papers.cast_bcq.yardsticks import WAYS, Yardstick, yardstick

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


def facts_of(
    course: Course, of_data: Yardstick, ways: tuple[str, ...], last: int, constants: dict
) -> dict:
    """What a result says of a seed: what it gained in every way of acting, what its critic and
    generator know, and the data's own.

    Args:
        ways: of acting, the method's first; `last`: evaluations that scores are means of.
        constants: returns of the random and the expert policy.
    """
    curves = course.curves

    def score(value: float) -> float | None:
        return program.score(value, constants["expert"], constants["random"])

    about: dict = {}
    for way in ways:
        curve = curves["return" if way == METHOD else way]
        name = "average" if way == METHOD else way
        average = program.last_mean(curve, last) if program.all_finite(curve) else None
        about[f"{name}_return"] = average
        about[f"{name}_score"] = None if average is None else score(average)
    # where no row is away from the clock's cut values have nothing beside them
    values = curves.get("value", []) if of_data.return_to_go is not None else []
    known = {
        "value": values,
        "spread": curves.get("spread"),
        "correction": curves.get("correction"),
    }
    return (
        about
        | {name: program.finite(curve[-1]) if curve else None for name, curve in known.items()}
        | {
            "return_to_go": of_data.return_to_go,
            "data_return": of_data.data_return,
            "data_score": score(of_data.data_return),
            "action_spread": of_data.action_spread,
            "curve": [program.finite(value) for value in curves["return"]],
            "values": [program.finite(value) for value in values],
        }
    )


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
        number = program.evaluation_number(done, config["updates"], config["evaluations"])
        if number > config["evaluations"] - config["last"]:
            measured |= {way: played(way, done) for way in ways}
        return measured

    def facts(course: Course) -> dict:
        of_data = yardsticks[which[course.place]]
        return facts_of(course, of_data, (METHOD, *ways), config["last"], constants)

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
