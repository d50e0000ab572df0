"""OMAR's released layout, written by the test, becomes data sets of size "omar"."""

import numpy as np
import pytest

from envs import datasets, omar_files
from envs.datasets import commands, recipes
from envs.mujoco.views import JOINTS
from envs.particle.scenarios import SCENARIOS

ROWS = 100
WORLD = ("world", "medium")
ROBOT = ("two_agent_halfcheetah", "expert")


def chain(rng, width, horizon, rows=ROWS):
    """Observations and next observations [rows, width] of episodes one after the other."""
    following = rng.normal(size=(rows, width))
    obs = np.roll(following, 1, axis=0)
    obs[::horizon] = rng.normal(size=obs[::horizon].shape)
    return obs, following


def write_particles(folder, task, quality="medium", seeds=(0, 1)):
    """A folder as the authors', the prey's arrays last."""
    rng = np.random.default_rng(0)
    scenario = SCENARIOS[task]
    for seed in seeds:
        place = folder / omar_files.FOLDERS[task] / quality / f"seed_{seed}_data"
        place.mkdir(parents=True)
        for agent in range(scenario.num_agents):
            obs, following = chain(rng, scenario.obs_dims[agent], 25)
            np.save(place / f"obs_{agent}.npy", obs)
            np.save(place / f"next_obs_{agent}.npy", following)
            np.save(place / f"acs_{agent}.npy", rng.uniform(-1, 1, (ROWS, 2)))
            np.save(place / f"rews_{agent}.npy", rng.normal(size=ROWS))
            np.save(place / f"dones_{agent}.npy", np.zeros(ROWS))
    return place


def write_robot(folder, rows=2000):
    rng = np.random.default_rng(0)
    place = folder / "HalfCheetah-v2" / "expert" / "seed_0_data"
    place.mkdir(parents=True)
    states, following = chain(rng, 17, 1000, rows)
    rewards = rng.normal(size=rows)
    for agent, joints in enumerate(JOINTS["halfcheetah"]):
        order = [joints[i] for i in (2, 5, 1, 4, 0, 3)]  # foot, shin, thigh; angle, rate
        named = {
            "states": states,
            "next_states": following,
            "obs": states[:, order],
            "next_obs": following[:, order],
            "acs": rng.uniform(-1, 1, (rows, 3)),
            "rews": rewards,
            "dones": np.arange(1, rows + 1) % 1000 == 0,
        }
        for name, values in named.items():
            np.save(place / f"{name}_{agent}.npy", values)
    return place


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("OMZ_DATA", str(tmp_path / "data"))
    datasets.recipe.cache_clear()
    yield tmp_path / "datasets"
    datasets.recipe.cache_clear()


def bring(task, quality, folder):
    return commands.import_source(task, quality, f"omar:{folder}", say=lambda text: None)


@pytest.mark.parametrize("task", ["cooperative_navigation", "predator_prey", "world"])
def test_the_learners_arrays_become_a_data_set_of_every_seed(task, folder):
    place = write_particles(folder, task)
    paths = bring(task, "medium", folder)
    assert paths == [datasets.data_path(task, "medium", seed, "omar") for seed in (0, 1)]
    data = datasets.load(paths[1])
    arrays = data["arrays"]
    assert arrays["rewards"].shape == (ROWS, 3)  # without the prey
    for agent in range(3):
        for ours, theirs in (("observations", "obs"), ("actions", "acs"), ("rewards", "rews")):
            stored = np.load(place / f"{theirs}_{agent}.npy").astype(np.float32)
            np.testing.assert_array_equal(arrays[ours][:, agent], stored)
    assert np.flatnonzero(arrays["timeouts"]).tolist() == [24, 49, 74, 99]
    assert not arrays["terminals"].any()
    assert data["statistics"]["episodes"] == 4
    assert datasets.transitions(data)["has_next_action"].sum() == 96
    source = data["provenance"]["source"]
    assert datasets.recipe(task, "medium", 1, "omar").startswith(source["sha256"][:16])


def test_halfcheetah_is_joined_to_the_whole_robot(folder):
    place = write_robot(folder)
    (path,) = bring(*ROBOT, folder)
    arrays = datasets.load(path)["arrays"]
    joint = np.concatenate([np.load(place / f"acs_{agent}.npy") for agent in (0, 1)], axis=1)
    np.testing.assert_array_equal(arrays["actions"], joint.astype(np.float32))
    assert arrays["observations"].shape == (2000, 17)
    assert np.flatnonzero(arrays["timeouts"]).tolist() == [999, 1999]


def test_scores_are_relative_to_the_authors_constants():
    scale = {"expert": 79.5, "random": -6.8, "from": "omar"}
    assert datasets.scale("world", "omar") == scale
    assert datasets.scale("two_agent_halfcheetah", "omar")["expert"] == 3568.8
    with pytest.raises(datasets.DataError, match="no released constants of spread_1d_2"):
        datasets.scale("spread_1d_2", "omar")


def renewed(name, change):
    """What is wrong with one array of predator 1."""

    def edit(place):
        np.save(place / f"{name}.npy", change(np.load(place / f"{name}.npy")))

    return edit


def set_at(row, value):
    def change(array):
        array[row] = value
        return array

    return change


def cut(place):
    path = place / "obs_1.npy"
    path.write_bytes(path.read_bytes()[:500])


DAMAGES = {
    "missing file": (lambda place: (place / "acs_1.npy").unlink(), "there is no .*acs_1.npy"),
    "wrong width": (renewed("obs_1", lambda a: a[:, :-2]), r"obs_1.npy has shape \(100, 22\)"),
    "wrong rank": (renewed("rews_1", lambda a: a[:, None]), r"shape \(100, 1\), expected \(100,\)"),
    "lengths differ": (renewed("acs_1", lambda a: a[:-1]), r"shape \(99, 2\), expected \(100, 2\)"),
    "no rows": (renewed("obs_0", lambda a: a[:0]), "and some rows"),
    "broken episode": (renewed("obs_0", lambda a: a[:90]), "90 rows, expected whole episodes"),
    "NaN": (renewed("next_obs_1", set_at(3, np.nan)), "next_obs_1.npy holds NaN"),
    "far actions": (renewed("acs_1", set_at(3, 1.5)), "actions reach 1.500"),
    "early end": (renewed("dones_1", set_at(30, 1.0)), "dones_1.npy is set in row 30"),
    "out of order": (renewed("obs_1", lambda a: a[::-1]), "next_obs_1 in row 0 is not obs_1"),
    "text": (renewed("rews_1", lambda a: a.astype("U8")), "holds no numbers"),
    "objects": (
        lambda place: np.save(place / "rews_1.npy", np.array([{}] * ROWS), allow_pickle=True),
        "Python objects, which could run code",
    ),
    "a pickle": (
        lambda place: (place / "rews_1.npy").write_bytes(b"\x80\x04N."),
        "Python objects, which could run code",
    ),
    "cut off": (cut, "obs_1.npy cannot be read"),
    "several": (
        lambda place: np.savez((place / "rews_1.npy").open("wb"), np.zeros(ROWS)),
        "holds no numbers",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_wrong_is_one_sentence_that_names_the_file(damage, folder, capsys):
    edit, sentence = DAMAGES[damage]
    place = write_particles(folder, "world", seeds=(0,))
    edit(place)
    with pytest.raises(datasets.DataError, match=sentence):
        bring(*WORLD, folder)
    assert commands.main(["import", *WORLD, "--source", f"omar:{folder}"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not datasets.data_path(*WORLD, 0, "omar").exists()


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("states_0", lambda a: a[:, :-1], r"expected \(2000, 17\)"),
        ("obs_1", lambda a: a + 1, "obs_1.npy is not what states_0 says of agent 1's joints"),
        ("rews_1", lambda a: a + 1, "rews_1.npy is not rews_0"),
        ("dones_1", lambda a: ~a, "dones_1.npy is set in row 0"),
        ("next_states_0", lambda a: a + 1, "next_states_0 in row 0 is not states_0"),
    ],
)
def test_what_is_wrong_with_the_robot_is_named(name, change, sentence, folder):
    renewed(name, change)(write_robot(folder))
    with pytest.raises(datasets.DataError, match=sentence):
        bring(*ROBOT, folder)


def test_folders_and_tasks_that_are_not_there_are_named(folder):
    with pytest.raises(datasets.DataError, match=r"no data of world medium in .*simple_world"):
        bring(*WORLD, folder)
    with pytest.raises(datasets.DataError, match="OMAR released no data of hopper, only of coop"):
        bring("hopper", "medium", folder)


def test_the_recipe_of_imported_data_is_their_converters(folder):
    write_particles(folder, "world", seeds=(0,))
    bring(*WORLD, folder)
    assert datasets.recipe(*WORLD, 0, "omar").endswith(recipes.importing_code("omar"))
    assert recipes.importing_code("omar") != recipes.importing_code("d4rl")
