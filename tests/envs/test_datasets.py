"""Data sets: built, read back, checked; every kind of damage has its own sentence."""

import h5py
import numpy as np
import pytest
import torch

from common.running.files import sha256
from envs import datasets
from envs.particle import data as particle


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
        assert sorted(file) == ["agent_0", "agent_1", "agent_2"]
        assert sorted(file["agent_0"]) == sorted(particle.KEYS)
        assert file["agent_0/observations"].shape == (5000, 16)
    facts = datasets.load(path)["provenance"]
    assert facts["task"] == "predator_prey" and set(facts["policies"]) == {"medium", "prey"}
    assert datasets.check(path) is None


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
    assert datasets.checksum(again) == datasets.checksum(path)


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
        ("timeouts", 24, False, None),
        ("timeouts", 30, True, "do not end every 25"),
    ],
)
def test_wrong_contents_are_named(copy, key, index, value, message):
    change(copy, "agent_0", key, index, value)
    if (
        message is None
    ):  # a missing flag inside the file leaves episodes longer, which ends at multiples still show
        datasets.load(copy)
    else:
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
    with h5py.File(copy, "r+") as file:
        for agent in file:
            file[agent]["rewards"][:] = 0
    sign(copy)
    assert "as on the card" in datasets.check(copy)


def test_commands_answer_and_refuse(path, capsys):
    assert datasets.main(["list", "predator_prey"]) == 0
    assert "116.36" in capsys.readouterr().out  # the released return beside ours
    assert datasets.main(["check"]) == 0
    assert datasets.main(["show", "predator_prey", "medium", "--size", "smoke"]) == 0
    assert path.with_suffix(".png").exists()
    assert datasets.main(["build", "predator_pray"]) == 2
    assert "unknown task 'predator_pray'" in capsys.readouterr().err
    assert datasets.main(["show", "world", "expert", "--seed", "4", "--size", "paper"]) == 2
    assert "build it with" in capsys.readouterr().err
