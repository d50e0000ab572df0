"""The battles' behaviour and data: targets by hand, monotone mixing, masks, episodes, data sets."""

import numpy as np
import pytest
import torch

from envs import datasets
from envs.datasets import checks
from envs.smac import behaviour, data
from envs.smac.core import Battles
from envs.smac.qmix import QMIX, Episodes, MonotoneMixer, QMIXConfig, lambda_targets, play, train
from envs.storage import DataError

SMALL = QMIXConfig(steps=400, battles=4, hidden=8, mixing=4, batch=4, updates=1, buffer=20)


def test_targets_by_hand():
    reward = torch.tensor([[1.0, 2.0, 0.0], [1.0, 2.0, 3.0]])
    terminated = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    filled = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    bootstrap = torch.tensor([[9.0, 4.0, 7.0, 7.0], [9.0, 4.0, 6.0, 8.0]])
    found = lambda_targets(reward, terminated, filled, bootstrap, 0.5, 0.5)
    assert found[0, :2].tolist() == pytest.approx(
        [1 + 0.5 * (0.5 * 2 + 0.5 * 4), 2.0]
    )  # nothing behind a terminal step
    last = 3 + 0.5 * 8  # cut by the limit: bootstrapped
    middle = 2 + 0.5 * (0.5 * last + 0.5 * 6)
    assert found[1].tolist() == pytest.approx([1 + 0.5 * (0.5 * middle + 0.5 * 4), middle, last])


def test_the_mixer_is_monotone():
    mixer, values, state = MonotoneMixer(5, 3, 4, 8), torch.randn(6, 2, 3), torch.randn(6, 2, 5)
    values.requires_grad_()
    mixer(values, state).sum().backward()
    assert (values.grad >= 0).all() and (values.grad > 0).any()


def test_values_along_an_episode_are_those_of_playing_it():
    battles = Battles("3m", 4)
    learner = QMIX(battles, SMALL)
    _, _, kept = play(learner.agent, battles, 0.3, torch.Generator().manual_seed(0), record=True)
    steps = int(kept["filled"].sum(1).max())
    last = torch.cat([torch.full_like(kept["action"][:, :1], -1), kept["action"]], 1)[:, :steps]
    unrolled = learner.agent.unroll(kept["obs"][:, :steps], last)
    hidden = torch.zeros(4 * 3, 8)
    for t in range(3):
        values, hidden = learner.agent(
            learner.agent.inputs(kept["obs"][:, t], last[:, t]).flatten(0, 1), hidden
        )
        assert torch.allclose(values.view(4, 3, -1), unrolled[:, t], atol=1e-5)
    chosen = kept["available"][:, :-1].gather(-1, kept["action"].unsqueeze(-1)).squeeze(-1)
    assert chosen[kept["filled"] > 0].all()


def test_training_runs_and_the_buffer_keeps_the_newest():
    points = list(train("3m", SMALL, say=lambda text: None, every=1))
    assert points[-1][0] >= 400 and all(0 <= point[1] <= 1 for point in points)
    battles = Battles("3m", 4)
    episodes = Episodes(battles, 6)
    for fill in (1.0, 2.0):
        made = {name: torch.full_like(values[:4], fill) for name, values in episodes.data.items()}
        episodes.add(made)
    assert episodes.data["reward"][:, 0].tolist() == [2, 2, 1, 1, 2, 2]


def test_shipped_teams_and_their_data(tmp_path):
    for name in (task for task in data.TASKS if data.ships(task)):
        card = behaviour.card(name)
        assert (
            {card["best"], card["medium"]}
            <= set(card["replay_snapshots"])
            == set(behaviour.load_agents(name))
        )
    (path,) = datasets.build("3m", "multi-source", [0], "smoke")
    loaded = datasets.load(path)
    arrays = loaded["arrays"]
    assert len(arrays["rewards"]) == 24 and len(np.unique(arrays["source"])) == len(
        behaviour.card("3m")["replay_snapshots"]
    )
    assert datasets.episode_returns(loaded).max() <= 20 + 1e-4
    assert arrays["won"].mean() == ((datasets.episode_returns(loaded) > 19.99).mean())
    assert checks.check(path) is None
    arrays["actions"][0, 0, 0] = 0  # a living agent cannot do nothing
    with pytest.raises(DataError, match="not available"):
        data.validate(path, arrays, loaded["provenance"])
    with pytest.raises(FileNotFoundError, match="train-behaviour"):
        behaviour.card("other")
