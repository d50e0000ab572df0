"""What is trained for cells on the grid world: members are data seeds times methods of one kind;
every seed has its own data set.
"""

import hashlib
import itertools

import numpy as np
import torch
from torch import Tensor

from common.learning.networks import apply_mlp
from common.learning.philox import Streams
from common.learning.population import generator
from common.running import program
from common.running.program import Course, Members, Training
from envs.grid import world
from papers.cast_bcq.agents import DiscreteCAST
from papers.cast_bcq.cast import Variant
from papers.cast_bcq.discrete import DiscreteBatch, DiscreteConfig
from papers.cast_bcq.discrete_baselines import DiscreteBCQ, DiscreteICQ, DiscreteICQConfig
from papers.cast_bcq.generators import chosen
from papers.cast_bcq.yardsticks import Yardstick, yardstick

METHODS = {
    "i_bcq": (DiscreteBCQ, DiscreteConfig),
    "i_icq": (DiscreteICQ, DiscreteICQConfig),
    "ours": (DiscreteCAST, DiscreteConfig),
}
AGENTS = 2
ACTIONS = len(world.ACTIONS)
EXAMPLE = world.state_of(4, 4)  # Section 2.3 explains the baselines' failure here


def data_set(cell_config: dict, seed: int) -> tuple[dict[str, np.ndarray], str, int]:
    """The random trajectories of a seed, their checksum, and how many of them reached the goal."""
    data = world.collect(
        cell_config["trajectories"], cell_config["behaviour"], generator(seed, "grid data")
    )
    digest = hashlib.sha256(
        b"".join(np.ascontiguousarray(data[key]).tobytes() for key in sorted(data))
    ).hexdigest()
    return data, digest, int((data["next_state"] == world.GOAL).sum())


def usable_rows(data: dict[str, np.ndarray], successors: bool) -> np.ndarray:
    """Numbers of all rows; with `successors` without those whose next action the clock cut off."""
    return np.flatnonzero(~data["timeout"] if successors else np.ones(len(data["state"]), bool))


def rows(data: dict[str, np.ndarray], index: np.ndarray) -> dict[str, np.ndarray]:
    """Rows of a data set with these numbers, and the actions of the rows behind them; behind
    terminal rows, and those that the clock cut, it is another trajectory's.
    """
    following = np.minimum(index + 1, len(data["state"]) - 1)
    names = ("state", "action", "reward", "next_state", "terminal")
    return {name: data[name][index] for name in names} | {"next_action": data["action"][following]}


def yardstick_of(data: dict[str, np.ndarray], gamma: float) -> Yardstick:
    """What is known of a data set of the grid. The clock's cut of a robot's rows is longer than a
    trajectory here: looked at are rows of trajectories that ended by themselves.
    """
    names = {
        "rewards": "reward",
        "terminals": "terminal",
        "timeouts": "timeout",
        "actions": "action",
    }
    return yardstick({robots: data[grids] for robots, grids in names.items()}, gamma)


def encode(encoding: str) -> Tensor:
    """[cells + 1, O] what agents see in every cell; the cliff's row, never bootstrapped from, is
    zeros.

    Args:
        encoding: "position", (x, y) in [-1, 1], or "onehot".

    Raises:
        ValueError: another encoding.
    """
    if encoding == "onehot":
        return torch.eye(world.CELLS + 1)[:, : world.CELLS]
    if encoding != "position":
        raise ValueError(f"encoding is {encoding!r}, expected 'position' or 'onehot'")
    x, y = torch.meshgrid(
        torch.linspace(-1, 1, world.WIDTH), torch.linspace(-1, 1, world.HEIGHT), indexing="ij"
    )
    return torch.cat([torch.stack([x, y], -1).flatten(0, 1), torch.zeros(1, 2)])


class Grid:
    """A population in training on the grid."""

    def __init__(self, members: Members, device: str):
        config = members.config
        self.config = config
        self.device = device
        self.seeds = members.seeds
        drawn = [data_set(config, seed) for seed in self.seeds]
        self.data, self.checksums, self.goals = zip(*drawn, strict=True)
        successors = config["method"] == "i_icq"
        usable = [usable_rows(data, successors) for data in self.data]
        drawable = [rows(data, own) for data, own in zip(self.data, usable, strict=True)]
        self.rows = {
            name: torch.from_numpy(np.concatenate([one[name] for one in drawable])).to(device)
            for name in drawable[0]
        }
        self.sizes = [len(own) for own in usable]
        starts = [0, *itertools.accumulate(self.sizes)][:-1]
        self.starts = torch.tensor(starts, device=device).unsqueeze(-1)
        self.streams = Streams(self.seeds, "minibatches", device)
        self.yardsticks = [yardstick_of(data, config["hyper"]["gamma"]) for data in self.data]
        places = [
            np.searchsorted(own, one.numbers).clip(max=len(own) - 1)
            for own, one in zip(usable, self.yardsticks, strict=True)
        ]
        self.known = self.starts + torch.from_numpy(np.stack(places)).to(device)
        self.seen = encode(config["encoding"]).to(device)
        size = self.seen.shape[1]
        dims = [size] * AGENTS
        kind, kind_of_hyper = METHODS[config["method"]]
        hyper = kind_of_hyper(**config["hyper"])
        if kind is DiscreteCAST:
            variants = [Variant(**one["variant"]) for one in members.configs]
            self.learner = kind(self.seeds, dims, size, ACTIONS, hyper, variants, device)
        else:
            self.learner = kind(self.seeds, dims, ACTIONS, hyper, device)

    def draw(self) -> DiscreteBatch:
        """A fresh minibatch for every member, from its own data."""
        drawn = self.streams.integers(self.sizes, (self.config["batch_size"],))
        return self.gather(self.starts + drawn)

    def gather(self, index: Tensor) -> DiscreteBatch:
        """Rows with these numbers [M, B] among those of all members."""
        drawn = {name: rows[index] for name, rows in self.rows.items()}
        state = self.seen[drawn["state"]]
        next_state = self.seen[drawn["next_state"]]
        obs = self.observed(state)
        available = torch.ones(*obs.shape[:3], ACTIONS, device=self.device)
        return DiscreteBatch(
            state,
            obs,
            available,
            drawn["action"].transpose(1, 2),
            drawn["reward"].float(),
            next_state,
            self.observed(next_state),
            available,
            drawn["terminal"].float(),
            drawn["next_action"].transpose(1, 2),
        )

    def observed(self, state: Tensor) -> Tensor:
        """[M, N, B, O] what agents see of states [M, B, O]: everything."""
        return state.unsqueeze(1).expand(-1, AGENTS, -1, -1).contiguous()

    def policy(self) -> np.ndarray:
        """[M, N, cells] every agent's action in every cell."""
        obs = self.seen[: world.CELLS].expand(len(self.seeds), AGENTS, -1, -1).contiguous()
        return (
            self.learner.act(obs, torch.ones(*obs.shape[:3], ACTIONS, device=self.device))
            .cpu()
            .numpy()
        )

    def evaluate(self) -> dict[str, list]:
        """Return of each member, and 100 if it reached the goal or 0, the world and greedy policies
        are deterministic; what its critic makes of the data.
        """
        greedy = self.policy()
        members = np.arange(len(self.seeds))
        returns, reached = world.play(lambda states: greedy[members, :, states], len(members))
        return {
            "return": returns.tolist(),
            "success": (100.0 * reached).tolist(),
            "value": self.value_on_data().tolist(),
        }

    @torch.no_grad()
    def value_on_data(self) -> Tensor:
        """[M] mean value of the data's actions: of the team's (Eq. 10), or over agents of each
        one's own, by the first critic.
        """
        batch = self.gather(self.known)
        learner = self.learner
        params = learner.networks["critic"]
        if isinstance(learner, DiscreteCAST):
            action = learner.generator.taken(batch).transpose(1, 2)  # [M, B, N, U]
            return learner.critic.values(batch.state, action, params).mean(1)
        head = 0 if isinstance(learner, DiscreteBCQ) else None
        return chosen(apply_mlp(params, batch.obs, None, head), batch.action).mean((1, 2))

    @torch.no_grad()
    def example(self) -> list | None:
        """[M, 3, 3] joint values at (4, 4), rows agent x's action, columns agent y's; None without
        a joint critic.
        """
        if not isinstance(self.learner, DiscreteCAST):
            return None
        actions = torch.cartesian_prod(torch.arange(ACTIONS), torch.arange(ACTIONS)).to(self.device)
        onehot = self.learner.generator.onehot(actions).expand(len(self.seeds), -1, -1, -1)
        state = self.seen[EXAMPLE].expand(len(self.seeds), len(actions), -1)
        joint = self.learner.critic.values(state, onehot, self.learner.networks["critic"])
        return joint.unflatten(1, (ACTIONS, ACTIONS)).tolist()

    @torch.no_grad()
    def own_values(self) -> list:
        """[M, 2, 3] every agent's own values of its actions at (4, 4); I-ICQ's are its policy's
        logits.
        """
        obs = self.seen[EXAMPLE].expand(len(self.seeds), AGENTS, 1, -1).contiguous()
        name = {DiscreteBCQ: "critic", DiscreteICQ: "actor", DiscreteCAST: "value"}[
            type(self.learner)
        ]
        head = 0 if name == "critic" else None
        return apply_mlp(self.learner.networks[name], obs, None, head).squeeze(2).tolist()


def build(members: Members, device: str) -> Training:
    """What is trained for the members of some cells."""
    config = members.config
    grid = Grid(members, device)

    def facts(course: Course) -> dict:
        m = course.place
        joint = grid.example()
        own = grid.own_values()
        known = grid.yardsticks[m]
        values = [program.finite(value) for value in course.curves["value"]]
        return {
            "last_return": course.curves["return"][-1],
            "success": course.curves["success"][-1],
            "curve": course.curves["return"],
            "value": values[-1],
            "values": values,
            "return_to_go": known.return_to_go,
            "data_return": known.data_return,
            "goals_in_data": grid.goals[m],
            "transitions": len(grid.data[m]["state"]),
            "joint_values_at_4_4": joint and joint[m],
            "own_values_at_4_4": own[m],
        }

    def summary(courses: list[Course]) -> dict:
        first = courses[0]
        joint = grid.example()
        extra = {
            "goals_in_data": [grid.goals[course.place] for course in courses],
            "drawn_seed": first.seed,  # figure1.py's picture
            "joint_values_at_4_4": joint and joint[first.place],
        }
        return {"extra": extra}

    return Training(
        learner=grid.learner,
        draw=lambda done: grid.draw(),
        evaluate=lambda done: grid.evaluate(),
        evaluate_at=program.evenly(config["updates"], config["evaluations"]),
        facts=facts,
        total=config["updates"],
        data=[
            {str(grid.seeds[m]): grid.checksums[m] for m in places} for places in members.places()
        ],
        summary=summary,
        others={"minibatches": grid.streams},
    )
