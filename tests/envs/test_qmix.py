"""The battles' behaviour and data: targets by hand, monotone mixing, masks, episodes, data sets."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from common.running.files import read_csv
from envs import datasets
from envs.datasets import checks
from envs.released import table
from envs.smac import behaviour, data
from envs.smac.core import Battles
from envs.smac.qmix import QMIX, Episodes, MonotoneMixer, QMIXConfig, lambda_targets, play, train
from envs.smac.units import MAPS, VERSION
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
    for name in data.TASKS:
        card = behaviour.card(name)
        assert card["version"] == VERSION, "measure_again, or train again"
        assert card["sources"]["multi-source"] == [*card["snapshots"]]
        assert set(card["snapshots"]) == set(behaviour.load_agents(name))
        for quality, sources in card["sources"].items():
            figures = [card["snapshots"][steps] for steps in sources]
            assert card["data"][quality] == behaviour.mixed(figures)
    (path,) = datasets.build("3m", "multi-source", [0], "smoke")
    loaded = datasets.load(path)
    arrays = loaded["arrays"]
    sources = behaviour.card("3m")["sources"]["multi-source"]
    assert len(arrays["rewards"]) == 24 and len(np.unique(arrays["source"])) == len(sources)
    assert datasets.episode_returns(loaded).max() <= 20 + 1e-4
    assert arrays["won"].mean() == ((datasets.episode_returns(loaded) > 19.99).mean())
    assert (arrays["terminated"].sum(1) == 1).all()  # the limit is an end, too
    assert checks.check(path) is None
    arrays["actions"][0, 0, 0] = 0  # a living agent cannot do nothing
    with pytest.raises(DataError, match="not available"):
        data.validate(path, arrays, loaded["provenance"])
    with pytest.raises(FileNotFoundError, match="train-behaviour"):
        behaviour.card("other")


def figures(mean, sd, length, wins=0.5, time_outs=0.0):
    return {
        "return_mean": mean,
        "return_sd": sd,
        "length": length,
        "win_rate": wins,
        "time_outs": time_outs,
    }


def test_mixed_battles_are_one_sample_and_deviations_shares_of_a_tolerance():
    mix = behaviour.mixed([figures(8.0, 3.0, 20.0), figures(16.0, 3.0, 40.0)])
    assert mix == figures(12.0, 5.0, 30.0)
    assert behaviour.deviation(mix, figures(12.0, 5.0, 30.0)) == 0
    for theirs in (figures(14.0, 5.0, 30.0), figures(12.0, 2.5, 30.0), figures(12.0, 5.0, 45.0)):
        assert behaviour.deviation(mix, theirs) == pytest.approx(1.0)


def test_few_snapshots_near_enough_are_chosen_and_stalling_ones_never(monkeypatch):
    theirs = {"medium": figures(10.0, 3.0, 25.0), "expert": figures(16.0, 5.0, 30.0)}
    monkeypatch.setattr(behaviour, "released", lambda name, quality: theirs[quality])
    found = {
        "1": figures(6.0, 2.0, 20.0),
        "2": figures(10.5, 3.1, 26.0),
        "3": figures(16.0, 5.0, 30.0, time_outs=0.4),
        "4": figures(20.0, 1.0, 32.0),
    }
    shipped, sources = behaviour.chosen("3m", found)
    assert shipped == ["1", "2", "4"]
    assert sources == {"medium": ["2"], "expert": ["2", "4"]}
    monkeypatch.setattr(behaviour, "released", lambda name, quality: None)
    found["1"]["win_rate"] = 0.44
    assert behaviour.chosen("MMM", found)[1] == {"medium": ["1"], "expert": ["4"]}


OFF = {("5m_vs_6m", "expert"): "see envs/datasets/deviations.csv"}


@pytest.mark.parametrize("quality", ["medium", "expert"])
@pytest.mark.parametrize("task", ["3m", "8m", "5m_vs_6m", "2s3z"])
def test_data_are_near_the_released_sets(task, quality):
    theirs = data.released(task, quality)
    assert theirs["source"].startswith("og-marl")
    near = behaviour.deviation(behaviour.card(task)["data"][quality], theirs) <= 1
    assert near != ((task, quality) in OFF)


def test_released_figures_agree_with_each_other():
    rows = table(behaviour.RELEASED)
    assert len(rows) == len(read_csv(behaviour.RELEASED))
    for (task, _), row in rows.items():
        assert row["return_min"] <= row["return_mean"] <= row["return_max"]
        assert 1 <= row["length"] <= MAPS[task].limit and row["source"]
    assert data.released("MMM", "medium") is None


def test_a_training_goes_on_where_another_ended():
    before = QMIX(Battles("3m", 4), SMALL).agent
    config = replace(SMALL, start_rounds=2, start_updates=3, lr_last=1e-5, steps=300)
    kept = {name: tensor.clone() for name, tensor in before.state_dict().items()}
    points = list(train("3m", config, say=lambda text: None, every=1, before=before))
    assert points[-1][0] >= 300
    assert all(torch.equal(before.state_dict()[name], kept[name]) for name in kept)


def test_a_training_that_goes_on_adds_to_what_is_shipped(tmp_path, monkeypatch):
    shutil.copytree(behaviour.POLICIES / "3m", tmp_path / "3m")
    before = behaviour.card("3m")
    monkeypatch.setattr(behaviour, "POLICIES", tmp_path)
    monkeypatch.setattr(behaviour, "CARD_EPISODES", 8)
    monkeypatch.setenv("OMZ_DATA", str(tmp_path / "data"))
    config = replace(SMALL, hidden=64, start="324475", start_rounds=1, start_updates=1, steps=2500)
    card = behaviour.train_and_ship("3m", config)
    assert card["trainings"][:-1] == before["trainings"]
    assert card["trainings"][-1]["config"]["start"] == "324475"
    assert card == behaviour.card("3m") and len(card["sources"]["multi-source"]) >= 2
