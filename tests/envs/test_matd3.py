"""MATD3: some members of a population, taken out in the middle of training."""

import torch

from envs.matd3 import MATD3, MATD3Config


def batch(members, stream):
    def draw(*shape):
        return torch.randn(members, 2, 12, *shape, generator=stream)

    return draw(4), draw(2).tanh(), draw(), draw(4)


def test_members_that_are_kept_go_on_as_they_would_have(stream):
    whole = MATD3([3, 5, 8], [4, 4], 2, MATD3Config(hidden=16), "test")
    for _ in range(3):  # an odd number: the next round updates the actors
        whole.update(*batch(3, stream))
    kept = whole.keep([2, 0])
    assert kept.seeds == [8, 3]
    for _ in range(3):
        rows = batch(3, stream)
        whole.update(*rows)
        kept.update(*(field[[2, 0]] for field in rows))
    for ours, theirs in zip(kept.networks.values(), whole.networks.values(), strict=True):
        torch.testing.assert_close(ours.flat, theirs.flat[[2, 0]])
    obs = torch.randn(3, 2, 5, 4, generator=stream)
    torch.testing.assert_close(kept.actors.act(obs[[2, 0]]), whole.actors.act(obs)[[2, 0]])
