"""Battles as a PettingZoo ParallelEnv, and under SMAC's own method names."""

import secrets

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete

from envs.parallel import TeamEnv, numbered
from envs.smac.core import Battles
from envs.smac.sight import SIGHT
from envs.smac.units import battle_map

BACKENDS = ("builtin", "starcraft2")


def one_battle(map_name: str, seed: int | None, **options) -> Battles:
    """A battle with a seed, or with one from entropy."""
    drawn = secrets.randbits(32) if seed is None else seed
    return Battles(map_name, 1, drawn, **options)


class SmacParallelEnv(TeamEnv):
    """One battle. Observations are {"observation", "action_mask"}; actions are SMAC's, the dead
    one's 0 included.

    All agents stay until the battle ends; the map's limit truncates. Every `reset` is the next
    episode of the seed.

    Args:
        map_name: see units.MAPS; other arguments as of `core.Battles`.
        seed: None for one from entropy.
    """

    metadata = {"name": "smac_like", "render_modes": [], "is_parallelizable": True}

    def __init__(self, map_name: str = "3m", seed: int | None = None, **options):
        self.map_name = map_name
        self.options = options
        self.battles = one_battle(map_name, seed, **options)
        names = numbered(self.battles.agents)
        seen = Dict(
            {
                "observation": Box(-1.0, 1.0, (self.battles.obs_dim,), np.float32),
                "action_mask": Box(0, 1, (self.battles.n_actions,), np.int8),
            }
        )
        act = {name: Discrete(self.battles.n_actions) for name in names}
        super().__init__(dict.fromkeys(names, seen), act)

    def reset(self, seed=None, options=None):
        """Begins the next episode, or the first one of a new seed."""
        if seed is not None:
            self.battles = one_battle(self.map_name, seed, **self.options)
        self.battles.reset()
        return self.begun(self._seen())

    def step(self, actions):
        """One step: {agent: action}; an action that is not available is an error."""
        chosen = [int(actions[agent]) for agent in self.agents]
        reward, terminated, truncated, won = self.battles.step(np.array([chosen]))
        info = {"battle_won": bool(won[0])} | ({"episode_limit": True} if truncated[0] else {})
        team_reward = self.shared(reward[0])
        return self.moved(self._seen(), team_reward, terminated[0], truncated[0], **info)

    def _seen(self) -> dict:
        obs = self.battles.obs()[0]
        mask = self.battles.available()[0].astype(np.int8)
        return {
            agent: {"observation": obs[i], "action_mask": mask[i]}
            for i, agent in enumerate(self.possible_agents)
        }

    def state(self) -> np.ndarray:
        """The global state."""
        return self.battles.state()[0]


class SmacCompatEnv:
    """One battle under the method names of the original SMAC, so that loops written for it run
    unchanged.
    """

    def __init__(self, map_name: str = "3m", seed: int | None = None, **options):
        self.battles = one_battle(map_name, seed, **options)
        self.n_agents = self.battles.agents
        self.n_enemies = self.battles.enemies
        self.episode_limit = self.battles.limit
        self.battles_won = self.battles_game = self.timeouts = 0

    def reset(self):
        """Begins an episode; returns the observations and the state."""
        self.battles.reset()
        return self.get_obs(), self.get_state()

    def step(self, actions):
        """Returns reward, terminated (also at the limit), info."""
        reward, terminated, truncated, won = self.battles.step(np.asarray(actions, dtype=int)[None])
        alive = self.battles.units["hp"][0] > 0
        info = {
            "battle_won": bool(won[0]),
            "dead_allies": int((~alive[: self.n_agents]).sum()),
            "dead_enemies": int((~alive[self.n_agents :]).sum()),
        }
        over = bool(terminated[0] or truncated[0])
        self.battles_game += over
        self.battles_won += bool(won[0])
        self.timeouts += bool(truncated[0])
        return float(reward[0]), over, info

    def get_obs(self) -> list[np.ndarray]:
        return list(self.battles.obs()[0])

    def get_obs_agent(self, agent_id: int) -> np.ndarray:
        return self.battles.obs()[0, agent_id]

    def get_obs_size(self) -> int:
        return self.battles.obs_dim

    def get_state(self) -> np.ndarray:
        return self.battles.state()[0]

    def get_state_size(self) -> int:
        return self.battles.state_dim

    def get_avail_actions(self) -> list[list[int]]:
        return self.battles.available()[0].astype(int).tolist()

    def get_avail_agent_actions(self, agent_id: int) -> list[int]:
        return self.get_avail_actions()[agent_id]

    def get_total_actions(self) -> int:
        return self.battles.n_actions

    def get_visibility_matrix(self) -> np.ndarray:
        """[A, U] bool: which living units each living ally sees, itself not counted."""
        units = self.battles.units[0]
        allies = units[: self.n_agents, None]
        alive = units["hp"] > 0
        near = np.hypot(units["x"] - allies["x"], units["y"] - allies["y"]) < SIGHT
        return near & alive & (allies["hp"] > 0) & (np.eye(*near.shape) == 0)

    def get_env_info(self) -> dict:
        """Sizes, and the names of what agents observe of an ally and of an enemy."""
        layout = self.battles.tables.layout
        types = [f"type_{k}" for k in range(self.battles.tables.bits.shape[1])]
        common = ["distance", "relative_x", "relative_y", "health"]
        ally = ["visible", *common, *["shield"] * layout.ally_shield, *types]
        enemy = ["shootable", *common, *["shield"] * layout.enemy_shield, *types]
        return {
            "state_shape": self.get_state_size(),
            "obs_shape": self.get_obs_size(),
            "n_actions": self.get_total_actions(),
            "n_agents": self.n_agents,
            "episode_limit": self.episode_limit,
            "agent_features": ally,
            "enemy_features": enemy,
        }

    def get_stats(self) -> dict:
        played = max(1, self.battles_game)
        return {
            "battles_won": self.battles_won,
            "battles_game": self.battles_game,
            "battles_draw": self.timeouts,
            "win_rate": self.battles_won / played,
            "timeouts": self.timeouts,
            "restarts": 0,
        }

    def close(self) -> None:
        """Nothing to close."""


def make_env(map_name: str, backend: str = "builtin", **options):
    """A battle under SMAC's method names: the built-in simulator, or the real game where its
    package and binary are.

    Raises:
        ValueError: an unknown map or backend.
        ImportError: backend "starcraft2" without the original package smac or the game; it is never
            chosen silently.
    """
    if backend not in BACKENDS:
        raise ValueError(f"unknown backend {backend!r}, expected one of: {', '.join(BACKENDS)}")
    battle_map(map_name)
    if backend == "builtin":
        return SmacCompatEnv(map_name, **options)
    import os

    try:
        from smac.env import StarCraft2Env
    except ImportError as error:
        raise ImportError(
            "backend 'starcraft2' needs the original package (pip install "
            "git+https://github.com/oxwhirl/smac; `smac` on PyPI is another project); "
            "use backend='builtin' for the built-in simulator"
        ) from error
    if not os.environ.get("SC2PATH"):
        raise ImportError(
            "backend 'starcraft2' needs the game: set SC2PATH to its folder, "
            "or use backend='builtin'"
        )
    return StarCraft2Env(map_name=map_name, **options)
