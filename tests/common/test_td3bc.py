"""TD3+BC against a plain PyTorch implementation, and its population invariance."""

import torch
from torch import nn

from common.learning import kernels
from common.learning.philox import Streams
from common.learning.replay import Batch
from common.learning.td3bc import TD3BC, Standardiser, TD3BCConfig

CONFIG = TD3BCConfig(hidden=32, lr=1e-2, tau=0.3)


def batch(members, stream, rows=16, obs=5, act=2):
    def draw(*shape):
        return torch.randn(members, 1, rows, *shape, generator=stream)

    action = draw(act).tanh()
    return Batch(draw(obs), action, draw(), draw(obs), (draw() > 1).float(), action)


def learner(seeds):
    shape = (len(seeds), 1, 5)
    return TD3BC(
        seeds, [5], 2, CONFIG, Standardiser(torch.full(shape, 0.5), torch.full(shape, 2.0))
    )


def net(tensors, head=None):
    pick = (lambda t: t[0, 0]) if head is None else (lambda t: t[0, 0, head])
    layers = [nn.Linear(*pick(tensors[f"w{i}"]).shape) for i in (1, 2, 3)]
    with torch.no_grad():
        for i, layer in zip((1, 2, 3), layers, strict=True):
            layer.weight.copy_(pick(tensors[f"w{i}"]).T), layer.bias.copy_(pick(tensors[f"b{i}"]))
    return nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])


def test_four_updates_equal_a_plain_implementation(stream):
    agent = learner([3])
    pi, pi_target = net(agent.actors.params), net(agent.actors.params)
    critics, targets = ([net(agent.critics.params, head) for head in (0, 1)] for _ in range(2))
    adam_q = torch.optim.Adam([p for q in critics for p in q.parameters()], 1e-2)
    adam_pi = torch.optim.Adam(pi.parameters(), 1e-2)
    streams = Streams([3], "noise")
    for update in range(1, 5):
        rows = batch(1, stream)
        obs, following = ((part[0, 0] - 0.5) / 2.001 for part in (rows.obs, rows.next_obs))
        action, reward, terminal = rows.action[0, 0], rows.reward[0, 0], rows.terminal[0, 0]
        with torch.no_grad():
            noise = (0.2 * streams.normal((1, 16, 2))[0, 0]).clamp(-0.5, 0.5)
            x = torch.cat([following, (pi_target(following).tanh() + noise).clamp(-1, 1)], 1)
            y = reward + 0.99 * (1 - terminal) * torch.minimum(*(q(x)[:, 0] for q in targets))
        x = torch.cat([obs, action], 1)
        loss = sum((q(x)[:, 0] - y).square().mean() for q in critics)
        adam_q.zero_grad(), loss.backward(), adam_q.step()
        if update % 2 == 0:
            own = pi(obs).tanh()
            q = critics[0](torch.cat([obs, own], 1))[:, 0]
            loss = (own - action).square().mean() - 2.5 / q.abs().mean().detach() * q.mean()
            adam_pi.zero_grad(), loss.backward(), adam_pi.step()
            with torch.no_grad():
                for target, online in ((pi_target, pi), *zip(targets, critics, strict=True)):
                    for a, b in zip(target.parameters(), online.parameters(), strict=True):
                        a.lerp_(b, 0.3)
        agent.update(rows)
    pairs = (
        (agent.actors.params["w2"][0, 0], pi[2]),
        (agent.targets["critic"]["w2"][0, 0, 1], targets[1][2]),
    )
    for mine, theirs in pairs:
        torch.testing.assert_close(mine.detach(), theirs.weight.detach().T, rtol=1e-2, atol=2e-3)
    raw = rows.obs
    torch.testing.assert_close(
        agent.act(raw)[0, 0], pi((raw[0, 0] - 0.5) / 2.001).tanh().detach(), rtol=1e-2, atol=5e-3
    )


def test_a_member_is_what_its_seed_alone_would_train(stream):
    exact = (
        {"rtol": 0, "atol": 0} if kernels.backend() == "native" else {"rtol": 1e-4, "atol": 1e-5}
    )
    both, alone = learner([3, 8]), learner([8])
    for _ in range(4):
        rows = batch(2, stream)
        both.update(rows)
        alone.update(
            Batch(
                *(
                    getattr(rows, name)[1:].contiguous()
                    for name in ("obs", "action", "reward", "next_obs", "terminal", "next_action")
                )
            )
        )
    torch.testing.assert_close(both.actors.params.flat[1:], alone.actors.params.flat, **exact)
