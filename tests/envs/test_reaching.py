"""The refinement of Reacher's teams."""

from dataclasses import replace

import pytest
import torch

from envs.mujoco import reaching

SMALL = reaching.Refinement(epochs=2, worlds=4, minibatch=50)


def test_a_refined_team_does_not_depend_on_the_other_and_begins_from_its_weights(monkeypatch):
    monkeypatch.setattr(reaching, "REFINED_EVERY", 2)
    monkeypatch.setattr(reaching, "CONVENTIONS", ("clockwise", "clockwise"))
    monkeypatch.setattr(reaching, "measure", lambda team, seed, noise: (torch.zeros(1), 0.0))
    teams = [reaching.load_policy(name) for name in ("counter-clockwise", "clockwise")]
    training = reaching.Training()

    def refined(chosen, seeds):
        return reaching.refine(chosen, seeds, training, SMALL, say=lambda text: None)[0]

    both = refined(teams, [1, 4])
    (alone,) = refined(teams[1:], [4])
    for name, tensor in both[1].tensors.items():
        torch.testing.assert_close(tensor, alone.tensors[name], rtol=1e-4, atol=1e-5)
        moved = (tensor - teams[1].tensors[name]).abs().max()
        assert 0 < moved < 0.05


def test_a_team_ships_as_of_the_measurement_that_keeps_its_convention_and_is_nearest(monkeypatch):
    monkeypatch.setattr(reaching, "REFINED_EVERY", 1)
    means = iter([-5.0, -4.3, -4.2, -4.9])  # of one team
    sides = iter([1.0, 1.0, 0.5, 1.0])  # the nearest does not keep to it
    monkeypatch.setattr(
        reaching, "measure", lambda team, seed, noise: (torch.tensor([next(means)]), next(sides))
    )
    start = reaching.load_policy("counter-clockwise")
    four, two = replace(SMALL, epochs=4), replace(SMALL, epochs=2)
    (chosen,), curve = reaching.refine([start], [1], reaching.Training(), four, lambda text: None)
    assert [epoch for epoch, _, _ in curve] == [1, 2, 3, 4]
    monkeypatch.setattr(reaching, "measure", lambda team, seed, noise: (torch.zeros(1), 1.0))
    monkeypatch.setattr(reaching, "REFINED_EVERY", 2)
    (second,), _ = reaching.refine([start], [1], reaching.Training(), two, lambda text: None)
    for name, tensor in chosen.tensors.items():
        torch.testing.assert_close(tensor, second.tensors[name], rtol=0, atol=0)


def test_a_team_without_its_convention_does_not_ship(monkeypatch, tmp_path):
    monkeypatch.setattr(reaching, "POLICIES", tmp_path)
    monkeypatch.setattr(reaching, "measure", lambda policy, seed, stochastic: (None, 0.5))
    with pytest.raises(RuntimeError, match="counter-clockwise team has its elbow there on 0.50"):
        reaching.ship([None, None], [1, 4], [], [], reaching.Training(), SMALL)


def test_the_teams_that_ship_keep_their_conventions_and_the_authors_level():
    card = reaching.card()
    means = []
    for convention in reaching.CONVENTIONS:
        assert reaching.follows(convention, card[convention]["elbow_counter_clockwise"])
        means.append(card[convention]["stochastic"]["return_mean"])
    best, worst = reaching.PAPER_CONSTANTS
    assert abs(sum(means) / 2 - best) < 0.1 * (best - worst)
