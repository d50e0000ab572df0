"""The scalar functions compiled by numba, and loops over battles. An optional backend: without
numba the arrays' runs.
"""

import numpy as np
from numba import njit

from envs.smac import scalar

# the functions refer to each other by their module's names, so each is compiled with compiled ones
# in their place
_namespace = dict(vars(scalar))


def _compiled(name: str):
    function = getattr(scalar, name)
    clone = type(function)(
        function.__code__, _namespace, name, function.__defaults__, function.__closure__
    )
    _namespace[name] = njit(fastmath=False)(clone)
    return _namespace[name]


for _name in (
    "mixed",
    "chance",
    "gap",
    "run_loop",
    "pathable",
    "availability",
    "observations",
    "states",
):
    _compiled(_name)
run_loop, availability, observations, states = (
    _namespace[n] for n in ("run_loop", "availability", "observations", "states")
)


@njit(fastmath=False)
def step_all(
    which,
    loops,
    keys,
    episodes,
    clocks,
    allies,
    x,
    y,
    hp,
    shield,
    energy,
    cooldown,
    since,
    order,
    target,
    goal_x,
    goal_y,
    windup,
    second,
    second_target,
    dealt,
    health,
    shields,
    armor,
    damage,
    can_hit,
    hits,
    period,
    windups,
    seconds,
    reach,
    scan,
    speed,
    radius,
    separation,
    air,
    heals,
    rules,
    low,
    high,
):
    """`loops` game loops of the battles `which`, one after the other; arrays are [B, U]."""
    for b in which:
        for loop in range(loops):
            run_loop(
                keys[b],
                episodes[b],
                np.uint64(clocks[b] * loops + loop),
                allies,
                x[b],
                y[b],
                hp[b],
                shield[b],
                energy[b],
                cooldown[b],
                since[b],
                order[b],
                target[b],
                goal_x[b],
                goal_y[b],
                windup[b],
                second[b],
                second_target[b],
                dealt[b],
                health,
                shields,
                armor,
                damage,
                can_hit,
                hits,
                period,
                windups,
                seconds,
                reach,
                scan,
                speed,
                radius,
                separation,
                air,
                heals,
                rules,
                low,
                high,
            )


@njit(fastmath=False)
def availability_all(allies, x, y, hp, heals, low, high, out):
    for b in range(len(x)):
        availability(allies, x[b], y[b], hp[b], heals, low, high, out[b])


@njit(fastmath=False)
def observations_all(
    allies, x, y, hp, shield, health, shields, bits, heals, mask, ally_shield, enemy_shield, out
):
    for b in range(len(x)):
        observations(
            allies,
            x[b],
            y[b],
            hp[b],
            shield[b],
            health,
            shields,
            bits,
            heals,
            mask[b],
            ally_shield,
            enemy_shield,
            out[b],
        )


@njit(fastmath=False)
def states_all(
    allies,
    x,
    y,
    hp,
    shield,
    energy,
    cooldown,
    health,
    shields,
    bits,
    heals,
    longest,
    last,
    ally_shield,
    enemy_shield,
    out,
):
    for b in range(len(x)):
        states(
            allies,
            x[b],
            y[b],
            hp[b],
            shield[b],
            energy[b],
            cooldown[b],
            health,
            shields,
            bits,
            heals,
            longest,
            last[b],
            ally_shield,
            enemy_shield,
            out[b],
        )
