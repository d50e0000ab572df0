"""What is trained: members are the seeds, and for MOMA-PPO the variants, of one method on one data
set.

Methods differ in what a minibatch is: rows of the data (`offline`), also of rollouts that the
agents made themselves (growing.py), or rollouts in the world model only (moma_ppo.py).
"""

from common.learning.heads import Categorical
from common.learning.philox import Streams
from common.running.cells import Cell
from common.running.program import Members, Training
from common.running.sources import module_of, resolve
from envs.tasks import TASKS
from papers.moma_ppo import tasks
from papers.moma_ppo.config import BUILDERS, METHODS
from papers.moma_ppo.tasks import MODELS, SIMULATED, Setting

OWN = ("variant", "seeds")  # of a cell; the rest of its configuration is its program's
MODEL_BASED = ("moma_ppo", "moma_iql")


def program_key(cell: Cell) -> tuple:
    """Cells with equal keys can be trained together."""
    return tuple(sorted((key, repr(value)) for key, value in cell.config.items() if key not in OWN))


def roots(cell: Cell) -> list[str]:
    """Modules whose imports decide the cell's numbers."""
    config = cell.config
    method = config["method"]
    modules = ["papers.moma_ppo.training"]
    modules += (
        ["envs.coordination.game"] if tasks.is_game(config) else TASKS[config["task"]].modules
    )
    if method in BUILDERS:
        modules.append(module_of(BUILDERS[method]))
    if method in METHODS:
        learner, _ = METHODS[method]
        modules.append(module_of(learner))
    if method in MODEL_BASED:
        modules.append(MODELS)
    audited = method == "moma_ppo" and not tasks.is_game(config)  # see audit.py
    if method == "maiql_ft" or audited:
        modules.append(module_of(SIMULATED))
    return modules


def build(members: Members, device: str) -> Training:
    """What is trained for the members of some cells."""
    builder = BUILDERS.get(members.config["method"])
    return resolve(builder)(members, device) if builder else offline(members, device)


def offline(members: Members, device: str) -> Training:
    """Model-free learners on minibatches of the data."""
    setting = Setting(members, device)
    learner = learner_of(setting)
    streams = Streams(setting.seeds, "minibatches", device)
    return setting.training(
        learner,
        act=learner.act,
        draw=lambda done: setting.batch(setting.config["batch_size"], streams),
        total=setting.config["updates"],
        others={"minibatches": streams},
    )


def learner_of(setting: Setting):
    """The untrained learner of a method; choices of the game are categorical."""
    config = setting.config
    method = config["method"]
    view = setting.view
    head = {"head": Categorical(view.action_dim)} if tasks.is_game(config) else {}
    learner, kind = METHODS[method]
    hyper = kind(**config["hyper"])
    sizes = (view.obs_dims, setting.data.state_dim, view.action_dim)
    return resolve(learner)(setting.seeds, *sizes, hyper, setting.device, **head)
