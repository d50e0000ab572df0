"""The encoder's CPU form against its torch form, and members against themselves alone."""

import pytest
import torch

from common.learning import attention, kernels
from common.learning.memory import encode, encode_reference, encoder_parameters
from common.learning.population import Parameters, generators

SHAPES = {  # members, agents, batch, steps, inputs, size
    "odd sizes": (2, 3, 7, 10, 5, 32),
    "several blocks, the last not full": (1, 2, 61, 10, 29, 16),
    "one step": (2, 1, 5, 1, 3, 16),
    "more steps than lanes": (1, 2, 4, 20, 7, 48),
    "a history longer than a block": (1, 1, 2, 250, 4, 64),
}


@pytest.fixture(autouse=True)
def compiled():
    if kernels.backend() == "torch":
        pytest.skip("no C compiler: there is only one form")
    assert kernels.compiled(attention.SOURCE), "attention.c does not compile"


def encoder(members, agents, inputs, size, stream):
    """One of which no weight is what it starts with: norms start as ones and zeros."""
    seeds = list(range(members))
    initial = encoder_parameters(generators(seeds, "memory"), [inputs] * agents, inputs, size)
    params = Parameters(initial)
    with torch.no_grad():
        params.flat.add_(torch.randn(params.flat.shape, generator=stream), alpha=0.1)
    return params


def histories(members, agents, batch, steps, inputs, stream):
    """Some of which begin with an episode's start."""
    history = torch.randn(members, agents, batch, steps, inputs, generator=stream)
    history[:, :, ::3, : steps // 2] = 0
    return history


def gradients(encoded, params, upstream):
    params.zero_grad()
    (encoded * upstream).sum().backward(inputs=list(params.tensors.values()))
    return {name: grad.clone() for name, grad in params.split(params.grad).items()}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_outputs_and_every_gradient_equal_the_torch_forms_in_float64(shape, stream):
    members, agents, batch, steps, inputs, size = shape
    params = encoder(members, agents, inputs, size, stream)
    history = histories(members, agents, batch, steps, inputs, stream)
    upstream = torch.randn(members, agents, batch, size, generator=stream)
    encoded = encode(params, history)
    grads = gradients(encoded, params, upstream)

    exact = Parameters({name: tensor.detach().double() for name, tensor in params.tensors.items()})
    expected = encode_reference(exact, history.double())
    torch.testing.assert_close(encoded.double(), expected, atol=1e-5, rtol=1e-5)
    for name, grad in gradients(expected, exact, upstream.double()).items():
        gap = (grads[name] - grad).abs().max()
        assert gap <= 1e-5 * max(1e-3, float(grad.abs().max())), name
    assert not grads["key_b"].any()


def test_without_gradients_the_bits_are_the_same(stream):
    params = encoder(2, 2, 5, 32, stream)
    history = histories(2, 2, 61, 10, 5, stream)
    with torch.no_grad():
        assert torch.equal(encode(params, history), encode(params, history.clone()))
        acting = encode(params.part(slice(None)), history)
    assert torch.equal(acting, encode(params, history).detach())


def test_histories_may_lie_anywhere_in_memory(stream):
    params = encoder(1, 2, 5, 16, stream)
    longer = histories(1, 2, 8, 11, 5, stream)
    past = longer[:, :, :, :-1]
    assert not past.is_contiguous()
    assert torch.equal(encode(params, past), encode(params, past.contiguous()))


def test_a_member_is_what_it_is_alone_bit_for_bit(stream):
    params = encoder(3, 2, 5, 32, stream)
    history = histories(3, 2, 61, 10, 5, stream)
    upstream = torch.randn(3, 2, 61, 32, generator=stream)
    together = encode(params, history)
    grads = gradients(together, params, upstream)
    for m in range(3):
        one = slice(m, m + 1)
        alone = Parameters({name: tensor.detach()[one] for name, tensor in params.tensors.items()})
        encoded = encode(alone, history[one])
        assert torch.equal(encoded, together[one])
        for name, grad in gradients(encoded, alone, upstream[one]).items():
            assert torch.equal(grad, grads[name][one]), name


def test_a_diverged_member_stays_alone(stream):
    params = encoder(2, 1, 5, 16, stream)
    params.flat[0, 0, 7] = float("nan")
    history = histories(2, 1, 4, 10, 5, stream)
    encoded = encode(params, history)
    grads = gradients(encoded, params, torch.ones(2, 1, 4, 16))
    assert encoded[0].isnan().all() and not encoded[1].isnan().any()
    assert grads["value_w"][0].isnan().all()
    assert not any(grad[1].isnan().any() for grad in grads.values())


@pytest.mark.parametrize("case", ["float64", "width", "gradient to histories"])
def test_the_torch_form_serves_what_the_compiled_one_does_not(case, stream):
    size = 6 if case == "width" else 16
    params = encoder(1, 2, 5, size, stream)
    history = histories(1, 2, 3, 10, 5, stream)
    if case == "float64":
        tensors = {name: tensor.detach().double() for name, tensor in params.tensors.items()}
        params, history = Parameters(tensors), history.double()
    if case == "gradient to histories":
        history.requires_grad_()
    assert attention.native(history, size) is None
    encoded = encode(params, history)
    assert torch.equal(encoded, encode_reference(params, history))
    if history.requires_grad:
        encoded.sum().backward()
        assert history.grad.any()


def test_switched_off_the_torch_form_runs(stream, monkeypatch):
    params = encoder(1, 2, 5, 16, stream)
    history = histories(1, 2, 3, 10, 5, stream)
    fused = encode(params, history)
    monkeypatch.setattr(kernels, "compiled", lambda source: None)
    plain = encode(params, history)
    assert torch.equal(plain, encode_reference(params, history))
    torch.testing.assert_close(fused, plain, atol=1e-5, rtol=1e-5)
