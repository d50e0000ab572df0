"""Squashed Gaussian policies against torch.distributions."""

import torch
from torch.distributions import Independent, Normal, TransformedDistribution
from torch.distributions.transforms import TanhTransform

from common.learning.policies import SquashedGaussian, distribution, squash
from common.learning.population import generators


def test_density_is_torchs(stream):
    mean, log_std, noise = (torch.randn(2, 3, 5, 4, generator=stream) for _ in range(3))
    action, log_prob = squash(mean, log_std, noise)
    reference = TransformedDistribution(
        Independent(Normal(mean.double(), log_std.double().exp()), 1), [TanhTransform()]
    )
    inside = (action.abs() < 0.999).all(-1)  # beyond, the inverse of tanh loses digits
    torch.testing.assert_close(
        action.double(), (mean + log_std.exp() * noise).double().tanh(), rtol=1e-5, atol=1e-6
    )
    expected = reference.log_prob(action.double().clamp(-1 + 1e-9, 1 - 1e-9))
    torch.testing.assert_close(log_prob.double()[inside], expected[inside], rtol=1e-3, atol=1e-2)
    assert inside.sum() > 10


def test_density_and_gradients_stay_finite_far_out():
    mean = torch.tensor([[[[50.0, -50.0]]]], requires_grad=True)
    action, log_prob = squash(mean, torch.full_like(mean, -15.0), torch.ones_like(mean))
    log_prob.sum().backward()
    assert (
        action.abs().max() <= 1
        and torch.isfinite(log_prob).all()
        and torch.isfinite(mean.grad).all()
    )


def test_a_member_acts_as_alone(stream):
    obs, noise = (
        torch.randn(2, 1, 7, 5, generator=stream),
        torch.randn(2, 1, 7, 3, generator=stream),
    )
    both = SquashedGaussian(generators([4, 9], "actor"), [5], 5, 32, 3)
    alone = SquashedGaussian(generators([9], "actor"), [5], 5, 32, 3)
    torch.testing.assert_close(both.act(obs, noise)[1:], alone.act(obs[1:], noise[1:]))
    mean, _ = distribution(alone.params, obs[1:])
    torch.testing.assert_close(alone.act(obs[1:]), mean.tanh())
