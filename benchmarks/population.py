"""What training a population at once gains, in one run on one core:

(a) the same learner looped over members, one program each: 40 members of 64-64 networks, batch 128;
(b) plain PyTorch as such code is usually written: a module and an optimizer per agent, minibatches
    drawn without replacement by permuting the whole buffer; five seeds of OMAR at the paper's sizes
    on a buffer of --rows rows.

    python benchmarks/population.py [--rows 1000000] [--device cpu]
"""

import argparse
import copy
import time

import torch
from torch import nn

from common.learning import kernels
from common.learning.philox import Streams
from common.learning.replay import Replay
from common.running.provenance import machine
from common.running.sources import resolve
from papers.omar.config import METHODS
from papers.omar.omar import Backbone, BackboneConfig, OMARConfig

AGENTS, OBS, ACTION = 3, 18, 2


def data(rows: int) -> dict:
    """One random data set of the cooperative-navigation sizes."""
    stream = torch.Generator().manual_seed(0)
    sizes = {
        "obs": (OBS,),
        "action": (ACTION,),
        "reward": (),
        "next_obs": (OBS,),
        "terminal": (),
        "next_action": (ACTION,),
    }
    fields = {
        name: torch.rand(rows, AGENTS, *size, generator=stream) for name, size in sizes.items()
    }
    fields["terminal"].zero_()
    return fields | {"has_next_action": torch.ones(rows, dtype=torch.bool)}


def population(method: str, members: int, batch: int, dataset: dict, device: str):
    """A function that trains one round of `members` members on the same data set."""
    seeds = list(range(members))
    config = BackboneConfig(batch_size=batch)
    build, kind = METHODS[method]
    learner = resolve(build)(Backbone(seeds, OBS, ACTION, AGENTS, config, device), kind())
    replay = Replay(
        [dataset], [0] * members, Streams(seeds, "m", device), False, method == "ma_icq", device
    )
    return lambda: learner.update(replay.draw(batch))


class PlainAgent:
    """One agent of OMAR in plain PyTorch: BatchNorm input, twin critics, Adam each, the released
    update.
    """

    def __init__(self, device):
        def mlp(size, out):
            return nn.Sequential(
                nn.Linear(size, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, out)
            ).to(device)

        self.actor = nn.Sequential(nn.BatchNorm1d(OBS).to(device), mlp(OBS, ACTION), nn.Tanh())
        self.norm = nn.BatchNorm1d(OBS + ACTION).to(device)
        self.heads = nn.ModuleList([mlp(OBS + ACTION, 1), mlp(OBS + ACTION, 1)])
        self.critic = nn.ModuleList([self.norm, self.heads])
        self.target_actor, self.target_critic = (
            copy.deepcopy(self.actor),
            copy.deepcopy(self.critic),
        )
        self.actor_adam = torch.optim.Adam(self.actor.parameters(), 0.01)
        self.critic_adam = torch.optim.Adam(self.critic.parameters(), 0.01)

    @staticmethod
    def q(critic, obs, action):
        x = critic[0](torch.cat([obs, action], -1))
        return [head(x)[:, 0] for head in critic[1]]

    def update(self, obs, action, reward, next_obs, config: OMARConfig):
        """The released MPE update: CQL critics, OMAR's sampler, Polyak averages."""
        batch = len(obs)
        with torch.no_grad():
            target = reward + 0.95 * torch.minimum(
                *self.q(self.target_critic, next_obs, self.target_actor(next_obs))
            )
        repeated = obs.repeat_interleave(10, 0)
        sampled = self.q(
            self.critic, repeated, torch.rand(batch * 10, ACTION, device=obs.device) * 2 - 1
        )
        loss = 0
        for q, s in zip(self.q(self.critic, obs, action), sampled, strict=True):
            loss = (
                loss
                + (q - target).square().mean()
                + s.view(batch, 10).logsumexp(1).mean()
                - q.mean()
            )
        self.step(loss, self.critic, self.critic_adam)

        own = self.actor(obs)
        q = self.q(self.critic, obs, own)[0]
        mean, std = torch.zeros_like(own), torch.full_like(own, 2.0)
        with torch.no_grad():
            for _ in range(3):
                actions = (
                    mean[:, None] + std[:, None] * torch.randn(batch, 10, ACTION, device=obs.device)
                ).clamp(-1, 1)
                values = self.q(self.critic, repeated, actions.flatten(0, 1))[0].view(batch, 10)
                mean = (values.softmax(1)[..., None] * actions).sum(1)
                std = (actions - mean[:, None]).square().mean(1).sqrt()
            pool, values = torch.cat([actions, own[:, None]], 1), torch.cat([values, q[:, None]], 1)
            best = pool[torch.arange(batch, device=obs.device), values.argmax(1)]
        loss = 0.5 * (own - best).square().mean() - 0.5 * q.mean() + 1e-3 * own.square().mean()
        self.step(loss, self.actor, self.actor_adam)
        for target_net, net in ((self.target_actor, self.actor), (self.target_critic, self.critic)):
            for a, b in zip(target_net.parameters(), net.parameters(), strict=True):
                a.data.mul_(0.99).add_(b.data, alpha=0.01)

    @staticmethod
    def step(loss, net, adam):
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 0.5)
        adam.step()


def plain(seeds: int, batch: int, dataset: dict, device: str):
    """A function that trains one round of every agent of every seed, one after the other."""
    teams = [[PlainAgent(device) for _ in range(AGENTS)] for _ in range(seeds)]
    fields = [dataset[name].to(device) for name in ("obs", "action", "reward", "next_obs")]
    rows = len(dataset["obs"])

    def one_round():
        for team in teams:
            for i, agent in enumerate(team):
                index = torch.randperm(rows, device=device)[:batch]
                agent.update(*(field[index, i] for field in fields), OMARConfig())

    return one_round


def seconds(step, device: str, least: float = 3.0) -> float:
    """Median seconds of a round."""
    step()
    times: list[float] = []
    start = time.perf_counter()
    while time.perf_counter() - start < least or len(times) < 3:
        began = time.perf_counter()
        step()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return sorted(times)[len(times) // 2]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(1)
    facts = machine(args.device)
    print(f"{facts['processor']}, {facts['device']}, one thread, kernels {kernels.backend()}")
    print(f"relative error of a float32 product: {facts['matmul_error']:.1e}")
    small = data(20_000)
    print("\n(a) 40 members at once against 40 programs of one member, 64-64, batch 128")
    for method in METHODS:
        together = seconds(population(method, 40, 128, small, args.device), args.device)
        alone = 40 * seconds(population(method, 1, 128, small, args.device), args.device, 1.0)
        print(
            f"    {method:9s} {together * 1e3:8.1f} ms a round against {alone * 1e3:8.1f} ms: "
            f"{alone / together:5.1f} x"
        )
    print(
        f"\n(b) OMAR, five seeds, batch 1024, {args.rows:,} rows, against plain per-agent PyTorch"
    )
    large = data(args.rows)
    usual = seconds(plain(5, 1024, large, args.device), args.device, 6.0)
    ours = seconds(population("omar", 5, 1024, large, args.device), args.device, 6.0)
    print(f"    {ours * 1e3:.0f} ms a round against {usual * 1e3:.0f} ms: {usual / ours:.1f} x")
    flops = 1.1e9 * 15
    print(
        f"    about {flops / ours / 1e9:.0f} and {flops / usual / 1e9:.0f} GFLOP/s at 1.1 "
        "GFLOP an agent-update"
    )


if __name__ == "__main__":
    main()
