"""A robot shared by a team: populations of multi-agent policies evaluated in lockstep."""

from envs.lockstep import Team, View
from envs.mujoco.batch import RobotBatch
from envs.mujoco.views import task_view


class RobotTeam(Team):
    """The agents of a view of a robot.

    Args:
        task: a robot's name or a task built on one, see `task_view`.
        of: another view than the task's own.
        device: where policies live; physics runs on the CPU.
    """

    def __init__(
        self, task: str, of: View | None = None, device="cpu", contact_margins: str = "pre-3.5"
    ):
        of = of or task_view(task)
        super().__init__(of, lambda worlds: RobotBatch(of.system, worlds, contact_margins), device)
