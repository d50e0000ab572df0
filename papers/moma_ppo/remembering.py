"""What all model-free learners here share: agents that remember, with encoders of the past that
every loss steps, and stochastic policies on what is remembered.

Axes: M members, N agents, B batch, L history, I observation and action of one agent, O observation,
H embedding, A action.
"""

import torch
from torch import Tensor

from common.learning.heads import Head, Squashed
from common.learning.learner import Learner
from common.learning.memory import encoder_parameters, remembered
from common.learning.mixing import mixer_parameters
from common.learning.networks import apply_mlp, mlp_parameters
from common.learning.population import generators


class Remembering(Learner):
    """A learner with memory encoders of every member and agent, one Adam state that every loss
    steps, and a target copy.

    Args:
        size: H; 0 for agents without memory.
        hidden, lr: of every network.
    """

    def __init__(
        self,
        seeds: list[int],
        obs_dims: list[int],
        action_dim: int,
        size: int,
        hidden: int,
        lr: float,
        device: str = "cpu",
        max_norm: float | None = None,
    ):
        super().__init__(seeds, device, max_norm)
        self.obs_dims = obs_dims
        self.size = size
        self.hidden = hidden
        self.lr = lr
        if size:
            inputs = [dim + action_dim for dim in obs_dims]
            padded = max(obs_dims) + action_dim
            encoder = encoder_parameters(generators(seeds, "memory"), inputs, padded, size)
            self.hold("memory", encoder, lr, target=True)

    def hold_mlp(
        self,
        name: str,
        inputs: int,
        outputs: int,
        heads: int | None = None,
        target: bool = False,
    ) -> None:
        """Networks on features and `inputs` more numbers."""
        sizes = [self.size + dim + inputs for dim in self.obs_dims]
        streams = generators(self.seeds, name)
        tensors = mlp_parameters(
            streams, sizes, max(sizes), self.hidden, outputs, heads, input_norm=False
        )
        self.hold(name, tensors, self.lr, target)

    def hold_mixer(self, name: str, inputs: int, target: bool = False) -> None:
        """A mixer of all agents' values that sees `inputs` numbers."""
        streams = generators(self.seeds, name)
        tensors = mixer_parameters(streams, inputs, len(self.obs_dims), self.hidden)
        self.hold(name, tensors, self.lr, target)

    def features(self, obs: Tensor, history: Tensor) -> Tensor:
        """[M, N, B, H + O] of obs [M, N, B, O] and history [M, N, B, L, I]."""
        return remembered(self.networks.get("memory"), obs, history)

    def target_features(self, obs: Tensor, history: Tensor) -> Tensor:
        """[M, N, B, H + O] as `features`, of the target copy."""
        return remembered(self.targets.get("memory"), obs, history)

    def descend(self, loss: Tensor, *names: str) -> None:
        """One step on a loss [M] or [M, N] of these networks, and of the memory."""
        memory = ("memory",) if self.size else ()
        super().descend(loss, *names, *memory)


class StochasticPolicies(Remembering):
    """A policy per agent on what it remembers and sees.

    Args:
        head: what policies make of their networks; squashed Gaussians by default.
    """

    def __init__(
        self,
        seeds: list[int],
        obs_dims: list[int],
        action_dim: int,
        size: int,
        hidden: int,
        lr: float,
        device: str = "cpu",
        head: Head | None = None,
        max_norm: float | None = None,
    ):
        super().__init__(seeds, obs_dims, action_dim, size, hidden, lr, device, max_norm)
        self.head: Head = head or Squashed(action_dim)
        self.hold_mlp("policy", 0, self.head.outputs)

    def policy_output(self, obs: Tensor, history: Tensor) -> Tensor:
        """[M, N, B, P] what the head makes actions of, of obs and history as in `features`."""
        return apply_mlp(self.networks["policy"], self.features(obs, history), None)

    @torch.no_grad()
    def act(self, obs: Tensor, history: Tensor, noise: Tensor | None = None) -> Tensor:
        """[M, N, B, A] greedy actions, or actions sampled with the head's `noise`."""
        output = self.policy_output(obs, history)
        return self.head.greedy(output) if noise is None else self.head.sample(output, noise)
