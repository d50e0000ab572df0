"""The holder of networks: its steps against torch.optim, its targets, parts and states."""

import pytest
import torch
from torch import nn

from common.learning.learner import Learner
from common.learning.philox import Streams
from common.learning.population import members_of


def start(members=2, agents=2, seed=0):
    stream = torch.Generator().manual_seed(seed)
    return {
        "w": torch.randn(members, agents, 4, 3, generator=stream),
        "b": torch.randn(members, agents, 3, generator=stream),
    }


def learner(seeds, seed=0, **options):
    one = Learner(seeds, **options)
    one.hold("actor", start(len(seeds), seed=seed), 0.1, target=True)
    one.hold("critic", start(len(seeds), seed=seed + 1), 0.05, target=True)
    return one


def outputs(one, name, x):
    network = one.networks[name]
    return (x @ network["w"] + network["b"].unsqueeze(-2)).square()


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_a_step_is_torchs_adam_with_clipped_gradients(weight_decay, stream):
    one = Learner([0, 1], max_norm=0.5)
    one.hold("actor", start(), [0.1, 0.01], weight_decay=weight_decay)
    twins = []
    for m in (0, 1):
        weights = [nn.Parameter(tensor[m, 1].clone()) for tensor in start().values()]
        adam = torch.optim.Adam(weights, lr=(0.1, 0.01)[m], weight_decay=weight_decay)
        twins.append((weights, adam))
    for _ in range(4):
        x = torch.randn(2, 2, 7, 4, generator=stream)
        one.descend(outputs(one, "actor", x).mean((2, 3)), "actor")
        for m, (weights, adam) in enumerate(twins):
            adam.zero_grad()
            (x[m, 1] @ weights[0] + weights[1]).square().mean().backward()
            nn.utils.clip_grad_norm_(weights, 0.5)
            adam.step()
    for m, (weights, _) in enumerate(twins):
        for name, weight in zip("wb", weights, strict=True):
            ours = one.networks["actor"][name][m, 1].detach()
            torch.testing.assert_close(ours, weight.detach(), rtol=1e-4, atol=1e-5)


def test_a_network_may_be_held_without_clipping(stream):
    x = torch.randn(2, 2, 7, 4, generator=stream) * 100
    gradients = []
    for clip in (True, False):
        one = Learner([0, 1], max_norm=0.5)
        one.hold("actor", start(), 0.1, clip=clip)
        one.descend(outputs(one, "actor", x).mean((2, 3)), "actor")
        gradients.append(one.networks["actor"].grad.norm(dim=-1))
    assert (gradients[0] < 0.501).all() and (gradients[1] > 10).all()


def test_a_step_moves_the_named_networks_only(stream):
    one = learner([0, 1])
    x = torch.randn(2, 2, 7, 4, generator=stream)
    before = one.networks["critic"].flat.clone()
    one.descend(outputs(one, "actor", x).sum((2, 3)) + outputs(one, "critic", x).sum(), "actor")
    assert torch.equal(before, one.networks["critic"].flat)
    assert not torch.equal(one.networks["actor"].flat, one.targets["actor"].flat)


def test_targets_follow_by_name_or_all():
    one = learner([0, 1])
    for network in one.networks.values():
        network.flat.add_(1.0)
    gap = {name: one.networks[name].flat - target.flat for name, target in one.targets.items()}
    one.follow(0.25, "actor")
    torch.testing.assert_close(
        one.networks["actor"].flat - one.targets["actor"].flat, 0.75 * gap["actor"]
    )
    assert torch.equal(one.networks["critic"].flat - one.targets["critic"].flat, gap["critic"])
    one.follow(1.0)
    assert torch.equal(one.networks["critic"].flat, one.targets["critic"].flat)


def test_a_part_acts_for_its_members_and_follows_training(stream):
    one = learner([5, 6])
    part = one.part(slice(1, 2))
    x = torch.randn(2, 2, 7, 4, generator=stream)
    one.descend(outputs(one, "actor", x).mean((2, 3)), "actor")
    torch.testing.assert_close(outputs(part, "actor", x[1:]), outputs(one, "actor", x)[1:].detach())
    assert not outputs(part, "actor", x[1:]).requires_grad
    assert len(one.networks["actor"].flat) == 2


def test_a_state_brings_everything_back_and_members_can_be_taken_from_it(stream):
    def nested(seeds, seed=0):
        one = learner(seeds, seed)
        one.others["generator"] = Learner(seeds, noise="inner")
        one.others["generator"].hold("decoder", start(len(seeds), seed=9), 0.1)
        one.others["choices"] = Streams(seeds, "choices")
        one.notes.update(updates=0, last=torch.zeros(len(seeds), 3))
        return one

    def go_on(one, x):
        noise = one.normal(2, 7, 4)
        for name in ("actor", "critic"):
            one.descend(outputs(one, name, x + noise).mean((2, 3)), name)
        inner = one.others["generator"]
        inner.descend(outputs(inner, "decoder", x + inner.normal(2, 7, 4)).mean((2, 3)), "decoder")
        one.notes["updates"] += 1
        one.notes["last"] = x[:, 0, 0, :3]
        one.follow(0.1)
        return one.others["choices"].uniform((3,))

    whole = nested([5, 6])
    go_on(whole, torch.randn(2, 2, 7, 4, generator=stream))
    swapped = nested([6, 5], seed=3)
    swapped.load_state_dict(members_of(whole.state_dict(), [1, 0]))
    assert swapped.notes["updates"] == 1
    x = torch.randn(2, 2, 7, 4, generator=stream)
    assert torch.equal(go_on(whole, x).flip(0), go_on(swapped, x.flip(0)))
    ours, theirs = whole.state_dict(), swapped.state_dict()
    for group in ("networks", "targets"):
        for name, flat in ours[group].items():
            torch.testing.assert_close(flat.flip(0), theirs[group][name])
    inner = [state["others"]["generator"]["networks"]["decoder"] for state in (ours, theirs)]
    torch.testing.assert_close(inner[0].flip(0), inner[1])
    assert torch.equal(ours["notes"]["last"].flip(0), theirs["notes"]["last"])
