"""Many StarCraft-like battles at once: SMAC's interface (Samvelyan et al., 2019) on a built-in
simulator.

Results made with it are called `units.simulator(dynamics)`: it is not StarCraft II. Interface, unit
data, rewards and the enemies' behaviour follow the real one as far as public sources tell; spawn
offsets, collisions and the enemy Medivac's walk are ours, without turning, missiles and
pathfinding.

Axes: B battles, A allies (the agents), E enemies, U = A + E units.
"""

import numpy as np

from envs.smac import engine, sight
from envs.smac.engine import ATTACK, MOVE, STAND, UNIT
from envs.smac.sight import FIRST_ATTACK
from envs.smac.tables import Tables, tables
from envs.smac.units import LOOPS_PER_STEP

REACH_OF_ORDER = 2.0  # a move order's goal; a step covers less
DIRECTIONS = np.array([[0, 1], [0, -1], [1, 0], [-1, 0]], float)  # north, south, east, west
SPAWN_JITTER = 0.3  # the real game's offsets are not known; without any, battles hardly differ
JITTER_X = 1000  # purposes of an episode's random numbers, each plus the unit's number
JITTER_Y = 2000
SHUFFLE = 3000
HEAD_START = 4000
LONG_AGO = 10**6  # loops
DEATH = 10.0  # rewards before scaling
WIN = 200.0
SCALE = 20.0


class Battles:
    """B battles on one map, each keyed by (seed, its number, its episode): a battle is the same in
    any batch.

    Args:
        map_name: see units.MAPS.
        battles: B.
        seed: of everything random.
        dynamics: see units.PROFILES.
        spawn_jitter: largest random offset of every start position.
        shuffle_enemy_ids: draw the order of enemy ids for every episode, as users report of the
            real game.
        first: number of the first battle, for a slice of a larger batch.

    Attributes:
        units: [B, U] of engine.UNIT, what changes; tables: what does not.
        steps: [B] of the present episode; episodes: [B] begun so far, less one.
        last: [B, A] last actions, -1 before the first.
        over, won: [B] bool.
    """

    def __init__(
        self,
        map_name: str,
        battles: int,
        seed: int = 0,
        dynamics: str = "sc2",
        spawn_jitter: float = SPAWN_JITTER,
        shuffle_enemy_ids: bool = False,
        first: int = 0,
    ):
        self.map_name = map_name
        self.dynamics = dynamics
        self.battles = battles
        self.tables: Tables = tables(map_name, dynamics)
        self.agents = self.tables.allies
        self.enemies = self.tables.enemies
        self.limit = self.tables.scenario.limit
        self.spawn_jitter = spawn_jitter
        self.shuffle_enemy_ids = shuffle_enemy_ids
        self.keys = engine.battle_keys(np.uint64(seed), first, battles)
        self.units = np.zeros((battles, self.tables.units), UNIT)
        self.steps = np.zeros(battles, np.int64)
        self.episodes = np.full(battles, -1)
        self.last = np.full((battles, self.agents), -1)
        self.over = np.ones(battles, bool)
        self.won = np.zeros(battles, bool)
        self._mask = np.zeros((battles, self.agents, self.n_actions), bool)

    @property
    def n_actions(self) -> int:
        return self.tables.actions

    @property
    def obs_dim(self) -> int:
        return self.tables.obs_dim

    @property
    def state_dim(self) -> int:
        return self.tables.state_dim

    def reset(self, which: np.ndarray | None = None) -> None:
        """Begins new episodes in all battles, or in those numbered `which`."""
        which = self._rows(which)
        traits = self.tables.traits
        units = self.units
        self.episodes[which] += 1
        for name in ("cooldown", "windup", "second", "dealt", "order"):
            units[name][which] = 0
        units["target"][which] = -1
        units["second_target"][which] = -1
        units["since"][which] = LONG_AGO
        units["x"][which] = self.tables.start_x
        units["y"][which] = self.tables.start_y
        units["goal_x"][which] = self.tables.start_x
        units["goal_y"][which] = self.tables.start_y
        if self.shuffle_enemy_ids:
            self._shuffle(which)
        if self.spawn_jitter:
            units["x"][which] += self.spawn_jitter * (2 * self._chances(which, JITTER_X) - 1)
            units["y"][which] += self.spawn_jitter * (2 * self._chances(which, JITTER_Y) - 1)
        units["hp"][which] = traits["health"]
        units["shield"][which] = traits["shield"]
        units["energy"][which] = np.where(traits["heals"], self.tables.profile.energy_start, 0.0)
        self.steps[which] = 0
        self.last[which] = -1
        self.over[which] = False
        self.won[which] = False
        self._head_start(which)
        self._refresh()

    def _head_start(self, which: np.ndarray) -> None:
        """Enemies walk for as many loops as the episode draws, see units.Profile."""
        most = self.tables.profile.head_start
        draws = engine.episode_chances(self.keys[which], self.episodes[which], HEAD_START)
        loops = ((most + 1) * draws).astype(int)
        for count in set(loops.tolist()) - {0}:
            self._simulate(which[loops == count], count)

    def _rows(self, which: np.ndarray | None) -> np.ndarray:
        """Numbers of the battles meant; None for all."""
        rows = np.arange(self.battles) if which is None else which
        return np.ascontiguousarray(rows, np.int64)

    def _chances(self, which: np.ndarray, purpose: int) -> np.ndarray:
        """[len(which), U] numbers in [0, 1) of the episode, one for each unit."""
        keys = self.keys[which]
        episodes = self.episodes[which]
        columns = [
            engine.episode_chances(keys, episodes, purpose + unit)
            for unit in range(self.tables.units)
        ]
        return np.stack(columns, -1)

    def _shuffle(self, which: np.ndarray) -> None:
        """Exchanges the start positions of enemies of a type at random."""
        kinds = self.tables.scenario.enemies
        draws = self._chances(which, SHUFFLE)
        for kind in dict.fromkeys(kinds):
            same_kind = np.array([k for k in range(self.enemies) if kinds[k] == kind])
            order = draws[:, same_kind].argsort(-1)
            columns = self.agents + same_kind
            rows = which[:, None]
            self.units["x"][rows, columns] = self.tables.start_x[columns][order]
            self.units["y"][rows, columns] = self.tables.start_y[columns][order]

    def available(self) -> np.ndarray:
        """[B, A, n_actions] bool: what every agent may do. Dead agents may only do 0, living ones
        never.
        """
        return self._mask.copy()

    def step(self, actions: np.ndarray, which: np.ndarray | None = None):
        """One step (8 game loops) of all battles, or of `which`.

        Args:
            actions: [B, A] (or a row for each of `which`): 0 none (dead), 1 stop, 2 to 5 north,
                south, east, west, 6 + k attack enemy k, or heal ally k for a Medivac.

        Returns:
            reward [B] (scaled so that a plain win sums to 20), terminated [B] (won, lost or drawn),
            truncated [B] (the map's limit), won [B]; rows of the stepped battles only.

        Raises:
            ValueError: an action is not available, or a battle is over.
        """
        which = self._rows(which)
        actions = np.asarray(actions)
        self._check(actions, which)
        self._give_orders(actions, which)
        self.last[which] = actions
        enemies = slice(self.agents, None)
        before = self._life(which)
        alive = self.units["hp"][which, enemies] > 0
        self.units["dealt"][which] = 0.0
        self._simulate(which, LOOPS_PER_STEP)
        self.steps[which] += 1
        change = before - self._life(which)
        if self.tables.profile.gross_reward:
            change = self.units["dealt"][which, enemies]
        killed = alive & (self.units["hp"][which, enemies] <= 0)
        reward = np.abs(np.where(alive, change, 0.0).sum(-1) + DEATH * killed.sum(-1))
        terminated, won = self._outcome(which)
        reward = (reward + WIN * won) * SCALE / self.tables.max_reward
        truncated = ~terminated & (self.steps[which] >= self.limit)
        self.over[which] = terminated | truncated
        self.won[which] = won
        self._refresh()
        return reward, terminated, truncated, won

    def _check(self, actions: np.ndarray, which: np.ndarray) -> None:
        """Raises ValueError unless `actions` can be taken in the battles `which`."""
        expected = (len(which), self.agents)
        if actions.shape != expected:
            raise ValueError(f"actions have shape {actions.shape}, expected {expected}")
        if self.over[which].any():
            battle = which[int(self.over[which].argmax())]
            raise ValueError(f"battle {battle} is over; reset it first")
        in_range = (actions >= 0) & (actions < self.n_actions)
        index = np.where(in_range, actions, 0)[..., None]
        allowed = in_range & np.take_along_axis(self._mask[which], index, -1)[..., 0]
        if not allowed.all():
            row, agent = np.argwhere(~allowed)[0]
            raise ValueError(
                f"action {actions[row, agent]} of agent {agent} in battle {which[row]} is not "
                f"available: {np.flatnonzero(self._mask[which[row], agent]).tolist()}"
            )

    def _give_orders(self, actions: np.ndarray, which: np.ndarray) -> None:
        """Agents' actions become orders; who cannot hit its target keeps the previous order, as the
        game refuses the new one.
        """
        traits = self.tables.traits
        pairs = self.tables.pairs
        agents = np.arange(self.agents)
        rows = which[:, None]
        order = self.units["order"][rows, agents]
        target = self.units["target"][rows, agents]
        windup = self.units["windup"][rows, agents]
        attacks = actions >= FIRST_ATTACK
        moves = ~attacks & (actions >= 2)
        aim = actions - FIRST_ATTACK + np.where(traits["heals"][agents], 0, self.agents)
        valid = attacks & pairs["can_hit"][agents, np.where(attacks, aim, 0)]
        new_order = np.select([valid, moves, attacks], [ATTACK, MOVE, order], STAND)
        new_target = np.select([valid, attacks], [aim, target], -1)
        broken = (windup > 0) & ((new_order != ATTACK) | (new_target != target))
        cooldown = self.units["cooldown"][rows, agents]
        # the shot was not fired
        self.units["cooldown"][rows, agents] = np.where(broken, 0.0, cooldown)
        self.units["windup"][rows, agents] = np.where(broken, 0.0, windup)
        self.units["order"][rows, agents] = new_order
        self.units["target"][rows, agents] = new_target
        ahead = REACH_OF_ORDER * DIRECTIONS[np.where(moves, actions - 2, 0)]
        row, agent = np.nonzero(moves)
        walkers = which[row], agent
        self.units["goal_x"][walkers] = self.units["x"][walkers] + ahead[row, agent, 0]
        self.units["goal_y"][walkers] = self.units["y"][walkers] + ahead[row, agent, 1]

    def _outcome(self, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Whether battles are decided, and won; a side with only Medivacs left has lost, the loss
        is tested first.
        """
        fights = (self.units["hp"][which] > 0) & ~self.tables.traits["heals"]
        ours = fights[:, : self.agents].any(1)
        theirs = fights[:, self.agents :].any(1)
        return ~ours | ~theirs, ours & ~theirs

    def _life(self, which: np.ndarray) -> np.ndarray:
        """[len(which), E] hit points and shields of enemies; nothing for the dead, whose shield
        SMAC does not read either.
        """
        enemies = self.units[which, self.agents :]
        return np.where(enemies["hp"] > 0, enemies["hp"] + enemies["shield"], 0.0)

    def _simulate(self, which: np.ndarray, loops: int) -> None:
        """Some game loops."""
        tables = self.tables
        engine.run(
            self.units,
            tables.traits,
            tables.pairs,
            tables.rules,
            which,
            loops,
            self.keys,
            self.episodes,
            self.steps,
        )

    def _refresh(self) -> None:
        """Works out what every agent may do now."""
        sight.available_actions(self.units, self.tables.traits, self.tables.layout, self._mask)

    def obs(self) -> np.ndarray:
        """[B, A, obs_dim] float32 observations; zeros for the dead."""
        tables = self.tables
        rows = np.empty((self.battles, self.agents, self.obs_dim), np.float32)
        sight.observations(self.units, tables.traits, tables.bits, tables.layout, self._mask, rows)
        return rows

    def state(self) -> np.ndarray:
        """[B, state_dim] float32 global states with the agents' last actions."""
        tables = self.tables
        rows = np.empty((self.battles, self.state_dim), np.float32)
        sight.states(self.units, tables.traits, tables.bits, tables.layout, self.last, rows)
        return rows


def key_of(seed: int, battle: int) -> int:
    """The random key of one battle, for tests and records."""
    return int(engine.battle_keys(np.uint64(seed), battle, 1)[0])
