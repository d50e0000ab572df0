"""BCQ and its VAE against a plain PyTorch implementation, and population invariance."""

import torch
from torch import nn

from common.learning import kernels
from common.learning.bcq import BCQ, BCQConfig
from common.learning.philox import Streams
from common.learning.population import members_of
from common.learning.replay import Batch

CONFIG = BCQConfig(
    hidden=32,
    actor_lr=1e-2,
    critic_lr=1e-2,
    vae_lr=1e-2,
    tau=0.3,
    target_samples=4,
    act_samples=5,
    perturbation=0.2,
)


def batch(members, stream, rows=16, obs=5, act=2):
    def draw(*shape):
        return torch.randn(members, 1, rows, *shape, generator=stream)

    return Batch(draw(obs), draw(act).tanh(), draw(), draw(obs), (draw() > 1).float())


def net(tensors, head=None):
    pick = (lambda t: t[0, 0]) if head is None else (lambda t: t[0, 0, head])
    layers = [nn.Linear(*pick(tensors[f"w{i}"]).shape) for i in (1, 2, 3)]
    with torch.no_grad():
        for i, layer in zip((1, 2, 3), layers, strict=True):
            layer.weight.copy_(pick(tensors[f"w{i}"]).T), layer.bias.copy_(pick(tensors[f"b{i}"]))
    return nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])


def test_three_updates_equal_a_plain_implementation(stream):
    agent = BCQ([3], [5], 2, CONFIG)
    encoder, decoder = (
        net(agent.vae.networks["encoder"].tensors),
        net(agent.vae.networks["decoder"].tensors),
    )
    actor, actor_target = net(agent.networks["actor"].tensors), net(agent.networks["actor"].tensors)
    critics, targets = (
        [net(agent.critics.params.tensors, head) for head in (0, 1)] for _ in range(2)
    )
    adams = [torch.optim.Adam(part.parameters(), 1e-2) for part in (encoder, decoder, actor)]
    adam_q = torch.optim.Adam([p for q in critics for p in q.parameters()], 1e-2)
    streams = Streams([3], "noise")

    def noise(rows):
        return streams.normal((1, rows, 4))[0, 0]

    def perturbed(network, obs, action):
        return (action + 0.2 * network(torch.cat([obs, action], 1)).tanh()).clamp(-1, 1)

    for _ in range(3):
        rows = batch(1, stream)
        obs, action, following = rows.obs[0, 0], rows.action[0, 0], rows.next_obs[0, 0]
        mean, log_std = encoder(torch.cat([action, obs], 1)).chunk(2, 1)
        log_std = log_std.clamp(-4, 15)
        rebuilt = decoder(torch.cat([mean + log_std.exp() * noise(16), obs], 1)).tanh()
        divergence = -0.5 * (1 + 2 * log_std - mean**2 - (2 * log_std).exp()).mean()
        for adam in adams[:2]:
            adam.zero_grad()
        (nn.functional.mse_loss(rebuilt, action) + 0.5 * divergence).backward()
        for adam in adams[:2]:
            adam.step()
        with torch.no_grad():
            repeated = torch.repeat_interleave(following, 4, 0)
            proposal = decoder(torch.cat([noise(64).clamp(-0.5, 0.5), repeated], 1)).tanh()
            x = torch.cat([repeated, perturbed(actor_target, repeated, proposal)], 1)
            values = [q(x)[:, 0] for q in targets]
            mixed = 0.75 * torch.minimum(*values) + 0.25 * torch.maximum(*values)
            best = mixed.reshape(16, 4).max(1).values
            y = rows.reward[0, 0] + 0.99 * (1 - rows.terminal[0, 0]) * best
        x = torch.cat([obs, action], 1)
        adam_q.zero_grad()
        sum(nn.functional.mse_loss(q(x)[:, 0], y) for q in critics).backward()
        adam_q.step()
        with torch.no_grad():
            proposal = decoder(torch.cat([noise(16).clamp(-0.5, 0.5), obs], 1)).tanh()
        adams[2].zero_grad()
        (-critics[0](torch.cat([obs, perturbed(actor, obs, proposal)], 1)).mean()).backward()
        adams[2].step()
        with torch.no_grad():
            for target, online in ((actor_target, actor), *zip(targets, critics, strict=True)):
                for a, b in zip(target.parameters(), online.parameters(), strict=True):
                    a.lerp_(b, 0.3)
        agent.update(rows)
    pairs = (
        (agent.vae.networks["encoder"]["w2"][0, 0], encoder[2]),
        (agent.vae.networks["decoder"]["w2"][0, 0], decoder[2]),
        (agent.networks["actor"]["w2"][0, 0], actor[2]),
        (agent.targets["critic"]["w2"][0, 0, 1], targets[1][2]),
    )
    for mine, theirs in pairs:
        torch.testing.assert_close(mine.detach(), theirs.weight.detach().T, rtol=1e-2, atol=2e-3)


def test_acting_picks_the_best_of_its_candidates_near_what_the_generator_proposes(stream):
    agent = BCQ([0, 1], [5], 2, CONFIG)
    obs = torch.randn(2, 1, 3, 5, generator=stream)
    action = agent.act(obs, Streams([0, 1], "acting"))
    repeated = obs.repeat_interleave(5, dim=2)
    candidates = agent.propose(
        repeated, agent.noise(repeated, Streams([0, 1], "acting")), agent.networks["actor"]
    )
    values = agent.q(repeated, candidates).view(2, 1, 3, 5)
    torch.testing.assert_close(agent.q(obs, action), values.amax(-1))
    torch.testing.assert_close(agent.value(obs, Streams([0, 1], "acting"), 5), values.mean(-1))


def test_a_member_is_what_its_seed_alone_would_train_and_copies_go_on_alike(stream):
    exact = (
        {"rtol": 0, "atol": 0} if kernels.backend() == "native" else {"rtol": 1e-4, "atol": 1e-5}
    )
    both, alone = BCQ([3, 8], [5], 2, CONFIG), BCQ([8], [5], 2, CONFIG)

    def rows_of(rows, member):
        return Batch(
            *(
                getattr(rows, name)[member : member + 1]
                for name in ("obs", "action", "reward", "next_obs", "terminal")
            )
        )

    for _ in range(3):
        rows = batch(2, stream)
        both.update(rows), alone.update(rows_of(rows, 1))
    torch.testing.assert_close(
        both.networks["actor"].flat[1:], alone.networks["actor"].flat, **exact
    )
    copies = BCQ([8, 8, 3], [5], 2, CONFIG)
    copies.load_state_dict(members_of(both.state_dict(), [1, 1, 0]))
    rows = batch(1, stream)
    alone.update(rows)
    three = batch(3, stream)
    for name in ("obs", "action", "reward", "next_obs", "terminal"):
        getattr(three, name)[1] = getattr(rows, name)[0]
    copies.update(three)
    torch.testing.assert_close(copies.critics.params.flat[1:2], alone.critics.params.flat, **exact)
    part = copies.part(slice(1, 2))
    copies.update(three)  # the part follows
    obs = torch.randn(3, 1, 4, 5, generator=stream)
    action = torch.rand(3, 1, 4, 2, generator=stream)
    torch.testing.assert_close(part.q(obs[1:2], action[1:2]), copies.q(obs, action)[1:2], **exact)
