"""How the particle worlds' behaviour policies are chosen, and how data are collected from them."""

import numpy as np
import pytest
import torch

from envs import datasets
from envs.particle import behaviour
from envs.particle import data as particle
from envs.particle.scenarios import EPISODE_STEPS


def chosen(monkeypatch, curve: list[float], level: float) -> int:
    """The snapshot that `pick` takes of a training whose snapshots return what the curve says."""
    monkeypatch.setattr(behaviour, "evaluate", lambda task, team, *_: torch.tensor([[float(team)]]))
    return behaviour.pick("line", curve, torch.tensor(curve)[:, None], torch.tensor([level]))[0]


def test_the_snapshot_nearest_the_level_is_taken_where_training_first_reaches_it(monkeypatch):
    monkeypatch.setattr(behaviour, "NEIGHBOURS", 2)
    climbing = [0.0, 10.0, 20.0, 30, 40, 50, 60, 70, 80, 90]
    assert chosen(monkeypatch, climbing, 42) == 4
    falling_again = [*climbing, 50, 43, 42, 42, 42]
    assert chosen(monkeypatch, falling_again, 42) == 4  # not a later visit
    lucky_once = [0.0, 60, 0, 0, 10, 20, 30, 40, 50, 60]
    assert chosen(monkeypatch, lucky_once, 38) == 7  # one high evaluation is not the level
    assert chosen(monkeypatch, [0.0, 1, 2, 3, 4], 42) == 4  # never reached: the best there is


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def load(monkeypatch, folder):
    """Builds a smoke data set of navigation and loads it."""
    monkeypatch.setenv("OMZ_DATA", str(folder))

    def build_and_load(quality: str) -> dict:
        quiet = lambda text: None  # noqa: E731
        return datasets.load(
            datasets.build("cooperative_navigation", quality, [0], "smoke", say=quiet)[0]
        )

    return build_and_load


def test_saturated_teams_play_at_the_same_level_with_other_actions(load):
    plain = load("expert")
    saturated = load("expert-saturated")
    share = [(np.abs(data["arrays"]["actions"]) > 0.95).mean() for data in (plain, saturated)]
    assert share[1] > 2 * share[0]
    returns = [datasets.episode_returns(data) for data in (plain, saturated)]
    spread = 4 * (returns[0].std() + returns[1].std()) / len(returns[0]) ** 0.5
    assert abs(returns[0].mean() - returns[1].mean()) < spread


def test_another_noise_is_another_data_set_of_the_same_team(load):
    facts = [load(quality)["provenance"] for quality in ("medium", "medium-noise0.3")]
    assert facts[0]["policies"] == facts[1]["policies"]
    assert [fact["collected_by"]["noise"] for fact in facts] == [behaviour.DATA_NOISE, 0.3]


def test_of_a_replay_the_stretch_is_kept_that_returns_what_the_released_one_does():
    returns = np.array([0.0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    rewards = np.repeat(returns / EPISODE_STEPS, EPISODE_STEPS)[:, None].repeat(3, 1)
    twin = {"transitions": 3 * EPISODE_STEPS, "return_mean": 4.9}
    kept = particle.stretch({"rewards": rewards, "row": np.arange(len(rewards))}, twin)
    assert kept["row"].tolist() == list(range(4 * EPISODE_STEPS, 7 * EPISODE_STEPS))
    twin["transitions"] = 20 * EPISODE_STEPS
    assert len(particle.stretch({"rewards": rewards}, twin)["rewards"]) == len(rewards)


@pytest.mark.parametrize("task", particle.TASKS)
def test_medium_is_at_its_level_in_every_seed_and_never_the_expert(task):
    card = behaviour.card(task)
    medium, expert = (torch.tensor(card[name]["return_mean"]) for name in ("medium", "expert"))
    share = (medium - card["random_return"]) / (expert - card["random_return"])
    assert ((share - behaviour.level(task, "medium")).abs() < 0.12).all()
    assert (share < 0.85).all()
