"""The population engine against torch's own modules, one network at a time."""

import numpy as np
import pytest
import torch
from torch import nn

from common.learning import kernels
from common.learning.networks import Actors, RunningMoments, TwinCritics, apply_mlp, moments
from common.learning.population import (
    Adam,
    Parameters,
    generator,
    generators,
    per_member,
    uniform_,
)


def module(params, member, agent, head=None):
    """The same network as a torch.nn.Sequential."""

    def get(name):
        tensor = params[name].detach()[member, agent]
        return tensor if head is None or name.startswith("norm") else tensor[head]

    norm = nn.BatchNorm1d(len(get("norm_weight")))
    layers = [nn.Linear(*get(f"w{i}").shape) for i in (1, 2, 3)]
    with torch.no_grad():
        norm.weight.copy_(get("norm_weight"))
        norm.bias.copy_(get("norm_bias"))
        for i, layer in enumerate(layers, 1):
            layer.weight.copy_(get(f"w{i}").T)
            layer.bias.copy_(get(f"b{i}"))
    return nn.Sequential(norm, layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])


def test_stacked_actor_equals_torch_modules_in_value_gradient_and_running_statistics():
    actors = Actors(generators([0, 1, 2], "a"), [5, 4], 5, 16, 2)
    obs = torch.randn(3, 2, 33, 5, generator=generator(0, "obs"))
    obs[:, 1, :, 4] = 0  # padding of the second agent
    actions = actors.train_actions(obs, update_running=True)
    actions.square().mean((2, 3)).sum().backward()
    for m, n in ((0, 0), (2, 1)):
        twin = module(actors.params, m, n)
        expected = twin(obs[m, n]).tanh()
        torch.testing.assert_close(actions[m, n], expected, rtol=1e-4, atol=1e-6)
        expected.square().mean().backward()
        views = actors.params.split(actors.params.grad)
        torch.testing.assert_close(views["w1"][m, n], twin[1].weight.grad.T, rtol=1e-3, atol=1e-7)
        torch.testing.assert_close(
            views["norm_bias"][m, n], twin[0].bias.grad, rtol=1e-3, atol=1e-7
        )
        torch.testing.assert_close(actors.running.mean[m, n], twin[0].running_mean)
        torch.testing.assert_close(actors.running.variance[m, n], twin[0].running_var)


def test_both_heads_of_a_critic_share_one_input_norm():
    critics = TwinCritics(generators([3], "c"), [6], 6, 16)
    obs, action = torch.randn(1, 1, 20, 4), torch.randn(1, 1, 20, 2)
    q = critics.values(obs, action)
    assert q.shape == (1, 1, 2, 20)
    for head in (0, 1):
        twin = module(critics.params, 0, 0, head)
        torch.testing.assert_close(
            q[0, 0, head], twin(torch.cat([obs, action], -1)[0, 0])[:, 0], rtol=1e-4, atol=1e-5
        )
    torch.testing.assert_close(critics.values(obs, action, head=1), q[:, :, 1])


def test_initialisation_uses_the_true_fan_in_of_padded_agents():
    actors = Actors(generators([0], "a"), [400, 4], 400, 64, 2)
    small, large = actors.params["w1"][0, 1], actors.params["w1"][0, 0]
    assert large.abs().max() <= 1 / 400**0.5 < small.abs().max() <= 0.5


def test_adam_and_clipping_equal_torch_with_one_rate_per_member():
    start = torch.randn(2, 1, 7)
    params = Parameters({"w": start.clone()})
    adam = Adam(params, torch.tensor([0.1, 0.01]))
    singles = [nn.Parameter(start[m, 0].clone()) for m in range(2)]
    optimizers = [torch.optim.Adam([p], lr=lr) for p, lr in zip(singles, (0.1, 0.01), strict=True)]
    for step in range(5):
        grad = torch.randn(2, 1, 7, generator=generator(step, "g")) * 3
        params.zero_grad()
        (params["w"] * grad).sum().backward()
        params.clip_grad_norm(0.5)
        adam.step()
        for m, (single, optimizer) in enumerate(zip(singles, optimizers, strict=True)):
            single.grad = grad[m, 0].clone()
            nn.utils.clip_grad_norm_([single], 0.5)
            optimizer.step()
    for m in range(2):
        torch.testing.assert_close(
            params["w"][m, 0].detach(), singles[m].detach(), rtol=1e-5, atol=1e-6
        )


def test_generators_depend_on_seed_and_purpose_alone():
    a = uniform_(torch.empty(2, 4), generators([5, 6], "noise"))
    b = uniform_(torch.empty(3, 4), generators([6, 9, 5], "noise"))
    assert torch.equal(a[0], b[2]) and torch.equal(a[1], b[0])
    assert not torch.equal(a[0], uniform_(torch.empty(1, 4), generators([5], "other"))[0])


def test_per_member_refuses_a_list_of_the_wrong_length():
    with pytest.raises(ValueError, match="3 entries, expected 2"):
        per_member([1, 2, 3], 2)


def test_moments_and_running_moments_follow_batchnorm():
    x = torch.randn(1, 1, 50, 3) * 4 + 2
    mean, variance = moments(x)
    running = RunningMoments(1, 1, 3)
    running.update(mean, variance, 50)
    norm = nn.BatchNorm1d(3)
    norm(x[0, 0])
    torch.testing.assert_close(running.mean[0, 0], norm.running_mean)
    torch.testing.assert_close(running.variance[0, 0], norm.running_var)


def weights(lead, inputs, width, stream):
    shapes = [(inputs, width), (1, width), (width, width), (1, width), (width, 1), (1, 1)]
    return [
        (torch.randn(*lead, *shape, generator=stream) * 0.3).requires_grad_() for shape in shapes
    ]


@pytest.mark.skipif(kernels.backend() == "torch", reason="no C compiler: there is only one form")
@pytest.mark.parametrize(("batch", "samples", "width"), [(7, 3, 16), (101, 10, 64), (64, 300, 32)])
def test_native_kernels_equal_plain_torch(batch, samples, width, stream):
    lead, size = (2, 3, 2), 2
    obs = torch.randn(2, 3, 1, batch, 5, generator=stream)
    actions = torch.rand(2, 3, 1, batch, samples, size, generator=stream) * 2 - 1
    parameters = weights(lead, 5 + size, width, stream)
    upstream = torch.randn(lead, generator=stream)
    found = []
    for form in (kernels.mean_logsumexp, kernels.mean_logsumexp_reference):
        for p in parameters:
            p.grad = None
        value = form(obs, actions, *parameters)
        (value * upstream).sum().backward()
        found.append([value.detach(), *(p.grad for p in parameters)])
    for native, plain in zip(*found, strict=True):
        torch.testing.assert_close(native, plain, rtol=1e-3, atol=2e-5)
    values = kernels.sample_values(obs, actions, *parameters)
    torch.testing.assert_close(
        values,
        kernels.sample_values_reference(obs, actions, *parameters).detach(),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.skipif(kernels.backend() == "torch", reason="no C compiler: there is only one form")
@pytest.mark.parametrize("rows", [1, 5, 250])
def test_native_mlp_equals_plain_torch_in_value_and_every_gradient(rows, stream):
    x = torch.randn(2, 1, rows, 7, generator=stream).requires_grad_()
    parameters = weights((2, 4), 7, 48, stream)
    found = []
    for form in (kernels.stacked_mlp, kernels.stacked_mlp_reference):
        for p in [x, *parameters]:
            p.grad = None
        y = form(x, *parameters)
        (y * torch.linspace(-1, 1, rows)[:, None]).sum().backward()
        found.append([y.detach(), x.grad, *(p.grad for p in parameters)])
    for native, plain in zip(*found, strict=True):
        torch.testing.assert_close(native, plain, rtol=1e-3, atol=3e-5)


def test_a_nan_in_one_member_stays_there():
    actors = Actors(generators([0, 1], "a"), [4], 4, 16, 2)
    obs = torch.randn(2, 1, 8, 4)
    obs[0] = float("nan")
    actions = actors.train_actions(obs)
    actions.square().sum().backward()
    assert actions[0].isnan().all() and not actions[1].isnan().any()
    assert not np.isnan(actors.params.grad[1].numpy()).any()


def test_gradients_of_constant_critics_do_not_reach_their_weights():
    critics = TwinCritics(generators([0], "c"), [5], 5, 16)
    action = torch.randn(1, 1, 8, 2, requires_grad=True)
    critics.values(torch.randn(1, 1, 8, 3), action, critics.constant, head=0).sum().backward()
    assert action.grad.abs().sum() > 0 and critics.params.grad.abs().sum() == 0


def test_apply_mlp_without_input_norm_is_a_plain_network():
    critics = TwinCritics(generators([0], "c"), [5], 5, 16, input_norm=False)
    x = torch.randn(1, 1, 8, 5)
    hidden = x[0, 0]
    for i in (1, 2, 3):
        hidden = hidden @ critics.params[f"w{i}"][0, 0, 1] + critics.params[f"b{i}"][0, 0, 1]
        hidden = hidden.relu() if i < 3 else hidden
    torch.testing.assert_close(
        apply_mlp(critics.params, x, None, head=1)[0, 0], hidden, rtol=1e-4, atol=1e-5
    )


@pytest.mark.skipif(kernels.backend() == "torch", reason="no C compiler: there is only one form")
def test_native_adam_equals_plain_torch(stream):
    rates, found = torch.tensor([0.1, 0.001]), []
    start = torch.randn(4, 2, 3, 37, generator=stream)
    gradients = torch.randn(5, 2, 3, 37, generator=stream)
    for form in (kernels.adam_step, kernels.adam_step_reference):
        param, mean, square = start[0].clone(), start[1].clone(), start[2].square()
        for grad in gradients:
            form(param, grad, mean, square, rates, (0.9, 0.999), 0.3, 1e-8)
        found.append((param, mean, square))
    for native, plain in zip(*found, strict=True):
        torch.testing.assert_close(native, plain, rtol=1e-5, atol=1e-6)
