"""SAC against a plain PyTorch implementation, and its population invariance."""

import math

import torch
from torch import nn

from common.learning import kernels
from common.learning.population import generators
from envs.mujoco.sac import SAC, SACConfig


def batch(members, stream, rows=16, obs=5, act=2):
    def draw(*shape):
        return torch.randn(members, 1, rows, *shape, generator=stream)

    return draw(obs), draw(act).tanh(), draw(), draw(obs), (draw() > 1).float()


def net(tensors, outputs_of=None):
    pick = (lambda t: t[0, 0]) if outputs_of is None else (lambda t: t[0, 0, outputs_of])
    layers = [nn.Linear(*pick(tensors[f"w{i}"]).shape) for i in (1, 2, 3)]
    with torch.no_grad():
        for i, layer in zip((1, 2, 3), layers, strict=True):
            layer.weight.copy_(pick(tensors[f"w{i}"]).T), layer.bias.copy_(pick(tensors[f"b{i}"]))
    return nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])


def test_two_updates_equal_a_plain_implementation(stream):
    config = SACConfig(hidden=32, batch_size=16, lr=1e-2, tau=0.3)
    learner = SAC([3], 5, 2, config)
    policy, (q1, q2) = (
        net(learner.policy.params),
        (net(learner.critics.params, head) for head in (0, 1)),
    )
    t1, t2 = (net(learner.critics.params, head) for head in (0, 1))
    log_alpha = torch.zeros((), requires_grad=True)
    adam = {
        "q": torch.optim.Adam([*q1.parameters(), *q2.parameters()], 1e-2),
        "pi": torch.optim.Adam(policy.parameters(), 1e-2),
        "alpha": torch.optim.Adam([log_alpha], 1e-2),
    }
    noise_stream = generators([3], "noise")[0]

    def sample(obs):
        mean, log_std = policy(obs).chunk(2, -1)
        noise = torch.empty(1, 16, 2).normal_(generator=noise_stream)[0]
        z = mean + log_std.exp() * noise
        log_prob = (
            -0.5 * noise**2 - log_std - 0.5 * math.log(2 * math.pi) - torch.log1p(-(z.tanh() ** 2))
        ).sum(-1)
        return z.tanh(), log_prob

    for _ in range(2):
        rows = batch(1, stream)
        obs, action, reward, next_obs, terminal = (part[0, 0] for part in rows)
        alpha = log_alpha.exp().detach()
        with torch.no_grad():
            next_action, next_log_prob = sample(next_obs)
            x = torch.cat([next_obs, next_action], 1)
            y = reward + 0.99 * (1 - terminal) * (
                torch.minimum(t1(x), t2(x))[:, 0] - alpha * next_log_prob
            )
        x = torch.cat([obs, action], 1)
        loss = sum((q(x)[:, 0] - y).square().mean() for q in (q1, q2))
        adam["q"].zero_grad(), loss.backward(), adam["q"].step()
        own, log_prob = sample(obs)
        x = torch.cat([obs, own], 1)
        loss = (alpha * log_prob - torch.minimum(q1(x), q2(x))[:, 0]).mean()
        adam["pi"].zero_grad(), loss.backward(), adam["pi"].step()
        loss = -(log_alpha * (log_prob.detach() - 2)).mean()
        adam["alpha"].zero_grad(), loss.backward(), adam["alpha"].step()
        with torch.no_grad():
            for target, online in ((t1, q1), (t2, q2)):
                for a, b in zip(target.parameters(), online.parameters(), strict=True):
                    a.lerp_(b, 0.3)
        learner.update(*rows)

    torch.testing.assert_close(
        learner.temperature["log_alpha"].detach().squeeze(),
        log_alpha.detach(),
        rtol=1e-3,
        atol=1e-4,
    )
    for mine, theirs in (
        (learner.policy.params, policy),
        *((learner.critics.params, q) for q in (q1, q2)[:1]),
    ):
        weight = mine["w2"].detach()[0, 0]
        weight = weight[0] if weight.ndim == 3 else weight
        torch.testing.assert_close(weight, theirs[2].weight.detach().T, rtol=1e-2, atol=2e-3)
    torch.testing.assert_close(
        learner.targets["critic"]["w1"][0, 0, 1], t2[0].weight.detach().T, rtol=1e-2, atol=2e-3
    )


def test_a_member_is_what_its_seed_alone_would_train(stream):
    exact = (
        {"rtol": 0, "atol": 0} if kernels.backend() == "native" else {"rtol": 1e-4, "atol": 1e-5}
    )
    config = SACConfig(hidden=32, batch_size=16)
    both, alone = SAC([3, 8], 5, 2, config), SAC([8], 5, 2, config)
    for _ in range(3):
        rows = batch(2, stream)
        both.update(*rows)
        alone.update(*(part[1:].contiguous() for part in rows))
    torch.testing.assert_close(both.policy.params.flat[1:], alone.policy.params.flat, **exact)
    torch.testing.assert_close(both.temperature.flat[1:], alone.temperature.flat)
