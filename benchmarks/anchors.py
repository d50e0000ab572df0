"""Do robots, data and evaluation fit together? Two runs with a known answer.

    python benchmarks/anchors.py [bc] [td3bc] [--size quick] [--updates 100000]

bc: a clone of a robot's expert data must return at least 85 % of the data's mean in the lockstep
evaluator. td3bc: single-agent TD3+BC on HalfCheetah-medium is known to end near 48 D4RL points
(CORL: 48.1).
"""

import argparse
import time

import torch

from common.learning.networks import Actors
from common.learning.philox import Streams
from common.learning.population import Adam, generators, mean_over_batch, per_member
from common.learning.replay import Replay
from common.learning.td3bc import TD3BC, Standardiser, TD3BCConfig
from envs import datasets
from envs.lockstep import View
from envs.mujoco.behaviour import TRAININGS
from envs.mujoco.team import RobotTeam
from envs.mujoco.views import view

EPISODES = 20


def single(robot: str) -> View:
    """The robot as one agent that sees and drives everything."""
    of = view(robot, "full")
    return View(robot, "single", of.indices[:1], of.num_agents * of.action_dim)


def load(robot: str, quality: str, size: str):
    """A data set as a replay of one agent, its standardiser, its returns, and the team that
    evaluates.
    """
    path = datasets.build(robot, quality, [0], size)[0]
    data = datasets.load(path)
    rows = datasets.transitions(data)
    of = single(robot)
    rows["action"], rows["next_action"] = (
        rows[key].flatten(1).unsqueeze(1) for key in ("action", "next_action")
    )
    rows |= {key: rows[key][:, :1] for key in ("obs", "next_obs", "reward", "terminal")}
    replay = Replay([rows], [0], Streams([0], "minibatches"), False, False, "cpu")
    obs = rows["obs"].transpose(0, 1)[None]  # [1, 1, R, O]
    return (
        replay,
        Standardiser(obs.mean(-2), obs.std(-2)),
        datasets.episode_returns(data),
        RobotTeam(robot, of),
    )


def bc(robot: str, size: str, updates: int) -> None:
    """Clones expert data and prints its return over the data's."""
    replay, standardise, returns, team = load(robot, "expert", size)
    actors = Actors(
        generators([0], "actor"),
        [team.obs_dim],
        team.obs_dim,
        256,
        team.action_dim,
        input_norm=False,
    )
    adam, start = Adam(actors.params, per_member(3e-4, 1)), time.perf_counter()
    for _ in range(updates):
        batch = replay.draw(256)
        loss = mean_over_batch(
            (actors.train_actions(standardise(batch.obs)) - batch.action).square()
        )
        actors.params.zero_grad()
        loss.sum().backward()
        adam.step()
    score = team.returns(
        lambda obs: actors.act(standardise(obs)), generators([0], "evaluation"), EPISODES
    )
    share, spent = 100 * score.mean() / returns.mean(), time.perf_counter() - start
    print(
        f"bc {robot} expert ({size}), {updates} updates: return {score.mean():.0f} +- "
        f"{score.std():.0f}, "
        f"data {returns.mean():.0f}: {share:.1f} % ({spent:.0f} s)",
        flush=True,
    )


def td3bc(size: str, updates: int) -> None:
    """Single-agent TD3+BC on HalfCheetah-medium; prints D4RL points as it goes."""
    replay, standardise, returns, team = load("halfcheetah", "medium", size)
    learner, start = (
        TD3BC([0], [team.obs_dim], team.action_dim, TD3BCConfig(), standardise),
        time.perf_counter(),
    )
    expert, random = datasets.constants("halfcheetah", source="d4rl")

    def points(value):
        return 100 * (value - random) / (expert - random)

    print(
        f"td3bc halfcheetah medium ({size}): data {points(returns.mean()):.1f} D4RL points, "
        f"{len(replay.rows)} rows"
    )
    for update in range(1, updates + 1):
        learner.update(replay.draw(256))
        if update % max(1, updates // 5) == 0:
            score = team.returns(learner.act, generators([0], "evaluation"), EPISODES)
            print(
                f"  {update} updates: {points(score.mean()):.1f} +- "
                f"{score.std() * 100 / (expert - random):.1f} D4RL points "
                f"({time.perf_counter() - start:.0f} s)",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("which", nargs="*", default=["bc", "td3bc"])
    parser.add_argument("--size", default="quick")
    parser.add_argument("--updates", type=int, default=100_000)
    parser.add_argument("--robots", nargs="+", default=list(TRAININGS))
    args = parser.parse_args()
    torch.set_num_threads(1)
    if "bc" in args.which:
        for robot in args.robots:
            bc(robot, args.size, min(args.updates, 20_000))
    if "td3bc" in args.which:
        td3bc(args.size, args.updates)


if __name__ == "__main__":
    main()
