"""The cells of the paper, and what is trained for them."""

from common.learning.philox import Streams
from common.learning.population import generators
from common.learning.replay import Replay
from common.running import experiment, program, work
from common.running.cells import Cell, Layer, defaults
from common.running.program import Course, Members, Training
from envs import datasets
from envs.tasks import TASKS
from envs.teams import load_team
from papers.cloning.cloning import Cloning, CloningConfig

TASK = "cooperative_navigation"
SIZES = {"smoke": 4, "quick": 40, "standard": 40, "paper": 1000}  # updates
SECONDS_PER_UPDATE = 2e-3
DATA = datasets.CellData(
    lambda cell: datasets.DataSets(
        TASK, cell.config["quality"], {seed: seed for seed in cell.config["seeds"]}, "smoke"
    )
)


def cell(preset: str, quality: str, options: dict) -> Cell:
    """Cloning of a data set."""
    what = {"quality": quality, "method": "cloning", "seeds": [0, 1, 2]}
    layers = [
        Layer("this script", what),
        Layer(f"preset {preset}", {"updates": SIZES[preset]}),
        defaults("hyper", CloningConfig()),
    ]
    return Cell.of("cloning", preset, [quality, "cloning"], layers, seeds=options["seeds"])


def build(members: Members, device: str) -> Training:
    """What is trained for the members of some cells."""
    config = members.config
    hyper = CloningConfig(**config["hyper"])
    loaded = DATA.load(members.cells)
    sets = [datasets.transitions(data) for data in loaded.sets]
    streams = Streams(members.seeds, "minibatches", device)
    replay = Replay(sets, loaded.members, streams, False, False, device)
    team = load_team(TASK, device)
    learner = Cloning(
        members.seeds, [team.obs_dim] * team.num_agents, team.action_dim, hyper, device
    )
    expert, random = datasets.constants(TASK)

    def evaluate(done: int) -> dict[str, list]:
        starts = generators(members.seeds, "evaluation")
        returns = team.returns(lambda obs: learner.act(obs).detach(), starts, 4)
        return {"return": returns.mean(1).double().tolist()}

    def facts(course: Course) -> dict:
        curve = [program.score(value, expert, random) for value in course.curves["return"]]
        return {"last_score": curve[-1], "best_score": max(curve), "curve": curve}

    return Training(
        learner=learner,
        draw=lambda done: replay.draw(hyper.batch_size),
        evaluate=evaluate,
        evaluate_at=program.evenly(config["updates"], 2),
        facts=facts,
        total=config["updates"],
        data=loaded.checksums,
        others={"minibatches": streams},
    )


def train(cells: list[Cell], device: str, checkpoint, progress) -> list[dict]:
    """Trains a program of cells."""
    return program.train(build, cells, device, checkpoint, progress)


PAPER = work.Paper(
    name="cloning",
    roots=lambda cell: [
        "papers.cloning.experiment",
        "papers.cloning.cloning",
        *TASKS[TASK].modules,
    ],
    data=DATA,
    program_key=lambda cell: (cell.config["updates"],),
    train=train,
    record=experiment.Recording,
    cost=lambda cell: SECONDS_PER_UPDATE * cell.config["updates"] * len(cell.config["seeds"]),
)
