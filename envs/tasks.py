"""The tasks by family, and the modules that know their data and simulate them, loaded when asked
for.
"""

from dataclasses import dataclass

from common.running.sources import module_of, resolve


@dataclass(frozen=True)
class Family:
    """Tasks with one simulator and one layout of data.

    Attributes:
        name: of the family.
        data: module that generates, checks and reads the data sets.
        team: class or function (task, device=...) -> team, as `envs.teams.load_team` says.
        tasks: numbers of agents, those that learn, by name; reacher and ant in their full views.
    """

    name: str
    data: str
    team: str
    tasks: dict[str, int]

    @property
    def modules(self) -> list[str]:
        """Names of the modules that decide what the family's tasks and data are."""
        return [self.data, module_of(self.team)]

    def load_data(self):
        """The module of its data."""
        return resolve(self.data)


FAMILIES = (
    Family(
        "particle",
        "envs.particle.data",
        "envs.particle.behaviour:load_team",
        {
            "cooperative_navigation": 3,
            "predator_prey": 3,
            "world": 3,
            **{f"spread_1d_{agents}": agents for agents in range(1, 6)},
        },
    ),
    Family(
        "robots",
        "envs.mujoco.data",
        "envs.mujoco.team:RobotTeam",
        {"halfcheetah": 2, "hopper": 3, "walker2d": 2, "ant": 4, "two_agent_halfcheetah": 2},
    ),
    Family("reacher", "envs.mujoco.reaching", "envs.mujoco.team:RobotTeam", {"reacher": 2}),
    Family(
        "kinematic",
        "envs.kinematic.data",
        "envs.kinematic.worlds:KinematicTeam",
        {
            "kinematic_predator_prey": 3,
            **{f"kinematic_navigation_{agents}": agents for agents in (2, 4, 6, 8)},
            "shifting_navigation": 1,
        },
    ),
    Family(
        "battles",
        "envs.smac.data",
        "envs.smac.team:BattleTeam",
        {
            "3m": 3,
            "8m": 8,
            "5m_vs_6m": 5,
            "10m_vs_11m": 10,
            "MMM": 10,
            "2s3z": 5,
            "3s_vs_3z": 3,
        },
    ),
)
MANY_SEEDS = ("particle", "kinematic")  # families
FIVE = (0, 1, 2, 3, 4)
TASKS = {task: family for family in FAMILIES for task in family.tasks}


def num_agents(task: str) -> int:
    """How many agents learn a task, as its team has them."""
    return TASKS[task].tasks[task]


def data_seeds(task: str) -> tuple[int, ...]:
    """Seeds of a task's data sets: one behaviour policy each."""
    several = TASKS[task].name in MANY_SEEDS or task == "two_agent_halfcheetah"
    return FIVE if several else (0,)


def data_seed(task: str, run: int) -> int:
    """Which data set a run learns from: run k from data set k. Runs beyond the data sets there are
    learn from them again, with networks and minibatches of their own.
    """
    there = data_seeds(task)
    return there[run % len(there)]
