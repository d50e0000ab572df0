"""The tasks as teams: what a learner needs to be evaluated, whatever simulates it.

A team has `num_agents`, `obs_dim` and `action_dim` (of the longest agent), and `returns(act,
streams, episodes)`: [M, episodes] raw scores of a population's policies, obs [M, N, E, O] ->
actions [M, N, E, A].
"""

from envs.kinematic.worlds import SCENARIOS as KINEMATIC_TASKS
from envs.kinematic.worlds import KinematicTeam
from envs.mujoco.data import TASKS as ROBOT_TASKS
from envs.mujoco.team import RobotTeam
from envs.particle import behaviour as particle
from envs.smac.team import BattleTeam
from envs.smac.units import MAPS


def load_team(task: str, device="cpu"):
    """The team of a task: `envs.particle.batch.Team`, `envs.mujoco.team.RobotTeam`, `KinematicTeam`
    or `BattleTeam`.
    """
    if task in MAPS:
        return BattleTeam(task, device=device)
    if task in KINEMATIC_TASKS:
        return KinematicTeam(task, device=device)
    return (
        RobotTeam(task, device=device) if task in ROBOT_TASKS else particle.load_team(task, device)
    )
