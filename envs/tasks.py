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
        tasks: names.
    """

    name: str
    data: str
    team: str
    tasks: tuple[str, ...]

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
        (
            "cooperative_navigation",
            "predator_prey",
            "world",
            *(f"spread_1d_{agents}" for agents in range(1, 6)),
        ),
    ),
    Family(
        "robots",
        "envs.mujoco.data",
        "envs.mujoco.team:RobotTeam",
        ("halfcheetah", "hopper", "walker2d", "ant", "two_agent_halfcheetah"),
    ),
    Family("reacher", "envs.mujoco.reaching", "envs.mujoco.team:RobotTeam", ("reacher",)),
    Family(
        "kinematic",
        "envs.kinematic.data",
        "envs.kinematic.worlds:KinematicTeam",
        (
            "kinematic_predator_prey",
            *(f"kinematic_navigation_{agents}" for agents in (2, 4, 6, 8)),
            "shifting_navigation",
        ),
    ),
    Family(
        "battles",
        "envs.smac.data",
        "envs.smac.team:BattleTeam",
        ("3m", "8m", "5m_vs_6m", "10m_vs_11m", "MMM", "2s3z", "3s_vs_3z"),
    ),
)
MANY_SEEDS = ("particle", "kinematic")  # families
FIVE = (0, 1, 2, 3, 4)
TASKS = {task: family for family in FAMILIES for task in family.tasks}


def data_seeds(task: str) -> tuple[int, ...]:
    """Seeds of a task's data sets: one behaviour policy each."""
    several = TASKS[task].name in MANY_SEEDS or task == "two_agent_halfcheetah"
    return FIVE if several else (0,)
