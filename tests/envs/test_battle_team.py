"""Populations without memory in battles: rows, exploration in turn, members that do not touch each
other.
"""

import numpy as np
import torch

from common.learning.population import generators
from envs import datasets
from envs.smac.team import BattleTeam, transitions

AGENTS, ACTIONS, OBS = 3, 9, 30


def attack_or_wait(rows):
    """[M, N, E, 1] attack the last enemy in reach, else stop; the dead do nothing."""
    free = rows[..., -ACTIONS:] > 0.5
    last = free.long().cumsum(-1).argmax(-1, keepdim=True)
    return torch.where(last >= 6, last, free[..., 1:2].long())


def test_rows_of_whole_episodes_are_their_steps_in_order(folders):
    (path,) = datasets.build("3m", "medium", [0], "smoke")
    arrays = datasets.load(path)["arrays"]
    rows = transitions(arrays)
    count = int(arrays["filled"].sum())
    assert rows["obs"].shape == (count, AGENTS, OBS + ACTIONS) and rows["action"].shape == (
        count,
        AGENTS,
        1,
    )
    same_episode = rows["terminal"][:-1, 0] == 0
    follows = (rows["next_obs"][:-1] == rows["obs"][1:]).flatten(1).all(1)
    lengths = arrays["filled"].sum(1)
    assert follows[same_episode].sum() >= count - len(lengths) - 1
    chosen = rows["obs"][..., OBS:].gather(-1, rows["action"].long())
    assert chosen.eq(1).all()  # every action was available
    assert rows["reward"].sum(0)[0] == np.float32(arrays["rewards"][arrays["filled"] > 0]).sum()


def test_a_member_plays_the_same_battles_whatever_it_is_batched_with():
    team = BattleTeam("3m")
    together = team.returns(attack_or_wait, generators([0, 1, 2], "x"), 4)
    alone = team.returns(attack_or_wait, generators([1], "x"), 4)
    assert (
        together.shape == (3, 4)
        and torch.equal(together[1], alone[0])
        and not torch.equal(together[0], together[1])
    )
    one, three = (
        team.collect(attack_or_wait, generators(seeds, "y"), 50) for seeds in ([1], [0, 1, 2])
    )
    assert all(torch.equal(one[name][0], three[name][1]) for name in one)
    assert one["obs"].shape == (1, 50, AGENTS, OBS + ACTIONS) and one["reward"].shape == (
        1,
        50,
        AGENTS,
    )


def test_agents_explore_in_turn_and_only_with_available_actions():
    team = BattleTeam("3m")
    rows = team.collect(attack_or_wait, generators([0, 1], "z"), 400)
    greedy = attack_or_wait(rows["obs"]).float()
    free = rows["obs"][..., OBS:].sum(-1)
    changed = (greedy != rows["action"]).squeeze(-1).float()
    assert rows["obs"][..., OBS:].gather(-1, rows["action"].long()).eq(1).all()
    expected = 0.1 * (1 - 1 / free.clamp_min(1)).mean(
        (0, 1)
    )  # a random action may be the greedy one
    assert torch.allclose(changed.mean((0, 1)), expected, atol=0.03)
    _, columns = team.play(attack_or_wait, generators([0], "z"), 5)
    assert columns == []  # nobody explores, nothing is recorded
