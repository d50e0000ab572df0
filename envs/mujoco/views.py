"""Multi-agent views of the robots: which numbers of the state each agent observes, which actuators
it drives.

Agent i drives a contiguous slice of the single-agent action, in data and in the environment. Data
sets hold the whole robot's state and action; every view is a projection of them, so all views share
one data set.

Observations shorter than the longest are padded with zeros.
"""

from envs.lockstep import View
from envs.mujoco.robots import ROBOTS

ACTION_DIMS = {"halfcheetah": 3, "hopper": 1, "walker2d": 3, "ant": 2, "reacher": 1}  # of one agent
STATE_DIMS = {"halfcheetah": 17, "hopper": 11, "walker2d": 17, "ant": 27, "reacher": 11}

# Angles and rates of each agent's own joints, and what belongs to the torso
_TWO_LEGS = [[2, 3, 4, 11, 12, 13], [5, 6, 7, 14, 15, 16]]  # back and front leg; right and left leg
JOINTS = {
    "halfcheetah": _TWO_LEGS,
    "walker2d": _TWO_LEGS,
    "hopper": [[2, 8], [3, 9], [4, 10]],  # thigh, leg, foot
    # The actuators come in the order of legs 4, 1, 2, 3: agent 0 drives leg 4.
    "ant": [[11, 25, 12, 26], [5, 19, 6, 20], [7, 21, 8, 22], [9, 23, 10, 24]],
    "reacher": [[0, 2, 6], [1, 3, 7]],  # cosine, sine, rate
}
TORSO = {"halfcheetah": [0, 1, 8, 9, 10], "walker2d": [0, 1, 8, 9, 10], "hopper": [0, 1, 5, 6, 7]}
ANT_TORSO = [0, 1, 2, 3, 4, 16, 17, 18, 13, 14, 15]  # height, orientation, rotation, speed
ANT_LEGS = [[5, 19, 6, 20], [7, 21, 8, 22], [9, 23, 10, 24], [11, 25, 12, 26]]  # legs 1 to 4


def _views() -> dict[str, dict[str, list[list[int]]]]:
    views = {}
    for name, robot in ROBOTS.items():
        everything = list(range(STATE_DIMS[name]))
        views[name] = {"full": [everything] * robot.agents, "own_joints": JOINTS[name]}
        if name in TORSO:
            views[name]["own_joints_torso"] = [joints + TORSO[name] for joints in JOINTS[name]]
    # MOMA-PPO's. The target (4, 5) is observed by both arms in "independent", the leader's arm by
    # both in "leader_only".
    views["reacher"]["independent"] = [[0, 2, 6, 4, 5], [1, 3, 7, 4, 5]]
    views["reacher"]["leader_only"] = [[0, 2, 6, 1, 3, 7, 4, 5], [0, 2, 6, 1, 3, 7]]
    # Partially observed ant: only agent 0 sees the torso. "aligned": each agent sees the leg it
    # drives. "released": the authors' lists, made for actuators in the order of legs 1 to 4, so
    # that agent 0 sees leg 1 and drives leg 4.
    legs = {"aligned": [ANT_LEGS[i] for i in (3, 0, 1, 2)], "released": ANT_LEGS}
    for mapping, order in legs.items():
        views["ant"][f"po_{mapping}"] = [ANT_TORSO + order[0], *order[1:]]
    return views


VIEWS = _views()


def view(robot: str, name: str) -> View:
    """The observation function `name` of a robot.

    Raises:
        ValueError: no such robot, or none of that name for it.
    """
    for value, known, what in (
        (robot, VIEWS, "robot"),
        (name, VIEWS.get(robot, {}), f"observation function of {robot}"),
    ):
        if value not in known:
            raise ValueError(f"unknown {what} {value!r}, expected one of: {', '.join(known)}")
    return View(robot, name, tuple(map(tuple, VIEWS[robot][name])), ACTION_DIMS[robot])


TASK_VIEWS = {"two_agent_halfcheetah": ("halfcheetah", "own_joints")}  # OMAR's


def task_view(task: str) -> View:
    """The view of a task: that of its paper, or full observation of the robot of this name."""
    return view(*TASK_VIEWS.get(task, (task, "full")))
