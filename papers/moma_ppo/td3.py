"""TD3 (Fujimoto et al., 2018) for teams, with what makes it offline: ITD3+BC, MATD3+BC, ICQL and
IOMAR.

ITD3+BC adds a behaviour-cloning term; MATD3+BC mixes agents' values into a team's; ICQL has a
conservative critic; IOMAR has that and actors drawn towards the best actions of a zeroth-order
search.

Axes: M members, N agents, E = 2 heads, B batch, K sampled actions, D state, O observation, A
action.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from common.learning.losses import td_loss, uniform_log_density
from common.learning.mixing import Mixer
from common.learning.networks import apply_mlp
from common.learning.population import Adam, generators, mean_over_batch, normal_, uniform_
from common.learning.zeroth_order import pick, refine_elites, search
from papers.moma_ppo.remembering import Remembering
from papers.moma_ppo.sequences import TeamBatch

KINDS = ("itd3bc", "matd3bc", "icql", "iomar")
ACTION_COST = 1e-3  # IOMAR's, on its actors' squared actions


@dataclass(frozen=True)
class TD3Config:
    """Values of the authors' code."""

    hidden: int = 256
    memory: int = 128
    lr: float = 3e-4
    gamma: float = 0.99
    tau: float = 0.005
    noise: float = 0.2
    noise_clip: float = 0.5
    delay: int = 2
    bc: float = 2.5  # lambda = bc / mean |Q|; ITD3+BC and MATD3+BC
    cql: float = 1.0  # weight of the conservative penalty; ICQL and IOMAR
    cql_samples: int = 10  # of each kind of action
    omar: float = 0.9  # IOMAR's share of the search
    iterations: int = 2
    population: int = 20
    elites: int = 5
    sigma: float = 2.0
    mixer: str = "free"


class TD3:
    """Actors and critics of every member.

    Args:
        seeds: one per member.
        kind: see KINDS.
        state_dim: D, what MATD3+BC's mixer sees.
    """

    def __init__(
        self,
        seeds: list[int],
        kind: str,
        obs_dims: list[int],
        state_dim: int,
        action_dim: int,
        config: TD3Config,
        device="cpu",
    ):
        if kind not in KINDS:
            raise ValueError(f"unknown kind {kind!r}, expected one of: {', '.join(KINDS)}")
        self.config, self.kind, self.action_dim, self.steps = config, kind, action_dim, 0
        self.base = Remembering(
            seeds, obs_dims, action_dim, config.memory, config.hidden, config.lr, config.tau, device
        )
        self.actor = self.base.network("policy", 0, action_dim)
        self.q = self.base.network("q", action_dim, 1, heads=2)
        self.parts = {"actor": self.actor, "q": self.q}
        self.mixer = None
        if kind == "matd3bc":
            self.mixer = Mixer(
                generators(seeds, "q mixer"),
                state_dim,
                len(obs_dims),
                config.hidden,
                config.mixer,
                device,
            )
            self.parts["mixer"] = self.mixer.params
        self.targets = {name: part.frozen_copy() for name, part in self.parts.items()}
        self.adams = {name: Adam(part, self.base.rates) for name, part in self.parts.items()}
        self.noise_streams, self.search_streams = (
            generators(seeds, "noise", device),
            generators(seeds, "search", device),
        )

    def values(self, features: Tensor, action: Tensor, params, head: int | None = None) -> Tensor:
        """[M, N, E, B] of features [M, N, B, F] and actions [M, N, B, A]; [M, N, B] of one head."""
        return apply_mlp(params, torch.cat([features, action], -1), None, head).squeeze(-1)

    def team(self, values: Tensor, state: Tensor, params=None) -> Tensor:
        """[M, 1, E, B] the team's values of its agents' [M, N, E, B]."""
        return torch.stack(
            [self.mixer.mix(values[:, :, e], state, params) for e in range(values.shape[2])], 1
        ).unsqueeze(1)

    def update(self, batch: TeamBatch) -> dict[str, Tensor]:
        """One step of the critics, every `delay` steps one of the actors and targets; returns
        losses [M].
        """
        config, self.steps = self.config, self.steps + 1
        with torch.no_grad():
            following = self.base.features(batch.next_obs, batch.next_history, target=True)
            action = apply_mlp(self.targets["actor"], following, None).tanh()
            noise = config.noise * normal_(torch.empty_like(action), self.noise_streams)
            action = (action + noise.clamp(-config.noise_clip, config.noise_clip)).clamp(-1, 1)
            next_q = self.values(following, action, self.targets["q"])
            if self.mixer:
                next_q = self.team(next_q, batch.next_state, self.targets["mixer"])
            reward, terminal = batch.reward.unsqueeze(1), batch.terminal.unsqueeze(1)
            target = reward + config.gamma * (1 - terminal) * next_q.amin(2)  # [M, N or 1, B]
        features = self.base.features(batch.obs, batch.history)
        q = self.values(features, batch.action, self.q)
        loss = td_loss(self.team(q, batch.state) if self.mixer else q, target).sum(1)
        if self.kind in ("icql", "iomar"):
            loss = loss + config.cql * self.conservative(features, q, batch).sum(1)
        self._descend(loss, ["q", "mixer"])
        facts = {"q": loss.detach()}
        if self.steps % config.delay == 0:
            loss = self.actor_loss(batch)
            self._descend(loss, ["actor"])
            facts["policy"] = loss.detach()
            for name, target_part in self.targets.items():
                target_part.average_towards(self.parts[name], config.tau)
            self.base.follow()
        return facts

    def actor_loss(self, batch: TeamBatch) -> Tensor:
        """[M], summed over agents."""
        config, features = self.config, self.base.features(batch.obs, batch.history)
        action = apply_mlp(self.actor, features, None).tanh()
        frozen = {name: tensor.detach() for name, tensor in self.q.tensors.items()}
        q = self.values(features, action, frozen, head=0)  # [M, N, B]
        if self.kind in ("itd3bc", "matd3bc"):
            cloning = (action - batch.action).square().sum(-1)
            if self.mixer:
                mixer = {
                    name: tensor.detach() for name, tensor in self.mixer.params.tensors.items()
                }
                q, cloning = (
                    self.mixer.mix(q, batch.state, mixer).unsqueeze(1),
                    cloning.sum(1, keepdim=True),
                )
            weight = config.bc / mean_over_batch(q.abs()).detach()
            return (mean_over_batch(cloning) - weight * mean_over_batch(q)).sum(1)
        if self.kind == "icql":
            return -mean_over_batch(q).sum(1)
        with torch.no_grad():
            found = self.best_actions(features.detach(), action.detach(), q.detach(), frozen)
        drawn = mean_over_batch((action - found).square())
        cost = ACTION_COST * mean_over_batch(action.square())
        return (config.omar * drawn - (1 - config.omar) * mean_over_batch(q) + cost).sum(1)

    def best_actions(self, features: Tensor, action: Tensor, q: Tensor, critic) -> Tensor:
        """[M, N, B, A] the best of the policy's action and a cross-entropy search's."""
        config, shape = self.config, features.shape[:3]

        def draw() -> Tensor:
            return normal_(
                features.new_empty(*shape, config.population, self.action_dim), self.search_streams
            )

        def value(actions: Tensor) -> Tensor:
            return self.sampled_values(features, actions, critic)[:, :, 0]

        mean = torch.zeros(*shape, self.action_dim, device=features.device)
        actions, values = search(
            draw,
            value,
            config.iterations,
            mean,
            torch.full_like(mean, config.sigma),
            lambda actions, q, mean: refine_elites(actions, q, config.elites),
        )
        return pick(actions, values, action, q)

    def sampled_values(self, features: Tensor, actions: Tensor, params) -> Tensor:
        """[M, N, E, B, K] of actions [M, N, B, K, A]."""
        count = actions.shape[3]
        repeated = features.repeat_interleave(count, dim=2)
        return self.values(repeated, actions.flatten(2, 3), params).unflatten(-1, (-1, count))

    def conservative(self, features: Tensor, q: Tensor, batch: TeamBatch) -> Tensor:
        """[M, N] CQL(H): logsumexp over uniform, present and next policies' actions, less the
        data's values.

        Densities are log densities; the released code, like OMAR's, subtracts the density itself
        for the policies' actions.
        """
        config, count = self.config, self.config.cql_samples
        with torch.no_grad():

            def around(obs_features: Tensor) -> tuple[Tensor, Tensor]:
                mean = apply_mlp(self.actor, obs_features, None).tanh().unsqueeze(3)
                noise = normal_(
                    mean.new_empty(*mean.shape[:3], count, self.action_dim), self.search_streams
                )
                log_density = (
                    -0.5 * noise.square() - math.log(config.noise) - 0.5 * math.log(2 * math.pi)
                ).sum(-1)
                return (mean + config.noise * noise).clamp(-1, 1), log_density

            here, here_density = around(features.detach())
            there, there_density = around(self.base.features(batch.next_obs, batch.next_history))
            uniform = uniform_(torch.empty_like(here), self.search_streams)
            actions = torch.cat([uniform, here, there], 3)
            flat = torch.full_like(here_density, uniform_log_density(self.action_dim))
            density = torch.cat([flat, here_density, there_density], -1).unsqueeze(
                2
            )  # [M, N, 1, B, 3K]
        sampled = self.sampled_values(features, actions, self.q) - density
        return (sampled.logsumexp(-1) - q).mean(-1).sum(2)

    def _descend(self, loss: Tensor, names: list[str]) -> None:
        names = [name for name in names if name in self.parts]
        self.base.descend(
            loss, [self.parts[name] for name in names], [self.adams[name] for name in names]
        )

    @torch.no_grad()
    def act(self, obs: Tensor, history: Tensor) -> Tensor:
        """[M, N, B, A], no noise."""
        return apply_mlp(self.actor, self.base.features(obs, history), None).tanh()

    def state_dict(self) -> dict:
        return {
            "base": self.base.state_dict(),
            "params": {name: part.flat for name, part in self.parts.items()},
            "targets": {name: part.flat for name, part in self.targets.items()},
            "adams": {name: adam.state_dict() for name, adam in self.adams.items()},
            "streams": [
                [s.get_state() for s in streams]
                for streams in (self.noise_streams, self.search_streams)
            ],
            "steps": self.steps,
        }

    @torch.no_grad()
    def load_state_dict(self, state: dict) -> None:
        self.base.load_state_dict(state["base"])
        for name, part in self.parts.items():
            part.flat.copy_(state["params"][name])
            self.targets[name].flat.copy_(state["targets"][name])
            self.adams[name].load_state_dict(state["adams"][name])
        for streams, saved in zip(
            (self.noise_streams, self.search_streams), state["streams"], strict=True
        ):
            for stream, one in zip(streams, saved, strict=True):
                stream.set_state(one)
        self.steps = state["steps"]
