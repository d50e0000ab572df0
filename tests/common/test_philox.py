"""Counter-based random numbers: the published test vectors, both forms, members, distributions."""

import pytest
import torch
from scipy import stats

from common.learning import philox
from common.learning.philox import Streams

# Random123, kat_vectors, philox4x32 10: counter, key, output
VECTORS = [
    (
        "00000000 00000000 00000000 00000000",
        "00000000 00000000",
        "6627e8d5 e169c58d bc57ac4c 9b00dbd8",
    ),
    (
        "ffffffff ffffffff ffffffff ffffffff",
        "ffffffff ffffffff",
        "408f276d 41c83b0e a20bc7c6 6d5451fd",
    ),
    (
        "243f6a88 85a308d3 13198a2e 03707344",
        "a4093822 299f31d0",
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
]


def words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


def slow_block(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x32-10 as its paper writes it, in plain Python."""
    a, b, c, d = counter
    first, second = key
    for _ in range(10):
        left = 0xD2511F53 * a
        right = 0xCD9E8D57 * c
        a, b, c, d = (
            (right >> 32) ^ b ^ first,
            right & 0xFFFFFFFF,
            (left >> 32) ^ d ^ second,
            left & 0xFFFFFFFF,
        )
        first = (first + 0x9E3779B9) & 0xFFFFFFFF
        second = (second + 0xBB67AE85) & 0xFFFFFFFF
    return [a, b, c, d]


@pytest.fixture(params=["native", "torch"])
def form(request, monkeypatch):
    """Both forms; where nothing compiles only torch's."""
    if request.param == "torch":
        monkeypatch.setattr(philox, "compiled", lambda source: None)
    elif philox.compiled(philox.SOURCE) is None:
        pytest.skip("no C compiler")
    return request.param


@pytest.mark.parametrize(("counter", "key", "output"), VECTORS)
def test_the_slow_form_gives_the_published_vectors(counter, key, output):
    assert slow_block(words(counter), words(key)) == words(output)


def test_words_are_blocks_of_the_published_function(form):
    streams = Streams([3, 9], "noise")
    streams.drawn = 2**32 + 7
    drawn = streams.words((300,))
    for member, key in enumerate(streams.keys.tolist()):
        for block in (0, 1, 74):
            expected = slow_block([block, 0, 7, 1], key)
            assert drawn[member, 4 * block : 4 * block + 4].tolist() == expected


def test_zeros_give_the_published_vector(form):
    streams = Streams([0], "noise")
    streams.keys.zero_()
    streams.packed.zero_()
    assert streams.words((4,))[0].tolist() == words(VECTORS[0][2])


@pytest.mark.parametrize("count", [1, 2, 5, 64, 255, 256, 257, 1000])
def test_both_forms_agree(count, monkeypatch):
    if philox.compiled(philox.SOURCE) is None:
        pytest.skip("no C compiler")

    def everything() -> list[torch.Tensor]:
        streams = Streams([1, 2, 77], "noise")
        return [
            streams.words((count,)),
            streams.uniform((count,)),
            streams.integers([5, 1000, 2**31], (count,)),
            streams.permutation(count),
            streams.distinct([count, count + 3, 10**6], 2, count),
            streams.normal((count,)),
        ]

    native = everything()
    monkeypatch.setattr(philox, "compiled", lambda source: None)
    plain = everything()
    for ours, theirs in zip(native[:-1], plain[:-1], strict=True):
        assert torch.equal(ours, theirs)
    torch.testing.assert_close(native[-1], plain[-1], rtol=2e-6, atol=2e-6)


def test_a_member_draws_the_same_whatever_it_is_batched_with(form):
    together = Streams([5, 1, 8], "noise")
    alone = Streams([1], "noise")
    for _ in range(3):
        assert torch.equal(together.normal((4, 3))[1:2], alone.normal((4, 3)))
        assert torch.equal(together.distinct([9, 50, 12], 2, 9)[1:2], alone.distinct(50, 2, 9))


def test_purposes_seeds_and_draws_have_numbers_of_their_own(form):
    streams = Streams([0, 1], "noise")
    first = streams.uniform((1000,))
    second = streams.uniform((1000,))
    other = Streams([0, 1], "minibatches").uniform((1000,))
    for a, b in ((first[0], first[1]), (first[0], second[0]), (first[0], other[0])):
        assert abs(float(torch.corrcoef(torch.stack([a, b]))[0, 1])) < 0.15


def test_the_state_is_the_number_of_draws():
    streams = Streams([4], "noise")
    streams.normal((3,))
    saved = streams.state_dict()
    expected = streams.normal((3,))
    resumed = Streams([4], "noise")
    resumed.load_state_dict(saved)
    assert torch.equal(resumed.normal((3,)), expected)
    resumed.restart()
    assert torch.equal(resumed.normal((3,)), Streams([4], "noise").normal((3,)))


def test_normal_numbers_are_standard_normal(form):
    drawn = Streams(range(8), "noise").normal((20_000,))
    assert stats.kstest(drawn.flatten().double().numpy(), "norm").pvalue > 1e-3
    assert stats.kstest(drawn[:, 1::2].flatten().double().numpy(), "norm").pvalue > 1e-3
    # no pair made of the same two words is correlated, nor are their squares
    pairs = drawn.view(-1, 2).T.double()
    assert abs(float(torch.corrcoef(pairs)[0, 1])) < 0.015
    assert abs(float(torch.corrcoef(pairs.square())[0, 1])) < 0.015


def test_uniform_exponential_and_gumbel_numbers_have_their_distributions(form):
    streams = Streams(range(4), "noise")
    uniform = streams.uniform((20_000,), -2.0, 3.0)
    assert uniform.min() >= -2 and uniform.max() < 3
    assert stats.kstest((uniform.flatten().double().numpy() + 2) / 5, "uniform").pvalue > 1e-3
    exponential = streams.exponential((20_000,))
    assert exponential.min() > 0
    assert stats.kstest(exponential.flatten().double().numpy(), "expon").pvalue > 1e-3
    gumbel = streams.gumbel((20_000,)).flatten().double().numpy()
    assert stats.kstest(gumbel, "gumbel_r").pvalue > 1e-3


def test_the_smallest_and_largest_words_give_finite_numbers(monkeypatch):
    uniform = torch.tensor([[0.0, 1 - 2.0**-24]])
    monkeypatch.setattr(Streams, "uniform", lambda self, shape: uniform)
    exponential = Streams([0], "noise").exponential((2,))
    assert (exponential > 0).all() and exponential.isfinite().all()
    assert Streams([0], "noise").gumbel((2,)).isfinite().all()


def test_distinct_numbers_are_drawn_like_cards(form):
    """All ordered pairs of five are equally likely."""
    drawn = Streams(range(500), "cards").distinct(5, 40, 2).flatten(0, 1)
    assert (drawn[:, 0] != drawn[:, 1]).all()
    counts = torch.bincount(5 * drawn[:, 0] + drawn[:, 1], minlength=25)
    seen = counts[counts > 0]
    assert len(seen) == 20
    assert stats.chisquare(seen.numpy()).pvalue > 1e-3


def test_all_numbers_can_be_drawn_and_no_more(form):
    drawn = Streams([0, 1], "cards").distinct([7, 7], 3, 7)
    assert torch.equal(drawn.sort(-1).values, torch.arange(7).expand(2, 3, 7))
    with pytest.raises(ValueError, match="8 distinct numbers were asked for, but there are 7"):
        Streams([0], "cards").distinct(7, 1, 8)


def test_permutations_hold_every_number_and_are_uniform(form):
    drawn = Streams(range(6000), "order").permutation(3)
    assert torch.equal(drawn.sort(-1).values, torch.arange(3).expand(6000, 3))
    counts = torch.bincount(9 * drawn[:, 0] + 3 * drawn[:, 1] + drawn[:, 2])
    assert stats.chisquare(counts[counts > 0].numpy()).pvalue > 1e-3
    assert int((counts > 0).sum()) == 6
