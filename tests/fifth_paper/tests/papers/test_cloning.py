"""Behaviour cloning by hand."""

import pytest
import torch

from papers.cloning.cloning import cloning_loss


def test_the_loss_is_the_mean_squared_error_of_every_agent():
    policy_action = torch.tensor([[[[0.0, 1.0], [0.5, 0.5]]]])
    action = torch.tensor([[[[0.0, 0.0], [0.5, 0.0]]]])
    assert cloning_loss(policy_action, action).tolist() == [[pytest.approx((0.5 + 0.125) / 2)]]
