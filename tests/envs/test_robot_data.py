"""Robots' data sets, from training a policy to reading foreign files, with a Hopper that trained
for a moment.
"""

import json
import shutil
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch

from common.learning.population import generator
from envs import datasets, storage
from envs.datasets import checks, commands, recipes
from envs.mujoco import behaviour, foreign, shipping
from envs.mujoco import data as robots
from envs.mujoco import team_behaviour as teams
from envs.mujoco.batch import RobotBatch
from envs.mujoco.views import view

TRAINING = behaviour.Training(steps=1500, warmup=300)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory, folders):
    """Hopper policies of two trainings of 1500 steps, in a folder of their own, and the first."""
    patch = pytest.MonkeyPatch()
    patch.setattr(behaviour, "POLICIES", tmp_path_factory.mktemp("policies"))
    patch.setattr(behaviour, "EVALUATE_EVERY", 300)
    patch.setenv("OMZ_DATA", str(tmp_path_factory.mktemp("robots") / "data"))
    patch.setattr(shipping, "CHOICE_EPISODES", 2)
    patch.setattr(shipping, "CARD_EPISODES", 20)
    patch.setattr(shipping, "TEAM_EPISODES", 2)
    patch.setattr(shipping, "EPOCHS", 1)
    run = behaviour.train_robot("hopper", TRAINING, say=quiet)
    shipping.ship(run, say=quiet)
    second = behaviour.train_robot("hopper", replace(TRAINING, steps=600, seed=1), say=quiet)
    shipping.ship(second, number=1, say=quiet)
    forget_recipes()
    yield run
    forget_recipes()
    patch.undo()


def quiet(text):
    """Says nothing."""


def forget_recipes():
    """What was computed from other policies."""
    recipes.recipe.cache_clear()
    recipes.facts_of.cache_clear()


def build(quality, **options):
    return datasets.build("hopper", quality, [0], "smoke", say=lambda text: None, **options)[0]


def test_the_card_says_what_was_trained(shipped):
    card = behaviour.card("hopper")
    assert card["training"]["steps"] == 1500 and len(card["curve"]) == 5
    assert card["random"]["episodes"] == 40 and 10 < card["random"]["return_mean"] < 25
    assert 1000 <= card["expert"]["steps"] <= card["trained"] == 1500
    assert card["medium"]["steps"] <= card["expert"]["steps"]
    assert card["replays"]["medium-replay"] == [0, card["medium"]["steps"]]
    names = ["MMM", "MME", "MEM", "MEE", "EMM", "EME", "EEM", "EEE"]
    for kind in ("runs", "snapshots"):
        assert [*card["uncoordinated"][kind]] == names
    second = behaviour.card("hopper", 1)
    assert second["training"]["seed"] == 1 and "replay_snapshots" not in second
    files = ("medium", "expert", "replay", "medium-1", "expert-1")
    assert {f"{name}.safetensors" for name in files} | {"card.json", "card-1.json"} == {
        path.name for path in (behaviour.POLICIES / "hopper").iterdir()
    }


@pytest.mark.parametrize("quality", robots.QUALITIES)
def test_every_quality_builds_checks_and_has_d4rls_keys(shipped, quality):
    path = build(quality)
    assert checks.check(path) is None
    data = datasets.load(path)
    arrays = data["arrays"]
    size = {"medium-replay": 1608, "medium-expert": None}.get(quality, 4000)
    assert size is None or len(arrays["rewards"]) == size
    with h5py.File(path) as file:
        assert {
            "observations",
            "actions",
            "rewards",
            "next_observations",
            "terminals",
            "timeouts",
        } <= set(file)
        assert file["observations"].dtype == np.float32 and file["terminals"].dtype == bool
        assert ("metadata" in file) == (quality in ("medium", "expert"))
    inside = ~(arrays["terminals"] | arrays["timeouts"])[:-1]
    np.testing.assert_array_equal(
        arrays["next_observations"][:-1][inside], arrays["observations"][1:][inside]
    )
    assert data["provenance"]["environment"]["contact_margins"] == "pre-3.5"


def test_stored_rows_are_the_environments_own(shipped):
    arrays = datasets.load(build("medium"))["arrays"]
    batch = RobotBatch("hopper", 200)
    batch.set_state(arrays["infos/qpos"][:200], arrays["infos/qvel"][:200])
    following, rewards, terminated, _ = batch.step(arrays["actions"][:200])
    np.testing.assert_allclose(following, arrays["next_observations"][:200], atol=2e-3)
    np.testing.assert_allclose(rewards, arrays["rewards"][:200], atol=2e-3)
    np.testing.assert_array_equal(terminated, arrays["terminals"][:200])


def test_the_policy_in_the_file_is_the_one_that_acted(shipped):
    path = build("expert")
    with h5py.File(path) as file:
        weights = {
            name: file[f"metadata/policy/{name}/weight"][:]
            for name in ("fc0", "fc1", "last_fc", "last_fc_log_std")
        }
        biases = {name: file[f"metadata/policy/{name}/bias"][:] for name in weights}
        obs, action, log_prob = (
            file[key][:50].astype(np.float64)
            for key in ("observations", "actions", "infos/action_log_probs")
        )
    hidden = obs
    for layer in ("fc0", "fc1"):
        hidden = np.maximum(hidden @ weights[layer].T + biases[layer], 0)
    mean = hidden @ weights["last_fc"].T + biases["last_fc"]
    std = np.exp(hidden @ weights["last_fc_log_std"].T + biases["last_fc_log_std"])
    z = np.arctanh(action)
    density = (
        -0.5 * ((z - mean) / std) ** 2
        - np.log(std)
        - 0.5 * np.log(2 * np.pi)
        - np.log(1 - action**2)
    )
    assert np.abs(density.sum(1) - log_prob).max() < 0.02


def test_building_again_gives_the_same_bytes_and_exact_replay_is_the_training_buffer(
    shipped, monkeypatch, tmp_path
):
    first = storage.checksum(build("medium-replay"))
    monkeypatch.setenv("OMZ_DATA", str(tmp_path))
    assert storage.checksum(build("medium-replay")) == first
    exact = datasets.load(build("full-replay", replay="exact"))["arrays"]
    end = behaviour.card("hopper")["replays"]["full-replay"][1]
    rows = shipped.buffer.rows[:end].numpy()
    obs = rows[:, :11].reshape(-1, 5, 11).transpose(1, 0, 2).reshape(-1, 11)
    np.testing.assert_array_equal(exact["observations"], obs)


def test_snapshot_replay_has_the_returns_of_the_exact_one(shipped, monkeypatch, tmp_path):
    monkeypatch.setenv("OMZ_DATA", str(tmp_path))
    exact = datasets.episode_returns(datasets.load(build("full-replay", replay="exact")))
    monkeypatch.setenv("OMZ_DATA", str(tmp_path / "other"))
    path = build("full-replay")
    snapshots = datasets.episode_returns(datasets.load(path))
    assert datasets.load(path)["provenance"]["replay"] == "snapshots"
    assert abs(exact.mean() - snapshots.mean()) < 0.5 * exact.std()


def test_training_resumes_bit_for_bit(shipped):
    half = behaviour.OnlineTraining("hopper", TRAINING)
    for steps in half.run():
        if steps == 600:
            break
    other = behaviour.OnlineTraining("hopper", TRAINING)
    other.load_state_dict(half.state_dict())
    for _ in other.run():
        pass
    torch.testing.assert_close(other.buffer.rows, shipped.buffer.rows, rtol=0, atol=0)
    assert other.curve == shipped.curve


def test_distances_are_of_mean_spread_and_length_in_units_of_near():
    known = robots.released("hopper", "medium")
    mean, sd = known["return_mean"], known["return_sd"]
    length = known.get("length") or 457.0
    tenth = 0.1 * (robots.D4RL_CONSTANTS["hopper"][0] - robots.D4RL_CONSTANTS["hopper"][1])
    for numbers, expected in (
        ((mean, sd, length), 0),
        ((mean - tenth, sd, length), 1),
        ((mean + tenth / 2, sd * 2, length), 1),
        ((mean, sd / 4, length), 2),
        ((mean, None, length), 0),
    ):
        assert shipping.distance("hopper", "medium", *numbers) == pytest.approx(expected)


def test_what_ships_is_the_nearest_of_the_candidates(shipped):
    for number in (0, 1):
        for quality in ("medium", "expert"):
            facts = behaviour.card("hopper", number)[quality]
            offs = {steps: off for steps, (_, _, off) in facts["candidates"].items()}
            assert offs[str(facts["steps"])] == min(offs.values())


def test_a_policy_and_uniform_actions_stand_for_the_steps_nearest_to_them():
    assert robots.shares_between([10_000, 30_000], 0, 40_000) == [1_000, 19_000, 20_000]
    assert robots.shares_between([10_000, 30_000], 0, 15_000) == [1_000, 14_000, 0]
    assert robots.shares_between([10_000, 30_000], 25_000, 30_000) == [0, 0, 5_000]


def test_the_part_of_a_training_that_is_nearest_to_the_released_replay(monkeypatch):
    monkeypatch.setattr(
        robots,
        "released",
        lambda task, quality: {"return_mean": 500.0, "return_sd": None, "length": None},
    )
    collected = {0: (0.0, 10.0)}  # return and length of an episode
    collected |= {steps: (steps / 100, 100.0) for steps in range(10_000, 110_000, 10_000)}
    card = {"medium": {"steps": 60_000}}
    part, mean, length = shipping.nearest_part("hopper", "medium-replay", collected, card)
    assert part == [0, 100_000] and 450 < mean < 500 and 80 < length < 100
    part, mean, _ = shipping.nearest_part("hopper", "full-replay", collected, card)
    assert part[1] == 100_000 and mean == pytest.approx(500, abs=50)


def test_replay_data_are_cut_as_the_collector_of_d4rl_cuts_them(shipped):
    arrays = robots.collect("halfcheetah", None, 0, "test", 2_500, 700)
    assert np.flatnonzero(arrays["timeouts"])[:3].tolist() == [699, 1399, 2099]
    assert not arrays["terminals"].any()


def test_uncoordinated_data_mix_all_teams(shipped):
    actions = {}
    for names in (("medium", "expert", "expert"), ("expert",) * 3):
        team = [behaviour.load_policy("hopper", name) for name in names]
        batch = RobotBatch("hopper", 3)
        state = batch.reset([generator(0, "s")])
        actions[names], _ = robots.act(team, batch, state, generator(0, "n"))
    first, second = actions.values()
    assert (first[:, 0] != second[:, 0]).all()
    np.testing.assert_array_equal(first[:, 1:], second[:, 1:])
    assert len(datasets.load(build("uncoordinated"))["arrays"]["rewards"]) == 4000


def test_every_uncoordinated_team_has_as_many_rows(shipped, monkeypatch):
    played = []

    def collect(task, team, seed, purpose, steps):
        rows = robots.join([whole(task, team, seed, purpose, steps)])
        rows["infos/qpos"][:] = len(played)
        played.append(len(rows["rewards"]))
        return rows

    whole = robots.collect
    monkeypatch.setattr(robots, "collect", collect)
    rows = robots.rows("hopper", "uncoordinated", 0, "smoke", "snapshots")
    teams, counts = np.unique(rows["infos/qpos"][:, 0], return_counts=True)
    assert teams.tolist() == [*range(8)] and set(counts) == {500}
    assert sum(played) > 4000  # cut, since bad teams fall early and good ones do not
    ends = rows["terminals"] | rows["timeouts"]
    assert ends[499::500].all() and not (rows["terminals"] & rows["timeouts"]).any()


def test_uncoordinated_agents_play_different_trainings_or_one(shipped):
    def of(policy):
        return policy["w1"]

    for kind, runs in (("runs", (0, 1, 0)), ("snapshots", (0, 0, 0))):
        mixtures = robots.uncoordinated_teams("hopper", kind)
        assert len(mixtures) == 8
        for policy, run, quality in zip(
            mixtures["MEM"], runs, ("medium", "expert", "medium"), strict=True
        ):
            expected = behaviour.load_policy("hopper", quality, run)
            torch.testing.assert_close(of(policy), of(expected), rtol=0, atol=0)
    said = datasets.load(build("uncoordinated"))["provenance"]
    assert said["uncoordinated"] == "runs"
    assert [*said["policies"]] == ["expert", "expert-1", "medium", "medium-1"]


def test_without_a_second_training_there_are_no_uncoordinated_data_of_runs(shipped, monkeypatch):
    monkeypatch.setattr(behaviour, "runs", lambda task: 1)
    assert "uncoordinated" not in robots.qualities("hopper")
    with pytest.raises(datasets.DataError, match="several trainings, and 1 ships"):
        robots.uncoordinated_teams("hopper", "runs")


def test_transitions_are_the_agents_views(shipped):
    data = datasets.load(build("medium"))
    full, own = datasets.transitions(data), datasets.transitions(data, of="own_joints")
    of = view("hopper", "own_joints")
    assert (
        full["obs"].shape == (4000, 3, 11)
        and own["obs"].shape == (4000, 3, 2)
        and own["action"].shape == (4000, 3, 1)
    )
    torch.testing.assert_close(of.join(own["action"]), torch.from_numpy(data["arrays"]["actions"]))
    ends = torch.from_numpy(data["arrays"]["timeouts"])
    assert not own["has_next_action"][ends].any() and not own["has_next_action"][-1]
    assert own["has_next_action"][torch.from_numpy(data["arrays"]["terminals"])].all()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("observations", np.nan, "holds NaN"),
        ("actions", 3.0, r"actions reach 3.000"),
        ("timeouts", True, "both terminal and timeout"),
    ],
)
def test_wrong_contents_are_named(shipped, tmp_path, key, value, message):
    path = tmp_path / "data.h5"
    path.write_bytes(build("medium").read_bytes())
    with h5py.File(path, "r+") as file:
        row = int(np.flatnonzero(file["terminals"][:])[0])
        file[key][row] = value
    path.with_suffix(".h5.sha256").write_text(f"{storage.sha256(path)}  {path.name}\n")
    with pytest.raises(datasets.DataError, match=message):
        datasets.load(path)


def test_missing_policies_say_what_to_do(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(behaviour, "POLICIES", tmp_path)
    assert commands.main(["build", "ant", "--quality", "medium", "--size", "smoke"]) == 2
    assert "python -m envs.datasets train-behaviour ant" in capsys.readouterr().err
    monkeypatch.setattr(commands, "TASKS", {"ant": robots})
    assert commands.main(["build", "--size", "smoke"]) == 0
    assert "skipping ant: its behaviour policies are not there" in capsys.readouterr().out


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    count = 2300  # two timeouts of 1000 steps and a terminal at row 2199
    obs = rng.normal(size=(count + 1, 11)).astype(np.float32)
    terminals = np.zeros(count, bool)
    terminals[2199] = True
    timeouts = np.zeros(count, bool)
    timeouts[[999, 1999]] = True
    return {
        "observations": obs[:-1],
        "next_observations": obs[1:],
        "actions": rng.uniform(-1, 1, (count, 3)).astype(np.float32),
        "rewards": rng.normal(size=count).astype(np.float32),
        "terminals": terminals,
        "timeouts": timeouts,
    }


def test_d4rl_v2_files_are_read(rows, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OMZ_DATA", str(tmp_path / "data"))
    with h5py.File(tmp_path / "hopper_medium-v2.hdf5", "w") as file:
        for key, values in rows.items():
            file[key] = values
    assert commands.main(["import", "hopper", "medium", "--source", f"d4rl:{tmp_path}"]) == 0
    data = datasets.load(datasets.data_path("hopper", "medium", 0, "d4rl"))
    for key, values in rows.items():
        np.testing.assert_array_equal(data["arrays"][key], values)
    assert data["provenance"]["source"]["id"] == "hopper_medium-v2"
    assert data["provenance"]["constants"]["d4rl"][0] == 3234.3
    datasets.recipe.cache_clear()
    source = data["provenance"]["source"]["sha256"][:16]
    key = ("hopper", "medium", 0, "d4rl")
    assert datasets.recipe(*key) == f"{source}.{recipes.importing_code('d4rl')}"
    assert commands.main(["import", "hopper", "expert", "--source", f"d4rl:{tmp_path}"]) == 2
    assert "expected one of: hopper_expert-v2.hdf5" in capsys.readouterr().err


def test_imported_data_are_stale_when_the_code_that_converts_them_changes(
    rows, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("OMZ_DATA", str(tmp_path / "data"))
    with h5py.File(tmp_path / "hopper_medium-v2.hdf5", "w") as file:
        for name, values in rows.items():
            file[name] = values
    again = ["import", "hopper", "medium", "--source", f"d4rl:{tmp_path}"]
    assert commands.main(again) == 0
    key = ("hopper", "medium", 0, "d4rl")
    datasets.recipe.cache_clear()
    before = datasets.recipe(*key)
    monkeypatch.setattr(recipes, "importing_code", lambda size: "other")
    datasets.recipe.cache_clear()
    assert datasets.recipe(*key) != before
    with pytest.raises(datasets.DataError, match=r"\(code changed\); import it with"):
        datasets.load(datasets.data_path(*key))
    monkeypatch.setattr(commands, "importing_code", lambda size: "other")
    assert commands.main(again) == 0
    assert datasets.load(datasets.data_path(*key))


def test_d4rl_v0_files_get_their_clock_and_successors(rows, tmp_path):
    with h5py.File(tmp_path / "walker_mixed.hdf5", "w") as file:
        file["observations"] = np.concatenate(
            [rows["observations"], rows["observations"][:, :6]], axis=1
        )
        file["actions"] = np.concatenate([rows["actions"]] * 2, axis=1)
        file["rewards"], file["terminals"] = rows["rewards"], rows["terminals"].astype(np.float32)
    arrays, facts = foreign.read("walker2d", "medium-replay", "d4rl", str(tmp_path))
    # Without next_observations the two timed-out rows and the last have no successor: they go.
    assert len(arrays["rewards"]) == 2300 - 3
    assert np.flatnonzero(arrays["timeouts"]).tolist() == [998, 1997, 2296]
    assert np.flatnonzero(arrays["terminals"]).tolist() == [2197]
    robots.validate(tmp_path, arrays, facts)


def test_ants_contact_forces_are_dropped(rows, tmp_path):
    with h5py.File(tmp_path / "ant_expert-v2.hdf5", "w") as file:
        wide = np.zeros((2300, 111), np.float32)
        wide[:, :11] = rows["observations"]
        file["observations"] = file["next_observations"] = wide
        file["actions"] = np.zeros((2300, 8), np.float32)
        for key in ("rewards", "terminals", "timeouts"):
            file[key] = rows[key]
    arrays, _ = foreign.read("ant", "expert", "d4rl", str(tmp_path))
    assert arrays["observations"].shape == (2300, 27)
    with pytest.raises(datasets.DataError, match="expected 17 columns for walker2d"):
        (tmp_path / "walker2d_expert-v2.hdf5").write_bytes(
            (tmp_path / "ant_expert-v2.hdf5").read_bytes()
        )
        foreign.read("walker2d", "expert", "d4rl", str(tmp_path))


def test_minari_files_are_read(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    folder = tmp_path / "mujoco" / "hopper" / "medium-v0" / "data"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    with h5py.File(folder / "main_data.hdf5", "w") as file:
        for i, length in enumerate((30, 12)):
            group = file.create_group(f"episode_{i}")
            group["observations"] = rng.normal(size=(length + 1, 11))
            group["actions"] = rng.uniform(-1, 1, (length, 3)).astype(np.float32)
            group["rewards"] = rng.normal(size=length)
            group["terminations"] = np.arange(length) == (length - 1 if i else -1)
            group["truncations"] = np.arange(length) == (length - 1)
        first = file["episode_0/observations"][:].astype(np.float32)
    (path,) = commands.import_source(
        "hopper", "medium", "minari:mujoco/hopper/medium-v0", say=lambda text: None
    )
    arrays = datasets.load(path)["arrays"]
    np.testing.assert_array_equal(arrays["observations"][:30], first[:-1])
    np.testing.assert_array_equal(arrays["next_observations"][:30], first[1:])
    assert np.flatnonzero(arrays["timeouts"]).tolist() == [29] and np.flatnonzero(
        arrays["terminals"]
    ).tolist() == [41]
    with pytest.raises(datasets.DataError, match="no Minari data set 'mujoco/hopper/expert-v0'"):
        foreign.read("hopper", "expert", "minari", "mujoco/hopper/expert-v0")


def test_shipped_cards_are_complete():
    for task in robots.TASKS:
        path = behaviour.Path(behaviour.__file__).parent / "policies" / task / "card.json"
        if path.exists():
            card = json.loads(path.read_text())
            assert {
                "medium",
                "expert",
                "replay_snapshots",
                "versions",
                "curve",
                "contact_margins",
            } <= set(card)


def test_every_teams_medium_is_the_snapshot_nearest_to_the_released_one(monkeypatch, tmp_path):
    task = "two_agent_halfcheetah"
    shutil.copytree(teams.POLICIES / task, tmp_path / task)
    monkeypatch.setattr(teams, "POLICIES", tmp_path)
    before = teams.load_policy(task, "medium")
    at = teams.card(task)["medium"]["updates"]
    wanted = [0, 3, 1, 4, 0]  # candidate of each team, the last of all its present medium
    answers = iter(
        {
            "return_mean": [1569.0 if own == i else 0.0 for own in wanted],
            "return_sd": [273.0] * 5,
        }
        for i in range(6)
    )
    monkeypatch.setattr(teams, "measured", lambda task, tensors, seeds: next(answers))
    teams.choose_medium(task)
    counts, snapshots = zip(*sorted(teams.load_snapshots(task).items()), strict=True)
    assert teams.card(task)["medium"]["updates"] == [
        at[team] if i == 4 else counts[i] for team, i in enumerate(wanted)
    ]
    for name, tensor in teams.load_policy(task, "medium").tensors.items():
        for team, i in enumerate(wanted):
            expected = (before if i == 4 else snapshots[i]).tensors[name][team]
            torch.testing.assert_close(tensor[team], expected.half().float())


def test_replay_data_have_the_released_rows_at_every_size_but_smoke():
    assert robots.replay_rows("hopper", "medium-replay", "paper") == 402_000
    assert robots.replay_rows("hopper", "medium-replay", "quick") == 402_000
    assert robots.replay_rows("hopper", "medium-replay", "smoke") == 1608
    assert robots.replay_rows("two_agent_halfcheetah", "medium-replay", "quick") == 460_000
    assert robots.size_of("hopper", "medium", "quick") == 100_000
