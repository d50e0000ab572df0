"""The CPU form of what a conservative critic pays against its torch form."""

import pytest
import torch

from common.learning import conservative, kernels


@pytest.fixture(autouse=True)
def compiled():
    if kernels.backend() == "torch":
        pytest.skip("no C compiler: there is only one form")
    assert kernels.compiled(conservative.SOURCE), "conservative.c does not compile"


def drawn(batch, samples, width, stream, lead=(2, 3, 2)):
    """What the critic sees, samples and their densities, shared by heads, and weights."""

    def normal(*shape):
        return torch.randn(*shape, generator=stream)

    given = normal(2, 3, 1, batch, 5), normal(2, 3, 1, batch, samples, 2)
    shapes = [(7, width), (1, width), (width, width), (1, width), (width, 1), (1, 1)]
    weights = [(0.3 * normal(*lead, *shape)).requires_grad_() for shape in shapes]
    return given[0].requires_grad_(), given[1], normal(2, 3, 1, batch, samples), weights


@pytest.mark.parametrize(("batch", "samples", "width"), [(7, 3, 16), (101, 30, 64), (5, 300, 32)])
def test_value_and_every_gradient_equal_the_torch_forms_in_float64(batch, samples, width, stream):
    seen, actions, density, weights = drawn(batch, samples, width, stream)
    upstream = torch.randn(2, 3, 2, generator=stream)
    value = conservative.weighted_logsumexp(seen, actions, density, *weights)
    grads = torch.autograd.grad((value * upstream).sum(), [seen, *weights])

    exact = [tensor.detach().double().requires_grad_() for tensor in (seen, *weights)]
    expected = conservative.weighted_logsumexp_reference(
        exact[0], actions.double(), density.double(), *exact[1:]
    )
    torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=1e-5)
    slow = torch.autograd.grad((expected * upstream.double()).sum(), exact)
    for found, plain in zip(grads, slow, strict=True):
        torch.testing.assert_close(found.double(), plain, rtol=1e-3, atol=2e-5)


def test_a_member_does_not_depend_on_its_neighbours(stream):
    seen, actions, density, weights = drawn(50, 10, 32, stream)
    together = conservative.weighted_logsumexp(seen, actions, density, *weights)
    alone = conservative.weighted_logsumexp(
        *(tensor[1:] for tensor in (seen, actions, density, *weights))
    )
    assert torch.equal(together[1:], alone)
