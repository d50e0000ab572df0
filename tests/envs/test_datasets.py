"""Data sets: built, read back, checked; every kind of damage has its own sentence."""

import json
import re
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest
import torch

from common.running import sources
from common.running.files import sha256
from envs import datasets, storage
from envs.datasets import building, checks, commands, recipes, sizes, statistics
from envs.particle import data as particle
from envs.tasks import TASKS


@pytest.fixture(scope="module")
def path(folders):
    return datasets.build("predator_prey", "medium", [0], "smoke", say=lambda text: None)[0]


@pytest.fixture
def copy(path, tmp_path):
    target = tmp_path / "data.h5"
    target.write_bytes(path.read_bytes())
    sign(target)
    return target


def sign(path):
    path.with_suffix(".h5.sha256").write_text(f"{sha256(path)}  {path.name}\n")


def change(path, agent, key, index, value):
    with h5py.File(path, "r+") as file:
        file[agent][key][index] = value
    sign(path)


def test_a_data_set_has_d4rls_keys_per_agent_and_its_provenance(path):
    with h5py.File(path) as file:
        assert sorted(file) == ["agent_0", "agent_1", "agent_2", "statistics"]
        assert sorted(file["agent_0"]) == sorted(particle.KEYS)
        assert file["agent_0/observations"].shape == (5000, 16)
    facts = datasets.load(path)["provenance"]
    assert facts["task"] == "predator_prey" and set(facts["policies"]) == {"medium", "prey"}
    assert checks.check(path) is None


def test_transitions_chain_within_an_episode(path):
    data = datasets.transitions(datasets.load(path))
    inside = data["has_next_action"]
    assert inside.sum() == 5000 * 24 // 25
    rows = torch.nonzero(inside)[:, 0]
    torch.testing.assert_close(data["next_obs"][rows], data["obs"][rows + 1])
    torch.testing.assert_close(data["next_action"][rows], data["action"][rows + 1])
    assert not data["terminal"].any()  # the clock cuts, so values bootstrap


def test_building_again_gives_the_same_bytes_whatever_it_is_built_with(path, monkeypatch, tmp_path):
    monkeypatch.setenv("OMZ_DATA", str(tmp_path))
    again = datasets.build("predator_prey", "medium", [3, 0], "smoke", say=lambda text: None)[1]
    assert storage.checksum(again) == storage.checksum(path)


def test_replay_data_is_the_training_buffer(folders):
    path = datasets.build("spread_1d_2", "medium-replay", [0], "smoke", say=lambda text: None)[0]
    data = datasets.load(path)
    assert len(data["arrays"]["rewards"]) == particle.SMOKE_ROUNDS * 16 * 25
    assert datasets.episode_returns(data).shape == (160,)


def test_a_flipped_byte_is_found(copy):
    content = bytearray(copy.read_bytes())
    content[len(content) // 2] ^= 1
    copy.write_bytes(content)
    with pytest.raises(datasets.DataError, match="does not match its checksum"):
        datasets.load(copy)


def test_a_cut_file_is_found(copy):
    copy.write_bytes(copy.read_bytes()[:1000])
    sign(copy)
    with pytest.raises(datasets.DataError, match="cannot be read"):
        datasets.load(copy)


@pytest.mark.parametrize(
    ("key", "index", "value", "message"),
    [
        ("observations", (7, 2), np.nan, "holds NaN"),
        ("actions", (7, 0), 1.5, r"actions reach 1.500"),
        ("timeouts", 24, False, "its return_mean is"),  # two episodes look like one
        ("timeouts", 30, True, "do not end every 25"),
        ("rewards", 7, 90.0, "its return_mean is"),
    ],
)
def test_wrong_contents_are_named(copy, key, index, value, message):
    change(copy, "agent_0", key, index, value)
    with pytest.raises(datasets.DataError, match=message):
        datasets.load(copy)


def test_missing_keys_and_foreign_files_are_named(copy, tmp_path):
    with h5py.File(copy, "r+") as file:
        del file["agent_1/rewards"]
    sign(copy)
    with pytest.raises(datasets.DataError, match="cannot be read"):
        datasets.load(copy)
    foreign = tmp_path / "foreign.h5"
    foreign.write_text("not a data set")
    sign(foreign)
    with pytest.raises(datasets.DataError, match="cannot be read"):
        datasets.load(foreign)


def test_check_compares_returns_with_the_policys_card(copy):
    facts = datasets.load(copy)["provenance"]
    with h5py.File(copy) as file:
        names = [f"agent_{i}/{key}" for i in range(3) for key in particle.KEYS]
        arrays = {name: file[name][:] * (not name.endswith("rewards")) for name in names}
    storage.write(copy, statistics.with_statistics(copy, arrays, facts), facts)
    assert "as on the card" in checks.check(copy)


def test_list_shows_the_released_return_beside_ours(path, capsys):
    assert commands.main(["list", "predator_prey"]) == 0
    assert "116.4 +- 58.9" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("build predator_pray", "did you mean 'predator_prey'?"),
        ("biuld world", "did you mean 'build'?"),
        ("build world --sede 3", "unknown option '--sede'; did you mean '--seeds'?"),
        ("build world --quality expret", "did you mean 'expert'?"),
        ("build world --seeds x", "--seeds is ['x'], expected a list of whole numbers"),
        ("build hopper --replay exakt", "did you mean 'exact'?"),
        ("show world expert --seed -1", "--seed is -1, expected a whole number"),
        ("", "command"),
        ("show world expert --seed 4 --size paper", "build it with"),
        ("build world --seeds 0 -5", "--seeds is [0, -5], expected a list of whole numbers"),
        ("build world --seeds 99", "unknown seeds [99] of world, expected some of: 0, 1, 2"),
        ("build world --jobs 0", "--jobs is 0, expected a whole number above 0"),
        ("build world --size big", "unknown size 'big' of world, expected one of: smoke"),
        ("import hopper medium --source d4rl", "unknown source 'd4rl', expected d4rl:DIR"),
    ],
)
def test_bad_input_of_a_command_is_one_sentence(path, arguments, sentence, capsys):
    assert commands.main(arguments.split()) == 2
    said = capsys.readouterr().err
    assert sentence in said and said.count("\n") == 1


@pytest.fixture
def own_folder(path, tmp_path, monkeypatch):
    """A data folder with one copied data set; the path of it."""
    monkeypatch.setenv("OMZ_DATA", str(tmp_path))
    key = datasets.Key("predator_prey", "medium", 0, "smoke")
    copy_to(path, key.path)
    datasets.recipe.cache_clear()
    recipes.facts_of.cache_clear()
    yield key
    datasets.recipe.cache_clear()
    recipes.facts_of.cache_clear()


def copy_to(path, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, target)
    shutil.copy(storage.side(path), storage.side(target))


def built(key, **options):
    """Why something was built: what `build` said."""
    said = []
    datasets.build(key.task, key.quality, [key.seed], key.size, say=said.append, **options)
    return "".join(said)


def test_what_is_there_and_of_the_present_recipe_is_left_alone(own_folder):
    assert built(own_folder) == ""
    assert building.fault(own_folder) == ""


def test_a_data_set_of_another_recipe_is_refused_and_built_again(own_folder, monkeypatch, capsys):
    before = datasets.load(own_folder.path)["arrays"]
    recipe = datasets.recipe(*own_folder)
    monkeypatch.setattr(particle, "GENERATOR", particle.GENERATOR + 1)
    datasets.recipe.cache_clear()
    recipes.facts_of.cache_clear()
    assert datasets.recipe(*own_folder) != recipe
    with pytest.raises(datasets.DataError, match=r"another recipe \(generator changed\); build it"):
        datasets.load(own_folder.path)
    assert commands.main(["check"]) == 1
    assert commands.main(["list"]) == 0
    assert capsys.readouterr().out.count("generator changed") == 2
    assert "generator changed" in built(own_folder)
    after = datasets.load(own_folder.path)["arrays"]
    assert all((after[name] == before[name]).all() for name in before)


def test_a_data_set_built_by_other_code_is_built_again_with_the_same_bytes(own_folder, monkeypatch):
    before = storage.checksum(own_folder.path)
    recipe = datasets.recipe(*own_folder)
    monkeypatch.setattr(recipes, "building_code", lambda task: "other")
    datasets.recipe.cache_clear()
    assert datasets.recipe(*own_folder) != recipe
    with pytest.raises(datasets.DataError, match=r"another recipe \(code changed\)"):
        datasets.load(own_folder.path)
    assert "code changed" in built(own_folder)
    assert datasets.load(own_folder.path)["sha256"] == before


@pytest.mark.parametrize(
    ("file", "old", "new", "stale"),
    [
        ("envs/particle/data.py", "SIZES = {", "SIZES = {  0: 1, ", {"world"}),
        ("envs/particle/data.py", "GENERATOR = 2", "GENERATOR = 3", {"world"}),
        ("envs/joint.py", "def transitions", "def others():\n    pass\n\n\ndef transitions",
         {"hopper", "kinematic_predator_prey", "reacher"}),
    ],
)  # fmt: skip
def test_building_code_changes_with_every_file_it_rests_on(tmp_path, file, old, new, stale):
    for name in sources.PACKAGES:
        ignored = shutil.ignore_patterns("*.safetensors", "__pycache__")
        shutil.copytree(sources.ROOT / name, tmp_path / name, ignore=ignored)
    text = (tmp_path / file).read_text()
    assert old in text
    (tmp_path / file).write_text(text.replace(old, new))
    for task in ("world", "hopper", "kinematic_predator_prey", "reacher", "2s3z"):
        roots = [TASKS[task].data]
        differs = sources.code_hashes(roots, tmp_path) != sources.code_hashes(roots)
        assert differs == (task in stale), task


def test_another_data_set_in_its_place_is_refused_checksum_and_all(own_folder, path, capsys):
    expert = own_folder._replace(quality="expert")
    copy_to(path, expert.path)
    sentence = "is of predator_prey, medium, seed 0, size smoke, and not of predator_prey, expert"
    with pytest.raises(datasets.DataError, match=sentence):
        datasets.load(expert.path)
    with pytest.raises(datasets.DataError, match=sentence):
        datasets.build("predator_prey", "expert", [0], "smoke")
    assert commands.main(["check"]) == 1
    assert sentence in capsys.readouterr().out


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone", "no checksum", "empty checksum"])
def test_the_advice_about_a_broken_data_set_repairs_it(own_folder, damage, capsys):
    path = own_folder.path
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif damage == "cut":
        path.write_bytes(content[:1000])
    elif damage == "gone":
        path.unlink()
    elif damage == "no checksum":
        storage.side(path).unlink()
    else:
        storage.side(path).write_text("")
    assert commands.main(["check"]) == 1
    problem = capsys.readouterr().out
    command = problem.partition("`python -m envs.datasets ")[2].partition("`")[0]
    assert commands.main(command.split()) == 0
    assert commands.main(["check"]) == 0


def replaced(key, change):
    """Changes one array of every agent."""

    def edit(file):
        for agent in ("agent_0", "agent_1", "agent_2"):
            array = change(file[agent][key][:])
            del file[agent][key]
            file[agent][key] = array

    return edit


def without_rows(file):
    for key in particle.KEYS:
        replaced(key, lambda array: array[:0])(file)


def with_facts(**facts):
    """Changes the provenance."""

    def edit(file):
        file.attrs["provenance"] = json.dumps(json.loads(file.attrs["provenance"]) | facts)

    return edit


ODD = {  # what a file can hold, its checksum renewed, and what is said of it
    "no rows": (without_rows, "observations has no rows"),
    "text": (replaced("rewards", lambda array: array.astype("S8")), "rewards holds |S"),
    "NaN": (replaced("rewards", lambda array: array * np.nan), "rewards holds NaN or infinity"),
    "a list": (lambda file: file.attrs.update(provenance="[1]"), "is a list, expected a dict"),
    "no JSON": (lambda file: file.attrs.update(provenance="{"), "cannot be read"),
    "another task": (with_facts(task="../../x"), "is of ../../x, medium"),
    "a seed in quotes": (with_facts(seed="0"), "seed '0', size smoke, and not"),
    "an odd option": (with_facts(replay={"a": 1}), "another recipe (replay changed)"),
}


@pytest.mark.parametrize("content", ODD)
def test_odd_content_is_one_sentence_whose_advice_repairs_it(own_folder, content, capsys):
    edit, sentence = ODD[content]
    with h5py.File(own_folder.path, "r+") as file:
        edit(file)
    note = storage.side(own_folder.path)
    _, *rest = note.read_text().split("\n")
    renewed = f"{sha256(own_folder.path)}  {own_folder.path.name}"
    note.write_text("\n".join([renewed, *rest]))
    assert commands.main(["check"]) == 1
    problem = capsys.readouterr().out
    assert sentence in problem and problem.count("\n") == 1
    command = problem.partition("`python -m envs.datasets ")[2].partition("`")[0]
    assert commands.main(command.split()) == 0
    assert commands.main(["check"]) == 0


def test_a_damaged_data_set_is_built_again_by_whoever_needs_it(own_folder):
    own_folder.path.write_bytes(b"damaged")
    assert "damaged" in built(own_folder)
    datasets.load(own_folder.path)


def test_a_data_set_from_before_there_were_statistics_is_built_again(own_folder, capsys):
    with h5py.File(own_folder.path, "r+") as file:
        del file[statistics.GROUP]
    note = storage.side(own_folder.path)
    _, *rest = note.read_text().split("\n")
    note.write_text("\n".join([f"{sha256(own_folder.path)}  {own_folder.path.name}", *rest]))
    with pytest.raises(datasets.DataError, match="has no statistics; build it with"):
        datasets.load(own_folder.path)
    assert commands.main(["list", "predator_prey"]) == 0
    assert "has no statistics" in capsys.readouterr().out
    assert "without statistics" in built(own_folder)
    statistics_now = datasets.load(own_folder.path)["statistics"]
    assert statistics_now["steps"] == 5000 and statistics_now["length"] == 25


def test_list_reads_no_array(own_folder, monkeypatch, capsys):
    monkeypatch.setattr(particle, "extract", None)
    assert commands.main(["list", "predator_prey"]) == 0
    assert "smoke" in capsys.readouterr().out


def test_processes_that_need_the_same_data_set_build_it_once(own_folder, tmp_path):
    own_folder.path.unlink()
    code = (
        "from envs import datasets\n"
        f"said = []\ndatasets.build(*{tuple(own_folder)[:2]!r}, [0], 'smoke', say=said.append)\n"
        "print(len(said))\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert sorted(process.communicate()[0] for process in processes) == ["0\n", "1\n"]
    datasets.load(own_folder.path)


USAGE = {  # the commands of the usage text: what is asked, and a piece of the answer
    "list": ("", "predator_prey"),
    "build": ("predator_prey --quality medium --seeds 0 --size smoke --jobs 1", ""),
    "import": ("hopper medium --source d4rl:{folder}", "300 steps of hopper medium"),
    "check": ("predator_prey", "1 data sets are in order"),
    "show": ("predator_prey medium --seed 0 --size smoke", "5000 steps, 200 episodes"),
    "measure": ("", ""),
    "train-behaviour": ("predator_prey", "trained predator_prey"),
}


def test_the_usage_text_names_every_command():
    named = re.findall(r"python -m envs\.datasets (\S+)", commands.__doc__)
    assert named == [*USAGE] and {*named} == {*commands.COMMANDS}


@pytest.mark.parametrize("command", USAGE)
def test_every_command_of_the_usage_text_works(command, own_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(particle, "train_behaviour", lambda task: print(f"trained {task}"))
    monkeypatch.setattr(sizes, "MEASURED", tmp_path / "sizes.csv")
    (tmp_path / "sizes.csv").write_text("task,quality,size,steps,bytes\n")
    write_d4rl_file(tmp_path / "hopper_medium-v2.hdf5")
    sizes.known_sizes.cache_clear()
    arguments, answer = USAGE[command]
    code = commands.main([command, *arguments.format(folder=tmp_path).split()])
    said = capsys.readouterr()
    assert code == 0 and answer in said.out and not said.err
    if command == "measure":
        bytes_there = own_folder.path.stat().st_size
        line = f"predator_prey,medium,smoke,5000,{bytes_there}\n"
        assert line in sizes.MEASURED.read_text()
    if command == "show":
        assert own_folder.path.with_suffix(".png").exists()
    sizes.known_sizes.cache_clear()


def test_the_steps_on_file_are_those_of_the_generators():
    steps = {kind: sizes.steps_of(*kind) for kind in sizes.every_kind()}
    assert {kind: size.steps for kind, size in sizes.known_sizes().items()} == steps


def write_d4rl_file(path, rows=300):
    rng = np.random.default_rng(0)
    obs = rng.normal(size=(rows + 1, 11)).astype(np.float32)
    with h5py.File(path, "w") as file:
        file["observations"] = obs[:-1]
        file["next_observations"] = obs[1:]
        file["actions"] = rng.uniform(-1, 1, (rows, 3)).astype(np.float32)
        file["rewards"] = rng.normal(size=rows).astype(np.float32)
        file["terminals"] = np.arange(rows) == rows - 1
        file["timeouts"] = np.zeros(rows, bool)


def test_the_module_is_the_command_line():
    done = subprocess.run(
        [sys.executable, "-m", "envs.datasets", "check", "nowhere"], capture_output=True, text=True
    )
    assert done.returncode == 2 and done.stderr.startswith("error: unknown task 'nowhere'")
