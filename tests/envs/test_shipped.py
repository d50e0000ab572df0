"""Shipped weights: whatever is not what it should be is said in one sentence, and nothing in a file
is executed.
"""

import os
import pickle
import shutil
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file

from envs import datasets
from envs.datasets import commands
from envs.mujoco import behaviour
from envs.shipped import read_weights
from envs.storage import DataError


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "medium.safetensors"
    shutil.copy(behaviour.POLICIES / "hopper" / "medium.safetensors", path)
    return path


def test_shipped_weights_are_what_the_file_holds(weights):
    found = read_weights(weights)
    assert found.keys() == load_file(weights).keys() and all(
        tensor.isfinite().all() for tensor in found.values()
    )


class Hostile:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


def test_a_pickle_in_disguise_is_not_executed(weights, tmp_path):
    for content in (pickle.dumps(Hostile(tmp_path / "owned")), b""):
        weights.write_bytes(content)
        with pytest.raises(
            DataError, match=r"medium.safetensors cannot be read: .*train-behaviour"
        ):
            read_weights(weights)
    torch.save(Hostile(tmp_path / "owned"), weights)
    with pytest.raises(DataError, match="cannot be read"):
        read_weights(weights)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("length", [2**63, 10**9, 3])
def test_a_header_that_lies_about_its_length_is_refused(weights, length):
    weights.write_bytes(struct.pack("<Q", length) + weights.read_bytes()[8:])
    with pytest.raises(DataError, match="cannot be read"):
        read_weights(weights)


def test_cut_weights_nan_and_a_missing_file_are_named(weights):
    tensors = load_file(weights)
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(DataError, match="cannot be read"):
        read_weights(weights)
    name = next(iter(tensors))
    tensors[name].view(-1)[3] = float("nan")
    save_file(tensors, weights)
    with pytest.raises(DataError, match=f"NaN or infinity in {name}"):
        read_weights(weights)
    weights.unlink()
    with pytest.raises(DataError, match="cannot be read"):
        read_weights(weights)


def test_a_broken_policy_ends_the_command_with_one_sentence(tmp_path, monkeypatch, capsys):
    shutil.copytree(behaviour.POLICIES / "hopper", tmp_path / "hopper")
    (tmp_path / "hopper" / "medium.safetensors").write_bytes(b"nonsense")
    monkeypatch.setattr(behaviour, "POLICIES", tmp_path)
    monkeypatch.setenv("OMZ_DATA", str(tmp_path / "data"))
    assert (
        commands.main(["build", "hopper", "--quality", "medium", "--size", "smoke", "--jobs", "1"])
        == 2
    )
    error = capsys.readouterr().err
    assert error.startswith("error: weights ") and error.count("\n") == 1
    assert not list((tmp_path / "data").rglob("*.h5*"))


@pytest.mark.parametrize("name", ["../hopper", "/etc/passwd", "hopper/../../x", ""])
def test_names_do_not_leave_the_folder(name):
    with pytest.raises(DataError, match="unknown task"):
        datasets.data_path(name, "medium", 0, "smoke")
    with pytest.raises(DataError, match="unknown quality"):
        datasets.data_path("hopper", name, 0, "smoke")
    with pytest.raises(DataError, match="unknown size"):
        datasets.data_path("hopper", "medium", 0, name)
