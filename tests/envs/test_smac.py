"""The battles: SMAC's interface number by number, rewards by hand, the units' physics, the engine
against arrays, calibration.
"""

import ast
import csv
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pettingzoo.test import parallel_api_test

from envs.smac import engine, scripted, sight
from envs.smac.core import Battles, key_of
from envs.smac.parallel import SmacCompatEnv, SmacParallelEnv, make_env
from envs.smac.render import frames
from envs.smac.tables import tables
from envs.smac.units import LOOPS_PER_STEP, MAPS, PROFILES, VERSION
from tests.envs import battle_arrays
from tests.envs.battle_arrays import ArrayBattles

OF_A_LOOP = ("step_x", "step_y", "moves", "hits", "hits_again")
LASTING = [name for name in engine.UNIT.names if name not in OF_A_LOOP]
SIZES = {  # agents, enemies, limit, bits, actions, obs, state, largest reward: SMAC's own
    "3m": (3, 3, 60, 0, 9, 30, 48, 365),
    "8m": (8, 8, 120, 0, 14, 80, 168, 640),
    "5m_vs_6m": (5, 6, 70, 0, 12, 55, 98, 530),
    "10m_vs_11m": (10, 11, 150, 0, 17, 105, 243, 805),
    "MMM": (10, 10, 150, 3, 16, 160, 290, 1015),
    "2s3z": (5, 5, 120, 2, 11, 80, 120, 1020),
    "3s_vs_3z": (3, 3, 150, 0, 9, 36, 54, 680),
}


def still(name, battles=1, **options):
    """Battles without jitter and head start, just begun."""
    made = Battles(name, battles, dynamics="sc2-at-once", spawn_jitter=0.0, **options)
    made.reset()
    return made


def place(made, unit, x, y):
    made.units["x"][:, unit], made.units["y"][:, unit] = x, y
    made._refresh()


def idle(made):
    return np.where(made.available()[..., 1], 1, 0)


def leave(made, *units):
    """Only these units live."""
    dead = np.setdiff1d(np.arange(made.tables.units), units)
    made.units["hp"][:, dead] = made.units["shield"][:, dead] = 0
    made._refresh()


@pytest.mark.parametrize("name", SIZES)
def test_sizes_are_smacs(name):
    t, (agents, enemies, limit, bits, actions, obs, state, reward) = tables(name), SIZES[name]
    assert (t.allies, t.enemies, t.scenario.limit, t.bits.shape[1]) == (
        agents,
        enemies,
        limit,
        bits,
    )
    assert (t.actions, t.obs_dim, t.state_dim, t.max_reward) == (actions, obs, state, reward)
    info = SmacCompatEnv(name).get_env_info()
    assert (
        info["obs_shape"] == obs and info["state_shape"] == state and info["episode_limit"] == limit
    )
    assert (info["n_agents"], info["n_actions"]) == (agents, actions)


@pytest.mark.parametrize("name", SIZES)
def test_random_play_stays_in_range_and_in_the_grid(name):
    made, stream = Battles(name, 4), np.random.default_rng(0)
    made.reset()
    for _ in range(60):
        over = np.flatnonzero(made.over)
        if len(over):
            made.reset(over)
        mask, alive = made.available(), made.units["hp"][:, : made.agents] > 0
        assert np.array_equal(mask[..., 0], ~alive) and np.array_equal(mask[..., 1], alive)
        assert mask[~alive].sum(-1).tolist() == [1] * int((~alive).sum())
        obs, state = made.obs(), made.state()
        assert (
            obs.dtype == state.dtype == np.float32
            and np.abs(obs).max() <= 1
            and not obs[~alive].any()
        )
        assert state.min() >= -0.5 and state.max() < 2
        t, b = made.tables, made.units
        assert (
            (b["y"] >= t.rules.low).all()
            and (b["y"] <= t.rules.high).all()
            and (b["x"] >= 0).all()
            and (b["x"] < 32).all()
        )
        live = b["hp"] > 0
        for i in range(t.units):
            for j in range(i):
                if t.traits["air"][i] == t.traits["air"][j]:
                    gap = np.hypot(b["x"][:, i] - b["x"][:, j], b["y"][:, i] - b["y"][:, j])[
                        live[:, i] & live[:, j]
                    ]
                    if len(gap) and made.steps.min() > 3:
                        assert gap.min() > 0.9 * (
                            t.traits["separation"][i] + t.traits["separation"][j]
                        )
        made.step(scripted.random(made, stream))


def test_ranges_of_sight_and_fire_and_the_cliffs():
    made = still("3m")
    place(made, 0, 10.0, 16.0)
    place(made, 3, 16.0, 16.0)  # exactly 6: may be attacked
    assert made.available()[0, 0, 6]
    place(made, 3, 16.01, 16.0)
    assert not made.available()[0, 0, 6]
    place(made, 3, 18.99, 16.0)
    assert made.obs()[0, 0, 4 + 1] == pytest.approx(8.99 / 9)
    place(made, 3, 19.0, 16.0)  # exactly 9: not seen
    assert not made.obs()[0, 0, 4:9].any()
    for y, north, south in ((8.5, True, False), (23.5, False, True), (16.0, True, True)):
        place(made, 0, 10.0, y)
        assert made.available()[0, 0, 2:4].tolist() == [north, south]
    open_map = still("3s_vs_3z")
    for x, y, moves in (
        (0.5, 0.5, [1, 1, 1, 1]),
        (31.5, 31.5, [0, 1, 0, 1]),
    ):  # truncation towards zero in the south and west
        place(open_map, 0, x, y)
        assert open_map.available()[0, 0, 2:6].tolist() == moves


def test_type_bits_and_the_order_of_agents():
    made = still("2s3z")
    assert made.tables.bits[:5].tolist() == [[1, 0]] * 2 + [[0, 1]] * 3
    assert (
        made.tables.bits[5:].tolist() == [[0, 1]] * 2 + [[1, 0]] * 3
    )  # reversed for enemies, stalkers first
    mmm = tables("MMM")
    assert mmm.scenario.allies == ("marauder",) * 2 + ("marine",) * 7 + ("medivac",)
    assert (
        mmm.bits[:10].argmax(1).tolist() == mmm.bits[10:].argmax(1).tolist() == [0, 0, *[1] * 7, 2]
    )


def test_a_medivacs_actions_heal_allies_even_healthy_ones():
    made = still("MMM")
    mask = made.available()[0, 9]
    assert mask[6:15].all() and not mask[15]
    made.units["hp"][:, 3] = 10
    place(made, 3, *(made.units[axis][0, 9] for axis in "xy"))
    action = idle(made)
    action[0, 9] = 6 + 3
    energy = made.units["energy"][0, 9]
    made.step(action)
    assert made.units["hp"][0, 3] == pytest.approx(14.5)  # 9 a second
    assert made.units["energy"][0, 9] == pytest.approx(energy + 0.5625 / 2 - 0.33 * 4.5)


def test_unavailable_actions_and_finished_battles_are_refused():
    made = still("3m")
    with pytest.raises(ValueError, match=r"action 0 of agent 0 .* not available: \[1"):
        made.step(np.zeros((1, 3), int))
    with pytest.raises(ValueError, match="not available"):
        made.step(np.full((1, 3), 99))
    with pytest.raises(ValueError, match="shape"):
        made.step(np.ones((1, 4), int))
    made.over[:] = True
    with pytest.raises(ValueError, match="is over"):
        made.step(idle(made))
    for wrong, words in ((("4m",), "unknown map"), (("3m", "sc3"), "unknown dynamics")):
        with pytest.raises(ValueError, match=words):
            tables(*wrong)


def test_pettingzoo_and_the_other_views():
    parallel_api_test(SmacParallelEnv("3m"), num_cycles=100)
    first, second = SmacParallelEnv("2s3z"), SmacParallelEnv("2s3z")
    for env in (first, second):
        env.reset(seed=5)
    for _ in range(20):
        actions = {
            agent: int(np.argmax(seen["action_mask"][::-1]))
            for agent, seen in first._seen().items()
        }
        actions = {agent: first.battles.n_actions - 1 - action for agent, action in actions.items()}
        (one, *rest), (two, *others) = first.step(actions), second.step(actions)
        assert rest == others and all(
            np.array_equal(one[a]["observation"], two[a]["observation"]) for a in one
        )
        if not first.agents:
            break
    unseeded = [SmacParallelEnv("3m"), SmacParallelEnv("3m"), SmacCompatEnv("3m")]
    assert len({int(one.battles.keys[0]) for one in unseeded}) == 3
    env = SmacCompatEnv("2s3z", seed=0)
    obs, state = env.reset()
    assert len(obs) == 5 and obs[0].shape == (80,) and state.shape == (120,)
    over = False
    while not over:
        reward, over, info = env.step(
            [row.index(1) if not row[1] else 1 for row in env.get_avail_actions()]
        )
        assert reward >= 0
    assert (
        info == {"battle_won": False, "dead_allies": 5, "dead_enemies": 0}
        and env.get_stats()["battles_game"] == 1
    )
    assert env.get_visibility_matrix().shape == (5, 10)
    with pytest.raises(ImportError, match="starcraft2"):
        make_env("3m", "starcraft2")
    with pytest.raises(ValueError, match="unknown backend"):
        make_env("3m", "other")


def test_one_hit_a_kill_and_a_win():
    for name, points in (("8m", 0.1875), ("3m", 0.32877)):
        made = still(name)
        a = made.agents
        leave(made, 0, a)
        place(made, 0, 10.0, 16.0)
        place(made, a, 15.0, 16.0)
        made.units["cooldown"][:, a] = 1e6
        action = idle(made)
        action[0, 0] = 6
        reward, terminated, _, _ = made.step(action)
        assert reward[0] == pytest.approx(points, abs=1e-4) and not terminated[0]
        made.units["hp"][:, a] = 1.0
        made.units["cooldown"][:, 0] = 0
        reward, terminated, _, won = made.step(action)
        assert won[0] and terminated[0]
        assert reward[0] == pytest.approx((1 + 10 + 200) * 20 / made.tables.max_reward, abs=1e-6)


def test_a_full_win_sums_to_twenty_and_a_loss_is_a_multiple_of_a_point():
    made = Battles("3m", 40)
    found = scripted.play(made, scripted.nearest)
    assert found["returns"][found["won"]] == pytest.approx(20.0, abs=1e-6)
    lost = found["returns"][~found["won"]] * 365 / 20
    assert np.allclose(lost, np.round(lost), atol=1e-6) and (lost < 365).all()


def test_enemies_that_only_regenerate_give_a_reward():
    made = still("3s_vs_3z")
    for k in range(3):
        place(made, k, 1.0, 1.0 + 2 * k)
    made.units["shield"][:, 3] = 10.0
    reward, *_ = made.step(idle(made))
    assert made.units["shield"][0, 3] == pytest.approx(11.0)  # 2 a second
    assert reward[0] == pytest.approx(1.0 * 20 / 680)
    made.units["since"][:, 3] = 0  # just hit: nothing for 160 loops
    for _ in range(20):
        made.step(idle(made))
    assert made.units["shield"][0, 3] == pytest.approx(11.0)
    made.step(idle(made))
    assert made.units["shield"][0, 3] == pytest.approx(12.0)


def test_shields_of_dead_units_are_not_read():
    """SMAC counts nothing for who is dead; in a foreign state it may still have a shield."""
    made = still("3s_vs_3z")
    leave(made, 0, 3, 4)
    place(made, 0, 10.0, 16.0)
    place(made, 3, 12.0, 16.0)
    place(made, 4, 31.0, 31.0)
    made.units["hp"][:, 3], made.units["shield"][:, 3] = 5.0, 0.0
    fight = made._simulate

    def simulate(which, loops):
        fight(which, loops)
        made.units["shield"][:, 3] = 50.0

    made._simulate = simulate
    made.units["shield"][:, 5] = 40.0  # dead since long ago
    action = idle(made)
    action[0, 0] = 6
    reward, *_ = made.step(action)
    assert made.units["hp"][0, 3] == 0
    assert reward[0] == pytest.approx((5 + 10) * 20 / 680)


def test_enemies_have_a_head_start_of_any_number_of_loops_less_than_a_step():
    made = Battles("3m", 400, spawn_jitter=0.0)
    made.reset()
    walked = (made.tables.start_x[3] - made.units["x"][:, 3]) / made.tables.traits["speed"][3]
    loops = walked.round().astype(int)
    assert set(loops) == set(range(LOOPS_PER_STEP)) and np.bincount(loops).min() > 25
    assert (made.units["x"][:, :3] == made.tables.start_x[:3]).all() and (made.steps == 0).all()
    again = Battles("3m", 10, first=20, spawn_jitter=0.0)
    again.reset()
    assert np.array_equal(again.units, made.units[20:30])
    made.reset(np.array([0]))
    assert made.episodes[:2].tolist() == [1, 0]
    together = Battles("3m", 5, dynamics="sc2-at-once", spawn_jitter=0.0)
    together.reset()
    assert (together.units["x"] == together.tables.start_x).all()


def test_who_wins_with_medivacs_and_nobody_left():
    def outcome(name, *units):
        made = still(name)
        leave(made, *units)
        terminated, won = made._outcome(np.array([0]))
        return bool(terminated[0]), bool(won[0])

    assert outcome("MMM", 0, 19) == (True, True)  # an enemy Medivac alone
    assert outcome("MMM", 9, 10) == (True, False)  # our Medivac alone
    assert outcome("MMM") == outcome("3m") == (True, False)
    assert outcome("MMM", 0, 10) == (False, False)


def test_the_limit_ends_a_battle_without_a_bonus():
    made = still("3m")
    for unit in range(6):  # far apart, enemies stay where they are
        made.units["hp"][:, unit] = 1e9
    for step in range(60):
        _, terminated, truncated, won = made.step(idle(made))
        assert not terminated[0] and not won[0] and truncated[0] == (step == 59)


@pytest.mark.parametrize(
    ("name", "unit", "distance"), [("3m", 0, 1.125), ("3s_vs_3z", 0, 1.4766), ("2s3z", 4, 1.125)]
)
def test_units_walk_at_their_speed(name, unit, distance):
    made = still(name)
    leave(made, unit, made.tables.units - 1)
    place(made, unit, 2.0, 16.0)
    place(made, made.tables.units - 1, 31.0, 16.0)
    made.units["windup"][:, -1] = 1e9  # the enemy stands
    action = idle(made)
    action[0, unit] = 4
    for _ in range(3):
        before = made.units["x"][0, unit]
        made.step(action)
        assert made.units["x"][0, unit] - before == pytest.approx(distance, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "shooter", "target", "interval", "shots"),
    [
        ("3m", 0, 3, 14.27, 8),
        ("MMM", 0, 12, 24.5, 5),
        ("3s_vs_3z", 0, 3, 23.54, 17),
        ("MMM", 2, 19, 14.27, 30),
        ("MMM", 2, 10, 14.27, 25),
    ],
)
def test_intervals_and_shots_to_kill(name, shooter, target, interval, shots):
    made = still(name, battles=64)
    leave(made, shooter, target)
    place(made, shooter, 10.0, 16.0)
    place(made, target, 12.0, 16.0)
    made.units["windup"][:, target] = 1e9
    made.units["windup"][:, target] = 1e9
    life, counts, first, last = (
        made.units["hp"] + made.units["shield"],
        np.zeros(64),
        np.full(64, -1.0),
        np.zeros(64),
    )
    action = np.where(made.available()[..., 1], 1, 0)
    action[:, shooter] = 6 + target - made.agents
    import envs.smac.core as core

    loops, core.LOOPS_PER_STEP = core.LOOPS_PER_STEP, 1
    try:
        for loop in range(900):
            made.over[:] = False
            made.units["since"][:] = 0
            made.step(action)
            now = made.units["hp"] + made.units["shield"]
            hit = now[:, target] < life[:, target] - 1e-9
            counts += hit
            last = np.where(hit, loop, last)
            first = np.where(hit & (first < 0), loop, first)
            life = now
            if (made.units["hp"][:, target] <= 0).all():
                break
            action[made.units["hp"][:, target] <= 0, shooter] = 1
    finally:
        core.LOOPS_PER_STEP = loops
    assert (counts == shots).all()
    assert ((last - first) / (shots - 1)).mean() == pytest.approx(interval, abs=0.25)


def test_a_zealots_attack_is_two_hits():
    made = still("2s3z")
    leave(made, 2, 5)  # our zealot on an enemy stalker
    place(made, 2, 10.0, 16.0)
    place(made, 5, 11.0, 16.0)
    made.units["windup"][:, 5] = 1e9
    action = idle(made)
    action[0, 2] = 6
    made.step(action)
    assert made.units["shield"][0, 5] == pytest.approx(64.0)  # both within eight loops


def test_doing_nothing_loses_everything_and_earns_nothing():
    for name, soonest, latest in (("3m", 3, 9), ("3s_vs_3z", 8, 13)):
        made = still(name)
        hurt = None
        while not made.over[0]:
            reward, *_ = made.step(idle(made))
            assert reward[0] == 0
            if (
                hurt is None
                and (made.units["hp"] + made.units["shield"])[0, :3].sum()
                < (made.tables.traits["health"] + made.tables.traits["shield"])[:3].sum()
            ):
                hurt = made.steps[0]
        assert soonest <= hurt <= latest and not made.won[0]
        assert (made.units["hp"][0, :3] == 0).all() and (made.units["hp"][0, 3:] > 0).all()


def test_a_marauder_keeps_its_order_when_told_to_shoot_a_medivac():
    made = still("MMM")
    leave(made, 0, 10, 19)
    place(made, 0, 10.0, 16.0)
    place(made, 19, 12.0, 16.0)
    place(made, 10, 25.0, 16.0)
    action = idle(made)
    action[0, 0] = 5
    made.step(action)
    x = made.units["x"][0, 0]
    action[0, 0] = 15
    made.step(action)
    assert made.units["x"][0, 0] < x and made.units["hp"][0, 19] == 150


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("dynamics", PROFILES)
def test_the_engine_and_the_arrays_fight_the_same_battles(name, dynamics):
    first, second = (
        kind(name, 3, 1, dynamics, shuffle_enemy_ids=True) for kind in (Battles, ArrayBattles)
    )
    first.reset(), second.reset()
    stream = np.random.default_rng(0)
    for step in range(40):
        live = np.flatnonzero(~first.over)
        if not len(live):
            break
        team = scripted.random if step < 6 or step % 3 else scripted.nearest
        action = team(first, stream)[live]
        for mine, other in zip(first.step(action, live), second.step(action, live), strict=True):
            assert np.array_equal(mine, other)
        for key in LASTING:
            assert np.array_equal(first.units[key], second.units[key]), key
        assert np.array_equal(first.available(), second.available())
        assert np.allclose(first.obs(), second.obs(), atol=1e-6) and np.allclose(
            first.state(), second.state(), atol=1e-6
        )


@pytest.mark.parametrize("kind", [Battles, ArrayBattles])
def test_a_battle_is_the_same_in_any_batch(kind):
    whole = kind("5m_vs_6m", 6, 3)
    part = kind("5m_vs_6m", 2, 3, first=4)
    assert part.keys.tolist() == whole.keys[4:].tolist() == [key_of(3, 4), key_of(3, 5)]
    whole.reset(), part.reset()
    for _ in range(12):
        action = scripted.nearest(whole)
        whole.step(action)
        part.step(action[4:])
        for key in LASTING:
            assert np.array_equal(part.units[key], whole.units[key][4:]), key
    part.reset(np.array([1]))
    assert part.episodes.tolist() == [0, 1] and part.steps[1] == 0


def test_random_numbers_are_uniform_and_keyed():
    keys = np.arange(20_000, dtype=np.uint64)
    with np.errstate(over="ignore"):
        drawn = battle_arrays.chance(
            battle_arrays.mixed(keys), np.zeros_like(keys), np.full_like(keys, 7), 3
        )
        other = battle_arrays.chance(
            battle_arrays.mixed(keys), np.ones_like(keys), np.full_like(keys, 7), 3
        )
    assert drawn.min() >= 0 and drawn.max() < 1
    assert np.histogram(drawn, 10, (0, 1))[0] == pytest.approx(2000, rel=0.12)
    assert abs(np.corrcoef(drawn, other)[0, 1]) < 0.03


def test_scripted_teams_fight_as_in_the_game():
    def wins(name, team, episodes=60):
        return scripted.play(Battles(name, episodes), scripted.TEAMS[team])["won"].mean()

    assert wins("3s_vs_3z", "nearest") == 0 and wins("3s_vs_3z", "kite") > 0.9
    assert 0.02 < wins("3m", "nearest", 200) < 0.98
    assert wins("5m_vs_6m", "nearest") < 0.1


def test_random_teams_lose_but_hit_somebody():
    for name in MAPS:
        stream = np.random.default_rng(0)
        lost = scripted.play(Battles(name, 20), scripted.random, stream)
        better = scripted.play(Battles(name, 20), scripted.nearest)
        assert lost["won"].mean() < 0.1 and 0.5 < lost["returns"].mean() < 10
        assert better["returns"].mean() > lost["returns"].mean()


def test_the_calibration_table_is_complete_and_of_this_version():
    with open(scripted.CALIBRATION, newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["map"], row["team"], row["dynamics"]) for row in rows} == {
        (name, team, dynamics) for name in MAPS for team in scripted.TEAMS for dynamics in PROFILES
    }
    assert {row["version"] for row in rows} == {str(VERSION)}


def test_a_battle_can_be_drawn():
    pictures = frames("3m", scripted.nearest)
    assert len(pictures) > 5 and pictures[0].ndim == 3 and (pictures[0] != pictures[-1]).any()


def test_compiled_functions_use_nothing_from_other_files():
    """numba compiles again when a function's own file changes, not when another one does."""
    for module in (engine, sight):
        for function in vars(module).values():
            if not hasattr(function, "py_func") or function.__module__ != module.__name__:
                continue
            for name in function.py_func.__code__.co_names:
                used = vars(module).get(name)
                home = getattr(used, "__module__", None) or getattr(used, "__name__", None)
                assert home in (None, module.__name__, "math", "numpy"), (function, name)
        constants = {name for name in vars(module) if name.isupper()}
        assert constants & imported(module) == set()


def imported(module) -> set[str]:
    """Names that a module imports from others."""
    tree = ast.parse(Path(module.__file__).read_text())
    froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {alias.name for node in froms for alias in node.names}


@pytest.mark.parametrize("where", ["beside the file", "the user's folder", "nowhere"])
def test_compiled_code_is_kept_where_it_can_be(where, tmp_path):
    package = tmp_path / "envs" / "smac"
    package.mkdir(parents=True)
    for path in Path(engine.__file__).parent.glob("*.py"):
        shutil.copy(path, package)
    cache = tmp_path / "cache"
    if where != "beside the file":
        (package / "__pycache__").write_text("")  # a folder cannot be made here
    if where == "nowhere":
        cache.write_text("")
    code = "import engine, numpy; print(engine.battle_keys(numpy.uint64(3), 4, 1)[0])"
    variables = {"PYTHONPATH": str(package), "XDG_CACHE_HOME": str(cache), "HOME": str(cache)}
    done = subprocess.run(
        [sys.executable, "-B", "-c", code], env=variables, capture_output=True, text=True
    )
    assert int(done.stdout) == key_of(3, 4), done.stderr
    written = list(tmp_path.rglob("engine.battle_keys*.nbc"))
    assert len(written) == (0 if where == "nowhere" else 1)
    assert all((cache in path.parents) == (where == "the user's folder") for path in written)
    assert ("compiled again in every process" in done.stderr) == (where == "nowhere")
