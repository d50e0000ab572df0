"""The tasks as teams: what a learner needs to be evaluated, whatever simulates it.

A team has `num_agents`, `obs_dim` and `action_dim` (of the longest agent), and `returns(act,
streams, episodes)`: [M, episodes] raw scores of a population's policies, obs [M, N, E, O] ->
actions [M, N, E, A].
"""

from common.running.sources import resolve
from envs.tasks import TASKS


def load_team(task: str, device="cpu"):
    """The team of a task: `envs.particle.batch.Team`, `envs.mujoco.team.RobotTeam`, `KinematicTeam`
    or `BattleTeam`.
    """
    return resolve(TASKS[task].team)(task, device=device)
